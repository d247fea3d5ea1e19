/* hv/engine/soft/simd_table.c - every MMX and SSE instruction this engine has:
 * operand kinds, memory size, alignment, and which state it touches.  Source:
 * SDM volume 2, the instruction pages and opcode maps A-3..A-6.
 *
 * Rows are indexed by map, opcode and mandatory prefix (none, 66, F3, F2).
 */
#include "hv/engine/soft/simd_int.h"

#define OP(reg_, rm_, dst_, msz_, fl_, feat_, tiny_)                                        \
	{                                                                                   \
		.reg = reg_, .rm = rm_, .dst = dst_, .msz = msz_, .fl = fl_, .feat = feat_, \
		.tiny = tiny_, .valid = 1                                                   \
	}
#define XX(msz, fl)	  OP(K_XMM, K_XMM, D_REG, msz, fl, F_V1, T_NONE) /* x, x/m */
#define XXF(f, msz, fl)	  OP(K_XMM, K_XMM, D_REG, msz, fl, f, T_NONE)
#define XXT(t, msz, fl)	  OP(K_XMM, K_XMM, D_REG, msz, (fl) | O_CSR, F_V1, t)
#define X_MEM(f, msz, fl) OP(K_XMM, K_NONE, D_REG, msz, fl, f, T_NONE)	 /* x, m */
#define ST(msz, fl)	  OP(K_XMM, K_XMM, D_RM, msz, fl, F_V1, T_NONE)	 /* x/m, x */
#define ST_MEM(msz, fl)	  OP(K_XMM, K_NONE, D_RM, msz, fl, F_V1, T_NONE) /* m, x */
#define CMP(f, msz, fl)	  OP(K_XMM, K_XMM, D_NONE, msz, (fl) | O_EFL, f, T_NONE)
#define G_X(msz, fl)	  OP(K_GPR, K_XMM, D_REG, msz, (fl) | O_PURE, F_V1, T_NONE)
#define MM(msz, fl)	  OP(K_MMX, K_MMX, D_REG, msz, fl, F_V1, T_NONE)
#define MMF(f, msz, fl)	  OP(K_MMX, K_MMX, D_REG, msz, fl, f, T_NONE)

/* The same operation on mm (8 bytes) and on xmm (16, aligned). */
#define TWIN                                              \
	{                                                 \
		[P_NP] = MM(8, 0), [P_66] = XX(16, O_A16) \
	}
#define TWIN_F(f, fl)                                                     \
	{                                                                 \
		[P_NP] = MMF(f, 8, fl), [P_66] = XXF(f, 16, O_A16 | (fl)) \
	}
#define ONLY66(f, fl)                             \
	{                                         \
		[P_66] = XXF(f, 16, O_A16 | (fl)) \
	}
/* ps, pd, ss, sd */
#define ARITH                                                                                \
	{                                                                                    \
		XXT(T_PS, 16, O_A16), XXT(T_PD, 16, O_A16), XXT(T_SS, 4, 0), XXT(T_SD, 8, 0) \
	}
#define FOUR(fl)                                                                                 \
	{                                                                                        \
		XX(16, O_A16 | O_CSR | (fl)), XX(16, O_A16 | O_CSR | (fl)), XX(4, O_CSR | (fl)), \
			XX(8, O_CSR | (fl))                                                      \
	}
#define LOGIC                                \
	{                                    \
		XX(16, O_A16), XX(16, O_A16) \
	}
/* Shift by immediate: the register is in rm, the opcode extension in reg. */
#define SHIFT_IMM                                                       \
	{                                                               \
		OP(K_NONE, K_MMX, D_RM, 0, O_IMM, F_V1, T_NONE),        \
			OP(K_NONE, K_XMM, D_RM, 0, O_IMM, F_V1, T_NONE) \
	}

static const struct simd_op map_0f[256][P_NR] = {
	[0x10] = { XX(16, O_PURE), XX(16, O_PURE), XX(4, 0), XX(8, 0) },
	[0x11] = { ST(16, O_PURE), ST(16, O_PURE), ST(4, 0), ST(8, 0) },
	[0x12] = { XX(8, 0), X_MEM(F_V1, 8, 0), XXF(F_SSE3, 16, O_A16 | O_PURE),
		   XXF(F_SSE3, 8, O_PURE) },
	[0x13] = { ST_MEM(8, 0), ST_MEM(8, 0) },
	[0x14] = LOGIC,
	[0x15] = LOGIC,
	[0x16] = { XX(8, 0), X_MEM(F_V1, 8, 0), XXF(F_SSE3, 16, O_A16 | O_PURE) },
	[0x17] = { ST_MEM(8, 0), ST_MEM(8, 0) },
	[0x28] = { XX(16, O_A16 | O_PURE), XX(16, O_A16 | O_PURE) },
	[0x29] = { ST(16, O_A16 | O_PURE), ST(16, O_A16 | O_PURE) },
	[0x2a] = { OP(K_XMM, K_MMX, D_REG, 8, O_CSR, F_V1, T_NONE),
		   OP(K_XMM, K_MMX, D_REG, 8, 0, F_V1, T_NONE),
		   OP(K_XMM, K_GPR, D_REG, 4, O_CSR | O_W8, F_V1, T_NONE),
		   OP(K_XMM, K_GPR, D_REG, 4, O_CSR | O_W8, F_V1, T_NONE) },
	[0x2b] = { ST_MEM(16, O_A16), ST_MEM(16, O_A16) },
	[0x2c] = { OP(K_MMX, K_XMM, D_REG, 8, O_CSR, F_V1, T_NONE),
		   OP(K_MMX, K_XMM, D_REG, 16, O_CSR | O_A16, F_V1, T_NONE), G_X(4, O_CSR),
		   G_X(8, O_CSR) },
	[0x2d] = { OP(K_MMX, K_XMM, D_REG, 8, O_CSR, F_V1, T_NONE),
		   OP(K_MMX, K_XMM, D_REG, 16, O_CSR | O_A16, F_V1, T_NONE), G_X(4, O_CSR),
		   G_X(8, O_CSR) },
	[0x2e] = { CMP(F_V1, 4, O_CSR), CMP(F_V1, 8, O_CSR) },
	[0x2f] = { CMP(F_V1, 4, O_CSR), CMP(F_V1, 8, O_CSR) },
	[0x50] = { G_X(0, 0), G_X(0, 0) },
	[0x51] = FOUR(0),
	[0x52] = { [P_NP] = XX(16, O_A16), [P_F3] = XX(4, 0) },
	[0x53] = { [P_NP] = XX(16, O_A16), [P_F3] = XX(4, 0) },
	[0x54] = LOGIC,
	[0x55] = LOGIC,
	[0x56] = LOGIC,
	[0x57] = LOGIC,
	[0x58] = ARITH,
	[0x59] = ARITH,
	[0x5a] = { XX(8, O_CSR), XXT(T_PS, 16, O_A16), XX(4, O_CSR), XXT(T_SS, 8, 0) },
	[0x5b] = { XX(16, O_A16 | O_CSR), XX(16, O_A16 | O_CSR), XX(16, O_A16 | O_CSR) },
	[0x5c] = ARITH,
	[0x5d] = FOUR(0),
	[0x5e] = ARITH,
	[0x5f] = FOUR(0),
	[0x60] = { MM(4, 0), XX(16, O_A16) },
	[0x61] = { MM(4, 0), XX(16, O_A16) },
	[0x62] = { MM(4, 0), XX(16, O_A16) },
	[0x63] = TWIN,
	[0x64] = TWIN,
	[0x65] = TWIN,
	[0x66] = TWIN,
	[0x67] = TWIN,
	[0x68] = TWIN,
	[0x69] = TWIN,
	[0x6a] = TWIN,
	[0x6b] = TWIN,
	[0x6c] = ONLY66(F_V1, 0),
	[0x6d] = ONLY66(F_V1, 0),
	[0x6e] = { OP(K_MMX, K_GPR, D_REG, 4, O_W8, F_V1, T_NONE),
		   OP(K_XMM, K_GPR, D_REG, 4, O_W8 | O_PURE, F_V1, T_NONE) },
	[0x6f] = { MM(8, 0), XX(16, O_A16 | O_PURE), XX(16, O_PURE) },
	[0x70] = { MM(8, O_IMM), XX(16, O_A16 | O_IMM | O_PURE), XX(16, O_A16 | O_IMM | O_PURE),
		   XX(16, O_A16 | O_IMM | O_PURE) },
	[0x71] = SHIFT_IMM,
	[0x72] = SHIFT_IMM,
	[0x73] = SHIFT_IMM,
	[0x74] = TWIN,
	[0x75] = TWIN,
	[0x76] = TWIN,
	[0x77] = { OP(K_NONE, K_NONE, D_NONE, 0, 0, F_V1, T_NONE) }, /* emms: no ModRM */
	[0x7c] = { [P_66] = OP(K_XMM, K_XMM, D_REG, 16, O_A16 | O_CSR, F_SSE3, T_PD),
		   [P_F2] = OP(K_XMM, K_XMM, D_REG, 16, O_A16 | O_CSR, F_SSE3, T_PS) },
	[0x7d] = { [P_66] = OP(K_XMM, K_XMM, D_REG, 16, O_A16 | O_CSR, F_SSE3, T_PD),
		   [P_F2] = OP(K_XMM, K_XMM, D_REG, 16, O_A16 | O_CSR, F_SSE3, T_PS) },
	[0x7e] = { OP(K_MMX, K_GPR, D_RM, 4, O_W8 | O_PURE, F_V1, T_NONE),
		   OP(K_XMM, K_GPR, D_RM, 4, O_W8 | O_PURE, F_V1, T_NONE), XX(8, O_PURE) },
	[0x7f] = { OP(K_MMX, K_MMX, D_RM, 8, 0, F_V1, T_NONE), ST(16, O_A16 | O_PURE),
		   ST(16, O_PURE) },
	[0xc2] = FOUR(O_IMM),
	[0xc4] = { OP(K_MMX, K_GPR, D_REG, 2, O_IMM, F_V1, T_NONE),
		   OP(K_XMM, K_GPR, D_REG, 2, O_IMM, F_V1, T_NONE) },
	[0xc5] = { OP(K_GPR, K_MMX, D_REG, 0, O_IMM | O_PURE, F_V1, T_NONE), G_X(0, O_IMM) },
	[0xc6] = { XX(16, O_A16 | O_IMM), XX(16, O_A16 | O_IMM) },
	[0xd0] = { [P_66] = OP(K_XMM, K_XMM, D_REG, 16, O_A16 | O_CSR, F_SSE3, T_PD),
		   [P_F2] = OP(K_XMM, K_XMM, D_REG, 16, O_A16 | O_CSR, F_SSE3, T_PS) },
	[0xd1] = TWIN,
	[0xd2] = TWIN,
	[0xd3] = TWIN,
	[0xd4] = TWIN,
	[0xd5] = TWIN,
	[0xd6] = { [P_66] = ST(8, O_PURE),
		   [P_F3] = OP(K_XMM, K_MMX, D_REG, 0, O_PURE, F_V1, T_NONE),
		   [P_F2] = OP(K_MMX, K_XMM, D_REG, 0, 0, F_V1, T_NONE) },
	[0xd7] = { OP(K_GPR, K_MMX, D_REG, 0, O_PURE, F_V1, T_NONE), G_X(0, 0) },
	[0xd8] = TWIN,
	[0xd9] = TWIN,
	[0xda] = TWIN,
	[0xdb] = TWIN,
	[0xdc] = TWIN,
	[0xdd] = TWIN,
	[0xde] = TWIN,
	[0xdf] = TWIN,
	[0xe0] = TWIN,
	[0xe1] = TWIN,
	[0xe2] = TWIN,
	[0xe3] = TWIN,
	[0xe4] = TWIN,
	[0xe5] = TWIN,
	[0xe6] = { [P_66] = XX(16, O_A16 | O_CSR),
		   [P_F3] = XX(8, 0),
		   [P_F2] = XX(16, O_A16 | O_CSR) },
	[0xe7] = { OP(K_MMX, K_NONE, D_RM, 8, 0, F_V1, T_NONE), ST_MEM(16, O_A16) },
	[0xe8] = TWIN,
	[0xe9] = TWIN,
	[0xea] = TWIN,
	[0xeb] = TWIN,
	[0xec] = TWIN,
	[0xed] = TWIN,
	[0xee] = TWIN,
	[0xef] = TWIN,
	[0xf0] = { [P_F2] = X_MEM(F_SSE3, 16, O_PURE) },
	[0xf1] = TWIN,
	[0xf2] = TWIN,
	[0xf3] = TWIN,
	[0xf4] = TWIN,
	[0xf5] = TWIN,
	[0xf6] = TWIN,
	[0xf7] = { OP(K_MMX, K_MMX, D_NONE, 8, O_MASKMOV, F_V1, T_NONE),
		   OP(K_XMM, K_XMM, D_NONE, 16, O_MASKMOV, F_V1, T_NONE) },
	[0xf8] = TWIN,
	[0xf9] = TWIN,
	[0xfa] = TWIN,
	[0xfb] = TWIN,
	[0xfc] = TWIN,
	[0xfd] = TWIN,
	[0xfe] = TWIN,
};

#define SSSE3 TWIN_F(F_SSSE3, 0)
#define EXTEND(msz)                                \
	{                                          \
		[P_66] = XXF(F_SSE41, msz, O_PURE) \
	}
#define S41 ONLY66(F_SSE41, 0)
/* AMD takes unaligned operands here, Intel does not: take them. */
#define SHA(fl)                             \
	{                                   \
		[P_NP] = XXF(F_SHA, 16, fl) \
	}
#define CRC(msz)                                                                \
	{                                                                       \
		[P_F2] = OP(K_GPR, K_GPR, D_REG, msz, O_CRC32, F_SSE42, T_NONE) \
	}

static const struct simd_op map_0f38[256][P_NR] = {
	[0x00] = SSSE3,
	[0x01] = SSSE3,
	[0x02] = SSSE3,
	[0x03] = SSSE3,
	[0x04] = SSSE3,
	[0x05] = SSSE3,
	[0x06] = SSSE3,
	[0x07] = SSSE3,
	[0x08] = SSSE3,
	[0x09] = SSSE3,
	[0x0a] = SSSE3,
	[0x0b] = SSSE3,
	[0x10] = ONLY66(F_SSE41, O_XMM0),
	[0x14] = ONLY66(F_SSE41, O_XMM0),
	[0x15] = ONLY66(F_SSE41, O_XMM0),
	[0x17] = { [P_66] = CMP(F_SSE41, 16, O_A16) },
	[0x1c] = SSSE3,
	[0x1d] = SSSE3,
	[0x1e] = SSSE3,
	[0x20] = EXTEND(8),
	[0x21] = EXTEND(4),
	[0x22] = EXTEND(2),
	[0x23] = EXTEND(8),
	[0x24] = EXTEND(4),
	[0x25] = EXTEND(8),
	[0x28] = S41,
	[0x29] = S41,
	[0x2a] = { [P_66] = X_MEM(F_SSE41, 16, O_A16 | O_PURE) },
	[0x2b] = S41,
	[0x30] = EXTEND(8),
	[0x31] = EXTEND(4),
	[0x32] = EXTEND(2),
	[0x33] = EXTEND(8),
	[0x34] = EXTEND(4),
	[0x35] = EXTEND(8),
	[0x37] = ONLY66(F_SSE42, 0),
	[0x38] = S41,
	[0x39] = S41,
	[0x3a] = S41,
	[0x3b] = S41,
	[0x3c] = S41,
	[0x3d] = S41,
	[0x3e] = S41,
	[0x3f] = S41,
	[0x40] = S41,
	[0x41] = S41,
	[0xc8] = SHA(0),
	[0xc9] = SHA(0),
	[0xca] = SHA(0),
	[0xcb] = SHA(O_XMM0),
	[0xcc] = SHA(0),
	[0xcd] = SHA(0),
	[0xdb] = ONLY66(F_AES, 0),
	[0xdc] = ONLY66(F_AES, 0),
	[0xdd] = ONLY66(F_AES, 0),
	[0xde] = ONLY66(F_AES, 0),
	[0xdf] = ONLY66(F_AES, 0),
	[0xf0] = CRC(1),
	[0xf1] = CRC(4),
};

#define EXTRACT(msz, fl)                                                                     \
	{                                                                                    \
		[P_66] = OP(K_XMM, K_GPR, D_RM, msz, O_IMM | O_PURE | (fl), F_SSE41, T_NONE) \
	}
#define INSERT(msz, fl)                                                              \
	{                                                                            \
		[P_66] = OP(K_XMM, K_GPR, D_REG, msz, O_IMM | (fl), F_SSE41, T_NONE) \
	}
#define STRCMP(fl)                                                                           \
	{                                                                                    \
		[P_66] = OP(K_XMM, K_XMM, D_NONE, 16, O_IMM | O_EFL | (fl), F_SSE42, T_NONE) \
	}

static const struct simd_op map_0f3a[256][P_NR] = {
	[0x08] = ONLY66(F_SSE41, O_IMM | O_CSR),
	[0x09] = ONLY66(F_SSE41, O_IMM | O_CSR),
	[0x0a] = { [P_66] = XXF(F_SSE41, 4, O_IMM | O_CSR) },
	[0x0b] = { [P_66] = XXF(F_SSE41, 8, O_IMM | O_CSR) },
	[0x0c] = ONLY66(F_SSE41, O_IMM),
	[0x0d] = ONLY66(F_SSE41, O_IMM),
	[0x0e] = ONLY66(F_SSE41, O_IMM),
	[0x0f] = TWIN_F(F_SSSE3, O_IMM),
	[0x14] = EXTRACT(1, 0),
	[0x15] = EXTRACT(2, 0),
	[0x16] = EXTRACT(4, O_W8),
	[0x17] = EXTRACT(4, 0),
	[0x20] = INSERT(1, 0),
	[0x21] = { [P_66] = XXF(F_SSE41, 4, O_IMM) },
	[0x22] = INSERT(4, O_W8),
	[0x40] = { [P_66] = OP(K_XMM, K_XMM, D_REG, 16, O_A16 | O_IMM | O_CSR, F_SSE41, T_PS) },
	[0x41] = { [P_66] = OP(K_XMM, K_XMM, D_REG, 16, O_A16 | O_IMM | O_CSR, F_SSE41, T_PD) },
	[0x42] = ONLY66(F_SSE41, O_IMM),
	[0x44] = ONLY66(F_CLMUL, O_IMM),
	[0x60] = STRCMP(O_EXPLICIT | O_MASK0),
	[0x61] = STRCMP(O_EXPLICIT | O_INDEX),
	[0x62] = STRCMP(O_MASK0),
	[0x63] = STRCMP(O_INDEX),
	[0xcc] = { [P_NP] = XXF(F_SHA, 16, O_IMM) },
	[0xdf] = ONLY66(F_AES, O_IMM | O_PURE),
};

static enum simd_prefix prefix_of(const struct insn *i)
{
	if (i->rep)
		return i->rep == 0xf3 ? P_F3 : P_F2;
	return i->p66 ? P_66 : P_NP;
}

/* Groups 12-14: which extensions exist; /3 and /7 (byte shifts) are xmm only. */
static bool shift_imm_ok(const struct insn *i, enum simd_prefix pfx)
{
	static const uint8_t mask[3][2] = { { 0x54, 0x54 }, { 0x54, 0x54 }, { 0x44, 0xcc } };

	return mask[i->op - 0x71][pfx] >> (i->reg & 7) & 1;
}

const struct simd_op *simd_op_find(const struct insn *i, enum simd_prefix *ret_pfx)
{
	enum simd_prefix pfx = prefix_of(i);
	const struct simd_op *o;

	switch (i->map) {
	case MAP_0F: o = &map_0f[i->op][pfx]; break;
	case MAP_0F38: o = &map_0f38[i->op][pfx]; break;
	case MAP_0F3A: o = &map_0f3a[i->op][pfx]; break;
	default: return NULL;
	}
	if (!o->valid || i->lock)
		return NULL;
	if (i->map == MAP_0F && i->op >= 0x71 && i->op <= 0x73 && !shift_imm_ok(i, pfx))
		return NULL;
	if (i->has_modrm && i->mod != 3 && (!o->msz || (o->fl & O_MASKMOV)))
		return NULL;
	if (i->has_modrm && i->mod == 3 && o->rm == K_NONE)
		return NULL;
	*ret_pfx = pfx;
	return o;
}
