/* tests/unit/supervisor/test_service.c - the rules of a service's life. */
#include "tests/unit/cli/unit.h"

#include "supervisor/service.h"

static void a_service_that_never_came_up_is_given_up(void **state)
{
	enum svc_state s = svc_next(SVC_STOPPED, SVC_EV_START, false);

	assert_int_equal(s, SVC_STARTING);
	assert_int_equal(svc_next(s, SVC_EV_EXIT, false), SVC_FAILED);
	assert_int_equal(svc_next(s, SVC_EV_TIMEOUT, false), SVC_FAILED);
}

static void a_service_that_was_up_is_started_again(void **state)
{
	assert_int_equal(svc_next(SVC_READY, SVC_EV_EXIT, true), SVC_BACKOFF);
	assert_int_equal(svc_next(SVC_BACKOFF, SVC_EV_START, true), SVC_STARTING);
	assert_int_equal(svc_next(SVC_STARTING, SVC_EV_EXIT, true), SVC_BACKOFF);
}

static void stopping_ends_in_stopped_from_every_state(void **state)
{
	for (enum svc_state s = SVC_STOPPED; s <= SVC_FAILED; s++) {
		enum svc_state next = svc_next(s, SVC_EV_STOP, true);

		if (next == SVC_STOPPING)
			next = svc_next(next, SVC_EV_EXIT, true);
		assert_int_equal(next, SVC_STOPPED);
	}
}

static void events_that_mean_nothing_change_nothing(void **state)
{
	assert_int_equal(svc_next(SVC_STOPPED, SVC_EV_READY, false), SVC_STOPPED);
	assert_int_equal(svc_next(SVC_STOPPING, SVC_EV_READY, true), SVC_STOPPING);
	assert_int_equal(svc_next(SVC_READY, SVC_EV_READY, true), SVC_READY);
	assert_int_equal(svc_next(SVC_READY, SVC_EV_TIMEOUT, true), SVC_READY);
}

static void the_wait_doubles_up_to_its_limit_and_is_forgiven(void **state)
{
	unsigned ms = 0, last = 0;

	for (int i = 0; i < 20; i++) {
		ms = svc_backoff(ms, 5);
		assert_true(ms >= last && ms <= SVC_BACKOFF_MAX_MS);
		last = ms;
	}
	assert_int_equal(ms, SVC_BACKOFF_MAX_MS);
	assert_int_equal(svc_backoff(ms, SVC_STEADY_MS), SVC_BACKOFF_MIN_MS);
	assert_int_equal(svc_backoff(ms, SVC_STEADY_MS - 1), SVC_BACKOFF_MAX_MS);
}

static void a_table_has_names_and_quoted_words(void **state)
{
	struct service s[SVC_MAX];
	char err[128];

	assert_int_equal(
		svc_parse("# all\n\nhvd \"/opt/my x/hvd\" --a=\"b c\"  # first\n  api apid", s, err,
			  sizeof(err)),
		2);
	assert_string_equal(s[0].name, "hvd");
	assert_string_equal(s[0].argv[0], "/opt/my x/hvd");
	assert_string_equal(s[0].argv[1], "--a=b c");
	assert_null(s[0].argv[2]);
	assert_string_equal(s[1].argv[0], "apid");
	svc_fini(&s[0]);
	svc_fini(&s[1]);
	svc_fini(&s[1]); /* idempotent */
}

static void broken_tables_are_refused_with_their_line(void **state)
{
	struct service s[SVC_MAX];
	char err[128], many[512] = "";

	assert_int_equal(svc_parse("a b\nlonely\n", s, err, sizeof(err)), -EINVAL);
	assert_contains(err, "line 2");
	assert_int_equal(svc_parse("a \"b", s, err, sizeof(err)), -EINVAL);
	assert_int_equal(svc_parse("../a b", s, err, sizeof(err)), -EINVAL);
	for (int i = 0; i <= SVC_MAX; i++)
		strcat(many, "a b\n");
	assert_int_equal(svc_parse(many, s, err, sizeof(err)), -E2BIG);
	strcpy(many, "a");
	for (int i = 0; i <= SVC_ARGS_MAX; i++)
		strcat(many, " b");
	assert_int_equal(svc_parse(many, s, err, sizeof(err)), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_that_never_came_up_is_given_up),
		cmocka_unit_test(a_service_that_was_up_is_started_again),
		cmocka_unit_test(stopping_ends_in_stopped_from_every_state),
		cmocka_unit_test(events_that_mean_nothing_change_nothing),
		cmocka_unit_test(the_wait_doubles_up_to_its_limit_and_is_forgiven),
		cmocka_unit_test(a_table_has_names_and_quoted_words),
		cmocka_unit_test(broken_tables_are_refused_with_their_line),
	};
	return cmocka_run_group_tests_name("supervisor/service", tests, NULL, NULL);
}
