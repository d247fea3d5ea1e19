/* proto/cur.h - bounds-checked reader and writer over bytes a peer chose.
 *
 * The first short read (or full buffer) latches ->err and later calls do
 * nothing, so a codec runs straight through and checks once at the end.
 * Every check compares a length with what is left; none adds to a length the
 * peer chose.  All integers are little-endian on the wire.
 */
#ifndef PROTO_CUR_H
#define PROTO_CUR_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cur {
	const uint8_t *p; /* next byte; borrowed, never freed here */
	size_t left;
	int err; /* 0 or -EBADMSG */
};

static inline const uint8_t *cur_take(struct cur *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->err || n > c->left) {
		c->err = -EBADMSG;
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

static inline uint8_t cur_u8(struct cur *c)
{
	const uint8_t *p = cur_take(c, 1);

	return p ? p[0] : 0;
}

static inline uint16_t cur_le16(struct cur *c)
{
	const uint8_t *p = cur_take(c, 2);

	return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

static inline uint32_t cur_le32(struct cur *c)
{
	const uint8_t *p = cur_take(c, 4);

	return !p ? 0
		  : (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
			       (uint32_t)p[3] << 24;
}

static inline uint64_t cur_le64(struct cur *c)
{
	uint64_t lo = cur_le32(c);

	return lo | (uint64_t)cur_le32(c) << 32;
}

struct wcur {
	uint8_t *p; /* next byte to write; borrowed */
	size_t left;
	int err; /* 0 or -EMSGSIZE */
};

static inline void wcur_put(struct wcur *c, const void *src, size_t n)
{
	if (c->err || n > c->left) {
		c->err = -EMSGSIZE;
		return;
	}
	if (n)
		memcpy(c->p, src, n);
	c->p += n;
	c->left -= n;
}

static inline void wcur_le16(struct wcur *c, uint16_t v)
{
	uint8_t b[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	wcur_put(c, b, sizeof(b));
}

static inline void wcur_le32(struct wcur *c, uint32_t v)
{
	uint8_t b[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) };

	wcur_put(c, b, sizeof(b));
}

static inline void wcur_le64(struct wcur *c, uint64_t v)
{
	wcur_le32(c, (uint32_t)v);
	wcur_le32(c, (uint32_t)(v >> 32));
}

#endif
