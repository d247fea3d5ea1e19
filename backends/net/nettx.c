/* backends/net/nettx.c - from the guest's transmit ring to the TAP.
 *
 * take a packet's slots, map its pages, write it, unmap, answer.  The header
 * of a packet whose checksum or segments are left to us is copied, looked at,
 * and it is the copy that is sent.
 */
#include <errno.h>
#include <stdint.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/uio.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

#include "backends/net/netq.h"

#define TCP_CSUM 16 /* offset within its header */

struct sending {
	const struct txpkt *p;
	uint8_t *page[TXPKT_FRAGS_MAX]; /* NULL: not mapped */
	struct virtio_net_hdr vh;
	uint8_t head[HDR_MAX];
	struct iovec iov[2 + TXPKT_FRAGS_MAX];
	int niov;
};

static int map(struct netq *q, struct sending *s)
{
	int r = 0;

	for (uint32_t i = 0; i < s->p->nfrags && r == 0; i++) {
		void *page;

		s->page[i] = NULL;
		if (s->p->frag[i].size == 0)
			continue;
		r = hvc_grant_map(q->guest, s->p->frag[i].gref, false, &page);
		if (r == 0)
			s->page[i] = page;
		else
			while (++i < s->p->nfrags)
				s->page[i] = NULL;
	}
	return r;
}

static void unmap(struct netq *q, struct sending *s)
{
	for (uint32_t i = 0; i < s->p->nfrags; i++)
		if (s->page[i])
			hvc_grant_unmap(q->guest, s->p->frag[i].gref, false, s->page[i]);
}

/* Copy the beginning, whatever the slots it lies in; how many bytes. */
static size_t copy_head(struct sending *s)
{
	size_t n = 0;

	for (uint32_t i = 0; i < s->p->nfrags && n < HDR_MAX; i++) {
		size_t part = s->p->frag[i].size;

		if (part > HDR_MAX - n)
			part = HDR_MAX - n;
		if (part)
			memcpy(s->head + n, s->page[i] + s->p->frag[i].offset, part);
		n += part;
	}
	return n;
}

/* What the TAP must know of a packet that isn't finished. */
static int describe(struct sending *s, size_t have)
{
	const struct txpkt *p = s->p;
	struct hdr h;
	int r = hdr_find(s->head, have, p->size, &h);

	if (r < 0)
		return r;
	s->vh.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	s->vh.csum_start = h.l4;
	s->vh.csum_offset = h.csum;
	if (!p->gso_type)
		return 0;
	if (h.csum != TCP_CSUM || h.v6 != (p->gso_type == XEN_NETIF_GSO_TYPE_TCPV6))
		return -EPROTO; /* not TCP, or of the other family */
	s->vh.gso_type = h.v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	s->vh.gso_size = p->gso_size;
	s->vh.hdr_len = h.end;
	/* A guest may ask for segments and say its checksum is there: each
	 * segment needs its own, so it is made blank. */
	if (!(p->flags & NETTXF_csum_blank))
		hdr_put_pseudo(s->head, &h, p->size);
	return 0;
}

static void add_iov(struct sending *s, void *base, size_t len)
{
	if (len)
		s->iov[s->niov++] = (struct iovec){ base, len };
}

static int lay_out(struct sending *s)
{
	size_t skip = 0;
	int r;

	memset(&s->vh, 0, sizeof(s->vh));
	s->niov = 0;
	add_iov(s, &s->vh, sizeof(s->vh));
	if (s->p->gso_type || s->p->flags & NETTXF_csum_blank) {
		skip = copy_head(s);
		r = describe(s, skip);
		if (r < 0)
			return r;
		add_iov(s, s->head, skip);
	}
	for (uint32_t i = 0; i < s->p->nfrags; i++) {
		size_t len = s->p->frag[i].size, cut = skip < len ? skip : len;

		if (len > cut)
			add_iov(s, s->page[i] + s->p->frag[i].offset + cut, len - cut);
		skip -= cut;
	}
	return 0;
}

/* The response's status. */
static int16_t send_packet(struct netq *q, const struct txpkt *p)
{
	struct sending s = { .p = p };
	int r = map(q, &s);
	ssize_t n = 0;

	if (r == 0)
		r = lay_out(&s);
	if (r == 0)
		n = writev(q->tap, s.iov, s.niov);
	unmap(q, &s); /* the marks on the grants are gone before the guest hears of it */
	if (r < 0) {
		count_add(&q->counts.tx_errors, 1);
		return NETIF_RSP_ERROR;
	}
	if (n < 0) { /* the interface is down, or the host's kernel takes no such packet */
		count_add(&q->counts.tx_dropped, 1);
		return NETIF_RSP_DROPPED;
	}
	count_add(&q->counts.tx_packets, 1);
	count_add(&q->counts.tx_bytes, p->size);
	return NETIF_RSP_OKAY;
}

static int16_t change_list(struct netq *q, const struct txpkt *p)
{
	if (p->mcast_add && mcast_add(&q->dev->mcast, p->mcast) < 0) {
		count_add(&q->counts.tx_errors, 1);
		return NETIF_RSP_ERROR;
	}
	if (!p->mcast_add)
		mcast_del(&q->dev->mcast, p->mcast);
	return NETIF_RSP_OKAY;
}

static void answer(struct netq *q, const struct txpkt *p, int16_t status)
{
	uint32_t at = q->tx.req_cons, frag = 0;

	for (uint32_t i = 0; i < p->slots; i++) {
		struct netif_tx_response rsp = { 0, NETIF_RSP_NULL };

		if (i == 0 || i > p->extras)
			rsp = (struct netif_tx_response){ p->id[frag++], status };
		sring_put(&q->tx, at + i, &rsp, sizeof(rsp));
	}
	q->tx.req_cons = at + p->slots;
}

static int16_t serve_one(struct netq *q, enum txpkt_verdict v, const struct txpkt *p)
{
	if (v == TXPKT_SEND)
		return send_packet(q, p);
	if (v == TXPKT_MCAST)
		return change_list(q, p);
	count_add(&q->counts.tx_errors, 1);
	return NETIF_RSP_ERROR;
}

unsigned nettx_serve(struct netq *q, unsigned max, uint64_t now_ns)
{
	struct txpkt p;
	unsigned done = 0;

	q->tx_wake_ns = 0;
	while (done < max) {
		enum txpkt_verdict v = txpkt_read(&q->tx, sring_waiting(&q->tx), &p);

		if (v == TXPKT_NONE)
			break;
		if (v == TXPKT_FATAL) {
			netq_break(q, p.why);
			break;
		}
		if (v == TXPKT_SEND) {
			q->tx_wake_ns = credit_take(&q->dev->credit, p.size, now_ns);
			if (q->tx_wake_ns)
				break;
		}
		answer(q, &p, serve_one(q, v, &p));
		done++;
	}
	if (q->tx.halted)
		netq_break(q, "indices of the transmit ring that can't be");
	if (done && sring_push(&q->tx, q->tx.req_cons) && q->tx_port)
		hvc_port_notify(q->tx_port);
	return done;
}
