/* hv/engine/soft/cpu.h - the software vCPU and what its parts share.
 *
 * While a vCPU runs, the arithmetic flags live in fl (the form LAHF and SETO
 * give: AH = SF ZF AF PF CF, AL = OF) and st.rflags holds the rest.  A fault or
 * an exit leaves the instruction by longjmp to the run loop; st.rip then names
 * the instruction that has to be restarted, and nothing of it has been
 * committed but what the architecture commits (string iterations).
 */
#ifndef HV_ENGINE_SOFT_CPU_H
#define HV_ENGINE_SOFT_CPU_H

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "hv/engine/engine.h"
#include "hv/engine/soft/insn.h"
#include "hv/engine/soft/simd.h"
#include "hv/engine/soft/x86.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum access { ACC_READ, ACC_WRITE, ACC_EXEC, ACC_NR };
/* Whose eyes: TM_SUP_AC is the supervisor with RFLAGS.AC set under SMAP. */
enum tlb_mode { TM_SUP, TM_USER, TM_SUP_AC, TM_NR };

#define TLB_BITS 9u
#define TLB_SIZE (1u << TLB_BITS)
#define TLB_LOG	 1024u /* fills remembered, so that a flush need not sweep it all */
#define TLB_NONE 1u    /* a tag no page has */

/* Hit when tag is the page of the access's first and last byte; host = va + add. */
struct tlb_entry {
	uint64_t tag;
	uintptr_t add;
};

struct tlb_side {
	uint64_t gfn;
	bool global;
	uint8_t shift; /* log2 of the guest's page */
};

struct tlb {
	struct tlb_entry e[TM_NR][ACC_NR][TLB_SIZE];
	struct tlb_side side[TM_NR][ACC_NR][TLB_SIZE];
	uint16_t log[TLB_LOG];		 /* mode, access, index of each fill */
	unsigned nlog;			 /* TLB_LOG + 1: overflown, sweep */
	struct tlb_entry none[TLB_SIZE]; /* stays empty: alignment checks force every access slow */
};

enum leave_why { JMP_EXC = 1, JMP_EXIT };
enum event_type { EV_NONE, EV_FAULT, EV_TRAP, EV_SOFT, EV_EXT };

struct event {
	uint8_t type, vec, has_err;
	uint32_t err;
	uint8_t len; /* EV_SOFT: of the instruction, which a fault in delivery restarts */
};

/* Exits are made by restarting: the instruction asks, leaves, and when it is
 * run again finds the caller's answer here, in the order it asked. */
#define REPLAY_MAX 8u
struct replay {
	uint8_t kind, size, is_write, fault;
	uint64_t addr, val;
};

/* ATTN_BLOCK is no call for attention: it stays set where translated code runs, so
 * that the decoded blocks come back after each one. */
enum attn { ATTN_KICK = 1, ATTN_MAIL = 2, ATTN_BLOCK = 4 };
#define ATTN_CALLS (ATTN_KICK | ATTN_MAIL)
enum mail { MAIL_FLUSH = 1, MAIL_WRITE_TLB = 2, MAIL_INVAL = 4 };
#define MAIL_GFNS 16u

/* What other threads ask of a vCPU; done under the lock of the one who asks. */
struct mailbox {
	pthread_mutex_t lock;
	unsigned bits, ngfns;
	uint64_t gfn[MAIL_GFNS];
	uint64_t asked;
	_Atomic uint64_t done;
};

struct vm {
	struct p2m *p2m;
	unsigned max_vcpus;
	uint64_t tsc_khz;
	_Atomic(struct vcpu *) *v; /* [max_vcpus] */
	uint64_t code_gfns;
	_Atomic uint32_t *code;	    /* per gfn: the vCPUs that hold code decoded from it */
	uint64_t *code_sum;	    /* per gfn: of its bytes when it became code */
	pthread_mutex_t code_lock;  /* of changes to code[] */
	pthread_mutex_t split_lock; /* locked operations across pages */
	bool reference;		    /* decoded blocks only, no translator */
};

struct blocks;
struct jit;
struct jump;
struct block;

struct vcpu {
	/* Operands of decoded blocks are byte offsets from here: see op.h. */
	uint64_t zero, brip;
	struct vcpu_state st;

	uint16_t fl;
	uint8_t cpl, mode, long_mode;
	uint8_t tm;	  /* enum tlb_mode of data accesses */
	bool check_align; /* CR0.AM, RFLAGS.AC and CPL 3 */
	uint8_t leave;	  /* end the block after this instruction */
	bool split_held;  /* vm->split_lock is ours */
	uint32_t bflags;  /* what blocks are keyed by besides their address */
	uint64_t sp_mask;
	struct tlb_entry *rd, *wr; /* the current mode's tables */
	_Atomic uint32_t attn;
	uint64_t next; /* RIP after the instruction in hand */
	int64_t tsc_offset;
	struct jump *jumps; /* virtual address to block, valid under jump_key */
	uint64_t jump_key;
	uint64_t fetch_gen;
	uint64_t flush_gen;  /* counts mmu_flush() */
	uint64_t mails;	     /* counts smp_mail() */
	struct block **link; /* the block found next belongs there, too */

	struct vm *vm;
	unsigned id;
	struct tlb *tlb;
	struct blocks *blocks;
	struct jit *jit; /* NULL: decoded blocks only */
	struct simd_cache *simd;
	struct simd_regs simd_regs;
	uint64_t simd_flags;

	struct event ev; /* to be delivered next */
	bool delivering; /* ev is being delivered: a fault now combines with it */
	bool nmi;	 /* an NMI waits */
	bool want_window;
	bool shadow;	     /* st.intr_shadow was set by the instruction in hand */
	uint32_t db_pending; /* DR6 bits of data breakpoints hit, reported after it */

	struct replay replay[REPLAY_MAX];
	unsigned nreplay, ireplay;
	struct vm_exit exit;
	bool exit_ready; /* found by vcpu_complete, for the next run */

	struct cpuid_leaf *leaves;
	size_t nleaves;
	unsigned phys_bits;
	uint64_t cr4_allowed, efer_allowed;

	_Atomic int running;
	struct mailbox mail;
	jmp_buf env;
};

/* soft.c: leave the instruction. */
_Noreturn void cpu_raise(struct vcpu *c, struct event ev);
_Noreturn void cpu_exit(struct vcpu *c, enum exit_kind kind);

static inline _Noreturn void cpu_fault(struct vcpu *c, unsigned vec)
{
	cpu_raise(c, (struct event){ EV_FAULT, (uint8_t)vec, 0, 0 });
}

static inline _Noreturn void cpu_fault_err(struct vcpu *c, unsigned vec, uint32_t err)
{
	cpu_raise(c, (struct event){ EV_FAULT, (uint8_t)vec, 1, err });
}

static inline _Noreturn void cpu_gp0(struct vcpu *c)
{
	cpu_fault_err(c, X_GP, 0);
}

static inline _Noreturn void cpu_ud(struct vcpu *c)
{
	cpu_fault(c, X_UD);
}

/* soft.c: ask the caller (EXIT_IO, EXIT_MMIO, EXIT_RDMSR, EXIT_WRMSR).  Returns
 * only with the answer; *val is filled for reads.  True: the caller says fault. */
bool cpu_ask(struct vcpu *c, enum exit_kind kind, uint64_t addr, unsigned size, bool write,
	     uint64_t *val);

/* cpu.c */
void cpu_reset(struct vcpu *c);
void cpu_update_mode(struct vcpu *c); /* after any change of CS, SS, CR0, EFER, CR4, AC */
uint64_t cpu_rflags(const struct vcpu *c);
void cpu_set_rflags(struct vcpu *c, uint64_t v); /* every bit; updates the mode for AC */
void cpu_cpuid(const struct vcpu *c, uint32_t leaf, uint32_t sub, struct cpuid_leaf *ret);
void cpu_learn_cpuid(struct vcpu *c);
void cpu_load_flags(struct vcpu *c); /* st.rflags to fl, and back */
void cpu_store_flags(struct vcpu *c);
void cpuid_own(uint32_t leaf, struct cpuid_leaf *ret);
void cpuid_supported(uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *ret);

/* Any thread: have the vCPU look at its attention bits soon. */
void cpu_call(struct vcpu *c, uint32_t bits);

static inline bool cpu_called(const struct vcpu *c)
{
	return atomic_load(&c->attn) & ATTN_CALLS;
}

static inline bool cpu_user(const struct vcpu *c)
{
	return c->cpl == 3;
}

static inline bool cpu_protected(const struct vcpu *c)
{
	return c->st.cr0 & CR0_PE;
}

static inline void cpu_need_cpl0(struct vcpu *c)
{
	if (unlikely(c->cpl))
		cpu_gp0(c);
}

static inline void cpu_unsplit(struct vcpu *c)
{
	if (unlikely(c->split_held)) {
		c->split_held = false;
		pthread_mutex_unlock(&c->vm->split_lock);
	}
}

static inline bool canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

#endif
