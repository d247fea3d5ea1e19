/* hv/engine/soft/op.h - one instruction of a decoded block, resolved as far as it
 * can be when it is decoded.
 *
 * Register operands are byte offsets into struct vcpu, so a handler needs no
 * decoding and AH is as good as AL; `zero` and `brip` (the block's RIP) serve as
 * the missing base, index or segment and as RIP.  A handler ends by calling the
 * next op's in tail position.
 */
#ifndef HV_ENGINE_SOFT_OP_H
#define HV_ENGINE_SOFT_OP_H

#include <stddef.h>

#include "hv/engine/soft/exec.h"

struct op;
typedef void op_fn(struct vcpu *c, const struct op *o);

struct op {
	op_fn *fn;
	uint64_t imm; /* immediate, branch target relative to brip, or struct slow_insn */
	int32_t disp; /* of the memory operand; folded with RIP's */
	uint8_t dst, src, base, index, seg;
	uint8_t scale; /* of the index: shift */
	uint8_t len;   /* of the instruction */
	uint8_t last;  /* of its block */
	uint16_t off;  /* of the instruction from the block's start */
};
_Static_assert(sizeof(struct op) == 32, "two ops a cache line");

/* What op_slow runs; kept beside the block. */
struct slow_insn {
	exec_fn *fn;
	uint8_t flags; /* enum exec_flags */
	struct insn i;
	struct simd_ins simd;
};

struct block {
	uint64_t gpa;
	uint32_t bflags;
	uint16_t nops, len;
	struct block *hash_next, *page_next;
	struct op ops[];
};

/* A branch op is followed by a slot with the blocks it leads to in its own page;
 * bit k of its dst says whether to[k] may be filled. */
struct links {
	struct block *to[2]; /* not taken, taken */
	uint64_t pad[2];
};

#define REG_OFF(n) ((uint8_t)(offsetof(struct vcpu, st.r) + 8 * (n)))
#define SEG_OFF(n)                                                          \
	((uint8_t)(offsetof(struct vcpu, st.s) + (n) * sizeof(struct seg) + \
		   offsetof(struct seg, base)))
#define OFF_ZERO ((uint8_t)offsetof(struct vcpu, zero))
#define OFF_BRIP ((uint8_t)offsetof(struct vcpu, brip))

/* fast.c: a handler for one of the hot forms of 64-bit code; page_off is where in
 * its page the block starts. */
enum fast { FAST_NONE, FAST_OP, FAST_LAST };
int fast_pick(struct op *o, const struct insn *i, unsigned page_off);
op_fn op_fall; /* ends a block that simply stops */

/* block.c: by exec_one()'s functions */
op_fn op_slow, op_slow_end, op_simd;
/* The whole instruction anew by exec_one(). */
op_fn op_redo;
/* A handler's access missed: fill the TLB and run the handler again, or redo. */
void op_retry(struct vcpu *c, const struct op *o, uint64_t va, unsigned n, enum access acc);

struct jump {
	uint64_t rip, key;
	struct block *b;
};
#define JUMP_BITS 12u
static inline unsigned jump_hash(uint64_t rip)
{
	return (unsigned)(rip ^ rip >> JUMP_BITS) & ((1u << JUMP_BITS) - 1);
}

#endif
