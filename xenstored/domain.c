/* xenstored/domain.c - introduction, shutdown, death; and the hypervisor's news
 * about them. */
#include "xenstored/domain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemons/log.h"
#include "daemons/sys.h"
#include "xenstored/books.h"
#include "xenstored/domain_priv.h"

#define RETRY_MS	200
#define EVENTS_PER_TURN 64

static const struct who daemon_itself = { .target = XS_DOMID_NONE, .privileged = true };

struct domain *domain_find(struct domains *ds, uint16_t domid)
{
	return domid < DOMIDS ? ds->by_domid[domid] : NULL;
}

struct conn *domain_conn(const struct domain *d)
{
	return d->conn;
}

uint16_t domain_id(const struct domain *d)
{
	return d->domid;
}

bool domains_exist(struct domains *ds, uint16_t domid)
{
	struct hv_dom info;

	if (domid == 0 || domain_find(ds, domid))
		return true;
	if (domid >= DOMIDS)
		return false;
	/* A hypervisor that can't be asked does not make domains vanish. */
	return !ds->hv.ops || ds->hv.ops->dominfo(ds->hv.ctx, domid, &info) != -ESRCH;
}

struct domain *domain_get(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_find(ds, domid);
	struct hv_dom info;

	if (d || domid >= DOMIDS)
		return d;
	d = sys_zalloc(sizeof(*d));
	if (!d)
		return NULL;
	d->ds = ds;
	d->domid = domid;
	d->rec.version = 1;
	d->rec.target = XS_DOMID_NONE;
	d->rec.features = FEATURES;
	if (ds->hv.ops && ds->hv.ops->dominfo(ds->hv.ctx, domid, &info) == 0)
		d->rec.created_ns = info.created_ns;
	ds->by_domid[domid] = d;
	return d;
}

static void disconnect(struct domain *d, bool leave)
{
	const struct hv *hv = &d->ds->hv;

	if (d->conn)
		ring_close(d->conn);
	d->conn = NULL;
	if (d->port)
		hv->ops->unbind(hv->ctx, d->port, leave);
	d->port = NULL;
	if (d->page)
		hv->ops->unmap(hv->ctx, d->page);
	d->page = NULL;
}

void domain_free(struct domain *d)
{
	disconnect(d, false);
	d->ds->by_domid[d->domid] = NULL;
	free(d);
}

/* ---- slots ---- */

struct ring_slot *domain_slot(struct domains *ds, uint16_t domid)
{
	off_t at = (off_t)domid * RING_SLOT_SIZE;

	/* Memory now, so that a full file system is an error here. */
	if (ds->slots_fd >= 0 && posix_fallocate(ds->slots_fd, at, RING_SLOT_SIZE) != 0)
		return NULL;
	return (struct ring_slot *)(void *)(ds->slots + at);
}

static void free_slot(struct domains *ds, uint16_t domid)
{
	off_t at = (off_t)domid * RING_SLOT_SIZE;

	if (ds->slots_fd < 0)
		memset(ds->slots + at, 0, RING_SLOT_SIZE);
	else if (fallocate(ds->slots_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
			   RING_SLOT_SIZE) < 0)
		(void)log_warn(-errno, "domain %u: its ring's slot is kept", domid);
}

static int map_slots(struct domains *ds, const char *path)
{
	size_t size = (size_t)DOMIDS * RING_SLOT_SIZE;
	int r = 0;

	ds->slots_fd = -1;
	if (!path) {
		ds->slots = mmap(NULL, size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (ds->slots == MAP_FAILED)
			ds->slots = NULL;
		return ds->slots ? 0 : -errno;
	}
	ds->slots_fd = sys_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (ds->slots_fd < 0)
		return ds->slots_fd;
	r = sys_ftruncate(ds->slots_fd, (off_t)size);
	if (r == 0)
		ds->slots = sys_mmap_shared(ds->slots_fd, size, 0, PROT_READ | PROT_WRITE, &r);
	return r;
}

/* ---- connecting ---- */

int domain_connect(struct domain *d, bool fresh, uint32_t committed)
{
	const struct hv *hv = &d->ds->hv;
	struct ring_slot *slot = domain_slot(d->ds, d->domid);
	int r;

	if (!hv->ops)
		return -ENOTCONN;
	if (!slot)
		return -ENOMEM;
	r = hv->ops->map(hv->ctx, d->domid, d->rec.gfn, &d->page);
	if (r == 0)
		r = hv->ops->bind(hv->ctx, d->domid, d->rec.port, &d->port);
	if (r == 0)
		r = ring_new(d->ds->srv, d, d->domid, hv, d->page, d->port, slot, fresh, committed,
			     &d->conn);
	if (r < 0) {
		disconnect(d, !fresh); /* a later try takes the port over */
		return r;
	}
	d->conn->who.target = d->rec.target;
	d->conn->depth_ok = d->rec.features & FEATURE_DEPTH;
	return 0;
}

static int reintroduce(struct domain *d, uint32_t port)
{
	const struct hv *hv = &d->ds->hv;
	void *new;
	int r;

	r = domain_forget_watches(d);
	if (r < 0)
		return r;
	hv->ops->unbind(hv->ctx, d->port, false);
	d->port = NULL;
	r = hv->ops->bind(hv->ctx, d->domid, port, &new);
	if (r < 0)
		(void)log_warn(r, "domain %u: port %u", d->domid, port);
	else
		d->port = new;
	d->rec.port = port;
	ring_reset(d->conn, d->port);
	return r < 0 ? -EINVAL : domain_save(d);
}

static int introduce(struct domains *ds, uint16_t domid, uint64_t gfn, uint32_t port)
{
	struct domain *d = domain_get(ds, domid);
	int r;

	if (!d)
		return -ENOMEM;
	d->rec.gfn = gfn;
	d->rec.port = port;
	r = domain_connect(d, true, 0);
	if (r < 0) {
		(void)log_warn(r, "domain %u can't be introduced (page %#llx, port %u)", domid,
			       (unsigned long long)gfn, port);
		if (!d->rec.introduced)
			domain_free(d);
		return r == -ENOMEM ? r : -ENOENT;
	}
	d->rec.introduced = 1;
	d->pending = false;
	r = domain_save(d);
	if (r < 0) {
		d->rec.introduced = 0;
		domain_free(d);
	}
	return r;
}

int domain_introduce(struct domains *ds, uint16_t domid, uint64_t gfn, uint32_t port)
{
	struct domain *d;

	if (domid == 0 || domid >= DOMIDS || port == 0)
		return -EINVAL;
	d = domain_find(ds, domid);
	return d && d->conn ? reintroduce(d, port) : introduce(ds, domid, gfn, port);
}

int domains_introduce_own(struct domains *ds)
{
	int r = introduce(ds, 0, 0, 0);

	if (r == 0)
		server_commit(ds->srv, 0, 0);
	else
		server_abort(ds->srv);
	return r;
}

int domain_release(struct domains *ds, uint16_t domid)
{
	const struct domain *d = domain_find(ds, domid);

	if (domid == 0 || domid >= DOMIDS)
		return -EINVAL;
	if (!d || !d->rec.introduced)
		return -ENOENT;
	return 0; /* domain_gone() follows when the answer is on its way */
}

int domain_resume(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_find(ds, domid);

	if (domid == 0)
		return -EINVAL;
	if (!d || !d->rec.introduced)
		return -ENOENT;
	d->rec.told_shutdown = 0;
	return domain_save(d);
}

int domain_set_target(struct domains *ds, uint16_t domid, uint16_t target)
{
	struct domain *d = domain_find(ds, domid), *t = domain_find(ds, target);
	int r;

	if (domid == 0 || target == 0)
		return -EINVAL;
	if (!d || !t || !d->conn || !t->conn)
		return -ENOENT;
	d->rec.target = target;
	r = domain_save(d);
	if (r == 0)
		d->conn->who.target = target;
	return r;
}

int domain_features(struct domains *ds, uint16_t domid, uint32_t *ret)
{
	struct domain *d = domain_find(ds, domid);

	if (domid == 0)
		*ret = FEATURES;
	else if (d)
		*ret = d->rec.features;
	else if (domid < DOMIDS && domains_exist(ds, domid))
		*ret = FEATURES;
	else
		return -ENOENT;
	return 0;
}

int domain_set_features(struct domains *ds, uint16_t domid, uint32_t v)
{
	struct domain *d;

	if (domid == 0 || domid >= DOMIDS || !domains_exist(ds, domid))
		return -ENOENT;
	d = domain_get(ds, domid);
	if (!d)
		return -ENOMEM;
	if (d->rec.introduced)
		return -EBUSY;
	if (v & ~FEATURES)
		return -EINVAL;
	d->rec.features = v;
	return domain_save(d);
}

/* ---- the end ---- */

static void forget_as_target(struct domains *ds, uint16_t domid)
{
	for (unsigned i = 0; i < DOMIDS; i++) {
		struct domain *d = ds->by_domid[i];

		if (!d || d->rec.target != domid)
			continue;
		d->rec.target = XS_DOMID_NONE;
		if (d->conn)
			d->conn->who.target = XS_DOMID_NONE;
		(void)domain_save(d); /* no memory: a restart drops it (domain_save.c) */
	}
}

void domain_gone(struct domains *ds, uint16_t domid)
{
	struct server *s = ds->srv;
	struct domain *d = domain_find(ds, domid);
	bool known = d && d->rec.introduced;
	struct access x;
	char path[32];
	int r;

	if (d)
		domain_free(d);
	forget_as_target(ds, domid);
	snprintf(path, sizeof(path), "/d/%u", domid);
	server_access(s, &daemon_itself, &x);
	r = access_purge(&x, domid);
	if (r == 0)
		r = meta_del(&s->store, path);
	if (r == 0)
		r = books_forget(s, domid);
	if (r < 0) {
		(void)log_err(r, "domain %u: what it left can't be removed", domid);
		server_abort(s);
	}
	free_slot(ds, domid);
	quota_forget(&s->quotas, domid);
	if (store_dirty(&s->store))
		server_commit(s, 0, 0);
	server_fire(s);
	if (known)
		server_fire_special(s, "@releaseDomain", domid);
}

static void shut_down(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_find(ds, domid);

	if (!d || !d->rec.introduced || d->rec.told_shutdown)
		return;
	d->rec.told_shutdown = 1;
	if (domain_save(d) == 0)
		server_commit(ds->srv, 0, 0);
	else
		server_abort(ds->srv);
	server_fire_special(ds->srv, "@releaseDomain", domid);
}

/* ---- news ---- */

static void check_one(struct domains *ds, uint16_t domid)
{
	struct domain *d = domain_find(ds, domid);
	struct hv_dom info;
	int r = ds->hv.ops->dominfo(ds->hv.ctx, domid, &info);

	if (r == -ESRCH ||
	    (r == 0 && (info.dying || (d->rec.created_ns && info.created_ns != d->rec.created_ns))))
		domain_gone(ds, domid);
	else if (r == 0 && info.shutdown)
		shut_down(ds, domid);
}

static void on_hv(evutil_socket_t fd, short what, void *arg)
{
	struct domains *ds = arg;
	enum hv_event ev;
	uint16_t domid = 0;

	(void)fd;
	(void)what;
	for (int i = 0; i < EVENTS_PER_TURN; i++) {
		ev = ds->hv.ops->next(ds->hv.ctx, &domid);
		if (ev == HV_NONE)
			break;
		if (ev == HV_GONE && domid < DOMIDS)
			domain_gone(ds, domid);
		else if (ev == HV_SHUTDOWN)
			shut_down(ds, domid);
		for (unsigned k = 1; ev == HV_RESYNC && k < DOMIDS; k++)
			if (ds->by_domid[k])
				check_one(ds, (uint16_t)k);
	}
	server_flush(ds->srv);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)domains_restore(arg); /* it says what is wrong, and arms the timer */
}

void domains_retry_later(struct domains *ds)
{
	static const struct timeval tv = { .tv_usec = RETRY_MS * 1000 };

	if (!event_pending(ds->ev_retry, EV_TIMEOUT, NULL))
		(void)event_add(ds->ev_retry, &tv);
}

int domains_new(struct server *srv, const struct hv *hv, const char *slots_path,
		struct domains **ret)
{
	struct domains *ds = sys_zalloc(sizeof(*ds));
	int r;

	if (!ds)
		return -ENOMEM;
	ds->srv = srv;
	ds->hv = *hv;
	ds->by_domid = sys_zalloc(DOMIDS * sizeof(*ds->by_domid));
	r = map_slots(ds, slots_path);
	ds->ev_retry = evtimer_new(srv->base, on_retry, ds);
	if (r == 0 && hv->ops) {
		ds->ev_hv = event_new(srv->base, hv->ops->event_fd(hv->ctx), EV_READ | EV_PERSIST,
				      on_hv, ds);
		if (!ds->ev_hv || event_add(ds->ev_hv, NULL) < 0)
			r = -ENOMEM;
	}
	if (r == 0 && (!ds->by_domid || !ds->ev_retry))
		r = -ENOMEM;
	if (r < 0) {
		domains_free(ds);
		return r;
	}
	*ret = ds;
	return 0;
}

struct domains *domains_free(struct domains *ds)
{
	if (!ds)
		return NULL;
	for (unsigned i = 0; ds->by_domid && i < DOMIDS; i++)
		if (ds->by_domid[i]) {
			disconnect(ds->by_domid[i], true);
			free(ds->by_domid[i]);
		}
	free(ds->by_domid);
	if (ds->ev_hv)
		event_free(ds->ev_hv);
	if (ds->ev_retry)
		event_free(ds->ev_retry);
	if (ds->slots)
		munmap(ds->slots, (size_t)DOMIDS * RING_SLOT_SIZE);
	if (ds->slots_fd >= 0)
		close(ds->slots_fd);
	if (ds->hv.ops)
		ds->hv.ops->close(ds->hv.ctx);
	free(ds);
	return NULL;
}
