/* hv/engine/soft/fast.c - which instructions have a handler of their own, and
 * the resolution of their operands.  What is declined here runs by exec.c.
 */
#include "hv/engine/soft/fast.h"

static uint8_t reg_off(const struct insn *i, unsigned r, unsigned n)
{
	if (n == 1 && !i->rex && (r & ~3u) == 4)
		return (uint8_t)(REG_OFF(r - 4) + 1);
	return REG_OFF(r);
}

/* The memory operand.  False: of a kind the handlers can't do. */
static bool set_mem(struct op *o, const struct insn *i)
{
	int64_t disp = i->disp;

	if (i->adsize != 8)
		return false;
	o->base = i->base == REG_NONE ? OFF_ZERO : i->base == REG_RIP ? OFF_BRIP : REG_OFF(i->base);
	o->index = i->index == REG_NONE ? OFF_ZERO : REG_OFF(i->index);
	o->scale = i->scale;
	o->seg = i->seg == S_FS ? SEG_OFF(S_FS) : i->seg == S_GS ? SEG_OFF(S_GS) : OFF_ZERO;
	if (i->base == REG_RIP)
		disp += o->off + i->len;
	o->disp = (int32_t)disp;
	return o->disp == disp;
}

static int use(struct op *o, op_fn *fn)
{
	o->fn = fn;
	return fn ? FAST_OP : FAST_NONE;
}

/* op r/m, reg or op reg, r/m by direction bit 1 of the opcode. */
static enum form form_of(struct op *o, const struct insn *i, unsigned n, bool *ret_ok)
{
	bool to_reg = i->op & 2;

	*ret_ok = true;
	if (i->mod == 3) {
		o->dst = reg_off(i, to_reg ? i->reg : i->rm, n);
		o->src = reg_off(i, to_reg ? i->rm : i->reg, n);
		return RR;
	}
	*ret_ok = set_mem(o, i);
	o->dst = o->src = reg_off(i, i->reg, n);
	return to_reg ? RM : MR;
}

/* op r/m, imm */
static enum form form_imm(struct op *o, const struct insn *i, unsigned n, bool *ret_ok)
{
	*ret_ok = true;
	o->imm = i->imm;
	if (i->mod == 3) {
		o->dst = reg_off(i, i->rm, n);
		return RI;
	}
	*ret_ok = set_mem(o, i);
	return MI;
}

/* Which successors lie in this page, so that links to them hold as long as the
 * block does. */
static int branches(struct op *o, op_fn *fn, uint64_t target, unsigned page_off)
{
	uint64_t fall = page_off + o->off + o->len, to = page_off + target;

	o->imm = target;
	o->dst = (uint8_t)((fall < 0x1000) | (to < 0x1000) << 1);
	o->fn = fn;
	return FAST_LAST;
}

static int pick_grp5(struct op *o, const struct insn *i)
{
	unsigned k = i->reg & 7, n = insn_size(i);
	bool mem = i->mod != 3;

	if (mem && !set_mem(o, i))
		return FAST_NONE;
	if (k < 2) {
		o->dst = reg_off(i, i->rm, n);
		return use(o, fast_unary(2 + k, mem, n));
	}
	if (n != 8 || k == 3 || k == 5 || k == 7)
		return FAST_NONE;
	o->src = REG_OFF(i->rm);
	if (k == 6)
		return use(o, mem ? fast_push_mem : fast_push);
	o->fn = k == 2 ? mem ? fast_call_mem : fast_call_reg : mem ? fast_jmp_mem : fast_jmp_reg;
	return FAST_LAST;
}

static int pick_grp3(struct op *o, const struct insn *i)
{
	unsigned k = i->reg & 7, n = insn_size(i);
	bool mem = i->mod != 3, ok;
	enum form f = form_imm(o, i, n, &ok);

	if (!ok || k > 5 || (k > 3 && n < 4))
		return FAST_NONE;
	if (k < 2)
		return use(o, fast_alu(8, f, n));
	if (k < 4)
		return use(o, fast_unary(k - 2, mem, n));
	o->src = REG_OFF(i->rm);
	return use(o, fast_mul(k == 5, mem, n));
}

static int pick_shift(struct op *o, const struct insn *i)
{
	unsigned n = insn_size(i);

	o->imm = i->op < 0xd0 ? i->imm : 1;
	if (i->mod != 3 || !(o->imm & (n == 8 ? 63 : 31)))
		return FAST_NONE;
	o->dst = reg_off(i, i->rm, n);
	return use(o, fast_shift(i->reg & 7, i->op >= 0xd2, n));
}

static int pick_imul(struct op *o, const struct insn *i, bool by_imm)
{
	bool mem = i->mod != 3;

	if (i->opsize < 4 || (mem && !set_mem(o, i)))
		return FAST_NONE;
	o->dst = REG_OFF(i->reg);
	o->src = REG_OFF(i->rm);
	o->imm = i->imm;
	return use(o, fast_imul(by_imm ? mem ? MI : RI : mem ? RM : RR, i->opsize));
}

static int pick_movx(struct op *o, const struct insn *i, bool sign, unsigned from)
{
	bool mem = i->mod != 3;

	if (mem && !set_mem(o, i))
		return FAST_NONE;
	o->dst = REG_OFF(i->reg);
	o->src = reg_off(i, i->rm, from);
	return use(o, fast_movx(sign, mem, from, i->opsize));
}

static int pick_0f(struct op *o, const struct insn *i, unsigned page_off)
{
	bool mem = i->mod != 3;

	switch (i->op) {
	case 0x0d:
	case 0x18 ... 0x1f: return use(o, fast_nop);
	case 0x40 ... 0x4f:
		if (mem && !set_mem(o, i))
			return FAST_NONE;
		o->dst = REG_OFF(i->reg);
		o->src = REG_OFF(i->rm);
		return use(o, fast_cmov(i->op & 15, mem, i->opsize));
	case 0x80 ... 0x8f:
		return branches(o, fast_jcc(i->op & 15), o->off + o->len + i->imm, page_off);
	case 0x90 ... 0x9f:
		o->dst = reg_off(i, i->rm, 1);
		return mem ? FAST_NONE : use(o, fast_setcc(i->op & 15));
	case 0xa3:
		o->dst = REG_OFF(i->rm);
		o->src = REG_OFF(i->reg);
		return mem || i->opsize != 8 ? FAST_NONE : use(o, fast_bt_rr);
	case 0xaf: return pick_imul(o, i, false);
	case 0xb6:
	case 0xb7: return pick_movx(o, i, false, i->op & 1 ? 2 : 1);
	case 0xbe:
	case 0xbf: return pick_movx(o, i, true, i->op & 1 ? 2 : 1);
	case 0xba:
		o->dst = REG_OFF(i->rm);
		o->imm = i->imm & (8u * i->opsize - 1);
		return mem || (i->reg & 7) != 4 || i->opsize == 2 ? FAST_NONE : use(o, fast_bt_ri);
	case 0xc8 ... 0xcf:
		o->dst = REG_OFF(i->rm);
		return i->opsize == 2 ? FAST_NONE
				      : use(o, i->opsize == 8 ? fast_bswap8 : fast_bswap4);
	default: return FAST_NONE;
	}
}

/* 50..5f, 68, 6a, 98, 99, 90, c9: no ModRM */
static int pick_plain(struct op *o, const struct insn *i)
{
	unsigned n = i->opsize;

	o->dst = o->src = REG_OFF(i->rm);
	o->imm = i->imm;
	switch (i->op) {
	case 0x50 ... 0x57: return n == 8 ? use(o, fast_push) : FAST_NONE;
	case 0x58 ... 0x5f: return n == 8 ? use(o, fast_pop) : FAST_NONE;
	case 0x68:
	case 0x6a: return n == 8 ? use(o, fast_push_imm) : FAST_NONE;
	case 0x98: return n == 2 ? FAST_NONE : use(o, n == 8 ? fast_cdqe : fast_cwde);
	case 0x99: return n == 2 ? FAST_NONE : use(o, n == 8 ? fast_cqo : fast_cdq);
	case 0xc9: return n == 8 ? use(o, fast_leave) : FAST_NONE;
	case 0x90:
		if (i->rm == R_RAX)
			return use(o, fast_nop);
		/* fallthrough */
	default: /* 91..97 */
		o->dst = REG_OFF(R_RAX);
		return n == 8 ? use(o, fast_xchg8) : FAST_NONE;
	}
}

/* 00..3f, 80..85, a8, a9: arithmetic on r/m and register, or immediate, or the
 * accumulator and an immediate. */
static int pick_alu(struct op *o, const struct insn *i)
{
	unsigned n = insn_size(i), kind = i->op < 0x40 ? i->op >> 3 : i->op < 0x84 ? i->reg & 7 : 8;
	enum form f;
	bool ok = true;

	if (i->op < 0x40 && (i->op & 7) > 5)
		return FAST_NONE;
	if (i->op >= 0xa8 || (i->op < 0x40 && (i->op & 7) > 3)) {
		o->dst = REG_OFF(R_RAX);
		o->imm = i->imm;
		f = RI;
	} else if (i->op >= 0x80 && i->op < 0x84) {
		f = form_imm(o, i, n, &ok);
	} else {
		f = form_of(o, i, n, &ok);
	}
	return ok ? use(o, fast_alu(kind, f, n)) : FAST_NONE;
}

/* 88..8b, b0..bf, c6, c7 */
static int pick_mov(struct op *o, const struct insn *i)
{
	unsigned n = insn_size(i);
	enum form f = RI;
	bool ok = true;

	if ((i->op & 0xf0) == 0xb0) {
		n = i->op & 8 ? i->opsize : 1;
		o->dst = reg_off(i, i->rm, n);
		o->imm = i->imm;
	} else if (i->op < 0xc0) {
		f = form_of(o, i, n, &ok);
	} else {
		f = form_imm(o, i, n, &ok);
		ok = ok && !(i->reg & 7);
	}
	return ok ? use(o, fast_mov(f, n)) : FAST_NONE;
}

static int pick_1(struct op *o, const struct insn *i, unsigned page_off)
{
	uint64_t target = o->off + o->len + i->imm;

	switch (i->op) {
	case 0x00 ... 0x3f:
	case 0x80 ... 0x85:
	case 0xa8:
	case 0xa9: return pick_alu(o, i);
	case 0x50 ... 0x5f:
	case 0x68:
	case 0x6a:
	case 0x90 ... 0x99:
	case 0xc9: return pick_plain(o, i);
	case 0x63: return i->opsize == 8 ? pick_movx(o, i, true, 4) : FAST_NONE;
	case 0x69:
	case 0x6b: return pick_imul(o, i, true);
	case 0x70 ... 0x7f: return branches(o, fast_jcc(i->op & 15), target, page_off);
	case 0x87:
		o->dst = REG_OFF(i->reg);
		o->src = REG_OFF(i->rm);
		return i->mod == 3 && i->opsize == 8 ? use(o, fast_xchg8) : FAST_NONE;
	case 0x88 ... 0x8b:
	case 0xb0 ... 0xbf:
	case 0xc6:
	case 0xc7: return pick_mov(o, i);
	case 0x8d:
		o->dst = REG_OFF(i->reg);
		if (i->mod == 3 || i->opsize == 2 || !set_mem(o, i))
			return FAST_NONE;
		o->seg = OFF_ZERO;
		return use(o, fast_lea(i->opsize));
	case 0xc0:
	case 0xc1:
	case 0xd0 ... 0xd3: return pick_shift(o, i);
	case 0xc2:
	case 0xc3:
		o->imm = i->imm;
		o->fn = fast_ret;
		return FAST_LAST;
	case 0xe8: return branches(o, fast_call, target, page_off);
	case 0xe9:
	case 0xeb: return branches(o, fast_jmp, target, page_off);
	case 0xf6:
	case 0xf7: return pick_grp3(o, i);
	case 0xfe:
	case 0xff: return pick_grp5(o, i);
	default: return FAST_NONE;
	}
}

int fast_pick(struct op *o, const struct insn *i, unsigned page_off)
{
	struct op plain = *o;
	int r = FAST_NONE;

	if (i->lock || i->map > MAP_0F)
		return FAST_NONE;
	r = i->map == MAP_1 ? pick_1(o, i, page_off) : pick_0f(o, i, page_off);
	if (r == FAST_NONE)
		*o = plain;
	return r;
}
