/* backends/net: a hostile frontend with its own RAM and grant table; the TAP is a
 * socket that keeps frames apart. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/virtio_net.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

#include "backends/net/netq.h"
#include "daemons/sys.h"
#include "hv/client/grants.h"

#define PAGES	320u
#define TX_GFN	1u
#define RX_GFN	2u
#define RX_DATA 32u /* buffers of the receive ring */

struct front {
	uint8_t *ram;
	struct grant_entry_v1 *gnt;
	struct netdev dev;
	struct netq q;
	int wire; /* the other end of the "TAP" */
	uint32_t tx_prod, rx_prod;
};

static uint8_t *page(struct front *f, uint32_t gfn)
{
	return f->ram + gfn * 4096;
}

static uint32_t *word(struct front *f, uint32_t gfn, unsigned at)
{
	return (uint32_t *)(void *)(page(f, gfn) + at);
}

static int set_up(void **state)
{
	struct front *f = calloc(1, sizeof(*f));
	int ram = sys_memfd("ram", PAGES * 4096), gnt = sys_memfd("gnt", 4096), r, s[2];

	assert_true(ram >= 0 && gnt >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s), 0);
	f->ram = sys_mmap_shared(ram, PAGES * 4096, 0, PROT_READ | PROT_WRITE, &r);
	f->gnt = sys_mmap_shared(gnt, 4096, 0, PROT_READ | PROT_WRITE, &r);
	assert_int_equal(grants_open(ram, PAGES, gnt, 1, &f->q.guest), 0);
	close(ram);
	close(gnt);
	for (uint32_t i = 1; i < PAGES; i++)
		f->gnt[i] = (struct grant_entry_v1){ GTF_permit_access, 0, i };
	f->dev = (struct netdev){
		.sg = true, .gso4 = true, .gso6 = true, .csum4 = true, .csum6 = true, .queues = 1
	};
	credit_init(&f->dev.credit);
	mcast_init(&f->dev.mcast);
	f->q.dev = &f->dev;
	f->q.tap = s[0];
	f->wire = s[1];
	sring_init(&f->q.tx, page(f, TX_GFN), sizeof(struct netif_tx_request), false);
	sring_init(&f->q.rx, page(f, RX_GFN), sizeof(struct netif_rx_request), false);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct front *f = *state;

	netrx_unmap(&f->q);
	/* Whatever happened, no grant is still held. */
	for (uint32_t i = 1; i < PAGES; i++)
		assert_false(f->gnt[i].flags & (GTF_reading | GTF_writing));
	hvc_guest_close(f->q.guest);
	credit_fini(&f->dev.credit);
	mcast_fini(&f->dev.mcast);
	close(f->q.tap);
	close(f->wire);
	munmap(f->ram, PAGES * 4096);
	munmap(f->gnt, 4096);
	free(f);
	return 0;
}

/* ---- the guest's side ---- */

static void *tx_slot(struct front *f, uint32_t i)
{
	return page(f, TX_GFN) + 64 + (i & 255) * 12;
}

static void tx(struct front *f, uint32_t gref, uint16_t offset, uint16_t size, uint16_t flags)
{
	struct netif_tx_request r = { gref, offset, flags, (uint16_t)(f->tx_prod + 1000), size };

	memcpy(tx_slot(f, f->tx_prod++), &r, sizeof(r));
}

static void extra(struct front *f, uint8_t type, uint8_t more, uint16_t size, uint8_t gso)
{
	struct netif_extra_info x = { .type = type, .flags = more };

	x.u.gso.size = size;
	x.u.gso.type = gso;
	memcpy(tx_slot(f, f->tx_prod++), &x, sizeof(x));
}

static unsigned send_all(struct front *f)
{
	*word(f, TX_GFN, 0) = f->tx_prod;
	return nettx_serve(&f->q, 300, 0);
}

static int16_t status(struct front *f, uint32_t i)
{
	struct netif_tx_response r;

	memcpy(&r, tx_slot(f, i), sizeof(r));
	return r.status;
}

static void rx_give(struct front *f, uint32_t n)
{
	for (; n; n--, f->rx_prod++) {
		struct netif_rx_request r = { .id = (uint16_t)f->rx_prod,
					      .gref = RX_DATA + (f->rx_prod & 255) };

		memcpy(page(f, RX_GFN) + 64 + (f->rx_prod & 255) * 8, &r, sizeof(r));
	}
	*word(f, RX_GFN, 0) = f->rx_prod;
}

static struct netif_rx_response rx_rsp(struct front *f, uint32_t i)
{
	struct netif_rx_response r;

	memcpy(&r, page(f, RX_GFN) + 64 + (i & 255) * 8, sizeof(r));
	return r;
}

static unsigned receive(struct front *f)
{
	unsigned n;

	(void)netrx_serve(&f->q, 64, &n);
	return n;
}

/* An IPv4 TCP or UDP frame of n bytes. */
static void frame4(uint8_t *p, size_t n, uint8_t proto)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	p[0] = 2;
	p[12] = 8;
	p[13] = 0;
	p[14] = 0x45;
	p[20] = p[21] = 0;
	p[23] = proto;
	p[46] = 0x50;
}

static void wire_put(struct front *f, const uint8_t *p, size_t n, struct virtio_net_hdr vh)
{
	struct iovec v[2] = { { &vh, sizeof(vh) }, { (void *)p, n } };

	assert_int_equal(writev(f->wire, v, 2), n + sizeof(vh));
}

/* ---- transmit ---- */

static void a_packet_in_any_slots_reaches_the_wire_whole(void **state)
{
	struct front *f = *state;
	uint8_t got[70000], want[1500];

	frame4(want, sizeof(want), 17);
	for (unsigned layout = 0; layout < 3; layout++) {
		/* One slot; a header split over slots of a byte each; a slot of none. */
		uint32_t first = f->tx_prod;
		size_t at = 0;

		memcpy(page(f, 10) + 100, want, sizeof(want));
		if (layout == 0) {
			tx(f, 10, 100, 1500, 0);
		} else {
			tx(f, 10, 100, 1500, NETTXF_more_data);
			for (at = layout == 1 ? 1 : 0; at < 17; at++)
				tx(f, 10, (uint16_t)(100 + at), 1, NETTXF_more_data);
			tx(f, 10, (uint16_t)(100 + at), (uint16_t)(1500 - at), 0);
		}
		assert_int_equal(send_all(f), 1);
		assert_int_equal(read(f->wire, got, sizeof(got)), 1500 + 10);
		assert_memory_equal(got + 10, want, 1500);
		for (; first < f->tx_prod; first++)
			assert_int_equal(status(f, first), NETIF_RSP_OKAY);
		assert_int_equal(*word(f, TX_GFN, 8), f->tx_prod);
	}
}

static void checksums_and_segments_are_described_to_the_tap(void **state)
{
	struct front *f = *state;
	struct virtio_net_hdr vh;
	uint8_t got[70000];

	frame4(page(f, 10), 4096, 6);
	tx(f, 10, 0, 4096, NETTXF_csum_blank | NETTXF_extra_info);
	extra(f, XEN_NETIF_EXTRA_TYPE_GSO, 0, 1448, XEN_NETIF_GSO_TYPE_TCPV4);
	assert_int_equal(send_all(f), 1);
	assert_int_equal(status(f, 0), NETIF_RSP_OKAY);
	assert_int_equal(status(f, 1), NETIF_RSP_NULL);
	assert_int_equal(read(f->wire, got, sizeof(got)), 4096 + 10);
	memcpy(&vh, got, sizeof(vh));
	assert_true(vh.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM && vh.csum_start == 34 &&
		    vh.csum_offset == 16 && vh.gso_type == VIRTIO_NET_HDR_GSO_TCPV4 &&
		    vh.gso_size == 1448 && vh.hdr_len == 54);
	assert_memory_equal(got + 10, page(f, 10), 4096);
}

static void headers_that_lie_lose_the_packet(void **state)
{
	struct front *f = *state;
	uint8_t *p = page(f, 10);
	uint8_t got[64];

	for (int i = 0; i < 6; i++) {
		uint32_t at = f->tx_prod;

		frame4(p, 200, 6);
		p[14] = i == 0 ? 0x44 : i == 1 ? 0x65 : p[14];
		p[23] = i == 2 ? 132 : p[23];
		p[20] = i == 3 ? 0x20 : 0; /* a fragment */
		p[46] = i == 4 ? 0x40 : 0x50;
		tx(f, 10, 0, i == 5 ? 53 : 200, NETTXF_csum_blank);
		assert_int_equal(send_all(f), 1);
		assert_int_equal(status(f, at), NETIF_RSP_ERROR);
	}
	/* Segments of the other family. */
	frame4(p, 200, 6);
	tx(f, 10, 0, 200, NETTXF_csum_blank | NETTXF_extra_info);
	extra(f, XEN_NETIF_EXTRA_TYPE_GSO, 0, 100, XEN_NETIF_GSO_TYPE_TCPV6);
	send_all(f);
	assert_int_equal(status(f, f->tx_prod - 2), NETIF_RSP_ERROR);
	assert_int_equal(read(f->wire, got, sizeof(got)), -1);
	assert_null(f->dev.broken);
}

static void slots(struct front *f, unsigned n)
{
	tx(f, 10, 0, 200, n > 1 ? NETTXF_more_data : 0);
	for (unsigned i = 1; i < n; i++)
		tx(f, 10, 0, 2, i + 1 < n ? NETTXF_more_data : 0);
}

static void nineteen_slots_pass_twenty_are_dropped_twentytwo_are_fatal(void **state)
{
	struct front *f = *state;
	uint8_t got[512];

	slots(f, 19);
	assert_int_equal(send_all(f), 1);
	assert_int_equal(read(f->wire, got, sizeof(got)), 210);
	for (unsigned n = 20; n <= 21; n++) {
		uint32_t at = f->tx_prod;

		slots(f, n);
		assert_int_equal(send_all(f), 1);
		for (; at < f->tx_prod; at++)
			assert_int_equal(status(f, at), NETIF_RSP_ERROR);
	}
	assert_null(f->dev.broken);
	slots(f, 22);
	assert_int_equal(send_all(f), 0);
	assert_non_null(f->dev.broken);
}

static void sizes_out_of_bounds_are_dropped(void **state)
{
	static const uint16_t sizes[] = { 0, 13 };
	struct front *f = *state;

	for (int i = 0; i < 2; i++) {
		tx(f, 10, 0, sizes[i], 0);
		assert_int_equal(send_all(f), 1);
		assert_int_equal(status(f, f->tx_prod - 1), NETIF_RSP_ERROR);
	}
	tx(f, 10, 0, 100, NETTXF_more_data);
	tx(f, 10, 0, 101, 0);
	assert_int_equal(send_all(f), 1);
	assert_int_equal(status(f, f->tx_prod - 1), NETIF_RSP_ERROR);
	assert_null(f->dev.broken);
}

/* Each breaks the interface, and only it. */
static void what_no_frontend_does_is_fatal(void **state)
{
	struct front *f = *state;

	for (int i = 0; i < 11; i++) {
		f->dev.broken = NULL;
		f->tx_prod = 0;
		sring_init(&f->q.tx, page(f, TX_GFN), 12, false);
		switch (i) {
		case 0: tx(f, 10, 4000, 97, 0); break;
		case 1: tx(f, 10, 0, 65535, 0); break;
		case 2: tx(f, 10, 0, 100, NETTXF_more_data); break;
		case 3: tx(f, 10, 0, 100, NETTXF_extra_info); break;
		case 4:
		case 5:
		case 6:
			tx(f, 10, 0, 100, NETTXF_extra_info);
			extra(f, i == 4 ? 0 : i == 5 ? 5 : 255, 0, 1448, 1);
			break;
		case 7:
		case 8:
			tx(f, 10, 0, 100, NETTXF_extra_info);
			extra(f, XEN_NETIF_EXTRA_TYPE_GSO, 0, i == 7 ? 0 : 1448, i == 7 ? 1 : 3);
			break;
		case 9:
			tx(f, 10, 0, 100, NETTXF_extra_info);
			for (int k = 0; k < 255; k++)
				extra(f, XEN_NETIF_EXTRA_TYPE_HASH, 1, 0, 0);
			break;
		default: f->tx_prod = 257;
		}
		assert_int_equal(send_all(f), 0);
		assert_non_null(f->dev.broken);
	}
}

static void grants_that_are_none_are_errors(void **state)
{
	struct front *f = *state;

	f->gnt[20] = (struct grant_entry_v1){ 0, 0, 20 };
	tx(f, 10, 0, 200, NETTXF_more_data);
	tx(f, 20, 0, 50, 0);
	tx(f, 100000, 0, 50, 0);
	assert_int_equal(send_all(f), 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(status(f, (uint32_t)i), NETIF_RSP_ERROR);
	assert_int_equal(f->q.counts.tx_errors, 2);
}

static void the_65th_multicast_address_is_refused(void **state)
{
	struct front *f = *state;
	static const uint8_t addr[6] = { 1, 0, 0x5e, 0, 0, 7 };

	for (int i = 0; i < 65; i++) {
		struct netif_extra_info x = { .type = XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
					      .u.mcast.addr = { 1, 0, 0x5e, 0, 0, (uint8_t)i } };

		tx(f, 10, 0, 0, NETTXF_extra_info);
		memcpy(tx_slot(f, f->tx_prod++), &x, sizeof(x));
		assert_int_equal(send_all(f), 1);
		assert_int_equal(status(f, f->tx_prod - 2),
				 i < 64 ? NETIF_RSP_OKAY : NETIF_RSP_ERROR);
	}
	mcast_filter(&f->dev.mcast, true);
	assert_true(mcast_passes(&f->dev.mcast, addr));
	mcast_del(&f->dev.mcast, addr);
	assert_false(mcast_passes(&f->dev.mcast, addr));
}

static void without_credit_packets_wait_and_none_is_lost(void **state)
{
	struct front *f = *state;
	struct credit_rate rate = { 1000, 50000 };

	credit_set(&f->dev.credit, &rate, 0);
	tx(f, 10, 0, 900, 0);
	tx(f, 10, 0, 900, 0);
	assert_int_equal(send_all(f), 1);
	assert_int_equal(f->q.tx_wake_ns, 50000000);
	assert_int_equal(nettx_serve(&f->q, 64, 50000000), 1);
	assert_int_equal(f->q.tx_wake_ns, 0);
}

static void rates_are_two_numbers_or_nothing(void **state)
{
	static const char *const bad[] = {
		"-1",  "1",    "1,",   ",1",	"1,2,3",	 "0,5",
		"5,0", " 1,1", "1, 1", "0x1,1", "1,99999999999", "99999999999999999999999999,1"
	};
	struct credit_rate c = { 7, 7 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(credit_parse(bad[i], &c), -EINVAL);
	assert_int_equal(c.bytes, 7);
	assert_int_equal(credit_parse("0,0", &c), 0);
	assert_int_equal(c.bytes, 0);
	assert_int_equal(credit_parse("62500,50000", &c), 0);
	assert_true(c.bytes == 62500 && c.usecs == 50000);
}

/* ---- receive ---- */

static void frames_arrive_in_the_guests_pages(void **state)
{
	struct front *f = *state;
	struct virtio_net_hdr none = { 0 }, gso = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
						    .csum_start = 34,
						    .csum_offset = 16,
						    .gso_size = 1448 };
	static uint8_t big[65000];
	struct netif_extra_info x;

	rx_give(f, 64);
	frame4(big, sizeof(big), 6);
	wire_put(f, big, 60, none);
	wire_put(f, big, sizeof(big), gso);
	wire_put(f, big, 9000, none); /* a large MTU: no hole where the info would be */
	assert_int_equal(receive(f), 3);
	assert_int_equal(*word(f, RX_GFN, 8), 1 + 17 + 3);
	assert_int_equal(rx_rsp(f, 0).status, 60);
	assert_memory_equal(page(f, RX_DATA), big, 60);
	assert_true(rx_rsp(f, 1).flags == (NETRXF_csum_blank | NETRXF_data_validated |
					   NETRXF_extra_info | NETRXF_more_data));
	memcpy(&x, page(f, RX_GFN) + 64 + 2 * 8, sizeof(x));
	assert_true(x.type == XEN_NETIF_EXTRA_TYPE_GSO && x.u.gso.size == 1448 &&
		    x.u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4 && x.flags == 0);
	for (uint32_t i = 0, at = 0; i < 16; i++) {
		struct netif_rx_response r = rx_rsp(f, i ? i + 2 : 1);

		assert_int_equal(r.status, i < 15 ? 4096 : 65000 - 15 * 4096);
		assert_memory_equal(page(f, RX_DATA + (i ? i + 2 : 1)), big + at, r.status);
		at += (uint32_t)r.status;
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_memory_equal(page(f, RX_DATA + 18 + i), big + i * 4096, i < 2 ? 4096 : 808);
}

static void a_ring_without_buffers_takes_nothing_and_recovers(void **state)
{
	struct virtio_net_hdr none = { 0 };
	struct front *f = *state;
	uint8_t p[60] = { 2 };
	unsigned n;

	rx_give(f, 3);
	wire_put(f, p, 60, none);
	assert_int_equal(netrx_serve(&f->q, 8, &n), NETRX_SHORT);
	assert_int_equal(n, 0);
	assert_int_equal(netrx_short(&f->q), 15);
	f->q.make_do = true; /* the guest will not give more: what there is will do */
	assert_int_equal(netrx_serve(&f->q, 1, &n), NETRX_MORE);
	assert_int_equal(n, 1);
	wire_put(f, p, 60, none);
	netrx_drain(&f->q);
	assert_int_equal(f->q.counts.rx_dropped, 1);
}

static void bad_buffers_come_back_and_the_next_ones_are_used(void **state)
{
	struct virtio_net_hdr none = { 0 };
	struct front *f = *state;
	uint8_t p[60] = { 2 };

	f->gnt[RX_DATA].flags |= GTF_readonly;
	f->gnt[RX_DATA + 2] = f->gnt[RX_DATA + 1]; /* the same frame twice */
	rx_give(f, 32);
	wire_put(f, p, 60, none);
	assert_int_equal(receive(f), 1);
	assert_int_equal(rx_rsp(f, 0).status, NETIF_RSP_ERROR);
	assert_int_equal(rx_rsp(f, 1).status, 60);
	assert_int_equal(*word(f, RX_GFN, 8), 2);
}

static void a_checksum_the_guest_cannot_find_is_computed(void **state)
{
	struct virtio_net_hdr vh = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				     .csum_start = 34,
				     .csum_offset = 8 };
	struct front *f = *state;
	uint8_t p[134];
	uint32_t sum = 0;

	frame4(p, sizeof(p), 132);
	p[42] = p[43] = 0;
	rx_give(f, 32);
	wire_put(f, p, sizeof(p), vh);
	assert_int_equal(receive(f), 1);
	assert_int_equal(rx_rsp(f, 0).flags, 0);
	for (size_t i = 34; i < sizeof(p); i += 2)
		sum += (uint32_t)page(f, RX_DATA)[i] << 8 | page(f, RX_DATA)[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
}

static void a_successor_goes_on_where_the_rings_stand(void **state)
{
	struct virtio_net_hdr none = { 0 };
	struct front *f = *state;
	uint8_t p[60] = { 2 }, got[128];

	rx_give(f, 40);
	wire_put(f, p, 60, none);
	assert_int_equal(receive(f), 1);
	tx(f, 10, 0, 100, 0);
	assert_int_equal(send_all(f), 1);
	/* The predecessor dies with buffers mapped. */
	netrx_unmap(&f->q);
	f->gnt[RX_DATA + 1].flags |= GTF_reading | GTF_writing;
	f->gnt[11].flags |= GTF_reading;
	tx(f, 11, 0, 60, 0);
	sring_init(&f->q.tx, page(f, TX_GFN), 12, true);
	sring_init(&f->q.rx, page(f, RX_GFN), 8, true);
	wire_put(f, p, 60, none);
	assert_int_equal(receive(f), 1);
	assert_int_equal(rx_rsp(f, 1).status, 60);
	assert_int_equal(send_all(f), 1);
	assert_int_equal(read(f->wire, got, sizeof(got)), 110);
	assert_int_equal(read(f->wire, got, sizeof(got)), 70);
}

static void noise_does_no_harm(void **state)
{
	struct front *f = *state;
	uint8_t got[70000];
	uint32_t x = 4711;

	for (int i = 0; i < 20000; i++) {
		uint8_t *p = tx_slot(f, f->tx_prod);

		for (int k = 0; k < 12; k++) {
			x = x * 1664525u + 1013904223u;
			p[k] = (uint8_t)(x >> 24) & ((x >> 8) % 3 ? 0x0f : 0x3f);
		}
		if (x & 0x300000) { /* nearly right */
			p[1] = p[2] = p[3] = p[5] = 0;
			p[6] &= (x >> 12) & 1 ? 5 : 0;
			p[10] = 60;
			p[11] = (x >> 10) & 3;
		}
		if (++f->tx_prod - *word(f, TX_GFN, 8) > 200)
			f->tx_prod--;
		if (i % 5 == 0) {
			(void)send_all(f);
			while (read(f->wire, got, sizeof(got)) > 0)
				;
		}
		if (f->dev.broken) {
			f->dev.broken = NULL;
			sring_init(&f->q.tx, page(f, TX_GFN), 12, false);
			f->tx_prod = *word(f, TX_GFN, 0) = *word(f, TX_GFN, 8) = 0;
		}
	}
	assert_true(f->q.counts.tx_errors > 100 && f->q.counts.tx_packets > 100);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_packet_in_any_slots_reaches_the_wire_whole),
		T(checksums_and_segments_are_described_to_the_tap),
		T(headers_that_lie_lose_the_packet),
		T(nineteen_slots_pass_twenty_are_dropped_twentytwo_are_fatal),
		T(sizes_out_of_bounds_are_dropped),
		T(what_no_frontend_does_is_fatal),
		T(grants_that_are_none_are_errors),
		T(the_65th_multicast_address_is_refused),
		T(without_credit_packets_wait_and_none_is_lost),
		T(rates_are_two_numbers_or_nothing),
		T(frames_arrive_in_the_guests_pages),
		T(a_ring_without_buffers_takes_nothing_and_recovers),
		T(bad_buffers_come_back_and_the_next_ones_are_used),
		T(a_checksum_the_guest_cannot_find_is_computed),
		T(a_successor_goes_on_where_the_rings_stand),
		T(noise_does_no_harm),
	};
#undef T

	return cmocka_run_group_tests_name("netq", tests, NULL, NULL);
}
