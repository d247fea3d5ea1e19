/* apid/conlog.c - the end of a guest's console log: consoled is asked first
 * (it knows rotated files and what is not yet written), the file is the
 * fallback while consoled is away. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "apid/call.h"
#include "apid/conlink.h"
#include "daemons/listen.h"
#include "daemons/paths.h"
#include "daemons/sys.h"

#define CONSOLED_TIMEOUT_S 5

int conlink_open(const struct con_req *q, char *ret_line, size_t linelen)
{
	struct timeval tv = { .tv_sec = CONSOLED_TIMEOUT_S };
	char path[108], line[CON_LINE_MAX];
	size_t n = 0;
	int fd, r;

	fd = path_consoled_sock(path) ? connect_unix(path, SOCK_STREAM) : -ENAMETOOLONG;
	if (fd < 0)
		return fd;
	r = con_req_format(q, line, sizeof(line));
	if (r > 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
		      send(fd, line, (size_t)r, MSG_NOSIGNAL) != r))
		r = -EPIPE;
	/* Byte by byte: what follows the line belongs to the console. */
	while (r > 0 && n + 1 < linelen) {
		ssize_t k = recv(fd, ret_line + n, 1, 0);

		if (k <= 0) {
			r = k < 0 && errno == EAGAIN ? -ETIMEDOUT : -ECONNRESET;
		} else if (ret_line[n] == '\n') {
			ret_line[n] = '\0';
			return fd;
		} else {
			n++;
		}
	}
	close(fd);
	return r < 0 ? r : -EPROTO;
}

/* A file name like consoled's, or -EINVAL for a name it would have escaped. */
static int log_path(const char *name, char *buf, size_t n)
{
	if (strchr(name, '/') ||
	    snprintf(buf, n, "%s/guest-%s.log", path_console_log(), name) >= (int)n)
		return -EINVAL;
	return 0;
}

static int from_file(const char *name, size_t bytes, struct jbuf *raw)
{
	char path[4096], buf[16384];
	struct stat st;
	off_t at;
	ssize_t k;
	int fd, r = log_path(name, path, sizeof(path));

	if (r < 0)
		return r;
	fd = sys_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	r = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ? -EINVAL : 0;
	at = r == 0 && st.st_size > (off_t)bytes ? st.st_size - (off_t)bytes : 0;
	while (r == 0 && bytes) {
		k = pread(fd, buf, bytes < sizeof(buf) ? bytes : sizeof(buf), at);
		if (k <= 0)
			break;
		jb_put(raw, buf, (size_t)k);
		at += k;
		bytes -= (size_t)k;
	}
	close(fd);
	return r;
}

static int from_consoled(const char *name, size_t bytes, struct jbuf *raw)
{
	struct con_req q = { .verb = CON_TAIL, .bytes = (uint32_t)bytes };
	char line[CON_LINE_MAX], buf[16384];
	unsigned long left;
	int fd, r = 0;

	snprintf(q.name, sizeof(q.name), "%s", name);
	fd = conlink_open(&q, line, sizeof(line));
	if (fd < 0)
		return fd;
	if (sscanf(line, "OK %lu", &left) != 1 || left > bytes)
		r = -ENOENT;
	while (r == 0 && left) {
		ssize_t k = recv(fd, buf, left < sizeof(buf) ? left : sizeof(buf), 0);

		if (k <= 0)
			r = -ECONNRESET;
		else
			jb_put(raw, buf, (size_t)k);
		left -= k > 0 ? (unsigned long)k : 0;
	}
	close(fd);
	return r;
}

static void last_lines(struct jbuf *raw, int64_t lines)
{
	size_t at = raw->n;

	if (at && raw->p[at - 1] == '\n')
		at--;
	while (at && lines) {
		at--;
		if (raw->p[at] == '\n' && --lines == 0)
			at++;
		if (!lines)
			break;
	}
	memmove(raw->p, raw->p + at, raw->n - at);
	raw->n -= at;
	raw->p[raw->n] = '\0';
}

int conlog_read(const char *name, size_t bytes, int64_t lines, struct jbuf *raw, struct problem *p)
{
	int r = from_consoled(name, bytes, raw);

	if (r < 0) {
		jb_reset(raw);
		r = from_file(name, bytes, raw);
	}
	if (r == -ENOENT)
		r = 0; /* a guest that never wrote a line */
	if (r < 0)
		return problem_set(p, PROB_CONSOLE_DOWN, "the console log can't be read: %s",
				   strerror(-r));
	if (raw->oom)
		return problem_errno(p, -ENOMEM, "console log");
	if (lines && raw->n)
		last_lines(raw, lines);
	return 0;
}
