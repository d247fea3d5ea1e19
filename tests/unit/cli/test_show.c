/* tests/unit/cli/test_show.c - the columns xl prints, from recorded output. */
#include "tests/unit/cli/unit.h"

#include <json-c/json.h>

#include "cli/dz.h"
#include "cli/show.h"

static const char guest[] =
	"{\"uuid\":\"3275dd86-e589-11f1-a47b-5144a2dc3c46\",\"name\":\"g1\",\"domid\":1,"
	"\"type\":\"pvh\",\"state\":\"running\",\"flags\":[\"blocked\"],\"vcpus\":1,\"max_vcpus\":"
	"2,"
	"\"memory_mib\":128,\"max_memory_mib\":128,\"target_memory_mib\":128,\"cpu_seconds\":4.4,"
	"\"config\":{\"kernel\":\"/rig/domu.vmlinux\",\"cmdline\":\"console=hvc0\"}}";
static const char host[] =
	"{\"hostname\":\"h\",\"control_domain\":{\"domid\":0,\"name\":\"Domain-0\","
	"\"vcpus\":1,\"memory_mib\":768,\"cpu_seconds\":7.0}}";

static char *printed(void (*print)(FILE *, json_object *, unsigned), const char *json,
		     unsigned flags)
{
	json_object *o = json_tokener_parse(json);
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	print(f, o, flags);
	fclose(f);
	json_object_put(o);
	return text;
}

static void head(FILE *f, json_object *o, unsigned flags)
{
	show_list_head(f, flags);
}

static void vcpus(FILE *f, json_object *o, unsigned flags)
{
	show_vcpu_rows(f, o, NULL);
}

static void vcpu_head(FILE *f, json_object *o, unsigned flags)
{
	show_vcpu_head(f);
}

static void expect(void (*print)(FILE *, json_object *, unsigned), const char *json,
		   const char *text)
{
	char *got = printed(print, json, 0);

	assert_string_equal(got, text);
	free(got);
}

static void list_has_the_columns_of_xl(void **state)
{
	expect(head, "{}",
	       "Name                                        ID   Mem VCPUs\tState\tTime(s)\n");
	expect(show_list_host, host,
	       "Domain-0                                     0   768     1     r-----       7.0\n");
	expect(show_list_row, guest,
	       "g1                                           1   128     1     -b----       4.4\n");
}

static void vcpu_list_has_the_columns_of_xl(void **state)
{
	expect(vcpu_head, "{}",
	       "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard "
	       "/ Soft)\n");
	expect(vcpus, guest,
	       "g1                                   1     0     -   -b-       4.4  all / all\n"
	       "g1                                   1     1     -   --p       4.4  all / all\n");
}

static void a_definition_that_is_not_running_has_no_domid(void **state)
{
	expect(show_list_row, "{\"name\":\"off\",\"domid\":null,\"memory_mib\":64,\"vcpus\":1}",
	       "off                                          -    64     1     ------       0.0\n");
}

static void missing_and_odd_members_are_survived(void **state)
{
	static const char *const odd[] = { "{}", "[]", "null",
					   "{\"flags\":\"x\",\"name\":5,\"domid\":\"y\"}",
					   "{\"flags\":[null,{},\"dying\"]}" };

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_object *o = json_tokener_parse(odd[i]), *l = show_long(o);

		free(printed(show_list_row, odd[i], SHOW_VERBOSE));
		free(printed(show_list_host, odd[i], SHOW_VERBOSE));
		free(printed(vcpus, odd[i], 0));
		json_object_put(l);
		json_object_put(o);
	}
}

static void list_l_is_the_json_of_xl(void **state)
{
	json_object *o = json_tokener_parse(guest), *l = show_long(o);

	assert_string_equal(
		json_object_to_json_string_ext(l, JSON_C_TO_STRING_PLAIN |
							  JSON_C_TO_STRING_NOSLASHESCAPE),
		"{\"domid\":1,\"config\":{\"c_info\":{\"type\":\"pvh\",\"name\":\"g1\",\"domid\":"
		"4294967295,"
		"\"uuid\":\"3275dd86-e589-11f1-a47b-5144a2dc3c46\",\"run_hotplug_scripts\":"
		"\"True\"},"
		"\"b_info\":{\"max_vcpus\":2,\"avail_vcpus\":[0],\"max_memkb\":131072,"
		"\"target_memkb\":131072,\"kernel\":\"/rig/"
		"domu.vmlinux\",\"cmdline\":\"console=hvc0\","
		"\"type.pvh\":{}},\"on_reboot\":\"restart\",\"on_soft_reset\":\"soft_reset\"}}");
	json_object_put(l);
	json_object_put(o);
}

static void uptimes_and_times(void **state)
{
	char text[32];

	assert_string_equal(show_uptime(0, text), "0:00:00");
	assert_string_equal(show_uptime(45296, text), "12:34:56");
	assert_string_equal(show_uptime(86400 + 61, text), "1 day,  0:01:01");
	assert_string_equal(show_uptime(INT64_MAX, text), "99999999 days, 15:30:07");
	assert_int_equal(show_time("2026-11-21T10:00:00Z"), 1795255200);
	assert_int_equal(show_time("2026-11-21T10:00:00.123Z"), 1795255200);
	assert_int_equal(show_time("yesterday"), -1);
	assert_int_equal(show_time(NULL), -1);
}

static void escapes_for_the_console(void **state)
{
	assert_int_equal(console_escape("^]"), 0x1d);
	assert_int_equal(console_escape("^a"), 1);
	assert_int_equal(console_escape("^A"), 1);
	assert_int_equal(console_escape("~"), '~');
	assert_int_equal(console_escape("ab"), -EINVAL);
	assert_int_equal(console_escape(""), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_has_the_columns_of_xl),
		cmocka_unit_test(vcpu_list_has_the_columns_of_xl),
		cmocka_unit_test(a_definition_that_is_not_running_has_no_domid),
		cmocka_unit_test(missing_and_odd_members_are_survived),
		cmocka_unit_test(list_l_is_the_json_of_xl),
		cmocka_unit_test(uptimes_and_times),
		cmocka_unit_test(escapes_for_the_console),
	};
	return cmocka_run_group_tests_name("cli/show", tests, NULL, NULL);
}
