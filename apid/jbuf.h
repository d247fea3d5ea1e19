/* apid/jbuf.h - a growing buffer that JSON is written to.
 *
 * Replies are written straight to text: no object tree is built only to be
 * printed.  Commas come by themselves.  Running out of memory latches ->oom;
 * the writer checks once at the end.
 */
#ifndef APID_JBUF_H
#define APID_JBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jbuf {
	char *p; /* owned; NUL-terminated when not NULL */
	size_t n, cap;
	bool comma, oom;
};

void jb_fini(struct jbuf *b); /* idempotent; leaves it ready for use */
void jb_reset(struct jbuf *b);

/* Raw text, no commas, no escapes. */
void jb_put(struct jbuf *b, const char *s, size_t n);
void jb_puts(struct jbuf *b, const char *s);
void jb_printf(struct jbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void jb_obj(struct jbuf *b);
void jb_obj_end(struct jbuf *b);
void jb_arr(struct jbuf *b);
void jb_arr_end(struct jbuf *b);
void jb_key(struct jbuf *b, const char *k);

/* Values.  A NULL string is null; bytes that are not UTF-8 become U+FFFD. */
void jb_str(struct jbuf *b, const char *s);
void jb_strn(struct jbuf *b, const char *s, size_t n);
void jb_int(struct jbuf *b, int64_t v);
void jb_num(struct jbuf *b, double v);
void jb_bool(struct jbuf *b, bool v);
void jb_null(struct jbuf *b);
void jb_json(struct jbuf *b, const char *text); /* a value that is JSON already */
void jb_time(struct jbuf *b, int64_t ms);	/* RFC 3339; 0 is null */

void jb_kstr(struct jbuf *b, const char *k, const char *s);
void jb_kint(struct jbuf *b, const char *k, int64_t v);
void jb_kbool(struct jbuf *b, const char *k, bool v);
void jb_ktime(struct jbuf *b, const char *k, int64_t ms);

/* Length of the valid UTF-8 sequence at p (1..4), or 0. */
size_t utf8_len(const char *p, size_t left);

#endif
