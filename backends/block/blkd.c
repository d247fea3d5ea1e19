/* backends/block/blkd.c - keeps one blkback running for each guest that has disks.
 *
 * Watches /local/domain/0/backend/vbd.  A blkback that is killed is started
 * again at once; with blkd itself they all end (PR_SET_PDEATHSIG) and its
 * successor starts them anew: guests see neither.  Its socket says that there
 * is a block backend on this host; nothing is spoken on it.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemons/clock.h"
#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/opts.h"
#include "daemons/paths.h"
#include "daemons/privs.h"
#include "daemons/sys.h"
#include "daemons/xs_client.h"
#include "hv/client/hvc.h"

#define FOLDER		"/local/domain/0/backend/vbd"
#define BACKOFF_MAX_MS	2000u
#define STEADY_NS	5000000000ull /* ran so long: its next death is a first one */
#define END_WAIT_TENTHS 50

struct config {
	char *group, *binary;
};

static const struct opt options[] = {
	{ "socket-group", 'g', OPT_STR, NULL, 0, 0, offsetof(struct config, group),
	  "group of blkd.sock" },
	{ "blkback-binary", 'b', OPT_STR, NULL, 0, 0, offsetof(struct config, binary),
	  "the program for a guest (default: beside this one)" },
	{ NULL },
};

struct guest {
	struct guest *next;
	uint16_t domid;
	pid_t pid; /* 0: not running */
	bool seen;
	unsigned backoff_ms;
	uint64_t started_ns, due_ns;
};

struct blkd {
	struct config cfg;
	char binary[PATH_MAX];
	struct event_base *base;
	struct xs_client *watcher;
	struct xs_watch *watch;
	struct xs_sync *xs;
	struct guest *guests;
	struct evconnlistener *door;
	struct event *look, *sigs[3];
};

static void look_in(struct blkd *d, unsigned ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	(void)event_add(d->look, &tv); /* a re-add moves the time; no memory is needed then */
}

static void on_watch(void *arg, const char *path)
{
	look_in(arg, 1);
}

/* ---- processes ---- */

static void spawn(struct blkd *d, struct guest *g)
{
	char arg[24];
	pid_t pid, parent = getpid();

	snprintf(arg, sizeof(arg), "--domid=%u", g->domid);
	g->started_ns = clock_mono_ns();
	pid = fork();
	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		execl(d->binary, "blkback", arg, (char *)NULL);
		_exit(127);
	}
	if (pid < 0) {
		(void)log_err(-errno, "blkback of guest %u: fork", g->domid);
		g->due_ns = g->started_ns + 1000000000u;
		look_in(d, 1000);
		return;
	}
	g->pid = pid;
	log_info("guest %u: blkback started, pid %d", g->domid, (int)pid);
}

static void ended(struct blkd *d, struct guest *g, int status)
{
	uint64_t now = clock_mono_ns();

	g->pid = 0;
	if (now - g->started_ns > STEADY_NS)
		g->backoff_ms = 0;
	g->due_ns = now + g->backoff_ms * 1000000ull;
	look_in(d, g->backoff_ms + 1);
	g->backoff_ms = g->backoff_ms ? g->backoff_ms * 2 : 20;
	if (g->backoff_ms > BACKOFF_MAX_MS)
		g->backoff_ms = BACKOFF_MAX_MS;
	if (status != 0)
		(void)log_warn(0, "blkback of guest %u ended: %s %d", g->domid,
			       WIFSIGNALED(status) ? "signal" : "status",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void on_chld(evutil_socket_t sig, short what, void *arg)
{
	struct blkd *d = arg;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct guest *g = d->guests; g; g = g->next)
			if (g->pid == pid)
				ended(d, g, status);
}

/* ---- which guests have disks ---- */

static bool has_devices(struct blkd *d, const char *name)
{
	char path[64], *names = NULL;
	size_t len = 0;

	snprintf(path, sizeof(path), FOLDER "/%.16s", name);
	if (xs_sync_directory(d->xs, 0, path, &names, &len) < 0)
		return false;
	free(names);
	return len > 0;
}

static void saw(struct blkd *d, uint16_t domid)
{
	struct guest *g = d->guests;

	while (g && g->domid != domid)
		g = g->next;
	if (!g) {
		g = sys_zalloc(sizeof(*g));
		if (!g) {
			look_in(d, 1000);
			return;
		}
		g->domid = domid;
		g->next = d->guests;
		d->guests = g;
	}
	g->seen = true;
	if (!g->pid && clock_mono_ns() >= g->due_ns)
		spawn(d, g);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct blkd *d = arg;
	char *names = NULL, *end;
	size_t len = 0;
	int r = xs_sync_directory(d->xs, 0, FOLDER, &names, &len);

	if (r < 0 && r != -ENOENT) {
		look_in(d, 200);
		return;
	}
	for (struct guest *g = d->guests; g; g = g->next)
		g->seen = false;
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		unsigned long n = strtoul(names + at, &end, 10);

		if (end != names + at && !*end && n > 0 && n < HVC_DOMID_FIRST_RESERVED &&
		    has_devices(d, names + at))
			saw(d, (uint16_t)n);
	}
	free(names);
	/* A blkback without a folder ends by itself. */
	for (struct guest **p = &d->guests; *p;) {
		struct guest *g = *p;

		if (g->seen || g->pid) {
			p = &g->next;
			continue;
		}
		*p = g->next;
		free(g);
	}
}

/* ---- start and end ---- */

static void on_term(evutil_socket_t sig, short what, void *arg)
{
	event_base_loopbreak(((struct blkd *)arg)->base);
}

static void on_visit(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int n,
		     void *arg)
{
	evutil_closesocket(fd); /* that there is somebody was the answer */
}

static int find_binary(struct blkd *d)
{
	char self[PATH_MAX];
	ssize_t n;

	if (d->cfg.binary) {
		snprintf(d->binary, sizeof(d->binary), "%s", d->cfg.binary);
	} else {
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		if (n < 0)
			return -errno;
		self[n] = '\0';
		n = snprintf(d->binary, sizeof(d->binary), "%s/blkback", dirname(self));
		if (n >= (ssize_t)sizeof(d->binary))
			return -ENAMETOOLONG;
	}
	return access(d->binary, X_OK) < 0 ? -errno : 0;
}

static int open_door(struct blkd *d)
{
	gid_t group = (gid_t)-1;
	char path[108];
	int fd, r;

	if (d->cfg.group) {
		r = privs_lookup_group(d->cfg.group, &group);
		if (r < 0)
			return r;
	}
	if (!path_blkd_sock(path))
		return -ENAMETOOLONG;
	fd = listen_unix(path, SOCK_STREAM, 0660, group);
	if (fd < 0)
		return fd;
	d->door = evconnlistener_new(d->base, on_visit, d, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (!d->door) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

static int start(struct blkd *d)
{
	static const struct {
		int sig;
		event_callback_fn fn;
	} table[] = { { SIGTERM, on_term }, { SIGINT, on_term }, { SIGCHLD, on_chld } };
	int r = find_binary(d);

	if (r < 0)
		return log_err(r, "%s", d->binary);
	d->base = event_base_new();
	d->look = d->base ? event_new(d->base, -1, 0, on_look, d) : NULL;
	if (!d->look)
		return -ENOMEM;
	for (int i = 0; i < 3; i++) {
		d->sigs[i] = evsignal_new(d->base, table[i].sig, table[i].fn, d);
		if (!d->sigs[i] || event_add(d->sigs[i], NULL) < 0)
			return -ENOMEM;
	}
	r = xs_sync_open(NULL, &d->xs);
	if (r < 0)
		return log_err(r, "XenStore");
	r = xs_client_new(d->base, NULL, NULL, NULL, &d->watcher);
	if (r == 0)
		r = xs_watch_new(d->watcher, FOLDER, on_watch, d, &d->watch);
	if (r == 0)
		r = open_door(d);
	if (r < 0)
		return log_err(r, "start");
	return notify_manager("READY=1") < 0 ? -EIO : 0;
}

static void end_children(struct blkd *d)
{
	bool left = true;

	for (struct guest *g = d->guests; g; g = g->next)
		if (g->pid)
			(void)kill(g->pid, SIGTERM); /* ours and not reaped: it is there */
	for (int i = 0; left && i < END_WAIT_TENTHS; i++) {
		left = false;
		for (struct guest *g = d->guests; g; g = g->next) {
			if (g->pid && waitpid(g->pid, NULL, WNOHANG) == g->pid)
				g->pid = 0;
			left |= g->pid != 0;
		}
		if (left)
			usleep(100000);
	}
}

static void end(struct blkd *d)
{
	end_children(d);
	if (d->door)
		evconnlistener_free(d->door);
	if (d->watch)
		xs_watch_free(d->watch);
	if (d->watcher)
		xs_client_free(d->watcher);
	if (d->xs)
		xs_sync_close(d->xs);
	for (int i = 0; i < 3; i++)
		if (d->sigs[i])
			event_free(d->sigs[i]);
	if (d->look)
		event_free(d->look);
	if (d->base)
		event_base_free(d->base);
	for (struct guest *g = d->guests, *next; g; g = next) {
		next = g->next;
		free(g);
	}
	opts_fini(options, &d->cfg);
}

int main(int argc, char **argv)
{
	struct blkd d = { 0 };
	char err[256];
	int r;

	log_init("blkd", LOG_INFO_);
	r = opts_parse(options, "blkd [options]", argc, argv, &d.cfg, err, sizeof(err));
	if (r < 0) {
		if (r != -ECANCELED)
			fprintf(stderr, "blkd: %s\n", err);
		return r == -ECANCELED ? 0 : 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = start(&d);
	if (r == 0)
		event_base_dispatch(d.base);
	end(&d);
	return r < 0;
}
