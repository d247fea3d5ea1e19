/* xenstored/conn.c - watches, transactions and output of one client. */
#include "xenstored/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"
#include "xenstored/server.h"
#include "xenstored/siphash.h"

#define OUT_MAX	     ((size_t)64 << 20) /* unread output of a privileged socket */
#define OUT_KEEP     ((size_t)16 << 10) /* an empty buffer up to this size is kept */
#define WATCH_COST   64u
#define SCAN_PENDING 4096u /* bytes of unsent events looked through for a duplicate */

/* ---- output ---- */

int outbuf_add(struct outbuf *o, const void *p, size_t n)
{
	if (o->head + o->len + n > o->cap) {
		size_t cap = o->cap ? o->cap : 512;
		uint8_t *q;

		if (o->head && o->len + n <= o->cap / 2) {
			memmove(o->p, o->p + o->head, o->len);
			o->head = 0;
		} else {
			while (cap < o->len + n)
				cap *= 2;
			q = sys_zalloc(cap);
			if (!q)
				return -ENOMEM;
			if (o->len)
				memcpy(q, o->p + o->head, o->len);
			free(o->p);
			o->p = q;
			o->head = 0;
			o->cap = cap;
		}
	}
	if (n)
		memcpy(o->p + o->head + o->len, p, n);
	o->len += n;
	return 0;
}

void outbuf_drop(struct outbuf *o, size_t n)
{
	o->head += n;
	o->len -= n;
	o->sent += n;
	if (o->len)
		return;
	o->head = 0;
	if (o->cap > OUT_KEEP) {
		free(o->p);
		o->p = NULL;
		o->cap = 0;
	}
}

void outbuf_fini(struct outbuf *o)
{
	free(o->p);
	*o = (struct outbuf){ 0 };
}

static void mark_dirty(struct conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	TAILQ_INSERT_TAIL(&c->srv->dirty, c, dirty_link);
}

int conn_send(struct conn *c, uint32_t type, uint32_t req_id, uint32_t tx_id, const void *body,
	      size_t len)
{
	uint8_t hdr[XS_HDR_SIZE];
	int r;

	xs_hdr_encode(hdr, type, req_id, tx_id, (uint32_t)len);
	r = c->out.len > OUT_MAX ? -ENOMEM : outbuf_add(&c->out, hdr, sizeof(hdr));
	if (r == 0)
		r = outbuf_add(&c->out, body, len);
	if (r < 0)
		c->doomed = true; /* half a message may be queued: nothing may follow */
	mark_dirty(c);
	return r;
}

/* Is an event with this body among the last unsent ones? */
static bool pending_event(const struct conn *c, const struct watch *x, const void *body, size_t n,
			  uint64_t hash)
{
	const struct outbuf *o = &c->out;
	const uint8_t *p;
	size_t at = 0;
	uint32_t h[4];

	if (x->last_at >= o->sent && x->last_at < o->sent + o->len && x->last_hash == hash &&
	    x->last_at - o->sent + XS_HDR_SIZE + n <= o->len &&
	    memcmp(o->p + o->head + (x->last_at - o->sent) + XS_HDR_SIZE, body, n) == 0)
		return true;
	if (!c->dom || o->len > SCAN_PENDING)
		return false;
	/* A ring's output starts with a whole message: the one in progress is in
	 * its slot. */
	for (p = o->p + o->head; o->len - at >= sizeof(h); at += sizeof(h) + h[3]) {
		memcpy(h, p + at, sizeof(h));
		if (h[0] == XS_WATCH_EVENT && h[3] == n && memcmp(p + at + sizeof(h), body, n) == 0)
			return true;
	}
	return false;
}

void conn_event(struct conn *c, struct watch *x, const char *path, size_t len)
{
	char body[XS_PAYLOAD_MAX];
	size_t tlen = strlen(watch_token(x)) + 1, n;
	uint64_t hash;

	path += x->strip;
	len -= x->strip;
	n = len + 1 + tlen;
	if (n > sizeof(body))
		return; /* what can't be said is not said: xenstore.txt */
	memcpy(body, path, len);
	body[len] = '\0';
	memcpy(body + len + 1, watch_token(x), tlen);
	hash = siphash(c->srv->store.key, path, len);
	if (path[0] != '@' && pending_event(c, x, body, n, hash))
		return;
	if (!server_event_room(c, XS_HDR_SIZE + n))
		return;
	x->last_at = c->out.sent + c->out.len;
	x->last_hash = hash;
	(void)conn_send(c, XS_WATCH_EVENT, 0, 0, body, n);
}

/* ---- transactions ---- */

struct txn *conn_txn(struct conn *c, uint32_t id)
{
	struct txn *t;

	TAILQ_FOREACH(t, &c->txns, of_conn)
	if (t->id == id)
		return t;
	return NULL;
}

int conn_txn_start(struct conn *c, uint32_t *ret_id)
{
	struct server *srv = c->srv;
	struct txn *t;
	int r;

	if (!quota_allows(&srv->quotas, &c->who, Q_TRANSACTIONS, c->ntxns + 1u))
		return -ENOSPC;
	do
		c->last_txn++;
	while (c->last_txn == 0 || conn_txn(c, c->last_txn));
	r = txn_new(&srv->store, &srv->quotas, c, c->last_txn, &t);
	if (r < 0)
		return r;
	TAILQ_INSERT_TAIL(&c->txns, t, of_conn);
	TAILQ_INSERT_TAIL(&srv->txns, t, of_server);
	c->ntxns++;
	quota_charge(&srv->quotas, c->who.domid, Q_TRANSACTIONS, 1);
	*ret_id = t->id;
	return 0;
}

void conn_txn_drop(struct conn *c, struct txn *t)
{
	TAILQ_REMOVE(&c->txns, t, of_conn);
	TAILQ_REMOVE(&c->srv->txns, t, of_server);
	c->ntxns--;
	quota_charge(&c->srv->quotas, c->who.domid, Q_TRANSACTIONS, -1);
	server_txn_over(c->srv, t);
	txn_free(t);
}

void conn_drop_txns(struct conn *c)
{
	struct txn *t;

	while ((t = TAILQ_FIRST(&c->txns)))
		conn_txn_drop(c, t);
}

/* ---- watches ---- */

static int64_t watch_cost(const struct watch *w)
{
	return WATCH_COST + w->path_len + (int64_t)strlen(watch_token(w));
}

int conn_watch_add(struct conn *c, const char *path, size_t len, const char *token, int32_t depth,
		   size_t strip, struct watch **ret)
{
	struct watch *w;
	int r = watch_new(&c->srv->watches, c, path, len, token, depth, strip, &w);

	if (r < 0)
		return r;
	w->serial = ++c->last_serial;
	TAILQ_INSERT_TAIL(&c->watches, w, of_conn);
	c->nwatches++;
	quota_charge(&c->srv->quotas, c->who.domid, Q_WATCHES, 1);
	quota_charge(&c->srv->quotas, c->who.domid, Q_MEMORY, watch_cost(w));
	*ret = w;
	return 0;
}

struct watch *conn_watch_find(struct conn *c, const char *path, size_t len, const char *token)
{
	struct watch *w;

	TAILQ_FOREACH(w, &c->watches, of_conn)
	if (w->path_len == len && memcmp(w->text, path, len) == 0 &&
	    strcmp(watch_token(w), token) == 0)
		return w;
	return NULL;
}

void conn_watch_del(struct conn *c, struct watch *w)
{
	TAILQ_REMOVE(&c->watches, w, of_conn);
	c->nwatches--;
	quota_charge(&c->srv->quotas, c->who.domid, Q_WATCHES, -1);
	quota_charge(&c->srv->quotas, c->who.domid, Q_MEMORY, -watch_cost(w));
	watch_free(&c->srv->watches, w);
}

void conn_drop_watches(struct conn *c)
{
	struct watch *w;

	while ((w = TAILQ_FIRST(&c->watches)))
		conn_watch_del(c, w);
}

/* ---- life ---- */

int conn_init(struct conn *c, struct server *srv, const struct who *who)
{
	c->srv = srv;
	c->who = *who;
	c->id = ++srv->last_conn_id;
	TAILQ_INIT(&c->watches);
	TAILQ_INIT(&c->txns);
	TAILQ_INSERT_TAIL(&srv->conns, c, link);
	srv->nconns++;
	return quota_usage(&srv->quotas, who->domid) ? 0 : -ENOMEM;
}

void conn_reset(struct conn *c)
{
	conn_drop_txns(c);
	conn_drop_watches(c);
	outbuf_drop(&c->out, c->out.len);
}

void conn_fini(struct conn *c)
{
	if (!c->srv)
		return;
	server_unpark(c);
	conn_reset(c);
	outbuf_fini(&c->out);
	if (c->dirty)
		TAILQ_REMOVE(&c->srv->dirty, c, dirty_link);
	TAILQ_REMOVE(&c->srv->conns, c, link);
	c->srv->nconns--;
	c->srv = NULL;
}
