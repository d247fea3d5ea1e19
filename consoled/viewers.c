/* consoled/viewers.c - non-blocking descriptors against one scrollback. */
#include "consoled/viewers.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consoled/ring.h"
#include "daemons/clock.h"
#include "daemons/sys.h"

#define TURN_BYTES 65536u /* written to one viewer per wake-up */
#define LINGER_S   5
#define PATIENT_NS 1000000000u

struct viewer {
	TAILQ_ENTRY(viewer) link;
	struct viewers *vs;
	int fd;
	struct event rd, wr;
	uint64_t pos;
	uint64_t moved_ns; /* last time it took output */
	char note[64];	   /* a line of ours, sent before more output */
	uint8_t note_len, note_at;
	bool pty, open; /* open: for a PTY, somebody has it open; sockets always */
};

/* A terminal that nobody has open waits for nothing. */
static void check_empty(struct viewers *vs)
{
	static const struct timeval now = { 0, 0 };
	const struct viewer *v;

	if (!vs->ended)
		return;
	TAILQ_FOREACH(v, &vs->list, link)
	if (v->open)
		return;
	(void)evtimer_add(&vs->linger, &now);
}

static void viewer_free(struct viewer *v)
{
	struct viewers *vs = v->vs;

	event_del(&v->rd);
	event_del(&v->wr);
	TAILQ_REMOVE(&vs->list, v, link);
	if (!v->pty) {
		close(v->fd);
		vs->n--;
	}
	if (vs->pen == v) {
		vs->pen = NULL;
		vs->ops->moved(vs->arg);
	}
	free(v);
	check_empty(vs);
}

/* Gone for good: a socket is freed, a PTY waits for who opens it next. */
static void viewer_lost(struct viewer *v)
{
	if (v->pty)
		viewer_pty_open(v, false);
	else
		viewer_free(v);
}

/* ---- output ---- */

static void note_missed(struct viewer *v)
{
	uint64_t start = scroll_start(v->vs->scroll);

	if (v->pos >= start)
		return;
	if (!v->pty) {
		v->note_len =
			(uint8_t)snprintf(v->note, sizeof(v->note), "\r\n[%llu bytes skipped]\r\n",
					  (unsigned long long)(start - v->pos));
		v->note_at = 0;
	}
	v->pos = start;
}

/* 1: all seen; 0: more later; negative errno: it is gone. */
static int viewer_push(struct viewer *v)
{
	size_t budget = TURN_BYTES;

	while (budget) {
		const uint8_t *p;
		ssize_t r;
		size_t n;

		if (v->note_at == v->note_len)
			note_missed(v);
		if (v->note_at < v->note_len) {
			p = (const uint8_t *)v->note + v->note_at;
			n = (size_t)(v->note_len - v->note_at);
		} else {
			n = scroll_span(v->vs->scroll, v->pos, &p);
		}
		if (!n)
			return 1;
		r = sys_write(v->fd, p, n < budget ? n : budget);
		if (r == -EAGAIN || r == -EINTR)
			return 0;
		if (r <= 0)
			return r < 0 ? (int)r : -EPIPE;
		if (v->note_at < v->note_len)
			v->note_at += (uint8_t)r;
		else
			v->pos += (uint64_t)r;
		budget -= (size_t)r < budget ? (size_t)r : budget;
		v->moved_ns = clock_mono_ns();
	}
	return 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct viewer *v = arg;
	struct viewers *vs = v->vs;
	int r;

	if (!v->open)
		return;
	r = viewer_push(v);
	if (r < 0 || (r == 1 && vs->ended && !v->pty)) {
		viewer_lost(v);
		return;
	}
	if (r == 0 && event_add(&v->wr, NULL) < 0) {
		viewer_lost(v);
		return;
	}
	if (vs->pen == v)
		vs->ops->moved(vs->arg);
}

void viewers_wake(struct viewers *vs)
{
	struct viewer *v, *next;

	for (v = TAILQ_FIRST(&vs->list); v; v = next) {
		next = TAILQ_NEXT(v, link);
		if (v->open && !event_pending(&v->wr, EV_WRITE, NULL))
			on_writable(v->fd, EV_WRITE, v);
	}
}

bool viewers_lag(struct viewers *vs)
{
	const struct viewer *v = vs->pen;

	return v && vs->scroll->end - v->pos > vs->scroll->max / 2 &&
	       clock_mono_ns() - v->moved_ns < PATIENT_NS;
}

/* ---- input ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct viewer *v = arg;
	struct viewers *vs = v->vs;
	uint8_t buf[RING_IN_SIZE];
	size_t want = sizeof(buf);
	ssize_t n;

	if (v->pty && !vs->pen)
		vs->pen = v;
	if (vs->pen == v) {
		int room = vs->ops->room(vs->arg);

		if (room == 0) {
			event_del(&v->rd); /* viewers_resume() puts it back */
			return;
		}
		if (room > 0 && (size_t)room < want)
			want = (size_t)room;
	}
	n = read(fd, buf, want);
	if (n > 0) {
		if (vs->pen == v)
			vs->ops->input(vs->arg, buf, (size_t)n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		viewer_lost(v);
	}
	/* v may be gone */
}

void viewers_resume(struct viewers *vs)
{
	struct viewer *v = vs->pen;

	if (v && !event_pending(&v->rd, EV_READ, NULL) && event_add(&v->rd, NULL) < 0)
		viewer_lost(v);
}

/* ---- coming and going ---- */

static void on_linger(evutil_socket_t fd, short what, void *arg)
{
	struct viewers *vs = arg;

	viewers_drop(vs);
	vs->ops->empty(vs->arg);
	/* vs is gone */
}

void viewers_init(struct viewers *vs, struct event_base *base, const struct scroll *scroll,
		  const struct viewers_ops *ops, void *arg)
{
	*vs = (struct viewers){ .base = base, .scroll = scroll, .ops = ops, .arg = arg };
	TAILQ_INIT(&vs->list);
	(void)evtimer_assign(&vs->linger, base, on_linger, vs);
}

static struct viewer *viewer_new(struct viewers *vs, int fd)
{
	struct viewer *v = sys_zalloc(sizeof(*v));

	if (!v)
		return NULL;
	v->vs = vs;
	v->fd = fd;
	v->pos = vs->scroll->end;
	v->moved_ns = clock_mono_ns();
	(void)event_assign(&v->rd, vs->base, fd, EV_READ | EV_PERSIST, on_readable, v);
	(void)event_assign(&v->wr, vs->base, fd, EV_WRITE, on_writable, v);
	TAILQ_INSERT_TAIL(&vs->list, v, link);
	return v;
}

static void go_back(struct viewer *v, size_t bytes)
{
	const struct scroll *s = v->vs->scroll;
	uint64_t kept = s->end - scroll_start(s);

	v->pos = s->end - (bytes < kept ? bytes : kept);
}

int viewers_add(struct viewers *vs, int fd, enum con_mode mode, size_t scrollback)
{
	struct viewer *v = vs->n < VIEWERS_MAX && !vs->ended ? viewer_new(vs, fd) : NULL;
	bool pen;

	if (!v) {
		close(fd);
		return vs->n < VIEWERS_MAX ? -ENOMEM : -EMFILE;
	}
	vs->n++;
	if (event_add(&v->rd, NULL) < 0) {
		viewer_free(v);
		return -ENOMEM;
	}
	v->open = true;
	go_back(v, scrollback);
	pen = mode == CON_FORCE || (mode == CON_RW && !vs->pen);
	if (pen && vs->pen)
		viewers_resume(vs); /* what its holder types is read and dropped from now on */
	if (pen)
		vs->pen = v;
	v->note_len = (uint8_t)snprintf(v->note, sizeof(v->note), "OK %s\n", pen ? "rw" : "ro");
	on_writable(fd, EV_WRITE, v);
	return 0;
}

int viewers_add_pty(struct viewers *vs, int fd, struct viewer **ret)
{
	struct viewer *v = viewer_new(vs, fd);

	if (!v)
		return -ENOMEM;
	v->pty = true;
	v->pos = scroll_start(vs->scroll);
	*ret = v;
	return 0;
}

/* While nobody has it open the master only ever says "hung up", so it is not
 * polled; who opens it sees what nobody has seen yet. */
void viewer_pty_open(struct viewer *v, bool open)
{
	struct viewers *vs = v->vs;

	if (open == v->open || (open && event_add(&v->rd, NULL) < 0))
		return;
	v->open = open;
	if (open) {
		on_writable(v->fd, EV_WRITE, v);
		return;
	}
	event_del(&v->rd);
	event_del(&v->wr);
	if (vs->pen == v) {
		vs->pen = NULL;
		vs->ops->moved(vs->arg);
	}
	check_empty(vs);
}

void viewers_end(struct viewers *vs)
{
	static const struct timeval linger = { LINGER_S, 0 };

	vs->ended = true;
	(void)evtimer_add(&vs->linger, &linger);
	viewers_wake(vs);
	check_empty(vs);
}

void viewers_drop(struct viewers *vs)
{
	while (!TAILQ_EMPTY(&vs->list)) {
		struct viewer *v = TAILQ_FIRST(&vs->list);

		vs->pen = NULL;
		viewer_free(v);
	}
	evtimer_del(&vs->linger);
}
