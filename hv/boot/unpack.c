/* hv/boot/unpack.c - one function per format over the system's libraries.
 *
 * Each decoder gets whole buffers: both are at most a guest's low RAM, below
 * 4 GiB, so the 32-bit counters of zlib and bzip2 hold them.
 */
#include "hv/boot/unpack.h"

#include <bzlib.h>
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/* Kernels are packed with dictionaries up to 128 MiB (scripts/xz_wrap.sh). */
#define XZ_MEM_MAX	(192ull << 20)
#define LZ4_BLOCK_MAX	(8u << 20) /* the legacy frame's block size */
#define LZ4_SIZE_SUFFIX 4u	   /* a kernel payload ends in its unpacked size */

static int unpack_gzip(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *ret_len)
{
	z_stream z = {
		.next_in = (Bytef *)in, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)cap
	};
	int r;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	*ret_len = z.total_out;
	(void)inflateEnd(&z);
	if (r == Z_STREAM_END)
		return 0;
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_BUF_ERROR && !z.avail_out ? -EFBIG : -EBADMSG;
}

static int unpack_bzip2(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *ret_len)
{
	bz_stream b = { .next_in = (char *)in,
			.avail_in = (unsigned)n,
			.next_out = (char *)out,
			.avail_out = (unsigned)cap };
	int r;

	if (BZ2_bzDecompressInit(&b, 0, 0) != BZ_OK)
		return -ENOMEM;
	do {
		r = BZ2_bzDecompress(&b);
	} while (r == BZ_OK && b.avail_in && b.avail_out);
	*ret_len = cap - b.avail_out;
	(void)BZ2_bzDecompressEnd(&b);
	if (r == BZ_STREAM_END)
		return 0;
	if (r == BZ_MEM_ERROR)
		return -ENOMEM;
	return r == BZ_OK && !b.avail_out ? -EFBIG : -EBADMSG;
}

static int run_lzma(lzma_stream *s, const uint8_t *in, size_t n, uint8_t *out, size_t cap,
		    size_t *ret_len)
{
	lzma_ret r;

	s->next_in = in;
	s->avail_in = n;
	s->next_out = out;
	s->avail_out = cap;
	do {
		r = lzma_code(s, LZMA_RUN);
	} while (r == LZMA_OK && s->avail_in && s->avail_out);
	/* Without more room a finished stream shows its end marker only now. */
	if (r == LZMA_OK)
		r = lzma_code(s, LZMA_FINISH);
	*ret_len = cap - s->avail_out;
	lzma_end(s);
	if (r == LZMA_STREAM_END)
		return 0;
	if (r == LZMA_MEM_ERROR || r == LZMA_MEMLIMIT_ERROR)
		return -ENOMEM;
	return !s->avail_out && r != LZMA_DATA_ERROR ? -EFBIG : -EBADMSG;
}

static int unpack_xz(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *ret_len)
{
	lzma_stream s = LZMA_STREAM_INIT;

	if (lzma_stream_decoder(&s, XZ_MEM_MAX, 0) != LZMA_OK)
		return -ENOMEM;
	return run_lzma(&s, in, n, out, cap, ret_len);
}

static int unpack_lzma(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *ret_len)
{
	lzma_stream s = LZMA_STREAM_INIT;

	if (lzma_alone_decoder(&s, XZ_MEM_MAX) != LZMA_OK)
		return -ENOMEM;
	return run_lzma(&s, in, n, out, cap, ret_len);
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Legacy LZ4: magic, then blocks of a 32-bit length and that many bytes, each
 * unpacking to at most 8 MiB, until the input ends. */
static int unpack_lz4(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *ret_len)
{
	size_t done = 0;

	in += 4;
	n -= 4;
	while (n > LZ4_SIZE_SUFFIX) {
		uint32_t len = le32(in);
		size_t room = cap - done < LZ4_BLOCK_MAX ? cap - done : LZ4_BLOCK_MAX;
		int got;

		in += 4;
		n -= 4;
		if (!len || len > n || len > LZ4_COMPRESSBOUND(LZ4_BLOCK_MAX))
			return -EBADMSG;
		got = LZ4_decompress_safe((const char *)in, (char *)out + done, (int)len,
					  (int)room);
		if (got < 0)
			return room < LZ4_BLOCK_MAX ? -EFBIG : -EBADMSG;
		done += (size_t)got;
		in += len;
		n -= len;
	}
	/* What is left is nothing, or the size that proves nothing was cut off. */
	if (!done || (n && (n != LZ4_SIZE_SUFFIX || le32(in) != (uint32_t)done)))
		return -EBADMSG;
	*ret_len = done;
	return 0;
}

static int unpack_zstd(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *ret_len)
{
	size_t frame = ZSTD_findFrameCompressedSize(in, n), got;

	if (ZSTD_isError(frame) || frame > n)
		return -EBADMSG;
	got = ZSTD_decompress(out, cap, in, frame);
	if (!ZSTD_isError(got)) {
		*ret_len = got;
		return 0;
	}
	/* ZSTD_error_dstSize_tooSmall, from the part of the API that is stable. */
	if (strstr(ZSTD_getErrorName(got), "too small"))
		return -EFBIG;
	return strstr(ZSTD_getErrorName(got), "llocation") ? -ENOMEM : -EBADMSG;
}

static const struct format {
	const char *name;
	uint8_t magic[UNPACK_MAGIC_MAX];
	uint8_t magic_len;
	int (*run)(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *ret_len);
} formats[UNPACK_NR] = {
	[UNPACK_NONE] = { "none" },
	[UNPACK_GZIP] = { "gzip", { 0x1f, 0x8b }, 2, unpack_gzip },
	[UNPACK_BZIP2] = { "bzip2", { 'B', 'Z', 'h' }, 3, unpack_bzip2 },
	[UNPACK_LZMA] = { "lzma", { 0x5d, 0, 0 }, 3, unpack_lzma },
	[UNPACK_XZ] = { "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, unpack_xz },
	[UNPACK_LZO] = { "lzo", { 0x89, 'L', 'Z', 'O' }, 4, NULL },
	[UNPACK_LZ4] = { "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4, unpack_lz4 },
	[UNPACK_ZSTD] = { "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, unpack_zstd },
};

enum unpack_kind unpack_probe(const uint8_t *p, size_t n)
{
	for (unsigned k = UNPACK_NONE + 1; k < UNPACK_NR; k++)
		if (n >= formats[k].magic_len && !memcmp(p, formats[k].magic, formats[k].magic_len))
			return (enum unpack_kind)k;
	return UNPACK_NONE;
}

const char *unpack_name(enum unpack_kind kind)
{
	return kind < UNPACK_NR ? formats[kind].name : "?";
}

int unpack(enum unpack_kind kind, const uint8_t *in, size_t n, uint8_t *out, size_t cap,
	   size_t *ret_len)
{
	size_t len;
	int r;

	if (kind >= UNPACK_NR || !formats[kind].run)
		return -EOPNOTSUPP;
	if (n < formats[kind].magic_len || n > UINT32_MAX || cap > UINT32_MAX)
		return -EBADMSG;
	r = formats[kind].run(in, n, out, cap, &len);
	if (r < 0)
		return r;
	*ret_len = len;
	return 0;
}
