/* tests/unit/hv/engine/test_probe.c - the guest that tells how fast an engine is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "hv/engine/probe.h"

static void the_loop_runs_and_the_hypercall_comes_out(void **state)
{
	static const char *const engines[] = { "soft", "soft-ref" };

	for (unsigned i = 0; i < 2; i++) {
		char why[200] = "";
		uint64_t rate = 0;

		if (engine_probe(engines[i], -1, &rate, why, sizeof(why)) < 0)
			fail_msg("%s: %s", engines[i], why);
		assert_true(rate > 1000);
	}
}

static void what_is_not_kvm_is_told(void **state)
{
	char why[200] = "";
	uint64_t rate = 0;

	assert_int_equal(engine_probe("kvm", -1, &rate, why, sizeof(why)), -EBADF);
	assert_non_null(strstr(why, "no virtual machine"));
	assert_int_equal(engine_probe("other", -1, &rate, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "no engine other"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_loop_runs_and_the_hypercall_comes_out),
		cmocka_unit_test(what_is_not_kvm_is_told),
	};

	return cmocka_run_group_tests_name("hv/engine/probe", tests, NULL, NULL);
}
