/* backends/block/ring.h - the shared pages of a block ring, as a backend sees them
 * (<xen/io/ring.h>, <xen/io/blkif.h>).
 *
 * The pages are the guest's and may change at any time.  A request is copied
 * once, word by word, and nobody looks at the shared one again.  Responses are
 * written with ring_put and seen by the guest from ring_publish on: rsp_prod in
 * the page is what tells a successor after a crash which were.
 */
#ifndef BACKENDS_BLOCK_RING_H
#define BACKENDS_BLOCK_RING_H

#include <stdbool.h>
#include <stdint.h>

enum blk_abi { BLK_ABI_64, BLK_ABI_32 };

#define RING_ORDER_MAX 4u
#define RING_PAGES_MAX (1u << RING_ORDER_MAX)
#define RING_SLOTS_MAX 512u
#define RING_REQ_MAX   112u /* bytes of the larger ABI's request */

struct blk_ring {
	uint8_t *page[RING_PAGES_MAX]; /* borrowed */
	enum blk_abi abi;
	uint32_t slots;	   /* a power of two */
	uint32_t req_cons; /* the next to take */
	uint32_t rsp_next; /* the next to write */
	uint32_t rsp_prod; /* as published */
	bool halted;	   /* the indices can't be: nothing is taken any more */
};

/* Slots of 1 << order pages, for either ABI: 32 << order. */
uint32_t ring_slots(unsigned order);
/* The ring starts at 0. */
void ring_init(struct blk_ring *r, void *const *pages, unsigned order, enum blk_abi abi);
/* Go on from a predecessor: what the page says was answered, then so many that
 * were taken and not answered. */
uint32_t ring_published(const struct blk_ring *r);
void ring_resume(struct blk_ring *r, uint32_t rsp_prod, uint32_t taken);

/* Copy the next request to raw; its index was req_cons.  1, 0 for none, -EPROTO
 * if req_prod is further than the ring is long (then the ring is halted). */
int ring_take(struct blk_ring *r, uint8_t raw[RING_REQ_MAX]);

/* Write the next response.  There is one slot for each request taken. */
void ring_put(struct blk_ring *r, uint64_t id, uint8_t op, int16_t status);
/* The guest may see what was put.  True: it wants an event. */
bool ring_publish(struct blk_ring *r);

/* Ask for an event at the next request.  True if one came meanwhile. */
bool ring_rest(struct blk_ring *r);

/* Copy n bytes (a multiple of 4) out of a guest's page, each word read once. */
void ring_copy(uint8_t *to, const void *from, unsigned n);

#endif
