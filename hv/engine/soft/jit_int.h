/* hv/engine/soft/jit_int.h - what the translator's files share.
 *
 * While translated code runs, RSP points at struct jit's `base`, so all state
 * is [rsp + constant] and helpers can be called on the stack below it.  Guest
 * registers live in the host's own, but for four: guest rsp is in r9, guest
 * r9, r10 and r11 are in memory; host r10 and r11 are scratch.
 *
 * Guest flags are either in the host's flags or, in the form LAHF and SETO
 * give, at `fl`.  A block has two entries, one for each.  Between blocks that
 * jump directly the flags stay where they are; indirect jumps keep them at fl.
 * A fault finds all flags right.  Only where a block begins, and overwrites the
 * flags before anyone could see them, may an interrupt's frame show old ones.
 */
#ifndef HV_ENGINE_SOFT_JIT_INT_H
#define HV_ENGINE_SOFT_JIT_INT_H

#include <stddef.h>

#include "hv/engine/soft/cpu.h"
#include "hv/engine/soft/emit.h"
#include "hv/engine/soft/jit.h"
#include "hv/engine/soft/opinfo.h"

#define JTLB_BITS	10u
#define JTLB_SIZE	(1u << JTLB_BITS)
#define JC_BITS		12u
#define JC_SIZE		(1u << JC_BITS)
#define JIT_HASH	32768u
#define JIT_CODE	(32u << 20)
#define JIT_BLOCK_INSNS 48u
#define JIT_STACK	16384u

/* The slot of an address is a function of its tag's low bits, so the tag of the
 * neighbouring slot is one that no address looked up here can have. */
static inline uint64_t jtlb_none(unsigned slot)
{
	return (uint64_t)(slot ^ 1) << 12;
}

/* Functions start at the same few offsets of a page: mix in the page number. */
#define JC_SHIFT 10u
static inline unsigned jc_slot(uint64_t rip)
{
	return (unsigned)(rip ^ rip >> JC_SHIFT) & (JC_SIZE - 1);
}

/* An address of another slot: bit 2 is out of the mixed-in bits' reach. */
static inline uint64_t jc_none(unsigned slot)
{
	return slot ^ 4;
}

/* Reads and writes have a half each, so that a copy's two sides don't meet. */
struct jtlb_entry {
	uint64_t tag_r, host_r; /* page address, or jtlb_none(); host's of its first byte */
	uint64_t tag_w, host_w;
};

/* Slots filled with translations that a CR3 write drops. */
#define JLOG_MAX 4096u
struct jit_log {
	uint16_t slot[JLOG_MAX]; /* mode * size + index */
	unsigned n;		 /* JLOG_MAX + 1: overflown, sweep */
};

struct jc_entry {
	uint64_t rip;
	const uint8_t *code; /* entry_mem */
};

/* A direct jump that may be patched to its target. */
struct jit_link {
	struct jit_block *from, *to; /* to: NULL while it goes to its stub */
	struct jit_link *next;	     /* of the links into `to` */
	uint8_t *at;		     /* write address of the rel32 */
	const uint8_t *stub;
	uint64_t rip; /* target */
	bool flags_host;
};

struct jit_block {
	uint64_t rip, gfn;
	uint32_t mode;
	bool interp; /* its first instruction is the engine's */
	const uint8_t *entry_host, *entry_mem;
	struct jit_block *hnext, *pnext; /* by hash; by frame */
	struct jit_link *in;
	struct jit_link out[2];
	unsigned nout;
};

enum jit_reason { JR_STEP, JR_LOOKUP, JR_CHAIN, JR_POLL };

struct jit {
	uint8_t stack[JIT_STACK];
	/* RSP points here. */
	uint64_t base[1] __attribute__((aligned(16)));
	uint64_t mr[3]; /* guest r9, r10, r11 */
	uint64_t t0;
	uint32_t fl;
	uint32_t poll;
	uint64_t seg_base[2]; /* fs, gs */
	struct vcpu *c;
	uint64_t host_rsp;
	uint64_t rip, reason;
	uint32_t host_mxcsr, pad;
	struct jit_link *link; /* JR_CHAIN: which one */
	struct jtlb_entry tlb[TM_NR][JTLB_SIZE] __attribute__((aligned(64)));
	struct jc_entry jc[TM_NR][JC_SIZE] __attribute__((aligned(64)));

	/* not reached by translated code */
	uint64_t jc_pages[64]; /* filter of pages that have jump cache entries */
	struct {
		uint64_t rip;	 /* jc_none() as in the jump cache, which it lives and dies with */
	} steps[TM_NR][JC_SIZE]; /* where the engine has to go first */
	struct jit_log tlb_log, jc_log;
	uint32_t mode;	    /* of the code run last */
	uint64_t large[64]; /* filter of 2 MiB regions with entries from large pages */
	unsigned (*enter)(struct jit *j, const uint8_t *code);
	const uint8_t *leave_host, *leave_mem, *fill;
	uint8_t *code_w;
	intptr_t code_bias;
	struct code_buf em;
	uint8_t *thunk_end;
	struct jit_block *hash[JIT_HASH];
	struct jit_block **by_gfn; /* JIT_HASH heads, hashed by frame */
	struct jit_block *blocks;  /* pool */
	unsigned nblocks, max_blocks;
	bool has_tzcnt, has_lzcnt;
	uint64_t stat_blocks, stat_flushes;
};

#define JOFF(field) ((int32_t)(offsetof(struct jit, field) - offsetof(struct jit, base)))

/* Host register of a guest one, or E_NOREG if it lives in memory. */
extern const uint8_t jit_map[16];
static inline int32_t jit_mr(unsigned guest)
{
	return JOFF(mr) + 8 * (int32_t)(guest - 9);
}

/* jit_thunk.c */
int jit_make_thunks(struct jit *j);
/* jit_tlb.c: 1 if (va, size, write) was copied from the engine's TLB, else 0. */
unsigned jit_fill(struct jit *j, uint64_t va, uint32_t info);
#define JFILL_WRITE 0x100u /* info: size | JFILL_WRITE */
/* code NULL: it is the engine's. */
void jc_put(struct jit *j, unsigned tm, uint64_t rip, const uint8_t *code, bool global);
void jc_flush(struct jit *j, bool keep_global);

/* jit_cache.c */
struct jit_block *jit_find(struct jit *j, uint64_t rip, uint64_t gfn, uint32_t mode);
struct jit_block *jit_block_alloc(struct jit *j);
void jit_block_publish(struct jit *j, struct jit_block *b);
void jit_link_to(struct jit *j, struct jit_link *l, struct jit_block *to);

/* jit_translate.c: the block at rip, whose bytes are page[rip & 4095 ..].
 * NULL: no room, reset and try again. */
struct jit_block *jit_translate(struct jit *j, uint64_t rip, uint64_t gfn, uint32_t mode,
				const uint8_t *page);
#define JMODE_TM(m) ((m)&3u)
#define JMODE_SSE   4u /* SSE may run: no #NM, #UD, and no unmasked exception */

#endif
