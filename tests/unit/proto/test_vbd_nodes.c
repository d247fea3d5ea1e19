/* proto/vbd_nodes.c: what a toolstack may write, and what it is told otherwise. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/vbd_nodes.h"

static void limits_are_read_and_written_back(void **state)
{
	static const char text[] =
		"total_bytes_sec=1048576,read_iops_sec=100,read_iops_sec_max=500,"
		"read_iops_sec_max_length=10,size_iops_sec=4096,group_name=web.1";
	char buf[VBD_LIMITS_TEXT], err[128];
	struct vbd_limits l, again;

	assert_int_equal(vbd_limits_parse(text, &l, err, sizeof(err)), 0);
	assert_int_equal(l.of[VBD_TOTAL_BYTES].rate, 1048576);
	assert_int_equal(l.of[VBD_READ_IOPS].max, 500);
	assert_int_equal(l.of[VBD_READ_IOPS].max_length, 10);
	assert_int_equal(l.of[VBD_WRITE_IOPS].rate, 0);
	assert_int_equal(l.size_iops, 4096);
	assert_string_equal(l.group, "web.1");
	assert_string_equal(vbd_limits_format(&l, buf), text);
	assert_int_equal(vbd_limits_parse(" read_iops_sec=5 ,\nwrite_iops_sec=6\n", &l, NULL, 0),
			 0);
	assert_int_equal(l.of[VBD_WRITE_IOPS].rate, 6);
	assert_int_equal(vbd_limits_parse("", &again, NULL, 0), 0);
	assert_string_equal(vbd_limits_format(&again, buf), "");
	assert_int_equal(vbd_limits_parse("read_iops_sec=5,read_iops_sec_max=9", &l, NULL, 0), 0);
	assert_int_equal(l.of[VBD_READ_IOPS].max_length, 1);
}

static void the_longest_limits_fit(void **state)
{
	struct vbd_limits l = { .size_iops = VBD_LIMIT_MAX }, again;
	char buf[VBD_LIMITS_TEXT];

	for (unsigned k = 0; k < VBD_LIMIT_KINDS; k++)
		l.of[k] = (struct vbd_limit){ VBD_LIMIT_MAX, VBD_LIMIT_MAX, VBD_LIMIT_LENGTH_MAX };
	memset(l.group, 'g', VBD_GROUP_MAX - 1);
	assert_int_equal(vbd_limits_parse(vbd_limits_format(&l, buf), &again, NULL, 0), 0);
	assert_memory_equal(&l, &again, sizeof(l));
}

static void nonsense_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "read_iops_sec", "not name=value" },
		{ "read_iops_sec=", "not name=value" },
		{ "=5", "not name=value" },
		{ "read_iops_sec=5=6", "not name=value" },
		{ "read_iops_sec=-1", "not a number" },
		{ "read_iops_sec=1e3", "not a number" },
		{ "read_iops_sec=1000000000000001", "not a number" },
		{ "read_iops_sec=99999999999999999999999", "not a number" },
		{ "read_iops_sec=1,read_iops_sec=2", "twice" },
		{ "group_name=a,group_name=b", "twice" },
		{ "iops=1", "not the name" },
		{ "read_iops_sec_min=1", "not the name" },
		{ "read_iops_sec_max=10", "needs" },
		{ "read_iops_sec=10,read_iops_sec_max=9", "below" },
		{ "read_iops_sec=10,read_iops_sec_max_length=9", "needs" },
		{ "read_iops_sec=1,read_iops_sec_max=1,read_iops_sec_max_length=3601", "number" },
		{ "group_name=a/b", "letters" },
		{ "size_iops_sec=x", "not a number" },
	};
	struct vbd_limits l, was;
	char err[128];

	memset(&l, 0x5a, sizeof(l));
	was = l;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(vbd_limits_parse(bad[i].text, &l, err, sizeof(err)), -EINVAL);
		assert_non_null(strstr(err, bad[i].why));
		assert_memory_equal(&l, &was, sizeof(l));
	}
}

static void counters_survive_the_way(void **state)
{
	struct vbd_stats st = { 1, 2, 3, 4, 5, 6, UINT64_MAX }, again;
	char buf[VBD_STATS_TEXT];

	assert_int_equal(vbd_stats_parse(vbd_stats_format(&st, buf), &again), 0);
	assert_memory_equal(&st, &again, sizeof(st));
	assert_int_equal(vbd_stats_parse("rd_req=7,newer=9", &again), 0);
	assert_true(again.rd_req == 7 && again.wr_req == 0);
	assert_int_equal(vbd_stats_parse("rd_req=x", &again), -EINVAL);
	assert_int_equal(vbd_stats_parse("rd_req", &again), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_are_read_and_written_back),
		cmocka_unit_test(the_longest_limits_fit),
		cmocka_unit_test(nonsense_is_refused_with_a_reason),
		cmocka_unit_test(counters_survive_the_way),
	};

	return cmocka_run_group_tests_name("vbd_nodes", tests, NULL, NULL);
}
