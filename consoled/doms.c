/* consoled/doms.c - follows domains from creation to destruction.
 *
 *   hypervisor event, @introduceDomain, @releaseDomain  -> scan or look at one
 *   new domain                -> watches on its name and console folder
 *   a watch fires             -> read name, type, ring-ref, port (four replies)
 *   all four there            -> map the page, bind the port, console lives
 *   shutdown or dead          -> drain and mark
 *   not in the list any more  -> close
 *
 * What a guest could write is not trusted: console/ is read-only for it
 * (XSA-57), and a wrong page or port is refused by the hypervisor.
 */
#include "consoled/doms.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <xen/xen.h>
#include <xen/sched.h>

#include "consoled/console.h"
#include "consoled/extra.h"
#include "consoled/logfile.h"
#include "consoled/ttynote.h"
#include "daemons/log.h"
#include "daemons/sys.h"
#include "daemons/xs_client.h"
#include "hv/client/hvc.h"

#define LIST_N	  64
#define SCAN_MS	  20   /* releases come in bursts */
#define RETRY_MS  1000 /* for a hypervisor that is away, or a page that isn't there yet */
#define VALUE_MAX 4096

enum { V_NAME, V_TYPE, V_RING, V_PORT, V_COUNT };

static const char *const value_paths[V_COUNT] = {
	[V_NAME] = "name",
	[V_TYPE] = "console/type",
	[V_RING] = "console/ring-ref",
	[V_PORT] = "console/port",
};

struct dom;

struct reading {	 /* one round of reads; lives until all replies are in */
	struct dom *dom; /* NULL: the domain went away meanwhile */
	unsigned left;
	struct reading_item {
		struct reading *r;
		char *val; /* owned; NULL: no such node */
		int err;
	} v[V_COUNT];
};

struct dom {
	TAILQ_ENTRY(dom) link;
	struct doms *ds;
	uint16_t domid;
	uint64_t born_ns;
	bool seen, ended, again;
	bool dying; /* nothing of it may be mapped: that alone would keep it */
	struct xs_watch *watches[2];
	struct reading *reading; /* under way, or NULL */
	struct console *con;
	struct extras *extras; /* made when the name is known */
	uint64_t gfn;	       /* what con is connected to */
	uint32_t port;
	bool retry;
	struct log_window told;
};

struct doms {
	struct conset *cs;
	struct hvc *h;
	struct xs_client *xs;
	struct xs_watch *intro, *release;
	struct doms_ops ops;
	struct event *hv_ev;
	struct event scan;
	bool adopted; /* leftovers of dead domains were dealt with */
	TAILQ_HEAD(, dom) list;
};

static void scan_in(struct doms *ds, unsigned ms)
{
	struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	(void)evtimer_add(&ds->scan, &tv); /* keeps its memory once it has it */
}

/* ---- a console's page and port ---- */

static void release_page(void *arg, void *page)
{
	hvc_unmap_page(arg, page);
}

static int dom_connect(struct dom *d, uint64_t gfn, uint32_t port)
{
	struct con_link l = { .release = release_page, .arg = d->ds->h };
	int r;

	r = hvc_map_page(d->ds->h, d->domid, gfn, &l.page);
	if (r < 0)
		return r;
	r = hvc_port_bind(d->ds->h, d->domid, port, &l.port);
	if (r < 0) {
		hvc_unmap_page(d->ds->h, l.page);
		return r;
	}
	d->gfn = gfn;
	d->port = port;
	return console_connect(d->con, &l);
}

static void tell_tty(struct dom *d)
{
	if (console_tty(d->con))
		tty_note(d->ds->xs, d->domid, console_tty(d->con));
}

static int parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	if (!s || *s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || *end || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

static void dom_extras(struct dom *d, const char *name)
{
	const struct extras_of of = { .cs = d->ds->cs,
				      .h = d->ds->h,
				      .xs = d->ds->xs,
				      .domid = d->domid,
				      .born_ns = d->born_ns,
				      .name = name,
				      .added = d->ds->ops.added,
				      .arg = d->ds->ops.arg };
	int r;

	if (d->extras) {
		extras_rename(d->extras, name);
		return;
	}
	r = extras_new(&of, &d->extras);
	if (r < 0 && log_window_open(&d->told, 60, NULL))
		(void)log_warn(r, "domain %u: further consoles", d->domid);
}

/* Act on what XenStore says now. */
static void dom_apply(struct dom *d, const struct reading *rd)
{
	const char *name = rd->v[V_NAME].val, *type = rd->v[V_TYPE].val;
	const struct slot_id id = { .domid = d->domid, .con = 0, .born_ns = d->born_ns };
	uint64_t gfn, port;
	int r = 0;

	if (d->con && name)
		console_rename(d->con, name);
	if (name && !d->dying)
		dom_extras(d, name);
	if (parse_u64(rd->v[V_RING].val, UINT64_MAX >> 12, &gfn) < 0 ||
	    parse_u64(rd->v[V_PORT].val, UINT32_MAX, &port) < 0 || !port)
		return; /* not there yet: the watch tells */
	if (type && strcmp(type, "xenconsoled") != 0)
		return; /* somebody else's, as QEMU's */
	if (d->con && (console_connected(d->con) || d->dying) && d->gfn == gfn && d->port == port)
		return;
	if (!d->con)
		r = console_new(d->ds->cs, &id, name ? name : "", &d->con);
	if (r == 0 && !console_connected(d->con))
		tell_tty(d);
	if (r == 0)
		r = dom_connect(d, gfn, (uint32_t)port);
	d->retry = r < 0;
	if (r < 0) {
		scan_in(d->ds, RETRY_MS);
		if (r != -ENOTCONN && log_window_open(&d->told, 60, NULL))
			(void)log_warn(r, "domain %u: console page %" PRIu64 " port %" PRIu64,
				       d->domid, gfn, port);
		return;
	}
	if (d->dying)
		console_disconnect(d->con); /* it was for what is in the ring */
	d->ds->ops.added(d->ds->ops.arg);
}

/* ---- reading from XenStore ---- */

static void dom_read(struct dom *d);

static void reading_free(struct reading *rd)
{
	for (int i = 0; i < V_COUNT; i++)
		free(rd->v[i].val);
	free(rd);
}

static void reading_done(struct reading *rd)
{
	struct dom *d = rd->dom;
	bool whole = true;

	for (int i = 0; i < V_COUNT; i++)
		whole = whole && (rd->v[i].err == 0 || rd->v[i].err == -ENOENT);
	if (d) {
		d->reading = NULL;
		/* A broken connection comes back with fresh watch events. */
		if (whole)
			dom_apply(d, rd);
		if (d->again)
			dom_read(d);
	}
	reading_free(rd);
}

static void on_value(void *arg, int r, const uint8_t *body, size_t len)
{
	struct reading_item *it = arg;
	struct reading *rd = it->r;

	it->err = r;
	if (r == 0 && len <= VALUE_MAX && memchr(body, '\0', len) == NULL) {
		it->val = strndup((const char *)body, len);
		if (!it->val)
			it->err = -ENOMEM;
	}
	if (--rd->left == 0)
		reading_done(rd);
}

static void dom_read(struct dom *d)
{
	struct reading *rd;
	char path[64];

	d->again = d->reading != NULL;
	if (d->again)
		return;
	rd = sys_zalloc(sizeof(*rd));
	if (!rd) {
		d->retry = true;
		scan_in(d->ds, RETRY_MS);
		return;
	}
	rd->dom = d;
	d->reading = rd;
	rd->left = 1; /* held while queueing */
	for (int i = 0; i < V_COUNT; i++) {
		rd->v[i].r = rd;
		snprintf(path, sizeof(path), "/local/domain/%u/%s", d->domid, value_paths[i]);
		rd->v[i].err = xs_read(d->ds->xs, 0, path, on_value, &rd->v[i]);
		if (rd->v[i].err == 0)
			rd->left++;
	}
	if (--rd->left == 0)
		reading_done(rd);
}

static void on_dom_watch(void *arg, const char *path)
{
	dom_read(arg);
}

/* ---- a domain's life ---- */

static void dom_ended(struct dom *d, const struct hvc_dominfo *info)
{
	static const char *const marks[] = {
		[SHUTDOWN_poweroff] = "domain powered off",
		[SHUTDOWN_reboot] = "domain rebooting",
		[SHUTDOWN_suspend] = "domain suspended",
		[SHUTDOWN_crash] = "domain crashed",
		[SHUTDOWN_watchdog] = "domain crashed: its watchdog was not fed",
		[SHUTDOWN_soft_reset] = "domain reset itself",
	};
	uint32_t why = info->shutdown_reason;
	char text[256], detail[sizeof(info->crash_detail) + 1];

	d->ended = true;
	if (!d->con && !d->extras)
		return;
	snprintf(detail, sizeof(detail), "%.*s", (int)sizeof(info->crash_detail),
		 info->crash_detail);
	if (info->flags & HVC_DOM_SHUTDOWN)
		snprintf(text, sizeof(text), "%s",
			 why < sizeof(marks) / sizeof(marks[0]) ? marks[why] : "domain shut down");
	if (!(info->flags & HVC_DOM_SHUTDOWN))
		snprintf(text, sizeof(text), "domain crashed: %s",
			 *detail ? detail : "its process died");
	else if (why == SHUTDOWN_crash)
		snprintf(text, sizeof(text), "domain crashed: %s",
			 *detail ? detail : "no detail known");
	if (d->con)
		console_ended(d->con, text);
	extras_ended(d->extras, text);
}

/* A dying domain writes no more, and Xen does not free it before its pages are
 * unmapped: take what is in its rings and let go of them. */
static void dom_let_go(struct dom *d)
{
	d->dying = true;
	if (d->con)
		console_disconnect(d->con);
	d->extras = extras_free(d->extras, 1);
}

static void dom_note(struct dom *d, const struct hvc_dominfo *info)
{
	if (info->flags & (HVC_DOM_SHUTDOWN | HVC_DOM_DYING)) {
		dom_ended(d, info); /* again for a console that was connected since */
		if (info->flags & HVC_DOM_DYING)
			dom_let_go(d);
	} else if (d->ended) {
		d->ended = false;
		if (d->con)
			console_resumed(d->con);
		extras_resumed(d->extras);
	}
}

static struct dom *dom_find(struct doms *ds, uint16_t domid)
{
	struct dom *d;

	TAILQ_FOREACH(d, &ds->list, link)
	if (d->domid == domid)
		return d;
	return NULL;
}

static void dom_free(struct dom *d)
{
	for (int i = 0; i < 2; i++)
		xs_watch_free(d->watches[i]);
	extras_free(d->extras, 0);
	if (d->reading)
		d->reading->dom = NULL;
	TAILQ_REMOVE(&d->ds->list, d, link);
	free(d);
}

static void dom_gone(struct dom *d)
{
	if (d->con) {
		console_ended(d->con, "domain destroyed");
		console_close(d->con);
	}
	extras_ended(d->extras, "domain destroyed");
	d->extras = extras_free(d->extras, 1);
	dom_free(d);
}

static int dom_new(struct doms *ds, const struct hvc_dominfo *info, struct dom **ret)
{
	static const char *const watched[2] = { "name", "console" };
	struct dom *d = sys_zalloc(sizeof(*d));
	char path[64];
	int r = 0;

	if (!d)
		return -ENOMEM;
	d->ds = ds;
	d->domid = info->domid;
	d->born_ns = info->created_ns;
	TAILQ_INSERT_TAIL(&ds->list, d, link);
	for (int i = 0; i < 2 && r == 0; i++) {
		snprintf(path, sizeof(path), "/local/domain/%u/%s", d->domid, watched[i]);
		r = xs_watch_new(ds->xs, path, on_dom_watch, d, &d->watches[i]);
	}
	if (r < 0) {
		dom_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

/* One domain as the hypervisor describes it. */
static void dom_see(struct doms *ds, const struct hvc_dominfo *info)
{
	struct dom *d = dom_find(ds, info->domid);
	int r;

	if (info->domid == 0)
		return;
	if (d && d->born_ns != info->created_ns) { /* the number was used again */
		dom_gone(d);
		d = NULL;
	}
	if (!d) {
		r = dom_new(ds, info, &d);
		if (r < 0) {
			(void)log_err(r, "domain %u", info->domid);
			scan_in(ds, RETRY_MS);
			return;
		}
	}
	d->seen = true;
	dom_note(d, info);
	if (d->retry) {
		d->retry = false;
		dom_read(d);
	}
}

static void dom_look(struct doms *ds, uint16_t domid)
{
	struct hvc_dominfo info;
	struct dom *d;
	int r = hvc_dominfo(ds->h, domid, &info);

	if (r == 0) {
		dom_see(ds, &info);
	} else if (r == -ESRCH) {
		d = dom_find(ds, domid);
		if (d)
			dom_gone(d);
	} else {
		scan_in(ds, RETRY_MS);
	}
}

/* ---- leftovers of a consoled before us ---- */

struct leftover {
	struct state *state;
	struct slot *slot;
};

static void leftover_gone(void *arg)
{
	struct leftover *lo = arg;

	state_del(lo->state, lo->slot);
	free(lo);
}

static void leftover_room(void *arg) {}

/* The spool of a domain that does not exist any more goes to its log. */
static void leftover_slot(void *arg, struct slot *s)
{
	struct doms *ds = arg;
	struct slot_id id = slot_id(s);
	struct dom *d = dom_find(ds, id.domid);
	struct leftover *lo;
	struct logsrc *src;

	if (id.domid == SLOT_HV || (d && d->born_ns == id.born_ns))
		return;
	lo = sys_zalloc(sizeof(*lo));
	if (!lo)
		return; /* kept for the next start */
	*lo = (struct leftover){ .state = ds->cs->state, .slot = s };
	if (logsrc_new(ds->cs->logs, s, true, leftover_room, lo, &src) < 0)
		free(lo);
	else
		logsrc_close(src, leftover_gone, lo);
}

/* ---- all domains ---- */

static int list_all(struct doms *ds)
{
	struct hvc_dominfo *infos = sys_zalloc(LIST_N * sizeof(*infos));
	uint32_t first = 0;
	int n = -ENOMEM;

	while (infos && first < HVC_DOMID_FIRST_RESERVED) {
		n = hvc_domlist(ds->h, (uint16_t)first, infos, LIST_N);
		for (int i = 0; i < n; i++)
			dom_see(ds, &infos[i]);
		if (n < LIST_N)
			break;
		first = infos[n - 1].domid + 1u;
	}
	free(infos);
	return n < 0 ? n : 0;
}

static void on_scan(evutil_socket_t fd, short what, void *arg)
{
	struct doms *ds = arg;
	struct dom *d, *next;

	TAILQ_FOREACH(d, &ds->list, link)
	d->seen = false;
	if (list_all(ds) < 0) {
		scan_in(ds, RETRY_MS); /* nothing is known: nobody is gone */
		return;
	}
	for (d = TAILQ_FIRST(&ds->list); d; d = next) {
		next = TAILQ_NEXT(d, link);
		if (!d->seen)
			dom_gone(d);
	}
	if (!ds->adopted && ds->cs->logs)
		state_each(ds->cs->state, leftover_slot, ds);
	ds->adopted = true;
}

static void on_hv_event(evutil_socket_t fd, short what, void *arg)
{
	struct doms *ds = arg;
	struct hvc_event e;

	for (int i = 0; i < 64 && hvc_event_next(ds->h, &e) > 0; i++) {
		if (e.kind == HVC_EV_RESYNC)
			scan_in(ds, 0);
		else
			dom_look(ds, e.domid);
	}
	ds->ops.event(ds->ops.arg);
}

static void on_special(void *arg, const char *path)
{
	scan_in(arg, SCAN_MS);
}

static void on_xs(void *arg, bool up)
{
	if (!up)
		(void)log_warn(0, "xenstored went away: coming back to it");
}

int doms_exists(void *arg, uint16_t domid)
{
	struct doms *ds = arg;
	struct hvc_dominfo info;
	int r;

	if (dom_find(ds, domid))
		return 1;
	r = hvc_dominfo(ds->h, domid, &info);
	return r == 0 ? 1 : r == -ESRCH ? 0 : r;
}

int doms_new(struct conset *cs, struct hvc *h, const char *xs_path, const struct doms_ops *ops,
	     struct doms **ret)
{
	struct doms *ds = sys_zalloc(sizeof(*ds));
	int r, fd;

	if (!ds)
		return -ENOMEM;
	ds->cs = cs;
	ds->h = h;
	ds->ops = *ops;
	TAILQ_INIT(&ds->list);
	(void)evtimer_assign(&ds->scan, cs->base, on_scan, ds);
	r = xs_client_new(cs->base, xs_path, on_xs, ds, &ds->xs);
	if (r == 0)
		r = xs_watch_new(ds->xs, "@introduceDomain", on_special, ds, &ds->intro);
	if (r == 0)
		r = xs_watch_new(ds->xs, "@releaseDomain", on_special, ds, &ds->release);
	fd = r == 0 ? hvc_event_fd(h) : r;
	if (fd >= 0) {
		ds->hv_ev = event_new(cs->base, fd, EV_READ | EV_PERSIST, on_hv_event, ds);
		if (!ds->hv_ev || event_add(ds->hv_ev, NULL) < 0)
			fd = -ENOMEM;
	}
	if (fd < 0) {
		doms_free(ds);
		return fd;
	}
	scan_in(ds, 0);
	*ret = ds;
	return 0;
}

struct doms *doms_free(struct doms *ds)
{
	if (!ds)
		return NULL;
	while (!TAILQ_EMPTY(&ds->list))
		dom_free(TAILQ_FIRST(&ds->list));
	evtimer_del(&ds->scan);
	if (ds->hv_ev)
		event_free(ds->hv_ev);
	xs_watch_free(ds->intro);
	xs_watch_free(ds->release);
	xs_client_free(ds->xs); /* pending reads end with -ECANCELED */
	free(ds);
	return NULL;
}
