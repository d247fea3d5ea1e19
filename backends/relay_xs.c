/* backends/relay_xs.c - XenStore for one guest's backend.
 *
 * Requests are taken apart, judged by the table below and passed on whole, over
 * a connection to xenstored that is this backend connection's own: watches and
 * transactions of others are out of its reach by xenstored's own rules, and
 * transactions are checked here too.
 *
 * Answers come in the order of the requests, and a refusal has to keep its
 * place among them:
 *
 *   backend asks   1 READ   2 WRITE(refused)   3 READ
 *   pending        1        2!                 3          (oldest first)
 *   xenstored says 1   ->  1 passes, and 2!'s error goes out right behind it
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/relay.h"
#include "daemons/listen.h"
#include "daemons/sys.h"
#include "proto/xs_wire.h"

#define SORT_XS	    2u
#define PENDING_MAX 64u
#define TXNS_MAX    8u
#define WATCHES_MAX 1024u
#define TOKEN_MAX   128u
#define UP_QUEUE    (64u << 10)	 /* more is not read from the backend before this is gone */
#define DOWN_QUEUE  (512u << 10) /* a backend that leaves more unread is cut off */
#define MSG_SIZE    (XS_HDR_SIZE + XS_PAYLOAD_MAX)

struct pending {
	uint32_t type, req_id;
	int err; /* positive: answered here, in its turn */
};

struct side {
	int fd;
	struct event *rd, *wr;
	struct evbuffer *out;
	uint8_t in[MSG_SIZE];
	size_t used;
};

struct relay_xs {
	struct relay base;
	struct side down, up; /* the backend, xenstored */
	struct pending pending[PENDING_MAX];
	unsigned first, count;
	uint32_t txn[TXNS_MAX]; /* open ones; 0: free */
	unsigned txns_wanted;	/* started, not answered yet */
	unsigned watches;
	bool held; /* the backend is not read from for now */
};

/* ---- what may pass ---- */

enum need { READS, WRITES, STARTS, ENDS };
struct parts { /* of a body; none includes its NUL */
	const char *path, *more;
	size_t path_n, more_n;
};

static const struct rule {
	uint32_t type;
	enum need need;
	unsigned strings; /* in the body, each with its NUL; 0: a path, a NUL, then anything */
} rules[] = {
	{ XS_READ, READS, 1 },
	{ XS_DIRECTORY, READS, 1 },
	{ XS_DIRECTORY_PART, READS, 2 },
	{ XS_WATCH, READS, 2 },
	{ XS_UNWATCH, READS, 2 },
	{ XS_WRITE, WRITES, 0 },
	{ XS_RM, WRITES, 1 },
	{ XS_TRANSACTION_START, STARTS, 1 },
	{ XS_TRANSACTION_END, ENDS, 1 },
};

static const struct rule *rule_of(uint32_t type)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].type == type)
			return &rules[i];
	return NULL;
}

static bool split(const struct rule *k, const struct xs_msg *m, struct parts *ret)
{
	const char *body = (const char *)m->body, *nul = memchr(body, 0, m->len), *end;
	struct parts p = { .path = body };

	if (!nul)
		return false;
	p.path_n = (size_t)(nul - body);
	p.more = nul + 1;
	p.more_n = m->len - p.path_n - 1;
	if (k->strings == 1 && p.more_n)
		return false;
	if (k->strings == 2) {
		end = memchr(p.more, 0, p.more_n);
		if (!end || (size_t)(end - p.more) + 1 != p.more_n || p.more_n > TOKEN_MAX)
			return false;
		p.more_n--;
	}
	*ret = p;
	return true;
}

static uint32_t *find_txn(struct relay_xs *r, uint32_t id)
{
	for (unsigned i = 0; i < TXNS_MAX; i++)
		if (r->txn[i] == id)
			return &r->txn[i];
	return NULL;
}

static unsigned txns_open(const struct relay_xs *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TXNS_MAX; i++)
		n += r->txn[i] != 0;
	return n;
}

/* 0: it may pass; else the positive errno of the answer. */
static int judge(struct relay_xs *r, const struct xs_msg *m)
{
	const struct relay_host *h = r->base.host;
	const struct rule *k = rule_of(m->type);
	struct parts p;

	if (!k)
		return EPERM;
	if (!split(k, m, &p))
		return EINVAL;
	if (m->tx_id && !find_txn(r, m->tx_id))
		return ENOENT;
	switch (k->need) {
	case READS:
		if (m->type == XS_WATCH && r->watches >= WATCHES_MAX)
			return ENOSPC;
		return relay_may_read(h, p.path, p.path_n) ? 0 : EACCES;
	case WRITES: return relay_may_write(h, p.path, p.path_n) ? 0 : EACCES;
	case STARTS:
		if (m->tx_id || p.path_n)
			return EINVAL;
		return txns_open(r) + r->txns_wanted < TXNS_MAX ? 0 : ENOSPC;
	case ENDS:
		if (!m->tx_id)
			return ENOENT;
		return p.path_n == 1 && (p.path[0] == 'T' || p.path[0] == 'F') ? 0 : EINVAL;
	}
	return EPERM;
}

/* ---- both ways ---- */

static void side_fini(struct side *s)
{
	if (s->rd)
		event_free(s->rd);
	if (s->wr)
		event_free(s->wr);
	if (s->out)
		evbuffer_free(s->out);
	if (s->fd >= 0)
		close(s->fd);
}

static void xs_free(struct relay *base)
{
	struct relay_xs *r = (struct relay_xs *)base;

	relay_unlink(base);
	side_fini(&r->down);
	side_fini(&r->up);
	free(r);
}

static int put(struct side *to, const void *data, size_t n)
{
	if (evbuffer_add(to->out, data, n) < 0 || event_add(to->wr, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static int answer_error(struct relay_xs *r, const struct pending *p)
{
	const char *name = xs_errno_name(p->err);
	uint8_t hdr[XS_HDR_SIZE];
	int e;

	xs_hdr_encode(hdr, XS_ERROR, p->req_id, 0, (uint32_t)strlen(name) + 1);
	e = put(&r->down, hdr, sizeof(hdr));
	return e < 0 ? e : put(&r->down, name, strlen(name) + 1);
}

/* Refusals whose turn has come. */
static int answer_refused(struct relay_xs *r)
{
	int e = 0;

	while (e == 0 && r->count && r->pending[r->first].err) {
		e = answer_error(r, &r->pending[r->first]);
		r->first = (r->first + 1) % PENDING_MAX;
		r->count--;
	}
	return e;
}

static bool is_full(const struct relay_xs *r)
{
	return r->count == PENDING_MAX || evbuffer_get_length(r->up.out) > UP_QUEUE;
}

static int take_request(struct relay_xs *r, const struct xs_msg *m)
{
	const struct relay_host *h = r->base.host;
	int err = judge(r, m);
	char what[160];

	r->pending[(r->first + r->count++) % PENDING_MAX] =
		(struct pending){ m->type, m->req_id, err };
	if (err) {
		snprintf(what, sizeof(what), "%s %.*s of XenStore", xs_op_name(m->type),
			 (int)strnlen((const char *)m->body, m->len < 100 ? m->len : 100),
			 (const char *)m->body);
		if (err == EPERM || err == EACCES)
			h->refused(h->arg, what);
		return answer_refused(r);
	}
	if (m->type == XS_TRANSACTION_START)
		r->txns_wanted++;
	if (m->type == XS_TRANSACTION_END)
		*find_txn(r, m->tx_id) = 0;
	return put(&r->up, m->body - XS_HDR_SIZE, XS_HDR_SIZE + m->len);
}

static void note_answer(struct relay_xs *r, const struct pending *p, const struct xs_msg *m)
{
	bool ok = m->type != XS_ERROR;
	char id[16] = "";
	uint32_t *slot;

	if (p->type == XS_WATCH && ok)
		r->watches++;
	if (p->type == XS_UNWATCH && ok && r->watches)
		r->watches--;
	if (p->type != XS_TRANSACTION_START)
		return;
	r->txns_wanted--;
	slot = find_txn(r, 0);
	if (ok && slot) {
		memcpy(id, m->body, m->len < sizeof(id) ? m->len : sizeof(id) - 1);
		*slot = (uint32_t)strtoul(id, NULL, 10);
	}
}

static int take_answer(struct relay_xs *r, const struct xs_msg *m)
{
	struct pending *p = &r->pending[r->first];
	int e = put(&r->down, m->body - XS_HDR_SIZE, XS_HDR_SIZE + m->len);

	if (e < 0 || evbuffer_get_length(r->down.out) > DOWN_QUEUE)
		return -ENOBUFS;
	if (m->type == XS_WATCH_EVENT)
		return 0;
	if (!r->count || p->req_id != m->req_id)
		return -EBADMSG; /* out of step: start anew */
	note_answer(r, p, m);
	r->first = (r->first + 1) % PENDING_MAX;
	r->count--;
	return answer_refused(r);
}

/* Whole messages of what has come.  from the backend: as long as there is room. */
static int digest(struct relay_xs *r, struct side *s)
{
	struct xs_msg m;
	size_t at = 0;
	int n = 0, e = 0;

	while (e == 0 && !(s == &r->down && is_full(r))) {
		n = xs_msg_decode(s->in + at, s->used - at, &m);
		if (n <= 0)
			break;
		at += (size_t)n;
		e = s == &r->down ? take_request(r, &m) : take_answer(r, &m);
	}
	memmove(s->in, s->in + at, s->used - at);
	s->used -= at;
	return n < 0 ? n : e;
}

static int read_side(struct relay_xs *r, struct side *s)
{
	ssize_t n = recv(s->fd, s->in + s->used, sizeof(s->in) - s->used, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	s->used += (size_t)n;
	return digest(r, s);
}

/* Stop and go of reading from the backend; what was left over is looked at. */
static int hold_or_go(struct relay_xs *r)
{
	int e = 0;

	if (r->held && !is_full(r)) {
		r->held = false;
		e = digest(r, &r->down);
		if (e == 0 && event_add(r->down.rd, NULL) < 0)
			e = -ENOMEM;
	}
	if (e == 0 && !r->held && is_full(r)) {
		r->held = true;
		(void)event_del(r->down.rd);
	}
	return e;
}

static void on_read(struct relay_xs *r, struct side *s)
{
	int e = read_side(r, s);

	if (e == 0)
		e = hold_or_go(r);
	if (e < 0)
		xs_free(&r->base);
}

static void on_down_read(evutil_socket_t fd, short what, void *arg)
{
	on_read(arg, &((struct relay_xs *)arg)->down);
}

static void on_up_read(evutil_socket_t fd, short what, void *arg)
{
	on_read(arg, &((struct relay_xs *)arg)->up);
}

static void on_write(struct relay_xs *r, struct side *s)
{
	int n = evbuffer_write(s->out, s->fd), e = 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		e = -ECONNRESET;
	else if (evbuffer_get_length(s->out) && event_add(s->wr, NULL) < 0)
		e = -ENOMEM;
	if (e == 0)
		e = hold_or_go(r);
	if (e < 0)
		xs_free(&r->base);
}

static void on_down_write(evutil_socket_t fd, short what, void *arg)
{
	on_write(arg, &((struct relay_xs *)arg)->down);
}

static void on_up_write(evutil_socket_t fd, short what, void *arg)
{
	on_write(arg, &((struct relay_xs *)arg)->up);
}

static int side_init(struct relay_xs *r, struct side *s, event_callback_fn rd, event_callback_fn wr)
{
	struct event_base *base = r->base.host->base;

	s->rd = event_new(base, s->fd, EV_READ | EV_PERSIST, rd, r);
	s->wr = event_new(base, s->fd, EV_WRITE, wr, r);
	s->out = evbuffer_new();
	return !s->rd || !s->wr || !s->out || event_add(s->rd, NULL) < 0 ? -ENOMEM : 0;
}

int relay_xs_add(struct relay_host *h, int fd)
{
	struct relay_xs *r = sys_zalloc(sizeof(*r));
	int e = r ? relay_link(h, &r->base, SORT_XS, xs_free) : -ENOMEM;

	if (e < 0) {
		free(r);
		close(fd);
		return e;
	}
	r->down.fd = fd;
	r->up.fd = e = connect_unix(h->xs_path, SOCK_STREAM | SOCK_NONBLOCK);
	if (e >= 0)
		e = side_init(r, &r->down, on_down_read, on_down_write);
	if (e >= 0)
		e = side_init(r, &r->up, on_up_read, on_up_write);
	if (e < 0) {
		xs_free(&r->base);
		return e;
	}
	return 0;
}
