/* hv/engine/soft/opinfo.c - operand shapes and flag use of the instructions the
 * translator runs natively.  What is not here goes to the decoded-block engine,
 * so leaving one out is slow, never wrong.
 */
#include "hv/engine/soft/opinfo.h"

uint8_t opinfo_cc_reads(unsigned cc)
{
	static const uint8_t reads[8] = { FL_O, FL_C, FL_Z,	   FL_C | FL_Z,
					  FL_S, FL_P, FL_S | FL_O, FL_Z | FL_S | FL_O };

	return reads[(cc >> 1) & 7];
}

static void set_rm(struct opinfo *o, const struct insn *i, unsigned mem, bool byte)
{
	o->kind = OP_RM;
	o->mem = (uint8_t)mem;
	o->size = byte ? 1 : i->opsize;
	o->regf = OPF_GPR;
	o->rmf = OPF_GPR;
	o->reg_byte = byte;
}

static void set_flags(struct opinfo *o, unsigned reads, unsigned kills)
{
	o->freads = (uint8_t)reads;
	o->fkills = (uint8_t)kills;
	o->fwrites = kills != 0;
}

/* add or adc sbb and sub xor cmp */
static void alu_flags(struct opinfo *o, unsigned n)
{
	set_flags(o, n == 2 || n == 3 ? FL_C : 0, FL_ALL);
}

static void shift_flags(struct opinfo *o, const struct insn *i, unsigned count_known,
			unsigned count)
{
	unsigned n = i->reg & 7;

	o->fwrites = 1;
	if (n == 2 || n == 3)
		o->freads = FL_C;
	if (!count_known || !(count & (o->size == 8 ? 63 : 31)))
		return; /* a zero count leaves every flag */
	o->fkills = n < 4 ? FL_C | FL_O : FL_ALL;
}

static void group_f6(const struct insn *i, struct opinfo *o, bool byte)
{
	unsigned n = i->reg & 7;

	set_rm(o, i, n == 2 || n == 3 ? OP_MEM_RW : OP_MEM_R, byte);
	o->regf = OPF_EXT;
	if (n == 2)
		return; /* not */
	set_flags(o, 0, FL_ALL);
	if (n >= 6) {
		o->kind = byte || i->opsize == 2 ? OP_INTERP : OP_DIV;
	}
}

static void group_ff(const struct insn *i, struct opinfo *o, bool byte)
{
	unsigned n = i->reg & 7;

	set_rm(o, i, OP_MEM_RW, byte);
	o->regf = OPF_EXT;
	if (n < 2) {
		set_flags(o, 0, FL_ALL & ~FL_C);
		return;
	}
	o->kind = OP_INTERP;
	if (byte || i->p66)
		return;
	o->mem = OP_MEM_R;
	o->size = 8;
	if (n == 2)
		o->kind = OP_CALL_RM;
	else if (n == 4)
		o->kind = OP_JMP_RM;
	else if (n == 6)
		o->kind = OP_PUSH_RM;
}

static void one_byte_alu(const struct insn *i, struct opinfo *o)
{
	unsigned n = i->op >> 3, form = i->op & 7;

	alu_flags(o, n);
	if (form >= 4) {
		o->kind = OP_RAW;
		return;
	}
	if (form < 2) {
		set_rm(o, i, n == 7 ? OP_MEM_R : OP_MEM_RW, form == 0);
	} else {
		set_rm(o, i, OP_MEM_R, form == 2);
		o->wreg = n != 7;
	}
}

static void one_byte_low(const struct insn *i, struct opinfo *o)
{
	if (i->op < 0x40 && (i->op & 7) < 6) {
		one_byte_alu(i, o);
	} else if (i->op >= 0x50 && i->op <= 0x5f) {
		o->kind = i->p66 ? OP_INTERP : i->op < 0x58 ? OP_PUSH_R : OP_POP_R;
	} else if (i->op == 0x63 && i->opsize == 8) {
		set_rm(o, i, OP_MEM_R, false);
		o->size = 4;
		o->wreg = 1;
	} else if (i->op == 0x68 || i->op == 0x6a) {
		o->kind = i->p66 ? OP_INTERP : OP_PUSH_I;
	} else if (i->op == 0x69 || i->op == 0x6b) {
		set_rm(o, i, OP_MEM_R, false);
		o->wreg = 1;
		set_flags(o, 0, FL_ALL);
	} else if (i->op >= 0x70 && i->op <= 0x7f) {
		o->kind = OP_JCC;
		o->freads = opinfo_cc_reads(i->op);
	}
}

static void one_byte_mid(const struct insn *i, struct opinfo *o)
{
	switch (i->op) {
	case 0x80:
	case 0x81:
	case 0x83:
		set_rm(o, i, (i->reg & 7) == 7 ? OP_MEM_R : OP_MEM_RW, i->op == 0x80);
		o->regf = OPF_EXT;
		alu_flags(o, i->reg & 7);
		return;
	case 0x84:
	case 0x85:
		set_rm(o, i, OP_MEM_R, i->op == 0x84);
		set_flags(o, 0, FL_ALL);
		return;
	case 0x86:
	case 0x87:
		set_rm(o, i, OP_MEM_RW, i->op == 0x86);
		o->wreg = 1;
		return;
	case 0x88:
	case 0x89: set_rm(o, i, OP_MEM_W, i->op == 0x88); return;
	case 0x8a:
	case 0x8b:
		set_rm(o, i, OP_MEM_R, i->op == 0x8a);
		o->wreg = 1;
		return;
	case 0x8d: o->kind = i->mod == 3 || i->opsize == 2 ? OP_INTERP : OP_LEA; return;
	case 0x90: o->kind = i->rex & 1 ? OP_XCHG_A : OP_NOP; return;
	case 0x98:
	case 0x99: o->kind = OP_RAW; return;
	case 0x9e:
		o->kind = OP_RAW;
		set_flags(o, 0, FL_ALL & ~FL_O);
		return;
	case 0x9f:
		o->kind = OP_RAW;
		o->freads = FL_ALL & ~FL_O;
		return;
	case 0xa8:
	case 0xa9:
		o->kind = OP_RAW;
		set_flags(o, 0, FL_ALL);
		return;
	default:
		if (i->op >= 0x91 && i->op <= 0x97)
			o->kind = OP_XCHG_A;
	}
}

static void one_byte_high(const struct insn *i, struct opinfo *o)
{
	switch (i->op) {
	case 0xc0:
	case 0xc1:
		set_rm(o, i, OP_MEM_RW, i->op == 0xc0);
		o->regf = OPF_EXT;
		shift_flags(o, i, 1, (unsigned)i->imm);
		return;
	case 0xd0:
	case 0xd1:
		set_rm(o, i, OP_MEM_RW, i->op == 0xd0);
		o->regf = OPF_EXT;
		shift_flags(o, i, 1, 1);
		return;
	case 0xd2:
	case 0xd3:
		set_rm(o, i, OP_MEM_RW, i->op == 0xd2);
		o->regf = OPF_EXT;
		shift_flags(o, i, 0, 0);
		return;
	case 0xc2:
	case 0xc3: o->kind = i->p66 ? OP_INTERP : OP_RET; return;
	case 0xc6:
	case 0xc7:
		set_rm(o, i, OP_MEM_W, i->op == 0xc6);
		o->regf = OPF_EXT;
		if (i->reg & 7)
			o->kind = OP_INTERP;
		return;
	case 0xc9: o->kind = i->p66 ? OP_INTERP : OP_LEAVE; return;
	case 0xe8: o->kind = i->p66 ? OP_INTERP : OP_CALL; return;
	case 0xe9:
	case 0xeb: o->kind = i->p66 ? OP_INTERP : OP_JMP; return;
	case 0xf5:
		o->kind = OP_RAW;
		set_flags(o, FL_C, FL_C);
		return;
	case 0xf8:
	case 0xf9:
		o->kind = OP_RAW;
		set_flags(o, 0, FL_C);
		return;
	case 0xf6:
	case 0xf7: group_f6(i, o, i->op == 0xf6); return;
	case 0xfe:
	case 0xff: group_ff(i, o, i->op == 0xfe); return;
	default:
		if (i->op >= 0xb0 && i->op <= 0xbf)
			o->kind = OP_REG;
	}
}

static void bit_test(const struct insn *i, struct opinfo *o, bool imm)
{
	unsigned n = imm ? (i->reg & 7) : ((unsigned)i->op >> 3) & 7;

	set_rm(o, i, n == 4 ? OP_MEM_R : OP_MEM_RW, false);
	if (imm) {
		o->regf = OPF_EXT;
		if (n < 4)
			o->kind = OP_INTERP;
	} else if (i->mod != 3) {
		o->kind = OP_INTERP; /* the bit may lie outside the operand */
	}
	set_flags(o, 0, FL_C);
}

static void scan(const struct insn *i, bool has, struct opinfo *o)
{
	set_rm(o, i, OP_MEM_R, false);
	o->wreg = 1;
	if (i->rep == 0xf3 && has) {
		set_flags(o, 0, FL_ALL);
	} else {
		o->drop_rep = 1;
		set_flags(o, 0, FL_Z);
	}
}

static void cmpxchg_wide(const struct insn *i, struct opinfo *o)
{
	if ((i->reg & 7) != 1 || i->mod == 3)
		return;
	set_rm(o, i, OP_MEM_RW, false);
	o->regf = OPF_EXT;
	o->size = i->rex & 8 ? 16 : 8;
	o->align = i->rex & 8 ? 16 : 0;
	set_flags(o, 0, FL_Z);
}

static void two_byte_high(const struct insn *i, struct opinfo *o)
{
	switch (i->op) {
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb: bit_test(i, o, false); return;
	case 0xba: bit_test(i, o, true); return;
	case 0xa4:
	case 0xac:
	case 0xa5:
	case 0xad:
		set_rm(o, i, OP_MEM_RW, false);
		o->fwrites = 1;
		if (i->opsize == 2)
			o->kind = OP_INTERP; /* counts over 16 are undefined */
		else if (!(i->op & 1) && (i->imm & (i->opsize == 8 ? 63 : 31)))
			o->fkills = FL_ALL;
		return;
	case 0xaf:
		set_rm(o, i, OP_MEM_R, false);
		o->wreg = 1;
		set_flags(o, 0, FL_ALL);
		return;
	case 0xb0:
	case 0xb1:
	case 0xc0:
	case 0xc1:
		set_rm(o, i, OP_MEM_RW, !(i->op & 1));
		o->wreg = i->op >= 0xc0;
		set_flags(o, 0, FL_ALL);
		return;
	case 0xb6:
	case 0xb7:
	case 0xbe:
	case 0xbf:
		set_rm(o, i, OP_MEM_R, false);
		o->size = i->op & 1 ? 2 : 1;
		o->wreg = 1;
		return;
	case 0xb8:
		if (i->rep != 0xf3)
			return;
		set_rm(o, i, OP_MEM_R, false);
		o->wreg = 1;
		set_flags(o, 0, FL_ALL);
		return;
	case 0xc3:
		if (i->mod != 3 && !i->p66 && !i->rep)
			set_rm(o, i, OP_MEM_W, false); /* movnti */
		return;
	case 0xc7: cmpxchg_wide(i, o); return;
	default:
		if (i->op >= 0xc8 && i->op <= 0xcf && i->opsize != 2)
			o->kind = OP_REG;
	}
}

static void two_byte(const struct insn *i, bool has_tzcnt, bool has_lzcnt, struct opinfo *o)
{
	if (i->op == 0x0d || (i->op >= 0x18 && i->op <= 0x1f)) { /* prefetches and hints */
		o->kind = OP_NOP;
	} else if (i->op >= 0x40 && i->op <= 0x4f) {
		set_rm(o, i, OP_MEM_R, false);
		o->wreg = 1;
		o->freads = opinfo_cc_reads(i->op);
	} else if (i->op >= 0x80 && i->op <= 0x8f) {
		o->kind = OP_JCC;
		o->freads = opinfo_cc_reads(i->op);
	} else if (i->op >= 0x90 && i->op <= 0x9f) {
		set_rm(o, i, OP_MEM_W, true);
		o->regf = OPF_EXT;
		o->freads = opinfo_cc_reads(i->op);
	} else if (i->op == 0xae && i->mod == 3 && (i->reg & 7) >= 5 && !i->rep && !i->p66) {
		o->kind = OP_RAW; /* lfence, mfence, sfence */
	} else if (i->op == 0xbc || i->op == 0xbd) {
		scan(i, i->op == 0xbc ? has_tzcnt : has_lzcnt, o);
	} else {
		two_byte_high(i, o);
	}
}

/* What may carry a lock prefix, among memory forms that read and write. */
static bool lockable(const struct insn *i)
{
	if (i->map == MAP_1)
		return i->op < 0x40 || (i->op >= 0x80 && i->op <= 0x87) || i->op >= 0xf6;
	return i->op == 0xba || i->op == 0xb0 || i->op == 0xb1 || i->op >= 0xc0;
}

void opinfo_get(const struct insn *i, bool has_tzcnt, bool has_lzcnt, struct opinfo *ret)
{
	*ret = (struct opinfo){ .kind = OP_INTERP };
	if (i->map == MAP_0F)
		two_byte(i, has_tzcnt, has_lzcnt, ret);
	else if (i->map == MAP_1 && i->op < 0x80)
		one_byte_low(i, ret);
	else if (i->map == MAP_1 && i->op < 0xb0)
		one_byte_mid(i, ret);
	else if (i->map == MAP_1)
		one_byte_high(i, ret);

	if (i->lock && !(ret->kind == OP_RM && ret->mem == OP_MEM_RW && i->mod != 3 && lockable(i)))
		ret->kind = OP_INTERP; /* #UD */
}
