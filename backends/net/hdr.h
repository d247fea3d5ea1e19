/* backends/net/hdr.h - where a frame's checksum is, and the checksum itself.
 *
 * netif says only that a checksum is blank; a TAP wants to know where.  Bytes
 * are a private copy of the frame's beginning; nothing is read beyond it.
 */
#ifndef BACKENDS_NET_HDR_H
#define BACKENDS_NET_HDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define HDR_MAX 320u /* two VLAN tags, IPv6 with as many options as Linux takes, TCP */

struct hdr {
	uint16_t l3, l4; /* offsets */
	uint16_t csum;	 /* offset of the checksum from l4 */
	uint16_t end;	 /* of the L4 header; offset */
	uint8_t proto;	 /* IPPROTO_TCP or IPPROTO_UDP */
	bool v6, tagged; /* tagged: with VLAN tags */
};

/* `have` bytes at p are the beginning of a frame of `total`.  0, or -EPROTO: not
 * one unfragmented TCP or UDP packet with whole headers within them. */
int hdr_find(const uint8_t *p, size_t have, size_t total, struct hdr *ret);

/* Put what a blank checksum is to hold: the sum of the pseudo header. */
void hdr_put_pseudo(uint8_t *p, const struct hdr *h, size_t total);

/* Compute and write the checksum over everything from byte `start` of the
 * frame on; the field is `offset` further and holds the pseudo header's sum.
 * -EPROTO: that is not within the frame. */
int hdr_fill(const struct iovec *iov, size_t n, size_t start, size_t offset);

#endif
