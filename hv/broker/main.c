/* hv/broker/main.c - hvd: settings, start and stop.
 *
 * Stopping hvd does not touch the guests; the next one adopts them.  To end
 * them as well there is `hvd --destroy-all`, which runs instead of hvd.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/opts.h"
#include "daemons/paths.h"
#include "daemons/privs.h"
#include "daemons/process.h"
#include "daemons/sys.h"
#include "hv/broker/hvd.h"

#define AT(field) offsetof(struct hvd_config, field)

static const struct opt opts[] = {
	{ "group", 'g', OPT_STR, "domzero", 0, 0, AT(group), "group that may use the socket" },
	{ "domain-binary", 0, OPT_STR, NULL, 0, 0, AT(domain_binary),
	  "program of a domain process (default: dz-domain beside hvd)" },
	{ "uid-base", 0, OPT_U64, "200000", 1000, 0x70000000, AT(uid_base),
	  "domain N runs as this uid plus N" },
	{ "kvm-device", 0, OPT_STR, "/dev/kvm", 0, 0, AT(kvm_device), "for engine kvm" },
	{ "overcommit", 0, OPT_BOOL, "no", 0, 0, AT(overcommit),
	  "let domains have more memory than the host" },
	{ "log-level", 'l', OPT_STR, "info", 0, 0, AT(log_level), "error, warning, info or debug" },
	{ "destroy-all", 0, OPT_BOOL, "no", 0, 0, AT(destroy_all),
	  "end every domain that a stopped hvd left running, then exit" },
	{ 0 },
};

static int set_level(const char *name)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = { { "error", LOG_ERR_ },
		       { "warning", LOG_WARN_ },
		       { "info", LOG_INFO_ },
		       { "debug", LOG_DEBUG_ } };

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(levels[i].name, name) == 0) {
			log_set_level(levels[i].level);
			return 0;
		}
	return -EINVAL;
}

/* ---- preparation ---- */

/* The run folder is shared with other daemons' users, so a name in it may be
 * theirs: a link, or a folder with state that we never wrote. */
static int make_dir(const char *path, mode_t mode)
{
	struct stat st;
	int fd, r;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = sys_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	r = fstat(fd, &st) < 0 ? -errno : st.st_uid != 0 ? -EPERM : 0;
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int make_dirs(struct hvd *h)
{
	const char *run = path_run();
	const struct {
		char *buf;
		size_t n;
		const char *name;
		mode_t mode; /* 0: not a folder */
	} names[] = {
		{ h->own_dir, sizeof(h->own_dir), "hvd", 0700 },
		{ h->dom_dir, sizeof(h->dom_dir), "dom", 0700 },
		{ h->root_dir, sizeof(h->root_dir), "empty", 0555 },
		{ h->state_path, sizeof(h->state_path), "hvd/state", 0 },
		{ h->log_path, sizeof(h->log_path), "hvd/log", 0 },
		{ h->lock_path, sizeof(h->lock_path), "hvd/lock", 0 },
	};
	int r;

	if (mkdir(run, 0755) < 0 && errno != EEXIST)
		return log_err(-errno, "%s", run);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (snprintf(names[i].buf, names[i].n, "%s/%s", run, names[i].name) >=
		    (int)names[i].n)
			return log_err(-ENAMETOOLONG, "%s", run);
		r = names[i].mode ? make_dir(names[i].buf, names[i].mode) : 0;
		if (r < 0)
			return log_err(r, "%s must be a folder of root's", names[i].buf);
	}
	r = h->lock_fd = sys_open(h->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (r < 0)
		return log_err(r, "%s", h->lock_path);
	if (flock(h->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return log_err(-EBUSY, "another hvd runs in %s", run);
	return 0;
}

/* Beside hvd as installed, or in the build tree. */
static int find_binary(struct hvd *h)
{
	static const char *const places[] = { "dz-domain", "../domain/dz-domain",
					      "../libexec/domzero/dz-domain" };
	char self[PATH_MAX], path[PATH_MAX + 64], *slash;
	ssize_t n;

	if (h->cfg.domain_binary) {
		if (!realpath(h->cfg.domain_binary, h->binary))
			return log_err(-errno, "%s", h->cfg.domain_binary);
		return 0;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return log_err(-errno, "/proc/self/exe");
	self[n] = '\0';
	slash = strrchr(self, '/');
	slash[1] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", self, places[i]);
		if (access(path, X_OK) == 0 && realpath(path, h->binary))
			return 0;
	}
	return log_err(-ENOENT, "dz-domain is not beside hvd in %s (see --domain-binary)", self);
}

static void raise_fd_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max; /* about ten a domain */
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

static int prepare(struct hvd *h)
{
	struct timespec ts;
	int r;

	r = make_dirs(h);
	if (r == 0)
		r = find_binary(h);
	if (r < 0)
		return r;
	r = logring_open(h->log_path, &h->log);
	if (r < 0)
		return log_err(r, "%s", h->log_path);
	h->have_group = privs_lookup_group(h->cfg.group, &h->group) == 0;
	if (!h->have_group)
		log_info("there is no group %s: only root may use the socket", h->cfg.group);
	clock_gettime(CLOCK_REALTIME, &ts);
	h->boot_time_s = (uint64_t)ts.tv_sec;
	h->last_cookie = (uint64_t)ts.tv_sec << 30; /* above every earlier hvd's */
	engines_choose(h);
	r = state_load(h);
	if (r < 0)
		return log_err(r, "%s", h->dom_dir);
	r = state_save(h);
	return r < 0 ? log_err(r, "%s", h->state_path) : 0;
}

/* ---- running ---- */

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct hvd *h = arg;

	event_base_loopbreak(h->base);
}

static void serve(struct hvd *h)
{
	int r = clients_listen(h);

	if (r < 0) {
		(void)log_err(r, "hvd.sock");
		(void)event_base_loopexit(h->base, NULL); /* the loop may not run yet */
		return;
	}
	hvd_log(h, -1, "hvd %s serves, %u domains", DZ_VERSION, h->nr_doms);
	(void)notify_manager("READY=1");
}

static int run(struct hvd *h)
{
	static const int signals[] = { SIGTERM, SIGINT };
	struct event *ev[2] = { NULL, NULL };
	int r = 0;

	h->base = event_base_new();
	if (!h->base)
		return log_err(-ENOMEM, "event loop");
	for (int i = 0; i < 2; i++) {
		ev[i] = evsignal_new(h->base, signals[i], on_signal, h);
		if (!ev[i] || event_add(ev[i], NULL) < 0)
			r = -ENOMEM;
	}
	if (r == 0) {
		adopt_all(h, serve);
		if (event_base_dispatch(h->base) < 0)
			r = -EIO;
		if (!h->listen_ev)
			r = -EIO; /* told by serve() */
	}
	(void)notify_manager("STOPPING=1");
	clients_fini(h);
	dom_forget_all(h);
	for (int i = 0; i < 2; i++)
		if (ev[i])
			event_free(ev[i]);
	event_base_free(h->base);
	return r;
}

/* Ends what state_load() found.  Kills by pidfd, so never a stranger. */
static int destroy_all(struct hvd *h)
{
	char path[108];
	int left = 0;

	for (unsigned i = 0; i < DOMIDS; i++) {
		struct dom *d = h->doms[i];
		struct pollfd p = { .events = POLLIN };

		if (!d)
			continue;
		p.fd = d->id.dying ? -1 : pidfd_open((pid_t)d->id.pid, 0);
		if (p.fd >= 0 && d->id.start_ticks &&
		    process_ticks((pid_t)d->id.pid) == d->id.start_ticks) {
			(void)pidfd_send_signal(p.fd, SIGKILL, NULL, 0);
			left += poll(&p, 1, 10000) != 1;
		}
		if (p.fd >= 0)
			close(p.fd);
		state_remove_dom(h, d->id.domid);
		if (dom_sock_path(h, d->id.domid, path))
			(void)unlink(path);
		logring_add(h->log, d->id.domid, "destroyed while hvd was stopped");
	}
	dom_forget_all(h);
	return left ? log_err(-EBUSY, "%d domain processes did not end in ten seconds", left) : 0;
}

int main(int argc, char **argv)
{
	static struct hvd h = { .lock_fd = -1, .listen_fd = -1 };
	char err[256];
	int r;

	log_init("hvd", LOG_INFO_);
	r = opts_parse(opts, "hvd [options]", argc, argv, &h.cfg, err, sizeof(err));
	if (r == -ECANCELED)
		return EXIT_SUCCESS;
	if (r < 0 || r != argc || set_level(h.cfg.log_level) < 0) {
		(void)log_err(0, "%s",
			      r < 0	  ? err
			      : r != argc ? "hvd takes options only"
					  : "no such log level");
		return EXIT_FAILURE;
	}
	if (geteuid() != 0) {
		(void)log_err(-EPERM,
			      "hvd makes processes with users of their own: start it as root");
		return EXIT_FAILURE;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	raise_fd_limit();
	r = prepare(&h);
	if (r == 0)
		r = h.cfg.destroy_all ? destroy_all(&h) : run(&h);
	logring_close(h.log);
	opts_fini(opts, &h.cfg);
	if (h.lock_fd >= 0)
		close(h.lock_fd);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
