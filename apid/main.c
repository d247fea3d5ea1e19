/* apid/main.c - the management API's process: settings, start, signals, end.
 *
 * Threads: two poll(2) pools for HTTP, helpers for slow calls, workers for
 * tasks, the watcher of the hypervisor, and this one, which keeps time.  An
 * end is like a crash that was announced: running tasks are finished, the rest
 * is found in the database by the next start.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apid/actions.h"
#include "apid/call.h"
#include "apid/httpd.h"
#include "apid/watch.h"
#include "daemons/clock.h"
#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/opts.h"
#include "daemons/paths.h"
#include "daemons/privs.h"
#include "daemons/sys.h"

#define WORKERS_MAX 32
#define GROUP_NAME  "domzero"
#define STOP_S	    20 /* for running tasks to end */

struct config {
	char *tcp, *socket, *user, *log_level;
	uint64_t threads, connections, workers, urgent, helpers, heartbeat, request, restart_pause;
};

static const struct opt options[] = {
	{ "tcp", 't', OPT_STR, NULL, 0, 0, offsetof(struct config, tcp),
	  "also listen on ADDRESS:PORT, loopback only (127.0.0.1:8421)" },
	{ "socket", 's', OPT_STR, NULL, 0, 0, offsetof(struct config, socket),
	  "path of the unix socket" },
	{ "user", 'u', OPT_STR, NULL, 0, 0, offsetof(struct config, user),
	  "give up root for this user, after the sockets are open" },
	{ "http-threads", 0, OPT_U64, "2", 2, 64, offsetof(struct config, threads),
	  "threads of each listener" },
	{ "connections", 0, OPT_U64, "2048", 16, 65536, offsetof(struct config, connections),
	  "connections of each listener, at most" },
	{ "workers", 0, OPT_U64, "6", 1, WORKERS_MAX / 2, offsetof(struct config, workers),
	  "tasks at a time" },
	{ "urgent-workers", 0, OPT_U64, "2", 1, WORKERS_MAX / 2, offsetof(struct config, urgent),
	  "more for destroy, pause and the like" },
	{ "helpers", 0, OPT_U64, "4", 1, 16, offsetof(struct config, helpers),
	  "threads for slow reads" },
	{ "heartbeat", 0, OPT_U64, "15", 1, 3600, offsetof(struct config, heartbeat),
	  "seconds between signs of life on an idle event stream" },
	{ "request-timeout", 0, OPT_U64, "75", 1, 3600, offsetof(struct config, request),
	  "seconds a client has to send a whole request" },
	{ "restart-pause", 0, OPT_U64, "1000", 1, 60000, offsetof(struct config, restart_pause),
	  "milliseconds before a guest that crashed soon after its start is started again; "
	  "doubles each time" },
	{ "log-level", 'l', OPT_STR, "info", 0, 0, offsetof(struct config, log_level),
	  "err, warn, info or debug" },
	{ NULL },
};

struct server {
	struct config cfg;
	struct apid a;
	struct httpd *http[2];
	struct watch *watch;
	struct helpers *helpers;
	pthread_t threads[WORKERS_MAX];
	struct worker workers[WORKERS_MAX];
	bool urgent[WORKERS_MAX];
	unsigned nthreads;
	char sock_path[108];
	gid_t group;
};

struct thread_arg {
	struct worker *w;
	bool urgent;
};

static int set_log_level(const char *s)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = { { "err", LOG_ERR_ },
		       { "warn", LOG_WARN_ },
		       { "info", LOG_INFO_ },
		       { "debug", LOG_DEBUG_ } };

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(levels[i].name, s) == 0) {
			log_set_level(levels[i].level);
			return 0;
		}
	return log_err(-EINVAL, "log-level: '%s' is not err, warn, info or debug", s);
}

/* ---- sockets ---- */

static int open_unix(struct server *s)
{
	int fd = listen_inherited("unix");

	if (fd >= 0)
		return fd;
	if (s->cfg.socket)
		snprintf(s->sock_path, sizeof(s->sock_path), "%s", s->cfg.socket);
	else if (!path_apid_sock(s->sock_path))
		return log_err(-ENAMETOOLONG, "the path of the unix socket");
	fd = listen_unix(s->sock_path, SOCK_STREAM, 0660, s->group);
	if (fd == -EADDRINUSE)
		return log_err(0, "%s is in use: another apid is running; stop it first",
			       s->sock_path),
		       fd;
	if (fd < 0)
		return log_err(fd, "can't listen on %s", s->sock_path);
	return fd;
}

/* "127.0.0.1:8421" or "[::1]:8421", and nothing that others can reach. */
static int parse_tcp(const char *text, char addr[64], uint16_t *ret_port)
{
	struct in6_addr a6;
	struct in_addr a4;
	const char *colon = strrchr(text, ':');
	unsigned long port;
	char *end;
	size_t n;

	if (!colon)
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	n = (size_t)(colon - text);
	if (*end || end == colon + 1 || port < 1 || port > 65535 || n >= 60)
		return -EINVAL;
	if (text[0] == '[' && n > 2 && text[n - 1] == ']')
		snprintf(addr, 64, "%.*s", (int)n - 2, text + 1);
	else
		snprintf(addr, 64, "%.*s", (int)n, text);
	*ret_port = (uint16_t)port;
	if (inet_pton(AF_INET, addr, &a4) == 1)
		return ntohl(a4.s_addr) >> 24 == 127 ? 0 : -EPERM;
	if (inet_pton(AF_INET6, addr, &a6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&a6) ? 0 : -EPERM;
	return -EINVAL;
}

static int open_tcp(struct server *s)
{
	char addr[64];
	uint16_t port;
	int fd = listen_inherited("tcp"), r;

	if (fd >= 0 || !s->cfg.tcp)
		return fd;
	r = parse_tcp(s->cfg.tcp, addr, &port);
	if (r == -EPERM)
		return log_err(0,
			       "--tcp=%s: only loopback addresses are allowed, since there is no "
			       "TLS; use 127.0.0.1 or [::1]",
			       s->cfg.tcp),
		       r;
	if (r < 0)
		return log_err(0, "--tcp=%s: write ADDRESS:PORT, such as 127.0.0.1:8421",
			       s->cfg.tcp),
		       r;
	fd = listen_tcp(addr, port);
	if (fd == -EADDRINUSE)
		return log_err(0, "port %u on %s is in use; choose another with --tcp=%s:PORT",
			       port, addr, addr),
		       fd;
	if (fd < 0)
		return log_err(fd, "can't listen on %s", s->cfg.tcp);
	return fd;
}

static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max < 65536 ? rl.rlim_max : 65536;
		(void)setrlimit(RLIMIT_NOFILE, &rl); /* fewer connections, then */
	}
}

/* ---- start ---- */

static int open_state(struct server *s)
{
	char path[4096], err[256], *uuid = NULL;
	int r;

	if (mkdir(path_state(), 0755) < 0 && errno != EEXIST)
		return log_err(-errno, "can't make %s", path_state());
	snprintf(path, sizeof(path), "%s/apid.db", path_state());
	r = db_open(path, &s->a.db, err, sizeof(err));
	if (r < 0)
		return log_err(0, "%s", err), r;
	/* What was being answered when an earlier process ended has no answer, but
	 * for what had become a task: that goes on. */
	r = db_run(
		s->a.db,
		"UPDATE idempotency SET status = 500, body = ? WHERE status = 0 AND task IS NULL",
		"s",
		"{\"code\":\"interrupted\",\"detail\":\"the service was restarted while the first "
		"request was carried out; look at /v1/tasks\"}");
	if (r == 0)
		r = db_meta_get(s->a.db, "host_uuid", &uuid);
	if (r == 0 && uuid) {
		snprintf(s->a.host_uuid, sizeof(s->a.host_uuid), "%s", uuid);
	} else if (r == 0) {
		uuid_new(s->a.host_uuid);
		r = db_meta_set(s->a.db, "host_uuid", s->a.host_uuid);
	}
	free(uuid);
	return r < 0 ? log_err(r, "%s", path) : 0;
}

static int open_parts(struct server *s)
{
	struct apid *a = &s->a;
	char err[256];
	int r;

	r = apidoc_load((const char *)apidoc_text, apidoc_text_len, &a->doc, err, sizeof(err));
	if (r == 0)
		r = operations_bind(&a->doc, err);
	if (r < 0)
		return log_err(0, "OpenAPI document: %s", err), r;
	r = events_new(a->db, &a->ev);
	if (r == 0)
		r = doms_new(a->db, a->ev, &a->doms);
	if (r == 0)
		r = tasks_new(a->db, a->ev, task_types, task_types_n, &a->tasks);
	if (r == 0)
		r = a->watch_fd = sys_eventfd();
	if (r < 0)
		return log_err(r, "start");
	pthread_mutex_init(&a->host.lock, NULL);
	a->started_ms = now_ms();
	a->restart_pause_ms = s->cfg.restart_pause;
	if (db_begin(a->db) == 0) {
		(void)events_add(a->ev, "service.started", NULL,
				 "{\"version\":\"" DZ_VERSION "\"}");
		(void)db_commit(a->db); /* for show */
	}
	return 0;
}

static void *worker_loop(void *arg)
{
	struct thread_arg *ta = arg;

	tasks_work(ta->w->a->tasks, ta->w, ta->urgent);
	free(ta);
	return NULL;
}

static int start_worker(struct server *s, bool urgent)
{
	struct worker *w = &s->workers[s->nthreads];
	struct thread_arg *ta = sys_zalloc(sizeof(*ta));
	int r = ta ? ts_init(&w->ts) : -ENOMEM;

	w->a = &s->a;
	if (r == 0) {
		*ta = (struct thread_arg){ w, urgent };
		r = -pthread_create(&s->threads[s->nthreads], NULL, worker_loop, ta);
	}
	if (r < 0) {
		free(ta);
		return r;
	}
	s->nthreads++;
	return 0;
}

static int start_threads(struct server *s, const int fds[2])
{
	struct httpd_opts o = { (unsigned)s->cfg.threads, (unsigned)s->cfg.connections,
				(unsigned)s->cfg.heartbeat, (unsigned)s->cfg.request, s->group };
	int r = 0;

	for (unsigned i = 0; r == 0 && i < s->cfg.workers + s->cfg.urgent; i++)
		r = start_worker(s, i >= s->cfg.workers);
	if (r == 0)
		r = helpers_start(&s->a, (unsigned)s->cfg.helpers, &s->helpers);
	if (r == 0)
		r = watch_start(&s->a, &s->watch);
	for (int i = 0; i < 2 && r == 0; i++)
		if (fds[i] >= 0)
			r = httpd_start(&s->a, fds[i], i == 1, &o, &s->http[i]);
	return r < 0 ? log_err(r, "can't start the threads") : 0;
}

/* ---- the main thread ---- */

static void tick(struct server *s, uint64_t *beat_ns, uint64_t *dog_ns, double dog_s)
{
	uint64_t now = clock_mono_ns();

	for (int i = 0; i < 2; i++)
		if (s->http[i])
			httpd_tick(s->http[i]);
	if (now - *beat_ns > s->cfg.heartbeat * 1000000000ull) {
		events_kick(s->a.ev); /* idle streams look, and give a sign of life */
		*beat_ns = now;
	}
	if (dog_s > 0 && (double)(now - *dog_ns) > dog_s * 1e9) {
		(void)notify_manager("WATCHDOG=1"); /* no manager: nobody waits */
		*dog_ns = now;
	}
}

static int serve(struct server *s, int sigfd)
{
	uint64_t beat_ns = clock_mono_ns(), dog_ns = 0;
	double dog_s = notify_watchdog_interval();
	struct signalfd_siginfo si;

	for (;;) {
		struct pollfd p[2] = { { .fd = sigfd, .events = POLLIN },
				       { .fd = tasks_wake_fd(s->a.tasks), .events = POLLIN } };
		int ms = tasks_tick(s->a.tasks);

		tick(s, &beat_ns, &dog_ns, dog_s);
		if (ms > 1000)
			ms = 1000;
		(void)poll(p, 2, ms < 0 ? 0 : ms); /* EINTR can't be: signals are blocked */
		if (p[0].revents && read(sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si) &&
		    si.ssi_signo != SIGHUP)
			return (int)si.ssi_signo;
	}
}

static void on_alarm(int sig)
{
	static const char text[] =
		"apid: a task did not end in time; it goes on at the next start\n";

	(void)sig;
	(void)!write(2, text, sizeof(text) - 1);
	_exit(0);
}

/* Connections may still be suspended and library threads running: they end with
 * the process.  All that counts is in the database. */
static void finish(struct server *s)
{
	signal(SIGALRM, on_alarm);
	alarm(STOP_S);
	for (int i = 0; i < 2; i++)
		if (s->http[i])
			httpd_quiesce(s->http[i]);
	if (s->sock_path[0])
		(void)unlink(s->sock_path); /* the next one replaces it anyway */
	tasks_stop(s->a.tasks);
	for (unsigned i = 0; i < s->nthreads; i++)
		pthread_join(s->threads[i], NULL);
	log_info("stopped");
	fflush(NULL);
	_exit(0);
}

/* An earlier apid may have run as root: the database is ours all the same. */
static void own_state(uid_t uid, gid_t gid)
{
	static const char *const files[] = { "apid.db", "apid.db-wal", "apid.db-shm" };
	char path[4096];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", path_state(), files[i]);
		if (lchown(path, uid, gid) < 0 && errno != ENOENT)
			log_warn(-errno, "%s", path);
	}
}

static int drop(struct server *s)
{
	uid_t uid;
	gid_t gid;
	int r;

	if (!s->cfg.user)
		return 0;
	r = privs_lookup_user(s->cfg.user, &uid, &gid);
	if (r < 0)
		return log_err(r, "--user=%s", s->cfg.user);
	if (chown(path_state(), uid, gid) < 0 && errno != EPERM)
		return log_err(-errno, "%s", path_state());
	if (geteuid() == 0)
		own_state(uid, gid);
	r = privs_drop(uid, gid, s->group);
	return r < 0 ? log_err(r, "can't become %s", s->cfg.user) : 0;
}

static int run(struct server *s, int sigfd)
{
	int fds[2] = { -1, -1 }, r;

	if (privs_lookup_group(GROUP_NAME, &s->group) < 0)
		s->group = (gid_t)-1;
	if (mkdir(path_state(), 0755) < 0 && errno != EEXIST)
		return log_err(-errno, "can't make %s", path_state());
	r = fds[0] = open_unix(s);
	if (r < 0)
		return r;
	r = fds[1] = open_tcp(s);
	if (r < 0 && r != -ENOENT) {
		close(fds[0]);
		(void)unlink(s->sock_path); /* it was made for nothing */
		return r;
	}
	r = drop(s);
	if (r == 0)
		r = open_state(s);
	if (r == 0)
		r = open_parts(s);
	if (r == 0)
		r = start_threads(s, fds);
	if (r < 0)
		return r;
	(void)notify_manager("READY=1"); /* no manager: nobody waits */
	log_info("ready on %s%s%s", s->sock_path[0] ? s->sock_path : "an inherited socket",
		 s->cfg.tcp ? " and " : "", s->cfg.tcp ? s->cfg.tcp : "");
	log_info("signal %d: stopping", serve(s, sigfd));
	(void)notify_manager("STOPPING=1");
	finish(s);
	return 0;
}

int main(int argc, char **argv)
{
	static struct server s; /* lives as long as the process */
	char err[256];
	sigset_t set;
	int r, sigfd;

	log_init("apid", LOG_INFO_);
	r = opts_parse(options, "apid [options]", argc, argv, &s.cfg, err, sizeof(err));
	if (r == -ECANCELED)
		return 0;
	if (r < 0 || r < argc) {
		log_err(0, "%s", r < 0 ? err : "no operands are taken");
		return 2;
	}
	if (set_log_level(s.cfg.log_level) < 0)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		return log_err(-errno, "signals"), 1;
	raise_limits();
	r = run(&s, sigfd);
	opts_fini(options, &s.cfg);
	return r < 0 ? 1 : 0;
}
