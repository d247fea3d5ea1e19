/* consoled/pool.h - file work off the event loop, so that a slow disk stalls
 * no console.  Jobs of one lane run in order in one thread; their done() runs
 * on the event loop. */
#ifndef CONSOLED_POOL_H
#define CONSOLED_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct pool;

enum pool_lane { LANE_LOG, LANE_SLOW, LANES };

struct job { /* embedded in what it works on; borrowed until done() is called */
	void (*run)(struct job *j);  /* in the lane's thread */
	void (*done)(struct job *j); /* on the loop; may free or submit j again */
	struct job *next;
};

/* threads false: run() is called by pool_submit() itself, for tests. */
int pool_new(struct event_base *base, bool threads, struct pool **ret);
/* Waits for running jobs; those that are queued run too, done() isn't called. */
struct pool *pool_free(struct pool *p);

void pool_submit(struct pool *p, enum pool_lane lane, struct job *j);

#endif
