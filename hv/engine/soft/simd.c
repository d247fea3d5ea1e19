/* hv/engine/soft/simd.c - from a decoded MMX or SSE instruction to a native stub.
 *
 * The stub is the instruction itself with its operands moved to where the host
 * has them: xmm and mm registers keep their numbers, a general register becomes
 * rcx, memory becomes [rdx].  An SSE stub touches only the xmm registers named:
 *
 *   addps xmm9, [rbx+8]   ->   mov r9, [rsi+16]; movaps xmm9, [r9+fx.xmm9];
 *                              addps xmm9, [rdx]; movaps [r9+fx.xmm9], xmm9; ret
 *
 * Instructions that name an mm register run between fxrstor and fxsave, for the
 * sake of the x87 state they share; so does all of x87 (simd_x87.c).
 */
#include "hv/engine/soft/simd.h"

#include <cpuid.h>
#include <errno.h>

#include "hv/engine/soft/simd_int.h"

_Static_assert(offsetof(struct simd_regs, r) == 0 && offsetof(struct simd_regs, rflags) == 8 &&
		       offsetof(struct simd_regs, fx) == 16,
	       "stubs know these offsets");

enum { H_RAX, H_RCX, H_RDX, H_RDI = 7, H_R10 = 10 };

/* Registers for one instruction; the operands' numbers as encoded in the stub. */
struct plan {
	const struct insn *i;
	const struct simd_op *o;
	enum simd_prefix pfx;
	bool is_mem, is_img; /* is_img: runs on a whole image */
	uint8_t membase;     /* H_RDX, or H_R10 when the instruction wants rdx */
	uint8_t xr, xm;	     /* xmm numbers of the reg and rm operands, or REG_NONE */
	uint8_t gr, gm;	     /* guest general registers, or REG_NONE */
};

static void emit_xmm_load(struct emit *e, unsigned x)
{
	unsigned off = FX_XMM + 16 * x;

	EMIT(e, 0x41 | (x & 8) >> 1, 0x0f, 0x28, 0x81 | (x & 7) << 3, off & 0xff, off >> 8, 0, 0);
}

static void emit_xmm_store(struct emit *e, unsigned x)
{
	unsigned off = FX_XMM + 16 * x;

	EMIT(e, 0x41 | (x & 8) >> 1, 0x0f, 0x29, 0x81 | (x & 7) << 3, off & 0xff, off >> 8, 0, 0);
}

static struct plan plan_of(const struct insn *i, const struct simd_op *o, enum simd_prefix pfx)
{
	struct plan p = { .i = i,
			  .o = o,
			  .pfx = pfx,
			  .membase = H_RDX,
			  .xr = REG_NONE,
			  .xm = REG_NONE,
			  .gr = REG_NONE,
			  .gm = REG_NONE };

	p.is_mem = i->has_modrm && i->mod != 3;
	p.is_img = o->reg == K_MMX || o->rm == K_MMX || (i->map == MAP_0F && i->op == 0x77);
	/* A stored or general-register form names mm in reg only; movntq too. */
	if (o->reg == K_XMM)
		p.xr = i->reg;
	else if (o->reg == K_GPR)
		p.gr = i->reg;
	if (!p.is_mem && i->has_modrm) {
		if (o->rm == K_XMM)
			p.xm = i->rm;
		else if (o->rm == K_GPR)
			p.gm = i->rm;
	}
	if (o->fl & O_EXPLICIT)
		p.membase = H_R10;
	return p;
}

/* crc32 names two general registers: the source goes to rax, byte-sized ones
 * through al, since ah..bh can't be addressed as themselves. */
static void emit_crc_source(struct emit *e, const struct plan *p)
{
	const struct insn *i = p->i;

	if (p->is_mem)
		return;
	if (i->op == 0xf0 && !i->rex && i->rm >= 4 && i->rm < 8)
		EMIT(e, 0x41, 0x0f, 0xb6, 0x40, (i->rm - 4) * 8 + 1); /* movzx eax, [r8 + n] */
	else
		emit_gpr_load(e, H_RAX, i->rm);
}

static void emit_loads(struct emit *e, const struct plan *p)
{
	const struct simd_op *o = p->o;

	if (o->fl & O_EXPLICIT)
		EMIT(e, 0x49, 0x89, 0xd2); /* mov r10, rdx */
	if (o->fl & O_MASKMOV)
		EMIT(e, 0x48, 0x89, 0xd7); /* mov rdi, rdx */
	if (o->fl & O_CRC32) {
		emit_crc_source(e, p);
		emit_gpr_load(e, H_RCX, p->gr);
	} else if (p->gr != REG_NONE && !(o->fl & O_PURE)) {
		emit_gpr_load(e, H_RCX, p->gr);
	} else if (p->gm != REG_NONE && o->dst != D_RM) {
		emit_gpr_load(e, H_RCX, p->gm);
	}
	if (o->fl & O_EXPLICIT) {
		emit_gpr_load(e, H_RAX, R_RAX);
		emit_gpr_load(e, H_RDX, R_RDX);
	}
	if (p->is_img)
		return;
	/* movss, movsd: the upper part is kept between registers */
	if (p->xr != REG_NONE && !(o->fl & O_PURE && o->dst == D_REG))
		emit_xmm_load(e, p->xr);
	if (p->xm != REG_NONE && !(o->fl & O_PURE && o->dst == D_RM))
		emit_xmm_load(e, p->xm);
	if (o->fl & O_XMM0 && p->xr != 0 && p->xm != 0)
		emit_xmm_load(e, 0);
}

static void emit_stores(struct emit *e, const struct plan *p)
{
	const struct simd_op *o = p->o;

	if (o->dst == D_REG && p->gr != REG_NONE)
		emit_gpr_store(e, H_RCX, p->gr);
	if (o->dst == D_RM && p->gm != REG_NONE)
		emit_gpr_store(e, H_RCX, p->gm);
	if (o->fl & O_INDEX)
		emit_gpr_store(e, H_RCX, R_RCX);
	if (p->is_img)
		return;
	if (o->dst == D_REG && p->xr != REG_NONE)
		emit_xmm_store(e, p->xr);
	if (o->dst == D_RM && p->xm != REG_NONE)
		emit_xmm_store(e, p->xm);
	if (o->fl & O_MASK0)
		emit_xmm_store(e, 0);
}

/* The instruction, re-encoded; prefixes without meaning for it are dropped. */
static void emit_insn(struct emit *e, const struct plan *p)
{
	static const uint8_t mandatory[P_NR] = { 0, 0x66, 0xf3, 0xf2 };
	const struct insn *i = p->i;
	unsigned rex = i->rex & 8, reg = i->reg, rm = i->rm;

	if (p->o->fl & O_CRC32 && i->opsize == 2)
		EMIT(e, 0x66);
	if (mandatory[p->pfx])
		EMIT(e, mandatory[p->pfx]);
	if (p->o->reg == K_GPR)
		reg = H_RCX;
	else if (p->o->reg != K_XMM)
		reg &= 7;
	if (p->is_mem)
		rm = p->membase;
	else if (p->o->rm == K_GPR)
		rm = p->o->fl & O_CRC32 ? H_RAX : H_RCX;
	else if (p->o->rm != K_XMM)
		rm &= 7;
	rex |= (reg & 8) >> 1 | rm >> 3;
	if (rex)
		EMIT(e, 0x40 | rex);
	EMIT(e, 0x0f);
	if (i->map != MAP_0F)
		EMIT(e, i->map == MAP_0F38 ? 0x38 : 0x3a);
	EMIT(e, i->op);
	if (i->has_modrm)
		EMIT(e, (p->is_mem ? 0 : 0xc0) | (reg & 7) << 3 | (rm & 7));
	if (p->o->fl & O_IMM)
		EMIT(e, (uint8_t)i->imm);
}

static void emit_stub(struct emit *e, const struct plan *p)
{
	const struct simd_op *o = p->o;
	bool csr = (o->fl & O_CSR) && !p->is_img;

	EMIT(e, 0x4c, 0x8b, 0x06); /* mov r8, [rsi] */
	if (p->is_img)
		emit_fx_enter(e, false);
	else
		EMIT(e, 0x4c, 0x8b, 0x4e, 0x10); /* mov r9, [rsi + 16] */
	if (csr)
		EMIT(e, 0x0f, 0xae, 0x5c, 0x24, 0xfc,	/* stmxcsr [rsp - 4] */
		     0x41, 0x0f, 0xae, 0x51, FX_MXCSR); /* ldmxcsr [r9 + 24] */
	emit_loads(e, p);
	emit_insn(e, p);
	if (csr)
		EMIT(e, 0x41, 0x0f, 0xae, 0x59, FX_MXCSR, /* stmxcsr [r9 + 24] */
		     0x0f, 0xae, 0x54, 0x24, 0xfc);	  /* ldmxcsr [rsp - 4] */
	emit_stores(e, p);
	if (p->is_img)
		emit_fx_leave(e);
	if (o->fl & O_EFL)
		emit_flags_out(e);
	emit_ret0(e);
}

static unsigned mem_size(const struct plan *p)
{
	const struct insn *i = p->i;

	if (p->o->fl & O_MASKMOV)
		return p->o->msz;
	if (!p->is_mem)
		return 0;
	if (p->o->fl & O_CRC32)
		return i->op == 0xf0 ? 1 : i->opsize;
	return p->o->fl & O_W8 && i->rex & 8 ? 8 : p->o->msz;
}

static enum simd_mem mem_dir(const struct plan *p)
{
	if (p->o->fl & O_MASKMOV)
		return SIMD_MEM_RW; /* unselected bytes keep what is there */
	if (!p->is_mem)
		return SIMD_MEM_NONE;
	return p->o->dst == D_RM ? SIMD_MEM_WRITE : SIMD_MEM_READ;
}

static int compile_sse(struct simd_cache *c, const struct insn *i, struct simd_ins *ret)
{
	enum simd_prefix pfx = P_NP;
	const struct simd_op *o = simd_op_find(i, &pfx);
	struct simd_ins s = { 0 };
	struct emit e = { .n = 0 };
	struct plan p;
	bool xmm;
	int r;

	if (!o || !simd_cache_has(c, o->feat))
		return -ENOENT;
	p = plan_of(i, o, pfx);
	emit_stub(&e, &p);
	r = simd_cache_put(c, &e, &s.code);
	if (r < 0)
		return r;
	xmm = o->reg == K_XMM || o->rm == K_XMM;
	s.mem_size = mem_size(&p);
	s.mem = mem_dir(&p);
	s.align = p.is_mem && o->fl & O_A16 ? 16 : 0;
	s.flags = !!(o->fl & O_EFL);
	s.tiny = o->tiny;
	s.dst = i->reg & 15;
	/* cvtpi2ps and cvtpi2pd from memory leave the x87 state alone */
	s.waits = p.is_img && !(p.is_mem && o->rm == K_MMX && o->reg == K_XMM);
	s.unit = p.is_img && !xmm ? SIMD_MMX : SIMD_SSE;
	if (p.is_img)
		s.run = xmm ? simd_run_mixed : simd_run_mmx;
	else
		s.run = o->fl & O_CSR ? simd_run_csr : (simd_stub *)s.code;
	*ret = s;
	return 0;
}

int simd_compile(struct simd_cache *c, const struct insn *i, struct simd_ins *ret)
{
	if (i->map == MAP_1)
		return simd_x87_compile(c, i, ret);
	if (i->map == MAP_0F && i->op == 0xae)
		return simd_fx_compile(i, ret);
	return compile_sse(c, i, ret);
}

/* CPUID bits behind each feature; the floor first (SDM 2A, CPUID). */
enum { EAX, EBX, ECX, EDX };
static const struct {
	uint32_t leaf;
	uint8_t reg, bit, feat;
} cpuid_bits[] = {
	{ 1, EDX, 0, F_V1 },	       /* FPU */
	{ 1, EDX, 23, F_V1 },	       /* MMX */
	{ 1, EDX, 24, F_V1 },	       /* FXSR */
	{ 1, EDX, 25, F_V1 },	       /* SSE */
	{ 1, EDX, 26, F_V1 },	       /* SSE2 */
	{ 0x80000001, EDX, 0, F_V1 },  /* AMD's copies of FPU, MMX, FXSR */
	{ 0x80000001, EDX, 22, F_V1 }, /* MMXEXT: the MMX part of SSE */
	{ 0x80000001, EDX, 23, F_V1 }, { 0x80000001, EDX, 24, F_V1 }, { 1, ECX, 0, F_SSE3 },
	{ 1, ECX, 1, F_CLMUL },	       { 1, ECX, 9, F_SSSE3 },	      { 1, ECX, 19, F_SSE41 },
	{ 1, ECX, 20, F_SSE42 },       { 1, ECX, 25, F_AES },	      { 7, EBX, 29, F_SHA },
};

static void host_cpuid(uint32_t leaf, uint32_t regs[4])
{
	if (!__get_cpuid_count(leaf, 0, &regs[EAX], &regs[EBX], &regs[ECX], &regs[EDX]))
		memset(regs, 0, 4 * sizeof(*regs));
}

unsigned simd_host_feats(void)
{
	unsigned feats = 1u << F_V1;
	uint32_t regs[4];

	for (unsigned n = 0; n < sizeof(cpuid_bits) / sizeof(cpuid_bits[0]); n++) {
		host_cpuid(cpuid_bits[n].leaf, regs);
		if (cpuid_bits[n].feat != F_V1 && regs[cpuid_bits[n].reg] >> cpuid_bits[n].bit & 1)
			feats |= 1u << cpuid_bits[n].feat;
	}
	return feats;
}

void simd_cpuid_supported(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	uint32_t host[4];

	memset(regs, 0, 4 * sizeof(*regs));
	if (subleaf)
		return;
	host_cpuid(leaf, host);
	for (unsigned n = 0; n < sizeof(cpuid_bits) / sizeof(cpuid_bits[0]); n++) {
		unsigned reg = cpuid_bits[n].reg;

		if (cpuid_bits[n].leaf == leaf)
			regs[reg] |= host[reg] & 1u << cpuid_bits[n].bit;
	}
}
