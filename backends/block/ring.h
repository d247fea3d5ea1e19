/* backends/block/ring.h - the shared page of a block device, as a backend sees it
 * (<xen/io/ring.h>, <xen/io/blkif.h>).
 *
 * The page is the guest's and may change at any time.  A request is copied
 * once, word by word, and nobody looks at the shared one again.  Responses are
 * published in the order of their requests, so that rsp_prod in the page tells
 * a successor after a crash where to go on: it has answered what is before and
 * repeats at most the one request that is at it.
 */
#ifndef BACKENDS_BLOCK_RING_H
#define BACKENDS_BLOCK_RING_H

#include <stdbool.h>
#include <stdint.h>

enum blk_abi { BLK_ABI_64, BLK_ABI_32 };

#define RING_SLOTS   32u  /* of one page, for both ABIs */
#define RING_REQ_MAX 112u /* bytes of the larger ABI's request */

struct blk_ring {
	uint8_t *page; /* borrowed */
	enum blk_abi abi;
	uint32_t req_cons, rsp_prod;
	bool halted; /* the indices can't be: nothing is taken any more */
};

/* resume: go on where rsp_prod stands; else the ring starts at 0. */
void ring_init(struct blk_ring *r, void *page, enum blk_abi abi, bool resume);

/* Copy the next request to raw.  1, 0 for none, -EPROTO if req_prod is further
 * than the ring is long (then the ring is halted). */
int ring_take(struct blk_ring *r, uint8_t raw[RING_REQ_MAX]);

/* Write the next response and publish it.  True: the guest wants an event. */
bool ring_answer(struct blk_ring *r, uint64_t id, uint8_t op, int16_t status);

/* Ask for an event at the next request.  True if one came meanwhile. */
bool ring_rest(struct blk_ring *r);

/* Copy n bytes (a multiple of 4) out of a guest's page, each word read once. */
void ring_copy(uint8_t *to, const void *from, unsigned n);

#endif
