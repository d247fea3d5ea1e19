/* backends/warden.c - which guests have devices, and a backend for each of them. */
#include "backends/warden.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/warden_int.h"
#include "daemons/clock.h"
#include "daemons/listen.h"
#include "daemons/opts.h"
#include "daemons/paths.h"
#include "daemons/privs.h"
#include "daemons/sys.h"
#include "hv/client/hvc.h"

#define GONE_GRACE_NS 10000000000ull /* for a backend whose guest has no device any more */
#define END_WAIT_MS   5000

void warden_look_in(struct warden *w, unsigned ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 }, left;

	if (event_pending(w->look, EV_TIMEOUT, &left)) {
		struct timeval now;

		event_base_gettimeofday_cached(w->base, &now);
		timeradd(&now, &tv, &now);
		if (timercmp(&left, &now, <))
			return; /* sooner anyway */
	}
	(void)event_add(w->look, &tv); /* a re-add moves the time; no memory is needed then */
}

/* Backends write much of what is below a device: that changes nothing here. */
static void on_watch(void *arg, const char *path)
{
	struct warden *w = arg;
	size_t n = strlen(w->folder);
	const char *rest = strncmp(path, w->folder, n) == 0 ? path + n : "";

	for (int i = 0; rest && i < 2; i++) /* past /DOMID/DEVID */
		rest = rest[0] == '/' ? strchr(rest + 1, '/') : NULL;
	for (const char *const *k = w->kind->writes; rest && *k; k++)
		if (strcmp(rest + 1, *k) == 0)
			return;
	warden_look_in(w, 1);
}

/* ---- guests ---- */

static void guest_free(struct guest *g)
{
	doors_close(g);
	child_fini(g);
	dev_drop_all(g);
	free(g);
}

static int guest_new(struct warden *w, uint16_t domid, struct guest **ret)
{
	struct guest *g = sys_zalloc(sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	*g = (struct guest){ .w = w,
			     .domid = domid,
			     .uid = (uid_t)(w->cfg.uid_base + domid),
			     .pidfd = -1,
			     .log_fd = -1 };
	for (int i = 0; i < DOORS; i++)
		g->doors[i].fd = -1;
	snprintf(g->dir, sizeof(g->dir), "%s/%.8s-%u", w->run, w->kind->kind, domid);
	r = doors_open(g);
	if (r >= 0)
		r = child_open_log(g);
	if (r < 0) {
		guest_free(g);
		return log_err(r, "guest %u: the folder of its backend", domid);
	}
	g->next = w->guests;
	w->guests = g;
	*ret = g;
	return 0;
}

static struct guest *guest_find(struct warden *w, uint16_t domid)
{
	struct guest *g = w->guests;

	while (g && g->domid != domid)
		g = g->next;
	return g;
}

/* "5", and nothing else that strtoul would take; 0: not a guest's number. */
static uint16_t guest_number(const char *text)
{
	char *end;
	unsigned long n = text[0] >= '1' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;

	return n && !*end && n < HVC_DOMID_FIRST_RESERVED ? (uint16_t)n : 0;
}

static bool device_number(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || n > UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

/* ---- the look ---- */

/* 1: it has devices, 0: none; or a negative errno. */
static int see_devices(struct warden *w, const char *name, uint16_t domid)
{
	struct guest *g = guest_find(w, domid);
	char path[64], *names = NULL;
	uint32_t devid;
	size_t len = 0;
	int r;

	snprintf(path, sizeof(path), "%s/%.8s", w->folder, name);
	r = xs_sync_directory(w->xs, 0, path, &names, &len);
	if (r == 0 && len && !g)
		r = guest_new(w, domid, &g);
	for (struct device *d = g ? g->devs : NULL; r == 0 && d; d = d->next)
		d->seen = false;
	for (size_t at = 0; r == 0 && at < len; at += strlen(names + at) + 1)
		if (device_number(names + at, &devid))
			r = dev_saw(g, devid);
	free(names);
	if (r == 0 && g)
		dev_drop_unseen(g);
	if (r == 0 && len)
		g->seen = true;
	return r < 0 && r != -ENOENT ? r : len > 0;
}

/* One whose devices are gone ends by itself; it gets some time for that. */
static bool is_over(struct warden *w, struct guest *g)
{
	uint64_t now = clock_mono_ns();

	if (!g->pid)
		return true;
	if (!g->gone_ns)
		g->gone_ns = now;
	if (now - g->gone_ns > GONE_GRACE_NS)
		child_kill(g, SIGKILL);
	warden_look_in(w, 1000);
	return false;
}

static void sort_out(struct warden *w)
{
	uint64_t now = clock_mono_ns();

	for (struct guest **at = &w->guests; *at;) {
		struct guest *g = *at;
		char dir[sizeof(g->dir)];

		if (!g->seen && is_over(w, g)) {
			*at = g->next;
			memcpy(dir, g->dir, sizeof(dir));
			guest_free(g);
			dev_remove_folder(dir);
			continue;
		}
		if (g->seen) {
			g->gone_ns = 0;
			if (!g->pid && now >= g->due_ns)
				(void)child_spawn(g); /* logs, and is tried again */
			else if (!g->pid)
				warden_look_in(w, (unsigned)((g->due_ns - now) / 1000000) + 1);
		} else {
			dev_drop_unseen(g);
		}
		at = &g->next;
	}
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct warden *w = arg;
	char *names = NULL;
	size_t len = 0;
	int r = xs_sync_directory(w->xs, 0, w->folder, &names, &len);

	if (r == -ENOENT)
		r = 0;
	for (struct guest *g = w->guests; r == 0 && g; g = g->next)
		g->seen = false;
	for (size_t at = 0; r >= 0 && at < len; at += strlen(names + at) + 1) {
		uint16_t domid = guest_number(names + at);

		if (domid)
			r = see_devices(w, names + at, domid);
	}
	free(names);
	if (r < 0)
		warden_look_in(w, 200); /* nothing is known: nothing is done */
	else
		sort_out(w);
}

/* ---- start ---- */

/* Backends of a former warden go on; folders that nobody lives in are removed. */
static int adopt(struct warden *w)
{
	char prefix[16];
	struct dirent *e;
	DIR *dir = opendir(w->run);
	int r = 0;

	if (!dir)
		return -errno;
	snprintf(prefix, sizeof(prefix), "%.8s-", w->kind->kind);
	while (r == 0 && (e = readdir(dir))) {
		struct guest *g = NULL;
		uint16_t domid;

		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		domid = guest_number(e->d_name + strlen(prefix));
		if (!domid)
			continue;
		r = guest_new(w, domid, &g);
		if (r == 0)
			(void)child_adopt(g); /* else the look starts one, or removes the folder */
	}
	closedir(dir);
	return r;
}

static void on_term(evutil_socket_t sig, short what, void *arg)
{
	event_base_loopbreak(((struct warden *)arg)->base);
}

static void on_visit(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int n,
		     void *arg)
{
	evutil_closesocket(fd); /* that there is somebody was the answer */
}

static int find_binary(struct warden *w)
{
	char self[PATH_MAX];
	ssize_t n;

	if (w->cfg.binary) {
		snprintf(w->binary, sizeof(w->binary), "%s", w->cfg.binary);
	} else {
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		if (n < 0)
			return -errno;
		self[n] = '\0';
		n = snprintf(w->binary, sizeof(w->binary), "%s/%s", dirname(self),
			     w->kind->program);
		if (n >= (ssize_t)sizeof(w->binary))
			return -ENAMETOOLONG;
	}
	return access(w->binary, X_OK) < 0 ? -errno : 0;
}

static int open_door(struct warden *w)
{
	gid_t group = (gid_t)-1;
	char path[108];
	int fd, r;

	if (w->cfg.group) {
		r = privs_lookup_group(w->cfg.group, &group);
		if (r < 0)
			return r;
	}
	if (!w->kind->door(path))
		return -ENAMETOOLONG;
	fd = listen_unix(path, SOCK_STREAM, 0660, group);
	if (fd < 0)
		return fd;
	w->door = evconnlistener_new(w->base, on_visit, w, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (!w->door) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

static int find_folders(struct warden *w)
{
	int n = snprintf(w->run, sizeof(w->run), "%s/backend", path_run());

	if (n >= (int)sizeof(w->run) || !path_hvd_sock(w->hv_path) ||
	    !path_xenstored_sock(w->xs_path))
		return -ENAMETOOLONG;
	if ((mkdir(path_run(), 0755) < 0 && errno != EEXIST) ||
	    (mkdir(w->run, 0700) < 0 && errno != EEXIST))
		return -errno;
	snprintf(w->folder, sizeof(w->folder), "/local/domain/0/backend/%.8s", w->kind->kind);
	return 0;
}

/* On a real Xen a backend needs its device nodes and calls on them. */
static void choose_walls(struct warden *w)
{
	bool xen = hvc_is_xen(NULL);

	w->jailed = !xen && geteuid() == 0;
	if (!w->jailed)
		(void)log_warn(0, "backends run without a jail: %s",
			       xen ? "on a real Xen they need /dev/xen" : "this is not root");
}

static int add_events(struct warden *w)
{
	static const int sigs[] = { SIGTERM, SIGINT };

	w->base = event_base_new();
	w->look = w->base ? event_new(w->base, -1, 0, on_look, w) : NULL;
	if (!w->look)
		return -ENOMEM;
	for (int i = 0; i < 2; i++) {
		w->sigs[i] = evsignal_new(w->base, sigs[i], on_term, w);
		if (!w->sigs[i] || event_add(w->sigs[i], NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int start(struct warden *w)
{
	int r = find_binary(w);

	if (r < 0)
		return log_err(r, "%s", w->binary);
	choose_walls(w);
	r = find_folders(w);
	if (r < 0)
		return log_err(r, "the folder %s", w->run);
	r = add_events(w);
	if (r == 0 && w->kind->start)
		r = w->kind->start(w->base, &w->arg);
	if (r < 0)
		return log_err(r, "start");
	r = xs_sync_open(NULL, &w->xs);
	if (r < 0)
		return log_err(r, "XenStore");
	r = open_door(w); /* before anything is touched: there may be another one */
	if (r < 0)
		return log_err(r, "the socket of %s", w->kind->daemon);
	r = adopt(w);
	if (r == 0)
		r = xs_client_new(w->base, NULL, NULL, NULL, &w->watcher);
	if (r == 0)
		r = xs_watch_new(w->watcher, w->folder, on_watch, w, &w->watch);
	if (r < 0)
		return log_err(r, "start");
	on_look(-1, 0, w);
	return notify_manager("READY=1") < 0 ? -EIO : 0;
}

/* ---- end ---- */

/* Asked to end we take the backends with us: the next warden's go on with the
 * same rings.  Only if we are killed do they stay. */
static void end_children(struct warden *w)
{
	int left = END_WAIT_MS;

	for (struct guest *g = w->guests; g; g = g->next)
		child_kill(g, SIGTERM);
	for (struct guest *g = w->guests; g; g = g->next) {
		struct pollfd p = { .fd = g->pidfd, .events = POLLIN };
		uint64_t from = clock_mono_ns();

		if (!g->pid)
			continue;
		if (poll(&p, 1, left) <= 0)
			child_kill(g, SIGKILL);
		left -= (int)((clock_mono_ns() - from) / 1000000);
		if (left < 0)
			left = 0;
		if (g->ours)
			(void)waitid(P_PIDFD, (id_t)g->pidfd, &(siginfo_t){ 0 }, WEXITED);
	}
}

static void end(struct warden *w)
{
	end_children(w);
	if (w->door)
		evconnlistener_free(w->door);
	if (w->watch)
		xs_watch_free(w->watch);
	if (w->watcher)
		xs_client_free(w->watcher);
	while (w->guests) {
		struct guest *g = w->guests;

		w->guests = g->next;
		guest_free(g);
	}
	if (w->xs)
		xs_sync_close(w->xs);
	if (w->arg && w->kind->stop)
		w->kind->stop(w->arg);
	for (int i = 0; i < 2; i++)
		if (w->sigs[i])
			event_free(w->sigs[i]);
	if (w->look)
		event_free(w->look);
	if (w->base)
		event_base_free(w->base);
}

int warden_main(int argc, char **argv, const struct warden_kind *kind)
{
	char err[256], usage[64], uid_base[24];
	struct warden w = { .kind = kind };
	int r;
	const struct opt options[] = {
		{ "socket-group", 'g', OPT_STR, NULL, 0, 0, offsetof(struct warden_config, group),
		  "group of the socket that says this daemon is there" },
		{ "backend-binary", 'b', OPT_STR, NULL, 0, 0,
		  offsetof(struct warden_config, binary),
		  "the program for a guest (default: beside this one)" },
		{ "uid-base", 0, OPT_U64, uid_base, 1000, 0x70000000,
		  offsetof(struct warden_config, uid_base),
		  "the backend of guest N is user uid-base + N" },
		{ NULL },
	};

	log_init(kind->daemon, LOG_INFO_);
	snprintf(uid_base, sizeof(uid_base), "%llu", (unsigned long long)kind->uid_base);
	snprintf(usage, sizeof(usage), "%s [options]", kind->daemon);
	r = opts_parse(options, usage, argc, argv, &w.cfg, err, sizeof(err));
	if (r < 0) {
		if (r != -ECANCELED)
			fprintf(stderr, "%s: %s\n", kind->daemon, err);
		return r == -ECANCELED ? 0 : 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = start(&w);
	if (r == 0)
		event_base_dispatch(w.base);
	end(&w);
	opts_fini(options, &w.cfg);
	return r < 0;
}
