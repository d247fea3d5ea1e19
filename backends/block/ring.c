/* backends/block/ring.c - indices and slots of the shared pages.
 *
 * Order of a turn: read req_prod (acquire), copy requests, do them, write
 * responses, publish rsp_prod (release), look at rsp_event after a full barrier.
 * Before sleeping: set req_event, full barrier, look at req_prod once more.
 *
 * The pages of a larger ring need not be neighbours here, and a slot may lie
 * across two of them; every word lies within one.
 */
#include "backends/block/ring.h"

#include <errno.h>
#include <string.h>

enum { REQ_PROD = 0, REQ_EVENT = 4, RSP_PROD = 8, RSP_EVENT = 12, SLOTS_AT = 64 };

#define PAGE_BYTES 4096u

static const struct {
	unsigned slot, rsp_size;
} layout[] = {
	[BLK_ABI_64] = { 112, 16 },
	[BLK_ABI_32] = { 108, 12 },
};

static uint32_t *word(const struct blk_ring *r, uint32_t at)
{
	return (uint32_t *)(void *)(r->page[at / PAGE_BYTES] + at % PAGE_BYTES);
}

static uint32_t slot_at(const struct blk_ring *r, uint32_t index)
{
	return SLOTS_AT + (index & (r->slots - 1)) * layout[r->abi].slot;
}

uint32_t ring_slots(unsigned order)
{
	return 32u << order;
}

void ring_init(struct blk_ring *r, void *const *pages, unsigned order, enum blk_abi abi)
{
	*r = (struct blk_ring){ .abi = abi, .slots = ring_slots(order) };
	for (unsigned i = 0; i < 1u << order; i++)
		r->page[i] = pages[i];
}

uint32_t ring_published(const struct blk_ring *r)
{
	return __atomic_load_n(word(r, RSP_PROD), __ATOMIC_ACQUIRE);
}

void ring_resume(struct blk_ring *r, uint32_t rsp_prod, uint32_t taken)
{
	r->rsp_prod = r->rsp_next = rsp_prod;
	r->req_cons = rsp_prod + taken;
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
	uint32_t prod = __atomic_load_n(word(r, REQ_PROD), __ATOMIC_ACQUIRE), at;

	if (r->halted || prod - r->rsp_prod > r->slots ||
	    r->req_cons - r->rsp_prod > prod - r->rsp_prod) {
		r->halted = true;
		return -EPROTO;
	}
	if (prod == r->req_cons)
		return 0;
	at = slot_at(r, r->req_cons);
	memset(raw, 0, RING_REQ_MAX);
	for (unsigned i = 0; i < layout[r->abi].slot; i += 4)
		ring_copy(raw + i, word(r, at + i), 4);
	r->req_cons++;
	return 1;
}

void ring_put(struct blk_ring *r, uint64_t id, uint8_t op, int16_t status)
{
	uint32_t rsp[4] = { 0 }, at = slot_at(r, r->rsp_next);

	/* The padding too: nothing of ours leaks (XSA-216). */
	memcpy(rsp, &id, sizeof(id));
	rsp[2] = (uint32_t)op | (uint32_t)(uint16_t)status << 16;
	for (unsigned i = 0; i < layout[r->abi].rsp_size / 4; i++)
		__atomic_store_n(word(r, at + i * 4), rsp[i], __ATOMIC_RELAXED);
	r->rsp_next++;
}

bool ring_publish(struct blk_ring *r)
{
	uint32_t old = r->rsp_prod, event;

	r->rsp_prod = r->rsp_next;
	__atomic_store_n(word(r, RSP_PROD), r->rsp_prod, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n(word(r, RSP_EVENT), __ATOMIC_RELAXED);
	return r->rsp_prod - event < r->rsp_prod - old;
}

bool ring_rest(struct blk_ring *r)
{
	__atomic_store_n(word(r, REQ_EVENT), r->req_cons + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !r->halted && __atomic_load_n(word(r, REQ_PROD), __ATOMIC_ACQUIRE) != r->req_cons;
}
