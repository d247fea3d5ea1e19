/* xenstored/sock.c - reading requests from sockets and writing answers.
 *
 * Requests are decoded from one buffer shared by all connections; a connection
 * keeps bytes of its own only while a request is incomplete or has to wait.  A
 * peer that does not read its answers is not read from until it does.
 */
#include "xenstored/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemons/log.h"
#include "daemons/sys.h"
#include "xenstored/ops.h"
#include "xenstored/server.h"

#define READ_SIZE	8192u	     /* per wake-up of one connection */
#define OUT_HOLD	(256u << 10) /* unread answers at which requests are held back */
#define ACCEPT_TURN	64
#define ACCEPT_PAUSE_US 100000

struct sock {
	int fd;
	struct event *ev_read, *ev_write;
	struct event *ev_again; /* handle kept bytes in a turn of its own */
	uint8_t *in;		/* owned; bytes that wait, or NULL */
	size_t in_len;
	bool held; /* not reading: parked, or its output is not read */
};

struct listener {
	struct server *srv;
	int fd;
	struct event *ev, *ev_pause;
};

void sock_close(struct conn *c)
{
	struct sock *s = c->sock;

	conn_fini(c);
	if (s->ev_read)
		event_free(s->ev_read);
	if (s->ev_write)
		event_free(s->ev_write);
	if (s->ev_again)
		event_free(s->ev_again);
	close(s->fd);
	free(s->in);
	free(s);
	free(c);
}

static void hold(struct conn *c, bool on)
{
	if (c->sock->held == on)
		return;
	c->sock->held = on;
	if (on)
		(void)event_del(c->sock->ev_read);
	else if (event_add(c->sock->ev_read, NULL) < 0)
		c->doomed = true;
}

/* Handle whole requests in p; returns the bytes used, or -EBADMSG. */
static ssize_t handle(struct conn *c, const uint8_t *p, size_t n)
{
	size_t at = 0;
	struct xs_msg m;
	int r;

	while (!c->doomed && c->out.len < OUT_HOLD) {
		r = xs_msg_decode(p + at, n - at, &m);
		if (r <= 0)
			return r < 0 ? r : (ssize_t)at;
		if (op_dispatch(c, &m, 0, NULL) == -EAGAIN)
			return (ssize_t)at;
		at += (size_t)r;
	}
	return (ssize_t)at;
}

static int keep(struct sock *s, const uint8_t *p, size_t n)
{
	uint8_t *copy = NULL;

	if (n) {
		copy = sys_zalloc(n);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, p, n);
	}
	free(s->in);
	s->in = copy;
	s->in_len = n;
	return 0;
}

/* What waits comes first, then n new bytes. */
static void feed(struct conn *c, uint8_t *buf, size_t n)
{
	struct server *srv = c->srv;
	struct sock *s = c->sock;
	uint8_t *p = buf;
	ssize_t used;

	if (s->in_len) {
		p = sys_zalloc(s->in_len + n);
		if (!p) {
			sock_close(c);
			return;
		}
		memcpy(p, s->in, s->in_len);
		memcpy(p + s->in_len, buf, n);
		n += s->in_len;
	}
	used = handle(c, p, n);
	if (used < 0 || keep(s, p + used, n - (size_t)used) < 0)
		c->doomed = true;
	if (p != buf)
		free(p);
	if (!c->doomed)
		hold(c, c->parked || c->out.len >= OUT_HOLD);
	if (c->doomed)
		sock_close(c);
	server_flush(srv);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	uint8_t buf[READ_SIZE];
	ssize_t n;

	(void)what;
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n > 0)
		feed(c, buf, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		struct server *srv = c->srv;

		sock_close(c);
		server_flush(srv); /* those that waited for its transactions go on */
	}
	/* c may be gone: nothing below this line */
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	uint8_t none[1];

	(void)fd;
	(void)what;
	feed(arg, none, 0);
}

void sock_resume(struct conn *c)
{
	event_active(c->sock->ev_again, EV_TIMEOUT, 1);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	sock_flush(arg);
}

void sock_flush(struct conn *c)
{
	struct sock *s = c->sock;
	ssize_t n = 0;

	if (c->out.len && !c->doomed) {
		n = send(s->fd, c->out.p + c->out.head, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			outbuf_drop(&c->out, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			c->doomed = true;
	}
	if (!c->doomed && c->out.len && event_add(s->ev_write, NULL) < 0)
		c->doomed = true;
	if (c->doomed) {
		sock_close(c);
		return;
	}
	if (s->held && !c->parked && c->out.len < OUT_HOLD / 2)
		sock_resume(c);
}

int sock_new(struct server *srv, int fd, struct conn **ret)
{
	static const struct who dom0 = { .target = XS_DOMID_NONE, .privileged = true };
	struct conn *c = sys_zalloc(sizeof(*c));
	struct sock *s = sys_zalloc(sizeof(*s));
	int r = c && s ? 0 : -ENOMEM;

	if (r < 0) {
		free(c);
		free(s);
		close(fd);
		return r;
	}
	s->fd = fd;
	c->sock = s;
	c->depth_ok = true;
	r = conn_init(c, srv, &dom0);
	s->ev_read = event_new(srv->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	s->ev_write = event_new(srv->base, fd, EV_WRITE, on_writable, c);
	s->ev_again = event_new(srv->base, -1, 0, on_again, c);
	if (r < 0 || !s->ev_read || !s->ev_write || !s->ev_again ||
	    event_add(s->ev_read, NULL) < 0) {
		sock_close(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

int sock_export(const struct conn *c, const uint8_t **ret_in, size_t *ret_len)
{
	*ret_in = c->sock->in;
	*ret_len = c->sock->in_len;
	return c->sock->fd;
}

int sock_import(struct server *srv, int fd, const uint8_t *in, size_t len, struct conn **ret)
{
	struct conn *c;
	int r = sock_new(srv, fd, &c);

	if (r == 0) {
		r = keep(c->sock, in, len);
		if (r < 0)
			sock_close(c);
		else
			*ret = c;
	}
	return r;
}

/* ---- listening ---- */

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	(void)event_add(l->ev, NULL);
}

static void on_accept(evutil_socket_t lfd, short what, void *arg)
{
	static const struct timeval pause = { .tv_usec = ACCEPT_PAUSE_US };
	struct listener *l = arg;
	struct conn *c;

	(void)what;
	for (int i = 0; i < ACCEPT_TURN; i++) {
		int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			if (sock_new(l->srv, fd, &c) < 0)
				(void)log_warn(-ENOMEM, "a client was turned away");
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The backlog stays readable: a pause instead of a busy loop. */
			(void)log_warn(-errno, "accept; pausing");
			(void)event_del(l->ev);
			(void)event_add(l->ev_pause, &pause);
		}
		return;
	}
}

int listener_new(struct server *srv, int lfd, struct listener **ret)
{
	struct listener *l = sys_zalloc(sizeof(*l));

	if (!l) {
		close(lfd);
		return -ENOMEM;
	}
	l->srv = srv;
	l->fd = lfd;
	l->ev = event_new(srv->base, lfd, EV_READ | EV_PERSIST, on_accept, l);
	l->ev_pause = evtimer_new(srv->base, on_pause_over, l);
	if (!l->ev || !l->ev_pause || event_add(l->ev, NULL) < 0) {
		listener_free(l);
		return -ENOMEM;
	}
	*ret = l;
	return 0;
}

int listener_fd(const struct listener *l)
{
	return l->fd;
}

struct listener *listener_free(struct listener *l)
{
	if (!l)
		return NULL;
	if (l->ev)
		event_free(l->ev);
	if (l->ev_pause)
		event_free(l->ev_pause);
	close(l->fd);
	free(l);
	return NULL;
}
