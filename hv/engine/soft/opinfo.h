/* hv/engine/soft/opinfo.h - what the translator must know of an instruction to
 * run it on the host: where its operands are and which flags it needs and kills.
 * Pure tables over struct insn; SDM volume 2 is the source.
 */
#ifndef HV_ENGINE_SOFT_OPINFO_H
#define HV_ENGINE_SOFT_OPINFO_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/engine/soft/insn.h"

enum { FL_C = 1, FL_P = 2, FL_A = 4, FL_Z = 8, FL_S = 16, FL_O = 32, FL_ALL = 63 };

enum op_kind {
	OP_INTERP, /* left to the decoded-block engine */
	OP_RM,	   /* modrm form: re-encoded with mapped registers or a host address */
	OP_RAW,	   /* no modrm, only rax and flags: copied as it is */
	OP_REG,	   /* register in the opcode's low bits */
	OP_XCHG_A, /* xchg rax, r */
	OP_NOP,
	OP_LEA,
	OP_DIV, /* div/idiv: guarded so that the host never faults */
	OP_PUSH_R,
	OP_POP_R,
	OP_PUSH_I,
	OP_PUSH_RM,
	OP_LEAVE,
	/* these end a block */
	OP_JCC,
	OP_JMP,
	OP_CALL,
	OP_RET,
	OP_JMP_RM,
	OP_CALL_RM
};

enum { OP_MEM_R = 1, OP_MEM_W = 2, OP_MEM_RW = 3 };
enum op_file { OPF_GPR, OPF_XMM, OPF_EXT }; /* what modrm.reg (or rm) names; EXT: opcode bits */

struct opinfo {
	uint8_t kind;		/* enum op_kind */
	uint8_t mem;		/* access of rm: when memory, and when a register */
	uint8_t size;		/* of the rm operand in bytes */
	uint8_t align;		/* demanded of a memory operand, or 0 */
	uint8_t regf, rmf;	/* enum op_file */
	uint8_t reg_byte;	/* the reg operand is a byte register */
	uint8_t wreg;		/* the reg operand is written */
	uint8_t drop_rep;	/* encode without f2/f3 */
	uint8_t freads, fkills; /* FL_*; a killed flag is written or left undefined */
	uint8_t fwrites;	/* touches flags at all, even if only sometimes */
};

/* Flags read by condition code cc (low four bits of the opcode). */
uint8_t opinfo_cc_reads(unsigned cc);

/* 64-bit mode integer instructions; SSE is added by the caller.  has_bmi: what
 * f3-prefixed bsf/bsr mean. */
void opinfo_get(const struct insn *i, bool has_tzcnt, bool has_lzcnt, struct opinfo *ret);

#endif
