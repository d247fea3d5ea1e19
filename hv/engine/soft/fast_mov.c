/* hv/engine/soft/fast_mov.c - handlers of moves, the stack, conditional moves and
 * the like.
 */
#include "hv/engine/soft/fast.h"

#define SIZES(n)                           \
	{                                  \
		n##_0, n##_1, n##_2, n##_3 \
	}

#define MOV_HANDLERS(S, T)                                         \
	static void mov_rr_##S(struct vcpu *c, const struct op *o) \
	{                                                          \
		PUT(T, o->dst, SLOT(T, o->src));                   \
		NEXT;                                              \
	}                                                          \
	static void mov_ri_##S(struct vcpu *c, const struct op *o) \
	{                                                          \
		PUT(T, o->dst, o->imm);                            \
		NEXT;                                              \
	}                                                          \
	static void mov_rm_##S(struct vcpu *c, const struct op *o) \
	{                                                          \
		LOADS(volatile T, p)                               \
		PUT(T, o->dst, *p);                                \
		NEXT;                                              \
	}                                                          \
	static void mov_mr_##S(struct vcpu *c, const struct op *o) \
	{                                                          \
		STORES(volatile T, p)                              \
		*p = SLOT(T, o->src);                              \
		NEXT;                                              \
	}                                                          \
	static void mov_mi_##S(struct vcpu *c, const struct op *o) \
	{                                                          \
		STORES(volatile T, p)                              \
		*p = (T)o->imm;                                    \
		NEXT;                                              \
	}

MOV_HANDLERS(0, uint8_t)
MOV_HANDLERS(1, uint16_t)
MOV_HANDLERS(2, uint32_t)
MOV_HANDLERS(3, uint64_t)

op_fn *fast_mov(enum form form, unsigned n)
{
	static op_fn *const t[FORM_NR][4] = {
		SIZES(mov_rr), SIZES(mov_ri), SIZES(mov_rm), SIZES(mov_mr), SIZES(mov_mi),
	};

	return t[form][size_index(n)];
}

/* F: the type read; T: the type it is widened to in the register. */
#define MOVX_HANDLERS(name, F, T)                                \
	static void name##_r(struct vcpu *c, const struct op *o) \
	{                                                        \
		SLOT(uint64_t, o->dst) = (T)SLOT(F, o->src);     \
		NEXT;                                            \
	}                                                        \
	static void name##_m(struct vcpu *c, const struct op *o) \
	{                                                        \
		LOADS(volatile F, p)                             \
		SLOT(uint64_t, o->dst) = (T)*p;                  \
		NEXT;                                            \
	}

MOVX_HANDLERS(movzx_1, uint8_t, uint64_t)
MOVX_HANDLERS(movzx_2, uint16_t, uint64_t)
MOVX_HANDLERS(movsx_1_4, int8_t, uint32_t)
MOVX_HANDLERS(movsx_1_8, int8_t, uint64_t)
MOVX_HANDLERS(movsx_2_4, int16_t, uint32_t)
MOVX_HANDLERS(movsx_2_8, int16_t, uint64_t)
MOVX_HANDLERS(movsx_4_8, int32_t, uint64_t)

op_fn *fast_movx(bool sign, bool mem, unsigned from, unsigned to)
{
	if (to == 2)
		return NULL;
	if (!sign)
		return from == 1 ? mem ? movzx_1_m : movzx_1_r : mem ? movzx_2_m : movzx_2_r;
	if (from == 4)
		return mem ? movsx_4_8_m : movsx_4_8_r;
	if (to == 4)
		return from == 1 ? mem ? movsx_1_4_m : movsx_1_4_r
		       : mem	 ? movsx_2_4_m
				 : movsx_2_4_r;
	return from == 1 ? mem ? movsx_1_8_m : movsx_1_8_r : mem ? movsx_2_8_m : movsx_2_8_r;
}

static void lea_4(struct vcpu *c, const struct op *o)
{
	SLOT(uint64_t, o->dst) = (uint32_t)op_ea(c, o);
	NEXT;
}

static void lea_8(struct vcpu *c, const struct op *o)
{
	SLOT(uint64_t, o->dst) = op_ea(c, o);
	NEXT;
}

op_fn *fast_lea(unsigned n)
{
	return n == 8 ? lea_8 : lea_4;
}

#define CC_HANDLERS(cc)                                                    \
	static void setcc_##cc(struct vcpu *c, const struct op *o)         \
	{                                                                  \
		SLOT(uint8_t, o->dst) = flag_cond(c->fl, 0x##cc);          \
		NEXT;                                                      \
	}                                                                  \
	static void cmov_r4_##cc(struct vcpu *c, const struct op *o)       \
	{                                                                  \
		uint8_t from = flag_cond(c->fl, 0x##cc) ? o->src : o->dst; \
                                                                           \
		SLOT(uint64_t, o->dst) = SLOT(uint32_t, from);             \
		NEXT;                                                      \
	}                                                                  \
	static void cmov_r8_##cc(struct vcpu *c, const struct op *o)       \
	{                                                                  \
		uint8_t from = flag_cond(c->fl, 0x##cc) ? o->src : o->dst; \
                                                                           \
		SLOT(uint64_t, o->dst) = SLOT(uint64_t, from);             \
		NEXT;                                                      \
	}                                                                  \
	static void cmov_m4_##cc(struct vcpu *c, const struct op *o)       \
	{                                                                  \
		LOADS(volatile uint32_t, p)                                \
		uint32_t v = *p;                                           \
                                                                           \
		if (!flag_cond(c->fl, 0x##cc))                             \
			v = SLOT(uint32_t, o->dst);                        \
		SLOT(uint64_t, o->dst) = v;                                \
		NEXT;                                                      \
	}                                                                  \
	static void cmov_m8_##cc(struct vcpu *c, const struct op *o)       \
	{                                                                  \
		LOADS(volatile uint64_t, p)                                \
		uint64_t v = *p;                                           \
                                                                           \
		if (flag_cond(c->fl, 0x##cc))                              \
			SLOT(uint64_t, o->dst) = v;                        \
		NEXT;                                                      \
	}

CC_HANDLERS(0)
CC_HANDLERS(1)
CC_HANDLERS(2)
CC_HANDLERS(3)
CC_HANDLERS(4)
CC_HANDLERS(5)
CC_HANDLERS(6)
CC_HANDLERS(7)
CC_HANDLERS(8)
CC_HANDLERS(9)
CC_HANDLERS(a)
CC_HANDLERS(b)
CC_HANDLERS(c)
CC_HANDLERS(d)
CC_HANDLERS(e)
CC_HANDLERS(f)

#define ALL_CC(n)                                                                             \
	{                                                                                     \
		n##0, n##1, n##2, n##3, n##4, n##5, n##6, n##7, n##8, n##9, n##a, n##b, n##c, \
			n##d, n##e, n##f                                                      \
	}

op_fn *fast_setcc(unsigned cc)
{
	static op_fn *const t[16] = ALL_CC(setcc_);

	return t[cc];
}

op_fn *fast_cmov(unsigned cc, bool mem, unsigned n)
{
	static op_fn *const t[2][2][16] = { { ALL_CC(cmov_r4_), ALL_CC(cmov_r8_) },
					    { ALL_CC(cmov_m4_), ALL_CC(cmov_m8_) } };

	return n == 2 ? NULL : t[mem][n == 8][cc];
}

/* The stack slot below RSP: as STORES, at RSP - 8. */
#define PUSHES(p)                          \
	uint64_t sp_ = c->st.r[R_RSP] - 8; \
	AT(volatile uint64_t, p, sp_, wr, ACC_WRITE)

void fast_push(struct vcpu *c, const struct op *o)
{
	PUSHES(p)
	*p = SLOT(uint64_t, o->src);
	c->st.r[R_RSP] = sp_;
	NEXT;
}

void fast_push_imm(struct vcpu *c, const struct op *o)
{
	PUSHES(p)
	*p = o->imm;
	c->st.r[R_RSP] = sp_;
	NEXT;
}

void fast_push_mem(struct vcpu *c, const struct op *o)
{
	LOADS(volatile uint64_t, s)
	uint64_t v = *s;
	PUSHES(p)
	*p = v;
	c->st.r[R_RSP] = sp_;
	NEXT;
}

void fast_pop(struct vcpu *c, const struct op *o)
{
	uint64_t sp = c->st.r[R_RSP];
	AT(volatile uint64_t, p, sp, rd, ACC_READ)

	c->st.r[R_RSP] = sp + 8;
	SLOT(uint64_t, o->dst) = *p;
	NEXT;
}

void fast_leave(struct vcpu *c, const struct op *o)
{
	uint64_t bp = c->st.r[R_RBP];
	AT(volatile uint64_t, p, bp, rd, ACC_READ)

	c->st.r[R_RSP] = bp + 8;
	c->st.r[R_RBP] = *p;
	NEXT;
}

void fast_nop(struct vcpu *c, const struct op *o)
{
	NEXT;
}

void fast_xchg8(struct vcpu *c, const struct op *o)
{
	uint64_t a = SLOT(uint64_t, o->dst);

	SLOT(uint64_t, o->dst) = SLOT(uint64_t, o->src);
	SLOT(uint64_t, o->src) = a;
	NEXT;
}

void fast_cdq(struct vcpu *c, const struct op *o)
{
	c->st.r[R_RDX] = (uint32_t)((int32_t)c->st.r[R_RAX] >> 31);
	NEXT;
}

void fast_cqo(struct vcpu *c, const struct op *o)
{
	c->st.r[R_RDX] = (uint64_t)((int64_t)c->st.r[R_RAX] >> 63);
	NEXT;
}

void fast_cdqe(struct vcpu *c, const struct op *o)
{
	c->st.r[R_RAX] = (uint64_t)(int32_t)c->st.r[R_RAX];
	NEXT;
}

void fast_cwde(struct vcpu *c, const struct op *o)
{
	c->st.r[R_RAX] = (uint32_t)(int16_t)c->st.r[R_RAX];
	NEXT;
}

/* 64-bit operands; only CF changes. */
void fast_bt_rr(struct vcpu *c, const struct op *o)
{
	uint64_t bit = SLOT(uint64_t, o->dst) >> (SLOT(uint64_t, o->src) & 63) & 1;

	c->fl = (uint16_t)((c->fl & ~0x100u) | bit << 8);
	NEXT;
}

void fast_bt_ri(struct vcpu *c, const struct op *o)
{
	uint64_t bit = SLOT(uint64_t, o->dst) >> o->imm & 1;

	c->fl = (uint16_t)((c->fl & ~0x100u) | bit << 8);
	NEXT;
}

void fast_bswap4(struct vcpu *c, const struct op *o)
{
	SLOT(uint64_t, o->dst) = __builtin_bswap32(SLOT(uint32_t, o->dst));
	NEXT;
}

void fast_bswap8(struct vcpu *c, const struct op *o)
{
	SLOT(uint64_t, o->dst) = __builtin_bswap64(SLOT(uint64_t, o->dst));
	NEXT;
}
