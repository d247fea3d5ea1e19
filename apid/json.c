/* apid/json.c - recursive descent with a depth limit; see json.h for why. */
#include "apid/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/jbuf.h"

struct parse {
	const char *text, *p, *end;
	unsigned depth;
	const char *why; /* first error, static text */
};

static int value(struct parse *s, json_object **ret);

static int bad(struct parse *s, const char *why)
{
	if (!s->why)
		s->why = why;
	return -EINVAL;
}

static void space(struct parse *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool take(struct parse *s, char c)
{
	if (s->p < s->end && *s->p == c) {
		s->p++;
		return true;
	}
	return false;
}

static int hex4(struct parse *s, uint32_t *ret)
{
	uint32_t v = 0;

	if (s->end - s->p < 4)
		return bad(s, "cut off in \\u");
	for (int i = 0; i < 4; i++) {
		char c = *s->p++;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return bad(s, "\\u needs four hex digits");
	}
	*ret = v;
	return 0;
}

static int unicode(struct parse *s, struct jbuf *out)
{
	uint32_t u, lo;
	char b[4];
	size_t n;
	int r = hex4(s, &u);

	if (r < 0)
		return r;
	if (u >= 0xdc00 && u <= 0xdfff)
		return bad(s, "lone surrogate");
	if (u >= 0xd800 && u <= 0xdbff) {
		if (!take(s, '\\') || !take(s, 'u'))
			return bad(s, "lone surrogate");
		r = hex4(s, &lo);
		if (r < 0)
			return r;
		if (lo < 0xdc00 || lo > 0xdfff)
			return bad(s, "lone surrogate");
		u = 0x10000 + ((u - 0xd800) << 10) + (lo - 0xdc00);
	}
	if (u == 0)
		return bad(s, "U+0000 in a string");
	if (u < 0x80) {
		b[0] = (char)u;
		n = 1;
	} else if (u < 0x800) {
		b[0] = (char)(0xc0 | u >> 6);
		n = 2;
	} else if (u < 0x10000) {
		b[0] = (char)(0xe0 | u >> 12);
		n = 3;
	} else {
		b[0] = (char)(0xf0 | u >> 18);
		n = 4;
	}
	for (size_t i = 1; i < n; i++)
		b[i] = (char)(0x80 | (u >> (6 * (n - 1 - i)) & 0x3f));
	jb_put(out, b, n);
	return 0;
}

static int escaped(struct parse *s, struct jbuf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	char c;

	if (s->p == s->end)
		return bad(s, "string without an end");
	c = *s->p++;
	if (c == 'u')
		return unicode(s, out);
	at = c ? strchr(from, c) : NULL;
	if (!at)
		return bad(s, "unknown escape");
	jb_put(out, &to[at - from], 1);
	return 0;
}

/* After the opening quote.  The bytes go to out. */
static int string(struct parse *s, struct jbuf *out)
{
	for (;;) {
		const char *run = s->p;
		size_t u;
		int r;

		while (s->p < s->end && *s->p != '"' && *s->p != '\\') {
			if ((unsigned char)*s->p < 0x20)
				return bad(s, "control character in a string");
			u = utf8_len(s->p, (size_t)(s->end - s->p));
			if (!u)
				return bad(s, "text is not UTF-8");
			s->p += u;
		}
		jb_put(out, run, (size_t)(s->p - run));
		if (s->p == s->end)
			return bad(s, "string without an end");
		if (*s->p++ == '"')
			return out->oom ? -ENOMEM : 0;
		r = escaped(s, out);
		if (r < 0)
			return r;
	}
}

static bool digits(struct parse *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from;
}

static int number(struct parse *s, json_object **ret)
{
	const char *from = s->p;
	bool integer = true, neg = take(s, '-');
	char buf[64];
	double d;
	size_t n;

	if (!take(s, '0') && !digits(s))
		return bad(s, "not a JSON value");
	if (take(s, '.')) {
		integer = false;
		if (!digits(s))
			return bad(s, "number without digits");
	}
	if (take(s, 'e') || take(s, 'E')) {
		integer = false;
		if (!take(s, '+'))
			(void)take(s, '-'); /* the sign is optional */
		if (!digits(s))
			return bad(s, "number without digits");
	}
	n = (size_t)(s->p - from);
	if (n >= sizeof(buf))
		return bad(s, "number too long");
	memcpy(buf, from, n);
	buf[n] = '\0';
	if (integer) {
		errno = 0;
		if (neg)
			*ret = json_object_new_int64(strtoll(buf, NULL, 10));
		else
			*ret = json_object_new_uint64(strtoull(buf, NULL, 10));
		if (errno) {
			json_object_put(*ret);
			*ret = NULL;
			return bad(s, "number out of range");
		}
	} else {
		d = strtod(buf, NULL);
		if (!isfinite(d))
			return bad(s, "number out of range");
		*ret = json_object_new_double(d);
	}
	return *ret ? 0 : -ENOMEM;
}

static int member(struct parse *s, json_object *o)
{
	struct jbuf key = { 0 };
	json_object *v = NULL;
	int r;

	space(s);
	r = take(s, '"') ? string(s, &key) : bad(s, "expected a member's name");
	if (r < 0)
		goto out;
	if (json_object_object_get_ex(o, key.p ? key.p : "", NULL)) {
		r = bad(s, "the same member twice");
		goto out;
	}
	space(s);
	r = take(s, ':') ? value(s, &v) : bad(s, "expected ':'");
	if (r < 0)
		goto out;
	r = json_object_object_add(o, key.p ? key.p : "", v) < 0 ? -ENOMEM : 0;
	if (r == 0)
		v = NULL;
out:
	json_object_put(v);
	jb_fini(&key);
	return r;
}

static int object(struct parse *s, json_object *o)
{
	space(s);
	if (take(s, '}'))
		return 0;
	for (;;) {
		int r = member(s, o);

		if (r < 0)
			return r;
		space(s);
		if (take(s, '}'))
			return 0;
		if (!take(s, ','))
			return bad(s, "expected ',' or '}'");
	}
}

static int array(struct parse *s, json_object *a)
{
	space(s);
	if (take(s, ']'))
		return 0;
	for (;;) {
		json_object *v = NULL;
		int r = value(s, &v);

		if (r == 0 && json_object_array_add(a, v) < 0)
			r = -ENOMEM;
		if (r < 0) {
			json_object_put(v);
			return r;
		}
		space(s);
		if (take(s, ']'))
			return 0;
		if (!take(s, ','))
			return bad(s, "expected ',' or ']'");
	}
}

static int word(struct parse *s, const char *w, json_object *v, json_object **ret)
{
	size_t n = strlen(w);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, w, n) != 0) {
		json_object_put(v);
		return bad(s, "not a JSON value");
	}
	s->p += n;
	*ret = v;
	return 0;
}

static int nested(struct parse *s, json_object **ret)
{
	bool is_obj = *s->p == '{';
	json_object *o;
	int r;

	if (s->depth >= JSON_DEPTH_MAX)
		return bad(s, "nested too deep");
	o = is_obj ? json_object_new_object() : json_object_new_array();
	if (!o)
		return -ENOMEM;
	s->p++;
	s->depth++;
	r = is_obj ? object(s, o) : array(s, o);
	s->depth--;
	if (r < 0)
		json_object_put(o);
	else
		*ret = o;
	return r;
}

static int value(struct parse *s, json_object **ret)
{
	struct jbuf b = { 0 };
	int r;

	space(s);
	if (s->p == s->end)
		return bad(s, "a value is missing");
	switch (*s->p) {
	case '{':
	case '[': return nested(s, ret);
	case 't': return word(s, "true", json_object_new_boolean(1), ret);
	case 'f': return word(s, "false", json_object_new_boolean(0), ret);
	case 'n': return word(s, "null", NULL, ret);
	case '"': break;
	default: return number(s, ret);
	}
	s->p++;
	r = string(s, &b);
	if (r == 0) {
		*ret = json_object_new_string_len(b.p ? b.p : "", (int)b.n);
		r = *ret ? 0 : -ENOMEM;
	}
	jb_fini(&b);
	return r;
}

int json_parse(const char *text, size_t n, json_object **ret, char *err, size_t errlen)
{
	struct parse s = { .text = text, .p = text, .end = text + n };
	json_object *v = NULL;
	int r = value(&s, &v);

	space(&s);
	if (r == 0 && s.p != s.end)
		r = bad(&s, "something follows the value");
	if (r < 0) {
		snprintf(err, errlen, "%s at byte %zu", s.why ? s.why : "out of memory",
			 (size_t)(s.p - text));
		json_object_put(v);
		return r;
	}
	*ret = v;
	return 0;
}

json_object *json_get(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

bool json_has(json_object *o, const char *key)
{
	return json_object_object_get_ex(o, key, NULL);
}

const char *json_str(json_object *o, const char *key, const char *def)
{
	json_object *v = json_get(o, key);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : def;
}

int64_t json_int(json_object *o, const char *key, int64_t def)
{
	json_object *v = json_get(o, key);

	return json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : def;
}

double json_num(json_object *o, const char *key, double def)
{
	json_object *v = json_get(o, key);

	return json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double)
		       ? json_object_get_double(v)
		       : def;
}

bool json_flag(json_object *o, const char *key, bool def)
{
	json_object *v = json_get(o, key);

	return json_object_is_type(v, json_type_boolean) ? json_object_get_boolean(v) : def;
}

size_t json_len(json_object *o, const char *key)
{
	json_object *v = json_get(o, key);

	return json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 0;
}
