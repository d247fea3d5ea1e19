/* consoled/scroll.h - the last bytes of a console, addressed by their place in
 * the whole stream.  Viewers keep only a place, so a slow one costs nothing. */
#ifndef CONSOLED_SCROLL_H
#define CONSOLED_SCROLL_H

#include <stddef.h>
#include <stdint.h>

struct scroll {
	uint8_t *buf; /* owned */
	size_t cap;   /* a power of two, or 0 */
	size_t max;   /* never grows past this power of two */
	uint64_t end; /* bytes ever put */
};

/* max is rounded down to a power of two (at least 1 KiB); nothing is allocated yet. */
void scroll_init(struct scroll *s, size_t max);
void scroll_fini(struct scroll *s);

/* Never fails: without memory it keeps fewer bytes than it might. */
void scroll_put(struct scroll *s, const uint8_t *p, size_t n);
uint64_t scroll_start(const struct scroll *s); /* the oldest byte still here */

/* The contiguous bytes from place pos, which must be in [start, end]; returns
 * how many (0 at the end) and where they are until the next put. */
size_t scroll_span(const struct scroll *s, uint64_t pos, const uint8_t **ret);

#endif
