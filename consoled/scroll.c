/* consoled/scroll.c - a growing ring: quiet consoles stay small. */
#include "consoled/scroll.h"

#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"

#define SCROLL_FIRST 1024u

void scroll_init(struct scroll *s, size_t max)
{
	size_t cap = SCROLL_FIRST;

	while (cap <= max / 2)
		cap *= 2;
	*s = (struct scroll){ .max = cap };
}

void scroll_fini(struct scroll *s)
{
	free(s->buf);
	*s = (struct scroll){ .max = s->max };
}

uint64_t scroll_start(const struct scroll *s)
{
	return s->end > s->cap ? s->end - s->cap : 0;
}

size_t scroll_span(const struct scroll *s, uint64_t pos, const uint8_t **ret)
{
	size_t at = s->cap ? (size_t)(pos & (s->cap - 1)) : 0;
	uint64_t left = s->end - pos;

	*ret = s->buf + at;
	return left < s->cap - at ? (size_t)left : s->cap - at;
}

/* Double until n more bytes fit beside what is kept, or the limit is met. */
static void grow(struct scroll *s, size_t n)
{
	uint64_t kept = s->end - scroll_start(s);
	size_t cap = s->cap ? s->cap : SCROLL_FIRST;
	const uint8_t *p;
	uint8_t *buf;

	while (cap < s->max && kept + n > cap)
		cap *= 2;
	if (cap == s->cap)
		return;
	buf = sys_zalloc(cap);
	if (!buf)
		return;
	for (uint64_t pos = s->end - kept; pos < s->end;) {
		size_t k = scroll_span(s, pos, &p), at = (size_t)(pos & (cap - 1));

		if (k > cap - at)
			k = cap - at;
		memcpy(buf + at, p, k);
		pos += k;
	}
	free(s->buf);
	s->buf = buf;
	s->cap = cap;
}

void scroll_put(struct scroll *s, const uint8_t *p, size_t n)
{
	if (s->cap < s->max)
		grow(s, n);
	if (!s->cap) { /* no memory at all: only count, so that places stay true */
		s->end += n;
		return;
	}
	if (n > s->cap) {
		s->end += n - s->cap;
		p += n - s->cap;
		n = s->cap;
	}
	while (n) {
		size_t at = (size_t)(s->end & (s->cap - 1));
		size_t k = n < s->cap - at ? n : s->cap - at;

		memcpy(s->buf + at, p, k);
		s->end += k;
		p += k;
		n -= k;
	}
}
