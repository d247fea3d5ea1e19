/* backends/net/netq.h - one queue of a network device: a transmit ring, a receive
 * ring, and the TAP between which frames go.
 *
 * Frames are not copied by us: the TAP reads from and writes to the guest's
 * granted pages.  Only headers that we must understand are copied first.
 * A queue belongs to one thread; what queues share is in struct netdev.
 */
#ifndef BACKENDS_NET_NETQ_H
#define BACKENDS_NET_NETQ_H

#include "backends/net/credit.h"
#include "backends/net/hdr.h"
#include "backends/net/mcast.h"
#include "backends/net/sring.h"
#include "backends/net/txpkt.h"
#include "hv/client/hvc.h"

/* A 64 KiB frame's pages and the slot of its extra info (XEN_NETIF_NR_SLOTS_MIN). */
#define NETRX_SLOTS_MAX 18u

struct net_counts { /* as the guest sees it: tx is what it sends */
	uint64_t tx_packets, tx_bytes, tx_errors, tx_dropped;
	uint64_t rx_packets, rx_bytes, rx_errors, rx_dropped;
};

struct netdev { /* shared by the queues of a device */
	struct credit credit;
	struct mcast mcast;
	/* What the guest can receive. */
	bool sg, gso4, gso6, csum4, csum6;
	bool rx_notify;	 /* it tells when it has given buffers */
	unsigned queues; /* in use */
	/* Written by queues, atomic. */
	const char *broken; /* why the interface is no longer served; NULL: it is */
	bool tap_gone;
	bool no_tso; /* the TAP was told to split packets itself */
	unsigned stalled;
};

struct netq_buf {   /* a receive buffer that is mapped and waits for a frame */
	void *page; /* NULL: the grant was no good */
	uint32_t gref;
	uint16_t id;
};

struct netq {
	struct netdev *dev; /* borrowed, as is all up to tap */
	struct hvc_guest *guest;
	struct hvc_port *tx_port, *rx_port; /* the same, or two; NULL in tests */
	int tap; /* non-blocking; a frame a call, behind a struct virtio_net_hdr */
	struct sring tx, rx;
	struct net_counts counts;

	uint64_t tx_wake_ns; /* no credit until then; 0: there is */

	struct netq_buf buf[SRING_SLOTS]; /* rx.rsp_prod up to rx.req_cons */
	unsigned bad_bufs;		  /* of them */
	bool make_do;			  /* fewer buffers than the largest frame needs will do */
	uint64_t short_ns;		  /* since when frames wait for buffers; 0: they don't */
	uint64_t drain_ns;
	bool stalled;
};

/* The guest's packets to the TAP; at most `max`.  How many; fewer than max:
 * no more wait, or no credit is left (tx_wake_ns). */
unsigned nettx_serve(struct netq *q, unsigned max, uint64_t now_ns);

enum netrx_why {
	NETRX_MORE,  /* `max` were moved */
	NETRX_EMPTY, /* the TAP has none */
	NETRX_SHORT  /* the guest's buffers are too few; see netrx_short */
};
/* The TAP's frames to the guest. */
enum netrx_why netrx_serve(struct netq *q, unsigned max, unsigned *ret_moved);
/* How many more buffers a frame of any size needs; 0: there are enough. */
uint32_t netrx_short(struct netq *q);
/* Frames that wait in the TAP are lost: their time is over. */
void netrx_drain(struct netq *q);
void netrx_unmap(struct netq *q); /* all buffers that wait; before the guest is closed */

void netq_break(struct netq *q, const char *why); /* borrowed for ever */
static inline void count_add(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

#endif
