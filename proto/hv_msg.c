/* proto/hv_msg.c - the codecs, expanded from the lists in hv_msg.h. */
#include "proto/hv_msg.h"

#include <errno.h>
#include <string.h>

#include "proto/cur.h"

/* ---- one field ---- */

static void get_bytes(struct cur *c, void *out, size_t n)
{
	const uint8_t *p = cur_take(c, n);

	if (p)
		memcpy(out, p, n);
}

/* Length-prefixed; the array is NUL-terminated in every case. */
static void get_str(struct cur *c, char *out, size_t max)
{
	uint16_t n = cur_le16(c);
	const uint8_t *p;

	out[0] = '\0';
	if (n >= max) {
		c->err = -EBADMSG;
		return;
	}
	p = cur_take(c, n);
	if (!p)
		return;
	if (n && memchr(p, 0, n)) {
		c->err = -EBADMSG;
		return;
	}
	memcpy(out, p, n);
	out[n] = '\0';
}

static uint32_t get_count(struct cur *c, uint32_t max)
{
	uint32_t n = cur_le32(c);

	if (n > max) {
		c->err = -EBADMSG;
		return 0;
	}
	return n;
}

static void put_str(struct wcur *w, const char *s, size_t max)
{
	size_t n = strnlen(s, max);

	if (n == max) {
		w->err = -EMSGSIZE;
		return;
	}
	wcur_le16(w, (uint16_t)n);
	wcur_put(w, s, n);
}

static void put_count(struct wcur *w, uint32_t n, uint32_t max)
{
	if (n > max)
		w->err = -EMSGSIZE;
	wcur_le32(w, n);
}

/* ---- expansion: readers ---- */
#define GET_U16(f, n)	m->f = cur_le16(c);
#define GET_U32(f, n)	m->f = cur_le32(c);
#define GET_U64(f, n)	m->f = cur_le64(c);
#define GET_BYTES(f, n) get_bytes(c, m->f, n);
#define GET_STR(f, n)	get_str(c, m->f, n);
#define GET_U64S(f, n)                          \
	m->f##_n = get_count(c, n);             \
	for (uint32_t i = 0; i < m->f##_n; i++) \
		m->f[i] = cur_le64(c);
#define GET_BLOB(f, n)              \
	m->f##_n = get_count(c, n); \
	m->f = cur_take(c, m->f##_n);
#define GET_INFO(f, n) get_INFO(c, &m->f);
#define GET_INFOS(f, n)                         \
	m->f##_n = get_count(c, n);             \
	for (uint32_t i = 0; i < m->f##_n; i++) \
		get_INFO(c, &m->f[i]);
#define GET(kind, f, n) GET_##kind(f, n)

static void get_INFO(struct cur *c, struct hv_INFO *m){ HV_FIELDS_INFO(GET) }

#define M(name, num)                                               \
	static void get_##name(struct cur *c, struct hv_##name *m) \
	{                                                          \
		HV_FIELDS_##name(GET)                              \
	}
HV_MSGS(M)
#undef M

/* ---- expansion: writers ---- */
#define PUT_U16(f, n)	wcur_le16(w, m->f);
#define PUT_U32(f, n)	wcur_le32(w, m->f);
#define PUT_U64(f, n)	wcur_le64(w, m->f);
#define PUT_BYTES(f, n) wcur_put(w, m->f, n);
#define PUT_STR(f, n)	put_str(w, m->f, n);
#define PUT_U64S(f, n)                                     \
	put_count(w, m->f##_n, n);                         \
	for (uint32_t i = 0; !w->err && i < m->f##_n; i++) \
		wcur_le64(w, m->f[i]);
#define PUT_BLOB(f, n)             \
	put_count(w, m->f##_n, n); \
	wcur_put(w, m->f, m->f##_n);
#define PUT_INFO(f, n) put_INFO(w, &m->f);
#define PUT_INFOS(f, n)                                    \
	put_count(w, m->f##_n, n);                         \
	for (uint32_t i = 0; !w->err && i < m->f##_n; i++) \
		put_INFO(w, &m->f[i]);
#define PUT(kind, f, n) PUT_##kind(f, n)

	static void put_INFO(struct wcur *w, const struct hv_INFO *m){ HV_FIELDS_INFO(PUT) }

#define M(name, num)                                                      \
	static void put_##name(struct wcur *w, const struct hv_##name *m) \
	{                                                                 \
		HV_FIELDS_##name(PUT)                                     \
	}
HV_MSGS(M)
#undef M

	/* ---- messages ---- */

	static int decode_body(struct cur *c, struct hv_msg *m)
{
	switch (m->type) {
#define M(name, num) \
	case HV_##name: get_##name(c, &m->u.name); break;
		HV_MSGS(M)
#undef M
	default: return -EBADMSG;
	}
	return c->err || c->left ? -EBADMSG : 0;
}

/* exact: buf is one message and nothing more. */
static int decode(const void *buf, size_t n, int exact, struct hv_msg *ret)
{
	struct cur c = { .p = buf, .left = n };
	struct hv_msg m;
	uint32_t magic, len;
	uint16_t version;

	magic = cur_le32(&c);
	m.type = cur_le16(&c);
	version = cur_le16(&c);
	m.seq = cur_le32(&c);
	m.status = (int32_t)cur_le32(&c);
	len = cur_le32(&c);
	if (c.err || magic != HV_MSG_MAGIC || version != 0 || len > HV_MSG_MAX - HV_HDR_SIZE ||
	    len > c.left || (exact && len != c.left) || m.status > 0 || m.status < -4095)
		return -EBADMSG;
	c.left = len;
	if (decode_body(&c, &m) < 0)
		return -EBADMSG;
	*ret = m;
	return (int)(HV_HDR_SIZE + len);
}

int hv_msg_decode(const void *buf, size_t n, struct hv_msg *ret)
{
	int r = decode(buf, n, 1, ret);

	return r < 0 ? r : 0;
}

int hv_msg_decode_next(const void *buf, size_t n, struct hv_msg *ret)
{
	return decode(buf, n, 0, ret);
}

int hv_msg_encode(const struct hv_msg *m, void *buf, size_t n)
{
	struct wcur w = { .p = buf, .left = n }, h = w;

	if (n < HV_HDR_SIZE)
		return -EMSGSIZE;
	w.p += HV_HDR_SIZE;
	w.left = (n < HV_MSG_MAX ? n : HV_MSG_MAX) - HV_HDR_SIZE;
	switch (m->type) {
#define M(name, num) \
	case HV_##name: put_##name(&w, &m->u.name); break;
		HV_MSGS(M)
#undef M
	default: return -EMSGSIZE;
	}
	if (w.err)
		return -EMSGSIZE;
	wcur_le32(&h, HV_MSG_MAGIC);
	wcur_le16(&h, m->type);
	wcur_le16(&h, 0); /* version */
	wcur_le32(&h, m->seq);
	wcur_le32(&h, (uint32_t)m->status);
	wcur_le32(&h, (uint32_t)(w.p - h.p - 4));
	return (int)(w.p - (uint8_t *)buf);
}

const char *hv_msg_name(uint16_t type)
{
	switch (type) {
#define M(name, num) \
	case HV_##name: return #name;
		HV_MSGS(M)
#undef M
	default: return "?";
	}
}
