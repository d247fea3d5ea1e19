/* backends/net/txpkt.h - a packet of the guest's, as its transmit slots describe it
 * (<xen/io/netif.h>).
 *
 * Nothing is consumed and no grant is touched here: slots in, verdict out.
 * What a slot may say and what follows is in the table of docs/backends.md.
 */
#ifndef BACKENDS_NET_TXPKT_H
#define BACKENDS_NET_TXPKT_H

#include <stdint.h>

#include "backends/net/sring.h"

#define NET_PAGE      4096u
#define NET_FRAME_MIN 14u /* an Ethernet header */
/* Linux's netfront sends up to 1 + 18 data slots (XEN_NETIF_NR_SLOTS_MIN and
 * one more); a guest with some more than that is taken for a mistaken one and
 * loses the packet, one with many more is taken for a hostile one. */
#define TXPKT_FRAGS_MAX 19u
#define TXPKT_FRAGS_BAD 22u

enum txpkt_verdict {
	TXPKT_NONE,  /* no packet waits */
	TXPKT_SEND,  /* frag[] is the packet */
	TXPKT_MCAST, /* not a packet: a change of the multicast list */
	TXPKT_DROP,  /* answer all its slots with an error */
	TXPKT_FATAL, /* serve this interface no longer */
};

struct txpkt {
	const char *why;	      /* of a DROP or FATAL */
	uint32_t slots;		      /* of the ring, all kinds */
	uint32_t extras;	      /* of them extra infos: slots 1 .. extras */
	uint32_t size;		      /* bytes of the packet */
	uint16_t flags;		      /* NETTXF_* of the first slot */
	uint16_t id[TXPKT_FRAGS_BAD]; /* of data slots, for the responses */
	uint32_t nfrags;
	struct txpkt_frag {
		uint32_t gref;
		uint16_t offset, size;
	} frag[TXPKT_FRAGS_MAX];
	uint8_t gso_type; /* XEN_NETIF_GSO_TYPE_* */
	uint16_t gso_size;
	bool mcast_add;
	uint8_t mcast[6];
};

/* Look at the packet at r->req_cons; `waiting` is sring_waiting's answer. */
enum txpkt_verdict txpkt_read(const struct sring *r, uint32_t waiting, struct txpkt *ret);

#endif
