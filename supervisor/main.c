/* supervisor/main.c - starts the daemons and keeps them up where systemd is not
 * PID 1: in order, each one ready (sd_notify) before the next; restarted with
 * backoff when it dies; all stopped, last first, on SIGTERM.
 *
 * It is a subreaper: what a daemon leaves behind (a guest's process outlives
 * hvd on purpose) becomes its child, so that its own end leaves nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemons/clock.h"
#include "daemons/log.h"
#include "daemons/opts.h"
#include "supervisor/service.h"

enum { LOG_KEEP = 8 << 20 };

struct config {
	char *pid_file, *log_dir, *notify;
	bool detach;
};

static const struct opt options[] = {
	{ "pid-file", 'p', OPT_STR, "/run/domzero/supervisor.pid", 0, 0,
	  offsetof(struct config, pid_file), "locked while it runs" },
	{ "log-dir", 'l', OPT_STR, "/var/log/domzero", 0, 0, offsetof(struct config, log_dir),
	  "one file for each daemon" },
	{ "notify", 'n', OPT_STR, "/run/domzero/notify", 0, 0, offsetof(struct config, notify),
	  "socket on which daemons say that they are ready" },
	{ "detach", 'd', OPT_BOOL, "no", 0, 0, offsetof(struct config, detach),
	  "go to the background when all are ready" },
	{ NULL },
};

struct super {
	struct config cfg;
	struct service svc[SVC_MAX];
	int n;
	int sig_fd, notify_fd, pid_fd, tell_fd; /* tell_fd: the waiting parent, or -1 */
	sigset_t signals, old_mask;
	bool stopping, log_open;
	int exit_status;
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / 1000000u;
}

/* To the log, and to whoever waits for us to be up. */
static void tell(struct super *u, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct super *u, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut is fine for a message */
	va_end(ap);
	if (u->tell_fd >= 0)
		dprintf(u->tell_fd, "%s\n", text);
	if (u->tell_fd < 0 || u->log_open)
		log_err(0, "%s", text);
}

/* ---- one service's process ---- */

static char *log_path(const struct super *u, const struct service *s, char buf[4096])
{
	snprintf(buf, 4096, "%s/%s.log", u->cfg.log_dir, s->name);
	return buf;
}

static int open_log(const struct super *u, const struct service *s)
{
	char path[4096], old[4104];
	struct stat st;

	log_path(u, s, path);
	if (stat(path, &st) == 0 && st.st_size > LOG_KEEP) {
		snprintf(old, sizeof(old), "%s.1", path);
		(void)rename(path, old); /* a long log is no reason not to start */
	}
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
}

static void exec_service(const struct super *u, struct service *s)
{
	int log = open_log(u, s), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setsid(); /* a terminal's Ctrl-C is not for daemons */
	sigprocmask(SIG_SETMASK, &u->old_mask, NULL);
	setenv("NOTIFY_SOCKET", u->cfg.notify, 1);
	if (null >= 0)
		dup2(null, 0);
	if (log >= 0) {
		dup2(log, 1);
		dup2(log, 2);
	}
	execvp(s->argv[0], s->argv);
	fprintf(stderr, "%s: %s\n", s->argv[0], strerror(errno));
	_exit(127);
}

static void start(struct super *u, struct service *s)
{
	pid_t pid = fork();

	s->started_ms = now_ms();
	if (pid == 0)
		exec_service(u, s);
	s->state = svc_next(s->state, SVC_EV_START, s->was_ready);
	s->deadline_ms = s->started_ms + SVC_READY_MS;
	if (pid > 0) {
		s->pid = pid;
		log_info("%s started, pid %d", s->name, (int)pid);
	} else {
		s->deadline_ms = s->started_ms; /* as if it had not come up in time */
		log_err(-errno, "%s: fork", s->name);
	}
}

static void stop(struct super *u, struct service *s)
{
	if (s->pid > 0) {
		(void)kill(s->pid, SIGTERM); /* it may be gone; SIGCHLD tells */
		s->deadline_ms = now_ms() + SVC_STOP_MS;
	}
	s->state = svc_next(s->state, SVC_EV_STOP, s->was_ready);
}

static void begin_stopping(struct super *u, int status)
{
	if (!u->stopping)
		u->exit_status = status;
	u->stopping = true;
}

/* The last lines of its log, to whoever waits. */
static void tell_log_tail(struct super *u, const struct service *s)
{
	char path[4096], buf[1025];
	int fd = open(log_path(u, s, path), O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n = fd < 0 ? 0 : pread(fd, buf, 1024, size > 1024 ? size - 1024 : 0);

	if (n > 0 && u->tell_fd >= 0) {
		buf[n] = '\0';
		dprintf(u->tell_fd, "the end of %s:\n%s", path, buf);
	}
	if (fd >= 0)
		close(fd);
}

/* It died, or did not get ready in time. */
static void fell(struct super *u, struct service *s, enum svc_event ev)
{
	uint64_t now = now_ms();

	s->state = svc_next(s->state, ev, s->was_ready);
	s->deadline_ms = 0;
	if (s->state == SVC_FAILED) {
		tell(u, "%s could not be started", s->name);
		tell_log_tail(u, s);
		begin_stopping(u, 1);
	} else if (s->state == SVC_BACKOFF) {
		s->backoff_ms = svc_backoff(s->backoff_ms, now - s->started_ms);
		s->deadline_ms = now + s->backoff_ms;
		log_warn(0, "%s is started again in %u ms", s->name, s->backoff_ms);
	}
}

/* ---- what happens ---- */

static struct service *by_pid(struct super *u, pid_t pid)
{
	for (int i = 0; i < u->n; i++)
		if (pid > 0 && u->svc[i].pid == pid)
			return &u->svc[i];
	return NULL;
}

static void reap(struct super *u)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct service *s = by_pid(u, pid);

		if (!s)
			continue; /* something a daemon left behind */
		if (s->state != SVC_STOPPING)
			log_warn(0, "%s (pid %d) ended: %s %d", s->name, (int)pid,
				 WIFSIGNALED(status) ? "signal" : "status",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		s->pid = 0;
		fell(u, s, SVC_EV_EXIT);
	}
}

static void take_signals(struct super *u)
{
	struct signalfd_siginfo si;

	while (read(u->sig_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			reap(u);
		else if (si.ssi_signo == SIGHUP)
			for (int i = 0; i < u->n; i++) {
				if (u->svc[i].state == SVC_READY)
					(void)kill(u->svc[i].pid, SIGHUP);
			}
		else
			begin_stopping(u, 0);
	}
}

/* One sd_notify message; the kernel vouches for the sender's pid. */
static void take_notify(struct super *u)
{
	char text[4096], control[CMSG_SPACE(sizeof(struct ucred)) + 256];
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(u->notify_fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct service *s = NULL;

	if (n < 0)
		return;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			s = by_pid(u, cred.pid);
		} else if (c->cmsg_type == SCM_RIGHTS) {
			/* Descriptors to keep: there is no store here. */
			for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
				close(fd);
			}
		}
	}
	if (!s || (strncmp(text, "READY=1", 7) != 0 && !strstr(text, "\nREADY=1")))
		return;
	if (s->state == SVC_STARTING) {
		log_info("%s is ready after %llu ms", s->name,
			 (unsigned long long)(now_ms() - s->started_ms));
		s->was_ready = true;
		s->deadline_ms = 0;
	}
	s->state = svc_next(s->state, SVC_EV_READY, s->was_ready);
}

static void expire(struct super *u, struct service *s)
{
	s->deadline_ms = 0;
	if (s->state == SVC_BACKOFF) {
		start(u, s);
	} else if (s->state == SVC_STARTING) {
		log_warn(0, "%s was not ready after %d s", s->name, SVC_READY_MS / 1000);
		if (s->pid > 0)
			(void)kill(s->pid, SIGKILL); /* its exit is what counts */
		else
			fell(u, s, SVC_EV_TIMEOUT);
	} else if (s->state == SVC_STOPPING) {
		log_warn(0, "%s did not stop in %d s: killed", s->name, SVC_STOP_MS / 1000);
		(void)kill(s->pid, SIGKILL);
	}
}

/* What should happen next, from what is.  True when all is over. */
static bool step(struct super *u)
{
	uint64_t now = now_ms();

	for (int i = 0; i < u->n; i++)
		if (u->svc[i].deadline_ms && u->svc[i].deadline_ms <= now &&
		    !(u->stopping && u->svc[i].state == SVC_BACKOFF))
			expire(u, &u->svc[i]);
	if (u->stopping) {
		for (int i = u->n - 1; i >= 0; i--) {
			struct service *s = &u->svc[i];

			if (s->state == SVC_STOPPED || (s->state == SVC_FAILED && !s->pid))
				continue;
			if (s->state != SVC_STOPPING)
				stop(u, s);
			if (s->state == SVC_STOPPING)
				return false; /* those above it wait for it */
		}
		return true;
	}
	for (int i = 0; i < u->n; i++) {
		if (u->svc[i].state == SVC_STOPPED)
			start(u, &u->svc[i]);
		if (!u->svc[i].was_ready)
			return false; /* one after the other, the first time */
	}
	if (u->tell_fd >= 0) {
		dprintf(u->tell_fd, "READY\n");
		close(u->tell_fd);
		u->tell_fd = -1;
		log_info("all %d are ready", u->n);
	}
	return false;
}

static int timeout_ms(const struct super *u)
{
	uint64_t now = now_ms(), soonest = now + 60000;

	for (int i = 0; i < u->n; i++)
		if (u->svc[i].deadline_ms && u->svc[i].deadline_ms < soonest)
			soonest = u->svc[i].deadline_ms;
	return soonest <= now ? 0 : (int)(soonest - now);
}

static void run(struct super *u)
{
	while (!step(u)) {
		struct pollfd p[2] = { { u->sig_fd, POLLIN, 0 }, { u->notify_fd, POLLIN, 0 } };

		if (poll(p, 2, timeout_ms(u)) < 0 && errno != EINTR)
			return;
		if (p[1].revents)
			take_notify(u);
		if (p[0].revents)
			take_signals(u);
	}
}

/* Whatever was left to us: guests whose hvd is gone, helpers of helpers. */
static void end_orphans(void)
{
	for (int round = 0; round < 200; round++) {
		char path[64], list[4096];
		FILE *f;
		size_t n;

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
		f = fopen(path, "re");
		n = f ? fread(list, 1, sizeof(list) - 1, f) : 0;
		if (f)
			fclose(f);
		list[n] = '\0';
		if (!n)
			return;
		for (char *p = list, *end; *p; p = end) {
			long pid = strtol(p, &end, 10);

			if (end == p)
				break;
			if (pid > 1 && (*end == ' ' || !*end))
				(void)kill((pid_t)pid, round < 20 ? SIGTERM : SIGKILL);
		}
		usleep(50000);
	}
}

/* ---- start-up ---- */

static int make_folder_of(const char *path)
{
	char dir[4096];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *p = dir + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
		*p = '\0';
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int lock_pid_file(struct super *u)
{
	char text[32];
	int fd, n;

	fd = open(u->cfg.pid_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		n = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		return n;
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n) {
		n = errno ? -errno : -EIO;
		close(fd);
		return n;
	}
	u->pid_fd = fd;
	return 0;
}

static int open_notify(struct super *u)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, one = 1;

	if (strlen(u->cfg.notify) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, u->cfg.notify);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(u->cfg.notify); /* of an earlier run; the pid file's lock is ours */
	/* Daemons drop privileges before they are ready: anybody may write, and
	 * the sender's pid decides what counts. */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(u->cfg.notify, 0666) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	u->notify_fd = fd;
	return 0;
}

static int load_table(struct super *u, const char *path, char *err, size_t errlen)
{
	char text[16384], why[128];
	FILE *f = fopen(path, "re");
	size_t n;
	int r;

	if (!f) {
		r = -errno;
		snprintf(err, errlen, "%s: %s", path, strerror(-r));
		return r;
	}
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	r = svc_parse(text, u->svc, why, sizeof(why));
	if (r <= 0) {
		snprintf(err, errlen, "%s: %s", path, r < 0 ? why : "no services in it");
		return -EINVAL;
	}
	u->n = r;
	return 0;
}

/* In the child: 0.  In the parent: does not return; its status says how the
 * child's start went, and what the child told is on stderr. */
static int detach(struct super *u)
{
	char text[4096];
	bool ready = false;
	int fd[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(fd[0]);
		u->tell_fd = fd[1];
		setsid();
		return 0;
	}
	close(fd[1]);
	while ((n = read(fd[0], text, sizeof(text) - 1)) > 0) {
		text[n] = '\0';
		if (strcmp(text, "READY\n") == 0)
			ready = true;
		else
			fputs(text, stderr);
	}
	_exit(ready ? 0 : 1);
}

static void own_log(struct super *u)
{
	char path[4096];
	int log, null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(path, sizeof(path), "%s/supervisor.log", u->cfg.log_dir);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	dup2(null, 0);
	dup2(log >= 0 ? log : null, 1);
	dup2(log >= 0 ? log : null, 2);
	u->log_open = true;
}

static int prepare(struct super *u)
{
	char probe[4200];
	int r;

	snprintf(probe, sizeof(probe), "%s/", u->cfg.log_dir);
	r = make_folder_of(u->cfg.pid_file);
	if (r == 0)
		r = make_folder_of(u->cfg.notify);
	if (r == 0)
		r = make_folder_of(probe);
	if (r < 0)
		tell(u, "can't make the folders of %s, %s and %s: %s", u->cfg.pid_file,
		     u->cfg.notify, u->cfg.log_dir, strerror(-r));
	if (r == 0 && (r = lock_pid_file(u)) < 0)
		tell(u, "%s: %s", u->cfg.pid_file,
		     r == -EBUSY ? "a supervisor runs already" : strerror(-r));
	if (r == 0 && (r = open_notify(u)) < 0)
		tell(u, "%s: %s", u->cfg.notify, strerror(-r));
	if (r < 0)
		return r;
	sigemptyset(&u->signals);
	sigaddset(&u->signals, SIGCHLD);
	sigaddset(&u->signals, SIGTERM);
	sigaddset(&u->signals, SIGINT);
	sigaddset(&u->signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &u->signals, &u->old_mask);
	u->sig_fd = signalfd(-1, &u->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (u->sig_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		r = -errno;
		tell(u, "signalfd or subreaper: %s", strerror(-r));
	}
	return r;
}

int main(int argc, char **argv)
{
	static struct super u = { .sig_fd = -1, .notify_fd = -1, .pid_fd = -1, .tell_fd = -1 };
	char err[512];
	int r;

	log_init("dz-supervise", LOG_INFO_);
	r = opts_parse(options, "dz-supervise [options] TABLE", argc, argv, &u.cfg, err,
		       sizeof(err));
	if (r == -ECANCELED)
		return 0;
	if (r >= 0 && r != argc - 1) {
		snprintf(err, sizeof(err), "name one table of services (try --help)");
		r = -EINVAL;
	}
	if (r >= 0)
		r = load_table(&u, argv[r], err, sizeof(err));
	if (r < 0) {
		fprintf(stderr, "dz-supervise: %s\n", err);
		return 2;
	}
	if (u.cfg.detach && (r = detach(&u)) < 0) {
		fprintf(stderr, "dz-supervise: %s\n", strerror(-r));
		return 1;
	}
	r = prepare(&u);
	if (r == 0) {
		if (u.cfg.detach)
			own_log(&u);
		run(&u);
		end_orphans();
		(void)unlink(u.cfg.notify);
		(void)unlink(u.cfg.pid_file); /* still locked: nobody else's yet */
	}
	for (int i = 0; i < u.n; i++)
		svc_fini(&u.svc[i]);
	opts_fini(options, &u.cfg);
	return r < 0 ? 1 : u.exit_status;
}
