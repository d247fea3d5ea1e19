/* consoled/ring.c - index arithmetic on a page the guest can change meanwhile.
 *
 * Both indexes run freely over 32 bits; what is queued is prod - cons, and a
 * difference above the ring's size is a lie.  The copy of the data is ordered
 * after the load of prod (acquire) and before the store of cons (release).
 */
#include "consoled/ring.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(sizeof(((struct xencons_interface *)0)->out) == RING_OUT_SIZE, "out ring");
static_assert(sizeof(((struct xencons_interface *)0)->in) == RING_IN_SIZE, "in ring");
static_assert(offsetof(struct xencons_interface, out_prod) == 3084, "indexes");

#define RING_CONNECTION_OFF 3088

int ring_peek(const struct xencons_interface *r, uint8_t *buf, size_t max, uint32_t *ret_cons)
{
	uint32_t cons = __atomic_load_n(&r->out_cons, __ATOMIC_RELAXED);
	uint32_t n = __atomic_load_n(&r->out_prod, __ATOMIC_ACQUIRE) - cons;
	uint32_t at = cons % RING_OUT_SIZE, first;

	if (n > RING_OUT_SIZE)
		return -EBADMSG;
	if (n > max)
		n = (uint32_t)max;
	first = n < RING_OUT_SIZE - at ? n : RING_OUT_SIZE - at;
	memcpy(buf, r->out + at, first);
	memcpy(buf + first, r->out, n - first);
	*ret_cons = cons;
	return (int)n;
}

void ring_consume(struct xencons_interface *r, uint32_t cons)
{
	__atomic_store_n(&r->out_cons, cons, __ATOMIC_RELEASE);
}

uint32_t ring_out_cons(const struct xencons_interface *r)
{
	return __atomic_load_n(&r->out_cons, __ATOMIC_RELAXED);
}

bool ring_out_holds(const struct xencons_interface *r, uint32_t n)
{
	uint32_t have = __atomic_load_n(&r->out_prod, __ATOMIC_ACQUIRE) - ring_out_cons(r);

	return have >= n && have <= RING_OUT_SIZE;
}

int ring_in_room(const struct xencons_interface *r)
{
	uint32_t prod = __atomic_load_n(&r->in_prod, __ATOMIC_RELAXED);
	uint32_t used = prod - __atomic_load_n(&r->in_cons, __ATOMIC_ACQUIRE);

	return used > RING_IN_SIZE ? -EBADMSG : (int)(RING_IN_SIZE - used);
}

int ring_in_put(struct xencons_interface *r, const uint8_t *p, size_t n)
{
	uint32_t prod = __atomic_load_n(&r->in_prod, __ATOMIC_RELAXED);
	uint32_t used = prod - __atomic_load_n(&r->in_cons, __ATOMIC_ACQUIRE);
	uint32_t at = prod % RING_IN_SIZE, first;

	if (used > RING_IN_SIZE)
		return -EBADMSG;
	if (n > RING_IN_SIZE - used)
		n = RING_IN_SIZE - used;
	first = n < RING_IN_SIZE - at ? (uint32_t)n : RING_IN_SIZE - at;
	memcpy(r->in + at, p, first);
	memcpy(r->in, p + first, n - first);
	__atomic_store_n(&r->in_prod, prod + (uint32_t)n, __ATOMIC_RELEASE);
	return (int)n;
}

void ring_connect(struct xencons_interface *r)
{
	__atomic_store_n((uint8_t *)r + RING_CONNECTION_OFF, 0, __ATOMIC_RELAXED);
}
