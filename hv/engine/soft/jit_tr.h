/* hv/engine/soft/jit_tr.h - one translation in the making: what the scan finds
 * and the emitters use. */
#ifndef HV_ENGINE_SOFT_JIT_TR_H
#define HV_ENGINE_SOFT_JIT_TR_H

#include "hv/engine/soft/jit_int.h"

#define MAX_SLOW (JIT_BLOCK_INSNS * 2 + 2)

enum floc { F_HOST, F_MEM };

struct slow {
	uint8_t *at;	      /* the ja's rel32 */
	const uint8_t *retry; /* NULL: no fill, straight to the engine */
	int32_t tag;
	uint32_t info;
	uint64_t rip;
};

struct tr {
	struct jit *j;
	struct code_buf *e;
	struct jit_block *b;
	unsigned tm, n;
	struct insn ins[JIT_BLOCK_INSNS];
	struct opinfo op[JIT_BLOCK_INSNS];
	uint64_t rip[JIT_BLOCK_INSNS + 1];
	uint8_t live[JIT_BLOCK_INSNS + 1]; /* flags that must be right before instruction i */
	uint8_t needs[JIT_BLOCK_INSNS];	   /* flags its own execution merges or reads */
	enum floc loc;
	struct slow slow[MAX_SLOW];
	unsigned nslow;
	bool ended; /* by a jump or a hand-over */
};

/* jit_scan.c: fills n, ins, op, rip and live from the block's bytes. */
void jit_scan(struct tr *t, const uint8_t *page);

/* ah, ch, dh or bh: a byte register that only code without REX can name. */
static inline bool high_byte(const struct insn *i, unsigned reg)
{
	return !i->rex && reg >= 4 && reg <= 7;
}

#endif
