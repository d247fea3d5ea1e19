/* consoled/runq.c - two FIFO lists and a zero timer. */
#include "consoled/runq.h"

#include <event2/event.h>

#include "daemons/clock.h"

#define SLICE_NS 500000u

static void arm(struct runq *q)
{
	static const struct timeval now = { 0, 0 };

	if (!evtimer_pending(&q->ev, NULL))
		(void)evtimer_add(&q->ev, &now); /* the heap slot exists after the first time */
}

static void run(evutil_socket_t fd, short what, void *arg)
{
	struct runq *q = arg;
	uint64_t stop = clock_mono_ns() + SLICE_NS;

	do {
		struct runq_item *it = TAILQ_FIRST(&q->fresh);

		if (!it)
			it = TAILQ_FIRST(&q->late);
		if (!it)
			return;
		runq_del(it);
		if (!q->turn(it))
			continue; /* it may be gone */
		if (!it->queued) {
			it->queued = q;
			it->late = true;
			TAILQ_INSERT_TAIL(&q->late, it, link);
		}
	} while (clock_mono_ns() < stop);
	if (!TAILQ_EMPTY(&q->fresh) || !TAILQ_EMPTY(&q->late))
		arm(q);
}

void runq_init(struct runq *q, struct event_base *base, runq_turn *turn)
{
	TAILQ_INIT(&q->fresh);
	TAILQ_INIT(&q->late);
	q->turn = turn;
	(void)evtimer_assign(&q->ev, base, run, q);
}

void runq_fini(struct runq *q)
{
	evtimer_del(&q->ev);
}

void runq_add(struct runq *q, struct runq_item *it)
{
	if (it->queued)
		return;
	it->queued = q;
	it->late = false;
	TAILQ_INSERT_TAIL(&q->fresh, it, link);
	arm(q);
}

void runq_del(struct runq_item *it)
{
	struct runq *q = it->queued;

	if (!q)
		return;
	if (it->late)
		TAILQ_REMOVE(&q->late, it, link);
	else
		TAILQ_REMOVE(&q->fresh, it, link);
	it->queued = NULL;
}
