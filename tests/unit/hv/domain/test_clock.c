/* Guest time: the line through the TSC, pure and against the host's clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "daemons/clock.h"
#include "hv/domain/clock.h"

#define S 1000000000ull

static void assert_near(uint64_t a, uint64_t b, uint64_t by)
{
	if ((a > b ? a - b : b - a) > by)
		fail_msg("%llu is not within %llu of %llu", (unsigned long long)a,
			 (unsigned long long)by, (unsigned long long)b);
}

static void the_slope_is_exact_for_slow_and_fast_tscs(void **state)
{
	static const uint64_t hz[] = { 100000000, 999999999, 1000000000, 2445000000, 6000000000 };

	for (unsigned i = 0; i < sizeof(hz) / sizeof(hz[0]); i++) {
		struct pvclock c = { .tsc0 = 5000, .ns0 = 77 };

		pvclock_slope(&c, S, hz[i]);
		assert_int_equal(pvclock_at(&c, 5000), 77);
		assert_true(c.mul >> 31);
		assert_near(pvclock_at(&c, 5000 + hz[i] * 3600), 77 + 3600 * S, 3000);
	}
}

static void a_tsc_before_the_anchor_does_not_go_back_in_time(void **state)
{
	struct pvclock c = { .tsc0 = 1000, .ns0 = 42 };

	pvclock_slope(&c, S, 2 * S);
	assert_int_equal(pvclock_at(&c, 999), 42);
	assert_int_equal(pvclock_at(&c, 0), 42);
}

/* A host clock that is slewed and a first slope that is wrong: the line stays
 * continuous, never goes back, and meets the host's time again. */
static void the_line_follows_a_slewed_host_without_a_jump(void **state)
{
	struct pvclock c = { 0 };
	uint64_t tsc = 0, host = 0;

	pvclock_slope(&c, S, 2 * S + 20000); /* 10 ppm off 2 GHz */
	for (int i = 0; i < 60; i++) {
		uint64_t step = 2 * S + (i > 20 ? 200000 : 0); /* slewed by 100 ppm */
		uint64_t before;

		tsc += step;
		host += S;
		before = pvclock_at(&c, tsc);
		c = pvclock_reanchor(&c, tsc, host, S, step);
		assert_int_equal(c.ns0, before);
		assert_int_equal(pvclock_at(&c, tsc), before);
		if (i > 5 && (i < 21 || i > 26))
			assert_near(before, host, 1000);
	}
}

static void being_far_behind_is_made_up_in_one_step(void **state)
{
	struct pvclock c = { 0 }, n;

	pvclock_slope(&c, S, 2 * S);
	n = pvclock_reanchor(&c, 2 * S, 100 * S, S, 2 * S);
	assert_int_equal(n.ns0, 100 * S);
	/* Ahead is never stepped: time would go back. */
	n = pvclock_reanchor(&c, 200 * S, 50 * S, S, 2 * S);
	assert_int_equal(n.ns0, 100 * S);
	assert_true(pvclock_at(&n, 202 * S) < 101 * S);
}

static void guest_time_runs_with_the_hosts_monotonic_clock(void **state)
{
	uint64_t g0, m0, g1, m1;
	struct gclock g = { 0 };

	gclock_init(&g);
	gclock_start(&g);
	m0 = clock_mono_ns();
	g0 = gclock_now(&g);
	for (int i = 0; i < 5; i++) {
		gclock_tick(&g);
		while (gclock_now(&g) - g0 < 5000000ull * (unsigned)(i + 1))
			;
	}
	g1 = gclock_now(&g);
	m1 = clock_mono_ns();
	/* Bounds that a preempted test meets too: both clocks were read around it. */
	assert_true(g1 - g0 <= m1 - m0 + 100000);
	assert_true(gclock_to_mono(&g, g1 + S) >= m1 - (m1 - m0));
	assert_true(gclock_to_mono(&g, UINT64_MAX) > S);
	gclock_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_slope_is_exact_for_slow_and_fast_tscs),
		cmocka_unit_test(a_tsc_before_the_anchor_does_not_go_back_in_time),
		cmocka_unit_test(the_line_follows_a_slewed_host_without_a_jump),
		cmocka_unit_test(being_far_behind_is_made_up_in_one_step),
		cmocka_unit_test(guest_time_runs_with_the_hosts_monotonic_clock),
	};

	return cmocka_run_group_tests_name("hv/domain/clock", tests, NULL, NULL);
}
