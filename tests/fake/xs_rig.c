/* tests/fake/xs_rig.c - see xs_rig.h. */
#include "tests/fake/xs_rig.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <event2/event.h>

#include "proto/xs_wire.h"
#include "xenstored/ops.h"

static void *shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert(p != MAP_FAILED);
	return p;
}

static int fake_dominfo(void *ctx, uint16_t domid, struct hv_dom *ret)
{
	struct rig *r = ctx;

	if (r->away)
		return -ENOTCONN;
	if (domid >= RIG_DOMS || !r->dom[domid].exists)
		return -ESRCH;
	*ret = (struct hv_dom){ r->dom[domid].created_ns, r->dom[domid].shutdown,
				r->dom[domid].dying };
	return 0;
}

static enum hv_event fake_next(void *ctx, uint16_t *ret)
{
	struct rig *r = ctx;
	uint64_t n;

	if (r->news->head == r->news->tail) {
		(void)!read(r->news_fd, &n, sizeof(n));
		return HV_NONE;
	}
	*ret = r->news->q[r->news->head % 64].domid;
	return r->news->q[r->news->head++ % 64].ev;
}

static int fake_event_fd(void *ctx)
{
	return ((struct rig *)ctx)->news_fd;
}

static int fake_map(void *ctx, uint16_t domid, uint64_t gfn, void **ret)
{
	struct rig *r = ctx;

	if (r->away)
		return -ENOTCONN;
	if (domid >= RIG_DOMS || !r->dom[domid].exists || r->dom[domid].no_page ||
	    gfn != (domid ? 77 : 0))
		return -ENOENT;
	*ret = r->dom[domid].page;
	return 0;
}

static void fake_unmap(void *ctx, void *page)
{
	(void)ctx;
	(void)page;
}

static int fake_bind(void *ctx, uint16_t domid, uint32_t port, void **ret)
{
	struct rig *r = ctx;

	if (port > 100)
		return -EINVAL;
	*ret = &r->dom[domid];
	return 0;
}

static void fake_unbind(void *ctx, void *port, bool leave)
{
	(void)ctx;
	(void)port;
	(void)leave;
}

static int fake_port_fd(const void *port)
{
	return ((const struct rig_dom *)port)->to_daemon;
}

static void fake_ack(void *port)
{
	uint64_t n;

	(void)!read(((struct rig_dom *)port)->to_daemon, &n, sizeof(n));
}

static void fake_notify(void *port)
{
	uint64_t one = 1;

	(void)!write(((struct rig_dom *)port)->to_guest, &one, sizeof(one));
}

static void fake_close(void *ctx)
{
	(void)ctx;
}

static const struct hv_ops fake_ops = {
	.dominfo = fake_dominfo,
	.next = fake_next,
	.event_fd = fake_event_fd,
	.map = fake_map,
	.unmap = fake_unmap,
	.bind = fake_bind,
	.unbind = fake_unbind,
	.port_fd = fake_port_fd,
	.ack = fake_ack,
	.notify = fake_notify,
	.close = fake_close,
};

void rig_init(struct rig *r, bool on_disk)
{
	*r = (struct rig){ .on_disk = on_disk };
	strcpy(r->dir, "/tmp/xsrigXXXXXX");
	assert(mkdtemp(r->dir));
	snprintf(r->state, sizeof(r->state), "%s/state", r->dir);
	snprintf(r->slots, sizeof(r->slots), "%s/rings", r->dir);
	r->news = shared(sizeof(*r->news));
	r->news_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned i = 0; i < RIG_DOMS; i++) {
		r->dom[i] = (struct rig_dom){ .exists = true, .created_ns = 1000 + i };
		r->dom[i].page = shared(4096);
		r->dom[i].to_daemon = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		r->dom[i].to_guest = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
}

void rig_start(struct rig *r)
{
	struct hv hv = { &fake_ops, r, r->own_ring };

	r->base = event_base_new();
	assert(r->base);
	assert(server_init(&r->srv, r->base, r->on_disk ? r->state : NULL) == 0);
	assert(domains_new(&r->srv, &hv, r->on_disk ? r->slots : NULL, &r->srv.domains) == 0);
	assert(domains_restore(r->srv.domains) == 0);
}

void rig_stop(struct rig *r)
{
	if (!r->base)
		return;
	server_fini(&r->srv);
	event_base_free(r->base);
	r->base = NULL;
}

void rig_fini(struct rig *r)
{
	rig_stop(r);
	for (unsigned i = 0; i < RIG_DOMS; i++) {
		munmap(r->dom[i].page, 4096);
		close(r->dom[i].to_daemon);
		close(r->dom[i].to_guest);
	}
	munmap(r->news, sizeof(*r->news));
	close(r->news_fd);
	unlink(r->state);
	unlink(r->slots);
	rmdir(r->dir);
}

void rig_news(struct rig *r, enum hv_event ev, uint16_t domid)
{
	uint64_t one = 1;

	r->news->q[r->news->tail % 64].ev = ev;
	r->news->q[r->news->tail++ % 64].domid = domid;
	(void)!write(r->news_fd, &one, sizeof(one));
}

void rig_turn(struct rig *r)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(r->base, EVLOOP_NONBLOCK);
}

/* ---- a connection without a transport ---- */

struct conn *rig_conn(struct rig *r, uint16_t domid)
{
	struct who who = { domid, XS_DOMID_NONE, domid == 0 };
	struct conn *c = calloc(1, sizeof(*c));

	assert(c && conn_init(c, &r->srv, &who) == 0);
	c->depth_ok = true;
	return c;
}

void rig_conn_free(struct conn *c)
{
	conn_fini(c);
	free(c);
}

static int told(uint32_t type, char *body, size_t len)
{
	body[len] = '\0';
	return type == XS_ERROR ? -xs_errno_from_name(body) : 0;
}

int rig_ask(struct conn *c, uint32_t type, uint32_t tx, const void *body, size_t n, char *ret,
	    size_t *ret_n)
{
	struct xs_msg m = { type, 5, tx, body, (uint32_t)n };
	char tmp[XS_PAYLOAD_MAX + 1];
	uint32_t h[4];
	size_t at = 0;
	int r;

	while (op_dispatch(c, &m, 0, NULL) == -EAGAIN) {
		server_unpark(c); /* another's transaction has a claim on this node */
		usleep(100);
	}
	while (c->out.len) {
		memcpy(h, c->out.p + c->out.head + at, sizeof(h));
		if (h[0] != XS_WATCH_EVENT)
			break;
		outbuf_drop(&c->out, sizeof(h) + h[3]); /* an older event */
	}
	assert(c->out.len && h[1] == 5 && (h[0] == type || h[0] == XS_ERROR));
	memcpy(ret ? ret : tmp, c->out.p + c->out.head + 16, h[3]);
	if (ret_n)
		*ret_n = h[3];
	r = told(h[0], ret ? ret : tmp, h[3]);
	outbuf_drop(&c->out, 16 + h[3]);
	server_flush(c->srv);
	return r;
}

/* ---- a guest's ring ---- */

bool guest_put(struct rig_dom *d, const void *p, size_t n)
{
	struct ring_page *g = d->page;
	uint32_t prod = g->req_prod;

	if (RING_BYTES - (prod - __atomic_load_n(&g->req_cons, __ATOMIC_ACQUIRE)) < n)
		return false;
	for (size_t i = 0; i < n; i++)
		g->req[(prod + i) % RING_BYTES] = ((const uint8_t *)p)[i];
	__atomic_store_n(&g->req_prod, prod + (uint32_t)n, __ATOMIC_RELEASE);
	return true;
}

size_t guest_get(struct rig_dom *d, void *p, size_t n)
{
	struct ring_page *g = d->page;
	uint32_t cons = g->rsp_cons, have = __atomic_load_n(&g->rsp_prod, __ATOMIC_ACQUIRE) - cons;

	n = have < n ? have : n;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = g->rsp[(cons + i) % RING_BYTES];
	__atomic_store_n(&g->rsp_cons, cons + (uint32_t)n, __ATOMIC_RELEASE);
	return n;
}

void guest_kick(struct rig_dom *d)
{
	uint64_t one = 1;

	(void)!write(d->to_daemon, &one, sizeof(one));
}

static bool get_all(struct rig *r, uint16_t domid, void *p, size_t n)
{
	struct rig_dom *d = &r->dom[domid];
	size_t at = 0, k;

	for (int i = 0; i < 64 && at < n; i++) {
		k = guest_get(d, (char *)p + at, n - at);
		at += k;
		if (k)
			guest_kick(d);
		rig_turn(r);
	}
	return at == n;
}

bool guest_msg(struct rig *r, uint16_t domid, uint32_t hdr[4], char *body)
{
	return get_all(r, domid, hdr, 16) && get_all(r, domid, body, hdr[3]);
}

int guest_ask(struct rig *r, uint16_t domid, uint32_t type, uint32_t tx, const void *body, size_t n,
	      char *ret, size_t *ret_n)
{
	struct rig_dom *d = &r->dom[domid];
	uint32_t h[4] = { type, 9, tx, (uint32_t)n };
	char b[XS_PAYLOAD_MAX + 1];
	size_t at = 0, k;

	if (!guest_put(d, h, sizeof(h)))
		return -ETIMEDOUT;
	while (at < n) {
		k = n - at < 200 ? n - at : 200;
		if (guest_put(d, (const char *)body + at, k))
			at += k;
		guest_kick(d);
		rig_turn(r);
	}
	guest_kick(d);
	do
		if (!guest_msg(r, domid, h, b))
			return -ETIMEDOUT;
	while (h[0] == XS_WATCH_EVENT);
	if (ret)
		memcpy(ret, b, h[3]);
	if (ret_n)
		*ret_n = h[3];
	return told(h[0], b, h[3]);
}
