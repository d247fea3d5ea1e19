/* tests/unit/hv/client/test_domdiff.c - two looks at a list, and what happened between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/client/domdiff.h"

static struct hvc_event ev[256];

static void nothing_changed_is_no_event(void **state)
{
	struct domdiff_seen old[] = { { 0, HVC_DOM_RUNNING, { 0 } }, { 3, HVC_DOM_PAUSED, { 1 } } };
	struct hvc_dominfo now[] = { { .domid = 0, .flags = HVC_DOM_RUNNING },
				     { .domid = 3, .flags = HVC_DOM_RUNNING, .uuid = { 1 } } };

	assert_int_equal(domdiff(old, 2, now, 2, ev), 0);
	assert_int_equal(domdiff(old, 0, now, 0, ev), 0);
}

static void births_ends_and_shutdowns_are_told_in_order(void **state)
{
	struct domdiff_seen old[] = { { 1, HVC_DOM_RUNNING, { 1 } },
				      { 2, HVC_DOM_RUNNING, { 2 } } };
	struct hvc_dominfo now[] = {
		{ .domid = 2, .flags = HVC_DOM_SHUTDOWN, .shutdown_reason = 1, .uuid = { 2 } },
		{ .domid = 5, .flags = HVC_DOM_PAUSED, .uuid = { 5 } }
	};

	assert_int_equal(domdiff(old, 2, now, 2, ev), 3);
	assert_int_equal(ev[0].kind, HVC_EV_DESTROYED);
	assert_int_equal(ev[0].domid, 1);
	assert_int_equal(ev[1].kind, HVC_EV_SHUTDOWN);
	assert_int_equal(ev[1].domid, 2);
	assert_int_equal(ev[1].reason, 1);
	assert_int_equal(ev[2].kind, HVC_EV_CREATED);
	assert_int_equal(ev[2].domid, 5);
}

static void a_number_used_again_is_another_domain(void **state)
{
	struct domdiff_seen old[] = { { 4, HVC_DOM_DYING | HVC_DOM_SHUTDOWN, { 1 } } };
	struct hvc_dominfo now[] = {
		{ .domid = 4, .flags = HVC_DOM_SHUTDOWN | HVC_DOM_DYING, .uuid = { 2 } }
	};

	assert_int_equal(domdiff(old, 1, now, 1, ev), 4);
	assert_int_equal(ev[0].kind, HVC_EV_DESTROYED);
	assert_int_equal(ev[1].kind, HVC_EV_CREATED);
	assert_int_equal(ev[2].kind, HVC_EV_SHUTDOWN);
	assert_int_equal(ev[3].kind, HVC_EV_DYING);
}

static uint32_t rnd_state = 7;

static uint32_t rnd(void)
{
	rnd_state = rnd_state * 1664525u + 1013904223u;
	return rnd_state >> 8;
}

/* Applying the events to the old set gives the new set, whatever the lists. */
static void events_lead_from_the_old_list_to_the_new_one(void **state)
{
	for (int round = 0; round < 3000; round++) {
		struct domdiff_seen old[32];
		struct hvc_dominfo now[32];
		bool live[32] = { false };
		size_t n = 0, m = 0, k;

		for (uint16_t id = 0; id < 32; id++) {
			if (rnd() & 1) {
				old[n++] = (struct domdiff_seen){ id, 0, { (uint8_t)(rnd() % 2) } };
				live[id] = true;
			}
			if (rnd() & 1)
				now[m++] = (struct hvc_dominfo){ .domid = id,
								 .uuid = { (uint8_t)(rnd() % 2) } };
		}
		k = domdiff(old, n, now, m, ev);
		assert_true(k <= 2 * n + 2 * m);
		for (size_t i = 0; i < k; i++) {
			assert_int_equal(live[ev[i].domid], ev[i].kind == HVC_EV_DESTROYED);
			live[ev[i].domid] = !live[ev[i].domid];
		}
		for (uint16_t id = 0; id < 32; id++) {
			bool in = false;

			for (size_t j = 0; j < m; j++)
				in |= now[j].domid == id;
			assert_int_equal(live[id], in);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_changed_is_no_event),
		cmocka_unit_test(births_ends_and_shutdowns_are_told_in_order),
		cmocka_unit_test(a_number_used_again_is_another_domain),
		cmocka_unit_test(events_lead_from_the_old_list_to_the_new_one),
	};

	return cmocka_run_group_tests_name("domdiff", tests, NULL, NULL);
}
