/* hv/engine/soft/simd_x87.c - opcodes D8..DF and fwait.
 *
 * Everything runs natively, environment loads and stores too.  Two things are
 * kept from the host: the instruction and data pointers (they would be the
 * stub's own addresses, so the guest keeps what it loaded itself), and aliases
 * that manuals leave undocumented (encoded as their documented twins).
 * Sources: SDM 2, x87 pages and table A-7..A-22; SDM 1, 8.1.10 (environment).
 */
#include <errno.h>

#include "hv/engine/soft/simd_int.h"

enum x87_fl {
	XF_LD = 1,     /* reads memory */
	XF_ST = 2,     /* writes memory */
	XF_NOWAIT = 4, /* does not raise what is pending */
	XF_ENV = 8,    /* loads or stores the environment's pointers */
	XF_SAVE = 16,  /* with the registers: frstor, fnsave */
	XF_SSE3 = 32,
};

struct x87_mem {
	uint8_t size, fl; /* size 0: not an instruction; 28: the environment */
};

/* By opcode - D8 and ModRM.reg. */
static const struct x87_mem mem_forms[8][8] = {
	{ { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD } },
	{ { 4, XF_LD },
	  { 0, 0 },
	  { 4, XF_ST },
	  { 4, XF_ST },
	  { 28, XF_LD | XF_ENV },
	  { 2, XF_LD },
	  { 28, XF_ST | XF_ENV | XF_NOWAIT },
	  { 2, XF_ST | XF_NOWAIT } },
	{ { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD },
	  { 4, XF_LD } },
	{ { 4, XF_LD },
	  { 4, XF_ST | XF_SSE3 },
	  { 4, XF_ST },
	  { 4, XF_ST },
	  { 0, 0 },
	  { 10, XF_LD },
	  { 0, 0 },
	  { 10, XF_ST } },
	{ { 8, XF_LD },
	  { 8, XF_LD },
	  { 8, XF_LD },
	  { 8, XF_LD },
	  { 8, XF_LD },
	  { 8, XF_LD },
	  { 8, XF_LD },
	  { 8, XF_LD } },
	{ { 8, XF_LD },
	  { 8, XF_ST | XF_SSE3 },
	  { 8, XF_ST },
	  { 8, XF_ST },
	  { 28, XF_LD | XF_ENV | XF_SAVE },
	  { 0, 0 },
	  { 28, XF_ST | XF_ENV | XF_SAVE | XF_NOWAIT },
	  { 2, XF_ST | XF_NOWAIT } },
	{ { 2, XF_LD },
	  { 2, XF_LD },
	  { 2, XF_LD },
	  { 2, XF_LD },
	  { 2, XF_LD },
	  { 2, XF_LD },
	  { 2, XF_LD },
	  { 2, XF_LD } },
	{ { 2, XF_LD },
	  { 2, XF_ST | XF_SSE3 },
	  { 2, XF_ST },
	  { 2, XF_ST },
	  { 10, XF_LD },
	  { 8, XF_LD },
	  { 10, XF_ST },
	  { 8, XF_ST } },
};

/* Which of C0..FF exist: bit n is ModRM C0 + n. */
static const uint64_t reg_forms[8] = {
	0xffffffffffffffffull, 0xffff7f33ff01ffffull, /* not D1-D7, E2, E3, E6, E7, EF */
	0x00000200ffffffffull,			      /* fcmov, fucompp */
	0x00ffff1fffffffffull,			      /* not E5-E7, F8-FF */
	0xffffffffffffffffull, 0x0000ffffffffffffull,
	0xffffffff02ffffffull, /* of D8-DF only D9, fcompp */
	0x00ffff01ffffffffull, /* not E1-E7, F8-FF */
};

/* D9 D8..DF has no twin: it pops without looking at tags.
 * Aliases: the documented encoding's opcode and the ModRM block of eight. */
static const struct {
	uint8_t op, modrm, to_op, to_modrm;
} aliases[] = {
	{ 0xdc, 0xd0, 0xd8, 0xd0 }, /* fcom */
	{ 0xdc, 0xd8, 0xd8, 0xd8 }, /* fcomp */
	{ 0xdd, 0xc8, 0xd9, 0xc8 }, /* fxch */
	{ 0xde, 0xd0, 0xd8, 0xd8 }, /* fcomp */
	{ 0xdf, 0xc8, 0xd9, 0xc8 }, /* fxch */
	{ 0xdf, 0xd0, 0xdd, 0xd8 }, /* fstp */
	{ 0xdf, 0xd8, 0xdd, 0xd8 },
};

/* The pointers in a protected-mode environment, as the image has them. */
struct env {
	bool wide; /* 28 bytes, else 14 */
};

static void env_patch(const struct env *v, const uint8_t *fx, uint8_t *mem)
{
	uint16_t fop = fx16(fx, FX_FOP) & 0x7ff;

	if (v->wide) {
		fx_put32(mem, 12, fx32(fx, FX_FIP));
		fx_put32(mem, 16, (uint32_t)fop << 16);
		fx_put32(mem, 20, fx32(fx, FX_FDP));
		fx_put32(mem, 24, 0xffff0000);
	} else {
		fx_put16(mem, 6, fx16(fx, FX_FIP));
		fx_put16(mem, 8, 0);
		fx_put16(mem, 10, fx16(fx, FX_FDP));
		fx_put16(mem, 12, 0);
	}
}

static void env_take(const struct env *v, const uint8_t *mem, uint8_t *fx)
{
	memset(fx + FX_FOP, 0, FX_MXCSR - FX_FOP);
	if (v->wide) {
		fx_put32(fx, FX_FIP, fx32(mem, 12));
		fx_put16(fx, FX_FOP, fx16(mem, 18) & 0x7ff);
		fx_put32(fx, FX_FDP, fx32(mem, 20));
	} else {
		fx_put16(fx, FX_FIP, fx16(mem, 6));
		fx_put16(fx, FX_FDP, fx16(mem, 10));
	}
}

static void pointers_clear(uint8_t *fx)
{
	memset(fx + FX_FOP, 0, FX_MXCSR - FX_FOP);
}

/* fnstenv, fnsave, fldenv, frstor.  Memory may be the guest's own, shared with
 * its other CPUs: it is copied once. */
static int run_env(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	bool save = s->mem_size > 28, store = s->mem == SIMD_MEM_WRITE;
	struct env v = { .wide = s->mem_size == 28 || s->mem_size == 108 };
	uint8_t buf[108];

	if (!store)
		memcpy(buf, mem, s->mem_size);
	if (simd_run_mmx(s, regs, buf))
		return SIMD_MF;
	if (!store) {
		env_take(&v, buf, regs->fx);
		return 0;
	}
	env_patch(&v, regs->fx, buf);
	if (save)
		pointers_clear(regs->fx);
	memcpy(mem, buf, s->mem_size);
	return 0;
}

static int run_fninit(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	simd_run_mmx(s, regs, mem);
	pointers_clear(regs->fx);
	return 0;
}

static int run_fnstsw_ax(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	uint8_t img[512];

	simd_x87_to_image(img, regs->fx);
	regs->r[R_RAX] = (regs->r[R_RAX] & ~0xffffull) | fx16(img, FX_FSW);
	return 0;
}

static int run_fwait(const struct simd_ins *s, struct simd_regs *regs, void *mem)
{
	return simd_x87_pending(regs->fx) ? SIMD_MF : 0;
}

/* fcmovcc reads flags; fcomi and fucomi write them. */
static bool uses_flags(uint8_t op, uint8_t modrm)
{
	return ((op == 0xda || op == 0xdb) && modrm < 0xe0) ||
	       ((op == 0xdb || op == 0xdf) && modrm >= 0xe8 && modrm < 0xf8);
}

static int put_stub(struct simd_cache *c, const uint8_t *insn, unsigned n, bool flags,
		    const void **ret)
{
	struct emit e = { .n = 0 };

	emit_fx_enter(&e, flags);
	emit_bytes(&e, insn, n);
	emit_fx_leave(&e);
	if (flags)
		emit_flags_out(&e);
	emit_ret0(&e);
	return simd_cache_put(c, &e, ret);
}

static int compile_mem(struct simd_cache *c, const struct insn *i, struct simd_ins *s)
{
	const struct x87_mem *m = &mem_forms[i->op - 0xd8][i->reg & 7];
	uint8_t code[3], n = 0;

	if (!m->size || (m->fl & XF_SSE3 && !simd_cache_has(c, F_SSE3)))
		return -ENOENT;
	s->mem_size = m->size;
	s->mem = m->fl & XF_LD ? SIMD_MEM_READ : SIMD_MEM_WRITE;
	s->waits = !(m->fl & XF_NOWAIT);
	s->run = simd_run_mmx;
	if (m->fl & XF_ENV) {
		s->run = run_env;
		s->mem_size = (i->opsize == 2 ? 14 : 28) + (m->fl & XF_SAVE ? 80 : 0);
		if (i->opsize == 2)
			code[n++] = 0x66;
	} else if (m->fl & XF_ST && s->waits) {
		s->mem = SIMD_MEM_RW; /* an unmasked exception leaves memory alone */
	}
	code[n++] = i->op;
	code[n++] = (i->reg & 7) << 3 | 2; /* [rdx] */
	return put_stub(c, code, n, false, &s->code);
}

static int compile_reg(struct simd_cache *c, const struct insn *i, struct simd_ins *s)
{
	uint8_t modrm = 0xc0 | (i->reg & 7) << 3 | (i->rm & 7);
	uint8_t code[2] = { i->op, modrm };

	if (!(reg_forms[i->op - 0xd8] >> (modrm & 0x3f) & 1))
		return -ENOENT;
	for (unsigned n = 0; n < sizeof(aliases) / sizeof(aliases[0]); n++)
		if (aliases[n].op == i->op && aliases[n].modrm == (modrm & 0xf8)) {
			code[0] = aliases[n].to_op;
			code[1] = aliases[n].to_modrm | (modrm & 7);
		}
	s->waits = 1;
	s->run = simd_run_mmx;
	if (i->op == 0xdb && modrm >= 0xe0 && modrm <= 0xe4) {
		s->waits = 0;
		if (modrm == 0xe3)
			s->run = run_fninit;
		else if (modrm != 0xe2) /* fneni, fndisi, fnsetpm do nothing, nor wait */
			code[0] = code[1] = 0x90;
	} else if (i->op == 0xdf && modrm == 0xe0) {
		s->waits = 0;
		s->run = run_fnstsw_ax;
	}
	s->flags = uses_flags(i->op, modrm);
	return put_stub(c, code, 2, s->flags, &s->code);
}

int simd_x87_compile(struct simd_cache *c, const struct insn *i, struct simd_ins *ret)
{
	struct simd_ins s = { .unit = SIMD_X87 };
	int r;

	if (i->lock)
		return -ENOENT;
	if (i->op == 0x9b) {
		*ret = (struct simd_ins){ .unit = SIMD_X87, .waits = 1, .run = run_fwait };
		return 0;
	}
	if (i->op < 0xd8 || i->op > 0xdf)
		return -ENOENT;
	r = i->mod == 3 ? compile_reg(c, i, &s) : compile_mem(c, i, &s);
	if (r < 0)
		return r;
	*ret = s;
	return 0;
}
