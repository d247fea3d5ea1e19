/* tests/unit/apid/test_guestcfg.c - names, paths and numbers of a guest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apid/doms.h"
#include "apid/guestcfg.h"
#include "apid/json.h"

static int parse(const char *text, struct guestcfg *g, struct problem *p)
{
	json_object *o = NULL;
	char err[96];
	int r;

	assert_int_equal(json_parse(text, strlen(text), &o, err, sizeof(err)), 0);
	r = guestcfg_parse(o, g, p);
	json_object_put(o);
	return r;
}

static void odd_names_are_refused_and_say_what_to_do(void **state)
{
	static const char *const bad[] = {
		"",
		"a/b",
		"../../etc/cron.d/x",
		"a\nb",
		"a\x1b[31m",
		"a\x7f",
		"\xc2\x85",
		"\xff",
		"12",
		"0",
		"Domain-0",
		"3275dd86-e589-11f1-a47b-5144a2dc3c46",
		".",
		"..",
		" ",
		"   ",
		" demo",
		"demo ",
		"\xc2\xa0",
		"a\xe3\x80\x80",
	};
	static const char *const good[] = { "demo", "-rf",	    "a b",
					    "...",  "vm-1.example", "\xc3\xa9t\xc3\xa9" };
	struct problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(guest_name_check(bad[i], &p), -EINVAL);
		assert_int_equal(p.code, PROB_INVALID_CONFIG);
		assert_string_equal(p.pointer, "/name");
		assert_true(strlen(p.detail) > 10);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(guest_name_check(good[i], &p), 0);
}

static void a_name_is_cut_between_characters(void **state)
{
	(void)state;
	assert_int_equal(guest_name_cut("demo", 10), 4);
	assert_int_equal(guest_name_cut("demo", 3), 3);
	assert_int_equal(guest_name_cut("", 3), 0);
	assert_int_equal(guest_name_cut("\xc3\xa9t\xc3\xa9", 4), 3);
	assert_int_equal(guest_name_cut("\xc3\xa9t\xc3\xa9", 5), 5);
	assert_int_equal(guest_name_cut("\xf0\x9f\x90\xa7", 3), 0);
}

static void a_name_has_at_most_64_characters(void **state)
{
	char name[301];
	struct problem p;

	(void)state;
	memset(name, 'x', sizeof(name));
	name[64] = '\0';
	assert_int_equal(guest_name_check(name, &p), 0);
	name[64] = 'x';
	name[65] = '\0';
	assert_int_equal(guest_name_check(name, &p), -EINVAL);
	name[65] = 'x';
	name[300] = '\0';
	assert_int_equal(guest_name_check(name, &p), -EINVAL);
	assert_non_null(strstr(p.detail, "300"));
}

static void defaults_are_those_of_xl(void **state)
{
	struct problem p;
	struct guestcfg g;

	(void)state;
	assert_int_equal(
		parse("{\"name\":\"a\",\"kernel\":\"/k\",\"vcpus\":2,\"memory_mib\":512}", &g, &p),
		0);
	assert_int_equal(g.maxvcpus, 2);
	assert_int_equal(g.maxmem_mib, 512);
	assert_int_equal(g.on_poweroff, END_DESTROY);
	assert_int_equal(g.on_reboot, END_RESTART);
	assert_int_equal(g.on_crash, END_DESTROY);
	assert_int_equal(dom_action(&g, "reboot"), END_RESTART);
	assert_int_equal(dom_action(&g, "killed"), END_DESTROY);
	assert_int_equal(dom_action(&g, "unknown"), END_DESTROY);
	guestcfg_fini(&g);
}

static void contradictions_are_refused(void **state)
{
	static const char *const bad[] = {
		"{\"name\":\"a\",\"kernel\":\"/k\",\"vcpus\":4,\"maxvcpus\":2}",
		"{\"name\":\"a\",\"kernel\":\"/k\",\"memory_mib\":512,\"maxmem_mib\":256}",
		"{\"name\":\"a\",\"kernel\":\"boot/vmlinuz\"}",
		"{\"name\":\"a\",\"kernel\":\"/k\\u0001\"}",
		"{\"name\":\"a\",\"kernel\":\"/k\",\"ramdisk\":\"rel\"}",
	};
	struct guestcfg sentinel = { .vcpus = 77 }, g = sentinel;
	struct problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], &g, &p), -EINVAL);
		assert_int_equal(p.code, PROB_INVALID_CONFIG);
		assert_int_equal(g.vcpus, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_names_are_refused_and_say_what_to_do),
		cmocka_unit_test(a_name_is_cut_between_characters),
		cmocka_unit_test(a_name_has_at_most_64_characters),
		cmocka_unit_test(defaults_are_those_of_xl),
		cmocka_unit_test(contradictions_are_refused),
	};

	return cmocka_run_group_tests_name("apid/guestcfg", tests, NULL, NULL);
}
