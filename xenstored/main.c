/* xenstored/main.c - options, start and stop.
 *
 * Order of starting: the state is taken over first, because it is locked and a
 * second daemon must end there; then the socket; then privileges go; then the
 * manager is told, and guests' rings are looked at as the hypervisor answers.
 * The daemon stays in the foreground, but on a real Xen, whose start scripts
 * expect upstream's to go to the background by itself unless told -N.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemons/detach.h"
#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/opts.h"
#include "daemons/paths.h"
#include "daemons/privs.h"
#include "xenstored/domain.h"
#include "xenstored/lu.h"
#include "xenstored/sandbox.h"
#include "xenstored/server.h"
#include "xenstored/sock.h"

#define FDS_WANTED 70000u

struct config {
	bool no_fork, verbose, fresh, seccomp, no_domain_init, no_recovery, output_pid;
	uint64_t live_update;
	char *pid_file, *trace_file, *quota, *quota_soft, *user, *group, *state_dir;
	char *entry_nb, *entry_size, *watch_nb, *transaction, *perm_nb, *path_max;
};

#define O(field) offsetof(struct config, field)
static const struct opt options[] = {
	{ "no-fork", 'N', OPT_BOOL, "no", 0, 0, O(no_fork),
	  "stay in the foreground (but on a real Xen, always so)" },
	{ "pid-file", 'F', OPT_STR, NULL, 0, 0, O(pid_file), "write the process id to this file" },
	{ "trace-file", 'T', OPT_STR, NULL, 0, 0, O(trace_file),
	  "log every request and answer to this file" },
	{ "verbose", 'V', OPT_BOOL, "no", 0, 0, O(verbose), "say more" },
	{ "quota", 'Q', OPT_STR, NULL, 0, 0, O(quota), "limits: NAME=N[,NAME=N...]; 0 is none" },
	{ "quota-soft", 'q', OPT_STR, NULL, 0, 0, O(quota_soft), "limits that only warn" },
	{ "entry-nb", 'E', OPT_STR, NULL, 0, 0, O(entry_nb), "as --quota=nodes=N" },
	{ "entry-size", 'S', OPT_STR, NULL, 0, 0, O(entry_size), "as --quota=node-size=N" },
	{ "watch-nb", 'W', OPT_STR, NULL, 0, 0, O(watch_nb), "as --quota=watches=N" },
	{ "transaction", 't', OPT_STR, NULL, 0, 0, O(transaction), "as --quota=transactions=N" },
	{ "perm-nb", 'A', OPT_STR, NULL, 0, 0, O(perm_nb), "as --quota=node-permissions=N" },
	{ "path-max", 'M', OPT_STR, NULL, 0, 0, O(path_max), "as --quota=path-max=N" },
	{ "no-domain-init", 'D', OPT_BOOL, "no", 0, 0, O(no_domain_init),
	  "no ring for dom0's own kernel" },
	{ "no-recovery", 'R', OPT_BOOL, "no", 0, 0, O(no_recovery),
	  "end if the state is damaged, instead of starting empty" },
	{ "output-pid", 'P', OPT_BOOL, "no", 0, 0, O(output_pid), "print the process id" },
	{ "user", 'u', OPT_STR, NULL, 0, 0, O(user), "become this user after the start" },
	{ "group", 'g', OPT_STR, "domzero", 0, 0, O(group),
	  "who else may use the socket, if there is such a group" },
	{ "state-dir", 0, OPT_STR, NULL, 0, 0, O(state_dir),
	  "where the state is kept over restarts; default: the socket's folder" },
	{ "live-update", 0, OPT_U64, "0", 0, INT32_MAX, O(live_update),
	  "take over from this process's former program (it says where)" },
	{ "seccomp", 0, OPT_BOOL, "yes", 0, 0, O(seccomp), "refuse system calls it does not need" },
	{ "fresh", 0, OPT_BOOL, "no", 0, 0, O(fresh), "start with an empty store" },
	{ 0 },
};
#undef O

struct daemon {
	struct config cfg;
	struct event_base *base;
	struct server srv;
	struct listener *listener;
	struct event *ev_sig[3], *ev_watchdog;
	struct live_update lu;
	char state[160], slots[160];
	int detach; /* -1: in the foreground */
};

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)sig;
	(void)what;
	event_base_loopbreak(d->base);
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)sig;
	(void)what;
	if (d->srv.trace)
		(void)log_warn(server_trace_open(&d->srv, d->srv.trace_path), "trace file %s",
			       d->srv.trace_path);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	(void)notify_manager("WATCHDOG=1"); /* a lost one is repeated */
}

/* "nodes=2000,watches=256" */
static int set_quotas(struct server *s, const char *text, bool soft)
{
	char *copy = text ? strdup(text) : NULL, *save = NULL;
	int r = text && !copy ? -ENOMEM : 0;

	for (char *p = copy ? strtok_r(copy, ",", &save) : NULL; p && r == 0;
	     p = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(p, '='), *end = NULL;
		enum quota_kind k;
		bool is_soft = false;
		unsigned long v = eq ? strtoul(eq + 1, &end, 10) : 0;

		if (eq)
			*eq = '\0';
		if (!eq || end == eq + 1 || *end || quota_parse(p, &k, &is_soft) < 0 ||
		    v >= QUOTA_INHERIT)
			r = log_err(-EINVAL, "--quota: '%s' is not a quota and a number", p);
		else if (soft || is_soft)
			s->quotas.soft[k] = (uint32_t)v;
		else
			s->quotas.hard[k] = (uint32_t)v;
	}
	free(copy);
	return r;
}

/* Upstream's options for single limits. */
static int set_old_quotas(struct daemon *d)
{
	const struct {
		const char *name, *value;
	} old[] = {
		{ "nodes", d->cfg.entry_nb },		{ "node-size", d->cfg.entry_size },
		{ "watches", d->cfg.watch_nb },		{ "transactions", d->cfg.transaction },
		{ "node-permissions", d->cfg.perm_nb }, { "path-max", d->cfg.path_max },
	};
	char text[64];
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(old) / sizeof(old[0]); i++) {
		if (!old[i].value)
			continue;
		if (strchr(old[i].value, ','))
			return log_err(-EINVAL, "'%s' is not a limit", old[i].value);
		snprintf(text, sizeof(text), "%s=%.32s", old[i].name, old[i].value);
		r = set_quotas(&d->srv, text, false);
	}
	return r;
}

static int state_paths(struct daemon *d, const char *sock)
{
	const char *dir = d->cfg.state_dir, *slash = strrchr(sock, '/');
	int n, dirlen = dir ? (int)strlen(dir) : slash ? (int)(slash - sock) : 1;
	struct stat st;

	if (!dir)
		dir = slash ? sock : ".";
	n = snprintf(d->state, sizeof(d->state), "%.*s/state", dirlen, dir);
	if (n < 0 || (size_t)n >= sizeof(d->state))
		return -ENAMETOOLONG;
	n = snprintf(d->slots, sizeof(d->slots), "%.*s/rings", dirlen, dir);
	if (n < 0 || (size_t)n >= sizeof(d->slots))
		return -ENAMETOOLONG;
	for (char *p = d->state + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		n = stat(d->state, &st) < 0 && mkdir(d->state, 0755) < 0 ? -errno : 0;
		if (n < 0)
			return n;
	}
	return 0;
}

static int open_state(struct daemon *d)
{
	char bad[180];
	int r;

	if (d->cfg.fresh) {
		(void)unlink(d->state); /* missing is fine */
		(void)unlink(d->slots);
	}
	r = server_init(&d->srv, d->base, d->state);
	if (r == -EBADMSG && d->cfg.no_recovery)
		return log_err(r, "%s is damaged", d->state);
	if (r == -EBADMSG) {
		/* Kept for whoever wants to know; starting is more important. */
		snprintf(bad, sizeof(bad), "%s.damaged", d->state);
		(void)log_err(0, "%s is damaged: moved to %s, starting empty", d->state, bad);
		server_fini(&d->srv);
		if (rename(d->state, bad) < 0)
			return -errno;
		r = server_init(&d->srv, d->base, d->state);
	}
	if (r == -EBUSY)
		return log_err(r, "%s: another xenstored uses it", d->state);
	return r < 0 ? log_err(r, "%s", d->state) : 0;
}

static int open_domains(struct daemon *d)
{
	struct hv hv = { 0 };
	int r = hv_open(&hv);

	if (r < 0)
		(void)log_warn(r, "no hypervisor interface: serving the socket only");
	if (d->cfg.no_domain_init)
		hv.own_ring = false;
	return domains_new(&d->srv, &hv, d->slots, &d->srv.domains);
}

static int open_socket(struct daemon *d, const char *path)
{
	gid_t gid = (gid_t)-1;
	int fd = listen_inherited("xenstored"), r;
	bool group = d->cfg.group && privs_lookup_group(d->cfg.group, &gid) == 0;

	if (d->cfg.live_update) {
		r = lu_resume(&d->srv, (int)d->cfg.live_update, &fd);
		if (r < 0)
			(void)log_err(r, "what the former program left: clients must reconnect");
		if (r < 0)
			fd = -1;
	}
	if (fd < 0)
		fd = listen_unix(path, SOCK_STREAM, group ? 0660 : 0600, group ? gid : (gid_t)-1);
	if (fd < 0)
		return log_err(fd, "socket %s", path);
	return listener_new(&d->srv, fd, &d->listener);
}

static int drop_privileges(struct daemon *d)
{
	uid_t uid;
	gid_t gid;

	if (!d->cfg.user || (d->cfg.live_update && geteuid() != 0))
		return 0;
	if (privs_lookup_user(d->cfg.user, &uid, &gid) < 0)
		return log_err(-ENOENT, "--user: there is no user '%s'", d->cfg.user);
	if (chown(d->state, uid, gid) < 0 || chown(d->slots, uid, gid) < 0)
		return log_err(-errno, "%s", d->state);
	return privs_drop(uid, gid, (gid_t)-1);
}

static int write_pid(const char *path)
{
	FILE *f = path ? fopen(path, "we") : NULL;

	if (path && !f)
		return log_err(-errno, "%s", path);
	if (f) {
		fprintf(f, "%d\n", (int)getpid());
		fclose(f);
	}
	return 0;
}

static int add_events(struct daemon *d)
{
	double s = notify_watchdog_interval();
	struct timeval tv = { .tv_sec = (time_t)s,
			      .tv_usec = (suseconds_t)((s - (double)(time_t)s) * 1e6) };

	d->ev_sig[0] = evsignal_new(d->base, SIGTERM, on_stop, d);
	d->ev_sig[1] = evsignal_new(d->base, SIGINT, on_stop, d);
	d->ev_sig[2] = evsignal_new(d->base, SIGHUP, on_hup, d);
	for (int i = 0; i < 3; i++)
		if (!d->ev_sig[i] || event_add(d->ev_sig[i], NULL) < 0)
			return -ENOMEM;
	if (s <= 0)
		return 0;
	d->ev_watchdog = event_new(d->base, -1, EV_PERSIST, on_watchdog, d);
	return d->ev_watchdog && event_add(d->ev_watchdog, &tv) == 0 ? 0 : -ENOMEM;
}

static void raise_fd_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur >= FDS_WANTED)
		return;
	if (rl.rlim_max < FDS_WANTED) {
		struct rlimit more = { FDS_WANTED, FDS_WANTED };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	rl.rlim_cur = rl.rlim_max < FDS_WANTED ? rl.rlim_max : FDS_WANTED;
	(void)setrlimit(RLIMIT_NOFILE, &rl); /* fewer connections then */
}

static int start(struct daemon *d)
{
	char sock[108];
	int r;

	if (!path_xenstored_sock(sock))
		return log_err(-ENAMETOOLONG, "the socket's path");
	r = state_paths(d, sock);
	if (r < 0)
		return log_err(r, "the folder of %s", sock);
	r = open_state(d);
	if (r == 0)
		r = set_old_quotas(d);
	if (r == 0)
		r = set_quotas(&d->srv, d->cfg.quota, false);
	if (r == 0)
		r = set_quotas(&d->srv, d->cfg.quota_soft, true);
	if (r == 0)
		r = open_domains(d);
	d->srv.trace_path = d->cfg.trace_file;
	if (r == 0 && d->cfg.trace_file) {
		r = server_trace_open(&d->srv, d->cfg.trace_file);
		if (r < 0)
			return log_err(r, "%s", d->cfg.trace_file);
	}
	if (r == 0)
		r = add_events(d);
	if (r == 0)
		r = open_socket(d, sock);
	if (r == 0)
		r = write_pid(d->cfg.pid_file);
	if (r == 0)
		r = drop_privileges(d);
	if (r == 0)
		r = domains_restore(d->srv.domains);
	if (r == 0 && d->cfg.seccomp) {
		int e = sandbox_enter();

		if (e < 0)
			(void)log_warn(e, "no system call filter");
	}
	if (r == 0)
		log_info("serving %s", sock);
	return r;
}

static int to_background(struct daemon *d)
{
	int r;

	d->detach = -1;
	if (d->cfg.no_fork || d->cfg.live_update || !hv_is_xen() || !detach_fits())
		return 0;
	r = detach_start(&d->detach);
	return r < 0 ? log_err(r, "going to the background") : 0;
}

/* Until a signal, or for good as another program. */
static void serve(struct daemon *d)
{
	for (;;) {
		(void)event_base_dispatch(d->base);
		if (!d->lu.wanted)
			return;
		d->lu.wanted = false;
		server_flush(&d->srv); /* what does not fit goes over in the stream */
		log_info("live update to %s", d->lu.binary ? d->lu.binary : "this program");
		(void)log_err(lu_exec(&d->srv, &d->lu), "live update; going on as before");
	}
}

static void stop(struct daemon *d)
{
	free(d->lu.binary);
	listener_free(d->listener);
	server_fini(&d->srv);
	for (int i = 0; i < 3; i++)
		if (d->ev_sig[i])
			event_free(d->ev_sig[i]);
	if (d->ev_watchdog)
		event_free(d->ev_watchdog);
	if (d->base)
		event_base_free(d->base);
	if (d->cfg.pid_file)
		(void)unlink(d->cfg.pid_file); /* it may be gone */
	opts_fini(options, &d->cfg);
}

int main(int argc, char **argv)
{
	static struct daemon d;
	char err[256];
	int r;

	log_init("xenstored", LOG_INFO_);
	r = opts_parse(options, "xenstored [options]", argc, argv, &d.cfg, err, sizeof(err));
	if (r == -ECANCELED)
		return 0;
	if (r < 0) {
		(void)log_err(0, "%s", err);
		return 2;
	}
	if (d.cfg.verbose)
		log_set_level(LOG_DEBUG_);
	signal(SIGPIPE, SIG_IGN);
	raise_fd_limit();
	r = to_background(&d);
	if (r < 0)
		return 1;
	d.base = event_base_new();
	r = d.base ? start(&d) : -ENOMEM;
	if (r == 0 && d.cfg.output_pid) {
		printf("%d\n", (int)getpid());
		fflush(stdout);
	}
	if (r == 0) {
		detach_ready(d.detach);
		(void)notify_manager("READY=1");
		d.lu = (struct live_update){ .argv = argv, .lfd = listener_fd(d.listener) };
		d.srv.lu = &d.lu;
		serve(&d);
		(void)notify_manager("STOPPING=1");
	}
	stop(&d);
	return r < 0 ? 1 : 0;
}
