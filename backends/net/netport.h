/* backends/net/netport.h - the host's end of a network device: a TAP with a queue,
 * and a descriptor, for each queue a guest may have.
 *
 * netd makes it (tap.h), with virtio headers of 10 bytes and its queues detached.
 * It is persistent: a backend that is killed leaves it, and its bridge port, in
 * place.
 */
#ifndef BACKENDS_NET_NETPORT_H
#define BACKENDS_NET_NETPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/wardenc.h"

#define NETPORT_QUEUES_MAX 8u

struct netport {
	int fd[NETPORT_QUEUES_MAX]; /* owned, non-blocking; the first `queues` count */
	uint32_t queues;	    /* 0: not open */
	char name[16];
};

/* The descriptors that the warden gave, with the interface's name as blob; they are
 * consumed.  -EBADMSG. */
int netport_take(const struct wardenc_dev *dev, struct netport *ret);
/* gone: the interface ends too.  Idempotent. */
void netport_close(struct netport *p, bool gone);

/* What the guest takes unfinished, and how many queues are used. */
void netport_set(const struct netport *p, uint32_t used, bool csum, bool tso4, bool tso6);
void netport_carrier(int fd, bool on);

#endif
