/* consoled/runq.h - consoles that have something to do, in turns.
 *
 * One turn is a bounded piece of work; after half a millisecond of turns the
 * event loop gets a chance to see who else woke up.  Who was just woken
 * comes before who merely goes on, so a flood delays nobody's line.
 */
#ifndef CONSOLED_RUNQ_H
#define CONSOLED_RUNQ_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <sys/queue.h>

struct runq_item { /* embedded; zeroed is idle */
	TAILQ_ENTRY(runq_item) link;
	struct runq *queued; /* NULL: not in a queue */
	bool late;
};

/* One turn.  True: more to do at once.  May free the item if it returns false. */
typedef bool runq_turn(struct runq_item *it);

struct runq {
	TAILQ_HEAD(runq_list, runq_item) fresh, late;
	struct event ev;
	runq_turn *turn;
};

void runq_init(struct runq *q, struct event_base *base, runq_turn *turn);
void runq_fini(struct runq *q);
void runq_add(struct runq *q, struct runq_item *it); /* no-op if it is queued */
void runq_del(struct runq_item *it);

#endif
