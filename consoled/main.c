/* consoled/main.c - the console daemon: start, signals, end.
 *
 * The order matters: settings and folders first (so that a wrong one is told on
 * the terminal), then what needs rights (sockets, state), then the user switch,
 * then threads and guests.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consoled/attach.h"
#include "consoled/conf.h"
#include "consoled/console.h"
#include "consoled/doms.h"
#include "consoled/hvlog.h"
#include "consoled/journal.h"
#include "consoled/logfile.h"
#include "consoled/pool.h"
#include "consoled/pty.h"
#include "consoled/sandbox.h"
#include "consoled/state.h"
#include "daemons/clock.h"
#include "daemons/detach.h"
#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/paths.h"
#include "daemons/privs.h"
#include "hv/client/hvc.h"

#define LOCK_WAIT_S 5 /* for a predecessor that is still dying */
#define DRAIN_S	    3 /* for spools when we are told to end */

struct consoled {
	struct conf conf;
	struct event_base *base;
	struct pool *pool;
	struct hvc *hv;
	struct logdir *logs;
	struct hvlog *hvlog;
	struct doms *doms;
	struct attach *attach;
	struct conset cs;
	int sock;
	int detach; /* -1: in the foreground */
	struct event *sigs[3], *watchdog, *drain;
	uint64_t end_ns;
};

/* ---- signals and the service manager ---- */

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct consoled *c = arg;

	log_info("reopening the logs");
	if (c->logs)
		logdir_reopen(c->logs);
}

static void on_drain(evutil_socket_t fd, short what, void *arg)
{
	struct consoled *c = arg;

	if (!c->logs || logdir_idle(c->logs) || clock_mono_ns() > c->end_ns)
		event_base_loopbreak(c->base);
}

/* What is in the spools would survive, but it is better in the logs. */
static void on_term(evutil_socket_t sig, short what, void *arg)
{
	static const struct timeval tick = { 0, 10000 };
	struct consoled *c = arg;

	(void)notify_manager("STOPPING=1"); /* nobody to tell: no harm */
	c->end_ns = clock_mono_ns() + DRAIN_S * 1000000000ull;
	if (event_add(c->drain, &tick) < 0)
		event_base_loopbreak(c->base);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)notify_manager("WATCHDOG=1");
}

static int add_signals(struct consoled *c)
{
	static const struct {
		int sig;
		event_callback_fn fn;
	} table[] = { { SIGHUP, on_hup }, { SIGTERM, on_term }, { SIGINT, on_term } };
	double every = notify_watchdog_interval();
	struct timeval tv = { (time_t)every, (suseconds_t)((every - (time_t)every) * 1e6) };

	for (int i = 0; i < 3; i++) {
		c->sigs[i] = evsignal_new(c->base, table[i].sig, table[i].fn, c);
		if (!c->sigs[i] || event_add(c->sigs[i], NULL) < 0)
			return -ENOMEM;
	}
	c->drain = event_new(c->base, -1, EV_PERSIST, on_drain, c);
	c->watchdog = event_new(c->base, -1, EV_PERSIST, on_watchdog, c);
	if (!c->drain || !c->watchdog || (every > 0 && event_add(c->watchdog, &tv) < 0))
		return -ENOMEM;
	return 0;
}

/* ---- start ---- */

static void raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl); /* fewer guests then; they are told */
	}
}

static int open_state(struct consoled *c)
{
	uint64_t stop = clock_mono_ns() + LOCK_WAIT_S * 1000000000ull;
	char path[512];
	int r;

	snprintf(path, sizeof(path), "%s/consoled.state", path_run());
	do {
		r = state_open(path, &c->cs.state);
		if (r == -EBUSY)
			usleep(20000);
	} while (r == -EBUSY && clock_mono_ns() < stop);
	if (r == -EBUSY)
		return log_err(r, "another consoled holds %s", path);
	if (r < 0) {
		(void)log_warn(r, "%s: a kill would lose bytes that are not in a log yet", path);
		r = state_open(NULL, &c->cs.state);
	}
	return r;
}

static int open_socket(struct consoled *c)
{
	gid_t group = (gid_t)-1;
	char path[108];
	int r;

	c->sock = listen_inherited("consoled");
	if (c->sock >= 0)
		return 0;
	if (c->conf.group) {
		r = privs_lookup_group(c->conf.group, &group);
		if (r < 0)
			return log_err(r, "group %s", c->conf.group);
	}
	if (!path_consoled_sock(path))
		return log_err(-ENAMETOOLONG, "socket in %s", path_run());
	c->sock = listen_unix(path, SOCK_STREAM, 0660, group);
	return c->sock < 0 ? log_err(c->sock, "socket %s", path) : 0;
}

static int write_pid(const struct consoled *c)
{
	FILE *f;
	int r;

	if (!c->conf.pid_file)
		return 0;
	f = fopen(c->conf.pid_file, "we");
	if (!f)
		return log_err(-errno, "pid file %s", c->conf.pid_file);
	r = fprintf(f, "%ld\n", (long)getpid()) < 0 ? -EIO : 0;
	if (fclose(f) != 0)
		r = -errno;
	return r < 0 ? log_err(r, "pid file %s", c->conf.pid_file) : 0;
}

/* The log folder is made his, if it isn't there yet. */
static int become_user(const struct consoled *c)
{
	uid_t uid;
	gid_t gid;
	int r;

	if (!c->conf.user)
		return 0;
	r = privs_lookup_user(c->conf.user, &uid, &gid);
	if (r < 0)
		return log_err(r, "user %s", c->conf.user);
	if (mkdir(c->conf.log_dir, 0750) == 0 && chown(c->conf.log_dir, uid, gid) < 0)
		return log_err(-errno, "log folder %s", c->conf.log_dir);
	r = privs_drop(uid, gid, (gid_t)-1);
	return r < 0 ? log_err(r, "becoming %s", c->conf.user) : 0;
}

static int open_logs(struct consoled *c)
{
	const struct logdir_conf lc = { .path = c->conf.log_dir,
					.max_size = c->conf.log_size,
					.keep = (unsigned)c->conf.log_files,
					.compress = c->conf.compress,
					.max_open = (unsigned)c->conf.log_fds };
	int r;

	if (!c->conf.log_guest && !c->conf.log_hv)
		return 0;
	r = logdir_new(c->base, c->pool, &lc, &c->logs);
	if (r < 0)
		return log_err(r, "logs");
	if (c->conf.log_guest)
		c->cs.logs = c->logs;
	return 0;
}

static void on_added(void *arg)
{
	attach_look(((struct consoled *)arg)->attach);
}

static void on_hv(void *arg)
{
	hvlog_poke(((struct consoled *)arg)->hvlog);
}

static int start_services(struct consoled *c)
{
	const struct doms_ops dops = { .added = on_added, .event = on_hv, .arg = c };
	struct attach_ops aops = { .exists = doms_exists };
	int r;

	r = pool_new(c->base, true, &c->pool);
	if (r < 0)
		return log_err(r, "threads");
	r = open_logs(c);
	if (r < 0)
		return r;
	if (c->conf.pty && (r = ptys_new(c->base, &c->cs.ptys)) < 0)
		(void)log_warn(r, "terminals: guests get none");
	if (c->conf.journal && (r = journal_new(NULL, &c->cs.journal)) < 0)
		return log_err(r, "journal");
	r = hvc_open(c->conf.hv, &c->hv);
	if (r < 0)
		return log_err(r, "hypervisor");
	if (c->conf.log_hv && (r = hvlog_new(&c->cs, c->logs, c->hv, &c->hvlog)) < 0)
		(void)log_warn(r, "hypervisor.log");
	r = doms_new(&c->cs, c->hv, NULL, &dops, &c->doms);
	if (r < 0)
		return log_err(r, "domains");
	aops.arg = c->doms;
	r = attach_new(&c->cs, c->pool, c->conf.log_dir, c->sock, &aops, &c->attach);
	c->sock = -1;
	return r < 0 ? log_err(r, "viewers") : add_signals(c);
}

static void stop_services(struct consoled *c)
{
	c->pool = pool_free(c->pool); /* first: nothing is written behind our backs */
	c->attach = attach_free(c->attach);
	c->doms = doms_free(c->doms);
	c->hvlog = hvlog_free(c->hvlog);
	if (c->base)
		conset_fini(&c->cs);
	c->logs = logdir_free(c->logs);
	ptys_free(c->cs.ptys);
	journal_free(c->cs.journal);
	state_close(c->cs.state);
	hvc_close(c->hv);
	for (int i = 0; i < 3; i++)
		if (c->sigs[i])
			event_free(c->sigs[i]);
	if (c->drain)
		event_free(c->drain);
	if (c->watchdog)
		event_free(c->watchdog);
	if (c->sock >= 0)
		close(c->sock);
	if (c->base)
		event_base_free(c->base);
	conf_fini(&c->conf);
}

/* As scripts of a real Xen expect of upstream's. */
static int to_background(struct consoled *c)
{
	int r;

	if (c->conf.interactive || !hvc_is_xen(c->conf.hv) || !detach_fits())
		return 0;
	r = detach_start(&c->detach);
	return r < 0 ? log_err(r, "going to the background") : 0;
}

static int run(struct consoled *c)
{
	int r;

	signal(SIGPIPE, SIG_IGN);
	raise_nofile();
	umask(027);
	r = to_background(c);
	if (r == 0)
		r = open_socket(c);
	if (r == 0)
		r = write_pid(c);
	if (r < 0)
		return r;
	c->base = event_base_new();
	if (!c->base)
		return log_err(-ENOMEM, "event loop");
	conset_init(&c->cs, c->base);
	c->cs.conf = &c->conf;
	r = open_state(c);
	if (r == 0)
		r = become_user(c);
	if (r == 0)
		r = start_services(c);
	if (r < 0)
		return r;
	if (c->conf.seccomp && (r = sandbox_enter()) < 0)
		(void)log_warn(r, "no system call filter");
	(void)notify_manager("READY=1");
	detach_ready(c->detach);
	log_info("started, logs in %s", c->conf.log_dir);
	if (event_base_dispatch(c->base) < 0)
		return log_err(-EIO, "event loop");
	return 0;
}

int main(int argc, char **argv)
{
	struct consoled c = { .sock = -1, .detach = -1 };
	char err[256];
	int r;

	r = conf_parse(&c.conf, argc, argv, err, sizeof(err));
	if (r == -ECANCELED) {
		conf_fini(&c.conf);
		return 0;
	}
	if (r < 0) {
		fprintf(stderr, "consoled: %s\n", err);
		return 2;
	}
	log_init("consoled", c.conf.verbose ? LOG_DEBUG_ : LOG_INFO_);
	r = run(&c);
	stop_services(&c);
	return r < 0 ? 1 : 0;
}
