/* The one-line requests of the console socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/con_wire.h"

static void what_is_formatted_parses_to_the_same(void **state)
{
	static const struct con_req reqs[] = {
		{ .verb = CON_ATTACH,
		  .domid = 65535,
		  .console = 4294967295u,
		  .mode = CON_FORCE,
		  .bytes = CON_SCROLLBACK_MAX },
		{ .verb = CON_ATTACH, .domid = 0, .mode = CON_RO },
		{ .verb = CON_ATTACH, .domid = 7, .console = 2, .mode = CON_RW, .bytes = 1 },
		{ .verb = CON_TAIL, .bytes = CON_TAIL_MAX, .name = "a name of three words" },
	};

	for (size_t i = 0; i < sizeof(reqs) / sizeof(reqs[0]); i++) {
		struct con_req got;
		char line[CON_LINE_MAX];
		int n = con_req_format(&reqs[i], line, sizeof(line));

		assert_true(n > 0);
		assert_int_equal(line[n - 1], '\n');
		line[n - 1] = '\0';
		assert_int_equal(con_req_parse(line, &got), 0);
		assert_memory_equal(&got, &reqs[i], sizeof(got));
	}
}

static void anything_else_is_refused_and_nothing_is_written(void **state)
{
	static const char *const bad[] = {
		"",
		"ATTACH",
		"ATTACH ",
		"ATTACH 1",
		"ATTACH 1 0 rw",
		"ATTACH 1 0 rw ",
		"ATTACH 1 0 rwx 1",
		"ATTACH 1 0 r 1",
		"ATTACH 1 0  1",
		"ATTACH  1 0 rw 1",
		"ATTACH 1 0 rw 1 ",
		"ATTACH -1 0 rw 1",
		"ATTACH +1 0 rw 1",
		"ATTACH 0x1 0 rw 1",
		"ATTACH 65536 0 rw 1",
		"ATTACH 1 4294967296 rw 1",
		"ATTACH 18446744073709551617 0 rw 1",
		"ATTACH 1 0 rw 65537",
		"attach 1 0 rw 1",
		"TAIL",
		"TAIL ",
		"TAIL x",
		"TAIL  5",
		"TAIL x 1048577",
		"TAIL x -5",
		"TAIL x 5x",
		"GET / HTTP/1.1",
	};
	struct con_req got, before;

	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		got = before;
		assert_int_equal(con_req_parse(bad[i], &got), -EINVAL);
		assert_memory_equal(&got, &before, sizeof(got));
	}
}

static void a_guest_s_name_has_at_most_255_bytes(void **state)
{
	struct con_req got;
	char line[400];

	for (int n = 255; n <= 256; n++) {
		snprintf(line, sizeof(line), "TAIL %0*d 9", n, 0);
		assert_int_equal(con_req_parse(line, &got), n == 255 ? 0 : -EINVAL);
	}
	assert_int_equal(strlen(got.name), 255);
}

static void a_line_that_does_not_fit_is_not_cut(void **state)
{
	const struct con_req q = { .verb = CON_ATTACH, .domid = 1 };
	char line[16];

	assert_int_equal(con_req_format(&q, line, 15), -EMSGSIZE); /* "ATTACH 1 0 ro 0\n" */
	assert_int_equal(con_req_format(&q, line, 16), -EMSGSIZE); /* and its NUL */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_formatted_parses_to_the_same),
		cmocka_unit_test(anything_else_is_refused_and_nothing_is_written),
		cmocka_unit_test(a_guest_s_name_has_at_most_255_bytes),
		cmocka_unit_test(a_line_that_does_not_fit_is_not_cut),
	};

	return cmocka_run_group_tests_name("proto/con_wire", tests, NULL, NULL);
}
