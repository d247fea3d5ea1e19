/* backends/net/hdr.c - Ethernet, VLAN, IPv4, IPv6 with its extension headers, TCP, UDP
 * (RFC 791, 768, 8200, 9293); sums as of RFC 1071. */
#include "backends/net/hdr.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define ETH_LEN	   14u
#define TAGS_MAX   2
#define OPTS_MAX   8 /* extension headers of IPv6 */
#define IP6_LEN	   40u
#define TCP_CSUM   16u
#define UDP_CSUM   6u
#define FRAG4_BITS 0x3fffu /* more fragments, and an offset */
#define FRAG6_BITS 0xfff9u

enum { ETH_IP4 = 0x0800, ETH_IP6 = 0x86dd, ETH_VLAN = 0x8100, ETH_SVLAN = 0x88a8 };

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static int find4(const uint8_t *p, size_t have, struct hdr *h)
{
	const uint8_t *ip = p + h->l3;

	if (have < h->l3 + 20u || ip[0] >> 4 != 4 || (ip[0] & 15) < 5 || be16(ip + 6) & FRAG4_BITS)
		return -EPROTO;
	h->l4 = (uint16_t)(h->l3 + (ip[0] & 15) * 4u);
	h->proto = ip[9];
	return 0;
}

static int find6(const uint8_t *p, size_t have, struct hdr *h)
{
	size_t at = h->l3 + IP6_LEN;
	uint8_t next;

	if (have < at || p[h->l3] >> 4 != 6)
		return -EPROTO;
	next = p[h->l3 + 6];
	for (int i = 0; i < OPTS_MAX; i++) {
		size_t len;

		if (next == IPPROTO_TCP || next == IPPROTO_UDP) {
			h->l4 = (uint16_t)at;
			h->proto = next;
			return 0;
		}
		if (have < at + 8)
			return -EPROTO;
		if (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING)
			len = (p[at + 1] + 1u) * 8;
		else if (next == IPPROTO_AH)
			len = (p[at + 1] + 2u) * 4;
		else if (next == IPPROTO_FRAGMENT && !(be16(p + at + 2) & FRAG6_BITS))
			len = 8; /* a whole packet in one fragment */
		else
			return -EPROTO;
		next = p[at];
		at += len;
		if (at > have)
			return -EPROTO;
	}
	return -EPROTO;
}

int hdr_find(const uint8_t *p, size_t have, size_t total, struct hdr *ret)
{
	struct hdr h = { .l3 = ETH_LEN };
	unsigned type, len;
	int r;

	if (have > total)
		have = total;
	if (have < ETH_LEN)
		return -EPROTO;
	type = be16(p + 12);
	for (int i = 0; i < TAGS_MAX && (type == ETH_VLAN || type == ETH_SVLAN); i++) {
		if (have < h.l3 + 4u)
			return -EPROTO;
		type = be16(p + h.l3 + 2);
		h.l3 = (uint16_t)(h.l3 + 4);
		h.tagged = true;
	}
	h.v6 = type == ETH_IP6;
	r = h.v6 ? find6(p, have, &h) : type == ETH_IP4 ? find4(p, have, &h) : -EPROTO;
	if (r < 0)
		return r;
	if (h.proto == IPPROTO_TCP && have >= h.l4 + 20u) {
		h.csum = TCP_CSUM;
		len = (p[h.l4 + 12] >> 4) * 4u;
		if (len < 20)
			return -EPROTO;
	} else if (h.proto == IPPROTO_UDP && have >= h.l4 + 8u) {
		h.csum = UDP_CSUM;
		len = 8;
	} else {
		return -EPROTO;
	}
	if (h.l4 + len > have)
		return -EPROTO;
	h.end = (uint16_t)(h.l4 + len);
	*ret = h;
	return 0;
}

static uint64_t sum_bytes(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (; n >= 4; p += 4, n -= 4) {
		uint32_t v;

		memcpy(&v, p, 4);
		sum += v;
	}
	if (n) {
		uint32_t v = 0;

		memcpy(&v, p, n);
		sum += v;
	}
	return sum;
}

/* As it stands in memory: sums don't care for the order of bytes. */
static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

void hdr_put_pseudo(uint8_t *p, const struct hdr *h, size_t total)
{
	const uint8_t *addr = p + h->l3 + (h->v6 ? 8 : 12);
	uint32_t len = (uint32_t)(total - h->l4);
	uint8_t tail[8] = { (uint8_t)(len >> 24),
			    (uint8_t)(len >> 16),
			    (uint8_t)(len >> 8),
			    (uint8_t)len,
			    0,
			    0,
			    0,
			    h->proto };
	uint16_t sum = fold(sum_bytes(addr, h->v6 ? 32 : 8) + sum_bytes(tail, sizeof(tail)));

	memcpy(p + h->l4 + h->csum, &sum, sizeof(sum));
}

int hdr_fill(const struct iovec *iov, size_t n, size_t start, size_t offset)
{
	size_t at = 0, total = 0, field = start + offset;
	uint64_t sum = 0;
	uint16_t out;

	for (size_t i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (start > total || offset > total || field + 2 > total)
		return -EPROTO;
	for (size_t i = 0; i < n; at += iov[i].iov_len, i++) {
		size_t skip = start > at ? start - at : 0;
		uint16_t part;

		if (skip >= iov[i].iov_len)
			continue;
		part = fold(
			sum_bytes((const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip));
		/* A piece that begins at an odd place has its bytes the other way round. */
		if ((at + skip - start) & 1)
			part = (uint16_t)(part << 8 | part >> 8);
		sum += part;
	}
	out = (uint16_t)~fold(sum);
	if (out == 0)
		out = 0xffff; /* for UDP 0 is "none"; elsewhere both mean the same */
	at = 0;
	for (size_t i = 0; i < n; at += iov[i].iov_len, i++)
		for (size_t k = 0; k < 2; k++)
			if (field + k >= at && field + k - at < iov[i].iov_len)
				((uint8_t *)iov[i].iov_base)[field + k - at] =
					((const uint8_t *)&out)[k];
	return 0;
}
