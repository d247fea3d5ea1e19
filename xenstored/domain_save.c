/* xenstored/domain_save.c - domains, their watches and transactions as records
 * in the store's own tree, and taking them up again after a restart.
 *
 * A transaction is kept by its number only.  After a restart it still exists:
 * it reads the committed tree, takes writes, and its commit is EAGAIN, which
 * every client has to handle anyway.  So reads in transactions cost nothing
 * for it.  Watches come back with their serial numbers, and each fires once,
 * as when it was set: what happened meanwhile is not missed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "daemons/log.h"
#include "daemons/sys.h"
#include "xenstored/domain_priv.h"

#define SAVED_TXNS 1000u

struct saved {
	struct domain_record rec;
	uint32_t txn[SAVED_TXNS];
};

int domain_save(struct domain *d)
{
	struct saved u;
	struct txn *t;
	char path[32];

	d->rec.ntxns = 0;
	u.rec = d->rec;
	if (d->conn) {
		u.rec.last_txn = d->conn->last_txn;
		TAILQ_FOREACH(t, &d->conn->txns, of_conn)
		if (u.rec.ntxns < SAVED_TXNS)
			u.txn[u.rec.ntxns++] = t->id;
	}
	snprintf(path, sizeof(path), "/d/%u", d->domid);
	return meta_set(&d->ds->srv->store, path, &u,
			sizeof(u.rec) + u.rec.ntxns * sizeof(u.txn[0]));
}

int domain_save_txns(struct domain *d)
{
	return domain_save(d);
}

static void watch_path(const struct domain *d, uint32_t serial, char path[64])
{
	snprintf(path, 64, "/d/%u/w/%u", d->domid, serial);
}

int domain_save_watch(struct domain *d, const struct watch *w)
{
	char path[64], val[XS_ABS_PATH_MAX + XS_PAYLOAD_MAX], *p = val;
	size_t tlen = strlen(watch_token(w));
	int n;

	/* depth, strip, path, token */
	n = snprintf(p, 32, "%d %u", w->depth, w->strip);
	p += n + 1;
	memcpy(p, w->text, w->path_len + 1u + tlen + 1);
	p += w->path_len + 1u + tlen + 1;
	watch_path(d, w->serial, path);
	return meta_set(&d->ds->srv->store, path, val, (size_t)(p - val));
}

int domain_forget_watch(struct domain *d, const struct watch *w)
{
	char path[64];

	watch_path(d, w->serial, path);
	return meta_del(&d->ds->srv->store, path);
}

int domain_forget_watches(struct domain *d)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/d/%u/w", d->domid);
	r = meta_del(&d->ds->srv->store, path);
	if (r == 0) {
		struct domain_record rec = d->rec;

		/* The transactions go with them: RESET_WATCHES and reconnects. */
		rec.ntxns = 0;
		rec.last_txn = d->conn ? d->conn->last_txn : 0;
		snprintf(path, sizeof(path), "/d/%u", d->domid);
		r = meta_set(&d->ds->srv->store, path, &rec, sizeof(rec));
	}
	return r;
}

/* ---- after a restart ---- */

static int restore_watch(void *arg, aref kid)
{
	struct domain *d = arg;
	struct server *s = d->ds->srv;
	const struct node *n = node_ptr(&s->store.a, kid);
	const char *p = node_value(n), *end = p + n->vlen, *path, *token;
	char serial[16];
	struct watch *w;
	unsigned strip;
	int depth, r;

	path = memchr(p, '\0', n->vlen);
	token = path ? memchr(path + 1, '\0', (size_t)(end - path - 1)) : NULL;
	if (!token || token + 1 >= end || end[-1] != '\0' || n->nlen >= sizeof(serial) ||
	    sscanf(p, "%d %u", &depth, &strip) != 2 || strip > strlen(path + 1))
		return -EBADMSG;
	memcpy(serial, n->data, n->nlen);
	serial[n->nlen] = '\0';
	r = conn_watch_add(d->conn, path + 1, strlen(path + 1), token + 1, depth, strip, &w);
	if (r < 0)
		return r;
	w->serial = (uint32_t)strtoul(serial, NULL, 10);
	if (d->conn->last_serial < w->serial)
		d->conn->last_serial = w->serial;
	conn_event(d->conn, w, w->text, w->path_len);
	return 0;
}

static int restore_txns(struct domain *d, const struct saved *u, size_t n)
{
	const struct domain_record *rec = &u->rec;
	struct txn *t;
	uint32_t id;

	if (rec->ntxns > (n - sizeof(*rec)) / sizeof(u->txn[0]) || rec->ntxns > SAVED_TXNS)
		return -EBADMSG;
	for (unsigned i = 0; i < rec->ntxns; i++) {
		if (conn_txn_start(d->conn, &id) < 0)
			return -ENOMEM;
		t = conn_txn(d->conn, id);
		t->id = u->txn[i];
		txn_lose(t);
	}
	d->conn->last_txn = rec->last_txn;
	return 0;
}

int domain_restore_conn(struct domain *d)
{
	struct server *s = d->ds->srv;
	struct saved u;
	const struct node *n;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/d/%u", d->domid);
	r = meta_find(&s->store, path, &n);
	if (r < 0 || n->vlen < sizeof(u.rec))
		return r < 0 ? r : -EBADMSG;
	memcpy(&u, node_value(n), n->vlen < sizeof(u) ? n->vlen : sizeof(u));
	r = restore_txns(d, &u, n->vlen);
	snprintf(path, sizeof(path), "/d/%u/w", d->domid);
	if (r == 0 && meta_find(&s->store, path, &n) == 0)
		r = node_each(&s->store.a, n, restore_watch, d);
	return r;
}

struct numbers {
	const struct arena *a;
	struct refvec v;
};

/* One record of a former process.  False: the hypervisor can't be asked yet. */
static bool restore_domain(struct domains *ds, uint16_t domid, const struct domain_record *rec)
{
	const struct store *st = &ds->srv->store;
	struct domain *d;
	struct hv_dom info;
	int r;

	r = ds->hv.ops ? ds->hv.ops->dominfo(ds->hv.ctx, domid, &info) : -ENOTCONN;
	d = domain_find(ds, domid);
	if (!d) {
		d = domain_get(ds, domid);
		if (!d)
			return false;
		d->rec = *rec;
		d->rec.ntxns = 0;
		d->pending = rec->introduced;
	}
	if (!d->pending)
		return true;
	if (r == 0)
		r = info.dying || info.created_ns != rec->created_ns ? -ESRCH : 0;
	if (r == 0)
		r = domain_connect(d, false, st->last_domid == domid ? st->last_seq : 0);
	if (r == 0) {
		d->pending = false;
		r = domain_restore_conn(d);
		if (r < 0)
			(void)log_err(r, "domain %u: its watches or transactions are lost", domid);
		return true;
	}
	if (r == -ESRCH || r == -ENOENT) {
		(void)log_info("domain %u went away meanwhile", domid);
		domain_gone(ds, domid);
		return true;
	}
	return false;
}

/* The names below /d as numbers; records are looked up one by one, because
 * dealing with one may change the tree. */
static int list_domid(void *arg, aref kid)
{
	struct numbers *l = arg;
	const struct node *n = node_ptr(l->a, kid);
	char name[16] = "";

	if (n->nlen < sizeof(name))
		memcpy(name, n->data, n->nlen);
	return refvec_push(&l->v, (aref)strtoul(name, NULL, 10));
}

/* Our own kernel is the first client: nothing in dom0 introduces it.  False:
 * the hypervisor can't be asked yet. */
static bool start_own(struct domains *ds)
{
	struct domain_record rec;
	const struct node *n;

	if (!ds->hv.own_ring || (domain_find(ds, 0) && domain_find(ds, 0)->conn))
		return true;
	if (meta_find(&ds->srv->store, "/d/0", &n) == 0 && n->vlen >= sizeof(rec)) {
		memcpy(&rec, node_value(n), sizeof(rec));
		return restore_domain(ds, 0, &rec);
	}
	(void)domains_introduce_own(ds); /* it tells; sockets are served all the same */
	return true;
}

int domains_restore(struct domains *ds)
{
	const struct store *st = &ds->srv->store;
	struct numbers l = { .a = &st->a };
	const struct node *n;
	bool later = false;
	char path[32];
	int r;

	later = !start_own(ds);
	r = meta_find(st, "/d", &n);
	if (r == 0)
		r = node_each(&st->a, n, list_domid, &l);
	for (size_t i = 0; r == 0 && i < l.v.n; i++) {
		struct domain_record rec;

		snprintf(path, sizeof(path), "/d/%u", l.v.r[i]);
		if (l.v.r[i] == 0 || l.v.r[i] >= DOMIDS || meta_find(st, path, &n) < 0 ||
		    n->vlen < sizeof(rec))
			continue; /* not one of ours */
		memcpy(&rec, node_value(n), sizeof(rec));
		later |= !restore_domain(ds, (uint16_t)l.v.r[i], &rec);
	}
	free(l.v.r);
	if (later)
		domains_retry_later(ds);
	server_flush(ds->srv);
	return r;
}
