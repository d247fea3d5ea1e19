/* backends/net/mcast.c - a list of at most 64: searching it costs less than a hash. */
#include "backends/net/mcast.h"

#include <errno.h>
#include <string.h>

void mcast_init(struct mcast *m)
{
	*m = (struct mcast){ .lock = PTHREAD_MUTEX_INITIALIZER };
}

void mcast_fini(struct mcast *m)
{
	pthread_mutex_destroy(&m->lock);
}

void mcast_filter(struct mcast *m, bool on)
{
	__atomic_store_n(&m->filter, on, __ATOMIC_RELAXED);
}

/* Its index, or m->n.  Locked. */
static unsigned find(const struct mcast *m, const uint8_t addr[6])
{
	unsigned i = 0;

	while (i < m->n && memcmp(m->addr[i], addr, 6) != 0)
		i++;
	return i;
}

int mcast_add(struct mcast *m, const uint8_t addr[6])
{
	int r = 0;

	pthread_mutex_lock(&m->lock);
	if (find(m, addr) == m->n) {
		if (m->n < MCAST_MAX)
			memcpy(m->addr[m->n++], addr, 6);
		else
			r = -ENOSPC;
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

void mcast_del(struct mcast *m, const uint8_t addr[6])
{
	unsigned i;

	pthread_mutex_lock(&m->lock);
	i = find(m, addr);
	if (i < m->n)
		memcpy(m->addr[i], m->addr[--m->n], 6);
	pthread_mutex_unlock(&m->lock);
}

bool mcast_passes(struct mcast *m, const uint8_t addr[6])
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	bool found;

	if (!(addr[0] & 1) || !__atomic_load_n(&m->filter, __ATOMIC_RELAXED) ||
	    memcmp(addr, all, 6) == 0)
		return true;
	pthread_mutex_lock(&m->lock);
	found = find(m, addr) < m->n;
	pthread_mutex_unlock(&m->lock);
	return found;
}
