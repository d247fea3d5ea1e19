/* apid/events.h - the durable event log.
 *
 * An event is written in the same database transaction as the change it tells
 * of.  Its id is <epoch>-<seq>: seq only grows; the epoch is that of the
 * database, so a client that comes with an id of another database (or of
 * events that were cut off) is told to look at everything again.
 */
#ifndef APID_EVENTS_H
#define APID_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "apid/db.h"
#include "apid/jbuf.h"
#include "apid/problem.h"

#define EVENTS_KEEP 100000

struct events;

int events_new(struct db *db, struct events **ret);
struct events *events_free(struct events *e);

/* Inside db_begin..db_commit.  uuid may be NULL; data is a JSON object. */
int events_add(struct events *e, const char *type, const char *uuid, const char *data);
/* After the commit: wake the readers. */
void events_kick(struct events *e);

/* Called for every kick, from the thread that kicks; must not block. */
typedef void events_listener(void *arg);
int events_listen(struct events *e, events_listener *cb, void *arg, unsigned *ret_id);
void events_unlisten(struct events *e, unsigned id);

/* "<epoch>-<seq>" -> seq.  EVENTS_GONE if it can't be continued from there. */
int events_parse_id(struct events *e, const char *id, int64_t *ret_seq, struct problem *p);
void events_format_id(struct events *e, int64_t seq, char ret[64]);
int64_t events_last(struct events *e);

struct events_filter {
	const char *types; /* comma-separated, "domain.*"; NULL: all */
	const char *uuid;  /* NULL: all */
};
/* Up to limit events after seq, as array items (sse false) or as stream text.
 * Returns the seq reached, also over events that the filter left out. */
int64_t events_read(struct events *e, int64_t after, unsigned limit, const struct events_filter *f,
		    bool sse, struct jbuf *b);

#endif
