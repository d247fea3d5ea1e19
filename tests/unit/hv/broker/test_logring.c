/* tests/unit/hv/broker/test_logring.c - what was logged last, by offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemons/sys.h"
#include "hv/broker/hvd.h"

#define RING (256u << 10)

static char path[] = "/tmp/logringXXXXXX";

static int setup(void **state)
{
	struct logring *r;

	unlink(path);
	if (logring_open(path, &r) < 0)
		return -1;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	logring_close(*state);
	return 0;
}

static void a_line_names_its_domain_and_ends(void **state)
{
	struct logring *r = *state;
	char text[256];
	uint64_t next;
	uint32_t n;

	logring_add(r, 7, "hello\n\033[2J");
	n = logring_read(r, 0, text, sizeof(text) - 1, &next);
	text[n] = '\0';
	assert_int_equal(next, n);
	assert_memory_equal(text, "(XEN) [", 7);
	assert_non_null(strstr(text, "] d7 hello\\x0a\\x1b[2J\n"));
	logring_add(r, -1, "mine");
	n = logring_read(r, next, text, sizeof(text) - 1, &next);
	text[n] = '\0';
	assert_non_null(strstr(text, "] mine\n"));
}

static void an_endless_line_is_cut(void **state)
{
	struct logring *r = *state;
	char longest[5000], text[6000];
	uint64_t next;

	memset(longest, '\001', sizeof(longest) - 1); /* four bytes each when escaped */
	longest[sizeof(longest) - 1] = '\0';
	logring_add(r, 1, longest);
	assert_in_range(logring_read(r, 0, text, sizeof(text), &next), 500, 2 * HV_TEXT_MAX);
	assert_int_equal(text[next - 1], '\n');
}

/* Whatever is asked of a ring that has gone round: whole lines, in order. */
static void a_full_ring_begins_with_a_whole_line(void **state)
{
	static char text[RING + 1];
	struct logring *r = *state;
	uint64_t next, total = 0;
	char line[64];
	uint32_t n;
	unsigned first, count = 0, lines = 9000;

	for (unsigned i = 0; i < lines; i++) {
		snprintf(line, sizeof(line), "line %u", i);
		logring_add(r, 3, line);
	}
	n = logring_read(r, 1, text, RING, &next); /* long gone */
	text[n] = '\0';
	assert_true(n > RING - 128);
	assert_memory_equal(text, "(XEN) [", 7);
	assert_int_equal(sscanf(strstr(text, "d3 line "), "d3 line %u", &first), 1);
	for (char *p = text; p && *p; p = strchr(p, '\n') + 1, count++) {
		unsigned at;

		assert_int_equal(sscanf(strstr(p, "d3 line "), "d3 line %u", &at), 1);
		assert_int_equal(at, first + count);
	}
	assert_int_equal(first + count, lines);
	assert_int_equal(logring_read(r, next, text, RING, &total), 0);
	assert_int_equal(total, next);
	/* An offset from before the ring was begun anew starts it over. */
	assert_true(logring_read(r, next + 1000, text, RING, &total) > 0);
}

static void it_survives_its_process(void **state)
{
	struct logring *r = *state, *again;
	char a[256], b[256];
	uint64_t next;
	uint32_t n;

	logring_add(r, 1, "before");
	n = logring_read(r, 0, a, sizeof(a), &next);
	assert_int_equal(logring_open(path, &again), 0);
	assert_int_equal(logring_read(again, 0, b, sizeof(b), &next), n);
	assert_memory_equal(a, b, n);
	logring_close(again);
}

static void opening_survives_every_fault(void **state)
{
	struct logring *sentinel = (struct logring *)(uintptr_t)1, *r;
	long n;
	int ret;

	for (n = 0;; n++) {
		r = sentinel;
		fault_arm(n, ENOSPC);
		ret = logring_open(path, &r);
		if (!fault_disarm())
			break;
		assert_true(ret < 0);
		assert_ptr_equal(r, sentinel);
	}
	assert_int_equal(n, 4);
	logring_close(r);
}

#define R(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		R(a_line_names_its_domain_and_ends),	 R(an_endless_line_is_cut),
		R(a_full_ring_begins_with_a_whole_line), R(it_survives_its_process),
		R(opening_survives_every_fault),
	};
	int r;

	close(mkstemp(path));
	r = cmocka_run_group_tests_name("logring", tests, NULL, NULL);
	unlink(path);
	return r;
}
