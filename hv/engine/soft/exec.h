/* hv/engine/soft/exec.h - one function per instruction family, working on the
 * decoded form; slow but complete.  The hot forms have faster twins in fast.c.
 *
 * On entry st.rip is the instruction, c->next the one after it; a branch sets
 * c->next.  exec_one() is the only way in.
 */
#ifndef HV_ENGINE_SOFT_EXEC_H
#define HV_ENGINE_SOFT_EXEC_H

#include "hv/engine/soft/mem.h"

typedef void exec_fn(struct vcpu *c, const struct insn *i);

enum exec_flags {
	E_END = 1,  /* control, mode or interrupt state may change: last of its block */
	E_LOCK = 2, /* LOCK is allowed with a memory destination */
	E_BR = 4,   /* a near branch: last of its block, nothing else changes */
};
struct exec {
	exec_fn *fn;
	uint8_t flags;
};

/* NULL: not an integer or system instruction we know (SIMD, or #UD). */
const struct exec *exec_find(const struct insn *i);
bool exec_lock_ok(const struct insn *i);
/* Run one instruction; then c->next is where to go on. */
void exec_one(struct vcpu *c, const struct insn *i);

/* The arithmetic flags as the host has them: AX = SF ZF AF PF CF in AH (LAHF), OF
 * in AL.  FL_IN loads them from AX, FL_OUT saves them there. */
#define FL_IN  "addb $0x7f, %%al\n\tsahf\n\t"
#define FL_OUT "\n\tseto %%al\n\tlahf"

static inline unsigned insn_size(const struct insn *i)
{
	return i->op & 1 ? i->opsize : 1;
}

static inline void *reg_ptr(struct vcpu *c, const struct insn *i, unsigned r, unsigned n)
{
	if (n == 1 && !i->rex && (r & ~3u) == 4)
		return (uint8_t *)&c->st.r[r - 4] + 1;
	return &c->st.r[r];
}

static inline uint64_t reg_get(struct vcpu *c, const struct insn *i, unsigned r, unsigned n)
{
	return host_get(reg_ptr(c, i, r, n), n);
}

static inline void reg_set(struct vcpu *c, const struct insn *i, unsigned r, unsigned n, uint64_t v)
{
	if (n == 4)
		c->st.r[r] = (uint32_t)v;
	else
		host_put(reg_ptr(c, i, r, n), n, v);
}

/* The accumulator and its companions never are high-byte registers. */
static inline void set_sized(uint64_t *r, unsigned n, uint64_t v)
{
	if (n == 4)
		*r = (uint32_t)v;
	else
		host_put(r, n, v);
}

static inline uint64_t rm_get(struct vcpu *c, const struct insn *i, unsigned n)
{
	return i->mod == 3 ? reg_get(c, i, i->rm, n) : mem_read(c, insn_lin(c, i, n, ACC_READ), n);
}

static inline void rm_set(struct vcpu *c, const struct insn *i, unsigned n, uint64_t v)
{
	if (i->mod == 3)
		reg_set(c, i, i->rm, n, v);
	else
		mem_write(c, insn_lin(c, i, n, ACC_WRITE), n, v);
}

static inline void rm_open(struct vcpu *c, const struct insn *i, unsigned n, struct rmw *m)
{
	if (i->mod == 3) {
		m->p = reg_ptr(c, i, i->rm, n);
		m->copy = false;
	} else {
		rmw_open(c, m, insn_lin(c, i, n, ACC_WRITE), n, i->lock);
	}
}

static inline void rm_close(struct vcpu *c, const struct insn *i, unsigned n, struct rmw *m)
{
	if (i->mod != 3)
		rmw_close(c, m);
	else if (n == 4)
		c->st.r[i->rm] = (uint32_t)c->st.r[i->rm];
}

static inline void need_mem(struct vcpu *c, const struct insn *i)
{
	if (i->mod == 3)
		cpu_ud(c);
}

static inline uint64_t mask_size(uint64_t v, unsigned n)
{
	return n == 8 ? v : v & ((1ull << (8 * n)) - 1);
}

static inline uint64_t sign_size(uint64_t v, unsigned n)
{
	unsigned s = 64 - 8 * n;

	return (uint64_t)((int64_t)(v << s) >> s);
}

/* Condition codes as in Jcc's low four bits. */
static inline bool flag_cond(uint16_t fl, unsigned cc)
{
	bool r = false;

	switch (cc >> 1) {
	case 0: r = fl & 1; break;
	case 1: r = fl & 0x100; break;
	case 2: r = fl & 0x4000; break;
	case 3: r = fl & 0x4100; break;
	case 4: r = fl & 0x8000; break;
	case 5: r = fl & 0x400; break;
	case 6: r = !!(fl & 0x8000) != (fl & 1); break;
	case 7: r = fl & 0x4000 || !!(fl & 0x8000) != (fl & 1); break;
	}
	return r != (cc & 1);
}

/* Pushes and pops on the current stack; RSP is set by the caller. */
static inline uint64_t sp_add(const struct vcpu *c, int64_t d)
{
	uint64_t sp = c->st.r[R_RSP];

	return (sp & ~c->sp_mask) | ((sp + (uint64_t)d) & c->sp_mask);
}
void push(struct vcpu *c, unsigned n, uint64_t v);
uint64_t pop(struct vcpu *c, unsigned n);

/* A near branch to RIP v under operand size n. */
void jump_near(struct vcpu *c, unsigned n, uint64_t v);

exec_fn ex_alu, ex_alu_imm, ex_alu_acc, ex_test, ex_test_acc, ex_incdec_reg, ex_grp3, ex_grp4,
	ex_grp5;
exec_fn ex_shift, ex_shiftd, ex_bt, ex_bt_imm, ex_bsf, ex_popcnt, ex_bswap, ex_xadd, ex_cmpxchg;
exec_fn ex_cmpxchg8b, ex_imul, ex_imul_imm, ex_bcd, ex_aam, ex_movbe_crc, ex_adx;
exec_fn ex_mov, ex_mov_imm, ex_mov_reg_imm, ex_mov_moffs, ex_mov_sreg, ex_movx, ex_movsxd, ex_lea;
exec_fn ex_xchg, ex_xchg_acc, ex_push_reg, ex_pop_reg, ex_push_imm, ex_pop_rm, ex_pusha, ex_popa;
exec_fn ex_push_seg, ex_pop_seg, ex_lxs, ex_cbw, ex_cwd, ex_xlat, ex_setcc, ex_cmov, ex_movnti;
exec_fn ex_sahf, ex_lahf, ex_flag, ex_pushf, ex_popf, ex_nop, ex_nop_rm, ex_salc, ex_bound;
exec_fn ex_jcc, ex_jmp, ex_jmp_far, ex_call, ex_call_far, ex_ret, ex_retf, ex_iret, ex_loop;
exec_fn ex_int, ex_int3, ex_into, ex_int1, ex_enter, ex_leave, ex_syscall, ex_sysret, ex_sysenter;
exec_fn ex_sysexit, ex_ud;
exec_fn ex_string, ex_in, ex_out;
exec_fn ex_hlt, ex_cli, ex_sti, ex_cpuid, ex_rdtsc, ex_rdmsr, ex_wrmsr, ex_mov_cr, ex_mov_dr;
exec_fn ex_clts, ex_grp6, ex_grp7, ex_wbinvd, ex_lar, ex_rdpmc, ex_arpl, ex_rdrand, ex_grp15;

/* exec_simd.c */
void exec_simd(struct vcpu *c, const struct insn *i);
void exec_simd_compiled(struct vcpu *c, const struct simd_ins *s, const struct insn *i);
/* For a block: false when it must be left to exec_simd(). */
bool exec_simd_compile(struct vcpu *c, const struct insn *i, struct simd_ins *ret);

#endif
