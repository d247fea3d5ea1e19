/* hv/engine/soft/simd_run.c - around the stubs: floating-point exceptions.
 *
 * SSE exceptions strike at once, so a stub always runs with them masked.  When
 * the guest has all of them masked as well (nearly always) that is the whole
 * story.  Otherwise it runs on a copy, and what it would have raised is derived
 * from the status bits (SDM 1, 11.5.2 and 4.9.2):
 *   - unmasked IE, DE or ZE stop it before computing: OE, UE, PE stay out;
 *   - unmasked UE is raised by a tiny result even when it is exact, which the
 *     masked run shows only as a denormal in the destination, and FTZ is void.
 *
 * x87 exceptions strike at the next waiting instruction, so x87 runs with the
 * guest's own control word: the stub ends with fxsave and fninit, which do not
 * wait.
 */
#include "hv/engine/soft/simd_int.h"

void simd_x87_to_image(uint8_t img[512], const uint8_t *fx)
{
	uint16_t fsw;

	memcpy(img, fx, FX_XMM);
	fsw = fx16(img, FX_FSW) & (uint16_t)~FSW_ES_B;
	if (simd_x87_pending(img))
		fsw |= FSW_ES_B;
	fx_put16(img, FX_FSW, fsw);
	fx_put32(img, FX_MXCSR, CSR_MASKS);
}

void simd_x87_from_image(uint8_t *fx, const uint8_t img[512])
{
	memcpy(fx, img, FX_FOP);
	memcpy(fx + FX_ST, img + FX_ST, FX_XMM - FX_ST);
}

static int run_stub(const struct simd_ins *s, uint8_t *img, struct simd_regs *regs, void *mem)
{
	return ((simd_stub *)s->code)((const struct simd_ins *)img, regs, mem);
}

int simd_run_mmx(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	uint8_t img[512] __attribute__((aligned(16)));

	if (s->waits && simd_x87_pending(regs->fx))
		return SIMD_MF;
	simd_x87_to_image(img, regs->fx);
	run_stub(s, img, regs, mem);
	simd_x87_from_image(regs->fx, img);
	return 0;
}

/* A denormal among the results, or where the scalar one is. */
static bool is_tiny(const uint8_t *x, enum simd_tiny t)
{
	bool dbl = t == T_SD || t == T_PD;
	unsigned n = t == T_SS || t == T_SD ? 1 : dbl ? 2 : 4;

	for (unsigned i = 0; i < n; i++) {
		uint64_t v = 0;

		memcpy(&v, x + i * (dbl ? 8 : 4), dbl ? 8 : 4);
		v <<= dbl ? 1 : 33; /* drop the sign; 11 or 8 bits of exponent on top */
		if (v && !(v >> (dbl ? 53 : 56)))
			return true;
	}
	return false;
}

/* What the guest's masks turn raised flags into.  True: #XM. */
static bool csr_fault(uint32_t *csr, uint32_t raised)
{
	uint32_t unmasked = raised & ~(*csr >> 7) & CSR_EXC;

	if (unmasked & CSR_PRE)
		raised &= CSR_PRE;
	*csr |= raised;
	return unmasked != 0;
}

/* MXCSR for a run with everything masked and no flag yet. */
static uint32_t csr_quiet(uint32_t csr)
{
	csr &= CSR_VALID;
	if (!(csr & CSR_UM))
		csr &= ~CSR_FTZ;
	return (csr & ~CSR_EXC) | CSR_MASKS;
}

/* Some exception is unmasked, or the image holds bits no guest can set. */
static int run_csr_unmasked(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	uint8_t fx[512] __attribute__((aligned(16)));
	uint32_t csr = fx32(regs->fx, FX_MXCSR) & CSR_VALID, raised;
	uint64_t r[R_NR], rflags = *regs->rflags;
	struct simd_regs tmp = { .r = r, .rflags = &rflags, .fx = fx };
	bool fault;

	memcpy(fx, regs->fx, FX_END);
	memcpy(r, regs->r, sizeof(r));
	fx_put32(fx, FX_MXCSR, csr_quiet(csr));
	((simd_stub *)s->code)(s, &tmp, mem); /* these only read memory */
	raised = fx32(fx, FX_MXCSR) & CSR_EXC;
	if (!(csr & CSR_UM) && s->tiny && is_tiny(fx + FX_XMM + 16 * s->dst, s->tiny))
		raised |= CSR_UE;
	fault = csr_fault(&csr, raised);
	if (!fault) {
		memcpy(regs->fx + FX_XMM, fx + FX_XMM, FX_END - FX_XMM);
		memcpy(regs->r, r, sizeof(r));
		*regs->rflags = rflags;
	}
	fx_put32(regs->fx, FX_MXCSR, csr);
	return fault ? SIMD_XM : 0;
}

int simd_run_csr(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	uint32_t csr = fx32(regs->fx, FX_MXCSR);

	/* all masked; rounding, DAZ, FTZ and flags may be anything */
	if (__builtin_expect((csr & ~0xe07fu) == CSR_MASKS, 1))
		return ((simd_stub *)s->code)(s, regs, mem);
	return run_csr_unmasked(s, regs, mem);
}

/* What naming an mm register does to the x87 state, even when #XM follows: TOP
 * becomes 0, every register valid (SDM 1, 9.5).  The image is in stack order. */
static void mmx_enter(uint8_t *fx)
{
	uint16_t fsw = fx16(fx, FX_FSW);
	unsigned top = fsw >> 11 & 7;
	uint8_t st[128];

	memcpy(st, fx + FX_ST, sizeof(st));
	for (unsigned i = 0; i < 8; i++)
		memcpy(fx + FX_ST + 16 * i, st + 16 * ((i - top) & 7), 16);
	fx_put16(fx, FX_FSW, fsw & (uint16_t)~0x3800);
	fx[FX_FTW] = 0xff;
}

/* Both mm and xmm: cvtpi2ps and its kin, movq2dq, movdq2q. */
int simd_run_mixed(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	uint8_t img[512] __attribute__((aligned(16)));
	uint32_t csr = fx32(regs->fx, FX_MXCSR) & CSR_VALID;
	bool fault;

	if (s->waits && simd_x87_pending(regs->fx))
		return SIMD_MF;
	simd_x87_to_image(img, regs->fx);
	memcpy(img + FX_XMM, regs->fx + FX_XMM, FX_END - FX_XMM);
	fx_put32(img, FX_MXCSR, csr_quiet(csr));
	run_stub(s, img, regs, mem);
	fault = csr_fault(&csr, fx32(img, FX_MXCSR) & CSR_EXC);
	if (!fault) {
		simd_x87_from_image(regs->fx, img);
		memcpy(regs->fx + FX_XMM, img + FX_XMM, FX_END - FX_XMM);
	} else if (s->waits) { /* an mm register is named */
		mmx_enter(regs->fx);
	}
	fx_put32(regs->fx, FX_MXCSR, csr);
	return fault ? SIMD_XM : 0;
}
