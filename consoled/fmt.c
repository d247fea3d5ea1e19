/* consoled/fmt.c - stamps, escapes and JSON, with the line state kept per console.
 *
 * After a newline, carriage returns are dropped when stamps are on, as
 * xenconsoled does: "a\n\rb\n" must not show a stamp overwritten by its line.
 * JSON strings must be UTF-8: a byte that can't belong to a character becomes
 * U+FFFD; a character cut by the end of the input waits in the state.
 */
#include "consoled/fmt.h"

#include <stdio.h>
#include <string.h>

#include "consoled/utf8.h"

struct sink {
	uint8_t *p;
	size_t n, room;
};

static void put(struct sink *o, const void *p, size_t n)
{
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void puts_(struct sink *o, const char *s)
{
	put(o, s, strlen(s));
}

static void stamp_text(const struct fmt_ctx *c, struct sink *o)
{
	char buf[64];
	struct tm tm;
	size_t k;

	localtime_r(&c->now.tv_sec, &tm);
	k = strftime(buf, sizeof(buf), "[%Y-%m-%d %H:%M:%S", &tm);
	if (c->conf->digits == 3)
		k += (size_t)snprintf(buf + k, sizeof(buf) - k, ".%03ld", c->now.tv_nsec / 1000000);
	else if (c->conf->digits == 6)
		k += (size_t)snprintf(buf + k, sizeof(buf) - k, ".%06ld", c->now.tv_nsec / 1000);
	put(o, buf, k);
	puts_(o, "] ");
}

/* One byte or character inside a JSON string; at most 6 bytes. */
static void json_char(struct sink *o, const uint8_t *p, size_t n)
{
	char buf[8];

	if (n == 1 && (*p == '"' || *p == '\\')) {
		put(o, "\\", 1);
		put(o, p, 1);
	} else if (n == 1 && (*p < 0x20 || *p == 0x7f)) {
		put(o, buf, (size_t)snprintf(buf, sizeof(buf), "\\u%04x", *p));
	} else {
		put(o, p, n);
	}
}

static void json_name(struct sink *o, const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = strnlen(s, 200);

	while (n) {
		int k = utf8_span(p, n);

		if (k > 0)
			json_char(o, p, (size_t)k);
		else
			puts_(o, "\xef\xbf\xbd");
		k = k > 0 ? k : 1;
		p += k;
		n -= (size_t)k;
	}
}

/* {"time":"...Z","domid":1,"guest":"g","console":0,"<key>":"  */
static void json_open(const struct fmt_ctx *c, struct sink *o, const char *key)
{
	char buf[96];
	struct tm tm;
	size_t k;

	gmtime_r(&c->now.tv_sec, &tm);
	k = strftime(buf, sizeof(buf), "{\"time\":\"%Y-%m-%dT%H:%M:%S", &tm);
	k += (size_t)snprintf(buf + k, sizeof(buf) - k, ".%06ldZ\",", c->now.tv_nsec / 1000);
	put(o, buf, k);
	if (c->guest) {
		put(o, buf,
		    (size_t)snprintf(buf, sizeof(buf), "\"domid\":%u,\"guest\":\"", c->domid));
		json_name(o, c->guest);
		put(o, buf, (size_t)snprintf(buf, sizeof(buf), "\",\"console\":%u,", c->con));
	}
	put(o, buf, (size_t)snprintf(buf, sizeof(buf), "\"%s\":\"", key));
}

/* The unfinished character was not one: each of its bytes is a broken one. */
static void json_flush_utf8(struct fmt_state *st, struct sink *o)
{
	for (; st->utf8_len; st->utf8_len--)
		puts_(o, "\xef\xbf\xbd");
}

static void json_close(struct fmt_state *st, struct sink *o, bool more)
{
	json_flush_utf8(st, o);
	puts_(o, more ? "\",\"more\":true}\n" : "\"}\n");
	*st = (struct fmt_state){ 0 };
}

static void json_utf8(struct fmt_state *st, uint8_t b, struct sink *o)
{
	int k;

	st->utf8[st->utf8_len++] = b;
	k = utf8_span(st->utf8, st->utf8_len);
	if (k == 0)
		return; /* may still become one */
	if (k > 0) {
		json_char(o, st->utf8, st->utf8_len);
		st->utf8_len = 0;
		return;
	}
	st->utf8_len--; /* what came before b is broken; b starts anew */
	json_flush_utf8(st, o);
	if (utf8_span(&b, 1) < 0) {
		puts_(o, "\xef\xbf\xbd");
		return;
	}
	st->utf8[st->utf8_len++] = b;
	if (utf8_span(&b, 1) == 1) {
		json_char(o, &b, 1);
		st->utf8_len = 0;
	}
}

static void json_byte(const struct fmt_ctx *c, struct fmt_state *st, uint8_t b, struct sink *o)
{
	if (!st->mid_line) {
		json_open(c, o, "line");
		st->mid_line = 1;
	}
	if (b == '\n') {
		json_close(st, o, false);
		return;
	}
	if (st->cr) {
		json_flush_utf8(st, o);
		json_char(o, (const uint8_t *)"\r", 1);
		st->cr = 0;
	}
	if (b == '\r')
		st->cr = 1;
	else
		json_utf8(st, b, o);
	if (++st->line_len >= FMT_LINE_MAX)
		json_close(st, o, true);
}

static void text_byte(const struct fmt_ctx *c, struct fmt_state *st, uint8_t b, struct sink *o)
{
	if (c->conf->stamps && !st->mid_line) {
		if (b == '\r' && st->line_len) /* line_len: a newline came before */
			return;
		stamp_text(c, o);
	}
	if (b == 0x1b && c->conf->replace_escape)
		b = '.';
	put(o, &b, 1);
	st->mid_line = b != '\n';
	st->line_len = 1;
}

size_t fmt_run(const struct fmt_ctx *c, struct fmt_state *st, const uint8_t *in, size_t n,
	       size_t *ret_used, uint8_t *out, size_t room)
{
	struct sink o = { .p = out, .room = room };
	const struct fmt_conf *f = c->conf;
	size_t i = 0;

	if (f->kind == FMT_TEXT && !f->stamps && !f->replace_escape) {
		i = n < room ? n : room;
		memcpy(out, in, i);
		if (i)
			st->mid_line = in[i - 1] != '\n';
		*ret_used = i;
		return i;
	}
	for (; i < n && o.room - o.n >= FMT_ROOM; i++) {
		if (f->kind == FMT_JSON)
			json_byte(c, st, in[i], &o);
		else
			text_byte(c, st, in[i], &o);
	}
	*ret_used = i;
	return o.n;
}

size_t fmt_mark(const struct fmt_ctx *c, struct fmt_state *st, const char *text, uint8_t *out,
		size_t room)
{
	struct sink o = { .p = out, .room = room };

	if (c->conf->kind == FMT_JSON) {
		if (st->mid_line)
			json_close(st, &o, false);
		json_open(c, &o, "event");
		for (size_t i = 0; text[i] && i < 400; i++) {
			uint8_t b = (uint8_t)text[i] < 0x80 ? (uint8_t)text[i] : '?';

			if (o.room - o.n > 32)
				json_char(&o, &b, 1);
		}
		puts_(&o, "\"}\n");
	} else {
		if (st->mid_line)
			puts_(&o, "\n");
		if (c->conf->stamps)
			stamp_text(c, &o);
		puts_(&o, "--- ");
		for (size_t i = 0; text[i] && i < 400; i++) {
			char b = text[i] < 0x20 || text[i] == 0x7f ? '.' : text[i];

			put(&o, &b, 1);
		}
		puts_(&o, " ---\n");
	}
	*st = (struct fmt_state){ 0 };
	return o.n;
}
