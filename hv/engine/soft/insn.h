/* hv/engine/soft/insn.h - one decoded x86 instruction, before anything is known
 * about how it will be executed.  Pure: filled by insn_decode() from bytes.
 */
#ifndef HV_ENGINE_SOFT_INSN_H
#define HV_ENGINE_SOFT_INSN_H

#include <stdint.h>

#define INSN_MAX 15u

enum insn_map { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A };
enum insn_mode { MODE_16, MODE_32, MODE_64 };

#define REG_NONE 0xffu
#define REG_RIP	 0xfeu /* base of a RIP-relative operand */

struct insn {
	uint8_t bytes[INSN_MAX];
	uint8_t len;	 /* of the whole instruction */
	uint8_t map, op; /* enum insn_map, opcode byte */
	uint8_t rep;	 /* the last of f2/f3, or 0 */
	uint8_t p66, p67, lock;
	uint8_t rex;	/* 0, or 0x40..0x4f */
	uint8_t op_off; /* offset of the opcode byte */
	uint8_t opsize; /* 2, 4 or 8: effective operand size for non-byte forms */
	uint8_t adsize; /* 2, 4 or 8 */
	uint8_t has_modrm, modrm_off;
	uint8_t mod, reg, rm; /* REX.R and REX.B applied; rm is a register when mod is 3 */
	uint8_t seg;	      /* S_*: segment of the memory operand */
	uint8_t base, index;  /* R_*, REG_RIP or REG_NONE */
	uint8_t scale;	      /* shift: 0..3 */
	uint8_t imm_off, imm_len;
	int32_t disp;
	/* Sign-extended to 64 bits where the CPU does so.  enter: imm16 | imm8 << 16;
	 * moffs: the offset; far pointer: offset | selector << (8 * offset size). */
	uint64_t imm;
};

/* Decode at most n bytes.  0 and *ret, -EAGAIN: more bytes needed (page end),
 * -EINVAL: not an instruction (#UD), -E2BIG: longer than 15 bytes (#GP). */
int insn_decode(const uint8_t *p, unsigned n, enum insn_mode mode, struct insn *ret);

#endif
