/* backends/block/uring.c - operations through io_uring.
 *
 * One system call starts what is queued and waits, for completions and for the
 * descriptors of the caller alike: those are polled by the ring itself.  The
 * image is a registered file, so its lock is held until the last operation of a
 * killed process is over, and a successor that waits for the lock meets no
 * stray write.  What the ring can't do (discards of block devices) goes to a
 * thread.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/block/blkio.h"
#include "daemons/sys.h"

#define WATCHES_MAX 8u /* of them, the last is for our threads */
#define HELPER	    (WATCHES_MAX - 1)
#define SPARE	    16u /* entries beside the operations: polls, and operations again */

/* user_data of a poll is its number, which no pointer to an operation is. */
struct uring {
	struct blkio base;
	struct image *img;
	struct io_uring ring;
	bool enabled;
	struct io_op *done;
	struct io_op *late;    /* found no room in the ring; queued at the next wait */
	struct blkio *helper;  /* threads; NULL: not needed yet */
	uint32_t armed, fired; /* polls, a bit each */
};

static bool prepare(struct uring *u, struct io_op *op)
{
	struct io_uring_sqe *s = io_uring_get_sqe(&u->ring);

	if (!s)
		return false;
	switch (op->kind) {
	case IO_READ:
		if (op->n == 1)
			io_uring_prep_read(s, 0, op->iov->iov_base, (unsigned)op->iov->iov_len,
					   op->off);
		else
			io_uring_prep_readv(s, 0, op->iov, op->n, op->off);
		break;
	case IO_WRITE:
		if (op->n == 1)
			io_uring_prep_write(s, 0, op->iov->iov_base, (unsigned)op->iov->iov_len,
					    op->off);
		else
			io_uring_prep_writev(s, 0, op->iov, op->n, op->off);
		break;
	case IO_FLUSH: io_uring_prep_fsync(s, 0, IORING_FSYNC_DATASYNC); break;
	default:
		io_uring_prep_fallocate(s, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)op->off, (off_t)op->len);
		break;
	}
	io_uring_sqe_set_flags(s, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(s, op);
	return true;
}

static void finish(struct uring *u, struct io_op *op)
{
	op->next = u->done;
	u->done = op;
}

static void again(struct uring *u, struct io_op *op)
{
	op->next = u->late;
	u->late = op;
}

static void uring_queue(struct blkio *b, struct io_op *op)
{
	struct uring *u = (struct uring *)b;
	int r = 0;

	if (!image_by_thread(u->img, op->kind)) {
		if (!prepare(u, op))
			again(u, op);
		return;
	}
	if (!u->helper)
		r = blkio_threads(u->img, 1, &u->helper);
	if (r < 0) {
		op->res = r;
		finish(u, op);
	} else {
		blkio_queue(u->helper, op);
	}
}

/* What is there already; no system call. */
static void harvest(struct uring *u)
{
	struct io_uring_cqe *c;
	unsigned head, n = 0;

	io_uring_for_each_cqe(&u->ring, head, c)
	{
		struct io_op *op = io_uring_cqe_get_data(c);

		n++;
		if (c->user_data < WATCHES_MAX) {
			u->fired |= 1u << c->user_data;
			u->armed &= ~(1u << c->user_data);
		} else if (io_op_done(op, c->res)) {
			finish(u, op);
		} else {
			again(u, op);
		}
	}
	if (n)
		io_uring_cq_advance(&u->ring, n);
}

static struct io_op *uring_reap(struct blkio *b)
{
	struct uring *u = (struct uring *)b;
	struct io_op *done, *op;

	harvest(u);
	if (u->fired & 1u << HELPER) {
		u->fired &= ~(1u << HELPER);
		for (op = blkio_reap(u->helper); op;) {
			struct io_op *next = op->next;

			finish(u, op);
			op = next;
		}
	}
	done = u->done;
	u->done = NULL;
	return done;
}

static void arm(struct uring *u, unsigned i, int fd)
{
	struct io_uring_sqe *s;

	if ((u->armed | u->fired) & 1u << i)
		return;
	s = io_uring_get_sqe(&u->ring);
	if (!s)
		return; /* at the next wait, for this one ends at once: see below */
	io_uring_prep_poll_add(s, fd, POLLIN);
	s->user_data = i;
	u->armed |= 1u << i;
}

static void queue_late(struct uring *u)
{
	struct io_op *op = u->late, *next;

	u->late = NULL;
	for (; op; op = next) {
		next = op->next;
		if (!prepare(u, op))
			again(u, op);
	}
}

static void uring_wait(struct blkio *b, struct io_watch *w, size_t n)
{
	struct uring *u = (struct uring *)b;
	bool full;

	if (!u->enabled) /* this library has no function for it */
		u->enabled = syscall(__NR_io_uring_register, u->ring.ring_fd,
				     IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0;
	harvest(u);
	queue_late(u);
	for (size_t i = 0; i < n; i++)
		arm(u, (unsigned)i, w[i].fd);
	if (u->helper)
		arm(u, HELPER, blkio_threads_fd(u->helper));
	full = io_uring_sq_space_left(&u->ring) == 0;
	/* An error here is want of memory or a full completion ring: what is there
	 * is dealt with first, then the caller comes again. */
	(void)io_uring_submit_and_wait(&u->ring, full || u->late || u->done || u->fired ? 0 : 1);
	harvest(u);
	for (size_t i = 0; i < n; i++) {
		w[i].ready = u->fired & 1u << i;
		u->fired &= ~(1u << i);
	}
}

static struct blkio *uring_close(struct blkio *b)
{
	struct uring *u = (struct uring *)b;

	io_uring_queue_exit(&u->ring);
	blkio_close(u->helper);
	free(u);
	return NULL;
}

static const struct blkio_ops uring_ops = {
	.name = "io_uring",
	.close = uring_close,
	.queue = uring_queue,
	.reap = uring_reap,
	.wait = uring_wait,
};

/* The best that this kernel knows; the ring is enabled by the thread that uses it. */
static int make_ring(struct uring *u, unsigned depth)
{
	static const unsigned flags[] = {
		IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_R_DISABLED,
		0,
	};
	int r = -EINVAL, fd = image_fd(u->img);

	for (size_t i = 0; r == -EINVAL && i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct io_uring_params p = { .flags = flags[i] };

		r = io_uring_queue_init_params(depth + SPARE, &u->ring, &p);
		u->enabled = !(flags[i] & IORING_SETUP_R_DISABLED);
	}
	if (r < 0)
		return r;
	r = io_uring_register_files(&u->ring, &fd, 1);
	if (r < 0)
		io_uring_queue_exit(&u->ring);
	return r;
}

int blkio_uring(struct image *img, unsigned depth, struct blkio **ret)
{
	struct uring *u = sys_zalloc(sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->base.ops = &uring_ops;
	u->img = img;
	r = make_ring(u, depth);
	if (r < 0) {
		free(u);
		return r;
	}
	*ret = &u->base;
	return 0;
}
