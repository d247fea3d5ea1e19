/* backends/net/netrx.c - from the TAP to the guest's receive ring.
 *
 * The TAP doesn't say how long the next frame is or whether it has segments,
 * so as many buffers as the largest needs are mapped ahead, and it is read
 * into them.  A frame with segments has its extra info in the second slot,
 * whose buffer is not used, so the read goes around it:
 *
 *   slot      0       1       2       3
 *   frame  | data | (info) | data | data |
 *
 * The rare frame that is longer than a page and has no segments (a large MTU)
 * is moved down by one then.  Queueing is the TAP's: it is bounded and drops.
 */
#include <errno.h>
#include <stdint.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

#include "backends/net/netq.h"

#define DRAIN_MAX 4096 /* frames; a TAP holds 500 to 1,000 */

struct frame {
	struct virtio_net_hdr vh;
	struct iovec iov[2 + NETRX_SLOTS_MAX]; /* [0]: vh; then pages; then one for too much */
	unsigned npages;
	size_t len; /* of the frame */
	uint8_t head[HDR_MAX];
	uint8_t over[8];
	uint16_t flags; /* NETRXF_* of its first slot */
	uint8_t gso;	/* XEN_NETIF_GSO_TYPE_* */
};

static struct netq_buf *buf_at(struct netq *q, uint32_t i)
{
	return &q->buf[(q->rx.rsp_prod + i) & (SRING_SLOTS - 1)];
}

static uint32_t window(const struct netq *q)
{
	return q->rx.req_cons - q->rx.rsp_prod;
}

static uint32_t wanted(const struct netq *q)
{
	return q->dev->sg ? NETRX_SLOTS_MAX : 1;
}

static bool has_gso(const struct netq *q)
{
	return q->dev->sg && (q->dev->gso4 || q->dev->gso6);
}

/* Map buffers ahead, so far as the guest has given some. */
static void fill(struct netq *q)
{
	uint32_t want = wanted(q), have = window(q), waiting;

	if (have >= want)
		return;
	waiting = sring_waiting(&q->rx);
	for (; have < want && waiting; have++, waiting--) {
		struct netq_buf *b = buf_at(q, have);
		struct netif_rx_request req;

		sring_copy(&q->rx, q->rx.req_cons++, &req);
		*b = (struct netq_buf){ NULL, req.gref, req.id };
		if (hvc_grant_map(q->guest, req.gref, true, &b->page) < 0) {
			b->page = NULL;
			q->bad_bufs++;
		}
	}
}

/* Let go of the first n buffers, whose responses are written. */
static void consume(struct netq *q, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct netq_buf *b = buf_at(q, i);

		if (b->page)
			hvc_grant_unmap(q->guest, b->gref, true, b->page);
		else
			q->bad_bufs--;
	}
	q->rx.rsp_prod += n; /* the page's own is written when the batch is over */
}

/* The first n buffers come back empty. */
static void refuse(struct netq *q, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct netif_rx_response rsp = { .id = buf_at(q, i)->id,
						 .status = NETIF_RSP_ERROR };

		sring_put(&q->rx, q->rx.rsp_prod + i, &rsp, sizeof(rsp));
	}
	count_add(&q->counts.rx_errors, 1);
	consume(q, n);
}

/* How many buffers from the first on are good. */
static uint32_t good(struct netq *q)
{
	uint32_t n = window(q);

	for (uint32_t i = 0; q->bad_bufs && i < n; i++)
		if (!buf_at(q, i)->page)
			return i;
	return n;
}

static void lay_out(struct netq *q, struct frame *f, uint32_t slots)
{
	bool around = has_gso(q);

	f->iov[0] = (struct iovec){ &f->vh, sizeof(f->vh) };
	f->npages = 0;
	for (uint32_t i = 0; i < slots; i++)
		if (i != 1 || !around)
			f->iov[1 + f->npages++] = (struct iovec){ buf_at(q, i)->page, NET_PAGE };
	f->iov[1 + f->npages] = (struct iovec){ f->over, sizeof(f->over) };
}

/* The TAP is to split packets and finish checksums itself from now on; the
 * one at hand is lost and sent again by who sent it. */
static void no_more_segments(struct netq *q)
{
	if (__atomic_exchange_n(&q->dev->no_tso, true, __ATOMIC_RELAXED))
		return;
	(void)ioctl(q->tap, TUNSETOFFLOAD, 0ul); /* fails on what is no TAP: so be it */
}

/* 0 with flags and gso, or -EPROTO: the guest couldn't take it. */
static int describe(struct netq *q, struct frame *f)
{
	unsigned kind = f->vh.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	size_t have = f->len < HDR_MAX ? f->len : HDR_MAX;
	struct hdr h;
	bool simple;

	f->flags = f->vh.flags & VIRTIO_NET_HDR_F_DATA_VALID ? NETRXF_data_validated : 0;
	f->gso = kind == VIRTIO_NET_HDR_GSO_TCPV4   ? XEN_NETIF_GSO_TYPE_TCPV4
		 : kind == VIRTIO_NET_HDR_GSO_TCPV6 ? XEN_NETIF_GSO_TYPE_TCPV6
						    : XEN_NETIF_GSO_TYPE_NONE;
	if ((kind != VIRTIO_NET_HDR_GSO_NONE && !f->gso) ||
	    (f->gso && (!(f->vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || !has_gso(q))))
		return -EPROTO;
	if (!(f->vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	memcpy(f->head, f->iov[1].iov_base, have); /* the guest may write there already */
	/* A frontend finds the checksum by itself, in untagged TCP and UDP only. */
	simple = hdr_find(f->head, have, f->len, &h) == 0 && !h.tagged &&
		 h.l4 == f->vh.csum_start && h.csum == f->vh.csum_offset &&
		 (h.v6 ? q->dev->csum6 : q->dev->csum4);
	if (simple) {
		f->flags = NETRXF_csum_blank | NETRXF_data_validated;
		return 0;
	}
	if (f->gso) {
		no_more_segments(q);
		return -EPROTO;
	}
	return hdr_fill(f->iov + 1, f->npages, f->vh.csum_start, f->vh.csum_offset);
}

static void put_info(struct netq *q, const struct frame *f)
{
	struct netif_extra_info x = { .type = XEN_NETIF_EXTRA_TYPE_GSO };

	x.u.gso.size = f->vh.gso_size;
	x.u.gso.type = f->gso;
	sring_put(&q->rx, q->rx.rsp_prod + 1, &x, sizeof(x));
}

static void deliver(struct netq *q, struct frame *f)
{
	uint32_t pages = (uint32_t)((f->len + NET_PAGE - 1) / NET_PAGE), slot = 0;
	size_t left = f->len;

	if (!f->gso && has_gso(q)) /* fill the hole */
		for (uint32_t i = 1; i < pages; i++)
			memcpy(buf_at(q, i)->page, f->iov[1 + i].iov_base,
			       f->len - i * NET_PAGE < NET_PAGE ? f->len - i * NET_PAGE : NET_PAGE);
	for (uint32_t i = 0; i < pages; i++) {
		struct netif_rx_response rsp = {
			.id = buf_at(q, slot)->id,
			.status = (int16_t)(left < NET_PAGE ? left : NET_PAGE),
			.flags = (uint16_t)((i == 0 ? f->flags : 0) |
					    (i == 0 && f->gso ? NETRXF_extra_info : 0) |
					    (i + 1 < pages ? NETRXF_more_data : 0)),
		};

		sring_put(&q->rx, q->rx.rsp_prod + slot, &rsp, sizeof(rsp));
		left -= (size_t)rsp.status;
		slot++;
		if (i == 0 && f->gso) {
			put_info(q, f);
			slot++;
		}
	}
	count_add(&q->counts.rx_packets, 1);
	count_add(&q->counts.rx_bytes, f->len);
	consume(q, slot);
}

/* 1: one frame was read (and delivered or not); 0: there is none. */
static int move_one(struct netq *q, uint32_t slots)
{
	struct frame f;
	ssize_t n;

	lay_out(q, &f, slots);
	n = readv(q->tap, f.iov, (int)f.npages + 2);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		__atomic_store_n(&q->dev->tap_gone, true, __ATOMIC_RELAXED);
	if (n <= 0)
		return 0;
	f.len = (size_t)n - sizeof(f.vh);
	if (n < (ssize_t)(sizeof(f.vh) + NET_FRAME_MIN)) {
		count_add(&q->counts.rx_errors, 1);
	} else if (f.len > f.npages * NET_PAGE) {
		count_add(&q->counts.rx_dropped, 1);
		if (slots < window(q)) /* a bad buffer is in the way: be rid of it */
			refuse(q, slots + 1);
	} else if (!mcast_passes(&q->dev->mcast, f.iov[1].iov_base)) {
		return 1; /* nothing is lost: the guest doesn't want it */
	} else if (describe(q, &f) < 0 || (f.gso && slots < 2)) {
		count_add(&q->counts.rx_dropped, 1);
	} else {
		deliver(q, &f);
	}
	return 1;
}

uint32_t netrx_short(struct netq *q)
{
	uint32_t want = wanted(q);

	fill(q);
	return window(q) < want ? want - window(q) : 0;
}

enum netrx_why netrx_serve(struct netq *q, unsigned max, unsigned *ret_moved)
{
	uint32_t from = q->rx.rsp_prod;
	enum netrx_why why = NETRX_MORE;
	unsigned moved = 0;

	while (moved < max && why == NETRX_MORE) {
		bool few = netrx_short(q) > 0;
		uint32_t slots = good(q);

		if (slots == 0 && window(q) > 0)
			refuse(q, 1);
		else if (few && !(q->make_do && slots > 0))
			why = NETRX_SHORT;
		else if (move_one(q, slots))
			moved++;
		else
			why = NETRX_EMPTY;
	}
	if (q->rx.halted)
		netq_break(q, "indices of the receive ring that can't be");
	if (q->rx.rsp_prod != from) {
		uint32_t to = q->rx.rsp_prod;

		q->rx.rsp_prod = from;
		if (sring_push(&q->rx, to) && q->rx_port)
			hvc_port_notify(q->rx_port);
	}
	*ret_moved = moved;
	return why;
}

void netrx_drain(struct netq *q)
{
	uint8_t trash[64];

	for (int i = 0; i < DRAIN_MAX && read(q->tap, trash, sizeof(trash)) > 0; i++)
		count_add(&q->counts.rx_dropped, 1);
}

void netrx_unmap(struct netq *q)
{
	for (uint32_t i = 0; i < window(q); i++)
		if (buf_at(q, i)->page)
			hvc_grant_unmap(q->guest, buf_at(q, i)->gref, true, buf_at(q, i)->page);
	q->rx.req_cons = q->rx.rsp_prod;
	q->bad_bufs = 0;
}
