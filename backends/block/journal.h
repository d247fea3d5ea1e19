/* backends/block/journal.h - what a ring has in flight, in memory that outlives the
 * process: so that responses may be given out of order and a successor still
 * knows what was asked.
 *
 * A response overwrites the ring's slot of a request that may still be in
 * flight; therefore each request is copied here before anything else is done
 * with it, and stays until its response is published.  Everything is replayed
 * that was taken and whose response the guest cannot have seen.  Reads, writes,
 * flushes and discards may all be done twice while unanswered.
 *
 *   FREE --note--> TAKEN --answered(rsp index)--> ANSWERED --forget--> FREE
 *                    ^                               |
 *                    +-- recover: index not yet published
 *
 * Also here: the grants that are kept mapped, for a successor to let go.
 */
#ifndef BACKENDS_BLOCK_JOURNAL_H
#define BACKENDS_BLOCK_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/block/ring.h"

#define JOURNAL_KEPT 1056u /* grants kept mapped for a ring, as in Linux and Xen */

struct journal_entry {
	uint32_t state, req_idx, rsp_idx, unused;
	uint8_t raw[RING_REQ_MAX];
};

/* One ring's; zeroed memory is a journal that was never begun. */
struct journal {
	uint32_t magic, slots, ring_ref, port;
	struct journal_entry entry[RING_SLOTS_MAX];
	uint32_t kept[JOURNAL_KEPT]; /* gref + 1; 0: none */
};

/* Empty, for a ring that starts. */
void journal_begin(struct journal *j, uint32_t slots, uint32_t ring_ref, uint32_t port);
/* It was begun for this ring. */
bool journal_is_of(const struct journal *j, uint32_t slots, uint32_t ring_ref, uint32_t port);

/* slot < slots, each used by one request at a time. */
void journal_note(struct journal *j, uint32_t slot, uint32_t req_idx,
		  const uint8_t raw[RING_REQ_MAX]);
void journal_answered(struct journal *j, uint32_t slot, uint32_t rsp_idx);
void journal_forget(struct journal *j, uint32_t slot);

/* Slots of the requests to repeat, oldest first; returns how many.  rsp_prod: as
 * the ring's page says.  May itself be killed and repeated.  -EPROTO: this can't
 * be a journal of that ring. */
int journal_recover(struct journal *j, uint32_t rsp_prod, uint16_t ret_slots[RING_SLOTS_MAX]);

#endif
