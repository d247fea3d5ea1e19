/* hv/broker/spawn.c - starts a domain process in a pid namespace of its own.
 *
 * The child shares our memory until it has called exec (as vfork does), so it
 * runs on a stack of its own, allocates nothing, and can tell us why exec
 * failed by writing to our variable.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv/broker/hvd.h"

#define CHILD_FD    3
#define CHILD_STACK (64u << 10)

struct child {
	const char *bin;
	char *const *argv;
	int sock, err;
	sigset_t mask;
};

static int child_main(void *arg)
{
	struct child *c = arg;

	(void)setsid(); /* a signal to hvd's group is not for guests */
	(void)signal(SIGPIPE, SIG_DFL);
	if (c->sock == CHILD_FD ? fcntl(CHILD_FD, F_SETFD, 0) < 0 : dup2(c->sock, CHILD_FD) < 0) {
		c->err = -errno;
		_exit(127);
	}
	(void)close_range(CHILD_FD + 1, ~0u, 0);
	(void)sigprocmask(SIG_SETMASK, &c->mask, NULL);
	execv(c->bin, c->argv);
	c->err = -errno;
	_exit(127);
}

int spawn_domain(const char *bin, char *const argv[], int sock, pid_t *ret_pid, int *ret_pidfd)
{
	const int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
	struct child c = { .bin = bin, .argv = argv, .sock = sock };
	sigset_t all;
	int pidfd = -1, pid;
	char *stack;

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
