/* daemons/process.h - processes that outlive the daemon that started them:
 * starting one in a pid namespace of its own, and knowing it again. */
#ifndef DAEMONS_PROCESS_H
#define DAEMONS_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#define PROCESS_FDS_MAX 24u

struct process_start {
	const char *binary;
	char *const *argv; /* argv[0] is the name to go by */
	const int *fds;	   /* borrowed; the child has fds[i] as descriptor first + i... */
	unsigned first, nfds;
	/* ...and below first what we have ourselves; nothing above. */
};

/* In a pid namespace of its own where the host allows it.  The child leads a
 * session; its signals are those of a fresh process.  *ret_pidfd is owned. */
int process_start(const struct process_start *p, pid_t *ret_pid, int *ret_pidfd);

/* Field 22 of /proc/PID/stat, which tells a number's second user from its
 * first; 0: no such process. */
uint64_t process_ticks(pid_t pid);
/* A pidfd of the living process that has this number since then, or -ESRCH. */
int process_find(pid_t pid, uint64_t ticks);

#endif
