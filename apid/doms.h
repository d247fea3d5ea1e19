/* apid/doms.h - the domains this host knows: definitions, runs, last ends.
 *
 * The database is written first and memory follows, under one lock, so both
 * always agree.  What the hypervisor says of a running guest is a cache that
 * the watcher (apid/watch.c) refreshes; readers never wait for the hypervisor.
 *
 * A domain without a run is shutoff, or crashed when its last run ended so.
 * A transient domain is forgotten when it ends; if it crashed, or was to be
 * restarted and could not, it stays as a remnant (so that one can ask why) until its name or UUID
 * is used again, it is deleted, or DOMS_REMNANTS_MAX others have crashed since.
 */
#ifndef APID_DOMS_H
#define APID_DOMS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "apid/events.h"
#include "apid/guestcfg.h"
#include "hv/client/hvc.h"

#define DOMS_MAX	  16384
#define DOMS_REMNANTS_MAX 64

#define DOM_ENDS 6
extern const char *const dom_end_names[DOM_ENDS];

struct dom_end {
	char reason[16]; /* "" : no run has ended yet */
	char detail[160];
	int64_t at_ms;
};

struct dom {
	char uuid[UUID_LEN + 1];
	char *name;   /* owned */
	char *config; /* owned; JSON text of the DomainConfig */
	bool persistent, remnant, autostart;
	int64_t revision, defined_at;
	unsigned cfg_vcpus, cfg_maxvcpus;
	uint64_t cfg_memory_mib, cfg_maxmem_mib;
	/* the run */
	uint16_t domid; /* 0: none */
	uint64_t created_ns;
	int64_t started_at;
	bool running; /* it got as far as unpause (or paused on purpose) */
	bool ending;  /* its end is being dealt with */
	uint64_t target_kib;
	struct hvc_dominfo info; /* valid if info_ok */
	bool info_ok;
	char *tty; /* owned, or NULL */
	struct dom_end end;
	unsigned quick_crashes; /* in a row; apid/restart.c */
};

struct doms {
	pthread_mutex_t lock;
	struct db *db;
	struct events *ev;
	struct dom **v; /* ascending by uuid */
	size_t n, cap;
	struct dom *by_domid[HVC_DOMID_FIRST_RESERVED];
	uint64_t counter_ended[DOM_ENDS]; /* by dom_end_names, for metrics */
};

int doms_new(struct db *db, struct events *ev, struct doms **ret);
struct doms *doms_free(struct doms *ds);

void doms_lock(struct doms *ds);
void doms_unlock(struct doms *ds);

/* All below: the lock is held, and what they return is borrowed until it is
 * let go.  Changing ones write to the database, tell an event, and return 0 or
 * a negative errno with *p filled in. */
struct dom *doms_find(struct doms *ds, const char *id, struct problem *p); /* uuid, domid, name */
struct dom *doms_by_uuid(struct doms *ds, const char *uuid);
struct dom *doms_by_name(struct doms *ds, const char *name);

/* A remnant with that name or UUID is replaced. */
int doms_define(struct doms *ds, const struct guestcfg *g, const char *config, bool persistent,
		struct dom **ret, struct problem *p);
int doms_undefine(struct doms *ds, struct dom *d, struct problem *p);
int doms_redefine(struct doms *ds, struct dom *d, const struct guestcfg *g, const char *config,
		  struct problem *p);

/* Before a start: the guest holds its MAC addresses.  One that is remembered
 * only for its crash may have lost them. */
int doms_claim(struct doms *ds, const struct dom *d, const struct guestcfg *g, struct problem *p);
int doms_run_began(struct doms *ds, struct dom *d, uint16_t domid, uint64_t created_ns,
		   uint64_t target_kib, struct problem *p);
int doms_run_up(struct doms *ds, struct dom *d, bool paused, bool restarted, struct problem *p);
/* The start failed: as if it had never begun. */
int doms_run_undone(struct doms *ds, struct dom *d, struct problem *p);
/* The guest has ended but its domain is kept (preserve). */
int doms_run_kept(struct doms *ds, struct dom *d, const struct dom_end *end, struct problem *p);
/* The guest is gone.  A transient domain is forgotten or becomes a remnant,
 * unless stay (it is about to be restarted). */
int doms_run_over(struct doms *ds, struct dom *d, const struct dom_end *end, bool stay,
		  struct problem *p);
/* Rename-restart: the run of d moves to a new transient domain. */
int doms_split(struct doms *ds, struct dom *d, const char *new_uuid, const char *new_name,
	       struct problem *p);
/* A transient domain that could not be started again stays as a remnant. */
int doms_retire(struct doms *ds, struct dom *d, const char *why, struct problem *p);
void doms_count_crashes(struct doms *ds, struct dom *d, unsigned n);
int doms_set_target(struct doms *ds, struct dom *d, uint64_t kib);
void doms_event(struct doms *ds, const char *type, const struct dom *d, const char *extra);

const char *dom_state(const struct dom *d); /* shutoff running paused shutdown crashed dying */
bool dom_end_is_crash(const char *reason);
const char *end_reason(unsigned shutdown_code); /* SHUTDOWN_* of <xen/sched.h> */
enum end_action dom_action(const struct guestcfg *g, const char *reason);

/* Members to write: bit per member of the Domain schema, in this order. */
/* clang-format off */
#define DOM_FIELDS(X)                                                                              \
	X(uuid) X(name) X(domid) X(type) X(state) X(flags) X(persistent) X(autostart) X(vcpus)    \
	X(max_vcpus) X(memory_mib) X(max_memory_mib) X(target_memory_mib) X(cpu_seconds)          \
	X(engine) X(started_at) X(defined_at) X(last_end) X(console) X(tasks) X(revision) X(config)
/* clang-format on */
enum dom_field {
#define X(name) DF_##name,
	DOM_FIELDS(X)
#undef X
		DF_MAX
};
#define DF_ALL ((1u << DF_MAX) - 1)
/* tasks: JSON array text, or NULL for []. */
void dom_json(struct jbuf *b, const struct dom *d, uint32_t fields, const char *tasks);
int dom_fields_parse(const char *list, uint32_t *ret, struct problem *p);

#endif
