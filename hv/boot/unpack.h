/* hv/boot/unpack.h - the compressions a distribution uses for its kernel.
 *
 * Input is hostile: output never goes past cap, decoder memory is bounded, and
 * a stream that ends early is an error.  Bytes behind the stream are ignored
 * (a bzImage appends the unpacked size).
 */
#ifndef HV_BOOT_UNPACK_H
#define HV_BOOT_UNPACK_H

#include <stddef.h>
#include <stdint.h>

enum unpack_kind {
	UNPACK_NONE,
	UNPACK_GZIP,
	UNPACK_BZIP2,
	UNPACK_LZMA,
	UNPACK_XZ,
	UNPACK_LZO, /* recognised, to be named in the error; not supported */
	UNPACK_LZ4,
	UNPACK_ZSTD,
	UNPACK_NR
};

#define UNPACK_MAGIC_MAX 6u

/* By the first bytes; UNPACK_NONE if they are none of these. */
enum unpack_kind unpack_probe(const uint8_t *p, size_t n);
/* "gzip"; static storage. */
const char *unpack_name(enum unpack_kind kind);

/* 0 and *ret_len, or -EBADMSG (damaged or truncated), -EFBIG (more than cap),
 * -ENOMEM, -EOPNOTSUPP.  On failure out holds undefined bytes. */
int unpack(enum unpack_kind kind, const uint8_t *in, size_t n, uint8_t *out, size_t cap,
	   size_t *ret_len);

#endif
