/* apid/tasks.c - the queue, its persistence and those who wait. */
#include "apid/tasks.h"

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

static const char *state_name(const struct task *t)
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

static void nudge(struct tasks *ts)
{
	(void)eventfd_write(ts->wake_fd, 1); /* only fails when it is set already */
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
	jb_kstr(&b, "state", state_name(t));
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
		       "ssssssiiii", t->id, t->type->name, state_name(t),
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
			   "siisss", state_name(t), t->ended_at, (int64_t)t->progress, t->recovery,
			   b.p, t->id);
		task_event(ts, t, "task.finished");
		if (r == 0)
			r = db_commit(ts->db);
		else
			db_rollback(ts->db);
	}
	if (r < 0)
		log_err(r, "task %s (%s) ended as %s, but that can't be written", t->id,
			t->type->name, state_name(t));
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
		nudge(ts);
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

/* ---- waiting ---- */

static struct task *find_open(struct tasks *ts, const char *id)
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
	t = find_open(ts, id);
	if (t) {
		*w = (struct task_waiter){ cb, arg, deadline_ms, t->waiters };
		t->waiters = w;
		nudge(ts);
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
	open = find_open(ts, id) != NULL;
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
	int64_t now = now_ms(), next_ms = now + 60000;
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

/* ---- JSON ---- */

struct view {
	const char *id, *type, *state, *uuid, *name, *step, *recovery, *problem;
	int64_t domid, progress, created_at, started_at, ended_at;
};

static void view_json(struct jbuf *b, const struct view *v)
{
	jb_obj(b);
	jb_kstr(b, "id", v->id);
	jb_kstr(b, "type", v->type);
	jb_kstr(b, "state", v->state);
	jb_kstr(b, "domain", v->uuid && *v->uuid ? v->uuid : NULL);
	jb_kstr(b, "domain_name", v->name && *v->name ? v->name : NULL);
	jb_key(b, "domid");
	if (v->domid)
		jb_int(b, v->domid);
	else
		jb_null(b);
	jb_kstr(b, "step", v->step ? v->step : "");
	jb_kint(b, "progress", v->progress);
	jb_ktime(b, "created_at", v->created_at);
	jb_ktime(b, "started_at", v->started_at);
	jb_ktime(b, "ended_at", v->ended_at);
	jb_kstr(b, "recovery", v->recovery);
	jb_key(b, "problem");
	jb_json(b, v->problem ? v->problem : "null");
	jb_obj_end(b);
}

static void open_json(struct jbuf *b, const struct task *t)
{
	struct view v = { .id = t->id,
			  .type = t->type->name,
			  .state = state_name(t),
			  .uuid = t->uuid,
			  .name = t->name,
			  .step = t->step,
			  .recovery = t->recovery,
			  .domid = t->domid,
			  .progress = t->progress,
			  .created_at = t->created_at,
			  .started_at = t->started_at };

	view_json(b, &v);
}

struct listing {
	struct tasks *ts;
	struct jbuf *b;
	int64_t last;
	int n, limit;
	bool more;
};

/* Columns as in TASK_COLUMNS. */
static int task_row(sqlite3_stmt *row, void *arg)
{
	struct listing *l = arg;
	struct view v = { db_text(row, 1), db_text(row, 2), db_text(row, 3), db_text(row, 4),
			  db_text(row, 5), db_text(row, 6), db_text(row, 7), db_text(row, 8),
			  db_int(row, 9),  db_int(row, 10), db_int(row, 11), db_int(row, 12),
			  db_int(row, 13) };

	if (l->n == l->limit) {
		l->more = true;
		return 1;
	}
	view_json(l->b, &v);
	l->last = db_int(row, 0);
	l->n++;
	return 0;
}

#define TASK_COLUMNS                                                                            \
	"seq, id, type, state, domain, domain_name, step, recovery, problem, domid, progress, " \
	"created_at, started_at, ended_at"

int tasks_json(struct tasks *ts, const char *id, struct jbuf *b)
{
	struct listing l = { .ts = ts, .b = b, .limit = 1 };
	struct task *t;

	pthread_mutex_lock(&ts->lock);
	t = find_open(ts, id);
	if (t)
		open_json(b, t);
	pthread_mutex_unlock(&ts->lock);
	if (t)
		return 0;
	(void)db_query(ts->db, "SELECT " TASK_COLUMNS " FROM tasks WHERE id = lower(?)", task_row,
		       &l, "s", id);
	return l.n ? 0 : -ENOENT;
}

int tasks_list(struct tasks *ts, const char *uuid, const char *state, int64_t cursor, int limit,
	       struct jbuf *b, int64_t *ret_next)
{
	struct listing l = { .ts = ts, .b = b, .limit = limit };
	int r = db_query(ts->db,
			 "SELECT " TASK_COLUMNS " FROM tasks WHERE seq < ? AND (?2 IS NULL OR "
			 "domain = lower(?2)) AND (?3 IS NULL OR state = ?3) ORDER BY seq DESC",
			 task_row, &l, "iss", cursor ? cursor : INT64_MAX, uuid, state);

	*ret_next = l.more ? l.last : 0;
	return r;
}

void tasks_open_ids(struct tasks *ts, const char *uuid, struct jbuf *b)
{
	pthread_mutex_lock(&ts->lock);
	for (struct task *t = ts->open; t; t = t->next) {
		if (strcmp(t->uuid, uuid) != 0)
			continue;
		if (!b->n)
			jb_arr(b);
		jb_str(b, t->id);
	}
	pthread_mutex_unlock(&ts->lock);
	if (b->n)
		jb_arr_end(b);
}

size_t tasks_open_count(struct tasks *ts)
{
	size_t n;

	pthread_mutex_lock(&ts->lock);
	n = ts->nopen;
	pthread_mutex_unlock(&ts->lock);
	return n;
}
