/* daemons/log.h - leveled logging to stderr with sd-daemon(3) prefixes.
 *
 * Under systemd (JOURNAL_STREAM set) a line starts with "<level>"; otherwise
 * with a time stamp and the program's name.  Only daemons log; library code
 * returns errors.
 */
#ifndef DAEMONS_LOG_H
#define DAEMONS_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERR_ = 3, LOG_WARN_ = 4, LOG_INFO_ = 6, LOG_DEBUG_ = 7 };

/* Call once at start; name is borrowed for ever.  Level defaults to info. */
void log_init(const char *name, enum log_level max);
void log_set_level(enum log_level max);
void log_with_levels(void); /* lines start with "<level>": somebody reads them who logs them */
void log_to_syslog(void);   /* from here on instead of stderr, facility "daemon" */

/* Returns r, so a daemon can write: return log_err(r, "open %s", path);
 * r is 0 or a negative errno and is rendered after the message.  Control
 * characters in the rendered text are escaped: a peer's string can't forge
 * a line. */
int log_at(enum log_level lv, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_err(r, ...)	 log_at(LOG_ERR_, (r), __VA_ARGS__)
#define log_warn(r, ...) log_at(LOG_WARN_, (r), __VA_ARGS__)
#define log_info(...)	 ((void)log_at(LOG_INFO_, 0, __VA_ARGS__))
#define log_debug(...)	 ((void)log_at(LOG_DEBUG_, 0, __VA_ARGS__))

/* A window in which one culprit may log once.  Zeroed is ready. */
struct log_window {
	uint64_t until_ns;
	uint32_t suppressed;
};
/* True if a line may be logged now; *ret_suppressed (may be NULL) is how many
 * were swallowed since the last one.  window_s is seconds. */
bool log_window_open(struct log_window *w, unsigned window_s, uint32_t *ret_suppressed);

#endif
