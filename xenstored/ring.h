/* xenstored/ring.h - one guest's XenStore ring page (docs/misc/xenstore-ring.txt).
 *
 * Everything in the page is the guest's to scribble on: the daemon goes by its
 * own copies of its indexes and only ever reads the guest's, once per look.
 * Half messages and the daemon's indexes are kept in a slot, which is mapped
 * memory that outlives the process, so that after a kill -9 the ring goes on
 * with neither a byte lost nor an answer doubled:
 *
 *   bytes are copied ring -> slot.in, then slot.in_state moves, then req_cons
 *   a message is done: its answer is put into slot.out; then, if it changed
 *   the store, the commit carries the message's number; then slot.done moves
 *   bytes are copied slot.out -> ring, then slot.out_state moves, then rsp_prod
 *
 * Each state is one aligned 64-bit word.  A restart sets the ring's indexes
 * from the slot's, and takes a message whose number was committed as done.
 */
#ifndef XENSTORED_RING_H
#define XENSTORED_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/xs_wire.h"
#include "xenstored/hv.h"

struct conn;
struct domain;
struct server;

#define RING_MSG_MAX (XS_HDR_SIZE + XS_PAYLOAD_MAX)

struct ring_slot {
	/* Each pair is stored as one word: see ring.c. */
	uint64_t in_state;  /* req_cons | bytes in in[] << 32 */
	uint64_t done;	    /* number of the last message done | bytes in out[] << 32 */
	uint64_t out_state; /* rsp_prod | bytes of out[] in the ring << 32 */
	uint64_t unused[5];
	uint8_t in[RING_MSG_MAX];
	uint8_t out[RING_MSG_MAX];
};
#define RING_SLOT_SIZE 12288u
_Static_assert(sizeof(struct ring_slot) <= RING_SLOT_SIZE, "a slot is three pages");

/* page and port are borrowed from the domain, slot too.  fresh: the ring is new
 * (or reset): indexes come from the page; else they are the slot's, and
 * committed tells the number of the last message the store has. */
int ring_new(struct server *srv, struct domain *d, uint16_t domid, const struct hv *hv, void *page,
	     void *port, struct ring_slot *slot, bool fresh, uint32_t committed, struct conn **ret);
/* Frees the connection, not the domain. */
void ring_close(struct conn *c);
/* INTRODUCE of a connected domain: everything anew. */
void ring_reset(struct conn *c, void *port);
void ring_flush(struct conn *c);
void ring_resume(struct conn *c);
/* Look at the ring now, whether or not the guest rang. */
void ring_poke(struct conn *c);
/* True once the guest broke the rules; it stays connected and ignored. */
bool ring_ignored(const struct conn *c);

#endif
