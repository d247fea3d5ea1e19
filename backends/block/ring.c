/* backends/block/ring.c - indices and slots of the shared page.
 *
 * Order of a turn: read req_prod (acquire), copy the request, do it, write the
 * response, publish rsp_prod (release), look at rsp_event after a full barrier.
 * Before sleeping: set req_event, full barrier, look at req_prod once more.
 */
#include "backends/block/ring.h"

#include <errno.h>
#include <string.h>

enum { REQ_PROD = 0, REQ_EVENT = 4, RSP_PROD = 8, RSP_EVENT = 12, SLOTS_AT = 64 };

static const struct {
	unsigned slot, rsp_size;
} layout[] = {
	[BLK_ABI_64] = { 112, 16 },
	[BLK_ABI_32] = { 108, 12 },
};

static uint32_t *word(const struct blk_ring *r, unsigned at)
{
	return (uint32_t *)(void *)(r->page + at);
}

static uint8_t *slot(const struct blk_ring *r, uint32_t index)
{
	return r->page + SLOTS_AT + (index & (RING_SLOTS - 1)) * layout[r->abi].slot;
}

void ring_init(struct blk_ring *r, void *page, enum blk_abi abi, bool resume)
{
	*r = (struct blk_ring){ .page = page, .abi = abi };
	if (resume)
		r->rsp_prod = r->req_cons = __atomic_load_n(word(r, RSP_PROD), __ATOMIC_ACQUIRE);
}

void ring_copy(uint8_t *to, const void *from, unsigned n)
{
	for (unsigned i = 0; i < n / 4; i++) {
		uint32_t v = __atomic_load_n((const uint32_t *)from + i, __ATOMIC_RELAXED);

		memcpy(to + i * 4, &v, sizeof(v));
	}
}

int ring_take(struct blk_ring *r, uint8_t raw[RING_REQ_MAX])
{
	uint32_t prod = __atomic_load_n(word(r, REQ_PROD), __ATOMIC_ACQUIRE);

	if (r->halted || prod - r->rsp_prod > RING_SLOTS ||
	    r->req_cons - r->rsp_prod > prod - r->rsp_prod) {
		r->halted = true;
		return -EPROTO;
	}
	if (prod == r->req_cons)
		return 0;
	memset(raw, 0, RING_REQ_MAX);
	ring_copy(raw, slot(r, r->req_cons), layout[r->abi].slot);
	r->req_cons++;
	return 1;
}

bool ring_answer(struct blk_ring *r, uint64_t id, uint8_t op, int16_t status)
{
	uint32_t old = r->rsp_prod, now = old + 1, event;
	uint8_t rsp[16] = { 0 }; /* padding too: nothing of ours leaks (XSA-216) */

	memcpy(rsp, &id, sizeof(id));
	rsp[8] = op;
	memcpy(rsp + 10, &status, sizeof(status));
	memcpy(slot(r, old), rsp, layout[r->abi].rsp_size);
	r->rsp_prod = now;
	__atomic_store_n(word(r, RSP_PROD), now, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n(word(r, RSP_EVENT), __ATOMIC_RELAXED);
	return now - event < now - old;
}

bool ring_rest(struct blk_ring *r)
{
	__atomic_store_n(word(r, REQ_EVENT), r->req_cons + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !r->halted && __atomic_load_n(word(r, REQ_PROD), __ATOMIC_ACQUIRE) != r->req_cons;
}
