/* apid/tasks_int.h - shared by tasks.c (the queue), taskwait.c (waiting) and
 * taskview.c (JSON). */
#ifndef APID_TASKS_INT_H
#define APID_TASKS_INT_H

#include <pthread.h>

#include "apid/tasks.h"

struct task_waiter {
	task_wait_cb *cb;
	void *arg;
	int64_t deadline_ms;
	struct task_waiter *next;
};

struct tasks {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct db *db;
	struct events *ev;
	const struct task_type *types;
	size_t ntypes;
	struct task *open; /* oldest first */
	size_t nopen;
	unsigned submitted;
	bool gates, stop;
	int wake_fd;
};

const char *task_state_name(const struct task *t);
/* The lock is held. */
struct task *tasks_find_open(struct tasks *ts, const char *id); /* NULL: ended or unknown */
void tasks_nudge(struct tasks *ts);				/* the next tick may be sooner */

#endif
