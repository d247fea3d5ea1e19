/* hv/client/xen.c - the provider for a dom0 of a real Xen host: Xen's own
 * libraries do what hvd does for the bundled one.
 *
 * Differences that callers may see:
 *   - VIRQ_DOM_EXC belongs to one process; whoever comes second looks at the
 *     list of domains once a second instead.
 *   - Xen tells no time of creation; created_ns is a hash of the domain's
 *     handle, which serves to tell reuse of a domid.
 *   - dom0's own XenStore page and port, which the kernel hands out, are domain
 *     0's: page of any gfn, port 0.
 *   - Xen unbinds a port when its process ends and a successor binds it afresh,
 *     pending; so leaving and closing are the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include "daemons/sys.h"
#include "hv/client/domdiff.h"
#include "hv/client/provider.h"
#include "proto/hv_layout.h"

#define XSD_KVA	   "/proc/xen/xsd_kva"
#define XSD_PORT   "/proc/xen/xsd_port"
#define DOMS_MAX   HVC_DOMID_FIRST_RESERVED
#define DOMS_BATCH 256

struct xen {
	struct hvc base;
	xc_interface *xc;
	xenforeignmemory_handle *fmem;
	void *dom0_page; /* NULL: not mapped */

	/* Events: one look at the list per wake-up. */
	int ep_fd, timer_fd;
	xenevtchn_handle *virq;
	struct domdiff_seen *seen;
	size_t nr_seen;
	struct hvc_event *queue;
	size_t queued, next;
};

static int last_errno(int def)
{
	return errno > 0 ? -errno : def;
}

/* ---- domains ---- */

static void copy_info(const xc_domaininfo_t *x, struct hvc_dominfo *to)
{
	static const struct {
		uint32_t xen, hvc;
	} flags[] = {
		{ XEN_DOMINF_running, HVC_DOM_RUNNING }, { XEN_DOMINF_blocked, HVC_DOM_BLOCKED },
		{ XEN_DOMINF_paused, HVC_DOM_PAUSED },	 { XEN_DOMINF_shutdown, HVC_DOM_SHUTDOWN },
		{ XEN_DOMINF_dying, HVC_DOM_DYING },
	};
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	*to = (struct hvc_dominfo){ .domid = x->domain,
				    .pages = x->tot_pages,
				    .max_pages = x->max_pages,
				    .vcpus_online = x->nr_online_vcpus,
				    .max_vcpus = x->max_vcpu_id + 1,
				    .cpu_ns = x->cpu_time,
				    .engine = "xen" };
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (x->flags & flags[i].xen)
			to->flags |= flags[i].hvc;
	if (x->flags & XEN_DOMINF_shutdown)
		to->shutdown_reason =
			(x->flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
	memcpy(to->uuid, x->handle, sizeof(to->uuid));
	for (size_t i = 0; i < sizeof(to->uuid); i++)
		hash = (hash ^ to->uuid[i]) * 0x100000001b3u;
	to->created_ns = hash;
}

static int xen_domlist(struct hvc *h, uint16_t first, struct hvc_dominfo *ret, size_t n)
{
	struct xen *x = (struct xen *)h;
	xc_domaininfo_t *batch = calloc(DOMS_BATCH, sizeof(*batch));
	uint32_t from = first;
	size_t got = 0;
	int k = batch ? 0 : -ENOMEM;

	while (k >= 0 && got < n && from < DOMS_MAX) {
		unsigned want = n - got < DOMS_BATCH ? (unsigned)(n - got) : DOMS_BATCH;

		k = xc_domain_getinfolist(x->xc, from, want, batch);
		if (k < 0)
			k = last_errno(-EIO);
		for (int i = 0; i < k; i++)
			copy_info(&batch[i], &ret[got++]);
		if (k < (int)want)
			break;
		from = ret[got - 1].domid + 1u;
	}
	free(batch);
	return k < 0 ? k : (int)got;
}

static int xen_dominfo(struct hvc *h, uint16_t domid, struct hvc_dominfo *ret)
{
	struct hvc_dominfo d;
	int r = xen_domlist(h, domid, &d, 1);

	if (r < 0)
		return r;
	if (r == 0 || d.domid != domid)
		return -ESRCH;
	*ret = d;
	return 0;
}

/* ---- events ---- */

static int watch(struct xen *x, int fd)
{
	struct epoll_event e = { .events = EPOLLIN };

	return epoll_ctl(x->ep_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int set_nonblock(int fd)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
}

static int watch_virq(struct xen *x)
{
	int r;

	x->virq = xenevtchn_open(NULL, 0);
	if (!x->virq)
		return last_errno(-ENODEV);
	r = xenevtchn_bind_virq(x->virq, VIRQ_DOM_EXC) < 0 ? last_errno(-EIO) : 0;
	if (r == 0)
		r = set_nonblock(xenevtchn_fd(x->virq));
	if (r == 0)
		r = watch(x, xenevtchn_fd(x->virq));
	if (r < 0) {
		xenevtchn_close(x->virq);
		x->virq = NULL;
	}
	return r;
}

static int watch_timer(struct xen *x)
{
	struct itimerspec every = { { 1, 0 }, { 1, 0 } };

	x->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (x->timer_fd < 0 || timerfd_settime(x->timer_fd, 0, &every, NULL) < 0)
		return -errno;
	return watch(x, x->timer_fd);
}

/* Look at every domain; queue what is different from the last look. */
static int look(struct xen *x)
{
	struct hvc_dominfo *now = calloc(DOMS_MAX, sizeof(*now));
	struct domdiff_seen *seen = NULL;
	struct hvc_event *queue = NULL;
	int n;

	if (!now)
		return -ENOMEM;
	n = xen_domlist(&x->base, 0, now, DOMS_MAX);
	if (n < 0) {
		free(now);
		return n;
	}
	seen = calloc((size_t)n + 1, sizeof(*seen));
	queue = calloc(2 * ((size_t)n + x->nr_seen) + 1, sizeof(*queue));
	if (!seen || !queue) {
		free(seen);
		free(queue);
		free(now);
		return -ENOMEM;
	}
	free(x->queue);
	x->queue = queue;
	x->next = 0;
	x->queued = domdiff(x->seen, x->nr_seen, now, (size_t)n, queue);
	for (int i = 0; i < n; i++) {
		seen[i] = (struct domdiff_seen){ .domid = now[i].domid, .flags = now[i].flags };
		memcpy(seen[i].uuid, now[i].uuid, sizeof(seen[i].uuid));
	}
	free(x->seen);
	x->seen = seen;
	x->nr_seen = (size_t)n;
	free(now);
	return 0;
}

static int xen_event_fd(struct hvc *h)
{
	struct xen *x = (struct xen *)h;
	int r;

	if (x->ep_fd >= 0)
		return x->ep_fd;
	x->ep_fd = epoll_create1(EPOLL_CLOEXEC);
	r = x->ep_fd < 0 ? -errno : 0;
	if (r == 0 && watch_virq(x) < 0)
		r = watch_timer(x); /* another process has the VIRQ */
	if (r == 0)
		r = look(x);
	x->queued = 0; /* what is there already is no news */
	return r < 0 ? r : x->ep_fd;
}

/* True if something may have changed since the last look. */
static bool woken(struct xen *x)
{
	xenevtchn_port_or_error_t port;
	bool woke = false;
	uint64_t n;

	while (x->virq && (port = xenevtchn_pending(x->virq)) >= 0) {
		(void)xenevtchn_unmask(x->virq, (evtchn_port_t)port);
		woke = true;
	}
	if (x->timer_fd >= 0 && read(x->timer_fd, &n, sizeof(n)) == sizeof(n))
		woke = true;
	return woke;
}

static int xen_event_next(struct hvc *h, struct hvc_event *ret)
{
	struct xen *x = (struct xen *)h;
	int r = xen_event_fd(h);

	if (r < 0)
		return r;
	if (x->next == x->queued && woken(x)) {
		r = look(x);
		if (r < 0)
			return r;
	}
	if (x->next == x->queued)
		return 0;
	*ret = x->queue[x->next++];
	return 1;
}

/* ---- memory ---- */

static int map_dom0_page(struct xen *x, void **ret)
{
	int fd = sys_open(XSD_KVA, O_RDWR, 0), r;

	if (fd < 0)
		return fd == -ENOENT ? -ENOENT : fd;
	x->dom0_page = sys_mmap_shared(fd, P2M_PAGE_SIZE, 0, PROT_READ | PROT_WRITE, &r);
	close(fd);
	if (!x->dom0_page)
		return r;
	*ret = x->dom0_page;
	return 0;
}

static int xen_map_page(struct hvc *h, uint16_t domid, uint64_t gfn, void **ret)
{
	struct xen *x = (struct xen *)h;
	xen_pfn_t pfn = gfn;
	int err = 0;
	void *p;

	if (domid == 0)
		return map_dom0_page(x, ret);
	p = xenforeignmemory_map(x->fmem, domid, PROT_READ | PROT_WRITE, 1, &pfn, &err);
	if (!p)
		return last_errno(-ENOENT);
	if (err) {
		xenforeignmemory_unmap(x->fmem, p, 1);
		return -ENOENT;
	}
	*ret = p;
	return 0;
}

static void xen_unmap_page(struct hvc *h, void *page)
{
	struct xen *x = (struct xen *)h;

	if (page == x->dom0_page) {
		munmap(page, P2M_PAGE_SIZE);
		x->dom0_page = NULL;
	} else {
		xenforeignmemory_unmap(x->fmem, page, 1);
	}
}

/* ---- grants ---- */

struct xen_guest {
	struct hvc_guest base;
	xengnttab_handle *gnt;
	uint16_t domid;
};

static struct hvc_guest *guest_close(struct hvc_guest *base)
{
	xengnttab_close(((struct xen_guest *)base)->gnt);
	free(base);
	return NULL;
}

static int guest_map(struct hvc_guest *base, uint32_t ref, bool write, void **ret)
{
	struct xen_guest *g = (struct xen_guest *)base;
	void *p = xengnttab_map_grant_ref(g->gnt, g->domid, ref,
					  PROT_READ | (write ? PROT_WRITE : 0));

	if (!p)
		return -EINVAL;
	*ret = p;
	return 0;
}

static void guest_unmap(struct hvc_guest *base, uint32_t ref, bool write, void *page)
{
	(void)xengnttab_unmap(((struct xen_guest *)base)->gnt, page, 1); /* ours: can't fail */
}

static const struct hvc_guest_ops guest_ops = {
	.close = guest_close,
	.grant_map = guest_map,
	.grant_unmap = guest_unmap,
};

static int xen_guest_open(struct hvc *h, uint16_t domid, struct hvc_guest **ret)
{
	struct xen_guest *g = sys_zalloc(sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->base.ops = &guest_ops;
	g->domid = domid;
	g->gnt = xengnttab_open(NULL, 0);
	if (!g->gnt) {
		r = last_errno(-ENODEV);
		free(g);
		return r;
	}
	*ret = &g->base;
	return 0;
}

/* ---- ports: a handle each, so that each has a descriptor ---- */

struct xen_port {
	struct hvc_port base;
	xenevtchn_handle *ev;
	evtchn_port_t local;
};

static struct hvc_port *port_close(struct hvc_port *base)
{
	struct xen_port *p = (struct xen_port *)base;

	(void)xenevtchn_unbind(p->ev, p->local); /* closing does it as well */
	xenevtchn_close(p->ev);
	free(p);
	return NULL;
}

static int port_fd(const struct hvc_port *base)
{
	return xenevtchn_fd(((const struct xen_port *)base)->ev);
}

static void port_ack(struct hvc_port *base)
{
	struct xen_port *p = (struct xen_port *)base;
	xenevtchn_port_or_error_t port = xenevtchn_pending(p->ev);

	if (port >= 0)
		(void)xenevtchn_unmask(p->ev, (evtchn_port_t)port);
}

static void port_notify(struct hvc_port *base)
{
	struct xen_port *p = (struct xen_port *)base;

	(void)xenevtchn_notify(p->ev, p->local); /* the guest may be gone */
}

static const struct hvc_port_ops port_ops = {
	.close = port_close,
	.leave = port_close,
	.fd = port_fd,
	.ack = port_ack,
	.notify = port_notify,
};

static int read_dom0_port(uint32_t *ret)
{
	char text[32];
	int fd = sys_open(XSD_PORT, O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = '\0';
	return sscanf(text, "%u", ret) == 1 ? 0 : -EIO;
}

static int xen_port_bind(struct hvc *h, uint16_t domid, uint32_t remote, struct hvc_port **ret)
{
	struct xen_port *p;
	xenevtchn_port_or_error_t local;
	int r = domid == 0 && remote == 0 ? read_dom0_port(&remote) : 0;

	if (r < 0)
		return r;
	p = sys_zalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->base.ops = &port_ops;
	p->ev = xenevtchn_open(NULL, 0);
	if (!p->ev) {
		r = last_errno(-ENODEV);
		free(p);
		return r;
	}
	local = xenevtchn_bind_interdomain(p->ev, domid, remote);
	r = local < 0 ? last_errno(-EINVAL) : set_nonblock(xenevtchn_fd(p->ev));
	if (r < 0) {
		xenevtchn_close(p->ev);
		free(p);
		return r;
	}
	p->local = (evtchn_port_t)local;
	*ret = &p->base;
	return 0;
}

/* ---- the log ---- */

/* Xen counts the bytes it ever logged in 32 bits. */
static int xen_dmesg(struct hvc *h, uint64_t off, char *buf, size_t n, uint64_t *ret_next)
{
	struct xen *x = (struct xen *)h;
	unsigned len = n < UINT32_MAX ? (unsigned)n : UINT32_MAX;
	uint32_t at = (uint32_t)off;

	if (xc_readconsolering(x->xc, buf, &len, 0, 1, &at) < 0)
		return last_errno(-EIO);
	*ret_next = off + (uint32_t)(at - (uint32_t)off);
	return (int)len;
}

/* ---- the handle ---- */

static struct hvc *xen_close(struct hvc *h)
{
	struct xen *x = (struct xen *)h;

	if (x->virq)
		xenevtchn_close(x->virq);
	if (x->ep_fd >= 0)
		close(x->ep_fd);
	if (x->timer_fd >= 0)
		close(x->timer_fd);
	if (x->fmem)
		xenforeignmemory_close(x->fmem);
	if (x->xc)
		xc_interface_close(x->xc);
	free(x->seen);
	free(x->queue);
	free(x);
	return NULL;
}

static const struct hvc_ops xen_ops = {
	.own_ring = true,
	.close = xen_close,
	.dominfo = xen_dominfo,
	.domlist = xen_domlist,
	.event_fd = xen_event_fd,
	.event_next = xen_event_next,
	.map_page = xen_map_page,
	.unmap_page = xen_unmap_page,
	.guest_open = xen_guest_open,
	.dmesg = xen_dmesg,
	.port_bind = xen_port_bind,
};

int xen_open(struct hvc **ret)
{
	struct xen *x = sys_zalloc(sizeof(*x));
	int r;

	if (!x)
		return -ENOMEM;
	x->base.ops = &xen_ops;
	x->ep_fd = x->timer_fd = -1;
	x->xc = xc_interface_open(NULL, NULL, 0);
	if (x->xc)
		x->fmem = xenforeignmemory_open(NULL, 0);
	if (!x->fmem) {
		r = last_errno(-ENODEV);
		(void)xen_close(&x->base);
		return r;
	}
	*ret = &x->base;
	return 0;
}
