/* backends/net/mcast.h - the multicast addresses a guest has asked for.
 *
 * All queues of a device share one list; calls lock.
 */
#ifndef BACKENDS_NET_MCAST_H
#define BACKENDS_NET_MCAST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define MCAST_MAX 64u /* as many as Linux's netback keeps */

struct mcast {
	pthread_mutex_t lock;
	uint8_t addr[MCAST_MAX][6];
	unsigned n;
	bool filter; /* read without the lock */
};

void mcast_init(struct mcast *m);
void mcast_fini(struct mcast *m);
void mcast_filter(struct mcast *m, bool on);	       /* off: every multicast frame passes */
int mcast_add(struct mcast *m, const uint8_t addr[6]); /* 0 (also for one it has), -ENOSPC */
void mcast_del(struct mcast *m, const uint8_t addr[6]);
/* May a frame to this address go to the guest? */
bool mcast_passes(struct mcast *m, const uint8_t addr[6]);

#endif
