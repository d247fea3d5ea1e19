/* backends/net/sring.h - one shared page of a network queue: indices and slots
 * (<xen/io/ring.h>), without what is in the slots.
 *
 * The page is the guest's and may change at any time: a slot is copied once,
 * word by word, and nobody looks at the shared one again.  Responses are
 * published in the order of their requests and a whole packet at a time, so
 * that rsp_prod in the page tells a successor where to go on.
 */
#ifndef BACKENDS_NET_SRING_H
#define BACKENDS_NET_SRING_H

#include <stdbool.h>
#include <stdint.h>

#define SRING_SLOTS 256u /* of a page, for both rings */

struct sring {
	uint8_t *page;	    /* borrowed; 4096 bytes */
	unsigned slot_size; /* a multiple of 4 */
	uint32_t req_cons, rsp_prod;
	bool halted; /* the indices can't be: nothing is taken any more */
};

/* resume: go on where rsp_prod stands; else the ring starts at 0. */
void sring_init(struct sring *r, void *page, unsigned slot_size, bool resume);

/* How many requests wait from req_cons on; 0 for a halted ring.  A req_prod
 * that can't be halts it. */
uint32_t sring_waiting(struct sring *r);
void sring_copy(const struct sring *r, uint32_t index, void *to); /* slot_size bytes */

/* A response of n bytes (a multiple of 4) into a slot; not visible until pushed. */
void sring_put(const struct sring *r, uint32_t index, const void *rsp, unsigned n);
/* Publish everything before rsp_prod = to.  True: the guest wants an event. */
bool sring_push(struct sring *r, uint32_t to);

/* Ask for an event once n requests wait (n > 0).  True: they do already. */
bool sring_rest(struct sring *r, uint32_t n);

#endif
