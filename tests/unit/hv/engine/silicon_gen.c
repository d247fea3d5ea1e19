/* tests/unit/hv/engine/silicon_gen.c - random operands that hit corners, and
 * the comparison with its report.  See silicon.h.
 */
#include "tests/unit/hv/engine/silicon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "hv/engine/soft/insn.h"
#include "hv/engine/state.h"

static uint64_t rng;

void sil_seed(uint64_t seed)
{
	rng = seed * 0xd1342543de82ef95ull + 0x1234567;
}

uint64_t sil_rand(void)
{
	uint64_t z = rng += 0x9e3779b97f4a7c15ull; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t silicon_seed(void)
{
	const char *s = getenv("SILICON_SEED");

	return s ? strtoull(s, NULL, 0) : 1;
}

unsigned silicon_count(unsigned deflt)
{
	const char *s = getenv("SILICON_COUNT");

	return s ? (unsigned)strtoul(s, NULL, 0) : deflt;
}

uint64_t sil_rand_int(void)
{
	static const uint64_t edges[] = { 0,
					  1,
					  2,
					  0x7f,
					  0x80,
					  0xff,
					  0x7fff,
					  0x8000,
					  0xffff,
					  0x7fffffff,
					  0x80000000,
					  0xffffffff,
					  0x100000000,
					  0x7fffffffffffffff,
					  0x8000000000000000,
					  ~0ull };
	uint64_t v = sil_rand();

	switch (sil_rand() % 6) {
	case 0: return edges[v % (sizeof(edges) / sizeof(edges[0]))];
	case 1: return v % 256;
	case 2: return (uint64_t)(int64_t)(int8_t)v;
	case 3: return v >> (v % 64);
	default: return v;
	}
}

static uint32_t rand_float(void)
{
	static const uint32_t odd[] = {
		0,	    0x80000000, 1,	    0x807fffff, 0x00800000, 0x7f7fffff, 0x7f800000,
		0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001, 0xffa00000, 0x3f800000, 0xbf800000,
		0x4f000000, 0xcf000000, 0x5f000000, 0x3f000000, 0x3fc00000, 0x00400000
	};
	uint32_t v = (uint32_t)sil_rand();

	switch (sil_rand() % 5) {
	case 0:
	case 1: return odd[v % (sizeof(odd) / sizeof(odd[0]))];
	case 2: return (v & 0x807fffff) | (0x7f - 20 + v % 61) << 23; /* near 1 */
	case 3: return (v & 0x807fffff) | (v >> 8 & 31) << 23;	      /* near tiny */
	default: return v;
	}
}

static uint64_t rand_double(void)
{
	static const uint64_t odd[] = { 0,
					1ull << 63,
					1,
					0x800fffffffffffff,
					0x0010000000000000,
					0x7fefffffffffffff,
					0x7ff0000000000000,
					0xfff0000000000000,
					0x7ff8000000000000,
					0xfff8123456789abc,
					0x7ff0000000000001,
					0xfff4000000000000,
					0x3ff0000000000000,
					0xbff0000000000000,
					0x41dfffffffc00000,
					0x41e0000000000000,
					0x43e0000000000000,
					0xc3e0000000000000,
					0x3fe0000000000000,
					0x36a0000000000000,
					0x0008000000000000 };
	uint64_t v = sil_rand();

	switch (sil_rand() % 5) {
	case 0:
	case 1: return odd[v % (sizeof(odd) / sizeof(odd[0]))];
	case 2: return (v & 0x800fffffffffffff) | (1023 - 30 + v % 91) << 52;
	case 3: return (v & 0x800fffffffffffff) | (v >> 8 & 63) << 52;
	default: return v;
	}
}

/* Extended: any class, the unsupported ones (unnormals, pseudo-*) too. */
static void rand_ext(uint8_t *p)
{
	uint64_t m = sil_rand(), v = sil_rand();
	uint16_t e = (uint16_t)v;

	switch (v >> 16 & 7) {
	case 0:
		e &= 0x8000;
		m >>= 1;
		break; /* denormal */
	case 1:
		e &= 0x8000;
		m = v >> 32 & 1 ? 1ull << 63 : 0;
		break; /* zero, pseudo */
	case 2:
		e |= 0x7fff;
		m = 1ull << 63;
		break; /* infinity */
	case 3:
		e |= 0x7fff;
		m |= 1ull << 63;
		break; /* NaN */
	case 4: break; /* anything */
	default:
		e = (e & 0x8000) | (0x3fff - 32 + v % 70);
		m |= 1ull << 63;
		if (v >> 40 & 1)
			m &= ~0ull << (v >> 41 & 63);
		if (!(m >> 63))
			m |= 1ull << 63;
		break;
	}
	memcpy(p, &m, 8);
	memcpy(p + 8, &e, 2);
}

void sil_rand_bytes(uint8_t *p, unsigned n)
{
	unsigned kind = sil_rand() % 5;

	for (unsigned i = 0; i < n; i += 8) {
		uint64_t v = sil_rand();

		if (kind == 0)
			v = rand_double();
		else if (kind == 1)
			v = rand_float() | (uint64_t)rand_float() << 32;
		else if (kind == 2)
			v = sil_rand_int();
		memcpy(p + i, &v, n - i < 8 ? n - i : 8);
	}
	if (kind == 3 && n >= 10)
		rand_ext(p);
}

static void put(uint8_t *fx, unsigned off, uint32_t v, unsigned n)
{
	memcpy(fx + off, &v, n);
}

void sil_rand_fx(uint8_t fx[512])
{
	uint64_t v = sil_rand();
	uint32_t fcw = 0x7f, fsw = 0, ftw = (uint32_t)sil_rand() & 0xff, csr = 0x1f80;

	memset(fx, 0, 512);
	fcw |= (v & 3) << 8 | (v >> 2 & 3) << 10; /* precision, rounding */
	if ((v >> 4 & 3) == 0)
		fcw = (fcw & ~0x3fu) | (v >> 8 & 0x3f);
	fsw = (v >> 16 & 7) << 11 | (v >> 19 & 7) << 8 | (v >> 22 & 1) << 14;
	if ((v >> 24 & 7) == 0)
		fsw |= v >> 27 & 0x7f; /* sticky or pending exceptions */
	else if ((v >> 24 & 7) == 1)
		fsw |= v >> 27 & fcw & 0x3f; /* sticky, masked */
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	if ((v >> 36 & 3) != 0)
		ftw = 0xff;
	csr |= (v >> 40 & 3) << 13; /* rounding */
	if ((v >> 42 & 3) == 0)
		csr |= v >> 44 & 0x8040; /* FTZ, DAZ */
	if ((v >> 46 & 3) == 0)
		csr &= ~0x1f80u | (uint32_t)(sil_rand() & 0x1f80);
	if ((v >> 48 & 3) == 0)
		csr |= sil_rand() & 0x3f;
	put(fx, 0, fcw, 2);
	put(fx, 2, fsw, 2);
	put(fx, 4, ftw, 1);
	put(fx, 24, csr, 4);
	put(fx, 28, 0xffff, 4);
	for (unsigned i = 0; i < 8; i++)
		rand_ext(fx + 32 + 16 * i);
	for (unsigned i = 0; i < 16; i++)
		sil_rand_bytes(fx + 160 + 16 * i, 16);
}

uint64_t sil_rand_target(unsigned size)
{
	uint64_t v = sil_rand();
	unsigned back = size ? (unsigned)(v >> 8) % (2 * size) : 0;

	switch (v & 15) {
	case 0: return SIL_DATA + 4096 - back;		  /* across two good pages */
	case 1: return SIL_DATA + SIL_HOLE * 4096 - back; /* into the hole */
	case 2: return SIL_DATA + SIL_RO * 4096 - back;	  /* out of the hole */
	case 3: return SIL_DATA + SIL_RO * 4096 + (v >> 32 & 0xff0);
	case 4: return SIL_DATA + (SIL_RO + 1) * 4096 - back; /* read-only into writable */
	case 5: return SIL_DATA + 64 + (v >> 32 & 0x7ff);     /* any alignment */
	default: return SIL_DATA + 512 + (v >> 32 & 0x7f0);   /* aligned */
	}
}

bool sil_aim(uint8_t *code, struct insn *i, uint64_t r[16], uint64_t target)
{
	uint64_t mask = i->adsize == 4 ? 0xffffffff : ~0ull, idx = 0;
	unsigned disp_off = i->modrm_off + 1u;
	int32_t d;

	if (i->base == REG_RIP || (i->base == REG_NONE && i->index == REG_NONE)) {
		if (i->base == REG_NONE && i->mod == 0 && (code[i->modrm_off] & 7) == 4)
			disp_off++; /* SIB without base */
		d = (int32_t)(i->base == REG_RIP ? target - (SIL_START + i->len) : target);
		memcpy(code + disp_off, &d, 4);
		return true;
	}
	if (i->index != REG_NONE) {
		if (i->index == i->base)
			return false;
		if (i->base == REG_NONE) {
			target -= (uint64_t)(int64_t)i->disp;
			r[i->index] = (target & mask) >> i->scale;
			return (r[i->index] << i->scale & mask) == (target & mask);
		}
		r[i->index] &= 0x0fffffff;
		idx = r[i->index] << i->scale;
	}
	r[i->base] = (target - (uint64_t)(int64_t)i->disp - idx) & mask;
	return true;
}

static void print_insn(const uint8_t *code, unsigned n)
{
	ZydisDecoder dec;
	ZydisFormatter fmt;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	char text[128] = "?";

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code, n, &z, ops)))
		ZydisFormatterFormatInstruction(&fmt, &z, ops, z.operand_count_visible, text,
						sizeof(text), SIL_START, NULL);
	printf("# %s  [", text);
	for (unsigned i = 0; i < n; i++)
		printf(" %02x", code[i]);
	printf(" ]\n");
}

static bool diff_u64(const char *name, unsigned k, uint64_t in, uint64_t cpu, uint64_t ours)
{
	if (cpu == ours)
		return false;
	printf("#   %s%u: in %016" PRIx64 " cpu %016" PRIx64 " ours %016" PRIx64 "\n", name, k, in,
	       cpu, ours);
	return true;
}

static bool diff_bytes(const char *name, unsigned k, const uint8_t *in, const uint8_t *cpu,
		       const uint8_t *ours, unsigned n)
{
	if (memcmp(cpu, ours, n) == 0)
		return false;
	printf("#   %s%u:", name, k);
	for (unsigned w = 0; w < 3; w++) {
		const uint8_t *p = w == 0 ? in : w == 1 ? cpu : ours;

		printf(w == 0 ? " in " : w == 1 ? " cpu " : " ours ");
		for (unsigned i = n; i-- > 0;)
			printf("%02x", p[i]);
	}
	printf("\n");
	return true;
}

static bool diff_fx(const uint8_t *in, const uint8_t *cpu, const uint8_t *ours)
{
	bool d = false;

	d |= diff_bytes("fcw", 0, in, cpu, ours, 2);
	d |= diff_bytes("fsw", 0, in + 2, cpu + 2, ours + 2, 2);
	d |= diff_bytes("ftw", 0, in + 4, cpu + 4, ours + 4, 1);
	d |= diff_bytes("mxcsr", 0, in + 24, cpu + 24, ours + 24, 4);
	for (unsigned i = 0; i < 8; i++)
		d |= diff_bytes("st", i, in + 32 + 16 * i, cpu + 32 + 16 * i, ours + 32 + 16 * i,
				10);
	for (unsigned i = 0; i < 16; i++)
		d |= diff_bytes("xmm", i, in + 160 + 16 * i, cpu + 160 + 16 * i,
				ours + 160 + 16 * i, 16);
	return d;
}

bool sil_same(const char *what, const uint8_t *code, unsigned n, const struct sil_state *in,
	      const struct sil_state *cpu, const struct sil_state *ours, uint64_t flags,
	      const uint8_t *cpu_mem, const uint8_t *our_mem)
{
	bool d = false;

	d |= diff_u64("vector", 0, 0, (uint64_t)cpu->vec, (uint64_t)ours->vec);
	if (cpu->vec == 14 && ours->vec == 14)
		d |= diff_u64("cr2 ", 0, 0, cpu->cr2, ours->cr2);
	if (cpu->vec == ours->vec && cpu->vec != VEC_BP)
		d |= diff_u64("error code ", 0, 0, cpu->err, ours->err);
	d |= diff_u64("rip", 0, in->rip, cpu->rip, ours->rip);
	d |= diff_u64("rflags", 0, in->rflags, cpu->rflags & flags, ours->rflags & flags);
	for (unsigned i = 0; i < 16; i++)
		d |= diff_u64("r", i, in->r[i], cpu->r[i], ours->r[i]);
	d |= diff_fx(in->fx, cpu->fx, ours->fx);
	for (unsigned i = 0; i < SIL_LEN; i += 8)
		if (memcmp(cpu_mem + i, our_mem + i, 8))
			d |= diff_bytes("mem+", i, cpu_mem + i, cpu_mem + i, our_mem + i, 8);
	if (d) {
		printf("# ^ %s: cpu and ours differ in", what);
		print_insn(code, n);
		printf("#   fcw %02x%02x fsw %02x%02x mxcsr %02x%02x rflags %" PRIx64 "\n",
		       in->fx[1], in->fx[0], in->fx[3], in->fx[2], in->fx[25], in->fx[24],
		       in->rflags);
		printf("#   rsi %" PRIx64 " rdi %" PRIx64 " rcx %" PRIx64 " rsp %" PRIx64 "\n",
		       in->r[6], in->r[7], in->r[1], in->r[4]);
	}
	return !d;
}
