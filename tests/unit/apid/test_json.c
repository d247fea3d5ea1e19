/* tests/unit/apid/test_json.c - what a hostile client may write as JSON, and
 * what the writer makes of hostile strings. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apid/jbuf.h"
#include "apid/json.h"
#include "daemons/sys.h"

static int parse(const char *text, json_object **ret)
{
	char err[128] = "";
	int r = json_parse(text, strlen(text), ret, err, sizeof(err));

	assert_true(r == 0 || err[0]);
	return r;
}

static void refused(const char *text)
{
	json_object *sentinel = (json_object *)(uintptr_t)8, *o = sentinel;

	if (parse(text, &o) == 0)
		fail_msg("taken: %s", text);
	assert_ptr_equal(o, sentinel);
}

static void every_form_of_value_is_read(void **state)
{
	json_object *o = NULL;

	(void)state;
	assert_int_equal(parse(" {\"a\":[1,-2,0.5e1,true,false,null,\"x\"],\"b\":{}} ", &o), 0);
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			    "{\"a\":[1,-2,5.0,true,false,null,\"x\"],\"b\":{}}");
	json_object_put(o);
	assert_int_equal(parse("\"\\ud83d\\ude00\\u00e9\\n\"", &o), 0);
	assert_string_equal(json_object_get_string(o), "\xf0\x9f\x98\x80\xc3\xa9\n");
	json_object_put(o);
}

static void what_two_readers_could_take_differently_is_refused(void **state)
{
	static const char *const bad[] = {
		"{\"a\":1,\"a\":2}",
		"{\"a\":{\"b\":1,\"\\u0062\":2}}",
		"1e400",
		"-1e400",
		"NaN",
		"Infinity",
		"01",
		"1.",
		".5",
		"+1",
		"0x10",
		"1e",
		"--1",
		"[1,]",
		"{\"a\":1,}",
		"{a:1}",
		"'a'",
		"\"a",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\ud800\"",
		"\"\\udc00\"",
		"\"\\ud800\\u0041\"",
		"\"\\u0000\"",
		"\"\x01\"",
		"\"\n\"",
		"\"\xff\"",
		"\"\xc0\xaf\"",
		"\"\xed\xa0\x80\"",
		"\"\xf4\x90\x80\x80\"",
		"\"\xe2\x82\"",
		"[1 2]",
		"{\"a\" 1}",
		"1 2",
		"{} x",
		"",
		" ",
		"tru",
		"nulll",
		"/*x*/1",
		"18446744073709551616",
		"-9223372036854775809",
		"\xef\xbb\xbf{}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(bad[i]);
}

static void a_million_brackets_end_at_the_depth_limit(void **state)
{
	char *deep = malloc(1000001), ok[JSON_DEPTH_MAX * 2 + 1];
	json_object *o = NULL;

	(void)state;
	memset(deep, '[', 1000000);
	deep[1000000] = '\0';
	refused(deep);
	free(deep);
	memset(ok, '[', JSON_DEPTH_MAX);
	memset(ok + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	ok[JSON_DEPTH_MAX * 2] = '\0';
	assert_int_equal(parse(ok, &o), 0);
	json_object_put(o);
}

static void a_nul_byte_in_the_text_is_refused(void **state)
{
	json_object *o = NULL;
	char err[64];

	(void)state;
	assert_true(json_parse("{}\0{}", 5, &o, err, sizeof(err)) < 0);
	assert_true(json_parse("\"a\0b\"", 5, &o, err, sizeof(err)) < 0);
}

/* Every prefix and every byte flipped: no crash, and a result or an error. */
static void cut_and_mangled_texts_do_no_harm(void **state)
{
	static const char text[] = "{\"name\":\"\\u00e9\xc3\xa9\",\"n\":[1,2.5e-3,null,{\"x\":true}"
				   "],\"s\":\"\\ud83d\\ude00\"}";
	char buf[sizeof(text)], err[64];
	json_object *o;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		o = NULL;
		assert_true(json_parse(text, n, &o, err, sizeof(err)) < 0);
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(buf, text, sizeof(text));
			buf[n] = (char)(buf[n] ^ 1 << bit);
			o = NULL;
			if (json_parse(buf, sizeof(text) - 1, &o, err, sizeof(err)) == 0)
				json_object_put(o);
		}
	}
}

static void members_are_read_by_name_and_type(void **state)
{
	json_object *o = NULL;

	(void)state;
	assert_int_equal(
		parse("{\"i\":5,\"s\":\"x\",\"b\":true,\"d\":1.5,\"z\":null,\"a\":[1,2]}", &o), 0);
	assert_int_equal(json_int(o, "i", 1), 5);
	assert_int_equal(json_int(o, "s", 1), 1);
	assert_string_equal(json_str(o, "s", ""), "x");
	assert_null(json_str(o, "i", NULL));
	assert_true(json_flag(o, "b", false));
	assert_true(json_num(o, "d", 0) == 1.5 && json_num(o, "i", 0) == 5);
	assert_true(json_has(o, "z"));
	assert_null(json_get(o, "z"));
	assert_int_equal(json_len(o, "a"), 2);
	assert_int_equal(json_len(o, "s"), 0);
	assert_int_equal(json_len(o, "none"), 0);
	json_object_put(o);
}

static void what_is_written_can_be_read_back(void **state)
{
	struct jbuf b = { 0 };
	json_object *o = NULL;
	char all[256];

	(void)state;
	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = '\0';
	jb_obj(&b);
	jb_kstr(&b, "all", all);
	jb_kstr(&b, "none", NULL);
	jb_kint(&b, "i", INT64_MIN);
	jb_key(&b, "list");
	jb_arr(&b);
	jb_bool(&b, true);
	jb_num(&b, 0.5);
	jb_arr_end(&b);
	jb_ktime(&b, "t", 1795251284590);
	jb_obj_end(&b);
	assert_false(b.oom);
	assert_int_equal(parse(b.p, &o), 0);
	assert_int_equal(json_int(o, "i", 0), INT64_MIN);
	assert_string_equal(json_str(o, "t", ""), "2026-11-21T08:54:44.590Z");
	/* ASCII comes back as it was, the 128 bytes above it as U+FFFD. */
	assert_memory_equal(json_str(o, "all", ""), all, 127);
	assert_string_equal(json_str(o, "all", "") + strlen(json_str(o, "all", "")) - 3,
			    "\xef\xbf\xbd");
	json_object_put(o);
	jb_fini(&b);
}

static void running_out_of_memory_is_latched(void **state)
{
	struct jbuf b = { 0 };

	(void)state;
	for (long n = 0;; n++) {
		fault_arm(n, ENOMEM);
		for (int i = 0; i < 1000; i++)
			jb_kint(&b, "k", i);
		if (!fault_disarm())
			break;
		assert_true(b.oom);
		jb_fini(&b);
	}
	assert_false(b.oom);
	jb_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_value_is_read),
		cmocka_unit_test(what_two_readers_could_take_differently_is_refused),
		cmocka_unit_test(a_million_brackets_end_at_the_depth_limit),
		cmocka_unit_test(a_nul_byte_in_the_text_is_refused),
		cmocka_unit_test(cut_and_mangled_texts_do_no_harm),
		cmocka_unit_test(members_are_read_by_name_and_type),
		cmocka_unit_test(what_is_written_can_be_read_back),
		cmocka_unit_test(running_out_of_memory_is_latched),
	};

	return cmocka_run_group_tests_name("apid/json", tests, NULL, NULL);
}
