/* tests/unit/apid/test_apidoc.c - the document, its schemas, the operations
 * table and the problem codes can't drift apart. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apid/call.h"
#include "apid/json.h"
#include "apid/schema.h"

static struct apidoc doc;

static int setup(void **state)
{
	char err[256];

	(void)state;
	return apidoc_load((const char *)apidoc_text, apidoc_text_len, &doc, err, sizeof(err));
}

static int teardown(void **state)
{
	(void)state;
	apidoc_fini(&doc);
	return 0;
}

static void document_and_table_name_the_same_operations(void **state)
{
	char err[256] = "";

	(void)state;
	assert_int_equal(operations_bind(&doc, err), 0);
	assert_int_equal(doc.nroutes, operations_n);
	doc.nroutes--; /* an operation that lost its place in the document */
	assert_int_equal(operations_bind(&doc, err), -EINVAL);
	assert_non_null(strstr(err, "not in the document"));
	doc.nroutes++;
}

static void every_problem_code_is_in_the_document_and_back(void **state)
{
	json_object *o = json_get(json_get(json_get(doc.doc, "components"), "schemas"), "Problem");
	json_object *list = json_get(json_get(json_get(o, "properties"), "code"), "enum");

	(void)state;
	assert_int_equal(json_object_array_length(list), PROB_MAX - 1);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		assert_int_not_equal(problem_from_name(json_object_get_string(
					     json_object_array_get_idx(list, i))),
				     PROB_NONE);
	for (int i = 1; i < PROB_MAX; i++) {
		assert_in_range(problem_status((enum problem_code)i), 400, 599);
		assert_in_range(-problem_rpc_code((enum problem_code)i), 32000, 32768);
	}
}

static void no_body_member_is_named_like_a_parameter(void **state)
{
	(void)state;
	/* JSON-RPC tells them apart by name only. */
	for (size_t i = 0; i < doc.nroutes; i++) {
		const struct route *r = &doc.routes[i];
		json_object *props = json_get(schema_deref(doc.doc, r->body), "properties");

		for (size_t k = 0; props && k < r->nparams; k++)
			assert_false(json_has(props, r->params[k].name));
	}
}

static const struct route *match(const char *method, const char *path, struct problem *p)
{
	char buf[128], *segs[ROUTE_SEGS_MAX], *save = NULL, allow[64];
	size_t n = 0;

	snprintf(buf, sizeof(buf), "%s", path);
	for (char *s = strtok_r(buf, "/", &save); s; s = strtok_r(NULL, "/", &save))
		segs[n++] = s;
	return apidoc_match(&doc, method, segs, n, p, allow);
}

static void paths_and_methods_lead_to_their_operation(void **state)
{
	struct problem p = { 0 };

	(void)state;
	assert_string_equal(match("GET", "/v1/domains", &p)->op_id, "listDomains");
	assert_string_equal(match("POST", "/v1/domains", &p)->op_id, "createDomain");
	assert_string_equal(match("GET", "/v1/domains/x", &p)->op_id, "getDomain");
	assert_string_equal(match("POST", "/v1/domains/x/destroy", &p)->op_id, "destroyDomain");
	assert_string_equal(match("GET", "/v1/domains/x/console/log", &p)->op_id, "getConsoleLog");
	assert_null(match("PUT", "/v1/domains/x", &p));
	assert_int_equal(p.code, PROB_METHOD_NOT_ALLOWED);
	assert_non_null(strstr(p.detail, "PATCH"));
	assert_null(match("GET", "/v1/domains/x/y/z/../..", &p));
	assert_int_equal(p.code, PROB_NOT_FOUND);
	assert_string_equal(apidoc_rpc(&doc, "domain.destroy")->op_id, "destroyDomain");
	assert_null(apidoc_rpc(&doc, "destroyDomain"));
}

static int check_config(const char *text, struct schema_err *e)
{
	json_object *o = NULL, *schemas = json_get(json_get(doc.doc, "components"), "schemas");
	char err[96];
	int r;

	assert_int_equal(json_parse(text, strlen(text), &o, err, sizeof(err)), 0);
	r = schema_check(doc.doc, json_get(schemas, "DomainConfig"), o, e);
	json_object_put(o);
	return r;
}

static void a_config_is_checked_and_the_wrong_member_named(void **state)
{
	static const struct {
		const char *text, *pointer, *what;
	} bad[] = {
		{ "[]", "", "type object" },
		{ "{\"name\":\"a\"}", "", "'kernel' is missing" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"vcpus\":0}", "/vcpus", "at least 1" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"vcpus\":33}", "/vcpus", "at most 32" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"vcpus\":1.5}", "/vcpus", "type integer" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"vcpus\":\"2\"}", "/vcpus", "type integer" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"color\":1}", "", "unknown member 'color'" },
		{ "{\"name\":\"\",\"kernel\":\"/k\"}", "/name", "at least 1" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"uuid\":\"zz\"}", "/uuid", "UUID" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"on_crash\":\"explode\"}", "/on_crash",
		  "one of" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"disks\":[{}]}", "/disks/0", "'vdev'" },
		{ "{\"name\":\"a\",\"kernel\":\"/k\",\"vifs\":[{},{\"mac\":\"x\"}]}", "/vifs/1/mac",
		  "match" },
		{ "{\"name\":\"a\",\"kernel\":null}", "/kernel", "type string" },
	};
	struct schema_err e;

	(void)state;
	assert_int_equal(
		check_config("{\"name\":\"a\",\"kernel\":\"/k\",\"metadata\":{\"x\":[1]}}", &e), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(check_config(bad[i].text, &e), -EINVAL);
		assert_string_equal(e.pointer, bad[i].pointer);
		if (!strstr(e.what, bad[i].what))
			fail_msg("%s: %s", bad[i].text, e.what);
	}
}

static void lengths_count_characters_at_the_limit_and_one_past(void **state)
{
	char name[65 * 2 + 1] = "", text[256];
	struct schema_err e;

	(void)state;
	for (int i = 0; i < 64; i++)
		strcat(name, "\xc3\xa9");
	snprintf(text, sizeof(text), "{\"name\":\"%s\",\"kernel\":\"/k\"}", name);
	assert_int_equal(check_config(text, &e), 0);
	strcat(name, "\xc3\xa9");
	snprintf(text, sizeof(text), "{\"name\":\"%s\",\"kernel\":\"/k\"}", name);
	assert_int_equal(check_config(text, &e), -EINVAL);
}

static void a_keyword_that_is_not_implemented_is_not_ignored(void **state)
{
	static const char text[] =
		"{\"type\":\"object\",\"properties\":{\"a\":{\"multipleOf\":2}}}";
	json_object *o = NULL;
	struct schema_err e;
	char err[96];

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &o, err, sizeof(err)), 0);
	assert_int_equal(schema_lint(doc.doc, o, &e), -EINVAL);
	json_object_put(o);
}

static void a_problem_survives_the_database(void **state)
{
	struct problem p, q;
	struct jbuf b = { 0 };

	(void)state;
	problem_set(&p, PROB_NAME_TAKEN, "the \"name\" '%s' is taken\n", "x");
	strcpy(p.pointer, "/name");
	problem_json(&b, &p, "/v1/x");
	assert_true(problem_parse(b.p, &q));
	assert_int_equal(q.code, PROB_NAME_TAKEN);
	assert_string_equal(q.detail, p.detail);
	assert_string_equal(q.pointer, "/name");
	assert_false(problem_parse("{\"code\":\"nonsense\"}", &q));
	assert_false(problem_parse(NULL, &q));
	jb_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(document_and_table_name_the_same_operations),
		cmocka_unit_test(every_problem_code_is_in_the_document_and_back),
		cmocka_unit_test(no_body_member_is_named_like_a_parameter),
		cmocka_unit_test(paths_and_methods_lead_to_their_operation),
		cmocka_unit_test(a_config_is_checked_and_the_wrong_member_named),
		cmocka_unit_test(lengths_count_characters_at_the_limit_and_one_past),
		cmocka_unit_test(a_keyword_that_is_not_implemented_is_not_ignored),
		cmocka_unit_test(a_problem_survives_the_database),
	};

	return cmocka_run_group_tests_name("apid/apidoc", tests, setup, teardown);
}
