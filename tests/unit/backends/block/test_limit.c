/* backends/block/limit.c on a clock of our own, against a bucket counted in
 * fractions. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/block/limit.h"
#include "daemons/sys.h"

#define SEC 1000000000ull

static struct limits *all;

static int set_up(void **state)
{
	return limits_new(&all);
}

static int tear_down(void **state)
{
	all = limits_free(all);
	return 0;
}

static struct limit_group *group(const char *name, const char *text, uint64_t now)
{
	struct vbd_limits l;
	struct limit_group *g;

	assert_int_equal(vbd_limits_parse(text, &l, NULL, 0), 0);
	assert_int_equal(limit_get(all, name, &g), 0);
	limit_set(g, &l, now);
	return g;
}

/* A device that always has a request waiting: how many start in a time. */
static unsigned greedy(struct limit_group *g, uint64_t from, uint64_t ns, bool write, uint64_t n)
{
	uint64_t now = from;
	unsigned started = 0;

	for (;;) {
		uint64_t at = limit_reserve(g, now, write, n);

		if (at > now)
			now = at;
		if (now >= from + ns)
			return started;
		started++;
	}
}

static void no_limit_delays_nothing(void **state)
{
	struct limit_group *g = group("", "", 5);

	for (int i = 0; i < 100; i++)
		assert_int_equal(limit_reserve(g, 7, i % 2, UINT64_MAX), 7);
	limit_put(g);
}

static void rates_hold_within_a_hundredth_and_one_slack(void **state)
{
	static const unsigned rates[] = { 1, 7, 100, 1000, 10000, 333333 };

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct vbd_limits l = { .of[VBD_TOTAL_IOPS].rate = rates[i] };
		struct limit_group *g;
		double want = rates[i] * 5.0, got;

		assert_int_equal(limit_get(all, "", &g), 0);
		limit_set(g, &l, SEC);
		got = greedy(g, SEC, 5 * SEC, i % 2, 4096);
		assert_true(fabs(got - want) <= want / 100 + 2);
		limit_put(g);
	}
}

static void bytes_are_paid_for_and_a_request_larger_than_the_bucket_is_only_late(void **state)
{
	struct limit_group *g = group("", "write_bytes_sec=1048576", 0);

	assert_in_range(greedy(g, 0, 10 * SEC, true, 2 << 20), 5, 6);
	limit_put(g);
}

static void reads_are_not_held_by_a_limit_of_writes(void **state)
{
	struct limit_group *g = group("", "write_iops_sec=1,write_bytes_sec=1", 0);

	assert_true(limit_reserve(g, 0, true, 512) == 0);
	assert_true(limit_reserve(g, 0, true, 512) > 400 * SEC);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(limit_reserve(g, 0, false, 4096), 0);
	limit_put(g);
}

static void a_burst_lasts_as_long_as_it_says(void **state)
{
	struct limit_group *g = group("",
				      "total_iops_sec=100,total_iops_sec_max=1000,"
				      "total_iops_sec_max_length=3",
				      0);
	unsigned burst = greedy(g, 0, 3 * SEC, false, 512);
	unsigned after = greedy(g, 3 * SEC, 5 * SEC, false, 512);

	assert_in_range(burst, 2940, 3060);
	assert_in_range(after, 490, 560);
	limit_put(g);
}

static void large_requests_count_by_their_size_when_asked_to(void **state)
{
	struct limit_group *g = group("", "total_iops_sec=100,size_iops_sec=4096", 0);

	assert_in_range(greedy(g, 0, 10 * SEC, false, 16384), 250, 254);
	limit_put(g);
}

static void devices_of_a_group_share_and_others_do_not(void **state)
{
	struct limit_group *a = group("g", "total_iops_sec=100", 0), *b, *c;
	unsigned n[2] = { 0 };
	uint64_t at[2] = { 0 };

	assert_int_equal(limit_get(all, "g", &b), 0);
	assert_ptr_equal(a, b);
	assert_int_equal(limit_get(all, "h", &c), 0);
	assert_ptr_not_equal(a, c);
	/* Two devices that always want: each gets half. */
	for (;;) {
		int who = at[1] < at[0];
		uint64_t t = at[who] = limit_reserve(a, at[who], false, 512);

		if (t >= 5 * SEC)
			break;
		n[who]++;
	}
	assert_in_range(n[0], 245, 260);
	assert_in_range(n[1], 245, 260);
	limit_put(b);
	limit_put(a);
	limit_put(c);
}

static void a_change_counts_at_once_and_the_same_again_is_no_change(void **state)
{
	struct limit_group *g = group("", "total_iops_sec=1", 0);
	struct vbd_limits l;
	uint32_t epoch;

	while (limit_reserve(g, 0, false, 512) < 1000 * SEC)
		;
	epoch = limit_epoch(g);
	assert_int_equal(vbd_limits_parse("total_iops_sec=1", &l, NULL, 0), 0);
	limit_set(g, &l, SEC);
	assert_int_equal(limit_epoch(g), epoch);
	assert_true(limit_reserve(g, SEC, false, 512) > 1000 * SEC);
	l.of[VBD_TOTAL_IOPS].rate = 100;
	limit_set(g, &l, SEC);
	assert_int_not_equal(limit_epoch(g), epoch);
	assert_in_range(greedy(g, SEC, 5 * SEC, false, 512), 500, 510);
	limit_put(g);
}

/* Tokens as a fraction, one per rate; a request starts when there are none
 * owed, whatever it costs. */
struct naive {
	double rate, room, level, at;
};

static double naive_start(struct naive *b, double now, double tokens)
{
	double start;

	b->level += (now - b->at) * b->rate;
	if (b->level > b->room)
		b->level = b->room;
	b->at = now;
	start = b->level >= 0 ? now : now - b->level / b->rate;
	b->level -= tokens;
	return start;
}

static void random_traffic_agrees_with_a_naive_bucket(void **state)
{
	unsigned seed = 1;

	for (int round = 0; round < 200; round++) {
		uint64_t rate = 1 + (uint64_t)rand_r(&seed) % 100000, now = SEC;
		struct vbd_limits l = { .of[VBD_READ_BYTES].rate = rate };
		struct naive n = { .rate = (double)rate, .at = 1 };
		struct limit_group *g;

		if (round % 2) {
			l.of[VBD_READ_BYTES].max = 1000000000000ull; /* never in the way */
			l.of[VBD_READ_BYTES].max_length = 1;
			n.room = 1e12 - (double)rate;
		}
		n.level = n.room += (double)rate * LIMIT_SLACK_NS / SEC;
		assert_int_equal(limit_get(all, "", &g), 0);
		limit_set(g, &l, now);
		for (int i = 0; i < 500; i++) {
			uint64_t bytes = (uint64_t)rand_r(&seed) % (rate / 4 + 2);
			uint64_t at = limit_reserve(g, now, false, bytes);
			double want = naive_start(&n, (double)now / SEC, (double)bytes);

			if (at < now)
				at = now;
			assert_true(fabs((double)at / SEC - want) < 1e-6);
			now = at + (uint64_t)rand_r(&seed) % (SEC / (1u << (i % 16)));
		}
		limit_put(g);
	}
}

static void want_of_memory_is_an_error(void **state)
{
	struct limits *l = NULL;
	struct limit_group *g = NULL;

	fault_arm(0, ENOMEM);
	assert_int_equal(limits_new(&l), -ENOMEM);
	assert_null(l);
	fault_arm(0, ENOMEM);
	assert_int_equal(limit_get(all, "x", &g), -ENOMEM);
	assert_null(g);
	assert_true(fault_disarm());
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(no_limit_delays_nothing),
		T(rates_hold_within_a_hundredth_and_one_slack),
		T(bytes_are_paid_for_and_a_request_larger_than_the_bucket_is_only_late),
		T(reads_are_not_held_by_a_limit_of_writes),
		T(a_burst_lasts_as_long_as_it_says),
		T(large_requests_count_by_their_size_when_asked_to),
		T(devices_of_a_group_share_and_others_do_not),
		T(a_change_counts_at_once_and_the_same_again_is_no_change),
		T(random_traffic_agrees_with_a_naive_bucket),
		T(want_of_memory_is_an_error),
	};
#undef T

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
