/* hv/broker/requests.c - requests of clients to their handlers; what every one
 * of them needs checked (known, rights, descriptors) is checked here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"
#include "hv/broker/hvd.h"

/* ---- answered by hvd alone ---- */

static int do_hostinfo(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	h->out = (struct hv_msg){ .type = HV_HOSTINFO_REPLY };
	hostinfo(h, &h->out.u.HOSTINFO_REPLY);
	reply_out(h, t, NULL, 0);
	return 0;
}

static int do_dmesg(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	char text[HV_BLOB_MAX];
	uint32_t n = m->u.DMESG.max < sizeof(text) ? m->u.DMESG.max : sizeof(text);
	uint64_t off = m->u.DMESG.off;
	struct hv_DMESG_REPLY *a = &h->out.u.DMESG_REPLY;

	h->out = (struct hv_msg){ .type = HV_DMESG_REPLY };
	a->text_n = logring_read(h->log, off, text, n, &a->next);
	a->text = (const uint8_t *)text;
	reply_out(h, t, NULL, 0);
	return 0;
}

static int do_map_page(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	static const struct {
		uint64_t gfn;
		uint32_t page;
	} special[] = {
		{ SPECIAL_GFN_STORE, SPECIAL_PAGE_STORE },
		{ SPECIAL_GFN_CONSOLE, SPECIAL_PAGE_CONSOLE },
	};
	struct dom *d = dom_find(h, m->u.MAP_PAGE.domid);

	if (!d)
		return -ESRCH;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		if (special[i].gfn != m->u.MAP_PAGE.gfn || d->special_fd < 0)
			continue;
		h->out = (struct hv_msg){ .type = HV_MAP_PAGE_REPLY,
					  .u.MAP_PAGE_REPLY.page = special[i].page };
		reply_out(h, t, &d->special_fd, 1);
		return 0;
	}
	return -ENOENT;
}

static int do_guest_open(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	struct dom *d = dom_find(h, m->u.GUEST_OPEN.domid);

	if (!d)
		return -ESRCH;
	if (d->ram_fd < 0 || d->gnttab_fd < 0)
		return -ENOENT;
	h->out = (struct hv_msg){ .type = HV_GUEST_OPEN_REPLY,
				  .u.GUEST_OPEN_REPLY = { .ram_pages = d->id.max_pages,
							  .gnttab_frames = GNTTAB_MAX_FRAMES } };
	reply_out(h, t, (int[]){ d->ram_fd, d->gnttab_fd }, 2);
	return 0;
}

/* ---- state of domains ---- */

static void no_answer(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		      uint64_t arg)
{
	if (r == 0)
		d->stats = m->u.D_STATS_REPLY;
}

/* 0: cb will run.  Negative: the cache must do, the process is dead or mute. */
static int refresh(struct dom *d, dlink_cb *cb, struct token t, uint64_t arg)
{
	struct dlink_req req = { .want = HV_D_STATS_REPLY,
				 .timeout_ms = DLINK_STATS_MS,
				 .cb = d->mute ? no_answer : cb,
				 .token = t,
				 .arg = arg };
	struct hv_msg *m = &d->h->out;
	int r;

	if (d->phase != DOM_ALIVE || (d->mute && d->calls))
		return -EAGAIN;
	*m = (struct hv_msg){ .type = HV_D_STATS };
	r = dlink_call(d, m, NULL, 0, &req);
	return d->mute ? -EAGAIN : r;
}

static void got_stats(struct dom *d, int r, const struct hv_msg *m)
{
	if (r == 0)
		d->stats = m->u.D_STATS_REPLY;
	else if (r == -ETIMEDOUT)
		d->mute = true;
}

static void reply_info(struct dom *d, struct token t)
{
	d->h->out = (struct hv_msg){ .type = HV_DOMINFO_REPLY };
	dom_info(d, &d->h->out.u.DOMINFO_REPLY.info);
	reply_out(d->h, t, NULL, 0);
}

static void on_info(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		    uint64_t arg)
{
	got_stats(d, r, m);
	reply_info(d, t);
}

static int do_dominfo(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	struct dom *d = dom_find(h, m->u.DOMINFO.domid);

	if (!d)
		return -ESRCH;
	if (refresh(d, on_info, t, 0) < 0)
		reply_info(d, t);
	return 0;
}

/* A DOMLIST waits for the statistics of every domain it will show. */
struct gather {
	struct token t;
	uint16_t first;
	uint32_t max, waiting;
};

static void gather_reply(struct hvd *h, struct gather *g)
{
	struct hv_DOMLIST_REPLY *l = &h->out.u.DOMLIST_REPLY;

	h->out = (struct hv_msg){ .type = HV_DOMLIST_REPLY };
	for (uint32_t id = g->first; id < DOMIDS && l->items_n < g->max; id++) {
		const struct dom *d = dom_find(h, (uint16_t)id);

		if (d)
			dom_info(d, &l->items[l->items_n++]);
	}
	reply_out(h, g->t, NULL, 0);
	free(g);
}

static void on_gathered(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
			uint64_t arg)
{
	struct gather *g = (struct gather *)(uintptr_t)arg;

	got_stats(d, r, m);
	if (--g->waiting == 0)
		gather_reply(d->h, g);
}

static int do_domlist(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	struct gather *g = sys_zalloc(sizeof(*g));
	uint32_t seen = 0;

	if (!g)
		return -ENOMEM;
	*g = (struct gather){ .t = t, .first = m->u.DOMLIST.first, .max = m->u.DOMLIST.max };
	if (g->max > HV_INFOS_MAX)
		g->max = HV_INFOS_MAX;
	g->waiting = 1; /* our own, so that it can't end while we are asking */
	for (uint32_t id = g->first; id < DOMIDS && seen < g->max; id++) {
		struct dom *d = dom_find(h, (uint16_t)id);

		if (!d)
			continue;
		seen++;
		g->waiting += refresh(d, on_gathered, t, (uintptr_t)g) == 0;
	}
	if (--g->waiting == 0)
		gather_reply(h, g);
	return 0;
}

static void on_times(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		     uint64_t arg)
{
	struct hv_VCPU_TIMES_REPLY *a = &d->h->out.u.VCPU_TIMES_REPLY;

	got_stats(d, r, m);
	d->h->out = (struct hv_msg){ .type = HV_VCPU_TIMES_REPLY };
	a->ns_n = d->stats.vcpu_ns_n;
	memcpy(a->ns, d->stats.vcpu_ns, sizeof(a->ns));
	reply_out(d->h, t, NULL, 0);
}

static int do_vcpu_times(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	struct dom *d = dom_find(h, m->u.VCPU_TIMES.domid);

	if (!d)
		return -ESRCH;
	if (refresh(d, on_times, t, 0) < 0)
		on_times(d, -EAGAIN, NULL, NULL, t, 0);
	return 0;
}

/* ---- passed on to the domain process ---- */

static void on_forwarded(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
			 uint64_t arg)
{
	if (r < 0)
		reply_error(d->h, t, r, m ? m->u.ERROR.text : NULL);
	else
		reply_ok(d->h, t);
}

/* h->out holds the message. */
static int forward(struct hvd *h, struct token t, uint16_t domid)
{
	struct dlink_req req = {
		.want = HV_OK, .timeout_ms = DLINK_SHORT_MS, .cb = on_forwarded, .token = t
	};
	struct dom *d;
	int r = dom_alive(h, domid, &d);

	return r < 0 ? r : dlink_call(d, &h->out, NULL, 0, &req);
}

static int do_pause(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	h->out = (struct hv_msg){ .type = HV_D_PAUSE };
	return forward(h, t, m->u.PAUSE.domid);
}

static int do_unpause(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	h->out = (struct hv_msg){ .type = HV_D_UNPAUSE };
	return forward(h, t, m->u.UNPAUSE.domid);
}

static int do_set_max_pages(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	h->out = (struct hv_msg){ .type = HV_D_SET_MAX_PAGES,
				  .u.D_SET_MAX_PAGES.pages = m->u.SET_MAX_PAGES.pages };
	return forward(h, t, m->u.SET_MAX_PAGES.domid);
}

static int do_nmi(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	h->out = (struct hv_msg){ .type = HV_D_NMI, .u.D_NMI.vcpu = m->u.NMI.vcpu };
	return forward(h, t, m->u.NMI.domid);
}

static int do_debug_virq(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	h->out = (struct hv_msg){ .type = HV_D_DEBUG_VIRQ };
	return forward(h, t, m->u.DEBUG_VIRQ.domid);
}

/* ---- life and ports ---- */

static int do_create(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	return dom_create(h, t, &m->u.CREATE, fds, h->text, sizeof(h->text));
}

static int do_destroy(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	return dom_destroy(h, t, m->u.DESTROY.domid);
}

static int do_port_bind(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	struct dom *d;
	int r = dom_alive(h, m->u.PORT_BIND.domid, &d);

	return r < 0 ? r : port_bind(d, t, m->u.PORT_BIND.port);
}

static int do_port_close(struct hvd *h, struct token t, const struct hv_msg *m, int *fds)
{
	struct dom *d = dom_find(h, m->u.PORT_CLOSE.domid);

	if (d)
		return port_close(d, t, m->u.PORT_CLOSE.port, m->u.PORT_CLOSE.cookie);
	reply_ok(h, t);
	return 0;
}

/* ---- dispatch ---- */

enum { REQ_ROOT = 1 };

static const struct request {
	uint16_t type;
	uint8_t flags, min_fds, max_fds;
	int (*run)(struct hvd *h, struct token t, const struct hv_msg *m, int *fds);
} requests[] = {
	{ HV_DOMINFO, 0, 0, 0, do_dominfo },
	{ HV_DOMLIST, 0, 0, 0, do_domlist },
	{ HV_MAP_PAGE, 0, 0, 0, do_map_page },
	{ HV_GUEST_OPEN, REQ_ROOT, 0, 0, do_guest_open }, /* all of a guest's memory */
	{ HV_PORT_BIND, 0, 0, 0, do_port_bind },
	{ HV_PORT_CLOSE, 0, 0, 0, do_port_close },
	{ HV_CREATE, 0, 1, 2, do_create },
	{ HV_PAUSE, 0, 0, 0, do_pause },
	{ HV_UNPAUSE, 0, 0, 0, do_unpause },
	{ HV_DESTROY, 0, 0, 0, do_destroy },
	{ HV_SET_MAX_PAGES, 0, 0, 0, do_set_max_pages },
	{ HV_NMI, 0, 0, 0, do_nmi },
	{ HV_DEBUG_VIRQ, 0, 0, 0, do_debug_virq },
	{ HV_VCPU_TIMES, 0, 0, 0, do_vcpu_times },
	{ HV_HOSTINFO, 0, 0, 0, do_hostinfo },
	{ HV_DMESG, 0, 0, 0, do_dmesg },
};

int request_run(struct hvd *h, struct token t, bool root, const struct hv_msg *m, int *fds,
		size_t nfds)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct request *q = &requests[i];

		if (q->type != m->type)
			continue;
		if ((q->flags & REQ_ROOT) && !root)
			return -EACCES;
		if (nfds < q->min_fds || nfds > q->max_fds ||
		    (m->type == HV_CREATE && nfds != 1u + (m->u.CREATE.has_ramdisk != 0)))
			return -EBADMSG;
		return q->run(h, t, m, fds);
	}
	return -ENOSYS;
}
