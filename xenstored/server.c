/* xenstored/server.c - the order of things around a change: books, commit,
 * events; and the daemon's whole state from start to end. */
#include "xenstored/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "daemons/clock.h"
#include "daemons/log.h"
#include "daemons/sys.h"
#include "xenstored/books.h"
#include "xenstored/claim.h"
#include "xenstored/domain.h"
#include "xenstored/ring.h"
#include "xenstored/sock.h"

#define IDLE_REAP      2000u /* nodes freed per turn of the loop */
#define STALE_BYTES    ((size_t)8 << 20)
#define STALE_AGE_NS   (10 * 1000000000ull)
#define LIST_CACHE_MAX (1u << 20)

/* ---- state ---- */

static void count_node(void *arg, const struct node *n)
{
	struct server *s = arg;
	uint16_t owner = perms_owner(perms_ptr(&s->store.a, n->perms));

	quota_charge(&s->quotas, owner, Q_NODES, 1);
	quota_charge(&s->quotas, owner, Q_MEMORY, (int64_t)access_node_bytes(n));
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval soon = { 0 };
	struct server *s = arg;

	(void)fd;
	(void)what;
	if (node_reap(&s->store.a, IDLE_REAP))
		(void)event_add(s->ev_idle, &soon);
}

int server_init(struct server *s, struct event_base *base, const char *state_path)
{
	bool old = false;
	int r;

	*s = (struct server){ .base = base, .store.a.fd = -1 };
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->dirty);
	TAILQ_INIT(&s->parked);
	TAILQ_INIT(&s->txns);
	r = quota_init(&s->quotas);
	if (r == 0)
		r = store_open(&s->store, state_path, count_node, s, &old);
	if (r == 0)
		r = watches_init(&s->watches, s->store.key);
	if (r == 0)
		r = books_restore(s);
	if (r == 0) {
		s->claims = claims_new(s);
		s->ev_idle = evtimer_new(base, on_idle, s);
		r = s->claims && s->ev_idle ? 0 : -ENOMEM;
	}
	return r;
}

void server_fini(struct server *s)
{
	struct conn *c;

	s->domains = domains_free(s->domains); /* with their rings */
	while ((c = TAILQ_FIRST(&s->conns)))
		sock_close(c);
	s->claims = claims_free(s->claims);
	if (s->watches.bucket)
		watches_fini(&s->watches);
	if (s->store.a.base) {
		changes_fini(&s->changes, &s->store.a);
		store_close(&s->store);
	}
	ledger_fini(&s->ledger);
	quota_fini(&s->quotas);
	for (size_t i = 0; i < sizeof(s->lists) / sizeof(s->lists[0]); i++)
		free(s->lists[i].names);
	free(s->list_once);
	if (s->ev_idle)
		event_free(s->ev_idle);
	(void)server_trace_open(s, NULL);
	*s = (struct server){ .store.a.fd = -1 };
	TAILQ_INIT(&s->conns);
}

/* ---- a change ---- */

static bool domain_exists_cb(void *arg, uint16_t domid)
{
	return domains_exist(arg, domid);
}

void server_access(struct server *s, const struct who *who, struct access *ret)
{
	*ret = (struct access){ .st = &s->store,
				.t = store_tree(&s->store),
				.who = *who,
				.q = &s->quotas,
				.led = &s->ledger,
				.ch = &s->changes,
				.wat = &s->watches,
				.exists = domain_exists_cb,
				.exists_arg = s->domains };
}

/* Old versions that open transactions hold may cost as much as the current one
 * and STALE_BYTES; beyond that the oldest transaction loses its version. */
static void bound_stale(struct server *s)
{
	struct txn *t;

	if (s->store.a.live <= 2 * s->quotas.bytes + STALE_BYTES)
		return;
	/* What was given up before may not be free yet. */
	if (node_reap(&s->store.a, IDLE_REAP) ||
	    s->store.a.live <= 2 * s->quotas.bytes + STALE_BYTES)
		return;
	TAILQ_FOREACH(t, &s->txns, of_server)
	if (!t->lost)
		break;
	if (!t || clock_mono_ns() - t->started_ns < STALE_AGE_NS)
		return;
	log_info("domain %u: a transaction open for %llu s was given up: it holds too much memory",
		 t->conn->who.domid,
		 (unsigned long long)((clock_mono_ns() - t->started_ns) / 1000000000u));
	txn_lose(t);
}

void server_commit(struct server *s, uint32_t domid, uint32_t seq)
{
	static const struct timeval soon = { 0 };

	store_commit(&s->store, domid, seq);
	ledger_settle(&s->ledger, &s->quotas);
	bound_stale(s);
	if (s->store.a.dead && !event_pending(s->ev_idle, EV_TIMEOUT, NULL))
		(void)event_add(s->ev_idle, &soon);
}

void server_abort(struct server *s)
{
	if (store_dirty(&s->store))
		store_abort(&s->store);
	ledger_clear(&s->ledger);
	changes_clear(&s->changes, &s->store.a);
}

int server_list(struct server *s, const struct node *n, bool committed, const char **ret)
{
	aref ref = (aref)((size_t)((const uint8_t *)n - s->store.a.base) / 8);
	struct list_cache *c = &s->lists[s->next_list];
	char *names = NULL;
	int r;

	if (committed)
		for (size_t i = 0; i < sizeof(s->lists) / sizeof(s->lists[0]); i++)
			if (s->lists[i].node == ref && s->lists[i].gen == n->gen) {
				*ret = s->lists[i].names;
				return 0;
			}
	r = tree_list(&s->store.a, n, &names);
	if (r < 0)
		return r;
	*ret = names;
	if (!committed || n->kid_bytes > LIST_CACHE_MAX) {
		free(s->list_once);
		s->list_once = names;
		return 0;
	}
	free(c->names);
	*c = (struct list_cache){ ref, n->gen, names };
	s->next_list = (s->next_list + 1) % (sizeof(s->lists) / sizeof(s->lists[0]));
	return 0;
}

/* ---- events ---- */

struct firing {
	struct server *s;
	const char *path;
	size_t len;
	aref old, now, up; /* permissions: before, of the node, of its parent; 0: none */
	uint16_t domid;	   /* special nodes */
	bool special;
};

static bool readable(const struct firing *f, const struct who *w, aref perms)
{
	return perms && (perms_for(perms_ptr(&f->s->store.a, perms), w) & PERM_READ);
}

static void fire_one(void *arg, struct watch *x)
{
	struct firing *f = arg;
	const struct who *w = &x->conn->who;
	char deep[64];
	int n;

	if (!w->privileged && !readable(f, w, f->now) && !readable(f, w, f->old) &&
	    !readable(f, w, f->up))
		return;
	f->s->metrics.events++;
	if (f->special && x->depth == 1) {
		n = snprintf(deep, sizeof(deep), "%s/%u", f->path, f->domid);
		conn_event(x->conn, x, deep, (size_t)n);
	} else {
		conn_event(x->conn, x, f->path, f->len);
	}
}

static aref perms_at(const struct server *s, const char *path, size_t len)
{
	aref n;

	return store_find(&s->store, path, len, &n) == 0 ? node_ptr(&s->store.a, n)->perms : 0;
}

void server_fire(struct server *s)
{
	for (size_t i = 0; i < s->changes.n; i++) {
		struct change *c = &s->changes.c[i];
		struct firing f = { .s = s, .path = c->path, .len = c->len, .old = c->perms };

		f.now = perms_at(s, c->path, c->len);
		if (c->gone || !c->perms)
			f.up = perms_at(s, c->path, path_parent(c->path, c->len));
		watches_match(&s->watches, c->path, c->len, c->exact, fire_one, &f);
	}
	changes_clear(&s->changes, &s->store.a);
}

void server_fire_special(struct server *s, const char *name, uint16_t domid)
{
	struct firing f = {
		.s = s, .path = name, .len = strlen(name), .domid = domid, .special = true
	};
	const struct node *n;
	char path[32];

	snprintf(path, sizeof(path), "/%s", name);
	if (meta_find(&s->store, path, &n) == 0)
		f.now = n->perms;
	watches_match(&s->watches, name, f.len, false, fire_one, &f);
}

bool server_event_room(struct conn *c, size_t n)
{
	struct server *s = c->srv;
	uint32_t limit = quota_limit(&s->quotas, c->who.domid, Q_MEMORY, false);

	if (c->who.privileged || !limit || c->out.len + n <= limit / 4)
		return true;
	s->metrics.events_dropped++;
	quota_refused(&s->quotas, c->who.domid, REFUSED_EVENTS, "they are not read");
	return false;
}

void server_flush(struct server *s)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&s->dirty))) {
		TAILQ_REMOVE(&s->dirty, c, dirty_link);
		c->dirty = false;
		if (c->sock)
			sock_flush(c); /* may free c */
		else if (c->dom)
			ring_flush(c);
	}
}

/* ---- waiting for a transaction ---- */

void server_txn_over(struct server *s, struct txn *t)
{
	claim_over(s->claims, t);
}

void server_unpark(struct conn *c)
{
	claim_unpark(c->srv->claims, c);
}

/* ---- trace ---- */

int server_trace_open(struct server *s, const char *path)
{
	FILE *f = NULL;

	if (path) {
		f = fopen(path, "ae");
		if (!f)
			return -errno;
		setvbuf(f, NULL, _IOLBF, 0);
	}
	if (s->trace)
		fclose(s->trace);
	s->trace = f;
	return 0;
}

void server_trace(struct server *s, const struct conn *c, const char *dir, uint32_t type,
		  const void *body, size_t n)
{
	const unsigned char *p = body;
	struct timespec ts;
	struct tm tm;
	char stamp[32];

	if (!s->trace)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(s->trace, "%s.%03ld %s %" PRIu64 " d%u %s (", stamp, ts.tv_nsec / 1000000, dir,
		c->id, c->who.domid, xs_op_name(type));
	for (size_t i = 0; i < n; i++)
		fputc(p[i] < 0x20 || p[i] > 0x7e ? ' ' : p[i], s->trace);
	fputs(")\n", s->trace);
}
