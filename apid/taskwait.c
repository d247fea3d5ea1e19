/* apid/taskwait.c - those who wait for a task's end, and tasks that wait for
 * their time. */
#include "apid/tasks_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "daemons/sys.h"

void tasks_nudge(struct tasks *ts)
{
	(void)eventfd_write(ts->wake_fd, 1); /* only fails when it is set already */
}

struct task *tasks_find_open(struct tasks *ts, const char *id)
{
	for (struct task *t = ts->open; t; t = t->next)
		if (strcasecmp(t->id, id) == 0)
			return t;
	return NULL;
}

static int count_row(sqlite3_stmt *row, void *arg)
{
	(void)row;
	*(int *)arg = 1;
	return 1;
}

int tasks_wait(struct tasks *ts, const char *id, int64_t deadline_ms, task_wait_cb *cb, void *arg)
{
	struct task_waiter *w = sys_zalloc(sizeof(*w));
	struct task *t;
	int known = 0;

	if (!w)
		return -ENOMEM;
	pthread_mutex_lock(&ts->lock);
	t = tasks_find_open(ts, id);
	if (t) {
		*w = (struct task_waiter){ cb, arg, deadline_ms, t->waiters };
		t->waiters = w;
		tasks_nudge(ts);
	}
	pthread_mutex_unlock(&ts->lock);
	if (t)
		return 0;
	free(w);
	(void)db_query(ts->db, "SELECT 1 FROM tasks WHERE id = lower(?)", count_row, &known, "s",
		       id);
	return known ? 1 : -ENOENT;
}

static int outcome_row(sqlite3_stmt *row, void *arg)
{
	struct problem *p = arg;

	*p = (struct problem){ 0 };
	if (strcmp(db_text(row, 0), "failed") == 0 && !problem_parse(db_text(row, 1), p))
		(void)problem_set(p, PROB_INTERNAL, "the task failed");
	return 1;
}

bool tasks_outcome(struct tasks *ts, const char *id, struct problem *p)
{
	bool open;

	pthread_mutex_lock(&ts->lock);
	open = tasks_find_open(ts, id) != NULL;
	pthread_mutex_unlock(&ts->lock);
	if (open)
		return false;
	(void)problem_set(p, PROB_NOT_FOUND, "there is no task %s", id);
	(void)db_query(ts->db, "SELECT state, problem FROM tasks WHERE id = lower(?)", outcome_row,
		       p, "s", id);
	return true;
}

/* Takes the waiters whose time has come off their tasks. */
static struct task_waiter *due_waiters(struct tasks *ts, int64_t now, int64_t *next_ms)
{
	struct task_waiter *due = NULL;

	for (struct task *t = ts->open; t; t = t->next) {
		struct task_waiter **at = &t->waiters, *w;

		while ((w = *at)) {
			if (w->deadline_ms <= now) {
				*at = w->next;
				w->next = due;
				due = w;
				continue;
			}
			if (w->deadline_ms < *next_ms)
				*next_ms = w->deadline_ms;
			at = &w->next;
		}
		if (t->state != TS_PARKED)
			continue;
		if (t->deadline_ms <= now) {
			t->state = TS_PENDING;
			t->why = TASK_WAKE_DEADLINE;
			pthread_cond_broadcast(&ts->work);
		} else if (t->deadline_ms < *next_ms) {
			*next_ms = t->deadline_ms;
		}
	}
	return due;
}

int tasks_tick(struct tasks *ts)
{
	int64_t now = uptime_ms(), next_ms = now + 60000;
	struct task_waiter *w, *next;
	eventfd_t n;

	(void)eventfd_read(ts->wake_fd, &n); /* EAGAIN: it was only the time */
	pthread_mutex_lock(&ts->lock);
	w = due_waiters(ts, now, &next_ms);
	pthread_mutex_unlock(&ts->lock);
	for (; w; w = next) {
		next = w->next;
		w->cb(w->arg);
		free(w);
	}
	return (int)(next_ms - now);
}

int tasks_wake_fd(struct tasks *ts)
{
	return ts->wake_fd;
}
