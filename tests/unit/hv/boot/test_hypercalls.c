/* tests/unit/hv/boot/test_hypercalls.c - only Xen's pair of stubs is replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/boot/hypercalls.h"

static const uint8_t insn[] = { 0xe6, 0x5e, 0x90 };

static void put_pair(uint8_t *p, uint8_t ret)
{
	memcpy(p, (const uint8_t[]){ 0x0f, 0x01, 0xd9, ret }, 4);
	memcpy(p + 16, (const uint8_t[]){ 0x0f, 0x01, 0xc1, ret }, 4);
}

static void both_instructions_of_a_pair_are_replaced_wherever_it_is(void **state)
{
	(void)state;
	for (size_t at = 0; at <= 44; at++) {
		uint8_t code[64] = { 0 }, want[64] = { 0 };

		put_pair(code + at, at & 1 ? 0xc3 : 0xe9);
		put_pair(want + at, at & 1 ? 0xc3 : 0xe9);
		memcpy(want + at, insn, 3);
		memcpy(want + at + 16, insn, 3);
		assert_int_equal(hypercalls_replace(code, sizeof(code), insn), 1);
		assert_memory_equal(code, want, sizeof(code));
	}
}

static void a_lone_instruction_is_left_alone(void **state)
{
	uint8_t code[64] = { 0 }, want[64];

	(void)state;
	put_pair(code, 0xe9);
	code[16] = 0;		   /* no vmcall behind */
	put_pair(code + 40, 0x90); /* no return behind */
	memcpy(want, code, sizeof(code));
	assert_int_equal(hypercalls_replace(code, sizeof(code), insn), 0);
	assert_memory_equal(code, want, sizeof(code));
}

static void a_pair_cut_off_by_the_end_is_left_alone(void **state)
{
	uint8_t code[20] = { 0 };

	(void)state;
	put_pair(code, 0xc3);
	for (size_t n = 0; n < sizeof(code); n++) {
		assert_int_equal(hypercalls_replace(code, n, insn), 0);
		assert_int_equal(code[0], 0x0f);
	}
	assert_int_equal(hypercalls_replace(code, sizeof(code), insn), 1);
}

static void pairs_are_counted(void **state)
{
	uint8_t code[96];

	(void)state;
	memset(code, 0x0f, sizeof(code));
	put_pair(code + 3, 0xc3);
	put_pair(code + 60, 0xe9);
	assert_int_equal(hypercalls_replace(code, sizeof(code), insn), 2);
	assert_int_equal(hypercalls_replace(code, sizeof(code), insn), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_instructions_of_a_pair_are_replaced_wherever_it_is),
		cmocka_unit_test(a_lone_instruction_is_left_alone),
		cmocka_unit_test(a_pair_cut_off_by_the_end_is_left_alone),
		cmocka_unit_test(pairs_are_counted),
	};

	return cmocka_run_group_tests_name("hypercalls", tests, NULL, NULL);
}
