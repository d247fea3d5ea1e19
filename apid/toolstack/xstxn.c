/* apid/toolstack/xstxn.c - transactions with retry. */
#include "apid/toolstack/xstxn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int xstxn_run(struct xs_sync *xs, xstxn_body *body, void *arg)
{
	int r = -EAGAIN;

	for (unsigned i = 0; r == -EAGAIN && i < XSTXN_TRIES; i++) {
		struct timespec pause = { 0, (long)(i < 20 ? i : 20) * 500000 };
		uint32_t tx;

		if (i)
			nanosleep(&pause, NULL);
		r = xs_sync_txn_start(xs, &tx);
		if (r < 0)
			return r;
		r = body(xs, tx, arg);
		if (r == 0)
			r = xs_sync_txn_end(xs, tx, true);
		else
			(void)xs_sync_txn_end(xs, tx, false); /* the body's error is the news */
	}
	return r;
}

int xs_put(struct xs_sync *xs, uint32_t tx, const char *path, const char *val, const char *perms)
{
	char buf[64], *save = NULL;
	const char *list[4];
	size_t n = 0;
	int r = xs_sync_write(xs, tx, path, val);

	if (r < 0 || !perms)
		return r;
	snprintf(buf, sizeof(buf), "%s", perms);
	for (char *s = strtok_r(buf, ",", &save); s && n < 4; s = strtok_r(NULL, ",", &save))
		list[n++] = s;
	return xs_sync_set_perms(xs, tx, path, list, n);
}

int xs_putf(struct xs_sync *xs, uint32_t tx, const char *perms, const char *val, const char *fmt,
	    ...)
{
	char path[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return n < (int)sizeof(path) ? xs_put(xs, tx, path, val, perms) : -ENAMETOOLONG;
}

int xs_gone(struct xs_sync *xs, uint32_t tx, const char *path)
{
	int r = xs_sync_rm(xs, tx, path);

	return r == -ENOENT ? 0 : r;
}

int xs_gone_if_empty(struct xs_sync *xs, uint32_t tx, const char *path)
{
	char *names = NULL;
	size_t len = 0;
	int r = xs_sync_directory(xs, tx, path, &names, &len);

	free(names);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return len == 0 ? xs_gone(xs, tx, path) : 0;
}

bool xs_is_down(int r)
{
	return r == -ECONNRESET || r == -ECONNREFUSED || r == -EPIPE || r == -ENOTCONN ||
	       r == -ECONNABORTED;
}
