/* backends/net/vifio.h - a connected network device: its queues and their threads. */
#ifndef BACKENDS_NET_VIFIO_H
#define BACKENDS_NET_VIFIO_H

#include "backends/net/netport.h"
#include "backends/net/netq.h"

struct vifio;
struct vifio_conf {
	bool resume; /* the rings were served by a predecessor */
	bool sg, gso4, gso6, csum4, csum6, rx_notify, mcast;
	struct credit_rate rate;
	uint32_t queues; /* 1 .. port->queues */
	struct vifio_queue {
		uint32_t tx_ref, rx_ref, tx_port, rx_port; /* equal ports: one channel */
	} queue[NETPORT_QUEUES_MAX];
	const struct netport *port; /* borrowed */
	uint32_t devid;		    /* names the threads */
};

/* hv is used by the caller's thread only, and again in vifio_stop. */
int vifio_start(struct hvc *hv, uint16_t domid, const struct vifio_conf *c, struct vifio **ret);
/* leave: the ports stay bound for a successor.  NULL ok; returns NULL. */
struct vifio *vifio_stop(struct vifio *io, bool leave);

void vifio_rate(struct vifio *io, const struct credit_rate *rate);
void vifio_mcast(struct vifio *io, bool filter);
/* Why the guest's interface is served no longer, or NULL. */
const char *vifio_broken(const struct vifio *io);
void vifio_counts(const struct vifio *io, struct net_counts *ret); /* of all queues */

#endif
