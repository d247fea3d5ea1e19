/* supervisor/service.h - one supervised daemon: its line in the table, its
 * states, and the rules between them.  No processes here: supervise.c acts.
 *
 *            start            ready
 *   STOPPED --------> STARTING ----> READY
 *      ^                 | exit,       | exit
 *      |                 v timeout     v
 *      |  (first time) FAILED      BACKOFF --start--> STARTING
 *      |                              ^ exit, timeout (it was ready before)
 *      +--exit-- STOPPING <--stop-- any state with a process
 */
#ifndef SUPERVISOR_SERVICE_H
#define SUPERVISOR_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum svc_state { SVC_STOPPED, SVC_STARTING, SVC_READY, SVC_BACKOFF, SVC_STOPPING, SVC_FAILED };
enum svc_event { SVC_EV_START, SVC_EV_READY, SVC_EV_EXIT, SVC_EV_TIMEOUT, SVC_EV_STOP };

enum {
	SVC_MAX = 16,
	SVC_ARGS_MAX = 32,
	SVC_READY_MS = 30000, /* from start to READY=1 */
	SVC_STOP_MS = 10000,  /* from SIGTERM to SIGKILL */
	SVC_BACKOFF_MIN_MS = 100,
	SVC_BACKOFF_MAX_MS = 10000,
	SVC_STEADY_MS = 10000 /* a run this long forgets earlier deaths */
};

struct service {
	char *name;		      /* owned */
	char *argv[SVC_ARGS_MAX + 1]; /* owned, NULL-terminated */
	enum svc_state state;
	bool was_ready; /* once, ever */
	pid_t pid;	/* 0: no process */
	unsigned backoff_ms;
	uint64_t started_ms, deadline_ms; /* 0: no deadline */
};

/* The state after ev; the same state if ev means nothing in it. */
enum svc_state svc_next(enum svc_state s, enum svc_event ev, bool was_ready);
/* What to wait before the next start, doubling from death to death. */
unsigned svc_backoff(unsigned last_ms, uint64_t ran_ms);

/* Parse a table: a line is a name and a command, in words (double quotes hold
 * spaces together); # begins a comment.  Returns how many, or -EINVAL with one
 * line in err.  Free with svc_fini. */
int svc_parse(const char *text, struct service ret[SVC_MAX], char *err, size_t errlen);
void svc_fini(struct service *s);

#endif
