/* hv/engine/soft/fast_alu.c - handlers of arithmetic: the host's instruction on
 * the register's slot or on guest memory, then its flags.
 */
#include "hv/engine/soft/fast.h"

/* Flags only come out, or the carry goes in as well. */
#define OUT_ONLY "=&a"
#define CARRY_IN "+a"
#define NOTHING	 ""
#define CARRY	 "btl $8, %%eax\n\t"

#define ALU_HANDLERS(name, con, pre, put, S, T, sfx)                  \
	static void name##_rr_##S(struct vcpu *c, const struct op *o) \
	{                                                             \
		uint16_t fl = c->fl;                                  \
		T d = SLOT(T, o->dst), s = SLOT(T, o->src);           \
                                                                      \
		asm(pre #name sfx " %[s], %[d]" FL_OUT                \
		    : [f] con(fl), [d] "+q"(d)                        \
		    : [s] "q"(s)                                      \
		    : "cc");                                          \
		c->fl = fl;                                           \
		if (put)                                              \
			PUT(T, o->dst, d);                            \
		NEXT;                                                 \
	}                                                             \
	static void name##_ri_##S(struct vcpu *c, const struct op *o) \
	{                                                             \
		uint16_t fl = c->fl;                                  \
		T d = SLOT(T, o->dst), s = (T)o->imm;                 \
                                                                      \
		asm(pre #name sfx " %[s], %[d]" FL_OUT                \
		    : [f] con(fl), [d] "+q"(d)                        \
		    : [s] "q"(s)                                      \
		    : "cc");                                          \
		c->fl = fl;                                           \
		if (put)                                              \
			PUT(T, o->dst, d);                            \
		NEXT;                                                 \
	}                                                             \
	static void name##_rm_##S(struct vcpu *c, const struct op *o) \
	{                                                             \
		uint16_t fl = c->fl;                                  \
		T d = SLOT(T, o->dst);                                \
		LOADS(T, p)                                           \
                                                                      \
		asm volatile(pre #name sfx " %[s], %[d]" FL_OUT       \
			     : [f] con(fl), [d] "+q"(d)               \
			     : [s] "m"(*p)                            \
			     : "cc");                                 \
		c->fl = fl;                                           \
		if (put)                                              \
			PUT(T, o->dst, d);                            \
		NEXT;                                                 \
	}                                                             \
	static void name##_mr_##S(struct vcpu *c, const struct op *o) \
	{                                                             \
		uint16_t fl = c->fl;                                  \
		T s = SLOT(T, o->src);                                \
		OPERAND(T, p, table_##put, acc_##put)                 \
                                                                      \
		asm volatile(pre #name sfx " %[s], %[d]" FL_OUT       \
			     : [f] con(fl), [d] "+m"(*p)              \
			     : [s] "q"(s)                             \
			     : "cc");                                 \
		c->fl = fl;                                           \
		NEXT;                                                 \
	}                                                             \
	static void name##_mi_##S(struct vcpu *c, const struct op *o) \
	{                                                             \
		uint16_t fl = c->fl;                                  \
		T s = (T)o->imm;                                      \
		OPERAND(T, p, table_##put, acc_##put)                 \
                                                                      \
		asm volatile(pre #name sfx " %[s], %[d]" FL_OUT       \
			     : [f] con(fl), [d] "+m"(*p)              \
			     : [s] "q"(s)                             \
			     : "cc");                                 \
		c->fl = fl;                                           \
		NEXT;                                                 \
	}

/* Compares (put 0) only read their memory operand. */
#define table_0 rd
#define acc_0	ACC_READ
#define table_1 wr
#define acc_1	ACC_WRITE

#define ALU(name, con, pre, put)                            \
	ALU_HANDLERS(name, con, pre, put, 0, uint8_t, "b")  \
	ALU_HANDLERS(name, con, pre, put, 1, uint16_t, "w") \
	ALU_HANDLERS(name, con, pre, put, 2, uint32_t, "l") \
	ALU_HANDLERS(name, con, pre, put, 3, uint64_t, "q")

ALU(add, OUT_ONLY, NOTHING, 1)
ALU(or, OUT_ONLY, NOTHING, 1)
ALU(adc, CARRY_IN, CARRY, 1)
ALU(sbb, CARRY_IN, CARRY, 1)
ALU(and, OUT_ONLY, NOTHING, 1)
ALU(sub, OUT_ONLY, NOTHING, 1)
ALU(xor, OUT_ONLY, NOTHING, 1)
ALU(cmp, OUT_ONLY, NOTHING, 0)
ALU(test, OUT_ONLY, NOTHING, 0)

#define SIZES(n)                           \
	{                                  \
		n##_0, n##_1, n##_2, n##_3 \
	}
#define FORMS(n)                                                                          \
	{                                                                                 \
		SIZES(n##_rr), SIZES(n##_ri), SIZES(n##_rm), SIZES(n##_mr), SIZES(n##_mi) \
	}

op_fn *fast_alu(unsigned kind, enum form form, unsigned n)
{
	static op_fn *const t[9][FORM_NR][4] = {
		FORMS(add), FORMS(or),	FORMS(adc), FORMS(sbb),	 FORMS(and),
		FORMS(sub), FORMS(xor), FORMS(cmp), FORMS(test),
	};

	return t[kind][form][size_index(n)];
}

/* inc and dec keep the carry, not all flags. */
#define UNARY_HANDLERS(name, con, pre, flags, S, T, sfx)                                         \
	static void name##_r_##S(struct vcpu *c, const struct op *o)                             \
	{                                                                                        \
		uint16_t fl = c->fl;                                                             \
		T d = SLOT(T, o->dst);                                                           \
                                                                                                 \
		asm(pre #name sfx " %[d]" FL_OUT : [f] con(fl), [d] "+q"(d) : : "cc");           \
		if (flags)                                                                       \
			c->fl = fl;                                                              \
		PUT(T, o->dst, d);                                                               \
		NEXT;                                                                            \
	}                                                                                        \
	static void name##_m_##S(struct vcpu *c, const struct op *o)                             \
	{                                                                                        \
		uint16_t fl = c->fl;                                                             \
		STORES(T, p)                                                                     \
                                                                                                 \
		asm volatile(pre #name sfx " %[d]" FL_OUT : [f] con(fl), [d] "+m"(*p) : : "cc"); \
		if (flags)                                                                       \
			c->fl = fl;                                                              \
		NEXT;                                                                            \
	}
#define UNARY(name, con, pre, flags)                            \
	UNARY_HANDLERS(name, con, pre, flags, 0, uint8_t, "b")  \
	UNARY_HANDLERS(name, con, pre, flags, 1, uint16_t, "w") \
	UNARY_HANDLERS(name, con, pre, flags, 2, uint32_t, "l") \
	UNARY_HANDLERS(name, con, pre, flags, 3, uint64_t, "q")

UNARY(not, OUT_ONLY, NOTHING, 0)
UNARY(neg, OUT_ONLY, NOTHING, 1)
UNARY(inc, CARRY_IN, CARRY, 1)
UNARY(dec, CARRY_IN, CARRY, 1)

op_fn *fast_unary(unsigned kind, bool mem, unsigned n)
{
	static op_fn *const t[4][2][4] = {
		{ SIZES(not_r), SIZES(not_m) },
		{ SIZES(neg_r), SIZES(neg_m) },
		{ SIZES(inc_r), SIZES(inc_m) },
		{ SIZES(dec_r), SIZES(dec_m) },
	};

	return t[kind][mem][size_index(n)];
}

/* Rotates keep most flags, and so does a count of zero: they all go in.  Shifts
 * by an immediate other than zero (fast_pick() sees to that) set them all. */
#define SHIFT_HANDLERS(name, con, pre, S, T, sfx)                    \
	static void name##_i_##S(struct vcpu *c, const struct op *o) \
	{                                                            \
		uint16_t fl = c->fl;                                 \
		T d = SLOT(T, o->dst);                               \
                                                                     \
		asm(pre #name sfx " %%cl, %[d]" FL_OUT               \
		    : con(fl), [d] "+q"(d)                           \
		    : "c"((uint8_t)o->imm)                           \
		    : "cc");                                         \
		c->fl = fl;                                          \
		PUT(T, o->dst, d);                                   \
		NEXT;                                                \
	}                                                            \
	static void name##_c_##S(struct vcpu *c, const struct op *o) \
	{                                                            \
		uint16_t fl = c->fl;                                 \
		T d = SLOT(T, o->dst);                               \
                                                                     \
		asm(FL_IN #name sfx " %%cl, %[d]" FL_OUT             \
		    : "+a"(fl), [d] "+q"(d)                          \
		    : "c"((uint8_t)c->st.r[R_RCX])                   \
		    : "cc");                                         \
		c->fl = fl;                                          \
		PUT(T, o->dst, d);                                   \
		NEXT;                                                \
	}
#define SHIFT(name, con, pre)                            \
	SHIFT_HANDLERS(name, con, pre, 0, uint8_t, "b")  \
	SHIFT_HANDLERS(name, con, pre, 1, uint16_t, "w") \
	SHIFT_HANDLERS(name, con, pre, 2, uint32_t, "l") \
	SHIFT_HANDLERS(name, con, pre, 3, uint64_t, "q")

SHIFT(rol, CARRY_IN, FL_IN)
SHIFT(ror, CARRY_IN, FL_IN)
SHIFT(rcl, CARRY_IN, FL_IN)
SHIFT(rcr, CARRY_IN, FL_IN)
SHIFT(shl, OUT_ONLY, NOTHING)
SHIFT(shr, OUT_ONLY, NOTHING)
SHIFT(sar, OUT_ONLY, NOTHING)

op_fn *fast_shift(unsigned kind, bool by_cl, unsigned n)
{
	static op_fn *const t[8][2][4] = {
		{ SIZES(rol_i), SIZES(rol_c) }, { SIZES(ror_i), SIZES(ror_c) },
		{ SIZES(rcl_i), SIZES(rcl_c) }, { SIZES(rcr_i), SIZES(rcr_c) },
		{ SIZES(shl_i), SIZES(shl_c) }, { SIZES(shr_i), SIZES(shr_c) },
		{ SIZES(shl_i), SIZES(shl_c) }, { SIZES(sar_i), SIZES(sar_c) },
	};

	return t[kind][by_cl][size_index(n)];
}

/* The product's flags: all of them, as the host leaves them. */
#define WIDE(name, S, T, sfx, operand)                                                      \
	{                                                                                   \
		T a = SLOT(T, REG_OFF(R_RAX)), d;                                           \
		uint64_t t;                                                                 \
		uint16_t fl;                                                                \
		uint8_t v;                                                                  \
                                                                                            \
		asm volatile(#name sfx " %[s]\n\tseto %[v]\n\tmovq %%rax, %[t]\n\tlahf\n\t" \
				       "movw %%ax, %[l]\n\tmovq %[t], %%rax"                \
			     : "+a"(a), "=&d"(d), [v] "=&q"(v), [t] "=&r"(t), [l] "=&r"(fl) \
			     : [s] operand                                                  \
			     : "cc");                                                       \
		c->fl = (uint16_t)((fl & 0xff00) | v);                                      \
		c->st.r[R_RAX] = a;                                                         \
		c->st.r[R_RDX] = d;                                                         \
		NEXT;                                                                       \
	}
#define WIDE_HANDLERS(name, S, T, sfx)                                \
	static void name##_wr_##S(struct vcpu *c, const struct op *o) \
	{                                                             \
		T s = SLOT(T, o->src);                                \
		WIDE(name, S, T, sfx, "r"(s))                         \
	}                                                             \
	static void name##_wm_##S(struct vcpu *c, const struct op *o) \
	{                                                             \
		LOADS(T, p)                                           \
		WIDE(name, S, T, sfx, "m"(*p))                        \
	}

WIDE_HANDLERS(mul, 4, uint32_t, "l")
WIDE_HANDLERS(mul, 8, uint64_t, "q")
WIDE_HANDLERS(imul, 4, uint32_t, "l")
WIDE_HANDLERS(imul, 8, uint64_t, "q")

op_fn *fast_mul(bool is_signed, bool mem, unsigned n)
{
	static op_fn *const t[2][2][2] = {
		{ { mul_wr_4, mul_wr_8 }, { mul_wm_4, mul_wm_8 } },
		{ { imul_wr_4, imul_wr_8 }, { imul_wm_4, imul_wm_8 } },
	};

	return t[is_signed][mem][n == 8];
}

#define IMUL_HANDLERS(S, T, sfx)                                    \
	static void imul_rr_##S(struct vcpu *c, const struct op *o) \
	{                                                           \
		T d = SLOT(T, o->dst);                              \
		uint16_t fl;                                        \
                                                                    \
		asm("imul" sfx " %[s], %[d]" FL_OUT                 \
		    : "=&a"(fl), [d] "+r"(d)                        \
		    : [s] "r"(SLOT(T, o->src))                      \
		    : "cc");                                        \
		c->fl = fl;                                         \
		PUT(T, o->dst, d);                                  \
		NEXT;                                               \
	}                                                           \
	static void imul_rm_##S(struct vcpu *c, const struct op *o) \
	{                                                           \
		T d = SLOT(T, o->dst);                              \
		uint16_t fl;                                        \
		LOADS(T, p)                                         \
                                                                    \
		asm volatile("imul" sfx " %[s], %[d]" FL_OUT        \
			     : "=&a"(fl), [d] "+r"(d)               \
			     : [s] "m"(*p)                          \
			     : "cc");                               \
		c->fl = fl;                                         \
		PUT(T, o->dst, d);                                  \
		NEXT;                                               \
	}                                                           \
	static void imul_ri_##S(struct vcpu *c, const struct op *o) \
	{                                                           \
		T d = SLOT(T, o->src);                              \
		uint16_t fl;                                        \
                                                                    \
		asm("imul" sfx " %[s], %[d]" FL_OUT                 \
		    : "=&a"(fl), [d] "+r"(d)                        \
		    : [s] "r"((T)o->imm)                            \
		    : "cc");                                        \
		c->fl = fl;                                         \
		PUT(T, o->dst, d);                                  \
		NEXT;                                               \
	}                                                           \
	static void imul_mi_##S(struct vcpu *c, const struct op *o) \
	{                                                           \
		T d = (T)o->imm;                                    \
		uint16_t fl;                                        \
		LOADS(T, p)                                         \
                                                                    \
		asm volatile("imul" sfx " %[s], %[d]" FL_OUT        \
			     : "=&a"(fl), [d] "+r"(d)               \
			     : [s] "m"(*p)                          \
			     : "cc");                               \
		c->fl = fl;                                         \
		PUT(T, o->dst, d);                                  \
		NEXT;                                               \
	}

IMUL_HANDLERS(4, uint32_t, "l")
IMUL_HANDLERS(8, uint64_t, "q")

op_fn *fast_imul(enum form form, unsigned n)
{
	static op_fn *const t[FORM_NR][2] = {
		[RR] = { imul_rr_4, imul_rr_8 },
		[RI] = { imul_ri_4, imul_ri_8 },
		[RM] = { imul_rm_4, imul_rm_8 },
		[MI] = { imul_mi_4, imul_mi_8 },
	};

	return t[form][n == 8];
}
