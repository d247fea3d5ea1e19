/* apid/db.c - SQLite behind a lock, with cached statements. */
#include "apid/db.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemons/sys.h"

#define STMT_CACHE 64

struct db {
	sqlite3 *h;
	pthread_mutex_t lock; /* recursive: see db_begin */
	unsigned depth;
	bool broken; /* an inner part failed: the outer commit must not succeed */
	struct {
		const char *sql;
		sqlite3_stmt *st;
		bool busy;
	} cache[STMT_CACHE];
	size_t ncache;
};

/* Each step takes a file from one version to the next. */
static const char *const schema_steps[] = {
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE domains ("
	"  uuid TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, config TEXT NOT NULL,"
	"  persistent INTEGER NOT NULL, revision INTEGER NOT NULL, defined_at INTEGER NOT NULL,"
	"  domid INTEGER, created_ns INTEGER, started_at INTEGER, running INTEGER NOT NULL DEFAULT "
	"0,"
	"  target_kib INTEGER NOT NULL DEFAULT 0,"
	"  end_reason TEXT, end_detail TEXT, end_at INTEGER,"
	"  remnant INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
	"CREATE TABLE tasks ("
	"  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,"
	"  state TEXT NOT NULL, domain TEXT, domain_name TEXT, domid INTEGER, args TEXT NOT NULL,"
	"  step TEXT, progress INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,"
	"  started_at INTEGER, ended_at INTEGER, deadline_at INTEGER, recovery TEXT, problem TEXT);"
	"CREATE INDEX tasks_open ON tasks (state) WHERE state IN ('pending', 'running');"
	"CREATE INDEX tasks_domain ON tasks (domain, seq);"
	"CREATE TABLE events ("
	"  seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, type TEXT NOT NULL,"
	"  domain TEXT, data TEXT NOT NULL);"
	"CREATE TABLE idempotency ("
	"  caller INTEGER NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,"
	"  created_at INTEGER NOT NULL, status INTEGER NOT NULL DEFAULT 0, headers TEXT, body TEXT,"
	"  PRIMARY KEY (caller, key)) WITHOUT ROWID;"
	"PRAGMA user_version = 1;",
	/* 2: the task of a request with a key; crashes soon after a start, in a row */
	"ALTER TABLE idempotency ADD COLUMN task TEXT;"
	"ALTER TABLE domains ADD COLUMN quick_crashes INTEGER NOT NULL DEFAULT 0;"
	"PRAGMA user_version = 2;",
	/* 3: who holds which MAC address; a definition's go with it */
	"CREATE TABLE macs (mac TEXT PRIMARY KEY, domain TEXT NOT NULL, devid INTEGER NOT NULL) "
	"WITHOUT ROWID;"
	"CREATE INDEX macs_domain ON macs (domain);"
	"CREATE TRIGGER macs_gone AFTER DELETE ON domains "
	"BEGIN DELETE FROM macs WHERE domain = OLD.uuid; END;"
	"PRAGMA user_version = 3;",
};
#define SCHEMA_VERSION ((int)(sizeof(schema_steps) / sizeof(schema_steps[0])))

static int to_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW: return 0;
	case SQLITE_CONSTRAINT: return -EEXIST;
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return -EBUSY;
	case SQLITE_READONLY: return -EROFS;
	default: return -EIO;
	}
}

static int user_version(sqlite3 *h)
{
	sqlite3_stmt *st;
	int v = -1;

	if (sqlite3_prepare_v2(h, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return v;
}

/* EXCLUSIVE locking: a second apid on the same file is refused, and no shared
 * memory index is needed. */
static int set_up(struct db *db, const char *path, char *err, size_t errlen)
{
	const char *step[] = { "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = WAL",
			       "PRAGMA synchronous = NORMAL", "BEGIN EXCLUSIVE; COMMIT" };
	int v, rc;

	for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		rc = sqlite3_exec(db->h, step[i], NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			continue;
		if (rc == SQLITE_BUSY)
			snprintf(err, errlen, "%s is in use: is another apid running?", path);
		else
			snprintf(err, errlen, "%s: %s; move it away to begin with an empty one",
				 path, sqlite3_errmsg(db->h));
		return to_errno(rc);
	}
	v = user_version(db->h);
	if (v < 0 || v > SCHEMA_VERSION) {
		snprintf(err, errlen, "%s: version %d is not one of this program's", path, v);
		return -EPROTO;
	}
	for (rc = SQLITE_OK; v < SCHEMA_VERSION && rc == SQLITE_OK; v++) {
		rc = sqlite3_exec(db->h, "BEGIN", NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(db->h, schema_steps[v], NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(db->h, "COMMIT", NULL, NULL, NULL);
		if (rc != SQLITE_OK)
			snprintf(err, errlen, "%s: %s", path, sqlite3_errmsg(db->h));
	}
	return to_errno(rc);
}

int db_open(const char *path, struct db **ret, char *err, size_t errlen)
{
	pthread_mutexattr_t at;
	struct db *db;
	mode_t old;
	int r, rc;

	db = sys_zalloc(sizeof(*db));
	if (!db) {
		snprintf(err, errlen, "out of memory");
		return -ENOMEM;
	}
	pthread_mutexattr_init(&at);
	pthread_mutexattr_settype(&at, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&db->lock, &at);
	pthread_mutexattr_destroy(&at);
	old = umask(0077);
	rc = sqlite3_open_v2(path, &db->h,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc != SQLITE_OK) {
		snprintf(err, errlen, "can't open %s: %s", path,
			 db->h ? sqlite3_errmsg(db->h) : "out of memory");
		r = to_errno(rc);
	} else {
		r = set_up(db, path, err, errlen);
	}
	umask(old);
	if (r < 0) {
		db_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

struct db *db_close(struct db *db)
{
	if (!db)
		return NULL;
	for (size_t i = 0; i < db->ncache; i++)
		sqlite3_finalize(db->cache[i].st);
	sqlite3_close(db->h);
	pthread_mutex_destroy(&db->lock);
	free(db);
	return NULL;
}

int db_begin(struct db *db)
{
	int r = 0;

	pthread_mutex_lock(&db->lock);
	if (db->depth == 0) {
		db->broken = false;
		r = to_errno(sqlite3_exec(db->h, "BEGIN IMMEDIATE", NULL, NULL, NULL));
	}
	if (r < 0) {
		pthread_mutex_unlock(&db->lock);
		return r;
	}
	db->depth++;
	return 0;
}

void db_rollback(struct db *db)
{
	db->depth--;
	if (db->depth == 0) {
		/* SQLite may have rolled back by itself (full disk): then this says so. */
		(void)sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
	} else {
		db->broken = true;
	}
	pthread_mutex_unlock(&db->lock);
}

int db_commit(struct db *db)
{
	int r;

	if (db->depth > 1) {
		db->depth--;
		pthread_mutex_unlock(&db->lock);
		return 0;
	}
	if (db->broken) {
		db_rollback(db);
		return -ECANCELED;
	}
	r = to_errno(sqlite3_exec(db->h, "COMMIT", NULL, NULL, NULL));
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	db->depth--;
	pthread_mutex_unlock(&db->lock);
	return 0;
}

/* A statement for sql; *ret_cached tells whether it stays. A query that runs
 * inside the row callback of the same query gets one of its own. */
static int statement(struct db *db, const char *sql, sqlite3_stmt **ret, int *ret_slot)
{
	bool room = db->ncache < STMT_CACHE;
	int rc;

	*ret_slot = -1;
	for (size_t i = 0; i < db->ncache; i++) {
		if (db->cache[i].sql != sql)
			continue;
		if (!db->cache[i].busy) {
			db->cache[i].busy = true;
			*ret = db->cache[i].st;
			*ret_slot = (int)i;
			return 0;
		}
		room = false;
	}
	rc = sqlite3_prepare_v3(db->h, sql, -1, room ? SQLITE_PREPARE_PERSISTENT : 0, ret, NULL);
	if (rc != SQLITE_OK)
		return to_errno(rc);
	if (room) {
		db->cache[db->ncache].sql = sql;
		db->cache[db->ncache].st = *ret;
		db->cache[db->ncache].busy = true;
		*ret_slot = (int)db->ncache++;
	}
	return 0;
}

static int run(struct db *db, const char *sql, db_row_cb *row, void *arg, const char *types,
	       va_list ap)
{
	sqlite3_stmt *st;
	int slot, rc, r;

	pthread_mutex_lock(&db->lock);
	r = statement(db, sql, &st, &slot);
	if (r < 0)
		goto out;
	for (int i = 0; types[i]; i++) {
		if (types[i] == 's') {
			sqlite3_bind_text(st, i + 1, va_arg(ap, const char *), -1,
					  SQLITE_TRANSIENT);
		} else {
			sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t));
		}
	}
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		if (!row || row(st, arg))
			break;
	r = to_errno(rc);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (slot < 0)
		sqlite3_finalize(st);
	else
		db->cache[slot].busy = false;
out:
	pthread_mutex_unlock(&db->lock);
	return r;
}

int db_run(struct db *db, const char *sql, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = run(db, sql, NULL, NULL, types, ap);
	va_end(ap);
	return r;
}

int db_query(struct db *db, const char *sql, db_row_cb *row, void *arg, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = run(db, sql, row, arg, types, ap);
	va_end(ap);
	return r;
}

int64_t db_last_id(struct db *db)
{
	return sqlite3_last_insert_rowid(db->h);
}

const char *db_text(sqlite3_stmt *row, int col)
{
	return (const char *)sqlite3_column_text(row, col);
}

int64_t db_int(sqlite3_stmt *row, int col)
{
	return sqlite3_column_int64(row, col);
}

static int take_text(sqlite3_stmt *row, void *arg)
{
	char **ret = arg;

	*ret = strdup(db_text(row, 0));
	return 1;
}

int db_meta_get(struct db *db, const char *key, char **ret)
{
	*ret = NULL;
	return db_query(db, "SELECT value FROM meta WHERE key = ?", take_text, ret, "s", key);
}

int db_meta_set(struct db *db, const char *key, const char *val)
{
	return db_run(db, "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", "ss", key, val);
}
