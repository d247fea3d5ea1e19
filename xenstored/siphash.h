/* xenstored/siphash.h - SipHash-1-3 (Aumasson, Bernstein 2012): short names to
 * 64 bits under a secret key, so that a guest can't choose names that collide. */
#ifndef XENSTORED_SIPHASH_H
#define XENSTORED_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sip_rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = sip_rotl(v[1], 13) ^ v[0];
	v[3] = sip_rotl(v[3], 16) ^ v[2];
	v[0] = sip_rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = sip_rotl(v[1], 17) ^ v[2];
	v[3] = sip_rotl(v[3], 21) ^ v[0];
	v[2] = sip_rotl(v[2], 32);
}

static inline uint64_t siphash(const uint64_t key[2], const void *data, size_t n)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull,
			  key[0] ^ 0x6c7967656e657261ull, key[1] ^ 0x7465646279746573ull };
	const uint8_t *p = data;
	uint64_t m, len = (uint64_t)n << 56;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&m, p, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	m = 0;
	memcpy(&m, p, n);
	m |= len;
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
