/* apid/schema.c - JSON Schema subset; one function per keyword, in a table, so
 * that lint and check can't disagree about what is implemented. */
#include "apid/schema.h"

#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "apid/ids.h"
#include "apid/json.h"

#define SCHEMA_DEPTH_MAX 64

struct ctx {
	json_object *doc;
	struct schema_err *e;
	unsigned depth;
};

static int check(struct ctx *c, json_object *schema, json_object *v);

static int fail(struct ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct ctx *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->e->what, sizeof(c->e->what), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Checks v under one more step of the pointer; the step stays on failure. */
static int check_at(struct ctx *c, const char *step, json_object *schema, json_object *v)
{
	size_t n = strlen(c->e->pointer);
	int r;

	snprintf(c->e->pointer + n, sizeof(c->e->pointer) - n, "/%s", step);
	r = check(c, schema, v);
	if (r == 0)
		c->e->pointer[n] = '\0';
	return r;
}

static bool is_type(const char *t, json_object *v)
{
	static const struct {
		const char *name;
		enum json_type type;
	} types[] = { { "object", json_type_object },	{ "array", json_type_array },
		      { "string", json_type_string },	{ "integer", json_type_int },
		      { "boolean", json_type_boolean }, { "null", json_type_null },
		      { "number", json_type_double },	{ "number", json_type_int } };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, t) == 0 && json_object_is_type(v, types[i].type))
			return true;
	return false;
}

static int kw_type(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(arg, json_type_array))
		return is_type(json_object_get_string(arg), v)
			       ? 0
			       : fail(c, "must be of type %s", json_object_get_string(arg));
	for (size_t i = 0; i < json_object_array_length(arg); i++)
		if (is_type(json_object_get_string(json_object_array_get_idx(arg, i)), v))
			return 0;
	return fail(c, "must be of type %s",
		    json_object_get_string(json_object_array_get_idx(arg, 0)));
}

/* json-c caches what it prints inside the object, and the document is shared
 * between threads: nothing of it may be printed by json-c. */
static int kw_enum(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	size_t n = 0;

	(void)schema;
	for (size_t i = 0; i < json_object_array_length(arg); i++)
		if (json_object_equal(json_object_array_get_idx(arg, i), v))
			return 0;
	(void)fail(c, "must be one of");
	for (size_t i = 0; i < json_object_array_length(arg); i++) {
		json_object *o = json_object_array_get_idx(arg, i);

		n = strlen(c->e->what);
		if (json_object_is_type(o, json_type_string))
			snprintf(c->e->what + n, sizeof(c->e->what) - n, "%s %s", i ? "," : "",
				 json_object_get_string(o));
	}
	return -EINVAL;
}

static bool is_num(json_object *v)
{
	return json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double);
}

/* Integers are compared as integers: a double can't tell 2^64-1 from 2^64. */
static int cmp(json_object *a, json_object *b)
{
	double x = json_object_get_double(a), y = json_object_get_double(b);

	if (json_object_is_type(a, json_type_int) && json_object_is_type(b, json_type_int)) {
		int64_t i = json_object_get_int64(a), j = json_object_get_int64(b);

		return (i > j) - (i < j);
	}
	return (x > y) - (x < y);
}

static int kw_minimum(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	return is_num(v) && cmp(v, arg) < 0
		       ? fail(c, "must be at least %lld", (long long)json_object_get_int64(arg))
		       : 0;
}

static int kw_maximum(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	return is_num(v) && cmp(v, arg) > 0
		       ? fail(c, "must be at most %lld", (long long)json_object_get_int64(arg))
		       : 0;
}

static int64_t chars(json_object *v)
{
	const char *s = json_object_get_string(v);
	int64_t n = 0;

	for (int i = 0; i < json_object_get_string_len(v); i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

static int kw_min_length(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(v, json_type_string) || chars(v) >= json_object_get_int64(arg))
		return 0;
	return fail(c, "must have at least %lld characters", (long long)json_object_get_int64(arg));
}

static int kw_max_length(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(v, json_type_string) || chars(v) <= json_object_get_int64(arg))
		return 0;
	return fail(c, "has %lld characters, at most %lld are allowed", (long long)chars(v),
		    (long long)json_object_get_int64(arg));
}

static int kw_pattern(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	regex_t re;
	int r;

	(void)schema;
	if (!json_object_is_type(v, json_type_string))
		return 0;
	if (regcomp(&re, json_object_get_string(arg), REG_EXTENDED | REG_NOSUB) != 0)
		return fail(c, "can't be checked: the pattern is broken");
	r = regexec(&re, json_object_get_string(v), 0, NULL, 0);
	regfree(&re);
	return r == 0 ? 0 : fail(c, "must match %s", json_object_get_string(arg));
}

static int kw_format(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(v, json_type_string) ||
	    strcmp(json_object_get_string(arg), "uuid") != 0)
		return 0; /* date-time and uri-reference are only ever written by us */
	return uuid_valid(json_object_get_string(v)) ? 0 : fail(c, "must be a UUID");
}

static int kw_items(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	char step[24];

	(void)schema;
	if (!json_object_is_type(v, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		int r;

		snprintf(step, sizeof(step), "%zu", i);
		r = check_at(c, step, arg, json_object_array_get_idx(v, i));
		if (r < 0)
			return r;
	}
	return 0;
}

static int kw_min_items(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(v, json_type_array) ||
	    (int64_t)json_object_array_length(v) >= json_object_get_int64(arg))
		return 0;
	return fail(c, "must have at least %lld items", (long long)json_object_get_int64(arg));
}

static int kw_max_items(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(v, json_type_array) ||
	    (int64_t)json_object_array_length(v) <= json_object_get_int64(arg))
		return 0;
	return fail(c, "must have at most %lld items", (long long)json_object_get_int64(arg));
}

static int kw_min_properties(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(v, json_type_object) ||
	    json_object_object_length(v) >= json_object_get_int64(arg))
		return 0;
	return fail(c, "must have at least %lld member", (long long)json_object_get_int64(arg));
}

static int kw_required(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(v, json_type_object))
		return 0;
	for (size_t i = 0; i < json_object_array_length(arg); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(arg, i));

		if (!json_has(v, name))
			return fail(c, "member '%s' is missing", name);
	}
	return 0;
}

static int kw_properties(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)schema;
	if (!json_object_is_type(v, json_type_object))
		return 0;
	json_object_object_foreach(v, name, member)
	{
		json_object *sub;
		int r;

		if (!json_object_object_get_ex(arg, name, &sub))
			continue;
		r = check_at(c, name, sub, member);
		if (r < 0)
			return r;
	}
	return 0;
}

static int kw_additional(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	json_object *props = json_get(schema, "properties");

	if (!json_object_is_type(v, json_type_object))
		return 0;
	json_object_object_foreach(v, name, member)
	{
		int r = 0;

		if (props && json_has(props, name))
			continue;
		if (json_object_is_type(arg, json_type_object))
			r = check_at(c, name, arg, member);
		else if (!json_object_get_boolean(arg))
			r = fail(c, "has the unknown member '%.100s'", name);
		if (r < 0)
			return r;
	}
	return 0;
}

static int kw_one_of(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	size_t n = strlen(c->e->pointer), hits = 0;
	int r;

	(void)schema;
	for (size_t i = 0; i < json_object_array_length(arg); i++) {
		r = check(c, json_object_array_get_idx(arg, i), v);
		c->e->pointer[n] = '\0';
		hits += r == 0;
	}
	return hits == 1 ? 0 : fail(c, "fits none of the allowed forms");
}

static int kw_note(struct ctx *c, json_object *arg, json_object *schema, json_object *v)
{
	(void)c;
	(void)arg;
	(void)schema;
	(void)v;
	return 0; /* an annotation: says something, demands nothing */
}

static const struct keyword {
	const char *name;
	int (*check)(struct ctx *c, json_object *arg, json_object *schema, json_object *v);
} keywords[] = {
	{ "type", kw_type },
	{ "enum", kw_enum },
	{ "minimum", kw_minimum },
	{ "maximum", kw_maximum },
	{ "minLength", kw_min_length },
	{ "maxLength", kw_max_length },
	{ "pattern", kw_pattern },
	{ "format", kw_format },
	{ "items", kw_items },
	{ "minItems", kw_min_items },
	{ "maxItems", kw_max_items },
	{ "minProperties", kw_min_properties },
	{ "required", kw_required },
	{ "properties", kw_properties },
	{ "additionalProperties", kw_additional },
	{ "oneOf", kw_one_of },
	{ "description", kw_note },
	{ "default", kw_note },
};

json_object *schema_deref(json_object *doc, json_object *o)
{
	const char *ref = json_str(o, "$ref", NULL);
	json_object *at = doc;
	char buf[256], *save = NULL;

	if (!ref)
		return o;
	if (strncmp(ref, "#/", 2) != 0 || strlen(ref) >= sizeof(buf))
		return NULL;
	strcpy(buf, ref + 2);
	for (char *s = strtok_r(buf, "/", &save); s && at; s = strtok_r(NULL, "/", &save))
		at = json_get(at, s);
	return at;
}

static const struct keyword *keyword(const char *name)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strcmp(keywords[i].name, name) == 0)
			return &keywords[i];
	return NULL;
}

static int check(struct ctx *c, json_object *schema, json_object *v)
{
	json_object *s = schema_deref(c->doc, schema);
	int r = 0;

	if (!s || c->depth >= SCHEMA_DEPTH_MAX)
		return fail(c, "can't be checked: the schema is broken");
	c->depth++;
	json_object_object_foreach(s, name, arg)
	{
		const struct keyword *k = keyword(name);

		r = k ? k->check(c, arg, s, v) : 0;
		if (r < 0)
			break;
	}
	c->depth--;
	return r;
}

int schema_check(json_object *doc, json_object *schema, json_object *v, struct schema_err *e)
{
	struct ctx c = { .doc = doc, .e = e };

	*e = (struct schema_err){ 0 };
	return check(&c, schema, v);
}

static int lint(struct ctx *c, json_object *schema)
{
	json_object *s = schema_deref(c->doc, schema);
	int r = 0;

	if (!json_object_is_type(s, json_type_object))
		return fail(c, "no schema at %s", json_str(schema, "$ref", "?"));
	if (s != schema)
		return 0; /* components are linted where they stand */
	json_object_object_foreach(s, name, arg)
	{
		if (!keyword(name))
			return fail(c, "keyword '%s' is unknown to this validator", name);
		if (strcmp(name, "properties") == 0) {
			json_object_object_foreach(arg, pname, sub)
			{
				r = lint(c, sub);
				if (r < 0)
					return fail(c, "property '%s' has a broken schema", pname);
			}
		} else if (strcmp(name, "items") == 0 ||
			   (strcmp(name, "additionalProperties") == 0 &&
			    json_object_is_type(arg, json_type_object))) {
			r = lint(c, arg);
		} else if (strcmp(name, "oneOf") == 0) {
			for (size_t i = 0; r == 0 && i < json_object_array_length(arg); i++)
				r = lint(c, json_object_array_get_idx(arg, i));
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int schema_lint(json_object *doc, json_object *schema, struct schema_err *e)
{
	struct ctx c = { .doc = doc, .e = e };

	*e = (struct schema_err){ 0 };
	return lint(&c, schema);
}
