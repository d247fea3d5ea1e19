/* consoled/attach.c - one request line per connection, then it is a viewer's.
 *
 *   accept -> LINE -> ATTACH: the console is there?  -> handed to its viewers
 *                  |            not yet -> WAIT (at most 5 s, only if the domain is)
 *                  -> TAIL: read in the pool -> SEND -> closed
 *
 * Clients are trusted to be users, not to be well: lines, time and numbers are
 * bounded.
 */
#include "consoled/attach.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "consoled/console.h"
#include "consoled/logio.h"
#include "consoled/pool.h"
#include "daemons/log.h"
#include "daemons/sys.h"
#include "proto/con_wire.h"

#define CLIENTS_MAX 256u /* that have not become viewers */
#define LINE_S	    10	 /* to send the request */
#define WAIT_S	    5	 /* for a console, as xenconsole does */

struct client {
	TAILQ_ENTRY(client) link;
	struct attach *a;
	int fd;
	struct event ev, timer;
	char line[CON_LINE_MAX];
	size_t len;
	struct con_req req;
	bool waiting; /* for its console */
	struct job job;
	bool busy;    /* the job is in the pool */
	uint8_t *out; /* owned; TAIL's answer */
	size_t out_len, out_at;
	int result;
};

struct attach {
	struct conset *cs;
	struct pool *pool;
	const char *log_dir;
	int fd;
	struct event *ev;
	struct event pause; /* out of descriptors: accept again later */
	struct attach_ops ops;
	TAILQ_HEAD(, client) clients;
	unsigned n;
	struct log_window told;
};

/* With fd given away (-1) only the memory goes. */
static void client_free(struct client *c)
{
	event_del(&c->ev);
	evtimer_del(&c->timer);
	TAILQ_REMOVE(&c->a->clients, c, link);
	c->a->n--;
	if (c->fd >= 0)
		close(c->fd);
	free(c->out);
	free(c);
}

static void refuse(struct client *c, const char *why)
{
	char buf[128];
	int n = snprintf(buf, sizeof(buf), "ERR %s\n", why);

	(void)sys_write(c->fd, buf, (size_t)n); /* fits any fresh socket's buffer */
	client_free(c);
}

/* ---- ATTACH ---- */

static bool try_attach(struct client *c)
{
	struct console *con = conset_find(c->a->cs, c->req.domid, c->req.console);
	int fd = c->fd;

	if (!con)
		return false;
	if (console_viewers(con)->n >= VIEWERS_MAX) {
		refuse(c, "too many viewers");
		return true;
	}
	c->fd = -1;
	event_del(&c->ev); /* before the viewer's own events use the descriptor */
	(void)viewers_add(console_viewers(con), fd, c->req.mode, c->req.bytes); /* closes it then */
	client_free(c);
	return true;
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	if (c->waiting)
		refuse(c, "the domain has no such console");
	else if (!c->busy)
		client_free(c);
}

static void start_attach(struct client *c)
{
	static const struct timeval wait = { WAIT_S, 0 };

	if (try_attach(c))
		return;
	if (c->a->ops.exists(c->a->ops.arg, c->req.domid) <= 0) {
		refuse(c, "no such domain");
		return;
	}
	c->waiting = true;
	if (evtimer_add(&c->timer, &wait) < 0)
		refuse(c, "out of memory");
}

void attach_look(struct attach *a)
{
	struct client *c, *next;

	if (!a)
		return;
	for (c = TAILQ_FIRST(&a->clients); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->waiting)
			(void)try_attach(c);
	}
}

/* ---- TAIL ---- */

static void tail_run(struct job *j)
{
	struct client *c = (struct client *)((char *)j - offsetof(struct client, job));
	char name[LOG_NAME_MAX];
	uint8_t *bytes;
	int dir;

	log_name(name, c->req.name, strlen(c->req.name), 0, 0);
	dir = sys_open(c->a->log_dir, O_RDONLY | O_DIRECTORY, 0);
	c->result = dir < 0 ? dir : logio_tail(dir, name, c->req.bytes, &bytes);
	if (dir >= 0)
		close(dir);
	if (c->result < 0)
		return;
	c->out = malloc((size_t)c->result + 32);
	if (c->out) {
		c->out_len = (size_t)sprintf((char *)c->out, "OK %d\n", c->result);
		memcpy(c->out + c->out_len, bytes, (size_t)c->result);
		c->out_len += (size_t)c->result;
	} else {
		c->result = -ENOMEM;
	}
	free(bytes);
}

static void on_send(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	ssize_t n = sys_write(fd, c->out + c->out_at, c->out_len - c->out_at);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n > 0)
		c->out_at += (size_t)n;
	if (n <= 0 || c->out_at == c->out_len)
		client_free(c);
}

static void tail_done(struct job *j)
{
	static const struct timeval limit = { 60, 0 };
	struct client *c = (struct client *)((char *)j - offsetof(struct client, job));

	c->busy = false;
	if (c->result < 0) {
		refuse(c, c->result == -ENOENT ? "no log of that name" : strerror(-c->result));
		return;
	}
	event_del(&c->ev);
	(void)event_assign(&c->ev, c->a->cs->base, c->fd, EV_WRITE | EV_PERSIST, on_send, c);
	if (event_add(&c->ev, NULL) < 0 || evtimer_add(&c->timer, &limit) < 0)
		client_free(c);
}

/* ---- the line ---- */

static void handle(struct client *c)
{
	event_del(&c->ev);
	evtimer_del(&c->timer);
	if (con_req_parse(c->line, &c->req) < 0) {
		refuse(c, "not a request");
		return;
	}
	if (c->req.verb == CON_ATTACH) {
		start_attach(c);
		return;
	}
	c->busy = true;
	pool_submit(c->a->pool, LANE_SLOW, &c->job);
}

/* Takes only the line: what follows it is already for the guest. */
static void on_line(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	size_t room = sizeof(c->line) - 1 - c->len;
	ssize_t n = recv(fd, c->line + c->len, room, MSG_PEEK);
	char *nl = n > 0 ? memchr(c->line + c->len, '\n', (size_t)n) : NULL;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(c);
		return;
	}
	if (nl)
		n = nl + 1 - (c->line + c->len);
	(void)!recv(fd, c->line + c->len, (size_t)n, 0); /* these bytes are there */
	c->len += (size_t)n;
	if (nl) {
		*nl = '\0';
		if (strlen(c->line) + 1 != c->len)
			refuse(c, "not a request");
		else
			handle(c);
	} else if (c->len == sizeof(c->line) - 1) {
		refuse(c, "the request is too long");
	}
}

static int client_new(struct attach *a, int fd)
{
	static const struct timeval limit = { LINE_S, 0 };
	struct client *c = a->n < CLIENTS_MAX ? sys_zalloc(sizeof(*c)) : NULL;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->a = a;
	c->fd = fd;
	c->job = (struct job){ .run = tail_run, .done = tail_done };
	(void)event_assign(&c->ev, a->cs->base, fd, EV_READ | EV_PERSIST, on_line, c);
	(void)evtimer_assign(&c->timer, a->cs->base, on_timeout, c);
	TAILQ_INSERT_TAIL(&a->clients, c, link);
	a->n++;
	if (event_add(&c->ev, NULL) < 0 || evtimer_add(&c->timer, &limit) < 0) {
		client_free(c);
		return -ENOMEM;
	}
	return 0;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval pause = { 1, 0 };
	struct attach *a = arg;
	int r = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (r >= 0) {
		r = client_new(a, r);
	} else {
		r = -errno;
		if (r == -EAGAIN || r == -EINTR || r == -ECONNABORTED)
			return;
		event_del(a->ev); /* EMFILE: it would wake us for ever */
		(void)evtimer_add(&a->pause, &pause);
	}
	if (r < 0 && log_window_open(&a->told, 60, NULL))
		(void)log_warn(r, "viewers are turned away");
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
	(void)event_add(((struct attach *)arg)->ev, NULL); /* was added before: has its memory */
}

int attach_new(struct conset *cs, struct pool *pool, const char *log_dir, int fd,
	       const struct attach_ops *ops, struct attach **ret)
{
	struct attach *a = sys_zalloc(sizeof(*a));

	if (!a) {
		close(fd);
		return -ENOMEM;
	}
	a->cs = cs;
	a->pool = pool;
	a->log_dir = log_dir;
	a->fd = fd;
	a->ops = *ops;
	TAILQ_INIT(&a->clients);
	(void)evtimer_assign(&a->pause, cs->base, on_pause, a);
	a->ev = event_new(cs->base, fd, EV_READ | EV_PERSIST, on_accept, a);
	if (!a->ev || event_add(a->ev, NULL) < 0) {
		attach_free(a);
		return -ENOMEM;
	}
	*ret = a;
	return 0;
}

struct attach *attach_free(struct attach *a)
{
	if (!a)
		return NULL;
	while (!TAILQ_EMPTY(&a->clients))
		client_free(TAILQ_FIRST(&a->clients));
	evtimer_del(&a->pause);
	if (a->ev)
		event_free(a->ev);
	close(a->fd);
	free(a);
	return NULL;
}
