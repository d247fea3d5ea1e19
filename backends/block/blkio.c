/* backends/block/blkio.c - choosing an engine, and what both need. */
#include "backends/block/blkio.h"

#include <errno.h>

int blkio_open(struct image *img, unsigned depth, enum blkio_kind kind, struct blkio **ret)
{
	int r = -ENOSYS;

	if (kind != BLKIO_THREADS)
		r = blkio_uring(img, depth, ret);
	if (r < 0 && kind != BLKIO_URING)
		r = blkio_threads(img, depth, ret);
	return r;
}

struct blkio *blkio_close(struct blkio *b)
{
	return b ? b->ops->close(b) : NULL;
}

const char *blkio_name(const struct blkio *b)
{
	return b->ops->name;
}

void blkio_queue(struct blkio *b, struct io_op *op)
{
	b->ops->queue(b, op);
}

struct io_op *blkio_reap(struct blkio *b)
{
	return b->ops->reap(b);
}

void blkio_wait(struct blkio *b, struct io_watch *w, size_t n)
{
	b->ops->wait(b, w, n);
}

bool io_op_done(struct io_op *op, int res)
{
	size_t left = (size_t)res;

	if (res == -EINTR || res == -EAGAIN)
		return false;
	if (res < 0 || (op->kind != IO_READ && op->kind != IO_WRITE)) {
		op->res = res < 0 ? res : 0;
		return true;
	}
	if (res == 0) { /* the end of the image, where there was to be more */
		op->res = -ENODATA;
		return true;
	}
	op->off += left;
	while (op->n > 0 && left >= op->iov->iov_len) {
		left -= op->iov->iov_len;
		op->iov++;
		op->n--;
	}
	op->res = 0;
	if (op->n == 0)
		return true;
	op->iov->iov_base = (char *)op->iov->iov_base + left;
	op->iov->iov_len -= left;
	return false;
}
