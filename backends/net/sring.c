/* backends/net/sring.c - order of a turn: read req_prod (acquire), copy, work, write the
 * response, publish rsp_prod (release), look at rsp_event after a full barrier.
 * Before sleeping: set req_event, full barrier, look at req_prod once more. */
#include "backends/net/sring.h"

#include <string.h>

enum { REQ_PROD = 0, REQ_EVENT = 4, RSP_PROD = 8, RSP_EVENT = 12, SLOTS_AT = 64 };

static uint32_t *word(const struct sring *r, unsigned at)
{
	return (uint32_t *)(void *)(r->page + at);
}

static uint32_t *slot(const struct sring *r, uint32_t index)
{
	return word(r, SLOTS_AT + (index & (SRING_SLOTS - 1)) * r->slot_size);
}

void sring_init(struct sring *r, void *page, unsigned slot_size, bool resume)
{
	*r = (struct sring){ .page = page, .slot_size = slot_size };
	if (resume)
		r->rsp_prod = r->req_cons = __atomic_load_n(word(r, RSP_PROD), __ATOMIC_ACQUIRE);
}

uint32_t sring_waiting(struct sring *r)
{
	uint32_t prod = __atomic_load_n(word(r, REQ_PROD), __ATOMIC_ACQUIRE);

	if (r->halted || prod - r->rsp_prod > SRING_SLOTS ||
	    r->req_cons - r->rsp_prod > prod - r->rsp_prod) {
		r->halted = true;
		return 0;
	}
	return prod - r->req_cons;
}

void sring_copy(const struct sring *r, uint32_t index, void *to)
{
	const uint32_t *from = slot(r, index);

	for (unsigned i = 0; i < r->slot_size / 4; i++) {
		uint32_t v = __atomic_load_n(from + i, __ATOMIC_RELAXED);

		memcpy((uint8_t *)to + i * 4, &v, sizeof(v));
	}
}

void sring_put(const struct sring *r, uint32_t index, const void *rsp, unsigned n)
{
	memcpy(slot(r, index), rsp, n);
}

bool sring_push(struct sring *r, uint32_t to)
{
	uint32_t old = r->rsp_prod, event;

	r->rsp_prod = to;
	__atomic_store_n(word(r, RSP_PROD), to, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n(word(r, RSP_EVENT), __ATOMIC_RELAXED);
	return to - event < to - old;
}

bool sring_rest(struct sring *r, uint32_t n)
{
	__atomic_store_n(word(r, REQ_EVENT), r->req_cons + n, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return sring_waiting(r) >= n;
}
