/* apid/taskview.c - tasks as their readers see them. */
#include "apid/tasks_int.h"

#include <errno.h>
#include <string.h>

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
			  .state = task_state_name(t),
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
	t = tasks_find_open(ts, id);
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
