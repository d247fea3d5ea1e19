/* proto/xs_wire.c - the XenStore header and its name tables. */
#include "proto/xs_wire.h"

#include <errno.h>
#include <string.h>

#include "proto/cur.h"

int xs_msg_decode(const uint8_t *buf, size_t n, struct xs_msg *ret)
{
	struct cur c = { .p = buf, .left = n };
	struct xs_msg m;

	if (n < XS_HDR_SIZE)
		return 0;

	m.type = cur_le32(&c);
	m.req_id = cur_le32(&c);
	m.tx_id = cur_le32(&c);
	m.len = cur_le32(&c);
	if (m.len > XS_PAYLOAD_MAX)
		return -EBADMSG;
	if (c.left < m.len)
		return 0;

	m.body = cur_take(&c, m.len);
	*ret = m;
	return (int)(XS_HDR_SIZE + m.len);
}

void xs_hdr_encode(uint8_t out[XS_HDR_SIZE], uint32_t type, uint32_t req_id, uint32_t tx_id,
		   uint32_t len)
{
	struct wcur w = { .p = out, .left = XS_HDR_SIZE };

	wcur_le32(&w, type);
	wcur_le32(&w, req_id);
	wcur_le32(&w, tx_id);
	wcur_le32(&w, len);
}

const char *xs_op_name(uint32_t type)
{
	switch (type) {
#define X(name, num) \
	case XS_##name: return #name;
		XS_OPS(X)
#undef X
	default: return "?";
	}
}

/* xsd_errors[] in <xen/io/xs_wire.h>: what libxenstore can turn back. */
/* clang-format off */
#define XS_ERRNOS(X)                                                                               \
	X(EINVAL) X(EACCES) X(EEXIST) X(EISDIR) X(ENOENT) X(ENOMEM) X(ENOSPC) X(EIO)              \
	X(ENOTEMPTY) X(ENOSYS) X(EROFS) X(EBUSY) X(EAGAIN) X(EISCONN) X(E2BIG) X(EPERM)
/* clang-format on */

static const struct {
	int err;
	const char *name;
} errnos[] = {
#define X(e) { e, #e },
	XS_ERRNOS(X)
#undef X
};

const char *xs_errno_name(int err)
{
	for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
		if (errnos[i].err == err)
			return errnos[i].name;
	return "EINVAL";
}

int xs_errno_from_name(const char *name)
{
	for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
		if (strcmp(errnos[i].name, name) == 0)
			return errnos[i].err;
	return EINVAL;
}
