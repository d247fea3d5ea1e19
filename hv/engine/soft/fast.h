/* hv/engine/soft/fast.h - what the handlers of the hot forms share.  They serve
 * 64-bit code only: flat segments, no limits, 64-bit addresses.
 */
#ifndef HV_ENGINE_SOFT_FAST_H
#define HV_ENGINE_SOFT_FAST_H

#include "hv/engine/soft/op.h"

#define SLOT(T, off) (*(T *)((char *)c + (off)))
/* Write a register of T: 32 bits clear the rest. */
#define PUT(T, off, v)                                       \
	do {                                                 \
		if (sizeof(T) == 4)                          \
			SLOT(uint64_t, off) = (uint32_t)(v); \
		else                                         \
			SLOT(T, off) = (T)(v);               \
	} while (0)

/* In tail position: the compiler makes it a jump. */
#define NEXT                       \
	do {                       \
		o[1].fn(c, o + 1); \
		return;            \
	} while (0)

static inline uint64_t op_ea(const struct vcpu *c, const struct op *o)
{
	return SLOT(const uint64_t, o->base) + (SLOT(const uint64_t, o->index) << o->scale) +
	       (uint64_t)(int64_t)o->disp + SLOT(const uint64_t, o->seg);
}

/* T *p = n bytes of host memory at va.  On a miss op_retry() runs the handler
 * again with the entry filled, or the whole instruction the slow way; a handler
 * may therefore change nothing before its last operand is there. */
#define AT(T, p, va, table, acc)                        \
	typedef T UNALIGNED p##_type;                   \
	p##_type *p = tlb_hit(c->table, va, sizeof(T)); \
	if (unlikely(!p)) {                             \
		op_retry(c, o, va, sizeof(T), acc);     \
		return;                                 \
	}
#define OPERAND(T, p, table, acc)   \
	uint64_t va_ = op_ea(c, o); \
	AT(T, p, va_, table, acc)
#define LOADS(T, p)  OPERAND(T, p, rd, ACC_READ)
#define STORES(T, p) OPERAND(T, p, wr, ACC_WRITE)

/* Index of an operand size in tables of handlers. */
static inline unsigned size_index(unsigned n)
{
	return n == 1 ? 0 : n == 2 ? 1 : n == 4 ? 2 : 3;
}

/* Forms of a two-operand instruction. */
enum form { RR, RI, RM, MR, MI, FORM_NR };

/* Handler for alu kind 0..7 (or 8: test), NULL if there is none. */
op_fn *fast_alu(unsigned kind, enum form form, unsigned n);
op_fn *fast_unary(unsigned kind, bool mem, unsigned n); /* not neg inc dec */
op_fn *fast_shift(unsigned kind, bool by_cl, unsigned n);
op_fn *fast_mul(bool is_signed, bool mem, unsigned n); /* rdx:rax, n 4 or 8 */
op_fn *fast_imul(enum form form, unsigned n);	       /* RR, RM; RI, MI: by imm */
op_fn *fast_mov(enum form form, unsigned n);
op_fn *fast_movx(bool sign, bool mem, unsigned from, unsigned to);
op_fn *fast_lea(unsigned n);
op_fn *fast_setcc(unsigned cc);
op_fn *fast_cmov(unsigned cc, bool mem, unsigned n);
op_fn *fast_jcc(unsigned cc);
op_fn fast_push, fast_push_imm, fast_push_mem, fast_pop, fast_leave, fast_nop, fast_xchg8;
op_fn fast_cdq, fast_cqo, fast_cdqe, fast_cwde, fast_bt_rr, fast_bt_ri, fast_bswap4, fast_bswap8;
op_fn fast_jmp, fast_call, fast_ret, fast_jmp_reg, fast_call_reg, fast_jmp_mem, fast_call_mem;

#endif
