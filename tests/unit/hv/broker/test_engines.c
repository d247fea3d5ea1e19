/* tests/unit/hv/broker/test_engines.c - which engine hvd takes, by what a child
 * finds out of /dev/kvm, and that a domain on kvm gets its descriptor. */
#include "tests/unit/hv/broker/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What the fake processes find of a KVM; NULL: there is none. */
static int with(void **state, const char *kvm)
{
	if (kvm)
		setenv("FAKE_KVM", kvm, 1);
	else
		unsetenv("FAKE_KVM");
	return setup(state);
}

static int no_kvm(void **state)
{
	return with(state, NULL);
}

static int fast_kvm(void **state)
{
	return with(state, "2000000000");
}

static int slow_kvm(void **state)
{
	return with(state, "1500000");
}

static int hanging_kvm(void **state)
{
	return with(state, "hang");
}

static int make(struct world *w, const char *engine, const char *cmdline, char err[256])
{
	struct hvc_create c = { .uuid = { 1 },
				.mem_pages = 256,
				.max_pages = 256,
				.vcpus = 1,
				.max_vcpus = 1,
				.name = "test",
				.engine = engine,
				.cmdline = cmdline,
				.kernel_fd = w->kernel,
				.ramdisk_fd = -1 };
	struct hvc_created made;
	struct hvc_dominfo info;
	int r;

	err[0] = '\0';
	r = hvc_create(w->h, &c, &made, err, 256);
	if (r == 0) {
		assert_int_equal(hvc_dominfo(w->h, made.domid, &info), 0);
		snprintf(err, 256, "%s", info.engine);
	}
	return r;
}

static void expect_auto(struct world *w, const char *engine, const char *reason)
{
	struct hvc_hostinfo hi;
	char err[256];

	assert_int_equal(hvc_hostinfo(w->h, &hi), 0);
	assert_string_equal(hi.engine, engine);
	assert_non_null(strstr(hi.engine_reason, reason));
	assert_int_equal(make(w, "auto", "echo", err), 0);
	assert_string_equal(err, engine);
}

static void without_kvm_auto_is_soft_and_kvm_is_refused_with_the_reason(void **state)
{
	char err[256];

	expect_auto(*state, "soft", "none in this test");
	assert_int_equal(make(*state, "kvm", "echo", err), -EOPNOTSUPP);
	assert_non_null(strstr(err, "none in this test"));
	assert_int_equal(make(*state, "hardware", "echo", err), -EINVAL);
	assert_non_null(strstr(err, "no such engine"));
}

static void the_reference_engine_can_be_asked_for(void **state)
{
	char err[256];

	assert_int_equal(make(*state, "soft-ref", "echo", err), 0);
	assert_string_equal(err, "soft-ref");
}

static void a_domain_on_kvm_gets_the_device(void **state)
{
	char err[256];

	expect_auto(*state, "kvm", "2000.0 million");
	if (make(*state, "kvm", "kvm", err) < 0)
		fail_msg("%s", err);
	assert_int_equal(make(*state, "soft", "kvm", err), -EINVAL);
}

static void a_kvm_that_only_emulates_is_not_used(void **state)
{
	expect_auto(*state, "soft", "only emulates");
}

static void a_kvm_that_hangs_does_not_hang_hvd(void **state)
{
	expect_auto(*state, "soft", "did not answer");
}

static void a_killed_hvd_remembers_what_was_found(void **state)
{
	struct world *w = *state;

	kill_hvd(w, SIGKILL);
	unsetenv("FAKE_KVM"); /* another try would find none */
	start_hvd(w);
	expect_auto(w, "kvm", "2000.0 million");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			without_kvm_auto_is_soft_and_kvm_is_refused_with_the_reason, no_kvm,
			teardown),
		cmocka_unit_test_setup_teardown(the_reference_engine_can_be_asked_for, no_kvm,
						teardown),
		cmocka_unit_test_setup_teardown(a_domain_on_kvm_gets_the_device, fast_kvm,
						teardown),
		cmocka_unit_test_setup_teardown(a_kvm_that_only_emulates_is_not_used, slow_kvm,
						teardown),
		cmocka_unit_test_setup_teardown(a_kvm_that_hangs_does_not_hang_hvd, hanging_kvm,
						teardown),
		cmocka_unit_test_setup_teardown(a_killed_hvd_remembers_what_was_found, fast_kvm,
						teardown),
	};

	if (argc < 3)
		return 1;
	hvd_path = argv[1];
	domain_path = argv[2];
	return cmocka_run_group_tests_name("hv/broker/engines", tests, NULL, NULL);
}
