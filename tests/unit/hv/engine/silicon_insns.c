/* tests/unit/hv/engine/silicon_insns.c - the soft engine against the host's CPU:
 * random instructions of every family with random registers, flags and memory,
 * run natively and in a small long-mode guest; registers, flags, memory, x87 and
 * SSE state and exceptions must be the same.
 *
 * Zydis names the instruction, its memory operand's size and the flags that
 * the manuals leave undefined, so it also keeps natively harmful instructions
 * out.  SILICON_SEED, SILICON_COUNT (cases per family) and SILICON_FAMILY (a
 * name from the table below) make long soaks and narrow hunts.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "hv/engine/soft/insn.h"
#include "hv/engine/state.h"
#include "tests/unit/hv/engine/silicon.h"
#include "tests/unit/hv/engine/silicon_guest.h"

#define STATES	   4u /* random states per instruction */
#define ARITH	   0x8d5ull
#define FLAGS_SEEN (ARITH | 0x40700) /* with TF, IF, DF, AC */

/* One opcode: map, byte, and a bit mask of the ModRM.reg values wanted (0: all,
 * or no ModRM). */
struct pick {
	uint8_t map, lo, hi, regs;
};

enum { PFX_REP = 1, PFX_LOCK = 2, PFX_OFTEN66 = 4 };
struct family {
	const char *name;
	unsigned fl;
	struct pick p[24];
};

#define M1(lo, hi)               \
	{                        \
		MAP_1, lo, hi, 0 \
	}
#define M1R(op, regs)               \
	{                           \
		MAP_1, op, op, regs \
	}
#define MF(lo, hi)                \
	{                         \
		MAP_0F, lo, hi, 0 \
	}
#define MFR(op, regs)                \
	{                            \
		MAP_0F, op, op, regs \
	}
static const struct family families[] = {
	{ "alu",
	  PFX_LOCK,
	  { M1(0x00, 0x05), M1(0x08, 0x0d), M1(0x10, 0x15), M1(0x18, 0x1d), M1(0x20, 0x25),
	    M1(0x28, 0x2d), M1(0x30, 0x35), M1(0x38, 0x3d), M1(0x80, 0x83), M1(0x84, 0x85),
	    M1(0xa8, 0xa9), M1R(0xf6, 0x0f), M1R(0xf7, 0x0f), M1R(0xfe, 0x03), M1R(0xff, 0x03) } },
	{ "shift", 0, { M1(0xc0, 0xc1), M1(0xd0, 0xd3), MF(0xa4, 0xa5), MF(0xac, 0xad) } },
	{ "muldiv",
	  0,
	  { M1R(0xf6, 0xf0), M1R(0xf7, 0xf0), M1R(0xf7, 0xf0), M1(0x69, 0x69), M1(0x6b, 0x6b),
	    MF(0xaf, 0xaf) } },
	{ "bits",
	  PFX_LOCK,
	  { MF(0xa3, 0xa3), MF(0xab, 0xab), MF(0xb3, 0xb3), MF(0xbb, 0xbb), MFR(0xba, 0xf0),
	    MF(0xbc, 0xbd), MF(0xc8, 0xcf) } },
	{ "move",
	  0,
	  { M1(0x88, 0x8b), M1(0x8c, 0x8d), M1(0xb0, 0xbf), M1R(0xc6, 1), M1R(0xc7, 1),
	    M1(0xa0, 0xa3), M1(0x86, 0x87), M1(0x90, 0x99), M1(0x9e, 0x9f), M1(0x63, 0x63),
	    MF(0xb6, 0xb7), MF(0xbe, 0xbf), MF(0xc3, 0xc3), M1(0xf5, 0xf5), M1(0xf8, 0xf9),
	    M1(0xfc, 0xfd), M1(0xd7, 0xd7) } },
	{ "condition", 0, { MF(0x40, 0x4f), MF(0x90, 0x9f) } },
	{ "stack",
	  0,
	  { M1(0x50, 0x5f), M1(0x68, 0x68), M1(0x6a, 0x6a), M1R(0x8f, 1), M1R(0xff, 0x40),
	    M1(0xc8, 0xc9), M1(0x9c, 0x9d) } },
	{ "string", PFX_REP, { M1(0xa4, 0xa7), M1(0xaa, 0xaf) } },
	{ "atomic", PFX_LOCK, { MF(0xb0, 0xb1), MF(0xc0, 0xc1), MFR(0xc7, 0x02) } },
	{ "branch",
	  0,
	  { M1(0x70, 0x7f), MF(0x80, 0x8f), M1(0xe0, 0xe3), M1(0xe8, 0xe9), M1(0xeb, 0xeb),
	    M1(0xc2, 0xc3), M1R(0xff, 0x14) } },
	{ "hint",
	  PFX_REP,
	  { MF(0x0d, 0x0d), MF(0x18, 0x1f), MFR(0xae, 0xe0), M1(0x90, 0x90), MF(0x0b, 0x0b),
	    MF(0xff, 0xff), MF(0xb9, 0xb9), M1(0xf4, 0xf4), M1(0xfa, 0xfb), M1(0x6c, 0x6f),
	    M1(0xe4, 0xe7), M1(0xec, 0xef) } },
	{ "legacy",
	  PFX_LOCK, /* mostly #UD in 64-bit code */
	  { M1(0x27, 0x27), M1(0x2f, 0x2f), M1(0x37, 0x37), M1(0x3f, 0x4f), M1(0x60, 0x63),
	    M1(0xd4, 0xd6), M1(0x06, 0x06), M1(0x0e, 0x0e), M1(0x16, 0x16), M1(0x1e, 0x1e),
	    M1(0xf1, 0xf1), M1R(0x82, 0xff) } },
	{ "x87", 0, { M1(0xd8, 0xdf), M1(0x9b, 0x9b) } },
	{ "mmx-sse",
	  PFX_REP | PFX_OFTEN66,
	  { MF(0x10, 0x17), MF(0x28, 0x2f), MF(0x50, 0x7f), MF(0x50, 0x7f), MF(0xc2, 0xc6),
	    MF(0xd0, 0xff), MF(0xd0, 0xff), MFR(0xae, 0x0f) } },
	{ "sse3-sse4",
	  PFX_REP | PFX_OFTEN66,
	  { { MAP_0F38, 0, 0xff, 0 }, { MAP_0F3A, 0, 0xff, 0 } } },
	{ "any", PFX_REP, { M1(0, 0xff), MF(0, 0xff) } },
};

static struct guest *guest;
static enum insn_mode mode;
static ZydisDecoder zdec; /* for mode */
static uint8_t mem0[SIL_LEN], cpu_mem[SIL_LEN], our_mem[SIL_LEN];

struct subject {
	uint8_t code[15];
	struct insn i;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	unsigned mem_size; /* explicit memory operand, or 0 */
};

static uint64_t pick_target(const struct subject *s)
{
	uint64_t t = sil_rand_target(s->mem_size);

	/* locked accesses across cache lines stop the host's whole bus */
	if (s->i.lock || s->z.mnemonic == ZYDIS_MNEMONIC_XCHG)
		t &= ~(uint64_t)(s->mem_size - 1);
	return t;
}

static void random_bytes(const struct family *f, uint8_t code[15])
{
	const struct pick *p;
	unsigned np = 0, n = 0, reg;

	while (np < 24 && (f->p[np].hi || f->p[np].lo))
		np++;
	p = &f->p[sil_rand() % np];
	for (unsigned i = 0; i < 15; i++)
		code[i] = (uint8_t)sil_rand();
	if (sil_rand() % 16 == 0)
		code[n++] = 0x67;
	if (sil_rand() % (f->fl & PFX_OFTEN66 ? 2 : 5) == 0)
		code[n++] = 0x66;
	if (sil_rand() % (f->fl & PFX_REP ? 2 : 16) == 0)
		code[n++] = sil_rand() & 1 ? 0xf2 : 0xf3;
	if (sil_rand() % (f->fl & PFX_LOCK ? 3 : 32) == 0)
		code[n++] = 0xf0;
	if (sil_rand() % 32 == 0)
		code[n++] = 0x65; /* GS: base 0 on both sides */
	if (mode == MODE_64 && sil_rand() & 1)
		code[n++] = 0x40 | (sil_rand() & 15);
	if (p->map != MAP_1)
		code[n++] = 0x0f;
	if (p->map > MAP_0F)
		code[n++] = p->map == MAP_0F38 ? 0x38 : 0x3a;
	code[n++] = (uint8_t)(p->lo + sil_rand() % (p->hi - p->lo + 1u));
	if (p->regs) {
		do
			reg = sil_rand() & 7;
		while (!(p->regs >> reg & 1));
		code[n] = (code[n] & 0xc7) | reg << 3;
	}
	if (sil_rand() % 4 == 0)
		code[n] |= 0xc0;
}

/* Opcodes whose danger isn't in Zydis's categories: segment loads; and the
 * addresses that aren't ours to choose. */
static bool is_wanted(const struct subject *s)
{
	const struct insn *i = &s->i;

	if (i->map == MAP_1 && (i->op == 0x8e || i->op == 0x07 || i->op == 0x17 || i->op == 0x1f))
		return false;
	if (i->map == MAP_0F && (i->op == 0xa1 || i->op == 0xa9))
		return false;
	if (i->seg == S_FS)
		return false;
	/* Intel ignores 66 on a near branch, AMD cuts RIP to 16 bits */
	if (s->z.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && i->p66 && mode == MODE_64)
		return false;
	/* fxsave and fxrstor leave xmm8 to xmm15 alone in 32-bit code, ours do not */
	if (i->map == MAP_0F && i->op == 0xae && mode != MODE_64)
		return false;
	/* what repne does to loop, nobody says; prefetch of a register is a nop on
	 * Intel, #UD on AMD */
	if ((i->map == MAP_1 && i->op >= 0xe0 && i->op <= 0xe3 && i->rep) ||
	    (i->map == MAP_0F && i->op == 0x0d && i->mod == 3))
		return false;
	/* two bad operands again: whether a null GS or a page is found first */
	if (mode == MODE_32 && i->seg == S_GS && s->z.meta.category == ZYDIS_CATEGORY_STRINGOP)
		return false;
	/* a branch into the middle of itself could become anything */
	if (s->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && s->ops[0].imm.is_relative) {
		uint64_t to = SIL_START + i->len + (uint64_t)s->ops[0].imm.value.s;

		if (mode != MODE_64)
			to &= i->p66 ? 0xffff : 0xffffffff;

		if (to >> 47)
			return false; /* the kernel's half looks different on each side */
		return to < SIL_START || to >= SIL_START + i->len;
	}
	if (i->map == MAP_1 && i->op == 0xff && i->mod == 3 && i->rm == R_RSP)
		return false; /* the stack would be in the code */
	return true;
}

static bool parse(struct subject *s)
{
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zdec, s->code, 15, &s->z, s->ops)))
		return false;
	if (!guest_may_try(guest, &s->z))
		return false;
	if (insn_decode(s->code, 15, mode, &s->i) < 0) {
		s->i.len = s->z.length; /* ours to answer for */
		return false;
	}
	s->mem_size = 0;
	for (unsigned n = 0; n < s->z.operand_count; n++)
		if (s->ops[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    s->ops[n].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
			s->mem_size = s->ops[n].size / 8 ? s->ops[n].size / 8 : 1;
	return is_wanted(s);
}

/* Somewhere in the code page but not in the instruction, or where nothing is
 * mapped, or where nothing may be executed. */
static uint64_t branch_target(void)
{
	uint64_t v = sil_rand();

	switch (v & 15) {
	case 0: return SIL_DATA + (v >> 8 & 0xfff);
	case 1: return SIL_DATA + SIL_HOLE * 4096 + (v >> 8 & 0xfff);
	default: return SIL_CODE + (v >> 8 & 0x3ff);
	}
}

static void put_word(uint64_t at, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		if (at + i - SIL_DATA < SIL_LEN && (at + i - SIL_DATA) / 4096 != SIL_HOLE)
			mem0[at + i - SIL_DATA] = (uint8_t)(v >> 8 * i);
}

static uint64_t string_target(unsigned size, bool down)
{
	uint64_t t = sil_rand() & 1 ? sil_rand_target(size) : sil_rand_target(64);

	return sil_rand() % 4 ? t : t + (down ? 0 : 4096 - 64);
}

static void aim_string(struct subject *s, struct sil_state *st)
{
	bool down = sil_rand() % 3 == 0, near = sil_rand() % 8 == 0;
	unsigned size = s->z.operand_width ? s->z.operand_width / 8 : 8;

	if (down)
		st->rflags |= 0x400;
	st->r[R_RSI] = string_target(size, down);
	st->r[R_RDI] = near ? st->r[R_RSI] + sil_rand() % 32 - 16 : string_target(size, down);
	st->r[R_RCX] = sil_rand() % 16 ? sil_rand() % 40 : sil_rand_int();
	if (mode == MODE_64 &&
	    s->i.adsize == 4) /* upper halves don't count, and are cleared only if written */
		for (unsigned r = 0; r < 3; r++)
			st->r[(const uint8_t[]){ R_RSI, R_RDI, R_RCX }[r]] |=
				sil_rand() & 1 ? 0 : sil_rand() << 32;
	/* runs of equal bytes, so that repe goes some way */
	if (sil_rand() & 1)
		memset(mem0 + 512, (int)sil_rand(), 3000);
	if (s->i.op >= 0xae && sil_rand() & 1)
		memcpy(&st->r[R_RAX], mem0 + 600, 8);
}

/* rm-form bit offsets reach far beyond the operand: keep them in the arena. */
static bool aim_bit_offset(struct subject *s, struct sil_state *st)
{
	const struct insn *i = &s->i;

	if (i->map != MAP_0F || i->mod == 3 ||
	    (i->op != 0xa3 && i->op != 0xab && i->op != 0xb3 && i->op != 0xbb))
		return true;
	if (i->reg == i->base || i->reg == i->index || i->reg == R_RSP)
		return false;
	st->r[i->reg] = sil_rand() % 512 - 256;
	if (i->opsize < 8 && sil_rand() & 1)
		st->r[i->reg] = (st->r[i->reg] & (i->opsize == 2 ? 0xffff : 0xffffffff)) |
				sil_rand() << (8 * i->opsize);
	return true;
}

static bool aim_memory(struct subject *s, struct sil_state *st)
{
	uint64_t t = pick_target(s);
	uint64_t ret =
		s->z.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ? branch_target() : sil_rand_int();

	if (s->i.map == MAP_1 && s->i.op >= 0xa0 && s->i.op <= 0xa3) {
		memcpy(s->code + s->i.imm_off, &t, s->i.imm_len);
	} else if (s->i.has_modrm && s->i.mod != 3) {
		/* 16-bit addresses are all below what is mapped */
		if (s->i.adsize > 2 && !sil_aim(s->code, &s->i, st->r, t))
			return false;
	}
	if (s->mem_size == 8)
		put_word(t, ret);
	return true;
}

/* cmpxchg should succeed now and then. */
static void aim_compare(struct subject *s, struct sil_state *st)
{
	uint64_t t = SIL_DATA + 1024;

	if (s->i.map != MAP_0F || sil_rand() & 1)
		return;
	if (s->i.op == 0xb0 || s->i.op == 0xb1)
		put_word(t, st->r[R_RAX]);
	if (s->i.op == 0xc7)
		for (unsigned k = 0; k < 2; k++)
			put_word(t + 8 * k,
				 s->i.opsize == 8 ? st->r[k ? R_RDX : R_RAX]
						  : st->r[R_RAX] << 32 >> 32 | st->r[R_RDX] << 32);
	if ((s->i.op == 0xb0 || s->i.op == 0xb1 || s->i.op == 0xc7) && s->i.mod != 3)
		(void)sil_aim(s->code, &s->i, st->r, t); /* else: a plain miss */
}

static void aim_implicit(struct subject *s, struct sil_state *st)
{
	const struct insn *i = &s->i;
	uint64_t sp = sil_rand_target(8);

	st->r[R_RSP] = sil_rand() % 4 ? sp & ~7ull : sp;
	if (s->z.meta.category == ZYDIS_CATEGORY_RET)
		put_word(st->r[R_RSP], branch_target());
	if (i->map == MAP_1 && i->op == 0x9d) /* popf: neither TF nor AC */
		put_word(st->r[R_RSP], sil_rand() & ~0x40100ull);
	if (i->map == MAP_1 && (i->op == 0xc8 || i->op == 0xc9))
		st->r[R_RBP] = sil_rand_target(8);
	if (i->map == MAP_1 && i->op == 0xd7) /* xlat */
		st->r[R_RBX] = sil_rand_target(256);
	if (i->map == MAP_0F && i->op == 0xf7) /* maskmov */
		st->r[R_RDI] = sil_rand_target(16);
	if (s->z.meta.category == ZYDIS_CATEGORY_STRINGOP)
		aim_string(s, st);
	if (i->map == MAP_1 && i->op == 0xff && i->mod == 3 && s->z.meta.branch_type)
		st->r[i->rm] = branch_target();
}

/* div overflows nearly always on random numbers. */
static void tame_division(const struct subject *s, struct sil_state *st)
{
	if (s->i.map != MAP_1 || (s->i.op | 1) != 0xf7 || (s->i.reg & 7) < 6 || sil_rand() % 3 == 0)
		return;
	st->r[R_RDX] = sil_rand() & 1 ? 0 : sil_rand() % 8;
	if ((s->i.reg & 7) == 7 && sil_rand() & 1)
		st->r[R_RDX] = (uint64_t)((int64_t)st->r[R_RAX] >> 63);
	if (s->i.op == 0xf6)
		st->r[R_RAX] &= 0x3ff;
}

static bool random_state(struct subject *s, struct sil_state *st)
{
	memset(st, 0, sizeof(*st));
	for (unsigned k = 0; k < 16; k++)
		st->r[k] = sil_rand_int();
	st->is32 = mode == MODE_32;
	st->rip = SIL_START;
	st->rflags = (sil_rand() & ARITH) | 0x202;
	sil_rand_fx(st->fx);
	sil_rand_bytes(mem0 + 512 + sil_rand() % 2048, 512);
	tame_division(s, st);
	aim_implicit(s, st);
	if (!aim_bit_offset(s, st) || !aim_memory(s, st))
		return false;
	aim_compare(s, st);
	for (unsigned k = 0; k < 16 && mode == MODE_32; k++)
		st->r[k] = k < 8 ? (uint32_t)st->r[k] : 0;
	if (st->r[R_RSP] - (SIL_CODE - 4096) < 3 * 4096)
		return false; /* aimed by way of rsp: the stack would be in the code */
	return insn_decode(s->code, 15, mode, &s->i) == 0;
}

/* Flags the manuals leave open after this very operation. */
static uint64_t undefined_flags(const struct subject *s, const struct sil_state *in)
{
	const struct insn *i = &s->i;
	uint64_t undef = s->z.cpu_flags ? s->z.cpu_flags->undefined : 0;
	bool shiftd = i->map == MAP_0F && (i->op & 0xf6) == 0xa4;
	bool shift = i->map == MAP_1 && ((i->op & 0xfe) == 0xc0 || (i->op & 0xfc) == 0xd0);
	unsigned n, size = i->map == MAP_1 && !(i->op & 1) ? 1 : i->opsize;

	if (!shift && !shiftd)
		return undef;
	n = (i->op & 0xfc) == 0xd0 ? (i->op & 2 ? in->r[R_RCX] : 1)
	    : shiftd && i->op & 1  ? in->r[R_RCX]
				   : i->imm;
	n &= size == 8 ? 63 : 31;
	if (!n)
		return 0;
	undef = n == 1 ? 0 : 0x800; /* OF */
	if (shiftd || (i->reg & 7) >= 4)
		undef |= 0x10; /* AF: shifts only */
	if (n >= size * 8 && (shiftd || (i->reg & 7) >= 4))
		undef |= 0x801; /* CF */
	if (shiftd && n > size * 8)
		undef |= ARITH;
	return undef;
}

static bool one_state(const char *what, struct subject *s, unsigned *ret_ran)
{
	struct sil_state in, cpu, ours;
	uint8_t before[15];

	memcpy(before, s->code, 15);
	if (!random_state(s, &in))
		return true;
	if (memcmp(before, s->code, 15))
		guest_code(guest, s->code, s->i.len);
	cpu = ours = in;
	sil_mem_put(mem0);
	sil_run(s->code, s->i.len, &cpu);
	sil_mem_get(cpu_mem);
	guest_mem_put(guest, mem0);
	guest_run(guest, &ours);
	guest_mem_get(guest, our_mem);
	if (!sil_settle(&s->i, s->mem_size, &in, &cpu, &ours, cpu_mem))
		return true;
	++*ret_ran;
	return sil_same(what, s->code, s->i.len, &in, &cpu, &ours,
			FLAGS_SEEN & ~undefined_flags(s, &in), cpu_mem, our_mem);
}

static void run_family(const struct family *f)
{
	unsigned want = silicon_count(4000), ran = 0, bad = 0;
	struct subject s;

	sil_catch();
	sil_seed(silicon_seed() * 128 + (unsigned)(f - families) + (mode == MODE_32 ? 64 : 0));
	ZydisDecoderInit(&zdec,
			 mode == MODE_64 ? ZYDIS_MACHINE_MODE_LONG_64
					 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
			 mode == MODE_64 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
	for (unsigned i = 0; i < SIL_LEN; i += 64)
		sil_rand_bytes(mem0 + i, 64);
	memset(mem0 + SIL_HOLE * 4096, 0, 4096);
	while (ran < want && bad < 10) {
		random_bytes(f, s.code);
		if (!parse(&s))
			continue;
		guest_code(guest, s.code, s.i.len);
		for (unsigned k = 0; k < STATES && bad < 10; k++)
			bad += !one_state(f->name, &s, &ran);
	}
	assert_int_equal(bad, 0);
}

/* Opcode spaces where a newer CPU may well have something: VEX, EVEX, XOP,
 * 3DNow!, and groups that grew.  Behind opcode and ModRM come int3s only, for
 * whatever this CPU takes after all. */
static bool may_be_new(uint8_t *c)
{
	unsigned k = 0;

	while (k < 10 && (strchr("\x66\x67\xf2\xf3\xf0\x65", c[k]) || (c[k] & 0xf0) == 0x40))
		k++;
	memset(c + k + 4, 0xcc, 11 - k);
	if (c[k] != 0x0f)
		return c[k] == 0xc4 || c[k] == 0xc5 || c[k] == 0x62 || c[k] == 0x8f;
	return memchr("\x00\x01\x0f\x24\x26\x78\x79", c[k + 1], 7) || c[k + 1] == 0xc7;
}

/* What Zydis does not know, and the CPU finds undefined. */
static void what_the_cpu_refuses_is_refused(void **state)
{
	const struct family *any = &families[sizeof(families) / sizeof(families[0]) - 1];
	unsigned want = silicon_count(4000), ran = 0, bad = 0;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	uint8_t code[15];

	sil_catch();
	sil_seed(silicon_seed() * 128 + 63);
	ZydisDecoderInit(&zdec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	while (ran < want && bad < 10) {
		struct sil_state in = { .r = { 0 }, .rip = SIL_START, .rflags = 0x202 }, cpu, ours;

		random_bytes(ran & 1 ? any : &families[ran / 2 % (any - families)], code);
		if (may_be_new(code) ||
		    ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zdec, code, 15, &z, ops)))
			continue;
		sil_rand_fx(in.fx);
		cpu = ours = in;
		sil_run(code, 15, &cpu);
		ran++;
		if (cpu.vec != 6)
			continue;
		guest_code(guest, code, 15);
		guest_run(guest, &ours);
		bad += !sil_same("refused", code, 15, &in, &cpu, &ours, FLAGS_SEEN, mem0, mem0);
	}
	assert_int_equal(bad, 0);
}

static void a_family_runs_as_on_the_cpu(void **state)
{
	mode = MODE_64;
	run_family(*state);
}

static void a_family_runs_in_32_bit_code_too(void **state)
{
	mode = MODE_32;
	run_family(*state);
}

static int setup(void **state)
{
	sil_init();
	guest = guest_new();
	return guest ? 0 : -1;
}

static int teardown(void **state)
{
	guest = guest_free(guest);
	return 0;
}

int main(void)
{
	enum { NR = sizeof(families) / sizeof(families[0]) };
	const char *only = getenv("SILICON_FAMILY");
	struct CMUnitTest tests[2 * NR + 1];
	char names[2 * NR][64];
	unsigned n = 0;

#ifdef __SANITIZE_ADDRESS__
	puts("1..0 # SKIP AddressSanitizer maps memory where the CPU must find none");
	return 0;
#endif
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < 2 * NR; i++) {
		const struct family *f = &families[i % NR];

		if (only && strcmp(only, f->name))
			continue;
		snprintf(names[n], sizeof(names[n]),
			 i < NR ? "%s_runs_as_on_the_cpu" : "%s_runs_in_32_bit_code_too", f->name);
		tests[n] = (struct CMUnitTest){ names[n],
						i < NR ? a_family_runs_as_on_the_cpu
						       : a_family_runs_in_32_bit_code_too,
						NULL, NULL, (void *)f };
		n++;
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(what_the_cpu_refuses_is_refused);
	return _cmocka_run_group_tests("hv/engine/silicon_insns", tests, n, setup, teardown);
}
