/* backends/warden_child.c - the backend processes: started, found again after the
 * warden was restarted, buried.
 *
 * What a process says goes to a FIFO in its guest's folder, so that a new warden
 * can go on listening; it is its own writer too and never finds it broken.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/warden_int.h"
#include "daemons/clock.h"
#include "daemons/process.h"
#include "daemons/sys.h"

#define BACKOFF_FIRST_MS 20u
#define BACKOFF_MAX_MS	 2000u
#define STEADY_NS	 5000000000ull /* ran so long: its next death is a first one */
#define LINES_MAX	 20u	       /* of one backend, in the time below */
#define LINES_S		 10u

/* ---- its log ---- */

static void say(struct guest *g)
{
	enum log_level lv = LOG_INFO_;
	const char *text = g->line;

	if (g->line_n == 0)
		return;
	g->line[g->line_n] = '\0';
	g->line_n = 0;
	if (g->lines_until_ns < clock_mono_ns()) {
		if (g->lines > LINES_MAX)
			log_info("guest %u: %u more lines of %s are left out", g->domid,
				 g->lines - LINES_MAX, g->w->kind->program);
		g->lines = 0;
		g->lines_until_ns = clock_mono_ns() + LINES_S * 1000000000ull;
	}
	if (text[0] == '<' && text[1] >= '0' + LOG_ERR_ && text[1] <= '0' + LOG_DEBUG_ &&
	    text[2] == '>') {
		lv = (enum log_level)(text[1] - '0');
		text += 3;
	}
	if (++g->lines <= LINES_MAX)
		(void)log_at(lv, 0, "guest %u: %s", g->domid, text);
}

static void on_log(evutil_socket_t fd, short what, void *arg)
{
	struct guest *g = arg;
	char buf[1024];
	ssize_t n = read(fd, buf, sizeof(buf));

	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n' || g->line_n == sizeof(g->line) - 1)
			say(g);
		if (buf[i] != '\n' && buf[i])
			g->line[g->line_n++] = buf[i];
	}
}

int child_open_log(struct guest *g)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/log", g->dir);
	if (mkfifo(path, 0600) < 0 && errno != EEXIST)
		return -errno;
	g->log_fd = sys_open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0);
	if (g->log_fd < 0)
		return g->log_fd;
	if (fstat(g->log_fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return -EEXIST;
	g->log_ev = event_new(g->w->base, g->log_fd, EV_READ | EV_PERSIST, on_log, g);
	return !g->log_ev || event_add(g->log_ev, NULL) < 0 ? -ENOMEM : 0;
}

/* ---- its end ---- */

static void forget(struct guest *g)
{
	if (g->dead_ev)
		event_free(g->dead_ev);
	g->dead_ev = NULL;
	if (g->pidfd >= 0)
		close(g->pidfd);
	g->pidfd = -1;
	g->pid = 0;
}

static void how_it_ended(const struct guest *g)
{
	siginfo_t si = { 0 };

	if (!g->ours || waitid(P_PIDFD, (id_t)g->pidfd, &si, WEXITED | WNOHANG) < 0)
		log_info("%s of guest %u has ended", g->w->kind->program, g->domid);
	else if (si.si_code != CLD_EXITED || si.si_status != 0)
		(void)log_warn(0, "%s of guest %u ended: %s %d%s", g->w->kind->program, g->domid,
			       si.si_code == CLD_EXITED ? "status" : "signal", si.si_status,
			       si.si_status == SIGSYS && si.si_code != CLD_EXITED
				       ? " (a system call its jail forbids)"
				       : "");
}

static void on_dead(evutil_socket_t fd, short what, void *arg)
{
	struct guest *g = arg;
	uint64_t now = clock_mono_ns();

	how_it_ended(g);
	forget(g);
	if (now - g->started_ns > STEADY_NS)
		g->backoff_ms = 0;
	g->due_ns = now + g->backoff_ms * 1000000ull;
	warden_look_in(g->w, g->backoff_ms + 1);
	g->backoff_ms = g->backoff_ms ? g->backoff_ms * 2 : BACKOFF_FIRST_MS;
	if (g->backoff_ms > BACKOFF_MAX_MS)
		g->backoff_ms = BACKOFF_MAX_MS;
}

static int watch_over(struct guest *g, pid_t pid, int pidfd, bool ours)
{
	g->pid = pid;
	g->pidfd = pidfd;
	g->ours = ours;
	g->started_ns = clock_mono_ns();
	g->dead_ev = event_new(g->w->base, pidfd, EV_READ, on_dead, g);
	return !g->dead_ev || event_add(g->dead_ev, NULL) < 0 ? -ENOMEM : 0;
}

void child_kill(struct guest *g, int sig)
{
	if (g->pidfd >= 0)
		(void)pidfd_send_signal(g->pidfd, sig, NULL, 0); /* it may have just ended */
}

void child_fini(struct guest *g)
{
	forget(g);
	if (g->log_ev)
		event_free(g->log_ev);
	g->log_ev = NULL;
	if (g->log_fd >= 0)
		close(g->log_fd);
	g->log_fd = -1;
}

/* ---- its beginning ---- */

/* Whole or not at all, for a warden to come. */
static int note_pid(const struct guest *g)
{
	char path[128], tmp[128], text[64];
	int fd, r, n;

	snprintf(path, sizeof(path), "%s/pid", g->dir);
	snprintf(tmp, sizeof(tmp), "%s/pid.new", g->dir);
	n = snprintf(text, sizeof(text), "%d %llu\n", (int)g->pid,
		     (unsigned long long)process_ticks(g->pid));
	fd = sys_open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	r = (int)sys_write(fd, text, (size_t)n);
	close(fd);
	if (r != n)
		return r < 0 ? r : -EIO;
	return sys_rename(tmp, path);
}

int child_adopt(struct guest *g)
{
	unsigned long long ticks;
	char path[128], text[64];
	int fd, pid, pidfd;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/pid", g->dir);
	fd = sys_open(path, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return -ESRCH;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%d %llu", &pid, &ticks) != 2 || pid <= 1)
		return -ESRCH;
	pidfd = process_find((pid_t)pid, ticks);
	if (pidfd < 0)
		return -ESRCH;
	if (watch_over(g, (pid_t)pid, pidfd, false) < 0) {
		forget(g);
		return -ENOMEM;
	}
	log_info("guest %u: %s adopted, pid %d", g->domid, g->w->kind->program, pid);
	return 0;
}

static int start(struct guest *g)
{
	char domid[24], sockets[128], uid[32];
	char *argv[] = { (char *)g->w->kind->program, domid, sockets, uid, NULL };
	int null = sys_open("/dev/null", O_RDWR, 0), r, pidfd;
	int fds[3] = { null, g->log_fd, g->log_fd };
	struct process_start p = { .binary = g->w->binary, .argv = argv, .fds = fds, .nfds = 3 };
	pid_t pid;

	if (null < 0)
		return null;
	snprintf(domid, sizeof(domid), "--domid=%u", g->domid);
	snprintf(sockets, sizeof(sockets), "--sockets=%s/root", g->dir);
	snprintf(uid, sizeof(uid), "--uid=%u", g->w->jailed ? g->uid : 0);
	r = process_start(&p, &pid, &pidfd);
	close(null);
	if (r < 0)
		return r;
	r = watch_over(g, pid, pidfd, true);
	if (r == 0)
		r = note_pid(g);
	if (r < 0) { /* nobody would find it again */
		child_kill(g, SIGKILL);
		(void)waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED);
		forget(g);
		return r;
	}
	log_info("guest %u: %s started, pid %d", g->domid, g->w->kind->program, (int)pid);
	return 0;
}

int child_spawn(struct guest *g)
{
	int r = start(g);

	if (r < 0) {
		(void)log_err(r, "%s of guest %u could not be started", g->w->kind->program,
			      g->domid);
		g->due_ns = clock_mono_ns() + 1000000000ull;
		warden_look_in(g->w, 1001);
	}
	return r;
}
