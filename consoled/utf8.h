/* consoled/utf8.h - where a UTF-8 character ends (RFC 3629). */
#ifndef CONSOLED_UTF8_H
#define CONSOLED_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length of the character at p; 0 if n bytes are a correct but unfinished
 * beginning; -1 if no character begins like this. */
static inline int utf8_span(const uint8_t *p, size_t n)
{
	uint8_t lo = 0x80, hi = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return -1;
	if (p[0] == 0xe0)
		lo = 0xa0; /* shorter forms */
	else if (p[0] == 0xed)
		hi = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f; /* above U+10FFFF */
	for (size_t i = 1; i < len && i < n; i++) {
		if (p[i] < lo || p[i] > hi)
			return -1;
		lo = 0x80;
		hi = 0xbf;
	}
	return n < len ? 0 : (int)len;
}

#endif
