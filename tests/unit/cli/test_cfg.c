/* tests/unit/cli/test_cfg.c - xl.cfg's syntax, and files that break it. */
#include "tests/unit/cli/unit.h"

#include "cli/cfg.h"

static int parse_n(struct cfg *c, const char *text, size_t n, char err[256])
{
	/* An exact copy, so that ASan sees a read past the end. */
	char *copy = malloc(n ? n : 1);
	int r;

	memcpy(copy, text, n);
	r = cfg_parse(c, "t.cfg", copy, n, err, 256);
	free(copy);
	return r;
}

static int parse(struct cfg *c, const char *text, char err[256])
{
	return parse_n(c, text, strlen(text), err);
}

static const char *value(const struct cfg *c, const char *name)
{
	const struct cfg_setting *s = cfg_find(c, name);

	return s && s->value.type == CFG_ATOM ? s->value.text : NULL;
}

static void settings_end_with_newlines_or_semicolons(void **state)
{
	struct cfg c = { 0 };
	char err[256];

	assert_int_equal(parse(&c, "a = 1; b='two'\n\n# nothing\nc=\"three\" # why\nd=0x10", err),
			 0);
	assert_string_equal(value(&c, "a"), "1");
	assert_string_equal(value(&c, "b"), "two");
	assert_string_equal(value(&c, "c"), "three");
	assert_string_equal(value(&c, "d"), "0x10");
	assert_int_equal(c.n, 4);
	cfg_fini(&c);
}

static void a_hash_inside_a_string_is_no_comment(void **state)
{
	struct cfg c = { 0 };
	char err[256];

	assert_int_equal(parse(&c, "a = 'x#y;z' # comment ' with a quote\r\nb = \"it's\"", err), 0);
	assert_string_equal(value(&c, "a"), "x#y;z");
	assert_string_equal(value(&c, "b"), "it's");
	cfg_fini(&c);
}

static void escapes_are_the_usual_ones(void **state)
{
	struct cfg c = { 0 };
	char err[256];

	assert_int_equal(parse(&c, "a = 'tab\\tq\\'\\x41\\102\\\\'", err), 0);
	assert_string_equal(value(&c, "a"), "tab\tq'AB\\");
	cfg_fini(&c);
	assert_int_equal(parse(&c, "ok = 1\na = 'bad \\q'", err), -EINVAL);
	assert_contains(err, "t.cfg:2:");
	cfg_fini(&c);
	/* A NUL can't be smuggled in. */
	assert_int_equal(parse(&c, "a = '\\x00'", err), -EINVAL);
	cfg_fini(&c);
	assert_int_equal(parse(&c, "a = '\\0'", err), -EINVAL);
	cfg_fini(&c);
}

static void lists_span_lines_and_nest(void **state)
{
	const struct cfg_setting *s;
	struct cfg c = { 0 };
	char err[256];

	assert_int_equal(parse(&c, "l = [ 'a', # first\n  [ 1, 2, ],\n\n 'c' ]\nx = []\n", err), 0);
	s = cfg_find(&c, "l");
	assert_int_equal(s->value.type, CFG_LIST);
	assert_int_equal(s->value.n, 3);
	assert_string_equal(s->value.items[0].text, "a");
	assert_int_equal(s->value.items[1].n, 2);
	assert_string_equal(s->value.items[1].items[1].text, "2");
	assert_int_equal(s->value.items[2].line, 4);
	assert_int_equal(cfg_find(&c, "x")->value.n, 0);
	cfg_fini(&c);
}

static void the_last_setting_of_a_name_wins_and_plus_joins(void **state)
{
	struct cfg c = { 0 };
	char err[256];

	assert_int_equal(
		parse(&c, "a=1\na=2\ns='x'\ns+='y'\nl=['p']\nl += ['q','r']\nn+='new'", err), 0);
	assert_string_equal(value(&c, "a"), "2");
	assert_string_equal(value(&c, "s"), "xy");
	assert_string_equal(value(&c, "n"), "new");
	assert_int_equal(cfg_find(&c, "l")->value.n, 3);
	assert_string_equal(cfg_find(&c, "l")->value.items[2].text, "r");
	assert_int_equal(parse(&c, "l += 'x'", err), -EINVAL);
	assert_contains(err, "list to a list");
	cfg_fini(&c);
}

static void an_unclosed_quote_is_reported_on_its_line(void **state)
{
	static const char *const bad[] = { "a = 1\nb = 'oops\nc = 2\n", "a = 1\nb = \"oops",
					   "a = 1\nb = ['x', 'oops\n]", "a = 1\nb = 'oops\\" };
	char err[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cfg c = { 0 };

		assert_int_equal(parse(&c, bad[i], err), -EINVAL);
		assert_contains(err, "t.cfg:2:");
		cfg_fini(&c);
	}
}

static void an_unclosed_list_is_reported_where_it_begins(void **state)
{
	struct cfg c = { 0 };
	char err[256];

	assert_int_equal(parse(&c, "a = 1\nb = [ 'x',\n 'y'\n\n", err), -EINVAL);
	assert_contains(err, "t.cfg:2:");
	assert_contains(err, "]");
	cfg_fini(&c);
}

static void broken_lines_are_refused(void **state)
{
	static const char *const bad[] = {
		"= 1",	     "name",	"name 1",    "1name = 2", "a = ",	   "a = \n b = 1",
		"a = 1 2",   "a = b",	"a = 12x",   "a = 0xg",	  "a = ['x' 'y']", "a = 'x' 'y'",
		"a = [ = ]", "a == 1",	"a =+ 1",    "a + 1",	  "\x01 = 1",	   "a = ]",
		"a = -1",    "a = {1}", "a = [1;2]",
	};
	char err[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cfg c = { 0 };

		err[0] = '\0';
		if (parse(&c, bad[i], err) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_contains(err, "t.cfg:1:");
		cfg_fini(&c);
	}
}

static void a_nul_byte_is_found_on_its_line(void **state)
{
	struct cfg c = { 0 };
	char err[256];

	assert_int_equal(parse_n(&c, "a = 1\nb = '\0'\n", 13, err), -EINVAL);
	assert_contains(err, "t.cfg:2:");
	assert_contains(err, "NUL");
	cfg_fini(&c);
}

static void nesting_stops_at_the_limit(void **state)
{
	char text[64] = "a = ", err[256];
	struct cfg c = { 0 };

	for (unsigned i = 0; i < CFG_DEPTH_MAX; i++)
		strcat(text, "[");
	for (unsigned i = 0; i < CFG_DEPTH_MAX; i++)
		strcat(text, "]");
	assert_int_equal(parse(&c, text, err), 0);
	cfg_fini(&c);
	strcpy(text, "a = ");
	for (unsigned i = 0; i <= CFG_DEPTH_MAX; i++)
		strcat(text, "[");
	assert_int_equal(parse(&c, text, err), -EINVAL);
	assert_contains(err, "nested");
	cfg_fini(&c);
}

static void huge_files_are_refused_or_taken_but_never_slow(void **state)
{
	struct cfg c = { 0 };
	char err[256], *text = malloc((size_t)CFG_BYTES_MAX + 2);
	size_t n = (size_t)sprintf(text, "a=[");

	while (n < CFG_BYTES_MAX - 3)
		n += (size_t)sprintf(text + n, "1,");
	n += (size_t)sprintf(text + n, "]");
	assert_int_equal(parse_n(&c, text, n, err), 0);
	assert_true(cfg_find(&c, "a")->value.n > 500000);
	cfg_fini(&c);

	memset(text, ' ', (size_t)CFG_BYTES_MAX + 1);
	assert_int_equal(parse_n(&c, text, CFG_BYTES_MAX, err), 0);
	assert_int_equal(parse_n(&c, text, (size_t)CFG_BYTES_MAX + 1, err), -E2BIG);
	cfg_fini(&c);

	n = 0;
	for (unsigned i = 0; i <= CFG_SETTINGS_MAX; i++)
		n += (size_t)sprintf(text + n, "a%u=1\n", i);
	assert_int_equal(parse_n(&c, text, n, err), -EINVAL);
	assert_contains(err, "more than 4096");
	assert_int_equal(c.n, CFG_SETTINGS_MAX);
	cfg_fini(&c);
	free(text);
}

static void a_missing_file_is_named(void **state)
{
	struct cfg c = { 0 };
	char err[256];

	assert_int_equal(cfg_parse_file(&c, "/nonexistent/x.cfg", err, sizeof(err)), -ENOENT);
	assert_contains(err, "/nonexistent/x.cfg");
	assert_true(cfg_parse_file(&c, "/", err, sizeof(err)) < 0);
	cfg_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_end_with_newlines_or_semicolons),
		cmocka_unit_test(a_hash_inside_a_string_is_no_comment),
		cmocka_unit_test(escapes_are_the_usual_ones),
		cmocka_unit_test(lists_span_lines_and_nest),
		cmocka_unit_test(the_last_setting_of_a_name_wins_and_plus_joins),
		cmocka_unit_test(an_unclosed_quote_is_reported_on_its_line),
		cmocka_unit_test(an_unclosed_list_is_reported_where_it_begins),
		cmocka_unit_test(broken_lines_are_refused),
		cmocka_unit_test(a_nul_byte_is_found_on_its_line),
		cmocka_unit_test(nesting_stops_at_the_limit),
		cmocka_unit_test(huge_files_are_refused_or_taken_but_never_slow),
		cmocka_unit_test(a_missing_file_is_named),
	};
	return cmocka_run_group_tests_name("cli/cfg", tests, NULL, NULL);
}
