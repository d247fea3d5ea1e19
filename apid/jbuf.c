/* apid/jbuf.c - JSON text writer. */
#include "apid/jbuf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemons/sys.h"

static bool room(struct jbuf *b, size_t n)
{
	size_t cap = b->cap ? b->cap : 256;
	char *p;

	if (b->oom)
		return false;
	if (n < b->cap - b->n && b->cap)
		return true;
	while (cap - b->n <= n) {
		if (cap > SIZE_MAX / 2) {
			b->oom = true;
			return false;
		}
		cap *= 2;
	}
	p = sys_realloc(b->p, cap);
	if (!p) {
		b->oom = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void jb_fini(struct jbuf *b)
{
	free(b->p);
	*b = (struct jbuf){ 0 };
}

void jb_reset(struct jbuf *b)
{
	b->n = 0;
	b->comma = b->oom = false;
	if (b->p)
		b->p[0] = '\0';
}

void jb_put(struct jbuf *b, const char *s, size_t n)
{
	if (!room(b, n))
		return;
	memcpy(b->p + b->n, s, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void jb_puts(struct jbuf *b, const char *s)
{
	jb_put(b, s, strlen(s));
}

void jb_printf(struct jbuf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !room(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

static void begin(struct jbuf *b)
{
	if (b->comma)
		jb_put(b, ",", 1);
	b->comma = true;
}

void jb_obj(struct jbuf *b)
{
	begin(b);
	jb_put(b, "{", 1);
	b->comma = false;
}

void jb_obj_end(struct jbuf *b)
{
	jb_put(b, "}", 1);
	b->comma = true;
}

void jb_arr(struct jbuf *b)
{
	begin(b);
	jb_put(b, "[", 1);
	b->comma = false;
}

void jb_arr_end(struct jbuf *b)
{
	jb_put(b, "]", 1);
	b->comma = true;
}

size_t utf8_len(const char *s, size_t left)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n;

	if (left == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		lo = 0xa0; /* overlong */
	else if (p[0] == 0xed)
		hi = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f; /* past U+10FFFF */
	if (left < n || p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

/* The text between the quotes; plain runs are copied in one piece. */
static void escape(struct jbuf *b, const char *s, size_t n)
{
	size_t run = 0, i = 0;

	while (i < n) {
		unsigned char c = (unsigned char)s[i];
		size_t u = 1;

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			i++;
			continue;
		}
		u = c < 0x80 ? 0 : utf8_len(s + i, n - i);
		if (u) {
			i += u;
			continue;
		}
		jb_put(b, s + run, i - run);
		if (c == '"' || c == '\\')
			jb_printf(b, "\\%c", c);
		else if (c == '\n')
			jb_put(b, "\\n", 2);
		else if (c < 0x80)
			jb_printf(b, "\\u%04x", c);
		else
			jb_put(b, "\xef\xbf\xbd", 3);
		run = ++i;
	}
	jb_put(b, s + run, n - run);
}

void jb_strn(struct jbuf *b, const char *s, size_t n)
{
	begin(b);
	jb_put(b, "\"", 1);
	escape(b, s, n);
	jb_put(b, "\"", 1);
}

void jb_str(struct jbuf *b, const char *s)
{
	if (s)
		jb_strn(b, s, strlen(s));
	else
		jb_null(b);
}

/* Keys are literals of ours: nothing in them needs an escape. */
void jb_key(struct jbuf *b, const char *k)
{
	begin(b);
	jb_put(b, "\"", 1);
	jb_put(b, k, strlen(k));
	jb_put(b, "\":", 2);
	b->comma = false;
}

void jb_int(struct jbuf *b, int64_t v)
{
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	char buf[24], *p = buf + sizeof(buf);

	do
		*--p = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		*--p = '-';
	begin(b);
	jb_put(b, p, (size_t)(buf + sizeof(buf) - p));
}

void jb_num(struct jbuf *b, double v)
{
	begin(b);
	if (isfinite(v))
		jb_printf(b, "%.9g", v);
	else
		jb_puts(b, "null");
}

void jb_bool(struct jbuf *b, bool v)
{
	begin(b);
	jb_puts(b, v ? "true" : "false");
}

void jb_null(struct jbuf *b)
{
	begin(b);
	jb_puts(b, "null");
}

void jb_json(struct jbuf *b, const char *text)
{
	begin(b);
	jb_puts(b, text);
}

/* v as n decimal digits. */
static char *digits(char *p, unsigned v, int n)
{
	for (int i = n; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + n;
}

void jb_time(struct jbuf *b, int64_t ms)
{
	char buf[] = "\"0000-00-00T00:00:00.000Z\"", *p = buf + 1;
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (ms <= 0 || !gmtime_r(&t, &tm) || tm.tm_year > 9999 - 1900) {
		jb_null(b);
		return;
	}
	p = digits(p, (unsigned)tm.tm_year + 1900, 4) + 1;
	p = digits(p, (unsigned)tm.tm_mon + 1, 2) + 1;
	p = digits(p, (unsigned)tm.tm_mday, 2) + 1;
	p = digits(p, (unsigned)tm.tm_hour, 2) + 1;
	p = digits(p, (unsigned)tm.tm_min, 2) + 1;
	p = digits(p, (unsigned)tm.tm_sec, 2) + 1;
	(void)digits(p, (unsigned)(ms % 1000), 3);
	begin(b);
	jb_put(b, buf, sizeof(buf) - 1);
}

void jb_kstr(struct jbuf *b, const char *k, const char *s)
{
	jb_key(b, k);
	jb_str(b, s);
}

void jb_kint(struct jbuf *b, const char *k, int64_t v)
{
	jb_key(b, k);
	jb_int(b, v);
}

void jb_kbool(struct jbuf *b, const char *k, bool v)
{
	jb_key(b, k);
	jb_bool(b, v);
}

void jb_ktime(struct jbuf *b, const char *k, int64_t ms)
{
	jb_key(b, k);
	jb_time(b, ms);
}
