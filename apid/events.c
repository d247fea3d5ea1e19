/* apid/events.c - the event log in the database, and who waits for it. */
#include "apid/events.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/ids.h"
#include "daemons/sys.h"

#define LISTENERS_MAX 1024

struct events {
	struct db *db;
	char epoch[9];
	pthread_mutex_t lock; /* listeners only */
	struct {
		events_listener *cb;
		void *arg;
	} listeners[LISTENERS_MAX];
	unsigned added;
};

int events_new(struct db *db, struct events **ret)
{
	struct events *e = sys_zalloc(sizeof(*e));
	char *epoch = NULL, uuid[UUID_LEN + 1];
	int r;

	if (!e)
		return -ENOMEM;
	e->db = db;
	pthread_mutex_init(&e->lock, NULL);
	r = db_meta_get(db, "epoch", &epoch);
	if (r == 0 && !epoch) {
		uuid_new(uuid);
		uuid[8] = '\0';
		epoch = strdup(uuid);
		r = epoch ? db_meta_set(db, "epoch", epoch) : -ENOMEM;
	}
	if (r < 0) {
		free(epoch);
		events_free(e);
		return r;
	}
	snprintf(e->epoch, sizeof(e->epoch), "%s", epoch);
	free(epoch);
	*ret = e;
	return 0;
}

struct events *events_free(struct events *e)
{
	if (!e)
		return NULL;
	pthread_mutex_destroy(&e->lock);
	free(e);
	return NULL;
}

int events_add(struct events *e, const char *type, const char *uuid, const char *data)
{
	int r = db_run(e->db, "INSERT INTO events (time, type, domain, data) VALUES (?, ?, ?, ?)",
		       "isss", now_ms(), type, uuid, data);

	if (r == 0 && ++e->added % 256 == 0)
		r = db_run(e->db,
			   "DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?", "i",
			   (int64_t)EVENTS_KEEP);
	return r;
}

void events_kick(struct events *e)
{
	pthread_mutex_lock(&e->lock);
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		if (e->listeners[i].cb)
			e->listeners[i].cb(e->listeners[i].arg);
	pthread_mutex_unlock(&e->lock);
}

int events_listen(struct events *e, events_listener *cb, void *arg, unsigned *ret_id)
{
	int r = -EUSERS;

	pthread_mutex_lock(&e->lock);
	for (unsigned i = 0; i < LISTENERS_MAX && r < 0; i++)
		if (!e->listeners[i].cb) {
			e->listeners[i].cb = cb;
			e->listeners[i].arg = arg;
			*ret_id = i;
			r = 0;
		}
	pthread_mutex_unlock(&e->lock);
	return r;
}

void events_unlisten(struct events *e, unsigned id)
{
	pthread_mutex_lock(&e->lock);
	e->listeners[id].cb = NULL;
	pthread_mutex_unlock(&e->lock);
}

static int two_ints(sqlite3_stmt *row, void *arg)
{
	int64_t *v = arg;

	v[0] = db_int(row, 0);
	v[1] = db_int(row, 1);
	return 1;
}

/* The counter of AUTOINCREMENT: it stays when the rows are cut. */
int64_t events_last(struct events *e)
{
	int64_t v[2] = { 0, 0 };

	(void)db_query(e->db, "SELECT seq, 0 FROM sqlite_sequence WHERE name = 'events'", two_ints,
		       v, "");
	return v[0];
}

int events_parse_id(struct events *e, const char *id, int64_t *ret_seq, struct problem *p)
{
	int64_t first[2] = { 0, 0 };
	char *end = NULL;
	long long seq;

	if (strlen(id) < 10 || id[8] != '-')
		return problem_set(p, PROB_BAD_REQUEST, "'%.64s' is no event id", id);
	errno = 0;
	seq = strtoll(id + 9, &end, 10);
	if (errno || *end || seq < 0 || id[9] == '-' || id[9] == '+' || id[9] == ' ')
		return problem_set(p, PROB_BAD_REQUEST, "'%.64s' is no event id", id);
	(void)db_query(e->db, "SELECT min(seq), 0 FROM events", two_ints, first, "");
	if (strncmp(id, e->epoch, 8) != 0 || seq > events_last(e) || seq + 1 < first[0]) {
		problem_set(p, PROB_EVENTS_GONE,
			    "events after %.64s are not known here any more; list the domains and "
			    "tasks again and go on without an id",
			    id);
		return -EINVAL;
	}
	*ret_seq = seq;
	return 0;
}

void events_format_id(struct events *e, int64_t seq, char ret[64])
{
	snprintf(ret, 64, "%s-%lld", e->epoch, (long long)seq);
}

static bool type_wanted(const char *types, const char *type)
{
	if (!types)
		return true;
	while (*types) {
		size_t n = strcspn(types, ",");

		if (n > 1 && types[n - 1] == '*' && strncmp(types, type, n - 1) == 0)
			return true;
		if (strlen(type) == n && strncmp(types, type, n) == 0)
			return true;
		types += n + (types[n] == ',');
	}
	return false;
}

struct reading {
	struct events *e;
	const struct events_filter *f;
	struct jbuf *b;
	int64_t last;
	bool sse;
};

static int read_row(sqlite3_stmt *row, void *arg)
{
	struct reading *rd = arg;
	struct jbuf *b = rd->b;
	const char *type = db_text(row, 2), *uuid = db_text(row, 3);
	char id[64];

	rd->last = db_int(row, 0);
	if (!type_wanted(rd->f->types, type) ||
	    (rd->f->uuid && (!uuid || strcasecmp(uuid, rd->f->uuid) != 0)))
		return 0;
	events_format_id(rd->e, rd->last, id);
	if (rd->sse) {
		jb_printf(b, "id: %s\nevent: %s\ndata: ", id, type);
		b->comma = false;
	}
	jb_obj(b);
	jb_kstr(b, "id", id);
	jb_ktime(b, "time", db_int(row, 1));
	jb_kstr(b, "type", type);
	jb_kstr(b, "domain", uuid);
	jb_key(b, "data");
	jb_json(b, db_text(row, 4));
	jb_obj_end(b);
	if (rd->sse)
		jb_puts(b, "\n\n");
	return 0;
}

int64_t events_read(struct events *e, int64_t after, unsigned limit, const struct events_filter *f,
		    bool sse, struct jbuf *b)
{
	struct reading rd = { e, f, b, after, sse };

	(void)db_query(e->db,
		       "SELECT seq, time, type, domain, data FROM events WHERE seq > ? "
		       "ORDER BY seq LIMIT ?",
		       read_row, &rd, "ii", after, (int64_t)limit);
	return rd.last;
}
