/* apid/watch.c - keeps the registry true to the hypervisor. */
#include "apid/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apid/actions.h"
#include "apid/ids.h"
#include "daemons/clock.h"
#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/paths.h"
#include "daemons/sys.h"

#define LOOK_MS	   1000
#define DOWN_MS	   250 /* between tries while hvd or XenStore is away */
#define PARTS_S	   5u  /* between looks at the other daemons */
#define LIST_CHUNK 256

struct watch {
	struct apid *a;
	struct worker w;
	pthread_t thread;
	struct hvc_dominfo *list;
	size_t n, cap;
	uint64_t parts_at_ns;
	bool recovered, hv_known, host_nodes;
	_Atomic bool stop;
};

static int read_list(struct watch *w)
{
	uint16_t first = 1;
	int n;

	w->n = 0;
	do {
		if (w->cap - w->n < LIST_CHUNK) {
			struct hvc_dominfo *p =
				sys_realloc(w->list, (w->cap + LIST_CHUNK) * sizeof(*p));

			if (!p)
				return -ENOMEM;
			w->list = p;
			w->cap += LIST_CHUNK;
		}
		n = hvc_domlist(w->w.ts.h, first, w->list + w->n, LIST_CHUNK);
		if (n < 0)
			return n;
		w->n += (size_t)n;
		if (n)
			first = (uint16_t)(w->list[w->n - 1].domid + 1);
	} while (n == LIST_CHUNK);
	return 0;
}

static const struct hvc_dominfo *in_list(const struct watch *w, uint16_t domid)
{
	size_t lo = 0, hi = w->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->list[mid].domid == domid)
			return &w->list[mid];
		if (w->list[mid].domid < domid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* A guest has come to its end if its domain says so or isn't there any more.
 * One that is being started isn't looked at: its task does. */
static void compare_one(struct watch *w, struct dom *d)
{
	const struct hvc_dominfo *i;

	if (!d->domid)
		return;
	i = in_list(w, d->domid);
	if (i && i->created_ns != d->created_ns)
		i = NULL;
	if (i) {
		d->info = *i;
		d->info_ok = true;
	}
	if (!d->running || d->ending)
		return;
	if (i && !(i->flags & (HVC_DOM_SHUTDOWN | HVC_DOM_DYING)))
		return;
	if (i && d->end.at_ms)
		return;		   /* preserved: dealt with */
	(void)action_end(w->a, d); /* logged; tried again at the next look */
}

static void compare(struct watch *w)
{
	doms_lock(w->a->doms);
	for (size_t k = 0; k < w->a->doms->n; k++)
		compare_one(w, w->a->doms->v[k]);
	doms_unlock(w->a->doms);
}

static void tell(struct watch *w, const char *type)
{
	if (db_begin(w->a->db) < 0)
		return;
	(void)events_add(w->a->ev, type, NULL, "{}"); /* for show */
	if (db_commit(w->a->db) == 0)
		events_kick(w->a->ev);
}

static void set_hv(struct watch *w, bool up)
{
	struct host_state *s = &w->a->host;
	bool was;

	pthread_mutex_lock(&s->lock);
	was = s->hv_up;
	s->hv_up = up;
	pthread_mutex_unlock(&s->lock);
	if (w->hv_known && was == up)
		return;
	if (!up)
		log_warn(0, "hvd does not answer; guests run on, nothing can be started");
	else if (w->hv_known)
		log_info("hvd is back");
	if (w->hv_known || up)
		tell(w, up ? "host.hypervisor-back" : "host.hypervisor-lost");
	w->hv_known = true;
}

/* ---- recovery ---- */

/* A transient domain that is neither running nor about to: its create was cut
 * off before the task was written. */
static void sweep(struct watch *w)
{
	struct doms *ds = w->a->doms;
	struct problem p;
	bool again = true;

	doms_lock(ds);
	while (again) {
		again = false;
		for (size_t i = 0; i < ds->n && !again; i++) {
			struct dom *d = ds->v[i];

			if (d->persistent || d->domid || d->remnant ||
			    tasks_has_open(w->a->tasks, d->uuid, NULL))
				continue;
			log_info("'%s': its creation was cut off: forgotten", d->name);
			again = doms_undefine(ds, d, &p) == 0;
		}
	}
	doms_unlock(ds);
}

/* The host's and the hypervisor's start: changes when guests could not have
 * survived, so that autostart happens once. */
static void boot_mark(char ret[96], uint64_t hv_boot)
{
	char id[40] = "?";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f) {
		if (fscanf(f, "%39s", id) != 1)
			strcpy(id, "?");
		fclose(f);
	}
	snprintf(ret, 96, "%s %llu", id, (unsigned long long)hv_boot);
}

static void autostart(struct watch *w, uint64_t hv_boot)
{
	char mark[96], id[UUID_LEN + 1], *old = NULL;
	struct apid *a = w->a;
	struct problem p;

	boot_mark(mark, hv_boot);
	(void)db_meta_get(a->db, "boot", &old); /* NULL: as if it were the first */
	if (old && strcmp(old, mark) == 0) {
		free(old);
		return;
	}
	free(old);
	doms_lock(a->doms);
	for (size_t i = 0; i < a->doms->n; i++) {
		struct dom *d = a->doms->v[i];

		if (!d->autostart || !d->persistent || d->domid ||
		    tasks_has_open(a->tasks, d->uuid, NULL))
			continue;
		log_info("starting '%s' by itself", d->name);
		if (tasks_submit(a->tasks, "domain.start", d->uuid, d->name, NULL, id, &p) < 0)
			log_warn(0, "'%s': %s", d->name, p.detail);
	}
	doms_unlock(a->doms);
	(void)db_meta_set(a->db, "boot", mark); /* else they are looked at once more */
}

/* The task that was to handle an end is among those recovered. */
static void mark_ending(struct watch *w)
{
	struct doms *ds = w->a->doms;

	doms_lock(ds);
	for (size_t i = 0; i < ds->n; i++)
		if (tasks_has_open(w->a->tasks, ds->v[i]->uuid, "domain.end"))
			ds->v[i]->ending = true;
	doms_unlock(ds);
}

static void recover(struct watch *w)
{
	struct hvc_hostinfo hi;
	int r = tasks_recover(w->a->tasks);

	if (r < 0)
		log_err(r, "unfinished tasks can't be read");
	mark_ending(w);
	sweep(w);
	for (size_t i = 0; i < w->n; i++) {
		struct dom *d = w->a->doms->by_domid[w->list[i].domid];

		if (!d || d->created_ns != w->list[i].created_ns)
			log_warn(0, "domain %u is not one of ours; left alone", w->list[i].domid);
	}
	w->recovered = true;
	if (hvc_hostinfo(w->w.ts.h, &hi) == 0)
		autostart(w, hi.boot_time_s);
	tasks_open_gates(w->a->tasks);
}

/* ---- the other parts ---- */

static void look_ttys(struct watch *w)
{
	struct doms *ds = w->a->doms;
	uint16_t want[32];
	size_t n = 0;

	if (!w->w.ts.xs)
		return;
	doms_lock(ds);
	for (size_t i = 0; i < ds->n && n < 32; i++)
		if (ds->v[i]->domid && ds->v[i]->running && !ds->v[i]->tty)
			want[n++] = ds->v[i]->domid;
	doms_unlock(ds);
	for (size_t i = 0; i < n; i++) {
		char *tty = NULL;

		if (layout_tty(w->w.ts.xs, want[i], &tty) < 0)
			continue;
		doms_lock(ds);
		if (*tty && ds->by_domid[want[i]] && !ds->by_domid[want[i]]->tty) {
			ds->by_domid[want[i]]->tty = tty;
			tty = NULL;
		}
		doms_unlock(ds);
		free(tty);
	}
}

/* A folder under /local/domain of a domain that does not exist: somebody wrote
 * there just after it was removed.  Domains begin in the hypervisor, so what is
 * there without one is left over. */
static void sweep_nodes(struct watch *w)
{
	char *names = NULL, path[64];
	struct hvc_dominfo info;
	size_t len = 0;

	if (xs_sync_directory(w->w.ts.xs, 0, "/local/domain", &names, &len) < 0)
		return;
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		unsigned long id = strtoul(names + at, NULL, 10);

		if (id == 0 || id >= HVC_DOMID_FIRST_RESERVED || in_list(w, (uint16_t)id) ||
		    hvc_dominfo(w->w.ts.h, (uint16_t)id, &info) != -ESRCH)
			continue;
		snprintf(path, sizeof(path), "/local/domain/%lu", id);
		(void)xs_sync_rm(w->w.ts.xs, 0, path); /* or the next time */
	}
	free(names);
}

static void look_parts(struct watch *w)
{
	struct host_state *s = &w->a->host;
	struct hvc_hostinfo hi;
	struct problem p;
	char path[108];
	bool xs, con, info;
	int fd;

	xs = ts_xs(&w->w.ts, &p) == 0;
	if (xs && !w->host_nodes) {
		w->host_nodes = layout_host(w->w.ts.xs) == 0;
	} else if (!xs) {
		w->host_nodes = false;
	}
	if (xs) {
		leftovers_retry(&w->w);
		sweep_nodes(w);
	}
	fd = path_consoled_sock(path) ? connect_unix(path, SOCK_STREAM) : -ENAMETOOLONG;
	con = fd >= 0;
	if (fd >= 0)
		close(fd);
	info = hvc_hostinfo(w->w.ts.h, &hi) == 0;
	pthread_mutex_lock(&s->lock);
	if (s->xs_up && !xs)
		log_warn(0, "%s", p.detail);
	s->xs_up = xs;
	s->con_up = con;
	if (info) {
		s->info = hi;
		s->have_info = true;
	}
	pthread_mutex_unlock(&s->lock);
}

static bool parts_down(struct watch *w)
{
	struct host_state *s = &w->a->host;
	bool down;

	pthread_mutex_lock(&s->lock);
	down = !s->hv_up || !s->xs_up;
	pthread_mutex_unlock(&s->lock);
	return down;
}

static void *watch_loop(void *arg)
{
	struct watch *w = arg;
	struct hvc_event ev;
	eventfd_t n;

	while (!w->stop) {
		struct pollfd pfd[2] = { { .fd = hvc_event_fd(w->w.ts.h), .events = POLLIN },
					 { .fd = w->a->watch_fd, .events = POLLIN } };
		int r;

		while (hvc_event_next(w->w.ts.h, &ev) > 0)
			;				/* hints: the list below is the truth */
		(void)eventfd_read(w->a->watch_fd, &n); /* EAGAIN: nobody asked */
		r = read_list(w);
		set_hv(w, r == 0);
		if (r == 0 && !w->recovered)
			recover(w);
		if (r == 0)
			compare(w);
		if (clock_mono_ns() - w->parts_at_ns > PARTS_S * 1000000000ull || parts_down(w)) {
			look_parts(w);
			w->parts_at_ns = clock_mono_ns();
		}
		if (!parts_down(w))
			look_ttys(w);
		(void)poll(pfd, 2, parts_down(w) ? DOWN_MS : LOOK_MS); /* EINTR: look again */
	}
	return NULL;
}

int watch_start(struct apid *a, struct watch **ret)
{
	struct watch *w = sys_zalloc(sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->a = a;
	w->w.a = a;
	r = ts_init(&w->w.ts);
	if (r == 0) {
		r = -pthread_create(&w->thread, NULL, watch_loop, w);
		if (r < 0)
			ts_fini(&w->w.ts);
	}
	if (r < 0) {
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct watch *watch_stop(struct watch *w)
{
	if (!w)
		return NULL;
	w->stop = true;
	apid_watch_now(w->a);
	pthread_join(w->thread, NULL);
	ts_fini(&w->w.ts);
	free(w->list);
	free(w);
	return NULL;
}
