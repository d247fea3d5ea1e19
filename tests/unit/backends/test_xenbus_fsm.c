/* backends/xenbus_fsm.c: whatever a guest writes to its state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/xenbus_fsm.h"

static void a_frontend_that_vanishes_is_disconnected(void **state)
{
	struct be_step s = be_next(XB_CONNECTED, XB_UNKNOWN);

	assert_int_equal(s.to, XB_CLOSED);
	assert_int_equal(s.act, ACT_DISCONNECT);
}

/* The ring is held exactly in CONNECTED, in every sequence of seven states. */
static void no_state_sequence_connects_twice_or_leaks_a_ring(void **state)
{
	for (unsigned seq = 0; seq < 14u * 14 * 14 * 14 * 14; seq++) {
		enum xb_state s = XB_INIT_WAIT;
		int rings = 0;

		for (unsigned i = 0, q = seq; i < 5; i++, q /= 14) {
			enum xb_state peer = (enum xb_state)(q % 7);
			struct be_step st = q % 14 >= 7 ? be_offline(s, peer) : be_next(s, peer);

			rings += (st.act == ACT_CONNECT) - (st.act == ACT_DISCONNECT);
			assert_in_range(rings, 0, 1);
			assert_int_equal(rings, st.to == XB_CONNECTED);
			s = st.to;
		}
	}
}

static void a_reboot_connects_again(void **state)
{
	enum xb_state s = XB_CONNECTED;
	static const enum xb_state guest[] = { XB_CLOSING, XB_CLOSED, XB_INITIALISING,
					       XB_INITIALISED };

	for (int i = 0; i < 4; i++)
		s = be_next(s, guest[i]).to;
	assert_int_equal(s, XB_CONNECTED);
}

static void a_device_that_is_taken_away_serves_until_the_guest_lets_go(void **state)
{
	assert_int_equal(be_offline(XB_CONNECTED, XB_CONNECTED).to, XB_CONNECTED);
	assert_int_equal(be_offline(XB_CONNECTED, XB_CLOSING).to, XB_CLOSING);
	assert_int_equal(be_offline(XB_CLOSING, XB_CLOSED).to, XB_CLOSED);
	assert_int_equal(be_offline(XB_CLOSED, XB_INITIALISING).to, XB_CLOSED);
}

static void only_one_digit_is_a_state(void **state)
{
	static const char *const bad[] = { "", "0", "7", "9", "44", "-1", " 4", "4 ", "x" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(xb_state_parse(bad[i]), XB_UNKNOWN);
	assert_int_equal(xb_state_parse(NULL), XB_UNKNOWN);
	assert_int_equal(xb_state_parse("4"), XB_CONNECTED);
	assert_int_equal(xb_state_parse("6"), XB_CLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frontend_that_vanishes_is_disconnected),
		cmocka_unit_test(no_state_sequence_connects_twice_or_leaks_a_ring),
		cmocka_unit_test(a_reboot_connects_again),
		cmocka_unit_test(a_device_that_is_taken_away_serves_until_the_guest_lets_go),
		cmocka_unit_test(only_one_digit_is_a_state),
	};

	return cmocka_run_group_tests_name("xenbus_fsm", tests, NULL, NULL);
}
