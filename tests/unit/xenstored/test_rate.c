/* A guest's writes wait only where they could spoil somebody's transaction
 * (XSA-206, X8), and none of them is lost by waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "daemons/log.h"
#include "tests/fake/xs_rig.h"
#include "xenstored/rate.h"

#define BATCH 20u /* messages in the ring at once */

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct conn *c;

	assert_non_null(r);
	log_init("test", LOG_ERR_);
	rig_init(r, false);
	rig_start(r);
	c = rig_conn(r, 0);
	assert_int_equal(RIG_ASK(c, XS_MKDIR, 0, "/local/domain/1\0"), 0);
	assert_int_equal(RIG_ASK(c, XS_SET_PERMS, 0, "/local/domain/1\0n1\0"), 0);
	assert_int_equal(RIG_ASK(c, XS_INTRODUCE, 0, "1\00077\0003\0"), 0);
	rig_conn_free(c);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

static uint64_t slowed(struct rig *r)
{
	return quota_usage(&r->srv.quotas, 1)->refused[REFUSED_RATE];
}

static void put_writes(struct rig *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t h[4] = { XS_WRITE, i, 0, 3 };

		assert_true(guest_put(&r->dom[1], h, sizeof(h)));
		assert_true(guest_put(&r->dom[1], "w\0v", 3));
	}
	guest_kick(&r->dom[1]);
	rig_turn(r);
}

/* Answers that are there, each for the request that is its turn. */
static unsigned answers(struct rig *r, unsigned first)
{
	char body[XS_PAYLOAD_MAX + 1];
	uint32_t h[4];
	unsigned n = 0;

	while (guest_msg(r, 1, h, body)) {
		assert_int_equal(h[0], XS_WRITE);
		assert_int_equal(h[1], first + n);
		n++;
	}
	return n;
}

static void nobody_waits_while_nobody_can_be_hurt(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 50; i++) {
		put_writes(r, BATCH);
		assert_int_equal(answers(r, 0), BATCH);
	}
	assert_int_equal(slowed(r), 0);
}

static void a_guest_does_not_wait_for_its_own_transaction(void **state)
{
	struct rig *r = *state;

	assert_int_equal(guest_ask(r, 1, XS_TRANSACTION_START, 0, "", 1, NULL, NULL), 0);
	for (int i = 0; i < 50; i++) {
		put_writes(r, BATCH);
		assert_int_equal(answers(r, 0), BATCH);
	}
	assert_int_equal(slowed(r), 0);
}

static void a_flood_beside_a_transaction_is_slowed_counted_and_done_in_order(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);
	unsigned got = 0, sent = 0;
	char id[XS_PAYLOAD_MAX + 1];

	assert_int_equal(rig_ask(c, XS_TRANSACTION_START, 0, "", 1, id, NULL), 0);
	/* Far past what a new domain has, however slow this machine is. */
	while (slowed(r) == 0 && sent < 1000000) {
		put_writes(r, BATCH);
		sent += BATCH;
		got = answers(r, 0);
	}
	assert_true(slowed(r) > 0);
	assert_true(sent > RATE_BURST * RATE_NEW_TIMES); /* it had its first bursts */
	/* dom0 is not concerned, and its transaction commits. */
	assert_int_equal(RIG_ASK(c, XS_WRITE, 0, "/free\0x"), 0);
	assert_int_equal(
		rig_ask(c, XS_TRANSACTION_END, (uint32_t)strtoul(id, NULL, 10), "T", 2, NULL, NULL),
		0);
	/* The rest of the last batch comes, in its order, by the timer alone. */
	for (int i = 0; i < 20000 && got < BATCH; i++) {
		event_base_loop(r->base, EVLOOP_ONCE);
		got += answers(r, got);
	}
	assert_int_equal(got, BATCH);
	rig_conn_free(c);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(nobody_waits_while_nobody_can_be_hurt),
		T(a_guest_does_not_wait_for_its_own_transaction),
		T(a_flood_beside_a_transaction_is_slowed_counted_and_done_in_order),
	};

	return cmocka_run_group_tests_name("xenstored/rate", tests, NULL, NULL);
}
