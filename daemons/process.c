/* daemons/process.c - starting processes, and finding them again.
 *
 * The child shares our memory until it has called exec (as vfork does), so it
 * runs on a stack of its own, allocates nothing, and can tell us why exec
 * failed by writing to our variable.
 */
#include "daemons/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_STACK (64u << 10)

/* All that the child writes to but registers: an array on its own stack would
 * leave AddressSanitizer's marks there, since nothing returns from exec. */
struct child {
	const struct process_start *p;
	int err, fds[PROCESS_FDS_MAX];
	sigset_t mask;
};

/* Out of the way of the targets first: a source may be another's target. */
static int place_fds(struct child *c)
{
	const struct process_start *p = c->p;
	int above = (int)(p->first + p->nfds);

	for (unsigned i = 0; i < p->nfds; i++) {
		c->fds[i] = fcntl(p->fds[i], F_DUPFD, above);
		if (c->fds[i] < 0)
			return -errno;
	}
	for (unsigned i = 0; i < p->nfds; i++)
		if (dup2(c->fds[i], (int)(p->first + i)) < 0)
			return -errno;
	return close_range((unsigned)above, ~0u, 0) < 0 ? -errno : 0;
}

static int child_main(void *arg)
{
	struct child *c = arg;

	(void)setsid(); /* a signal to our group is not for guests */
	(void)signal(SIGPIPE, SIG_DFL);
	c->err = place_fds(c);
	if (c->err < 0)
		_exit(127);
	(void)sigprocmask(SIG_SETMASK, &c->mask, NULL);
	execv(c->p->binary, c->p->argv);
	c->err = -errno;
	_exit(127);
}

int process_start(const struct process_start *p, pid_t *ret_pid, int *ret_pidfd)
{
	const int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
	struct child c = { .p = p };
	sigset_t all;
	int pidfd = -1, pid;
	char *stack;

	if (p->nfds > PROCESS_FDS_MAX)
		return -EINVAL;
	stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &c.mask); /* no handler runs on the child's side */
	sigemptyset(&c.mask);
	pid = clone(child_main, stack + CHILD_STACK, flags | CLONE_NEWPID, &c, &pidfd);
	if (pid < 0 && errno == EPERM)
		pid = clone(child_main, stack + CHILD_STACK, flags, &c, &pidfd);
	if (pid < 0)
		c.err = -errno;
	(void)sigprocmask(SIG_UNBLOCK, &all, NULL);
	munmap(stack, CHILD_STACK);
	if (c.err < 0) {
		if (pid > 0) {
			siginfo_t si;

			(void)waitid(P_PID, (id_t)pid, &si, WEXITED);
			close(pidfd);
		}
		return c.err;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

uint64_t process_ticks(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[64], text[1024], *p;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	p = strrchr(text, ')'); /* the name before it may hold anything */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p && sscanf(p, " %llu", &ticks) == 1 ? ticks : 0;
}

int process_find(pid_t pid, uint64_t ticks)
{
	int fd = pidfd_open(pid, 0);
	struct pollfd dead = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return -ESRCH;
	/* The pidfd pins the number: if the start time is right now, it is him.  He
	 * may still be a zombie that nobody has waited for. */
	if (ticks == 0 || process_ticks(pid) != ticks || poll(&dead, 1, 0) == 1) {
		close(fd);
		return -ESRCH;
	}
	return fd;
}
