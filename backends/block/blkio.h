/* backends/block/blkio.h - many operations on an image at once, whatever does them:
 * io_uring, or threads where the host has or allows none.
 *
 * One thread owns a blkio: it queues operations, which start at the latest in
 * blkio_wait, and reaps them when done, in any order.
 */
#ifndef BACKENDS_BLOCK_BLKIO_H
#define BACKENDS_BLOCK_BLKIO_H

#include <stdbool.h>
#include <stddef.h>

#include "backends/block/image.h"

struct blkio;

enum blkio_kind { BLKIO_AUTO, BLKIO_URING, BLKIO_THREADS };

/* Borrowed by the blkio from queue to reap, and so are the buffers. */
struct io_op {
	enum io_kind kind;
	struct iovec *iov; /* used up */
	uint32_t n;
	uint64_t off, len; /* bytes; len of a discard */
	int res;	   /* when reaped: 0 or a negative errno */
	struct io_op *next;
};

/* A descriptor that shall end a wait. */
struct io_watch {
	int fd;	    /* constant; stays readable until its owner reads it */
	bool ready; /* set by blkio_wait */
};
#define BLKIO_WATCHES 4 /* at most */

/* At most depth operations at once.  AUTO takes the first that works.  May be
 * made by another thread than the one that uses it. */
int blkio_open(struct image *img, unsigned depth, enum blkio_kind kind, struct blkio **ret);
/* Nothing may be in flight.  NULL ok. */
struct blkio *blkio_close(struct blkio *b);
const char *blkio_name(const struct blkio *b); /* for people */

void blkio_queue(struct blkio *b, struct io_op *op);
/* The done ones as a list, NULL for none; never waits. */
struct io_op *blkio_reap(struct blkio *b);
/* Starts what is queued, then waits until something is done or a descriptor of
 * w is readable.  The same w and n at each call. */
void blkio_wait(struct blkio *b, struct io_watch *w, size_t n);

/* ---- for those who implement one ---- */
struct blkio_ops {
	const char *name;
	struct blkio *(*close)(struct blkio *b);
	void (*queue)(struct blkio *b, struct io_op *op);
	struct io_op *(*reap)(struct blkio *b);
	void (*wait)(struct blkio *b, struct io_watch *w, size_t n);
};
struct blkio { /* first member of theirs */
	const struct blkio_ops *ops;
};
int blkio_uring(struct image *img, unsigned depth, struct blkio **ret);
int blkio_threads(struct image *img, unsigned depth, struct blkio **ret);
int blkio_threads_fd(const struct blkio *b); /* readable when there is something to reap */
/* res: bytes moved, or a negative errno.  True if op is done and its res set;
 * else it is to be queued once more, for the rest. */
bool io_op_done(struct io_op *op, int res);

#endif
