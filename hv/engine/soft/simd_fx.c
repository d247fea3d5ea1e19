/* hv/engine/soft/simd_fx.c - fxsave, fxrstor, ldmxcsr, stmxcsr: copies between
 * memory and the image, with the checks that keep the image loadable.
 */
#include <errno.h>

#include "hv/engine/soft/simd_int.h"

/* Only bytes 0..415 are the instruction's (SDM 1, 10.5.1); the rest is the
 * program's own.  Without REX.W pointers have 32 bits, selectors read 0. */
static int run_fxsave(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	uint8_t img[512];

	simd_x87_to_image(img, regs->fx);
	memcpy(img + FX_XMM, regs->fx + FX_XMM, FX_END - FX_XMM);
	fx_put32(img, FX_MXCSR, fx32(regs->fx, FX_MXCSR) & CSR_VALID);
	fx_put32(img, FX_MXCSR_MASK, CSR_VALID);
	memcpy(mem, img, FX_END);
	return 0;
}

void simd_fx_clean(uint8_t fx[512])
{
	uint8_t img[512];

	memcpy(img, fx, 512);
	simd_x87_to_image(img, fx);
	memcpy(fx, img, FX_MXCSR);
	/* reserved bits of the control word read as 0, bit 6 as 1; FOP has 11 bits */
	fx_put16(fx, FX_FCW, (fx16(fx, FX_FCW) & 0x1f3f) | 0x40);
	fx_put16(fx, FX_FTW, fx16(fx, FX_FTW) & 0xff);
	fx_put16(fx, FX_FOP, fx16(fx, FX_FOP) & 0x7ff);
	fx_put32(fx, FX_MXCSR, fx32(fx, FX_MXCSR) & CSR_VALID);
	fx_put32(fx, FX_MXCSR_MASK, CSR_VALID);
	for (unsigned i = 0; i < 8; i++)
		memset(fx + FX_ST + 16 * i + 10, 0, 6);
	memset(fx + FX_END, 0, 512 - FX_END);
}

static int run_fxrstor(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	uint8_t img[512];

	memcpy(img, mem, FX_END); /* once: it may be shared with other CPUs */
	if (fx32(img, FX_MXCSR) & ~CSR_VALID)
		return SIMD_GP;
	simd_fx_clean(img);
	memcpy(regs->fx, img, FX_END);
	return 0;
}

static int run_ldmxcsr(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	uint32_t csr = fx32(mem, 0);

	if (csr & ~CSR_VALID)
		return SIMD_GP;
	fx_put32(regs->fx, FX_MXCSR, csr);
	return 0;
}

static int run_stmxcsr(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	fx_put32(mem, 0, fx32(regs->fx, FX_MXCSR) & CSR_VALID);
	return 0;
}

int simd_fx_compile(const struct insn *i, struct simd_ins *ret)
{
	static const struct simd_ins rows[4] = {
		{ .run = run_fxsave,
		  .mem_size = 512,
		  .mem = SIMD_MEM_RW,
		  .align = 16,
		  .unit = SIMD_X87 },
		{ .run = run_fxrstor,
		  .mem_size = 512,
		  .mem = SIMD_MEM_READ,
		  .align = 16,
		  .unit = SIMD_X87 },
		{ .run = run_ldmxcsr, .mem_size = 4, .mem = SIMD_MEM_READ, .unit = SIMD_SSE },
		{ .run = run_stmxcsr, .mem_size = 4, .mem = SIMD_MEM_WRITE, .unit = SIMD_SSE },
	};

	if (i->mod == 3 || (i->reg & 7) > 3 || i->rep || i->p66 || i->lock)
		return -ENOENT;
	*ret = rows[i->reg & 7];
	return 0;
}
