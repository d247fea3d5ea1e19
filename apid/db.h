/* apid/db.h - the state database: SQLite in WAL mode, one connection, one lock.
 *
 * A transaction that db_commit() has returned from survives a kill -9 of this
 * process.  Values are bound, never pasted.  A full disk is -ENOSPC and leaves
 * everything as it was.
 */
#ifndef APID_DB_H
#define APID_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

/* Creates or upgrades the file (0600).  On failure err says what to do. */
int db_open(const char *path, struct db **ret, char *err, size_t errlen);
struct db *db_close(struct db *db);

/* Nests: an inner pair is part of the outer one.  The lock is held between. */
int db_begin(struct db *db);
int db_commit(struct db *db); /* on failure everything since db_begin is undone */
void db_rollback(struct db *db);

/* Run one statement; sql must be a string literal (it is the cache's key).
 * types: 's' const char * (NULL ok), 'i' int64_t.  Returns 0 or a negative
 * errno: -EEXIST for a broken UNIQUE, -ENOSPC, -EIO. */
int db_run(struct db *db, const char *sql, const char *types, ...);
/* The same for a query: row is called for each; it returns 0 to go on, 1 to stop. */
typedef int db_row_cb(sqlite3_stmt *row, void *arg);
int db_query(struct db *db, const char *sql, db_row_cb *row, void *arg, const char *types, ...);
int64_t db_last_id(struct db *db);

/* Column helpers for row callbacks. */
const char *db_text(sqlite3_stmt *row, int col); /* NULL stays NULL; borrowed */
int64_t db_int(sqlite3_stmt *row, int col);

/* One value of the meta table.  *ret is owned; NULL if there is none. */
int db_meta_get(struct db *db, const char *key, char **ret);
int db_meta_set(struct db *db, const char *key, const char *val);

#endif
