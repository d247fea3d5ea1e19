/* Stamps, escapes and JSON; each also in random pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "consoled/fmt.h"

static const struct timespec noon = { .tv_sec = 1767268800, .tv_nsec = 123456789 };

/* Format all of in, in pieces of at most step bytes of input and room of out. */
static size_t run(const struct fmt_conf *conf, const char *in, size_t n, size_t step, size_t room,
		  char *out, size_t out_size)
{
	struct fmt_ctx c = { .conf = conf, .guest = "g", .domid = 3, .now = noon };
	struct fmt_state st = { 0 };
	size_t at = 0, put = 0, used;

	while (at < n) {
		size_t k = n - at < step ? n - at : step;

		assert_true(put + room <= out_size);
		put += fmt_run(&c, &st, (const uint8_t *)in + at, k, &used, (uint8_t *)out + put,
			       room);
		assert_true(used > 0 && used <= k);
		at += used;
	}
	out[put] = '\0';
	return put;
}

static void text_is_passed_through_untouched(void **state)
{
	const struct fmt_conf conf = { 0 };
	char in[256], out[1024];

	for (int i = 0; i < 256; i++)
		in[i] = (char)i;
	assert_int_equal(run(&conf, in, 256, 7, 5, out, sizeof(out)), 256);
	assert_memory_equal(in, out, 256);
}

static void each_line_gets_one_stamp_however_it_is_cut(void **state)
{
	const struct fmt_conf conf = { .stamps = true, .digits = 3 };
	static char out[65536];

	setenv("TZ", "UTC", 1);
	for (size_t step = 1; step < 12; step++) {
		run(&conf, "a\n\rbc\r\n\n\n\rd", 12, step, 4096, out, sizeof(out));
		assert_string_equal(out, "[2026-01-01 12:00:00.123] a\n"
					 "[2026-01-01 12:00:00.123] bc\r\n"
					 "[2026-01-01 12:00:00.123] \n"
					 "[2026-01-01 12:00:00.123] \n"
					 "[2026-01-01 12:00:00.123] d");
	}
}

static void stamps_have_as_many_digits_as_asked(void **state)
{
	static const struct {
		unsigned digits;
		const char *want;
	} cases[] = { { 0, "[2026-01-01 12:00:00] x" },
		      { 3, "[2026-01-01 12:00:00.123] x" },
		      { 6, "[2026-01-01 12:00:00.123456] x" } };
	char out[8192];

	for (int i = 0; i < 3; i++) {
		const struct fmt_conf conf = { .stamps = true, .digits = cases[i].digits };

		run(&conf, "x", 1, 1, 4096, out, sizeof(out));
		assert_string_equal(out, cases[i].want);
	}
}

static void escape_becomes_a_dot_when_asked(void **state)
{
	const struct fmt_conf conf = { .replace_escape = true };
	char out[8192];

	run(&conf, "\x1b[1mred", 7, 3, 2100, out, sizeof(out));
	assert_string_equal(out, ".[1mred");
}

/* Each line of out is an object; returns the "line" strings joined by '|'. */
static void json_lines(char *out, char *joined)
{
	char *save = NULL;

	*joined = '\0';
	for (char *l = strtok_r(out, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		struct json_object *o = json_tokener_parse(l), *v;

		assert_non_null(o);
		assert_true(json_object_object_get_ex(o, "domid", &v));
		assert_int_equal(json_object_get_int(v), 3);
		assert_true(json_object_object_get_ex(o, "line", &v));
		strcat(joined, json_object_get_string(v));
		strcat(joined, "|");
		json_object_put(o);
	}
}

static void json_is_one_valid_object_per_line_in_any_pieces(void **state)
{
	const struct fmt_conf conf = { .kind = FMT_JSON };
	static const char in[] = "pl\"ain\\\r\n\xc3\xa9\xe2\x82\xac \xff\xc3(\n\xe2\x82\n\rx\ty\n";
	static char out[1 << 20], joined[65536];

	for (size_t step = 1; step < 20; step++) {
		run(&conf, in, sizeof(in) - 1, step, 4096, out, sizeof(out));
		json_lines(out, joined);
		assert_string_equal(joined,
				    "pl\"ain\\|\u00e9\u20ac \ufffd\ufffd(|\ufffd\ufffd|\rx\ty|");
	}
}

static void a_line_without_end_is_split_in_json(void **state)
{
	const struct fmt_conf conf = { .kind = FMT_JSON };
	size_t n = 1 << 20, objects = 0;
	char *in = malloc(n), *out = malloc(4 * n);

	assert_non_null(in);
	assert_non_null(out);
	memset(in, 'x', n);
	in[n - 1] = '\n';
	run(&conf, in, n, 2048, 8192, out, 4 * n);
	for (char *p = out; (p = strstr(p, "\"more\":true}\n")); p++)
		objects++;
	assert_int_equal(objects, 15);
	free(in);
	free(out);
}

static void a_mark_stands_on_a_line_of_its_own(void **state)
{
	const struct fmt_conf text = { 0 }, json = { .kind = FMT_JSON };
	struct fmt_ctx c = { .conf = &text, .guest = "g\"\n", .domid = 3, .now = noon };
	struct fmt_state st = { .mid_line = 1 };
	char out[FMT_ROOM + 1];
	struct json_object *o, *v;
	size_t n;

	n = fmt_mark(&c, &st, "died\nbadly", (uint8_t *)out, FMT_ROOM);
	out[n] = '\0';
	assert_string_equal(out, "\n--- died.badly ---\n");
	c.conf = &json;
	n = fmt_mark(&c, &st, "died \"\x01", (uint8_t *)out, FMT_ROOM);
	out[n] = '\0';
	o = json_tokener_parse(out);
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "event", &v));
	assert_string_equal(json_object_get_string(v), "died \"\x01");
	assert_true(json_object_object_get_ex(o, "guest", &v));
	assert_string_equal(json_object_get_string(v), "g\"\n");
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_passed_through_untouched),
		cmocka_unit_test(each_line_gets_one_stamp_however_it_is_cut),
		cmocka_unit_test(stamps_have_as_many_digits_as_asked),
		cmocka_unit_test(escape_becomes_a_dot_when_asked),
		cmocka_unit_test(json_is_one_valid_object_per_line_in_any_pieces),
		cmocka_unit_test(a_line_without_end_is_split_in_json),
		cmocka_unit_test(a_mark_stands_on_a_line_of_its_own),
	};

	return cmocka_run_group_tests_name("consoled/fmt", tests, NULL, NULL);
}
