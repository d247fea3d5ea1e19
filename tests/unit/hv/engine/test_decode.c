/* tests/unit/hv/engine/test_decode.c - the decoder against Zydis over random
 * bytes, and its limits by hand.  Zydis knows more encodings than we show to
 * guests; where it accepts a legacy-encoded instruction we must agree with it.
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

#include "hv/engine/soft/insn.h"
#include "hv/engine/state.h"

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* Random bytes, with prefixes and escapes more often than chance gives them. */
static void random_bytes(uint8_t *p)
{
	static const uint8_t often[] = { 0x0f, 0x0f, 0x66, 0x67, 0x48, 0x41, 0xf2,
					 0xf3, 0x65, 0x2e, 0xff, 0xf7, 0x8b };

	for (unsigned i = 0; i < 16; i++)
		p[i] = (uint8_t)rng();
	for (unsigned i = 0; i < 4 && rng() & 1; i++)
		p[i] = often[rng() % sizeof(often)];
	if (p[0] == 0x0f && rng() % 8 == 0)
		p[1] = rng() & 1 ? 0x38 : 0x3a;
}

static void check_memory(const struct insn *i, const ZydisDecodedInstruction *z,
			 const ZydisDecodedOperand *ops)
{
	for (unsigned n = 0; n < z->operand_count_visible; n++) {
		const ZydisDecodedOperandMem *m = &ops[n].mem;

		if (ops[n].type != ZYDIS_OPERAND_TYPE_MEMORY || !i->has_modrm)
			continue;
		assert_int_not_equal(i->mod, 3);
		if (m->base == ZYDIS_REGISTER_NONE)
			assert_int_equal(i->base, REG_NONE);
		else if (m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP)
			assert_int_equal(i->base, REG_RIP);
		else
			assert_int_equal(i->base, ZydisRegisterGetId(m->base));
		if (m->index == ZYDIS_REGISTER_NONE)
			assert_int_equal(i->index, REG_NONE);
		else
			assert_int_equal(i->index, ZydisRegisterGetId(m->index));
		if (i->index != REG_NONE && i->adsize != 2 && m->type != ZYDIS_MEMOP_TYPE_MIB)
			assert_int_equal(1u << i->scale, m->scale);
		if (m->disp.has_displacement)
			assert_true((int64_t)i->disp == m->disp.value ||
				    (i->adsize == 2 && !((i->disp ^ m->disp.value) & 0xffff)));
		if (m->segment >= ZYDIS_REGISTER_ES && m->segment <= ZYDIS_REGISTER_GS &&
		    i->adsize != 8 && m->type == ZYDIS_MEMOP_TYPE_MEM)
			assert_int_equal(i->seg, ZydisRegisterGetId(m->segment));
	}
}

static void check_immediate(const struct insn *i, const ZydisDecodedInstruction *z)
{
	if (!z->raw.imm[0].size) {
		if (z->raw.disp.size && !i->has_modrm)
			assert_int_equal(i->imm_len, z->raw.disp.size / 8); /* moffs */
		return;
	}
	assert_int_equal(i->imm_off, z->raw.imm[0].offset);
	assert_int_equal(i->imm_len, (z->raw.imm[0].size + z->raw.imm[1].size) / 8);
	if (!z->raw.imm[1].size) {
		unsigned s = 64 - z->raw.imm[0].size;

		assert_true(i->imm << s == z->raw.imm[0].value.u << s);
		/* mov reg, imm is as wide as its register: nothing to extend. */
		if (z->raw.imm[0].is_signed && (i->map != MAP_1 || (i->op & 0xf0) != 0xb0)) {
			if ((int64_t)i->imm != z->raw.imm[0].value.s)
				fail_msg("%s %x: immediate %lx, not %lx",
					 ZydisMnemonicGetString(z->mnemonic), z->opcode,
					 (long)i->imm, (long)z->raw.imm[0].value.s);
		}
	}
}

static bool beyond_us(const ZydisDecodedInstruction *z)
{
	/* vmread, vmwrite, extrq and insertq share opcodes we have no use for; jmpe
	 * and the like are decoded by Zydis for CPUs that never were. */
	return z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	       (z->opcode_map == ZYDIS_OPCODE_MAP_0F && (z->opcode == 0x78 || z->opcode == 0x79)) ||
	       z->meta.category == ZYDIS_CATEGORY_KNC ||
	       z->meta.isa_set == ZYDIS_ISA_SET_PADLOCK_RNG;
}

static void run_mode(enum insn_mode mode, ZydisMachineMode zm, ZydisStackWidth sw)
{
	ZydisDecoder d;
	unsigned agreed = 0;

	rng_state = 0x9e3779b97f4a7c15ull + mode;
	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&d, zm, sw)));
	for (unsigned k = 0; k < 300000; k++) {
		ZydisDecodedInstruction z;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		struct insn i;
		uint8_t b[16];

		random_bytes(b);
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, b, 15, &z, ops)) || beyond_us(&z))
			continue;
		if (insn_decode(b, 15, mode, &i) || i.len != z.length)
			fail_msg("%02x %02x %02x %02x %02x %02x %02x: Zydis %s, %u bytes; ours %u",
				 b[0], b[1], b[2], b[3], b[4], b[5], b[6],
				 ZydisMnemonicGetString(z.mnemonic), z.length, i.len);
		assert_int_equal(i.op, z.opcode);
		assert_int_equal(i.bytes[i.op_off], z.opcode);
		if (z.meta.category != ZYDIS_CATEGORY_MPX && z.meta.category != ZYDIS_CATEGORY_SGX)
			assert_int_equal(i.adsize * 8, z.address_width); /* those ignore 67 */
		if (z.attributes & ZYDIS_ATTRIB_HAS_MODRM) {
			assert_int_equal(i.modrm_off, z.raw.modrm.offset);
			assert_int_equal(i.reg & 7, z.raw.modrm.reg);
			assert_int_equal(i.rm & 7, z.raw.modrm.rm);
		}
		check_memory(&i, &z, ops);
		check_immediate(&i, &z);
		agreed++;
	}
	assert_in_range(agreed, 100000, 300000);
}

static void agrees_with_zydis_in_64_bit_code(void **s)
{
	run_mode(MODE_64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static void agrees_with_zydis_in_32_bit_code(void **s)
{
	run_mode(MODE_32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
}

static void agrees_with_zydis_in_16_bit_code(void **s)
{
	run_mode(MODE_16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
}

static void asks_for_more_bytes_at_every_cut(void **s)
{
	static const uint8_t b[] = { 0x66, 0x48, 0x81, 0x84, 0xc8, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct insn i;

	for (unsigned n = 0; n < sizeof(b); n++)
		assert_int_equal(insn_decode(b, n, MODE_64, &i), -EAGAIN);
	assert_int_equal(insn_decode(b, sizeof(b), MODE_64, &i), 0);
	assert_int_equal(i.len, sizeof(b));
}

static void fifteen_bytes_are_the_limit(void **s)
{
	uint8_t b[20];
	struct insn i;

	memset(b, 0x66, sizeof(b));
	b[14] = 0x90;
	assert_int_equal(insn_decode(b, sizeof(b), MODE_64, &i), 0);
	b[14] = 0x66;
	b[15] = 0x90;
	assert_int_equal(insn_decode(b, sizeof(b), MODE_64, &i), -E2BIG);
	assert_int_equal(insn_decode(b, 15, MODE_64, &i), -E2BIG);
	assert_int_equal(insn_decode(b, 14, MODE_64, &i), -EAGAIN);
}

static void wide_encodings_are_no_instructions(void **s)
{
	static const uint8_t vex[] = { 0xc5, 0xf8, 0x77, 0, 0, 0 },
			     evex[] = { 0x62, 0xf1, 0x7c, 0x48, 0x10, 0xc0 };
	struct insn i;

	assert_int_equal(insn_decode(vex, 6, MODE_64, &i), -EINVAL);
	assert_int_equal(insn_decode(vex, 6, MODE_32, &i), -EINVAL);
	assert_int_equal(insn_decode(evex, 6, MODE_64, &i), -EINVAL);
	assert_int_equal(insn_decode(evex, 6, MODE_16, &i), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_zydis_in_64_bit_code),
		cmocka_unit_test(agrees_with_zydis_in_32_bit_code),
		cmocka_unit_test(agrees_with_zydis_in_16_bit_code),
		cmocka_unit_test(asks_for_more_bytes_at_every_cut),
		cmocka_unit_test(fifteen_bytes_are_the_limit),
		cmocka_unit_test(wide_encodings_are_no_instructions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
