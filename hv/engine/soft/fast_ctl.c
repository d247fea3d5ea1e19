/* hv/engine/soft/fast_ctl.c - handlers of near branches, and how one block leads
 * to the next.
 *
 * Within a page a branch knows its successor by a link; elsewhere the table of
 * virtual addresses is asked.  What neither knows is left to blocks_run(), as
 * is everything else when attention is wanted.
 */
#include "hv/engine/soft/fast.h"

/* Unoptimised code would grow the stack with every block run from a block. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
#define RUN_ON 1
#else
#define RUN_ON 0
#endif

static inline bool attention(const struct vcpu *c)
{
	return atomic_load_explicit(&c->attn, memory_order_relaxed);
}

static inline void enter(struct vcpu *c, uint64_t rip, const struct block *b)
{
	c->brip = rip;
	b->ops[0].fn(c, b->ops);
}

/* Go on at rip by way of slot k of the op's links. */
static inline void follow(struct vcpu *c, const struct op *o, uint64_t rip, unsigned k)
{
	struct links *l = (struct links *)(uintptr_t)(o + 1);
	struct block *b = l->to[k];

	if (RUN_ON && likely(b && !attention(c))) {
		enter(c, rip, b);
		return;
	}
	c->st.rip = rip;
	if (!b && o->dst & 1u << k)
		c->link = &l->to[k];
}

/* Go on at any address. */
static inline void seek(struct vcpu *c, uint64_t rip)
{
	const struct jump *j = &c->jumps[jump_hash(rip)];

	if (RUN_ON && likely(j->rip == rip && j->key == c->jump_key && !attention(c))) {
		enter(c, rip, j->b);
		return;
	}
	c->st.rip = rip;
}

static inline void branch(struct vcpu *c, const struct op *o, uint64_t rip, unsigned k)
{
	if (o->dst & 1u << k)
		follow(c, o, rip, k);
	else
		seek(c, rip);
}

void op_fall(struct vcpu *c, const struct op *o)
{
	branch(c, o, c->brip + o->off, 0);
}

void fast_jmp(struct vcpu *c, const struct op *o)
{
	branch(c, o, c->brip + o->imm, 1);
}

#define JCC_HANDLER(cc)                                             \
	static void jcc_##cc(struct vcpu *c, const struct op *o)    \
	{                                                           \
		if (flag_cond(c->fl, 0x##cc))                       \
			branch(c, o, c->brip + o->imm, 1);          \
		else                                                \
			branch(c, o, c->brip + o->off + o->len, 0); \
	}

JCC_HANDLER(0)
JCC_HANDLER(1)
JCC_HANDLER(2)
JCC_HANDLER(3)
JCC_HANDLER(4)
JCC_HANDLER(5)
JCC_HANDLER(6)
JCC_HANDLER(7)
JCC_HANDLER(8)
JCC_HANDLER(9)
JCC_HANDLER(a)
JCC_HANDLER(b)
JCC_HANDLER(c)
JCC_HANDLER(d)
JCC_HANDLER(e)
JCC_HANDLER(f)

op_fn *fast_jcc(unsigned cc)
{
	static op_fn *const t[16] = { jcc_0, jcc_1, jcc_2, jcc_3, jcc_4, jcc_5, jcc_6, jcc_7,
				      jcc_8, jcc_9, jcc_a, jcc_b, jcc_c, jcc_d, jcc_e, jcc_f };

	return t[cc];
}

/* The stack slot a call returns by; on a miss as everywhere else. */
#define RETURN_SLOT(p)                     \
	uint64_t sp_ = c->st.r[R_RSP] - 8; \
	AT(volatile uint64_t, p, sp_, wr, ACC_WRITE)
#define PUSH_RETURN(p)                          \
	do {                                    \
		*p = c->brip + o->off + o->len; \
		c->st.r[R_RSP] = sp_;           \
	} while (0)

/* Indirect targets may be no addresses at all: the slow way faults. */
#define CHECK_TARGET(rip)                        \
	do {                                     \
		if (unlikely(!canonical(rip))) { \
			op_redo(c, o);           \
			return;                  \
		}                                \
	} while (0)

void fast_call(struct vcpu *c, const struct op *o)
{
	RETURN_SLOT(p)
	PUSH_RETURN(p);
	branch(c, o, c->brip + o->imm, 1);
}

void fast_ret(struct vcpu *c, const struct op *o)
{
	uint64_t sp = c->st.r[R_RSP], rip;
	AT(volatile uint64_t, p, sp, rd, ACC_READ)

	rip = *p;
	CHECK_TARGET(rip);
	c->st.r[R_RSP] = sp + 8 + o->imm;
	seek(c, rip);
}

void fast_jmp_reg(struct vcpu *c, const struct op *o)
{
	uint64_t rip = SLOT(uint64_t, o->src);

	CHECK_TARGET(rip);
	seek(c, rip);
}

void fast_call_reg(struct vcpu *c, const struct op *o)
{
	uint64_t rip = SLOT(uint64_t, o->src);
	RETURN_SLOT(p)

	CHECK_TARGET(rip);
	PUSH_RETURN(p);
	seek(c, rip);
}

void fast_jmp_mem(struct vcpu *c, const struct op *o)
{
	LOADS(volatile uint64_t, t)
	uint64_t rip = *t;

	CHECK_TARGET(rip);
	seek(c, rip);
}

void fast_call_mem(struct vcpu *c, const struct op *o)
{
	LOADS(volatile uint64_t, t)
	RETURN_SLOT(p)
	uint64_t rip = *t;

	CHECK_TARGET(rip);
	PUSH_RETURN(p);
	seek(c, rip);
}
