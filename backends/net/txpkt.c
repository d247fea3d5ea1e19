/* backends/net/txpkt.c - slots of one packet, in the order a guest writes them:
 *
 *   first (size of all) | extra info ...  | data slot ... (without more_data: the last)
 */
#include "backends/net/txpkt.h"

#include <string.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

static enum txpkt_verdict verdict(struct txpkt *p, enum txpkt_verdict v, const char *why)
{
	p->why = why;
	return v;
}

static enum txpkt_verdict take_gso(struct txpkt *p, const struct netif_extra_info *x)
{
	if (x->u.gso.size == 0)
		return verdict(p, TXPKT_FATAL, "a GSO size of 0");
	if (x->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV4 && x->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV6)
		return verdict(p, TXPKT_FATAL, "an unknown GSO type");
	p->gso_size = x->u.gso.size;
	p->gso_type = x->u.gso.type;
	return TXPKT_SEND;
}

/* SEND, or what else the extra infos make of the packet. */
static enum txpkt_verdict read_extras(const struct sring *r, uint32_t waiting, struct txpkt *p)
{
	enum txpkt_verdict v = TXPKT_SEND;
	union {
		struct netif_extra_info x;
		struct netif_tx_request whole;
	} u;

	do {
		if (p->slots >= waiting)
			return verdict(p, TXPKT_FATAL, "an extra info that is not there");
		sring_copy(r, r->req_cons + p->slots, &u);
		p->slots++;
		p->extras++;
		if (u.x.type == XEN_NETIF_EXTRA_TYPE_NONE || u.x.type >= XEN_NETIF_EXTRA_TYPE_MAX)
			return verdict(p, TXPKT_FATAL, "an unknown extra info");
		if (u.x.type == XEN_NETIF_EXTRA_TYPE_GSO) {
			if (take_gso(p, &u.x) == TXPKT_FATAL)
				return TXPKT_FATAL;
		} else if (u.x.type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD ||
			   u.x.type == XEN_NETIF_EXTRA_TYPE_MCAST_DEL) {
			v = TXPKT_MCAST;
			p->mcast_add = u.x.type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD;
			memcpy(p->mcast, u.x.u.mcast.addr, sizeof(p->mcast));
		} /* a HASH is advice that we don't take */
	} while (u.x.flags & XEN_NETIF_EXTRA_FLAG_MORE);
	return v;
}

/* The slots after the first; its size becomes what is left for it. */
static enum txpkt_verdict read_frags(const struct sring *r, uint32_t waiting, uint32_t *first_size,
				     struct txpkt *p)
{
	enum txpkt_verdict v = TXPKT_SEND;
	struct netif_tx_request req;

	do {
		if (p->slots >= waiting)
			return verdict(p, TXPKT_FATAL, "a data slot that is not there");
		if (p->nfrags + 1 >= TXPKT_FRAGS_BAD)
			return verdict(p, TXPKT_FATAL, "far too many slots");
		sring_copy(r, r->req_cons + p->slots, &req);
		p->slots++;
		if ((uint32_t)req.offset + req.size > NET_PAGE)
			return verdict(p, TXPKT_FATAL, "data beyond its page");
		if (p->nfrags >= TXPKT_FRAGS_MAX) {
			v = verdict(p, TXPKT_DROP, "too many slots");
		} else {
			p->frag[p->nfrags] = (struct txpkt_frag){ req.gref, req.offset, req.size };
		}
		p->id[p->nfrags++] = req.id;
		/* A sender of 64 KiB and more overflows the first size: a mistake. */
		if (v == TXPKT_SEND && req.size > *first_size)
			v = verdict(p, TXPKT_DROP, "slots larger than their packet");
		if (v == TXPKT_SEND)
			*first_size -= req.size;
	} while (req.flags & NETTXF_more_data);
	return v;
}

enum txpkt_verdict txpkt_read(const struct sring *r, uint32_t waiting, struct txpkt *p)
{
	enum txpkt_verdict v = TXPKT_SEND, kind = TXPKT_SEND;
	struct netif_tx_request first;
	uint32_t left;

	if (waiting == 0)
		return TXPKT_NONE;
	p->why = NULL;
	p->extras = p->gso_size = p->gso_type = 0;
	p->slots = p->nfrags = 1;
	sring_copy(r, r->req_cons, &first);
	p->flags = first.flags;
	p->size = left = first.size;
	p->id[0] = first.id;
	if (first.flags & NETTXF_extra_info)
		kind = read_extras(r, waiting, p);
	if (kind != TXPKT_SEND)
		return kind;
	if (first.flags & NETTXF_more_data)
		v = read_frags(r, waiting, &left, p);
	if (v == TXPKT_SEND && p->size < NET_FRAME_MIN)
		return verdict(p, TXPKT_DROP, "shorter than an Ethernet header");
	if (v == TXPKT_SEND && first.offset + left > NET_PAGE)
		return verdict(p, TXPKT_FATAL, "data beyond its page");
	p->frag[0] = (struct txpkt_frag){ first.gref, first.offset, (uint16_t)left };
	return v;
}
