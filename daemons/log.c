/* daemons/log.c - one line per event, never more, whatever a peer put in it. */
#include "daemons/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "daemons/clock.h"

static const char *log_name = "domzero";
static enum log_level log_max = LOG_INFO_;
static bool log_journal, log_syslog;

void log_init(const char *name, enum log_level max)
{
	log_name = name;
	log_max = max;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_with_levels(void)
{
	log_journal = true;
}

void log_set_level(enum log_level max)
{
	log_max = max;
}

void log_to_syslog(void)
{
	openlog(log_name, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	log_syslog = true;
}

static size_t log_prefix(char *out, size_t n, enum log_level lv)
{
	struct timespec ts;
	struct tm tm;
	char stamp[32];

	if (log_syslog)
		return 0; /* it stamps lines itself */
	if (log_journal)
		return (size_t)snprintf(out, n, "<%d>", (int)lv);
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	return (size_t)snprintf(out, n, "%s.%03ld %s: %s", stamp, ts.tv_nsec / 1000000, log_name,
				lv == LOG_ERR_	  ? "error: "
				: lv == LOG_WARN_ ? "warning: "
						  : "");
}

int log_at(enum log_level lv, int r, const char *fmt, ...)
{
	char text[1024], line[4400];
	size_t n, i;
	va_list ap;

	if (lv > log_max)
		return r;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* truncation is fine for a log */
	va_end(ap);

	n = log_prefix(line, sizeof(line), lv);
	for (i = 0; text[i] && n < sizeof(line) - 160; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(line + n, 5, "\\x%02x", c);
		else
			line[n++] = (char)c;
	}
	if (r < 0)
		n += (size_t)snprintf(line + n, 128, ": %s", strerror(-r));
	if (log_syslog) {
		syslog((int)lv, "%.*s", (int)n, line); /* the levels are its own */
		return r;
	}
	line[n++] = '\n';
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
		;
	return r;
}

bool log_window_open(struct log_window *w, unsigned window_s, uint32_t *ret_suppressed)
{
	uint64_t now = clock_mono_ns();

	if (now < w->until_ns) {
		w->suppressed++;
		return false;
	}
	if (ret_suppressed)
		*ret_suppressed = w->suppressed;
	w->suppressed = 0;
	w->until_ns = now + (uint64_t)window_s * 1000000000u;
	return true;
}
