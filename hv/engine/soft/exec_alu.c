/* hv/engine/soft/exec_alu.c - integer arithmetic by the host's own instructions,
 * so that results and flags (the undefined ones too) are the hardware's.
 * Operands are reached by pointer: a register's slot or guest memory itself,
 * which makes LOCK a host LOCK.
 */
#include "hv/engine/soft/exec.h"

/* Run `name` on *p with b, all flags in and out. */
#define OP2(lk, name, sfx, T)                               \
	asm volatile(FL_IN lk name sfx " %[b], %[d]" FL_OUT \
		     : "+a"(fl), [d] "+m"(*(T *)p)          \
		     : [b] "q"((T)b)                        \
		     : "cc", "memory")
#define OP2_SIZES(lk, name)                           \
	switch (n) {                                  \
	case 1: OP2(lk, name, "b", uint8_t); break;   \
	case 2: OP2(lk, name, "w", uint16_t); break;  \
	case 4: OP2(lk, name, "l", uint32_t); break;  \
	default: OP2(lk, name, "q", uint64_t); break; \
	}                                             \
	return fl

#define OP1(lk, name, sfx, T)                         \
	asm volatile(FL_IN lk name sfx " %[d]" FL_OUT \
		     : "+a"(fl), [d] "+m"(*(T *)p)    \
		     :                                \
		     : "cc", "memory")
#define OP1_SIZES(lk, name)                           \
	switch (n) {                                  \
	case 1: OP1(lk, name, "b", uint8_t); break;   \
	case 2: OP1(lk, name, "w", uint16_t); break;  \
	case 4: OP1(lk, name, "l", uint32_t); break;  \
	default: OP1(lk, name, "q", uint64_t); break; \
	}                                             \
	return fl

#define DEF2(id, lk, name)                                               \
	static uint16_t id(uint16_t fl, void *p, uint64_t b, unsigned n) \
	{                                                                \
		OP2_SIZES(lk, name);                                     \
	}
#define DEF1(id, lk, name)                                               \
	static uint16_t id(uint16_t fl, void *p, uint64_t b, unsigned n) \
	{                                                                \
		OP1_SIZES(lk, name);                                     \
	}

typedef uint16_t alu_fn(uint16_t fl, void *p, uint64_t b, unsigned n);

/* clang-format off */
DEF2(op_add, "", "add") DEF2(op_or, "", "or") DEF2(op_adc, "", "adc") DEF2(op_sbb, "", "sbb")
DEF2(op_and, "", "and") DEF2(op_sub, "", "sub") DEF2(op_xor, "", "xor") DEF2(op_cmp, "", "cmp")
DEF2(lk_add, "lock; ", "add") DEF2(lk_or, "lock; ", "or") DEF2(lk_adc, "lock; ", "adc")
DEF2(lk_sbb, "lock; ", "sbb") DEF2(lk_and, "lock; ", "and") DEF2(lk_sub, "lock; ", "sub")
DEF2(lk_xor, "lock; ", "xor") DEF2(op_test, "", "test")
DEF1(op_not, "", "not") DEF1(op_neg, "", "neg") DEF1(op_inc, "", "inc") DEF1(op_dec, "", "dec")
DEF1(lk_not, "lock; ", "not") DEF1(lk_neg, "lock; ", "neg") DEF1(lk_inc, "lock; ", "inc")
DEF1(lk_dec, "lock; ", "dec")

static alu_fn *const alu[2][8] = {
	{ op_add, op_or, op_adc, op_sbb, op_and, op_sub, op_xor, op_cmp },
	{ lk_add, lk_or, lk_adc, lk_sbb, lk_and, lk_sub, lk_xor, op_cmp },
};
/* clang-format on */

static void rmw_op(struct vcpu *c, const struct insn *i, alu_fn *fn, unsigned n, uint64_t b)
{
	struct rmw m;

	rm_open(c, i, n, &m);
	c->fl = fn(c->fl, m.p, b, n);
	rm_close(c, i, n, &m);
}

static void compare(struct vcpu *c, alu_fn *fn, unsigned n, uint64_t a, uint64_t b)
{
	c->fl = fn(c->fl, &a, b, n);
}

void ex_alu(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i), k = i->op >> 3 & 7;
	uint64_t v;

	if (!(i->op & 2)) {
		if (k == 7)
			compare(c, op_cmp, n, rm_get(c, i, n), reg_get(c, i, i->reg, n));
		else
			rmw_op(c, i, alu[i->lock][k], n, reg_get(c, i, i->reg, n));
		return;
	}
	v = rm_get(c, i, n);
	c->fl = alu[0][k](c->fl, reg_ptr(c, i, i->reg, n), v, n);
	if (n == 4 && k != 7)
		c->st.r[i->reg] = (uint32_t)c->st.r[i->reg];
}

void ex_alu_imm(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i), k = i->reg & 7;

	if (k == 7)
		compare(c, op_cmp, n, rm_get(c, i, n), i->imm);
	else
		rmw_op(c, i, alu[i->lock][k], n, i->imm);
}

void ex_alu_acc(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i), k = i->op >> 3 & 7;

	c->fl = alu[0][k](c->fl, &c->st.r[R_RAX], i->imm, n);
	if (n == 4 && k != 7)
		c->st.r[R_RAX] = (uint32_t)c->st.r[R_RAX];
}

void ex_test(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i);

	compare(c, op_test, n, rm_get(c, i, n), reg_get(c, i, i->reg, n));
}

void ex_test_acc(struct vcpu *c, const struct insn *i)
{
	compare(c, op_test, insn_size(i), c->st.r[R_RAX], i->imm);
}

/* 40..4f outside 64-bit mode. */
void ex_incdec_reg(struct vcpu *c, const struct insn *i)
{
	rmw_op(c, i, i->op & 8 ? op_dec : op_inc, i->opsize, 0);
}

void ex_grp4(struct vcpu *c, const struct insn *i)
{
	static alu_fn *const f[2][2] = { { op_inc, op_dec }, { lk_inc, lk_dec } };

	if ((i->reg & 7) > 1)
		cpu_ud(c);
	rmw_op(c, i, f[i->lock][i->reg & 1], insn_size(i), 0);
}

static void mul(struct vcpu *c, unsigned n, uint64_t b, bool is_signed)
{
	uint64_t a = c->st.r[R_RAX], d = c->st.r[R_RDX];
	uint8_t o = 0;
	uint16_t lo = 0;
	uint64_t t;

#define MUL(name, sfx, T)                                                                    \
	asm(name sfx " %[b]\n\tseto %[o]\n\tmovq %%rax, %[t]\n\tlahf\n\tmovw %%ax, %[l]\n\t" \
		     "movq %[t], %%rax"                                                      \
	    : "+a"(a), "+d"(d), [o] "=&q"(o), [t] "=&r"(t), [l] "=&r"(lo)                    \
	    : [b] "q"((T)b)                                                                  \
	    : "cc")

	switch (n | is_signed) {
	case 2: MUL("mul", "w", uint16_t); break;
	case 3: MUL("imul", "w", uint16_t); break;
	case 4: MUL("mul", "l", uint32_t); break;
	case 5: MUL("imul", "l", uint32_t); break;
	case 8: MUL("mul", "q", uint64_t); break;
	default: MUL("imul", "q", uint64_t); break;
	}
	c->fl = (uint16_t)((lo & 0xff00) | o);
	c->st.r[R_RAX] = n == 2 ? (c->st.r[R_RAX] & ~0xffffull) | (a & 0xffff) : mask_size(a, n);
	c->st.r[R_RDX] = n == 2 ? (c->st.r[R_RDX] & ~0xffffull) | (d & 0xffff) : mask_size(d, n);
}

static void mul8(struct vcpu *c, uint8_t b, bool is_signed)
{
	uint64_t a = (uint8_t)c->st.r[R_RAX], d = 0, t;
	uint16_t lo;
	uint8_t o = 0;

	if (is_signed)
		MUL("imul", "b", uint8_t);
	else
		MUL("mul", "b", uint8_t);
	c->fl = (uint16_t)((lo & 0xff00) | o);
	host_put(&c->st.r[R_RAX], 2, a);
}

static void div_u(struct vcpu *c, unsigned n, uint64_t b)
{
	uint64_t *ra = &c->st.r[R_RAX], *rd = &c->st.r[R_RDX];
	unsigned __int128 a;

	b = mask_size(b, n);
	if (!b)
		cpu_fault(c, X_DE);
	a = n == 1 ? *ra & 0xffff
		   : (unsigned __int128)mask_size(*rd, n) << (8 * n) | mask_size(*ra, n);
	if (a >> (8 * n) >= b)
		cpu_fault(c, X_DE);
	if (n == 1) {
		host_put(ra, 2, ((uint64_t)a % b) << 8 | (uint64_t)a / b);
	} else {
		set_sized(ra, n, (uint64_t)(a / b));
		set_sized(rd, n, (uint64_t)(a % b));
	}
}

static void div_s(struct vcpu *c, unsigned n, uint64_t ub)
{
	uint64_t *ra = &c->st.r[R_RAX], *rd = &c->st.r[R_RDX];
	__int128 b = (int64_t)sign_size(ub, n), a, q, min = -((__int128)1 << (8 * n - 1));

	if (!b)
		cpu_fault(c, X_DE);
	if (n == 1)
		a = (int16_t)*ra;
	else
		a = (__int128)((unsigned __int128)sign_size(*rd, n) << (8 * n) | mask_size(*ra, n));
	if (n < 8 && n > 1)
		a = (int64_t)sign_size((uint64_t)a, 2 * n);
	/* The most negative 128-bit dividend by -1 would trap on the host, too. */
	if (b == -1 && a <= min)
		cpu_fault(c, X_DE);
	q = a / b;
	if (q < min || q > -(min + 1))
		cpu_fault(c, X_DE);
	if (n == 1) {
		host_put(ra, 2, ((uint64_t)(a % b) & 0xff) << 8 | ((uint64_t)q & 0xff));
	} else {
		set_sized(ra, n, (uint64_t)q);
		set_sized(rd, n, (uint64_t)(a % b));
	}
}

void ex_grp3(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i), k = i->reg & 7;
	uint64_t b;

	if (k == 2 || k == 3) {
		rmw_op(c, i, k == 2 ? i->lock ? lk_not : op_not : i->lock ? lk_neg : op_neg, n, 0);
		return;
	}
	b = rm_get(c, i, n);
	if (k < 2)
		compare(c, op_test, n, b, i->imm);
	else if (k < 6 && n == 1)
		mul8(c, (uint8_t)b, k == 5);
	else if (k < 6)
		mul(c, n, b, k == 5);
	else if (k == 6)
		div_u(c, n, b);
	else
		div_s(c, n, b);
}

static uint64_t imul2(struct vcpu *c, unsigned n, uint64_t a, uint64_t b)
{
	uint16_t fl = c->fl;

	switch (n) {
	case 2: {
		uint16_t d = (uint16_t)a;

		asm("imulw %w[b], %w[d]" FL_OUT : [d] "+r"(d), "+a"(fl) : [b] "r"(b) : "cc");
		a = d;
		break;
	}
	case 4: asm("imull %k[b], %k[d]" FL_OUT : [d] "+r"(a), "+a"(fl) : [b] "r"(b) : "cc"); break;
	default: asm("imulq %[b], %[d]" FL_OUT : [d] "+r"(a), "+a"(fl) : [b] "r"(b) : "cc");
	}
	c->fl = fl;
	return a;
}

void ex_imul(struct vcpu *c, const struct insn *i)
{
	uint64_t b = rm_get(c, i, i->opsize);

	reg_set(c, i, i->reg, i->opsize, imul2(c, i->opsize, c->st.r[i->reg], b));
}

void ex_imul_imm(struct vcpu *c, const struct insn *i)
{
	uint64_t b = rm_get(c, i, i->opsize);

	reg_set(c, i, i->reg, i->opsize, imul2(c, i->opsize, b, i->imm));
}

#define SWAP_ADD(lk, sfx, T)                                             \
	asm volatile(lk "xadd" sfx " %[b], %[d]" FL_OUT                  \
		     : "+a"(fl), [d] "+m"(*(T *)m.p), [b] "+q"(*(T *)&b) \
		     :                                                   \
		     : "cc", "memory")
#define SWAP_ADD_SIZES(lk)                           \
	switch (n) {                                 \
	case 1: SWAP_ADD(lk, "b", uint8_t); break;   \
	case 2: SWAP_ADD(lk, "w", uint16_t); break;  \
	case 4: SWAP_ADD(lk, "l", uint32_t); break;  \
	default: SWAP_ADD(lk, "q", uint64_t); break; \
	}

void ex_xadd(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i);
	uint64_t b = reg_get(c, i, i->reg, n);
	uint16_t fl = c->fl;
	struct rmw m;

	rm_open(c, i, n, &m);
	if (i->mod == 3) { /* the same register twice: the sum wins */
		uint64_t a = reg_get(c, i, i->rm, n), sum = a;

		c->fl = op_add(fl, &sum, b, n);
		reg_set(c, i, i->reg, n, a);
		reg_set(c, i, i->rm, n, sum);
		return;
	}
	if (i->lock) {
		SWAP_ADD_SIZES("lock; ")
	} else {
		SWAP_ADD_SIZES("")
	}
	rm_close(c, i, n, &m);
	c->fl = fl;
	reg_set(c, i, i->reg, n, b);
}

#define CAS(lk, sfx, T)                               \
	asm volatile(lk "cmpxchg" sfx " %[b], %[d]"   \
		     : "+a"(old), [d] "+m"(*(T *)m.p) \
		     : [b] "q"((T)b)                  \
		     : "cc", "memory")
#define CAS_SIZES(lk)                           \
	switch (n) {                            \
	case 1: CAS(lk, "b", uint8_t); break;   \
	case 2: CAS(lk, "w", uint16_t); break;  \
	case 4: CAS(lk, "l", uint32_t); break;  \
	default: CAS(lk, "q", uint64_t); break; \
	}

void ex_cmpxchg(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i);
	uint64_t b = reg_get(c, i, i->reg, n), acc = mask_size(c->st.r[R_RAX], n), old = acc;
	struct rmw m;

	rm_open(c, i, n, &m);
	if (i->lock) {
		CAS_SIZES("lock; ")
	} else {
		CAS_SIZES("")
	}
	old = mask_size(old, n);
	/* a 32-bit register that did not match keeps its upper half */
	if (acc == old || i->mod != 3)
		rm_close(c, i, n, &m);
	compare(c, op_cmp, n, acc, old);
	if (acc != old)
		set_sized(&c->st.r[R_RAX], n, old);
}

void ex_cmpxchg8b(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize == 8 ? 16 : 8;
	uint64_t *r = c->st.r, va = insn_lin(c, i, n, ACC_WRITE), lo, hi;
	struct rmw m;
	bool ok;

	if (n == 16 && va & 15)
		cpu_gp0(c);
	rmw_open(c, &m, va, n, i->lock);
	if (n == 16) {
		lo = r[R_RAX];
		hi = r[R_RDX];
		asm volatile("lock; cmpxchg16b %[d]\n\tsete %[z]"
			     : "+a"(lo), "+d"(hi), [d] "+m"(*(unsigned __int128 *)m.p), [z] "=q"(ok)
			     : "b"(r[R_RBX]), "c"(r[R_RCX])
			     : "cc", "memory");
	} else {
		uint64_t want = (uint32_t)r[R_RAX] | r[R_RDX] << 32, old;

		old = __sync_val_compare_and_swap((uint64_t *)m.p, want,
						  (uint32_t)r[R_RBX] | r[R_RCX] << 32);
		ok = old == want;
		lo = (uint32_t)old;
		hi = old >> 32;
	}
	rmw_close(c, &m);
	if (!ok) {
		r[R_RAX] = lo;
		r[R_RDX] = hi;
	}
	c->fl = (uint16_t)(ok ? c->fl | 0x4000 : c->fl & ~0x4000);
}
