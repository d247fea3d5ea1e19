/* consoled/pty.c - pseudo terminals and who has them open.
 *
 * The master's poll state is the truth (POLLHUP: nobody has the slave open);
 * inotify only says when to look, so a lost event is repaired by the next.
 */
#include "consoled/pty.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "daemons/sys.h"

#define PTS_DIR "/dev/pts"

struct pty {
	struct ptys *ps;
	unsigned num;
	int fd;
	char path[32];
	pty_cb *cb;
	void *arg;
};

struct ptys {
	int fd; /* inotify */
	struct event *ev;
	struct pty **by_num; /* owned array of borrowed pointers, n long */
	size_t n;
};

/* What somebody typed who has gone again since (echo x >/dev/pts/1) is to be
 * read still: the end follows it. */
static void look(struct pty *p)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	bool told = poll(&pfd, 1, 0) >= 0;

	p->cb(p->arg, told && (!(pfd.revents & POLLHUP) || (pfd.revents & POLLIN)));
}

static void look_at_all(struct ptys *ps)
{
	for (size_t i = 0; i < ps->n; i++)
		if (ps->by_num[i])
			look(ps->by_num[i]);
}

static void on_inotify(evutil_socket_t fd, short what, void *arg)
{
	union {
		char buf[4096];
		struct inotify_event align;
	} u;
	struct ptys *ps = arg;
	ssize_t n = read(fd, u.buf, sizeof(u.buf)), at = 0;

	while (n > 0 && at < n) {
		const struct inotify_event *e = (const void *)(u.buf + at);
		unsigned long num;
		char *end;

		at += (ssize_t)(sizeof(*e) + e->len);
		if (e->mask & IN_Q_OVERFLOW) {
			look_at_all(ps);
			continue;
		}
		if (!e->len)
			continue;
		num = strtoul(e->name, &end, 10);
		if (!*end && num < ps->n && ps->by_num[num])
			look(ps->by_num[num]);
	}
}

int ptys_new(struct event_base *base, struct ptys **ret)
{
	struct ptys *ps = sys_zalloc(sizeof(*ps));
	int r = 0;

	if (!ps)
		return -ENOMEM;
	ps->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (ps->fd < 0 || inotify_add_watch(ps->fd, PTS_DIR, IN_OPEN | IN_CLOSE) < 0)
		r = -errno;
	if (r == 0) {
		ps->ev = event_new(base, ps->fd, EV_READ | EV_PERSIST, on_inotify, ps);
		if (!ps->ev || event_add(ps->ev, NULL) < 0)
			r = -ENOMEM;
	}
	if (r < 0) {
		ptys_free(ps);
		return r;
	}
	*ret = ps;
	return 0;
}

struct ptys *ptys_free(struct ptys *ps)
{
	if (!ps)
		return NULL;
	if (ps->ev)
		event_free(ps->ev);
	if (ps->fd >= 0)
		close(ps->fd);
	free(ps->by_num);
	free(ps);
	return NULL;
}

static int table_set(struct ptys *ps, unsigned num, struct pty *p)
{
	if (num >= ps->n) {
		size_t n = (num + 64) & ~63u;
		struct pty **v = sys_realloc(ps->by_num, n * sizeof(*v));

		if (!v)
			return -ENOMEM;
		memset(v + ps->n, 0, (n - ps->n) * sizeof(*v));
		ps->by_num = v;
		ps->n = n;
	}
	ps->by_num[num] = p;
	return 0;
}

/* Raw, and opened once so that from now on POLLHUP means "nobody". */
static int make_raw(struct pty *p)
{
	struct termios t;
	int slave, r;

	if (tcgetattr(p->fd, &t) < 0)
		return -errno;
	cfmakeraw(&t);
	if (tcsetattr(p->fd, TCSANOW, &t) < 0)
		return -errno;
	slave = sys_open(p->path, O_RDWR | O_NOCTTY, 0);
	if (slave < 0)
		return slave;
	r = close(slave) < 0 ? -errno : 0;
	return r;
}

int pty_new(struct ptys *ps, pty_cb *cb, void *arg, struct pty **ret)
{
	struct pty *p = sys_zalloc(sizeof(*p));
	int unlocked = 0, num = 0, r;

	if (!p)
		return -ENOMEM;
	p->ps = ps;
	p->cb = cb;
	p->arg = arg;
	p->num = UINT_MAX;
	p->fd = sys_open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
	r = p->fd < 0 ? p->fd : 0;
	if (r == 0 && (ioctl(p->fd, TIOCGPTN, &num) < 0 || ioctl(p->fd, TIOCSPTLCK, &unlocked) < 0))
		r = -errno;
	if (r == 0) {
		snprintf(p->path, sizeof(p->path), PTS_DIR "/%d", num);
		r = make_raw(p);
	}
	if (r == 0)
		r = table_set(ps, (unsigned)num, p);
	if (r < 0) {
		pty_free(p);
		return r;
	}
	p->num = (unsigned)num;
	*ret = p;
	return 0;
}

struct pty *pty_free(struct pty *p)
{
	if (!p)
		return NULL;
	if (p->num != UINT_MAX)
		p->ps->by_num[p->num] = NULL;
	if (p->fd >= 0)
		close(p->fd);
	free(p);
	return NULL;
}

int pty_fd(const struct pty *p)
{
	return p->fd;
}

const char *pty_path(const struct pty *p)
{
	return p->path;
}
