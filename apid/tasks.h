/* apid/tasks.h - every change of a guest is a task: written to the database
 * before it starts, run by a worker thread, finished or rolled back after a
 * restart of this process.
 *
 *   pending --a worker takes it--> running --run() returns 0----------> succeeded
 *                                    |  ^          negative -----------> failed
 *                           TASK_PARK|  |tasks_unpark / the deadline
 *                                    v  |
 *                                  parked (shown as running; holds no worker)
 *
 * At most one task runs on a domain at a time; a parked one (a shutdown that
 * waits for its guest) is not in the way, so a destroy never queues behind it.
 * Urgent tasks have workers of their own.
 */
#ifndef APID_TASKS_H
#define APID_TASKS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "apid/db.h"
#include "apid/events.h"
#include "apid/ids.h"
#include "apid/problem.h"

#define TASKS_OPEN_MAX 4096 /* more are refused: too-many-requests */
#define TASK_PARK      1    /* run() returns it to wait for its deadline */

struct worker; /* apid/apid.h */
struct task;
struct tasks;

enum task_wake { TASK_WAKE_START, TASK_WAKE_DEADLINE, TASK_WAKE_RECOVERED };

struct task_type {
	const char *name; /* JSON-RPC method, or "domain.end" */
	bool urgent;
	/* 0 done, TASK_PARK, or negative with t->prob set. */
	int (*run)(struct task *t, struct worker *w, enum task_wake why);
};

struct task {
	char id[UUID_LEN + 1];
	const struct task_type *type;
	char uuid[UUID_LEN + 1]; /* domain */
	char *name;		 /* owned */
	json_object *args;	 /* owned; belongs to the running worker */
	int64_t deadline_ms;	 /* uptime_ms(); 0: none; set before TASK_PARK */
	struct problem prob;
	const char *recovery; /* NULL, "finished", "resumed", "rolled-back" */
	char step[48];
	/* private to tasks.c */
	int64_t seq, created_at, started_at, ended_at;
	uint16_t domid;
	int progress;
	enum { TS_PENDING, TS_RUNNING, TS_PARKED, TS_SUCCEEDED, TS_FAILED } state;
	enum task_wake why;
	struct task_waiter *waiters;
	struct task *next;
};

/* workers: normal ones; urgent: those that take only urgent tasks. */
int tasks_new(struct db *db, struct events *ev, const struct task_type *types, size_t ntypes,
	      struct tasks **ret);
struct tasks *tasks_free(struct tasks *ts);

/* The loop of a worker thread; returns after tasks_stop(). */
void tasks_work(struct tasks *ts, struct worker *w, bool urgent_only);
void tasks_stop(struct tasks *ts);
/* Nothing is run before this (the first look at the hypervisor). */
void tasks_open_gates(struct tasks *ts);

/* Takes args.  id may be given by the caller (inside a database transaction
 * that also changes something else); else it is made. */
int tasks_submit(struct tasks *ts, const char *type, const char *uuid, const char *name,
		 json_object *args, char ret_id[UUID_LEN + 1], struct problem *p);
/* A change that is done in one database transaction: only recorded. */
int tasks_record(struct tasks *ts, const char *type, const char *uuid, const char *name);

/* Loads what an earlier process left unfinished and queues it again. */
int tasks_recover(struct tasks *ts);

/* From a running task: */
void task_step(struct tasks *ts, struct task *t, int progress, const char *step);
void task_domid(struct tasks *ts, struct task *t, uint16_t domid);
void task_save_args(struct tasks *ts, struct task *t);

/* End every parked task of a domain: decide() fills t->prob (PROB_NONE: it
 * succeeded) and returns true to end it. */
void tasks_settle(struct tasks *ts, const char *uuid, bool (*decide)(struct task *t, void *arg),
		  void *arg);
bool tasks_has_open(struct tasks *ts, const char *uuid, const char *type); /* type NULL: any */

/* As JSON.  -ENOENT for an unknown id. */
int tasks_json(struct tasks *ts, const char *id, struct jbuf *b);
/* Items of an array, newest first, before seq cursor (0: from the newest). */
int tasks_list(struct tasks *ts, const char *uuid, const char *state, int64_t cursor, int limit,
	       struct jbuf *b, int64_t *ret_next);
/* ["id", ...] of the domain's unfinished tasks, or nothing if there are none. */
void tasks_open_ids(struct tasks *ts, const char *uuid, struct jbuf *b);
size_t tasks_open_count(struct tasks *ts);

/* Calls cb once when the task ends or at the deadline (uptime_ms()), from
 * another thread; or returns 1 at once if it has ended (cb is not called).
 * -ENOENT for an unknown id.  *ret_prob (may be NULL) is only filled for 1. */
typedef void task_wait_cb(void *arg);
int tasks_wait(struct tasks *ts, const char *id, int64_t deadline_ms, task_wait_cb *cb, void *arg);
/* How it ended: true and *p (PROB_NONE: succeeded), or false: not yet. */
bool tasks_outcome(struct tasks *ts, const char *id, struct problem *p);

/* The timer's work: wakes waiters and parked tasks whose time has come.
 * Returns milliseconds until it wants to be called again. */
int tasks_tick(struct tasks *ts);
int tasks_wake_fd(struct tasks *ts); /* readable when the next tick may be sooner */

#endif
