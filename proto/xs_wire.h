/* proto/xs_wire.h - XenStore messages as they travel (docs/misc/xenstore.txt,
 * <xen/io/xs_wire.h>).
 *
 * The list below is the only place a request number is written; the enum, the
 * name table and the fuzz dictionary are all expanded from it.  The header is
 * four native-endian u32 on the wire; x86 is little-endian.
 */
#ifndef PROTO_XS_WIRE_H
#define PROTO_XS_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define XS_OPS(X)                                                              \
	X(CONTROL, 0) X(DIRECTORY, 1) X(READ, 2) X(GET_PERMS, 3) X(WATCH, 4)   \
	X(UNWATCH, 5) X(TRANSACTION_START, 6) X(TRANSACTION_END, 7)            \
	X(INTRODUCE, 8) X(RELEASE, 9) X(GET_DOMAIN_PATH, 10) X(WRITE, 11)      \
	X(MKDIR, 12) X(RM, 13) X(SET_PERMS, 14) X(WATCH_EVENT, 15)             \
	X(ERROR, 16) X(IS_DOMAIN_INTRODUCED, 17) X(RESUME, 18)                 \
	X(SET_TARGET, 19) X(RESTRICT, 20) X(RESET_WATCHES, 21)                 \
	X(DIRECTORY_PART, 22) X(GET_FEATURE, 23) X(SET_FEATURE, 24)            \
	X(GET_QUOTA, 25) X(SET_QUOTA, 26)
/* clang-format on */

enum xs_op {
#define X(name, num) XS_##name = (num),
	XS_OPS(X)
#undef X
		XS_OP_MAX = 27
};

#define XS_HDR_SIZE	16u
#define XS_PAYLOAD_MAX	4096u
#define XS_ABS_PATH_MAX 3072u
#define XS_REL_PATH_MAX 2048u

struct xs_msg {
	uint32_t type, req_id, tx_id;
	const uint8_t *body; /* borrowed from the buffer that was decoded */
	uint32_t len;
};

/* Decode one message.  Returns the bytes it occupied, 0 if more must arrive
 * first, or -EBADMSG: the peer is broken and the connection must go.
 * *ret is written only when the result is positive. */
int xs_msg_decode(const uint8_t *buf, size_t n, struct xs_msg *ret);

/* Write the 16-byte header for a body of len bytes. */
void xs_hdr_encode(uint8_t out[XS_HDR_SIZE], uint32_t type, uint32_t req_id, uint32_t tx_id,
		   uint32_t len);

/* "READ", or "?" for a number that is not ours.  Static storage. */
const char *xs_op_name(uint32_t type);

/* "ENOENT" for ENOENT; only the names libxenstore knows (xsd_errors), anything
 * else is "EINVAL".  Static storage. */
const char *xs_errno_name(int err);
/* ENOENT for "ENOENT"; EINVAL for a name that is not in the table. */
int xs_errno_from_name(const char *name);

#endif
