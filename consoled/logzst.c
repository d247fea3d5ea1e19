/* consoled/logzst.c - compressing old logs, streamed, beside the originals.
 *
 * name.1 stays plain, so that whoever follows a log over a rotation still can.
 * The compressed file appears under its name only when it is complete.
 */
#include "consoled/logio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "daemons/sys.h"

#define ZST_LEVEL 3
#define ZST_IN	  65536u

struct zst {
	ZSTD_CCtx *ctx;
	uint8_t *in, *out;
	size_t out_size;
	int from, to;
};

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t r = sys_write(fd, p, n);

		if (r == -EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? (int)r : -ENOSPC;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

static int zst_stream(struct zst *z)
{
	for (;;) {
		ssize_t n = read(z->from, z->in, ZST_IN);
		ZSTD_inBuffer in = { z->in, n > 0 ? (size_t)n : 0, 0 };
		ZSTD_EndDirective end = n > 0 ? ZSTD_e_continue : ZSTD_e_end;
		size_t left;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		do {
			ZSTD_outBuffer out = { z->out, z->out_size, 0 };
			int r;

			left = ZSTD_compressStream2(z->ctx, &out, &in, end);
			if (ZSTD_isError(left))
				return -EIO;
			r = write_all(z->to, z->out, out.pos);
			if (r < 0)
				return r;
		} while (n > 0 ? in.pos < in.size : left != 0);
		if (n == 0)
			return 0;
	}
}

static int compress_one(int dirfd, const char *name)
{
	char tmp[LOG_NAME_MAX + 32], zst[LOG_NAME_MAX + 32];
	struct zst z = { .from = -1, .to = -1, .out_size = ZSTD_CStreamOutSize() };
	int r;

	snprintf(tmp, sizeof(tmp), "%.240s.zst.tmp", name);
	snprintf(zst, sizeof(zst), "%.240s.zst", name);
	z.from = logio_open(dirfd, name, O_RDONLY);
	if (z.from < 0)
		return z.from == -ENOENT ? 0 : z.from;
	r = unlinkat(dirfd, tmp, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (r < 0)
		goto out;
	z.to = logio_open(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL);
	r = z.to < 0 ? z.to : 0;
	if (r < 0)
		goto out;
	z.ctx = ZSTD_createCCtx();
	z.in = sys_zalloc(ZST_IN);
	z.out = sys_zalloc(z.out_size);
	if (!z.ctx || !z.in || !z.out) {
		r = -ENOMEM;
		goto out;
	}
	(void)ZSTD_CCtx_setParameter(z.ctx, ZSTD_c_compressionLevel, ZST_LEVEL); /* in range */
	(void)ZSTD_CCtx_setParameter(z.ctx, ZSTD_c_checksumFlag, 1);
	r = zst_stream(&z);
	if (r == 0 && (renameat(dirfd, tmp, dirfd, zst) < 0 || unlinkat(dirfd, name, 0) < 0))
		r = -errno;
out:
	if (r < 0 && z.to >= 0)
		(void)unlinkat(dirfd, tmp, 0); /* best effort; the next run clears it too */
	if (z.from >= 0)
		close(z.from);
	if (z.to >= 0)
		close(z.to);
	ZSTD_freeCCtx(z.ctx);
	free(z.in);
	free(z.out);
	return r;
}

int logio_compress(const struct logio_conf *conf, const char *name)
{
	char old[LOG_NAME_MAX + 16];
	int r, first = 0;

	for (unsigned i = 2; i <= conf->keep; i++) {
		snprintf(old, sizeof(old), "%s.%u", name, i);
		r = compress_one(conf->dirfd, old);
		if (r < 0 && !first)
			first = r;
	}
	return first;
}
