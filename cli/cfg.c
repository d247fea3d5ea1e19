/* cli/cfg.c - a recursive descent over xl.cfg text.
 *
 *   file    = { [ setting ] ( newline | ";" ) }
 *   setting = NAME ( "=" | "+=" ) value
 *   value   = atom | "[" { value [ "," ] } "]"	(newlines are free inside)
 *   atom    = 'string' | "string" | NUMBER
 *   comment = "#" to the end of the line
 *
 * "+=" joins a string to a string or a list to a list, as libxlutil does.
 */
#include "cli/cfg.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	const char *at, *end;
	const char *file;
	unsigned line;
	char *err;
	size_t errlen;
};

static int fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct parser *p, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut is fine for a message */
	va_end(ap);
	snprintf(p->err, p->errlen, "%s:%u: %s", p->file, p->line, text);
	return -EINVAL;
}

static int no_memory(struct parser *p)
{
	(void)fail(p, "out of memory");
	return -ENOMEM;
}

static void value_fini(struct cfg_value *v)
{
	for (size_t i = 0; i < v->n; i++)
		value_fini(&v->items[i]); /* at most CFG_DEPTH_MAX deep */
	free(v->items);
	free(v->text);
	memset(v, 0, sizeof(*v));
}

void cfg_fini(struct cfg *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->settings[i].name);
		value_fini(&c->settings[i].value);
	}
	for (size_t i = 0; i < c->nfiles; i++)
		free(c->files[i]);
	free(c->settings);
	free(c->files);
	memset(c, 0, sizeof(*c));
}

/* Room for one more of size bytes; doubles. */
static void *grow(void *items, size_t n, size_t *room, size_t size)
{
	size_t want = *room ? *room * 2 : 8;
	void *p;

	if (n < *room)
		return items;
	p = realloc(items, want * size); /* want is bounded by CFG_BYTES_MAX */
	if (p)
		*room = want;
	return p;
}

static void skip_blanks(struct parser *p, bool newlines)
{
	for (; p->at < p->end; p->at++) {
		if (*p->at == '#') {
			while (p->at + 1 < p->end && p->at[1] != '\n')
				p->at++;
		} else if (*p->at == '\n' && newlines) {
			p->line++;
		} else if (*p->at != ' ' && *p->at != '\t' && *p->at != '\r') {
			return;
		}
	}
}

/* One escape, p->at on the character after the backslash.  A byte, or -1 for
 * an escape that makes no sense. */
static int unescape(struct parser *p)
{
	static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
	const char *hit;
	unsigned v = 0, digits = 0;
	char c = *p->at++;

	hit = c ? strchr(from, c) : NULL;
	if (hit)
		return to[hit - from];
	if (c == 'x') {
		while (digits < 2 && p->at < p->end && isxdigit((unsigned char)*p->at)) {
			char d[2] = { *p->at++, '\0' };

			v = v * 16 + (unsigned)strtoul(d, NULL, 16);
			digits++;
		}
		return digits && v ? (int)v : -1;
	}
	if (c >= '0' && c <= '7') {
		for (v = (unsigned)(c - '0'), digits = 1;
		     digits < 3 && p->at < p->end && *p->at >= '0' && *p->at <= '7'; digits++)
			v = v * 8 + (unsigned)(*p->at++ - '0');
		return v && v < 256 ? (int)v : -1;
	}
	return -1;
}

static int parse_string(struct parser *p, struct cfg_value *v)
{
	char quote = *p->at++, *out;
	const char *close = memchr(p->at, '\n', (size_t)(p->end - p->at));

	/* A string ends on its line, so it can't be longer than that. */
	out = v->text = malloc((size_t)((close ? close : p->end) - p->at) + 1);
	if (!out)
		return no_memory(p);
	while (p->at < p->end && *p->at != '\n' && *p->at != quote) {
		int c = (unsigned char)*p->at++;

		if (c == '\\') {
			c = p->at < p->end && *p->at != '\n' ? unescape(p) : -1;
			if (c < 0)
				return fail(p, "unknown escape after a backslash in this string; "
					       "write \\\\ for a backslash");
		}
		*out++ = (char)c;
	}
	*out = '\0';
	if (p->at == p->end || *p->at != quote)
		return fail(p, "the string that begins with %c has no closing %c on this line",
			    quote, quote);
	p->at++;
	return 0;
}

static int parse_number(struct parser *p, struct cfg_value *v)
{
	const char *from = p->at;

	while (p->at < p->end && isalnum((unsigned char)*p->at))
		p->at++;
	v->text = strndup(from, (size_t)(p->at - from));
	if (!v->text)
		return no_memory(p);
	for (const char *s = v->text; *s; s++) {
		bool hex = v->text[0] == '0' && (v->text[1] | 32) == 'x';

		if (!(hex ? isxdigit((unsigned char)*s) || s == v->text + 1
			  : isdigit((unsigned char)*s)))
			return fail(p, "'%.40s' is no number; put quotes around a string", v->text);
	}
	return 0;
}

static int parse_value(struct parser *p, struct cfg_value *v, unsigned depth);

static int parse_list(struct parser *p, struct cfg_value *v, unsigned depth)
{
	unsigned opened = p->line;

	if (depth >= CFG_DEPTH_MAX)
		return fail(p, "lists are nested deeper than %u", CFG_DEPTH_MAX);
	v->type = CFG_LIST;
	p->at++;
	for (;;) {
		struct cfg_value *items;
		int r;

		skip_blanks(p, true);
		if (p->at < p->end && *p->at == ']') {
			p->at++;
			return 0;
		}
		if (p->at == p->end) {
			p->line = opened;
			return fail(p, "the list that begins here has no closing ]");
		}
		items = grow(v->items, v->n, &v->room, sizeof(*items));
		if (!items)
			return no_memory(p);
		v->items = items;
		memset(&items[v->n], 0, sizeof(*items));
		v->n++; /* first, so that a half-parsed item is freed */
		r = parse_value(p, &items[v->n - 1], depth + 1);
		if (r < 0)
			return r;
		skip_blanks(p, true);
		if (p->at < p->end && *p->at == ',')
			p->at++;
		else if (p->at < p->end && *p->at != ']')
			return fail(p, "expected , or ] in the list that begins in line %u",
				    opened);
	}
}

static int parse_value(struct parser *p, struct cfg_value *v, unsigned depth)
{
	v->line = p->line;
	if (p->at == p->end)
		return fail(p, "the value is missing");
	if (*p->at == '\'' || *p->at == '"')
		return parse_string(p, v);
	if (*p->at == '[')
		return parse_list(p, v, depth);
	if (isdigit((unsigned char)*p->at))
		return parse_number(p, v);
	if (*p->at == '\n' || *p->at == ';')
		return fail(p, "the value is missing");
	return fail(p, "expected a \"string\", a number or a [list] instead of '%c'",
		    isprint((unsigned char)*p->at) ? *p->at : '?');
}

/* old += add; add's parts are moved. */
static int value_append(struct parser *p, struct cfg_value *old, struct cfg_value *add)
{
	if (old->type != add->type)
		return fail(p, "+= joins a string to a string or a list to a list");
	if (old->type == CFG_ATOM) {
		size_t a = strlen(old->text), b = strlen(add->text);
		char *joined = realloc(old->text, a + b + 1);

		if (!joined)
			return no_memory(p);
		memcpy(joined + a, add->text, b + 1);
		old->text = joined;
		return 0;
	}
	for (size_t i = 0; i < add->n; i++) {
		struct cfg_value *items = grow(old->items, old->n, &old->room, sizeof(*items));

		if (!items)
			return no_memory(p);
		old->items = items;
		items[old->n++] = add->items[i];
		memset(&add->items[i], 0, sizeof(add->items[i])); /* moved */
	}
	return 0;
}

/* Adds name (consumed on success) = v (consumed on success). */
static int setting_add(struct parser *p, struct cfg *c, char *name, struct cfg_value *v)
{
	struct cfg_setting *s;

	if (c->n >= CFG_SETTINGS_MAX)
		return fail(p, "more than %u settings", CFG_SETTINGS_MAX);
	s = grow(c->settings, c->n, &c->room, sizeof(*s));

	if (!s)
		return no_memory(p);
	c->settings = s;
	s[c->n++] = (struct cfg_setting){ name, p->file, *v };
	return 0;
}

static int parse_setting(struct parser *p, struct cfg *c)
{
	const char *from = p->at;
	struct cfg_value v = { .type = CFG_ATOM };
	struct cfg_setting *old = NULL;
	bool append = false;
	char *name = NULL;
	int r;

	while (p->at < p->end && (isalnum((unsigned char)*p->at) || *p->at == '_'))
		p->at++;
	if (p->at == from || isdigit((unsigned char)*from))
		return fail(p, "expected a line like name = value");
	name = strndup(from, (size_t)(p->at - from));
	if (!name)
		return no_memory(p);
	skip_blanks(p, false);
	if (p->at + 1 < p->end && p->at[0] == '+' && p->at[1] == '=') {
		append = true;
		p->at++;
	}
	if (p->at == p->end || *p->at != '=') {
		r = fail(p, "expected = after '%.40s'", name);
		goto out;
	}
	p->at++;
	skip_blanks(p, false);
	r = parse_value(p, &v, 0);
	if (r < 0)
		goto out;
	if (append)
		old = (struct cfg_setting *)cfg_find(c, name); /* c is ours to change */
	r = old ? value_append(p, &old->value, &v) : setting_add(p, c, name, &v);
	if (r == 0 && !old) {
		name = NULL;
		memset(&v, 0, sizeof(v));
	}
out:
	free(name);
	value_fini(&v);
	return r;
}

static int remember_file(struct cfg *c, const char *file, const char **ret)
{
	char **files = realloc(c->files, (c->nfiles + 1) * sizeof(*files));
	char *copy = files ? strdup(file) : NULL;

	if (files)
		c->files = files;
	if (!copy)
		return -ENOMEM;
	c->files[c->nfiles++] = copy;
	*ret = copy;
	return 0;
}

int cfg_parse(struct cfg *c, const char *file, const char *text, size_t n, char *err, size_t errlen)
{
	struct parser p = { text, text + n, file, 1, err, errlen };
	const char *nul = memchr(text, '\0', n);
	int r;

	if (n > CFG_BYTES_MAX) {
		snprintf(err, errlen, "%s: larger than %u bytes; this is no configuration file",
			 file, CFG_BYTES_MAX);
		return -E2BIG;
	}
	if (nul) {
		for (const char *s = text; s < nul; s++)
			p.line += *s == '\n';
		return fail(&p, "there is a NUL byte in this line; the file must be text");
	}
	r = remember_file(c, file, &p.file);
	if (r < 0)
		return no_memory(&p);
	for (;;) {
		skip_blanks(&p, true);
		if (p.at == p.end)
			return 0;
		if (*p.at == ';') {
			p.at++;
			continue;
		}
		r = parse_setting(&p, c);
		if (r < 0)
			return r;
		skip_blanks(&p, false);
		if (p.at < p.end && *p.at != '\n' && *p.at != ';')
			return fail(&p, "unexpected text after the value");
	}
}

int cfg_parse_file(struct cfg *c, const char *path, char *err, size_t errlen)
{
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *f = is_stdin ? stdin : fopen(path, "re");
	char *text;
	size_t n;
	int r;

	if (!f) {
		r = -errno;
		snprintf(err, errlen, "%s: %s", path, strerror(-r));
		return r;
	}
	text = malloc((size_t)CFG_BYTES_MAX + 1);
	n = text ? fread(text, 1, (size_t)CFG_BYTES_MAX + 1, f) : 0;
	if (!text) {
		snprintf(err, errlen, "%s: out of memory", path);
		r = -ENOMEM;
	} else if (ferror(f)) {
		r = errno ? -errno : -EIO;
		snprintf(err, errlen, "%s: %s", path, strerror(-r));
	} else {
		r = cfg_parse(c, is_stdin ? "standard input" : path, text, n, err, errlen);
	}
	free(text);
	if (!is_stdin)
		fclose(f);
	return r;
}

const struct cfg_setting *cfg_find(const struct cfg *c, const char *name)
{
	for (size_t i = c->n; i-- > 0;)
		if (strcmp(c->settings[i].name, name) == 0)
			return &c->settings[i];
	return NULL;
}
