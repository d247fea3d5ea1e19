/* apid/tasks.c - the queue, its persistence and those who wait. */
#include "apid/tasks_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "apid/json.h"
#include "daemons/log.h"
#include "daemons/sys.h"

#define TASKS_KEEP 20000 /* finished ones in the database */

const char *task_state_name(const struct task *t)
{
	static const char *const names[] = { "pending", "running", "running", "succeeded",
					     "failed" };

	return names[t->state];
}

static const struct task_type *find_type(const struct tasks *ts, const char *name)
{
	for (size_t i = 0; i < ts->ntypes; i++)
		if (strcmp(ts->types[i].name, name) == 0)
			return &ts->types[i];
	return NULL;
}

int tasks_new(struct db *db, struct events *ev, const struct task_type *types, size_t ntypes,
	      struct tasks **ret)
{
	struct tasks *ts = sys_zalloc(sizeof(*ts));

	if (!ts)
		return -ENOMEM;
	ts->wake_fd = sys_eventfd();
	if (ts->wake_fd < 0) {
		int r = ts->wake_fd;

		free(ts);
		return r;
	}
	pthread_mutex_init(&ts->lock, NULL);
	pthread_cond_init(&ts->work, NULL);
	ts->db = db;
	ts->ev = ev;
	ts->types = types;
	ts->ntypes = ntypes;
	*ret = ts;
	return 0;
}

static struct task *task_free(struct task *t)
{
	if (t) {
		free(t->name);
		json_object_put(t->args);
		free(t);
	}
	return NULL;
}

struct tasks *tasks_free(struct tasks *ts)
{
	struct task *t, *next;

	if (!ts)
		return NULL;
	for (t = ts->open; t; t = next) {
		next = t->next;
		task_free(t);
	}
	close(ts->wake_fd);
	pthread_cond_destroy(&ts->work);
	pthread_mutex_destroy(&ts->lock);
	free(ts);
	return NULL;
}

static void append(struct tasks *ts, struct task *t)
{
	struct task **at = &ts->open;

	while (*at)
		at = &(*at)->next;
	*at = t;
	ts->nopen++;
}

static void task_event(struct tasks *ts, const struct task *t, const char *type)
{
	struct jbuf b = { 0 };

	jb_obj(&b);
	jb_kstr(&b, "task", t->id);
	jb_kstr(&b, "type", t->type->name);
	jb_kstr(&b, "state", task_state_name(t));
	if (t->prob.code != PROB_NONE)
		jb_kstr(&b, "code", problem_name(t->prob.code));
	jb_obj_end(&b);
	if (!b.oom)
		(void)events_add(ts->ev, type, t->uuid[0] ? t->uuid : NULL, b.p);
	jb_fini(&b);
}

static int insert_row(struct tasks *ts, struct task *t)
{
	int r = db_run(ts->db,
		       "INSERT INTO tasks (id, type, state, domain, domain_name, args, created_at, "
		       "started_at, ended_at, progress) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       "ssssssiiii", t->id, t->type->name, task_state_name(t),
		       t->uuid[0] ? t->uuid : NULL, t->name,
		       t->args ? json_object_to_json_string_ext(t->args, JSON_C_TO_STRING_PLAIN)
			       : "{}",
		       t->created_at, t->started_at, t->ended_at, (int64_t)t->progress);

	if (r == 0) {
		t->seq = db_last_id(ts->db);
		task_event(ts, t, t->ended_at ? "task.finished" : "task.created");
	}
	if (r == 0 && ++ts->submitted % 256 == 0)
		r = db_run(ts->db,
			   "DELETE FROM tasks WHERE seq <= (SELECT max(seq) FROM tasks) - ? "
			   "AND state IN ('succeeded', 'failed')",
			   "i", (int64_t)TASKS_KEEP);
	return r;
}

static struct task *task_new(const struct task_type *type, const char *uuid, const char *name)
{
	struct task *t = sys_zalloc(sizeof(*t));

	if (!t)
		return NULL;
	t->type = type;
	t->created_at = now_ms();
	snprintf(t->uuid, sizeof(t->uuid), "%s", uuid ? uuid : "");
	t->name = strdup(name ? name : "");
	if (!t->name)
		return task_free(t);
	uuid_new(t->id);
	return t;
}

int tasks_submit(struct tasks *ts, const char *type, const char *uuid, const char *name,
		 json_object *args, char ret_id[UUID_LEN + 1], struct problem *p)
{
	struct task *t = task_new(find_type(ts, type), uuid, name);
	int r;

	if (!t) {
		json_object_put(args);
		return problem_errno(p, -ENOMEM, "task");
	}
	t->args = args ? args : json_object_new_object();
	pthread_mutex_lock(&ts->lock);
	r = ts->nopen >= TASKS_OPEN_MAX ? -EUSERS : db_begin(ts->db);
	if (r == 0) {
		r = insert_row(ts, t);
		if (r == 0)
			r = db_commit(ts->db);
		else
			db_rollback(ts->db);
	}
	if (r == 0) {
		snprintf(ret_id, UUID_LEN + 1, "%s", t->id);
		append(ts, t);
		pthread_cond_broadcast(&ts->work);
	}
	pthread_mutex_unlock(&ts->lock);
	if (r == 0) {
		events_kick(ts->ev);
		return 0;
	}
	task_free(t);
	if (r == -EUSERS)
		return problem_set(p, PROB_TOO_MANY_REQUESTS,
				   "%d tasks are unfinished; wait for some", TASKS_OPEN_MAX);
	return problem_errno(p, r, "state database");
}

int tasks_record(struct tasks *ts, const char *type, const char *uuid, const char *name)
{
	struct task_type done = { .name = type };
	struct task *t = task_new(&done, uuid, name);
	int r;

	if (!t)
		return -ENOMEM;
	t->state = TS_SUCCEEDED;
	t->started_at = t->ended_at = t->created_at;
	t->progress = 100;
	pthread_mutex_lock(&ts->lock);
	r = insert_row(ts, t);
	pthread_mutex_unlock(&ts->lock);
	task_free(t);
	return r;
}

static int recover_row(sqlite3_stmt *row, void *arg)
{
	struct tasks *ts = arg;
	const struct task_type *type = find_type(ts, db_text(row, 2));
	struct task *t = type ? task_new(type, db_text(row, 3), db_text(row, 4)) : NULL;
	const char *args = db_text(row, 5);
	char err[64];

	if (!t)
		return 0;
	t->seq = db_int(row, 0);
	snprintf(t->id, sizeof(t->id), "%s", db_text(row, 1));
	if (json_parse(args, strlen(args), &t->args, err, sizeof(err)) < 0)
		t->args = json_object_new_object();
	if (db_text(row, 6))
		snprintf(t->step, sizeof(t->step), "%s", db_text(row, 6));
	t->created_at = db_int(row, 7);
	t->started_at = db_int(row, 8);
	t->deadline_ms = db_int(row, 9);
	t->domid = (uint16_t)db_int(row, 10);
	/* One that never started has nothing to be undone. */
	t->why = t->started_at ? TASK_WAKE_RECOVERED : TASK_WAKE_START;
	append(ts, t);
	return 0;
}

int tasks_recover(struct tasks *ts)
{
	int r;

	pthread_mutex_lock(&ts->lock);
	r = db_query(
		ts->db,
		"SELECT seq, id, type, domain, domain_name, args, step, created_at, started_at, "
		"deadline_at, domid FROM tasks WHERE state IN ('pending', 'running') ORDER BY seq",
		recover_row, ts, "");
	pthread_mutex_unlock(&ts->lock);
	return r;
}

/* ---- running ---- */

static bool domain_busy(const struct tasks *ts, const char *uuid)
{
	for (const struct task *t = ts->open; t; t = t->next)
		if (t->state == TS_RUNNING && strcmp(t->uuid, uuid) == 0)
			return true;
	return false;
}

static struct task *pick(struct tasks *ts, bool urgent_only)
{
	struct task *t;

	for (t = ts->open; t; t = t->next)
		if (t->state == TS_PENDING && (!urgent_only || t->type->urgent) &&
		    !domain_busy(ts, t->uuid))
			return t;
	return NULL;
}

static void unlink_task(struct tasks *ts, struct task *t)
{
	struct task **at = &ts->open;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	ts->nopen--;
}

static void write_end(struct tasks *ts, struct task *t)
{
	struct jbuf b = { 0 };
	int r = db_begin(ts->db);

	if (t->prob.code != PROB_NONE) {
		snprintf(t->prob.task, sizeof(t->prob.task), "%s", t->id);
		problem_json(&b, &t->prob, NULL);
	}
	if (r == 0) {
		r = db_run(ts->db,
			   "UPDATE tasks SET state = ?, ended_at = ?, progress = ?, recovery = ?, "
			   "problem = ? WHERE id = ?",
			   "siisss", task_state_name(t), t->ended_at, (int64_t)t->progress,
			   t->recovery, b.p, t->id);
		task_event(ts, t, "task.finished");
		if (r == 0)
			r = db_commit(ts->db);
		else
			db_rollback(ts->db);
	}
	if (r < 0)
		log_err(r, "task %s (%s) ended as %s, but that can't be written", t->id,
			t->type->name, task_state_name(t));
	jb_fini(&b);
}

/* The lock is held; it is let go while the waiters are told.  Frees t. */
static void finish(struct tasks *ts, struct task *t)
{
	struct task_waiter *w, *next;

	t->state = t->prob.code == PROB_NONE ? TS_SUCCEEDED : TS_FAILED;
	t->ended_at = now_ms();
	if (t->state == TS_SUCCEEDED)
		t->progress = 100;
	write_end(ts, t);
	unlink_task(ts, t);
	w = t->waiters;
	pthread_cond_broadcast(&ts->work); /* its domain is free for the next */
	pthread_mutex_unlock(&ts->lock);
	for (; w; w = next) {
		next = w->next;
		w->cb(w->arg);
		free(w);
	}
	events_kick(ts->ev);
	if (t->state == TS_FAILED)
		log_warn(0, "task %s %s '%s': %s", t->id, t->type->name, t->name, t->prob.detail);
	else
		log_info("task %s %s '%s' done%s%s", t->id, t->type->name, t->name,
			 t->recovery ? ", " : "", t->recovery ? t->recovery : "");
	task_free(t);
	pthread_mutex_lock(&ts->lock);
}

static void run_one(struct tasks *ts, struct task *t, struct worker *w)
{
	int r;

	t->state = TS_RUNNING;
	if (!t->started_at)
		t->started_at = now_ms();
	/* If this can't be written the task must not start: after a crash it would
	 * look as if it had not. */
	r = db_run(ts->db, "UPDATE tasks SET state = 'running', started_at = ? WHERE id = ?", "is",
		   t->started_at, t->id);
	pthread_mutex_unlock(&ts->lock);
	if (r < 0)
		(void)problem_errno(&t->prob, r, "state database");
	else
		r = t->type->run(t, w, t->why);
	if (r < 0 && t->prob.code == PROB_NONE)
		(void)problem_errno(&t->prob, r, t->type->name);
	pthread_mutex_lock(&ts->lock);
	if (r == TASK_PARK) {
		t->state = TS_PARKED;
		(void)db_run(ts->db, "UPDATE tasks SET deadline_at = ? WHERE id = ?", "is",
			     t->deadline_ms, t->id); /* without it: the default at recovery */
		pthread_cond_broadcast(&ts->work);
		tasks_nudge(ts);
		return;
	}
	finish(ts, t);
}

void tasks_work(struct tasks *ts, struct worker *w, bool urgent_only)
{
	struct task *t;

	pthread_mutex_lock(&ts->lock);
	while (!ts->stop) {
		t = ts->gates ? pick(ts, urgent_only) : NULL;
		if (t)
			run_one(ts, t, w);
		else
			pthread_cond_wait(&ts->work, &ts->lock);
	}
	pthread_mutex_unlock(&ts->lock);
}

void tasks_stop(struct tasks *ts)
{
	pthread_mutex_lock(&ts->lock);
	ts->stop = true;
	pthread_cond_broadcast(&ts->work);
	pthread_mutex_unlock(&ts->lock);
}

void tasks_open_gates(struct tasks *ts)
{
	pthread_mutex_lock(&ts->lock);
	ts->gates = true;
	pthread_cond_broadcast(&ts->work);
	pthread_mutex_unlock(&ts->lock);
}

void task_step(struct tasks *ts, struct task *t, int progress, const char *step)
{
	pthread_mutex_lock(&ts->lock);
	snprintf(t->step, sizeof(t->step), "%s", step);
	t->progress = progress;
	pthread_mutex_unlock(&ts->lock);
	(void)db_run(ts->db, "UPDATE tasks SET step = ?, progress = ? WHERE id = ?", "sis", step,
		     (int64_t)progress, t->id); /* for show */
}

void task_domid(struct tasks *ts, struct task *t, uint16_t domid)
{
	pthread_mutex_lock(&ts->lock);
	t->domid = domid;
	pthread_mutex_unlock(&ts->lock);
	(void)db_run(ts->db, "UPDATE tasks SET domid = ? WHERE id = ?", "is", (int64_t)domid,
		     t->id);
}

void task_save_args(struct tasks *ts, struct task *t)
{
	(void)db_run(ts->db, "UPDATE tasks SET args = ? WHERE id = ?", "ss",
		     json_object_to_json_string_ext(t->args, JSON_C_TO_STRING_PLAIN), t->id);
}

void tasks_settle(struct tasks *ts, const char *uuid, bool (*decide)(struct task *t, void *arg),
		  void *arg)
{
	struct task *t;
	bool again = true;

	pthread_mutex_lock(&ts->lock);
	while (again) {
		again = false;
		for (t = ts->open; t; t = t->next) {
			if (t->state != TS_PARKED || strcmp(t->uuid, uuid) != 0 || !decide(t, arg))
				continue;
			finish(ts, t); /* lets the lock go: begin anew */
			again = true;
			break;
		}
	}
	pthread_mutex_unlock(&ts->lock);
}

bool tasks_has_open(struct tasks *ts, const char *uuid, const char *type)
{
	bool yes = false;

	pthread_mutex_lock(&ts->lock);
	for (struct task *t = ts->open; t && !yes; t = t->next)
		yes = strcmp(t->uuid, uuid) == 0 && (!type || strcmp(t->type->name, type) == 0);
	pthread_mutex_unlock(&ts->lock);
	return yes;
}
