/* daemons/xs_client.c - the asynchronous half of the XenStore client.
 *
 *   DOWN --timer--> connect() --> UP --EOF, error, protocol--> DOWN
 *
 * A unix connect() either works at once or fails, so there is no state between.
 * Going up queues WATCH for every watch and then tells the user; going down
 * answers everything pending, then tells the user, then arms the timer.
 */
#include "daemons/xs_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "daemons/listen.h"
#include "daemons/paths.h"
#include "daemons/sys.h"
#include "daemons/xs_txmap.h"
#include "proto/xs_wire.h"

#define XSC_BACKOFF_MIN_MS 20u
#define XSC_BACKOFF_MAX_MS 2000u
#define XSC_IN_SIZE	   (4 * (XS_HDR_SIZE + XS_PAYLOAD_MAX))

struct xs_pending {
	STAILQ_ENTRY(xs_pending) link;
	uint32_t req_id, type, tx; /* tx: our id */
	xs_reply_cb *cb;	   /* may be NULL */
	void *arg;
};

struct xs_watch {
	struct xs_client *c;
	size_t slot;
	uint32_t gen;
	xs_watch_cb *cb;
	void *arg;
	char path[];
};

struct xs_client {
	struct event_base *base; /* borrowed */
	char path[108];
	xs_state_cb *state;
	void *arg;
	int fd;	   /* -1: down */
	bool dead; /* a handler found the connection unusable */
	struct event *ev_read, *ev_write, *ev_retry;
	unsigned backoff_ms;
	struct evbuffer *out;
	uint8_t in[XSC_IN_SIZE];
	size_t in_used;
	uint32_t req_id;
	struct xs_txmap tx;
	STAILQ_HEAD(, xs_pending) pending;
	struct xs_slot {
		struct xs_watch *w; /* NULL: free */
		uint32_t gen;	    /* so that a late event of a former user is not ours */
	} * slots;
	size_t nslots;
};

static void client_down(struct xs_client *c, int why);

bool xs_client_up(const struct xs_client *c)
{
	return c->fd >= 0 && !c->dead;
}

static int queue_request(struct xs_client *c, uint32_t type, uint32_t tx_ours, uint32_t tx,
			 const void *body, size_t len, xs_reply_cb *cb, void *arg)
{
	uint8_t hdr[XS_HDR_SIZE];
	struct xs_pending *p;

	p = sys_zalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct xs_pending){
		.req_id = ++c->req_id, .type = type, .tx = tx_ours, .cb = cb, .arg = arg
	};
	xs_hdr_encode(hdr, type, p->req_id, tx, (uint32_t)len);
	if (evbuffer_expand(c->out, sizeof(hdr) + len) < 0) {
		free(p);
		return -ENOMEM;
	}
	(void)evbuffer_add(c->out, hdr, sizeof(hdr)); /* room was made above */
	(void)evbuffer_add(c->out, body, len);
	STAILQ_INSERT_TAIL(&c->pending, p, link);
	(void)event_add(c->ev_write, NULL);
	return 0;
}

int xs_request(struct xs_client *c, uint32_t type, uint32_t tx_id, const void *body, size_t len,
	       xs_reply_cb *cb, void *arg)
{
	uint32_t tx;
	int r;

	if (len > XS_PAYLOAD_MAX)
		return -E2BIG;
	r = xs_txmap_find(&c->tx, tx_id, &tx);
	if (r < 0)
		return r;
	if (!xs_client_up(c))
		return -ENOTCONN;
	return queue_request(c, type, tx_id, tx, body, len, cb, arg);
}

static int request_path(struct xs_client *c, uint32_t type, uint32_t tx, const char *path,
			const char *more, size_t n, xs_reply_cb *cb, void *arg)
{
	char body[XS_PAYLOAD_MAX];
	size_t at = strlen(path) + 1;

	if (at > sizeof(body) || n > sizeof(body) - at)
		return -E2BIG;
	memcpy(body, path, at);
	if (n)
		memcpy(body + at, more, n);
	return xs_request(c, type, tx, body, at + n, cb, arg);
}

int xs_read(struct xs_client *c, uint32_t tx, const char *path, xs_reply_cb *cb, void *arg)
{
	return request_path(c, XS_READ, tx, path, NULL, 0, cb, arg);
}

int xs_write(struct xs_client *c, uint32_t tx, const char *path, const char *val, xs_reply_cb *cb,
	     void *arg)
{
	return request_path(c, XS_WRITE, tx, path, val, strlen(val), cb, arg);
}

int xs_rm(struct xs_client *c, uint32_t tx, const char *path, xs_reply_cb *cb, void *arg)
{
	return request_path(c, XS_RM, tx, path, NULL, 0, cb, arg);
}

/* ---- watches ---- */

/* Tokens are "slot.generation". */
static int send_watch(struct xs_watch *w, uint32_t type)
{
	char tok[48];
	int n = snprintf(tok, sizeof(tok), "%zx.%x", w->slot, w->gen);

	return request_path(w->c, type, 0, w->path, tok, (size_t)n + 1, NULL, NULL);
}

static int find_slot(struct xs_client *c, size_t *ret)
{
	struct xs_slot *s;
	size_t i, n = c->nslots ? c->nslots * 2 : 16;

	for (i = 0; i < c->nslots; i++)
		if (!c->slots[i].w) {
			*ret = i;
			return 0;
		}
	s = sys_realloc(c->slots, n * sizeof(*s));
	if (!s)
		return -ENOMEM;
	memset(s + c->nslots, 0, (n - c->nslots) * sizeof(*s));
	*ret = c->nslots;
	c->slots = s;
	c->nslots = n;
	return 0;
}

int xs_watch_new(struct xs_client *c, const char *path, xs_watch_cb *cb, void *arg,
		 struct xs_watch **ret)
{
	size_t len = strlen(path), slot = 0;
	struct xs_watch *w;
	int r;

	if (len == 0 || len > XS_ABS_PATH_MAX)
		return -EINVAL;
	r = find_slot(c, &slot);
	if (r < 0)
		return r;
	w = sys_zalloc(sizeof(*w) + len + 1);
	if (!w)
		return -ENOMEM;
	*w = (struct xs_watch){
		.c = c, .slot = slot, .gen = ++c->slots[slot].gen, .cb = cb, .arg = arg
	};
	memcpy(w->path, path, len + 1);
	c->slots[slot].w = w;
	r = xs_client_up(c) ? send_watch(w, XS_WATCH) : 0;
	if (r < 0) {
		c->slots[slot].w = NULL;
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct xs_watch *xs_watch_free(struct xs_watch *w)
{
	if (!w)
		return NULL;
	if (xs_client_up(w->c))
		(void)send_watch(w, XS_UNWATCH); /* else late events find an empty slot */
	w->c->slots[w->slot].w = NULL;
	free(w);
	return NULL;
}

static void deliver_event(struct xs_client *c, const struct xs_msg *m)
{
	char body[XS_PAYLOAD_MAX + 1], *tok, *end;
	struct xs_watch *w;
	unsigned long slot, gen;
	size_t n;

	memcpy(body, m->body, m->len);
	body[m->len] = '\0';
	n = strlen(body) + 1;
	if (n >= m->len)
		return; /* no token: not something we asked for */
	tok = body + n;
	slot = strtoul(tok, &end, 16);
	if (*end != '.')
		return;
	gen = strtoul(end + 1, NULL, 16);
	w = slot < c->nslots ? c->slots[slot].w : NULL;
	if (w && w->gen == gen)
		w->cb(w->arg, body); /* may free w */
}

/* ---- the connection ---- */

static void deliver_reply(struct xs_client *c, const struct xs_msg *m)
{
	struct xs_pending *p = STAILQ_FIRST(&c->pending);
	char body[XS_PAYLOAD_MAX + 1];
	size_t len = m->len;
	uint32_t ours;
	int r = 0;

	if (!p || p->req_id != m->req_id || (m->type != p->type && m->type != XS_ERROR)) {
		c->dead = true; /* out of step: nothing it says can be matched */
		return;
	}
	STAILQ_REMOVE_HEAD(&c->pending, link);
	memcpy(body, m->body, len);
	body[len] = '\0';
	if (m->type == XS_ERROR)
		r = -xs_errno_from_name(body);
	else if (p->type == XS_TRANSACTION_START) {
		r = xs_txmap_add(&c->tx, (uint32_t)strtoul(body, NULL, 10), &ours);
		if (r == 0)
			len = (size_t)snprintf(body, sizeof(body), "%u", ours) + 1;
	}
	if (p->type == XS_TRANSACTION_END)
		xs_txmap_del(&c->tx, p->tx);
	if (p->cb)
		p->cb(p->arg, r, (const uint8_t *)body, r < 0 ? 0 : len);
	free(p);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct xs_client *c = arg;
	size_t at = 0;
	struct xs_msg m;
	ssize_t n;
	int r = 0;

	(void)what;
	n = recv(fd, c->in + c->in_used, sizeof(c->in) - c->in_used, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_down(c, -ECONNRESET);
		return;
	}
	c->in_used += (size_t)n;
	while (!c->dead && (r = xs_msg_decode(c->in + at, c->in_used - at, &m)) > 0) {
		at += (size_t)r;
		if (m.type == XS_WATCH_EVENT)
			deliver_event(c, &m);
		else
			deliver_reply(c, &m);
	}
	memmove(c->in, c->in + at, c->in_used - at);
	c->in_used -= at;
	if (c->dead || r < 0)
		client_down(c, -ECONNRESET);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct xs_client *c = arg;
	int n;

	(void)what;
	n = evbuffer_write(c->out, fd);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		client_down(c, -ECONNRESET);
	else if (evbuffer_get_length(c->out))
		(void)event_add(c->ev_write, NULL);
}

static void arm_retry(struct xs_client *c, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	(void)event_add(c->ev_retry, &tv);
}

static int client_connect(struct xs_client *c)
{
	int fd = connect_unix(c->path, SOCK_STREAM), r;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	c->ev_read = event_new(c->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->ev_write = event_new(c->base, fd, EV_WRITE, on_writable, c);
	if (!c->ev_read || !c->ev_write || event_add(c->ev_read, NULL) < 0) {
		if (c->ev_read)
			event_free(c->ev_read);
		if (c->ev_write)
			event_free(c->ev_write);
		c->ev_read = c->ev_write = NULL;
		close(fd);
		return -ENOMEM;
	}
	c->fd = fd;
	c->dead = false;
	c->in_used = 0;
	return 0;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct xs_client *c = arg;
	int r;

	(void)fd;
	(void)what;
	r = client_connect(c);
	if (r < 0) {
		c->backoff_ms = c->backoff_ms * 2 < XSC_BACKOFF_MAX_MS ? c->backoff_ms * 2
								       : XSC_BACKOFF_MAX_MS;
		arm_retry(c, c->backoff_ms);
		return;
	}
	c->backoff_ms = XSC_BACKOFF_MIN_MS;
	for (size_t i = 0; i < c->nslots && r == 0; i++)
		if (c->slots[i].w)
			r = send_watch(c->slots[i].w, XS_WATCH);
	if (r < 0) {
		client_down(c, r); /* no memory: a watch would be missing */
		return;
	}
	if (c->state)
		c->state(c->arg, true);
}

static void fail_pending(struct xs_client *c, int why)
{
	struct xs_pending *p;

	while ((p = STAILQ_FIRST(&c->pending))) {
		STAILQ_REMOVE_HEAD(&c->pending, link);
		if (p->cb)
			p->cb(p->arg, why, (const uint8_t *)"", 0);
		free(p);
	}
}

static void client_close(struct xs_client *c)
{
	if (c->fd < 0)
		return;
	event_free(c->ev_read);
	event_free(c->ev_write);
	c->ev_read = c->ev_write = NULL;
	close(c->fd);
	c->fd = -1;
	(void)evbuffer_drain(c->out, evbuffer_get_length(c->out));
	xs_txmap_clear(&c->tx);
}

static void client_down(struct xs_client *c, int why)
{
	if (c->fd < 0)
		return;
	client_close(c); /* first, so that callbacks see it down and can't queue */
	arm_retry(c, c->backoff_ms);
	fail_pending(c, why);
	if (c->state)
		c->state(c->arg, false);
}

int xs_client_new(struct event_base *base, const char *path, xs_state_cb *state, void *arg,
		  struct xs_client **ret)
{
	struct xs_client *c;

	if (path && strlen(path) >= sizeof(c->path))
		return -ENAMETOOLONG;
	c = sys_zalloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->base = base;
	c->state = state;
	c->arg = arg;
	c->fd = -1;
	c->backoff_ms = XSC_BACKOFF_MIN_MS;
	STAILQ_INIT(&c->pending);
	if (path)
		strcpy(c->path, path);
	else if (!path_xenstored_sock(c->path)) {
		free(c);
		return -ENAMETOOLONG;
	}
	c->out = evbuffer_new();
	c->ev_retry = evtimer_new(base, on_retry, c);
	if (!c->out || !c->ev_retry) {
		xs_client_free(c);
		return -ENOMEM;
	}
	arm_retry(c, 0);
	*ret = c;
	return 0;
}

struct xs_client *xs_client_free(struct xs_client *c)
{
	if (!c)
		return NULL;
	if (c->fd >= 0)
		client_close(c);
	if (c->ev_retry)
		event_free(c->ev_retry);
	c->ev_retry = NULL;
	fail_pending(c, -ECANCELED);
	for (size_t i = 0; i < c->nslots; i++)
		free(c->slots[i].w);
	free(c->slots);
	if (c->out)
		evbuffer_free(c->out);
	free(c);
	return NULL;
}
