/* hv/engine/soft/simd_int.h - what the simd*.c files share: the instruction
 * table's rows, the emitter of native stubs, and the code cache.  Not for the
 * rest of the engine; that is simd.h.
 */
#ifndef HV_ENGINE_SOFT_SIMD_INT_H
#define HV_ENGINE_SOFT_SIMD_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hv/engine/soft/simd.h"
#include "hv/engine/state.h"

/* Offsets in the FXSAVE image (SDM 1, 10.5.1). */
enum {
	FX_FCW = 0,
	FX_FSW = 2,
	FX_FTW = 4,
	FX_FOP = 6,
	FX_FIP = 8,
	FX_FDP = 16,
	FX_MXCSR = 24,
	FX_MXCSR_MASK = 28,
	FX_ST = 32,
	FX_XMM = 160,
	FX_END = 416,
	FX_SCRATCH = 504
};

#define FSW_EXC	  0x3fu	  /* IE DE ZE OE UE PE; the same bits mask them in FCW */
#define FSW_ES_B  0x8080u /* summary and busy */
#define CSR_EXC	  0x3fu
#define CSR_PRE	  0x07u /* IE DE ZE: found before computing */
#define CSR_UE	  0x10u
#define CSR_PE	  0x20u
#define CSR_MASKS 0x1f80u
#define CSR_UM	  0x0800u
#define CSR_FTZ	  0x8000u
#define CSR_VALID 0xffffu /* MXCSR_MASK as the guest sees it */
#define EFL_ARITH 0x8d5u  /* CF PF AF ZF SF OF */

enum simd_prefix { P_NP, P_66, P_F3, P_F2, P_NR };
enum simd_kind { K_NONE, K_XMM, K_MMX, K_GPR };
enum simd_dst { D_NONE, D_REG, D_RM };
/* Beyond x86-64-v1, which every host has. */
enum simd_feat { F_V1, F_SSE3, F_SSSE3, F_SSE41, F_SSE42, F_CLMUL, F_AES, F_SHA, F_NR };
/* Where a result can be tiny without being inexact: see simd_run.c. */
enum simd_tiny { T_NONE, T_SS, T_SD, T_PS, T_PD };

enum {
	O_A16 = 1,	  /* memory must be aligned to 16 */
	O_PURE = 2,	  /* the destination is not read */
	O_CSR = 4,	  /* reads and writes MXCSR */
	O_EFL = 8,	  /* writes the arithmetic flags */
	O_IMM = 16,	  /* immediate byte */
	O_XMM0 = 32,	  /* reads xmm0 as a third operand */
	O_W8 = 64,	  /* REX.W: the memory or general register operand is 8 bytes */
	O_MASKMOV = 128,  /* writes seg:rDI */
	O_EXPLICIT = 256, /* lengths in (r/e)ax, (r/e)dx */
	O_INDEX = 512,	  /* result in ecx */
	O_MASK0 = 1024,	  /* result in xmm0 */
	O_CRC32 = 2048,
};

struct simd_op {
	uint8_t reg, rm; /* enum simd_kind; rm K_NONE: memory only */
	uint8_t dst;	 /* enum simd_dst */
	uint8_t msz;	 /* bytes of memory; 0: registers only */
	uint16_t fl;	 /* O_* */
	uint8_t feat, tiny;
	uint8_t valid;
};

/* The row for an instruction, or NULL. */
const struct simd_op *simd_op_find(const struct insn *i, enum simd_prefix *ret_pfx);

/* x87 (simd_x87.c): one row for each memory and register form. */
int simd_x87_compile(struct simd_cache *c, const struct insn *i, struct simd_ins *ret);
/* fxsave, fxrstor, ldmxcsr, stmxcsr (simd_fx.c): no stub, plain C. */
int simd_fx_compile(const struct insn *i, struct simd_ins *ret);

/* Emitter.  A stub gets rdi = FXSAVE image (x87/MMX) or simd_ins (SSE), rsi =
 * struct simd_regs, rdx = memory operand; it returns 0 in eax. */
struct emit {
	uint8_t b[192];
	unsigned n;
};
#define EMIT(e, ...) \
	emit_bytes(e, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
void emit_bytes(struct emit *e, const uint8_t *p, unsigned n);
void emit_fx_enter(struct emit *e, bool flags_in); /* r9 = image, on the FPU */
void emit_fx_leave(struct emit *e);
void emit_flags_out(struct emit *e);				   /* clobbers rax, rcx, rdx */
void emit_gpr_load(struct emit *e, unsigned host, unsigned guest); /* host: rax..rdi; r8 = base */
void emit_gpr_store(struct emit *e, unsigned host, unsigned guest);
void emit_ret0(struct emit *e);

/* The code's address in the executable view; equal stubs are shared.  -ENOSPC. */
int simd_cache_put(struct simd_cache *c, const struct emit *e, const void **ret);
bool simd_cache_has(const struct simd_cache *c, enum simd_feat f);
unsigned simd_host_feats(void); /* bits by enum simd_feat */

/* What simd_ins.run points at (simd_run.c). */
typedef int simd_stub(const struct simd_ins *s, struct simd_regs *regs, void *mem);
int simd_run_csr(const struct simd_ins *s, struct simd_regs *regs, void *mem);
int simd_run_mmx(const struct simd_ins *s, struct simd_regs *regs, void *mem);
int simd_run_mixed(const struct simd_ins *s, struct simd_regs *regs, void *mem);

static inline uint16_t fx16(const uint8_t *fx, unsigned off)
{
	uint16_t v;

	memcpy(&v, fx + off, sizeof(v));
	return v;
}

static inline uint32_t fx32(const uint8_t *fx, unsigned off)
{
	uint32_t v;

	memcpy(&v, fx + off, sizeof(v));
	return v;
}

static inline void fx_put16(uint8_t *fx, unsigned off, uint16_t v)
{
	memcpy(fx + off, &v, sizeof(v));
}

static inline void fx_put32(uint8_t *fx, unsigned off, uint32_t v)
{
	memcpy(fx + off, &v, sizeof(v));
}

/* Copy x87 control, tags and registers into an image that fxrstor can't
 * refuse; the summary bit is derived, never believed. */
void simd_x87_to_image(uint8_t img[512], const uint8_t *fx);
/* And back; instruction and data pointers are the guest's own and stay. */
void simd_x87_from_image(uint8_t *fx, const uint8_t img[512]);

#endif
