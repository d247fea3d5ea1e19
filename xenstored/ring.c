/* xenstored/ring.c - moving messages between a guest's page and op_dispatch();
 * ring.h tells the order of stores that makes it safe against kill -9. */
#include "xenstored/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "daemons/clock.h"
#include "daemons/log.h"
#include "daemons/sys.h"
#include "xenstored/domain.h"
#include "xenstored/ops.h"
#include "xenstored/rate.h"
#include "xenstored/ring_page.h"
#include "xenstored/server.h"

#define RING	      RING_BYTES
#define RUN_MSGS      32 /* messages of one guest per wake-up */
#define OUT_TIMEOUT   20 /* seconds a guest may leave its events unread */
#define RING_FEATURES (FEATURES | FEATURE_RECONNECT)

struct ring {
	struct conn c; /* first: a ring's conn is the ring */
	struct hv hv;
	struct ring_page *page; /* shared with a hostile guest */
	void *port;
	struct ring_slot *slot;
	struct event *ev_port, *ev_again, *ev_timeout;
	struct rate rate;
	bool ignored, moved; /* moved: the guest must be told */
};

/* ---- the slot's words ---- */

static uint64_t word(uint32_t lo, uint32_t mid, uint32_t hi)
{
	return lo | (uint64_t)(mid & 0xffffu) << 32 | (uint64_t)(hi & 0xffffu) << 48;
}

static void put(uint64_t *at, uint64_t v)
{
	__atomic_store_n(at, v, __ATOMIC_SEQ_CST);
}

static uint32_t lo32(uint64_t v)
{
	return (uint32_t)v;
}
static uint32_t mid16(uint64_t v)
{
	return (uint32_t)(v >> 32) & 0xffffu;
}
static uint32_t hi16(uint64_t v)
{
	return (uint32_t)(v >> 48);
}

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static void store(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static struct ring *ring_of(struct conn *c)
{
	return (struct ring *)(void *)c;
}

bool ring_ignored(const struct conn *c)
{
	return ((const struct ring *)(const void *)c)->ignored;
}

static void ring_notify(struct ring *r)
{
	if (r->moved && r->port)
		r->hv.ops->notify(r->port);
	r->moved = false;
}

/* The guest broke the rules: it is told and then left alone, but stays
 * connected, so that its death is still noticed (XSA-325). */
static void ring_ignore(struct ring *r, uint32_t error, const char *why)
{
	if (r->ignored)
		return;
	r->ignored = true;
	(void)log_warn(0, "domain %u: its ring is ignored from now on: %s", r->c.who.domid, why);
	store(&r->page->error, error);
	r->moved = true;
	ring_notify(r);
	conn_reset(&r->c);
	if (r->ev_timeout)
		(void)event_del(r->ev_timeout);
}

/* ---- out ---- */

/* Copy what fits of slot->out.  True if all of it is in the ring. */
static bool push_slot(struct ring *r)
{
	struct ring_slot *s = r->slot;
	uint32_t len = mid16(s->done), off = mid16(s->out_state), prod = lo32(s->out_state);
	uint32_t used, n, at, first;

	if (off >= len)
		return true;
	used = prod - load(&r->page->rsp_cons);
	if (used > RING) {
		ring_ignore(r, RING_ERROR_RINGIDX, "its response index is impossible");
		return false;
	}
	n = RING - used < len - off ? RING - used : len - off;
	at = prod & (RING - 1);
	first = n < RING - at ? n : RING - at;
	memcpy(r->page->rsp + at, s->out + off, first);
	memcpy(r->page->rsp, s->out + off + first, n - first);
	put(&s->out_state, word(prod + n, off + n, 0));
	if (n) {
		store(&r->page->rsp_prod, prod + n);
		r->moved = true;
	}
	if (off + n < len)
		return false;
	put(&s->done, word(lo32(s->done), 0, 0));
	put(&s->out_state, word(prod + n, 0, 0));
	return true;
}

/* Move the slot's message and then queued events.  True if nothing is left. */
static bool push_out(struct ring *r)
{
	static const struct timeval timeout = { .tv_sec = OUT_TIMEOUT };
	struct outbuf *o = &r->c.out;
	uint32_t h[4], n;

	while (!r->ignored && push_slot(r)) {
		if (!o->len) {
			(void)event_del(r->ev_timeout);
			return true;
		}
		memcpy(h, o->p + o->head, sizeof(h));
		n = XS_HDR_SIZE + h[3];
		memcpy(r->slot->out, o->p + o->head, n);
		put(&r->slot->done, word(lo32(r->slot->done), n, 0));
		outbuf_drop(o, n);
		(void)event_add(r->ev_timeout, &timeout); /* there was progress: anew */
	}
	if (!r->ignored && !event_pending(r->ev_timeout, EV_TIMEOUT, NULL))
		(void)event_add(r->ev_timeout, &timeout);
	return false;
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct ring *r = arg;

	(void)fd;
	(void)what;
	/* A guest that waits for its own request's reply is merely slow. */
	if (!r->c.out.len || r->c.who.privileged)
		return;
	quota_refused(&r->c.srv->quotas, r->c.who.domid, REFUSED_EVENTS, "unread for too long");
	ring_ignore(r, RING_ERROR_COMM, "it does not read its events");
}

void ring_flush(struct conn *c)
{
	struct ring *r = ring_of(c);

	if (r->c.doomed)
		ring_ignore(r, RING_ERROR_COMM, "no memory for its events");
	if (!r->ignored)
		(void)push_out(r);
	ring_notify(r);
}

/* ---- in ---- */

/* Take what the ring has for a target of want bytes in slot->in. */
static int pull_to(struct ring *r, uint32_t want)
{
	struct ring_slot *s = r->slot;
	uint32_t cons = lo32(s->in_state), have = mid16(s->in_state), avail, n, at, first;

	if (have >= want)
		return 0;
	avail = load(&r->page->req_prod) - cons;
	if (avail > RING) {
		ring_ignore(r, RING_ERROR_RINGIDX, "its request index is impossible");
		return -EPROTO;
	}
	n = avail < want - have ? avail : want - have;
	at = cons & (RING - 1);
	first = n < RING - at ? n : RING - at;
	memcpy(s->in + have, r->page->req + at, first);
	memcpy(s->in + have + first, r->page->req, n - first);
	put(&s->in_state, word(cons + n, have + n, hi16(s->in_state)));
	if (n) {
		store(&r->page->req_cons, cons + n);
		r->moved = true;
	}
	return have + n >= want ? 0 : -EAGAIN;
}

/* 0: slot->in holds a whole message. */
static int pull_in(struct ring *r)
{
	uint32_t h[4];
	int e = pull_to(r, XS_HDR_SIZE);

	if (e < 0)
		return e;
	memcpy(h, r->slot->in, sizeof(h));
	if (h[3] > XS_PAYLOAD_MAX) {
		ring_ignore(r, RING_ERROR_PROTO, "a message is longer than 4096 bytes");
		return -EPROTO;
	}
	return pull_to(r, XS_HDR_SIZE + h[3]);
}

static void prepare(struct conn *c, const void *msg, size_t n)
{
	/* Nothing is in slot->out: a request is only looked at when it is empty. */
	memcpy(ring_of(c)->slot->out, msg, n);
}

static uint32_t msg_len(const uint8_t *msg)
{
	uint32_t h[4];

	memcpy(h, msg, sizeof(h));
	return XS_HDR_SIZE + h[3];
}

static void finish(struct ring *r, uint32_t seq)
{
	struct ring_slot *s = r->slot;

	put(&s->done, word(seq, msg_len(s->out), 0));
	put(&s->in_state, word(lo32(s->in_state), 0, seq + 1));
}

/* The guest asks for a new start (RING_RECONNECT). */
static void reconnect(struct ring *r)
{
	struct ring_page *p = r->page;

	(void)domain_forget_watches(r->c.dom); /* no memory: they fire in vain later */
	if (store_dirty(&r->c.srv->store))
		server_commit(r->c.srv, 0, 0);
	conn_reset(&r->c);
	put(&r->slot->done, word(lo32(r->slot->done), 0, 0));
	put(&r->slot->out_state, 0);
	put(&r->slot->in_state, word(0, 0, hi16(r->slot->in_state)));
	p->req_cons = p->req_prod = p->rsp_cons = p->rsp_prod = 0;
	store(&p->error, RING_ERROR_NONE);
	store(&p->connection, RING_CONNECTED);
	r->moved = true;
}

/* True: look again in a turn of its own. */
static bool ring_run(struct ring *r)
{
	struct xs_msg m;
	uint32_t seq;
	unsigned wait;

	for (int i = 0; i < RUN_MSGS && !r->ignored; i++) {
		if (load(&r->page->connection) == RING_RECONNECT)
			reconnect(r);
		if (!push_out(r) || r->c.parked || pull_in(r) < 0)
			return false;
		if (xs_msg_decode(r->slot->in, mid16(r->slot->in_state), &m) <= 0)
			return false;
		wait = rate_wait_ms(&r->rate, r->c.srv, &r->c, m.type);
		if (wait) {
			struct timeval tv = { .tv_usec = wait * 1000 };

			(void)event_add(r->ev_again, &tv);
			return false;
		}
		seq = lo32(r->slot->done) + 1;
		if (op_dispatch(&r->c, &m, seq, prepare) == -EAGAIN)
			return false;
		finish(r, seq);
		if (r->c.doomed)
			ring_ignore(r, RING_ERROR_COMM, "no memory for it");
	}
	return !r->ignored;
}

void ring_poke(struct conn *c)
{
	struct server *srv = c->srv;
	struct ring *r = ring_of(c);

	if (!r->ignored && ring_run(r))
		event_active(r->ev_again, EV_TIMEOUT, 1);
	(void)push_out(r);
	ring_notify(r);
	server_flush(srv);
}

static void on_port(evutil_socket_t fd, short what, void *arg)
{
	struct ring *r = arg;

	(void)fd;
	(void)what;
	r->hv.ops->ack(r->port);
	ring_poke(&r->c);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ring_poke(arg);
}

void ring_resume(struct conn *c)
{
	event_active(ring_of(c)->ev_again, EV_TIMEOUT, 1);
}

/* ---- life ---- */

static void start_fresh(struct ring *r)
{
	struct ring_slot *s = r->slot;

	/* Whatever the guest did before we came is where we start (it may have
	 * queued requests already); what it left unread is its own. */
	put(&s->done, word(lo32(s->done), 0, 0));
	put(&s->out_state, word(load(&r->page->rsp_prod), 0, 0));
	put(&s->in_state, word(load(&r->page->req_cons), 0, lo32(s->done) + 1));
	store(&r->page->server_features, RING_FEATURES);
	store(&r->page->error, RING_ERROR_NONE);
	store(&r->page->connection, RING_CONNECTED);
}

static void start_again(struct ring *r, uint32_t committed)
{
	struct ring_slot *s = r->slot;
	uint32_t done = lo32(s->done);

	if (committed == done + 1 && mid16(s->in_state) && msg_len(s->out) <= RING_MSG_MAX) {
		done = committed; /* killed between the commit and finish() */
		put(&s->done, word(done, msg_len(s->out), 0));
	}
	if (hi16(s->in_state) == (done & 0xffffu)) /* killed inside finish() */
		put(&s->in_state, word(lo32(s->in_state), 0, done + 1));
	if (mid16(s->done) == 0 && mid16(s->out_state)) /* killed inside push_slot() */
		put(&s->out_state, word(lo32(s->out_state), 0, 0));
	store(&r->page->req_cons, lo32(s->in_state));
	store(&r->page->rsp_prod, lo32(s->out_state));
}

int ring_new(struct server *srv, struct domain *d, uint16_t domid, const struct hv *hv, void *page,
	     void *port, struct ring_slot *slot, bool fresh, uint32_t committed, struct conn **ret)
{
	struct who who = { .domid = domid, .target = XS_DOMID_NONE, .privileged = domid == 0 };
	struct ring *r = sys_zalloc(sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->hv = *hv;
	r->page = page;
	r->port = port;
	r->slot = slot;
	r->c.dom = d;
	e = conn_init(&r->c, srv, &who);
	r->ev_port = event_new(srv->base, port ? hv->ops->port_fd(port) : -1, EV_READ | EV_PERSIST,
			       on_port, r);
	r->ev_again = evtimer_new(srv->base, on_again, r);
	r->ev_timeout = evtimer_new(srv->base, on_timeout, r);
	if (e < 0 || !r->ev_port || !r->ev_again || !r->ev_timeout ||
	    (port && event_add(r->ev_port, NULL) < 0)) {
		ring_close(&r->c);
		return -ENOMEM;
	}
	if (fresh)
		start_fresh(r);
	else
		start_again(r, committed);
	r->moved = true;
	event_active(r->ev_again, EV_TIMEOUT, 1); /* requests may wait already */
	*ret = &r->c;
	return 0;
}

void ring_close(struct conn *c)
{
	struct ring *r = ring_of(c);

	conn_fini(c);
	if (r->ev_port)
		event_free(r->ev_port);
	if (r->ev_again)
		event_free(r->ev_again);
	if (r->ev_timeout)
		event_free(r->ev_timeout);
	free(r);
}

void ring_reset(struct conn *c, void *port)
{
	struct ring *r = ring_of(c);

	conn_reset(c);
	c->doomed = false;
	r->ignored = false;
	r->port = port;
	event_free(r->ev_port);
	r->ev_port = event_new(c->srv->base, port ? r->hv.ops->port_fd(port) : -1,
			       EV_READ | EV_PERSIST, on_port, r);
	if (!r->ev_port || (port && event_add(r->ev_port, NULL) < 0))
		ring_ignore(r, RING_ERROR_COMM, "no memory for its event channel");
	put(&r->slot->done, word(lo32(r->slot->done), 0, 0));
	put(&r->slot->out_state, 0);
	put(&r->slot->in_state, word(0, 0, lo32(r->slot->done) + 1));
	r->page->req_cons = r->page->req_prod = 0;
	r->page->rsp_cons = r->page->rsp_prod = 0;
	store(&r->page->error, RING_ERROR_NONE);
	store(&r->page->connection, RING_CONNECTED);
	r->moved = true;
	ring_notify(r);
}
