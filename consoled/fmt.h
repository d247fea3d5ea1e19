/* consoled/fmt.h - raw console bytes in, bytes of a log file out.
 *
 * A pure state machine: the state is small and plain so that it can live in a
 * record that survives the process, and one console's state never touches
 * another's.  Text passes through byte for byte unless stamps or replacing are
 * asked for; JSON makes one object per line.
 */
#ifndef CONSOLED_FMT_H
#define CONSOLED_FMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum fmt_kind { FMT_TEXT, FMT_JSON };

struct fmt_conf {
	enum fmt_kind kind;
	bool stamps;	     /* text: "[2026-01-31 12:00:00] " before each line */
	bool replace_escape; /* text: ESC becomes '.' */
	unsigned digits;     /* of a second: 0, 3 or 6 */
};

#define FMT_LINE_MAX 65536u /* a longer line is split in JSON ("more":true) */

struct fmt_state { /* all zero: at the start of a line */
	uint32_t line_len;
	uint8_t mid_line;
	uint8_t cr;	  /* JSON: a carriage return not written yet */
	uint8_t utf8_len; /* JSON: bytes of an unfinished character */
	uint8_t utf8[4];
	uint8_t pad;
};

struct fmt_ctx { /* what a line is labelled with */
	const struct fmt_conf *conf;
	const char *guest; /* any bytes, NUL-terminated; NULL: the hypervisor */
	uint16_t domid;
	uint32_t con;
	struct timespec now; /* CLOCK_REALTIME */
};

/* The most one step can need: below this much room nothing may fit. */
#define FMT_ROOM 2048u

/* Format input until it or the room ends.  Returns bytes put in out;
 * *ret_used is how much input they stand for, and *st moved with it. */
size_t fmt_run(const struct fmt_ctx *c, struct fmt_state *st, const uint8_t *in, size_t n,
	       size_t *ret_used, uint8_t *out, size_t room);

/* A line of our own, "--- text ---", ending an unfinished line first.  room
 * must be at least FMT_ROOM; text at most 400 bytes count. */
size_t fmt_mark(const struct fmt_ctx *c, struct fmt_state *st, const char *text, uint8_t *out,
		size_t room);

#endif
