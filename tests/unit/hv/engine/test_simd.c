/* tests/unit/hv/engine/test_simd.c - the stubs' tables against Zydis over every
 * opcode, prefix and ModRM form, and what the stubs promise about states that
 * no program makes (images from outside, faults in the cache).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "daemons/sys.h"
#include "hv/engine/soft/simd.h"
#include "hv/engine/state.h"

static struct simd_cache *cache;
static ZydisDecoder zdec;

/* Ours, by the vendor's extension; what the engine does itself is left out. */
static bool is_simd(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_PAUSE:
	case ZYDIS_MNEMONIC_POPCNT:
	case ZYDIS_MNEMONIC_MONITOR:
	case ZYDIS_MNEMONIC_MWAIT:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2: return false;
	default: break;
	}
	switch (z->meta.isa_ext) {
	case ZYDIS_ISA_EXT_X87:
	case ZYDIS_ISA_EXT_MMX:
	case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2:
	case ZYDIS_ISA_EXT_SSE3:
	case ZYDIS_ISA_EXT_SSSE3:
	case ZYDIS_ISA_EXT_SSE4:
	case ZYDIS_ISA_EXT_AES:
	case ZYDIS_ISA_EXT_PCLMULQDQ:
	case ZYDIS_ISA_EXT_SHA: return true;
	default: return z->meta.category == ZYDIS_CATEGORY_SSE;
	}
}

static void check_memory(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops,
			 const struct simd_ins *s)
{
	for (unsigned n = 0; n < z->operand_count; n++) {
		const ZydisDecodedOperand *o = &ops[n];
		bool env = s->mem_size > 16;

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (z->mnemonic != ZYDIS_MNEMONIC_FNSTENV && z->mnemonic != ZYDIS_MNEMONIC_FLDENV)
			assert_int_equal(s->mem_size * 8u, o->size);
		if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			assert_true(s->mem & SIMD_MEM_WRITE);
		else
			assert_int_equal(s->mem, SIMD_MEM_READ);
		if (!env && (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ))
			assert_true(s->mem & SIMD_MEM_READ);
		return;
	}
	assert_int_equal(s->mem, SIMD_MEM_NONE);
	assert_int_equal(s->mem_size, 0);
}

/* Both must agree that it is an instruction of ours, and on its memory. */
static void check_bytes(const uint8_t *code, unsigned n, unsigned *ret_ours)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct simd_ins s;
	struct insn i;
	bool want = false;
	int r = -ENOENT;

	if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zdec, code, n, &z, ops)))
		want = is_simd(&z) && z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
	if (insn_decode(code, n, MODE_64, &i) == 0) {
		r = simd_compile(cache, &i, &s);
		if (r == -ENOSPC) {
			simd_cache_flush(cache);
			r = simd_compile(cache, &i, &s);
		}
	}
	if (want != (r == 0))
		print_message("# %02x %02x %02x %02x %02x: zydis %s, we %s\n", code[0], code[1],
			      code[2], code[3], code[4],
			      want ? ZydisMnemonicGetString(z.mnemonic) : "no", r ? "no" : "yes");
	assert_int_equal(want, r == 0);
	if (want) {
		assert_int_equal(z.length, i.len);
		check_memory(&z, ops, &s);
		++*ret_ours;
	}
}

static unsigned build(uint8_t *code, unsigned pfx, unsigned rexw, unsigned map, unsigned op,
		      unsigned modrm)
{
	static const uint8_t mandatory[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned n = 0;

	memset(code, 0, 15);
	if (mandatory[pfx])
		code[n++] = mandatory[pfx];
	if (rexw)
		code[n++] = 0x48;
	if (map != MAP_1)
		code[n++] = 0x0f;
	if (map > MAP_0F)
		code[n++] = map == MAP_0F38 ? 0x38 : 0x3a;
	code[n++] = (uint8_t)op;
	code[n++] = (uint8_t)modrm;
	return 15;
}

/* ModRM C0..FF matters in whole for x87; elsewhere reg and mod do. */
static void sweep(unsigned map, unsigned lo, unsigned hi, unsigned *ret_ours)
{
	uint8_t code[15];

	for (unsigned op = lo; op <= hi; op++)
		for (unsigned v = 0; v < 8 * 72; v++) {
			unsigned form = v / 8, modrm = form < 8 ? form << 3 | 1 : 0xc0 | (form - 8);
			unsigned n = build(code, v & 3, v >> 2 & 1, map, op, modrm);

			if (map == MAP_0F && (op == 0x38 || op == 0x3a || op == 0x0f))
				continue;
			check_bytes(code, n, ret_ours);
		}
}

static void every_simd_instruction_is_known_with_its_memory(void **state)
{
	unsigned ours = 0;

	sweep(MAP_0F, 0, 255, &ours);
	sweep(MAP_0F38, 0, 255, &ours);
	sweep(MAP_0F3A, 0, 255, &ours);
	print_message("# %u forms\n", ours);
	assert_true(ours > 30000);
}

static void every_x87_instruction_is_known_with_its_memory(void **state)
{
	unsigned ours = 0;

	sweep(MAP_1, 0xd8, 0xdf, &ours);
	assert_true(ours > 3000);
}

static int run_bytes(const uint8_t *code, unsigned n, struct simd_regs *regs, void *mem)
{
	struct simd_ins s;
	struct insn i;

	assert_int_equal(insn_decode(code, n, MODE_64, &i), 0);
	assert_int_equal(simd_compile(cache, &i, &s), 0);
	return s.run(&s, regs, mem);
}
#define RUN(regs, mem, ...)                                                                   \
	run_bytes((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), \
		  regs, mem)

/* A hostile saved state: nothing in the image may make the host's own loads
 * fault, whichever instruction comes first. */
static void an_image_of_all_ones_does_no_harm(void **state)
{
	uint8_t fx[512] __attribute__((aligned(16))), mem[512] __attribute__((aligned(64)));
	uint64_t r[R_NR] = { 0 }, rflags = ~0ull;
	struct simd_regs regs = { .r = r, .rflags = &rflags, .fx = fx };

	for (unsigned clean = 0; clean < 2; clean++) {
		memset(fx, 0xff, sizeof(fx));
		memset(mem, 0xff, sizeof(mem));
		if (clean)
			simd_fx_clean(fx);
		assert_int_equal(RUN(&regs, NULL, 0xd9, 0xe8), 0);	 /* fld1 */
		assert_int_equal(RUN(&regs, NULL, 0x0f, 0x58, 0xc1), 0); /* addps */
		assert_int_equal(RUN(&regs, mem, 0x0f, 0x2a, 0x01), 0);	 /* cvtpi2ps */
		assert_int_equal(RUN(&regs, NULL, 0x0f, 0x77), 0);	 /* emms */
		assert_int_equal(RUN(&regs, NULL, 0xdb, 0xe9), 0);	 /* fucomi */
	}
	assert_int_equal(RUN(&regs, mem, 0x0f, 0xae, 0x11), SIMD_GP); /* ldmxcsr */
	assert_int_equal(RUN(&regs, mem, 0x0f, 0xae, 0x09), SIMD_GP); /* fxrstor */
	assert_int_equal(RUN(&regs, mem, 0xdd, 0x21), 0);	      /* frstor */
	assert_int_equal(rflags >> 12, ~0ull >> 12);
}

static void host_addresses_never_reach_the_guest(void **state)
{
	uint8_t fx[512] __attribute__((aligned(16))) = { 0 };
	uint8_t mem[512] __attribute__((aligned(64))) = { 0 };
	uint64_t r[R_NR] = { 0 }, rflags = 2;
	struct simd_regs regs = { .r = r, .rflags = &rflags, .fx = fx };

	assert_int_equal(RUN(&regs, NULL, 0xdb, 0xe3), 0); /* fninit */
	fx[0] = 0x40;					   /* all unmasked */
	assert_int_equal(RUN(&regs, NULL, 0xd9, 0xe8), 0); /* fld1 */
	assert_int_equal(RUN(&regs, mem, 0xd8, 0x31), 0);  /* fdiv 0: pending */
	assert_true(simd_x87_pending(fx));
	assert_int_equal(RUN(&regs, NULL, 0xd9, 0xe8), SIMD_MF);
	memset(mem, 0xaa, sizeof(mem));
	assert_int_equal(RUN(&regs, mem, 0xdd, 0x31), 0); /* fnsave */
	for (unsigned i = 12; i < 28; i++)
		assert_in_set(mem[i], ((unsigned long[]){ 0, 0xff }), 2);
	assert_int_equal(mem[12] | mem[20], 0);
	assert_false(simd_x87_pending(fx));
	assert_int_equal(RUN(&regs, mem, 0x0f, 0xae, 0x01), 0); /* fxsave */
	for (unsigned i = 6; i < 24; i++)
		assert_int_equal(mem[i], 0);
}

static void a_full_cache_says_so_and_starts_afresh(void **state)
{
	struct simd_cache *c;
	struct simd_ins s;
	struct insn i;
	unsigned n = 0;
	int r = 0;

	assert_int_equal(simd_cache_new(&c), 0);
	for (unsigned imm = 0; imm < 256 && r == 0; imm++)
		for (unsigned reg = 0; reg < 64 && r == 0; reg++, n++) {
			uint8_t code[] = { 0x66, 0x0f, 0x70, 0xc0 | reg, imm }; /* pshufd */

			assert_int_equal(insn_decode(code, sizeof(code), MODE_64, &i), 0);
			r = simd_compile(c, &i, &s);
		}
	assert_int_equal(r, -ENOSPC);
	assert_true(n > 4000);
	simd_cache_flush(c);
	assert_int_equal(simd_compile(c, &i, &s), 0);
	simd_cache_free(c);
	assert_null(simd_cache_free(NULL));
}

static void equal_instructions_share_a_stub(void **state)
{
	static const uint8_t a[] = { 0x0f, 0x10, 0x43, 0x08 }; /* movups xmm0, [rbx+8] */
	static const uint8_t b[] = { 0x2e, 0x0f, 0x10, 0x04, 0x25, 0, 0, 0, 0 };
	struct simd_ins sa, sb;
	struct insn i;

	assert_int_equal(insn_decode(a, sizeof(a), MODE_64, &i), 0);
	assert_int_equal(simd_compile(cache, &i, &sa), 0);
	assert_int_equal(insn_decode(b, sizeof(b), MODE_64, &i), 0);
	assert_int_equal(simd_compile(cache, &i, &sb), 0);
	assert_ptr_equal(sa.code, sb.code);
}

static void a_cache_survives_every_fault_of_its_making(void **state)
{
	struct simd_cache *sentinel = (struct simd_cache *)(uintptr_t)1, *c;
	long n;
	int r;

	for (n = 0;; n++) {
		c = sentinel;
		fault_arm(n, ENOMEM);
		r = simd_cache_new(&c);
		if (!fault_disarm())
			break;
		assert_int_equal(r, -ENOMEM);
		assert_ptr_equal(c, sentinel);
	}
	assert_int_equal(r, 0);
	assert_int_equal(n, 4); /* memfd, alloc, two mappings */
	simd_cache_free(c);
}

static void cpuid_shows_the_floor(void **state)
{
	uint32_t regs[4];

	simd_cpuid_supported(1, 0, regs);
	assert_int_equal(regs[0] | regs[1], 0);
	assert_int_equal(regs[3], 0x07800001);
	simd_cpuid_supported(1, 1, regs);
	assert_int_equal(regs[3], 0);
	simd_cpuid_supported(7, 0, regs);
	assert_int_equal(regs[1] & ~(1u << 29), 0);
}

static int setup(void **state)
{
	ZydisDecoderInit(&zdec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return simd_cache_new(&cache);
}

static int teardown(void **state)
{
	cache = simd_cache_free(cache);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_simd_instruction_is_known_with_its_memory),
		cmocka_unit_test(every_x87_instruction_is_known_with_its_memory),
		cmocka_unit_test(an_image_of_all_ones_does_no_harm),
		cmocka_unit_test(host_addresses_never_reach_the_guest),
		cmocka_unit_test(a_full_cache_says_so_and_starts_afresh),
		cmocka_unit_test(equal_instructions_share_a_stub),
		cmocka_unit_test(a_cache_survives_every_fault_of_its_making),
		cmocka_unit_test(cpuid_shows_the_floor),
	};

	return cmocka_run_group_tests_name("hv/engine/soft/simd", tests, setup, teardown);
}
