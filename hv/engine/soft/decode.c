/* hv/engine/soft/decode.c - bytes to struct insn, for 16-, 32- and 64-bit code.
 *
 * One attribute word per opcode says what follows it: a ModRM byte, which
 * immediate, how the operand size defaults.  Only lengths and operands are
 * settled here; whether the opcode means anything is the executor's business,
 * except where a byte can't start an instruction at all (holes, VEX, EVEX, XOP:
 * CPUID never shows them).  Source: AMD64 APM volume 3, appendix A.
 */
#include "hv/engine/soft/insn.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "hv/engine/state.h"

enum imm_kind {
	K_NONE,
	K_U8,	 /* zero-extended byte */
	K_S8,	 /* sign-extended byte */
	K_U16,	 /* ret, retf */
	K_Z,	 /* 16 or 32 bits, sign-extended */
	K_V,	 /* mov reg, imm: as wide as the operand */
	K_MOFF,	 /* an offset as wide as the address */
	K_FAR,	 /* ptr16:16 or ptr16:32 */
	K_ENTER, /* imm16, imm8 */
	K_G3B,	 /* F6: imm8 for test only */
	K_G3Z,	 /* F7: likewise */
};

#define M    0x10u  /* ModRM follows */
#define X    0x20u  /* no instruction */
#define I64  0x40u  /* none in 64-bit mode */
#define D64  0x80u  /* operand size 64 by default in 64-bit mode */
#define F64  0x100u /* operand size always 64 in 64-bit mode */
#define REGF 0x200u /* ModRM is a register form whatever mod says */
#define OPR  0x400u /* register in the opcode's low bits */
#define NAT  0x800u /* operand size is the mode's own: 64, else 32 */

#define ALU6  M, M, M, M, K_S8, K_Z
#define X8(a) a, a, a, a, a, a, a, a

/* clang-format off */
static const uint16_t attr_1[256] = {
	/* 00 */ ALU6, I64, I64, ALU6, I64, X, /* 0f is the escape */
	/* 10 */ ALU6, I64, I64, ALU6, I64, I64,
	/* 20 */ ALU6, X, I64, ALU6, X, I64,
	/* 30 */ ALU6, X, I64, ALU6, X, I64,
	/* 40 */ X8(I64 | OPR), X8(I64 | OPR),
	/* 50 */ X8(D64 | OPR), X8(D64 | OPR),
	/* 60 */ I64, I64, M | I64, M, X, X, X, X, D64 | K_Z, M | K_Z, D64 | K_S8, M | K_S8, 0, 0, 0, 0,
	/* 70 */ X8(F64 | K_S8), X8(F64 | K_S8),
	/* 80 */ M | K_S8, M | K_Z, M | K_S8 | I64, M | K_S8, M, M, M, M, M, M, M, M, M, M, M, M | D64,
	/* 90 */ X8(OPR), 0, 0, K_FAR | I64, 0, D64, D64, 0, 0,
	/* a0 */ K_MOFF, K_MOFF, K_MOFF, K_MOFF, 0, 0, 0, 0, K_S8, K_Z, 0, 0, 0, 0, 0, 0,
	/* b0 */ X8(OPR | K_U8), X8(OPR | K_V),
	/* c0 */ M | K_U8, M | K_U8, F64 | K_U16, F64, M | I64, M | I64, M | K_S8, M | K_Z,
	/* c8 */ D64 | K_ENTER, D64, K_U16, 0, 0, K_U8, I64, 0,
	/* d0 */ M, M, M, M, I64 | K_U8, I64 | K_U8, I64, 0, X8(M),
	/* e0 */ F64 | K_S8, F64 | K_S8, F64 | K_S8, F64 | K_S8, K_U8, K_U8, K_U8, K_U8,
	/* e8 */ F64 | K_Z, F64 | K_Z, K_FAR | I64, F64 | K_S8, 0, 0, 0, 0,
	/* f0 */ X, 0, X, X, 0, 0, M | K_G3B, M | K_G3Z, 0, 0, 0, 0, 0, 0, M, M,
};

static const uint16_t attr_0f[256] = {
	/* 00 */ M, M, M, M, X, 0, 0, 0, 0, 0, X, 0, X, M, 0, X,
	/* 10 */ X8(M), X8(M),
	/* 20 */ M | REGF | NAT, M | REGF | NAT, M | REGF | NAT, M | REGF | NAT, X, X, X, X, X8(M),
	/* 30 */ 0, 0, 0, 0, 0, 0, X, 0, X, X, X, X, X, X, X, X,
	/* 40 */ X8(M), X8(M),
	/* 50 */ X8(M), X8(M),
	/* 60 */ X8(M), X8(M),
	/* 70 */ M | K_U8, M | K_U8, M | K_U8, M | K_U8, M, M, M, 0, X, X, X, X, M, M, M, M,
	/* 80 */ X8(F64 | K_Z), X8(F64 | K_Z),
	/* 90 */ X8(M), X8(M),
	/* a0 */ D64, D64, 0, M, M | K_U8, M, X, X, D64, D64, 0, M, M | K_U8, M, M, M,
	/* b0 */ X8(M), M, M, M | K_U8, M, M, M, M, M,
	/* c0 */ M, M, M | K_U8, M, M | K_U8, M | K_U8, M | K_U8, M, X8(OPR),
	/* d0 */ X8(M), X8(M),
	/* e0 */ X8(M), X8(M),
	/* f0 */ X8(M), X8(M),
};
/* clang-format on */

struct rd {
	const uint8_t *p;
	unsigned pos, n;
};

/* The next byte, or -EAGAIN at the end, -E2BIG past the architecture's limit. */
static int next(struct rd *r)
{
	if (r->pos >= INSN_MAX)
		return -E2BIG;
	if (r->pos >= r->n)
		return -EAGAIN;
	return r->p[r->pos++];
}

static int take(struct rd *r, unsigned n, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++) {
		int b = next(r);

		if (b < 0)
			return b;
		v |= (uint64_t)b << (8 * i);
	}
	*ret = v;
	return 0;
}

static uint64_t sext(uint64_t v, unsigned bytes)
{
	unsigned s = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(v << s) >> s);
}

/* Legacy prefixes and REX; the byte after them comes back. */
static int prefixes(struct rd *r, enum insn_mode mode, struct insn *i)
{
	for (;;) {
		int b = next(r);

		switch (b) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			if (mode != MODE_64)
				i->seg = S_ES + ((b >> 3) & 3);
			break;
		case 0x64:
		case 0x65: i->seg = b == 0x64 ? S_FS : S_GS; break;
		case 0x66: i->p66 = 1; break;
		case 0x67: i->p67 = 1; break;
		case 0xf0: i->lock = 1; break;
		case 0xf2:
		case 0xf3: i->rep = (uint8_t)b; break;
		default:
			if (mode != MODE_64 || b < 0x40 || b > 0x4f)
				return b;
			i->rex = (uint8_t)b;
			continue;
		}
		i->rex = 0; /* REX counts only right before the opcode */
	}
}

static int operands_16(struct rd *r, struct insn *i, bool seg_given)
{
	static const uint8_t base[8] = { R_RBX, R_RBX, R_RBP, R_RBP, R_RSI, R_RDI, R_RBP, R_RBX };
	static const uint8_t index[8] = { R_RSI,    R_RDI,    R_RSI,	R_RDI,
					  REG_NONE, REG_NONE, REG_NONE, REG_NONE };
	unsigned n = i->mod == 1 ? 1 : i->mod == 2 ? 2 : 0;
	uint64_t v;
	int rc;

	i->base = base[i->rm];
	i->index = index[i->rm];
	if (i->mod == 0 && i->rm == 6) {
		i->base = REG_NONE;
		n = 2;
	}
	if (!seg_given)
		i->seg = i->base == R_RBP ? S_SS : S_DS;
	if (!n)
		return 0;
	rc = take(r, n, &v);
	if (!rc)
		i->disp = (int32_t)sext(v, n);
	return rc;
}

static int operands_32(struct rd *r, enum insn_mode mode, struct insn *i, bool seg_given)
{
	unsigned n = i->mod == 1 ? 1 : i->mod == 2 ? 4 : 0, rexb = (i->rex & 1) << 3;
	uint64_t v;
	int rc;

	if (i->rm == 4) {
		int sib = next(r);

		if (sib < 0)
			return sib;
		i->scale = (uint8_t)(sib >> 6);
		i->index = (uint8_t)(((sib >> 3) & 7) | (i->rex & 2) << 2);
		if (i->index == R_RSP)
			i->index = REG_NONE;
		i->base = (uint8_t)((sib & 7) | rexb);
		if ((sib & 7) == 5 && i->mod == 0) {
			i->base = REG_NONE;
			n = 4;
		}
	} else if (i->rm == 5 && i->mod == 0) {
		i->base = mode == MODE_64 ? REG_RIP : REG_NONE;
		n = 4;
	} else {
		i->base = (uint8_t)(i->rm | rexb);
	}
	if (!seg_given)
		i->seg = i->base == R_RSP || i->base == R_RBP ? S_SS : S_DS;
	if (!n)
		return 0;
	rc = take(r, n, &v);
	if (!rc)
		i->disp = (int32_t)sext(v, n);
	return rc;
}

static int modrm(struct rd *r, enum insn_mode mode, unsigned attr, bool seg_given, struct insn *i)
{
	int b = next(r), rc = 0;

	if (b < 0)
		return b;
	i->has_modrm = 1;
	i->modrm_off = (uint8_t)(r->pos - 1);
	i->mod = attr & REGF ? 3 : (uint8_t)(b >> 6);
	i->reg = (uint8_t)(((b >> 3) & 7) | (i->rex & 4) << 1);
	i->rm = b & 7;
	if (i->mod != 3)
		rc = i->adsize == 2 ? operands_16(r, i, seg_given)
				    : operands_32(r, mode, i, seg_given);
	i->rm |= (uint8_t)((i->rex & 1) << 3);
	return rc;
}

static int immediate(struct rd *r, enum insn_mode mode, unsigned kind, struct insn *i)
{
	unsigned z = i->opsize == 2 ? 2 : 4, n = 0;
	uint64_t v = 0, w;
	int rc;

	i->imm_off = (uint8_t)r->pos;
	switch (kind) {
	case K_NONE: return 0;
	case K_U8:
	case K_S8: n = 1; break;
	case K_U16: n = 2; break;
	case K_ENTER: n = 3; break;
	case K_Z: n = z; break;
	case K_V: n = i->opsize; break;
	case K_MOFF: n = i->adsize; break;
	case K_FAR: n = z + 2; break;
	case K_G3B: n = (i->reg & 7) < 2 ? 1 : 0; break;
	case K_G3Z: n = (i->reg & 7) < 2 ? z : 0; break;
	}
	i->imm_len = (uint8_t)n;
	rc = take(r, n, &v);
	if (rc || !n)
		return rc;
	w = kind == K_S8 || kind == K_Z || kind == K_G3B || kind == K_G3Z ? sext(v, n) : v;
	i->imm = w;
	return 0;
}

static void sizes(enum insn_mode mode, unsigned attr, struct insn *i)
{
	/* FF: the near branches and push follow their own rules. */
	if (i->map == MAP_1 && i->op == 0xff && i->has_modrm) {
		unsigned g = i->reg & 7;

		attr |= g == 2 || g == 4 ? F64 : g == 6 ? D64 : 0;
	}
	if (attr & NAT)
		i->opsize = mode == MODE_64 ? 8 : 4;
	else if (mode != MODE_64)
		i->opsize = (mode == MODE_32) != i->p66 ? 4 : 2;
	else if (attr & F64 || i->rex & 8)
		i->opsize = 8;
	else if (attr & D64)
		i->opsize = i->p66 ? 2 : 8;
	else
		i->opsize = i->p66 ? 2 : 4;
}

/* C4, C5, 62 and 8F double as VEX, EVEX and XOP escapes, which no guest is shown. */
static bool is_vex(const struct rd *r, const struct insn *i, enum insn_mode mode)
{
	bool reg_form = r->pos < r->n && (r->p[r->pos] & 0xc0) == 0xc0;

	if (i->op == 0xc4 || i->op == 0xc5 || i->op == 0x62)
		return mode == MODE_64 || reg_form;
	return i->op == 0x8f && r->pos < r->n && (r->p[r->pos] & 0x38);
}

static int opcode(struct rd *r, enum insn_mode mode, int b, struct insn *i, unsigned *ret_attr)
{
	i->op_off = (uint8_t)(r->pos - 1);
	i->op = (uint8_t)b;
	i->map = MAP_1;
	*ret_attr = attr_1[b];
	if (b != 0x0f)
		return is_vex(r, i, mode) ? -EINVAL : 0;
	b = next(r);
	if (b < 0)
		return b;
	if (b == 0x38 || b == 0x3a) {
		i->map = b == 0x38 ? MAP_0F38 : MAP_0F3A;
		*ret_attr = b == 0x38 ? M : M | K_U8;
		b = next(r);
		if (b < 0)
			return b;
	} else {
		i->map = MAP_0F;
		*ret_attr = attr_0f[b];
	}
	i->op_off = (uint8_t)(r->pos - 1);
	i->op = (uint8_t)b;
	return 0;
}

int insn_decode(const uint8_t *p, unsigned n, enum insn_mode mode, struct insn *ret)
{
	struct rd r = { p, 0, n < INSN_MAX ? n : INSN_MAX };
	struct insn i = { .seg = REG_NONE, .base = REG_NONE, .index = REG_NONE };
	unsigned attr = 0;
	bool seg_given;
	int rc, b = prefixes(&r, mode, &i);

	if (b < 0)
		return b;
	seg_given = i.seg != REG_NONE;
	if (!seg_given)
		i.seg = S_DS;
	rc = opcode(&r, mode, b, &i, &attr);
	if (rc)
		return rc;
	if (attr & X || (attr & I64 && mode == MODE_64))
		return -EINVAL;
	if (mode == MODE_64)
		i.adsize = i.p67 ? 4 : 8;
	else
		i.adsize = (mode == MODE_32) != i.p67 ? 4 : 2;
	if (attr & M)
		rc = modrm(&r, mode, attr, seg_given, &i);
	if (rc)
		return rc;
	if (attr & OPR) {
		i.mod = 3;
		i.rm = (uint8_t)((i.op & 7) | (i.rex & 1) << 3);
	}
	sizes(mode, attr, &i);
	rc = immediate(&r, mode, attr & 15, &i);
	if (rc)
		return rc;
	i.len = (uint8_t)r.pos;
	memcpy(i.bytes, p, i.len);
	*ret = i;
	return 0;
}
