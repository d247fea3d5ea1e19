/* backends/block/journal.c - one word of state per request says it all.
 *
 * The writer may be killed between any two stores.  Of each step the state word
 * is stored last (release), so what it vouches for is there:
 *
 *   note:      raw, req_idx, then TAKEN.  Killed before: the ring still has the
 *              request, for no response went out since it was taken.
 *   answered:  rsp_idx, then ANSWERED; after that the response is written and
 *              rsp_prod published.  Killed before rsp_prod passes rsp_idx: the
 *              guest saw nothing, the request is repeated.  After: it is done.
 *   forget:    FREE.  Killed before: rsp_prod says that it is done.
 *
 * Requests are taken in the ring's order and each is answered once, so the next
 * to take is rsp_prod plus those in flight.
 */
#include "backends/block/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x6a626c6bu

enum { FREE, TAKEN, ANSWERED };

static void set_state(struct journal_entry *e, uint32_t state)
{
	__atomic_store_n(&e->state, state, __ATOMIC_RELEASE);
}

static uint32_t state_of(const struct journal_entry *e)
{
	return __atomic_load_n(&e->state, __ATOMIC_ACQUIRE);
}

void journal_begin(struct journal *j, uint32_t slots, uint32_t ring_ref, uint32_t port)
{
	__atomic_store_n(&j->magic, 0, __ATOMIC_SEQ_CST); /* nothing, should it end here */
	for (uint32_t i = 0; i < RING_SLOTS_MAX; i++)
		set_state(&j->entry[i], FREE);
	memset(j->kept, 0, sizeof(j->kept));
	j->slots = slots;
	j->ring_ref = ring_ref;
	j->port = port;
	__atomic_store_n(&j->magic, MAGIC, __ATOMIC_SEQ_CST);
}

bool journal_is_of(const struct journal *j, uint32_t slots, uint32_t ring_ref, uint32_t port)
{
	return __atomic_load_n(&j->magic, __ATOMIC_SEQ_CST) == MAGIC && j->slots == slots &&
	       j->ring_ref == ring_ref && j->port == port;
}

void journal_note(struct journal *j, uint32_t slot, uint32_t req_idx,
		  const uint8_t raw[RING_REQ_MAX])
{
	struct journal_entry *e = &j->entry[slot];

	e->req_idx = req_idx;
	memcpy(e->raw, raw, RING_REQ_MAX);
	set_state(e, TAKEN);
}

void journal_answered(struct journal *j, uint32_t slot, uint32_t rsp_idx)
{
	struct journal_entry *e = &j->entry[slot];

	__atomic_store_n(&e->rsp_idx, rsp_idx, __ATOMIC_RELAXED);
	set_state(e, ANSWERED);
	/* Not after the response, nor after rsp_prod. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void journal_forget(struct journal *j, uint32_t slot)
{
	set_state(&j->entry[slot], FREE);
}

struct sort {
	const struct journal *j;
	uint32_t base;
};

static int older(const void *a, const void *b, void *arg)
{
	const struct sort *s = arg;
	uint32_t x = s->j->entry[*(const uint16_t *)a].req_idx - s->base;
	uint32_t y = s->j->entry[*(const uint16_t *)b].req_idx - s->base;

	return x < y ? -1 : x > y;
}

int journal_recover(struct journal *j, uint32_t rsp_prod, uint16_t ret_slots[RING_SLOTS_MAX])
{
	uint16_t slots[RING_SLOTS_MAX];
	struct sort s = { .j = j };
	uint32_t n = 0, max = j->slots < RING_SLOTS_MAX ? j->slots : RING_SLOTS_MAX;

	for (uint32_t i = 0; i < max; i++) {
		struct journal_entry *e = &j->entry[i];
		uint32_t st = state_of(e);

		if (st > ANSWERED)
			return -EPROTO;
		if (st == ANSWERED) {
			st = (int32_t)(rsp_prod - e->rsp_idx) > 0 ? FREE : TAKEN;
			set_state(e, st);
		}
		if (st == TAKEN)
			slots[n++] = (uint16_t)i;
	}
	/* The oldest may be far behind, but not half the index space. */
	s.base = rsp_prod + n - 0x80000000u;
	for (uint32_t i = 0; i < n; i++)
		if (j->entry[slots[i]].req_idx - s.base >= 0x80000000u)
			return -EPROTO;
	qsort_r(slots, n, sizeof(slots[0]), older, &s);
	for (uint32_t i = 1; i < n; i++)
		if (j->entry[slots[i]].req_idx == j->entry[slots[i - 1]].req_idx)
			return -EPROTO;
	memcpy(ret_slots, slots, n * sizeof(slots[0]));
	return (int)n;
}
