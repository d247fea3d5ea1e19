/* backends/block/threads.c - operations by threads that block, for hosts without
 * io_uring, and for the few that io_uring can't do.
 *
 * Threads start when there is more to do than there are, and end with the blkio.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/block/blkio.h"
#include "daemons/sys.h"

#define THREADS_MAX 16u

struct pool {
	struct blkio base;
	struct image *img;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct io_op *todo, **todo_end, *done;
	unsigned waiting, idle; /* operations not begun; threads with nothing to do */
	bool end;
	int fd; /* readable when something is done */
	unsigned threads, max;
	pthread_t thread[THREADS_MAX];
};

static void finish(struct pool *p, struct io_op *op)
{
	uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&p->lock);
	first = !p->done;
	op->next = p->done;
	p->done = op;
	pthread_mutex_unlock(&p->lock);
	if (first)
		(void)!write(p->fd, &one, sizeof(one)); /* an eventfd with room */
}

static void *work(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct io_op *op = p->todo;

		if (!op && p->end)
			break;
		if (!op) {
			p->idle++;
			pthread_cond_wait(&p->more, &p->lock);
			p->idle--;
			continue;
		}
		p->todo = op->next;
		if (!p->todo)
			p->todo_end = &p->todo;
		p->waiting--;
		pthread_mutex_unlock(&p->lock);
		op->res = image_do(p->img, op->kind, op->iov, (int)op->n, op->off, op->len);
		finish(p, op);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int add_thread(struct pool *p)
{
	sigset_t all, old;
	int r;

	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&p->thread[p->threads], NULL, work, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		p->threads++;
	return r;
}

static void pool_queue(struct blkio *b, struct io_op *op)
{
	struct pool *p = (struct pool *)b;
	bool few;

	op->next = NULL;
	pthread_mutex_lock(&p->lock);
	*p->todo_end = op;
	p->todo_end = &op->next;
	p->waiting++;
	few = p->waiting > p->idle;
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
	if (few && p->threads < p->max)
		(void)add_thread(p); /* none to be had: the first one does it all */
}

static struct io_op *pool_reap(struct blkio *b)
{
	struct pool *p = (struct pool *)b;
	struct io_op *done;
	uint64_t n;

	pthread_mutex_lock(&p->lock);
	done = p->done;
	p->done = NULL;
	if (done)
		(void)!read(p->fd, &n, sizeof(n)); /* who comes after this writes again */
	pthread_mutex_unlock(&p->lock);
	return done;
}

static void pool_wait(struct blkio *b, struct io_watch *w, size_t n)
{
	struct pool *p = (struct pool *)b;
	struct pollfd fds[BLKIO_WATCHES + 1];

	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = w[i].fd, .events = POLLIN };
	fds[n] = (struct pollfd){ .fd = p->fd, .events = POLLIN };
	if (poll(fds, n + 1, -1) < 0)
		return; /* EINTR, or no memory: the caller comes again */
	for (size_t i = 0; i < n; i++)
		w[i].ready = fds[i].revents != 0;
}

static struct blkio *pool_close(struct blkio *b)
{
	struct pool *p = (struct pool *)b;

	pthread_mutex_lock(&p->lock);
	p->end = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	close(p->fd);
	free(p);
	return NULL;
}

static const struct blkio_ops pool_ops = {
	.name = "threads",
	.close = pool_close,
	.queue = pool_queue,
	.reap = pool_reap,
	.wait = pool_wait,
};

int blkio_threads_fd(const struct blkio *b)
{
	return ((const struct pool *)b)->fd;
}

int blkio_threads(struct image *img, unsigned depth, struct blkio **ret)
{
	struct pool *p = sys_zalloc(sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->base.ops = &pool_ops;
	p->img = img;
	p->todo_end = &p->todo;
	p->max = depth < THREADS_MAX ? depth : THREADS_MAX;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	r = p->fd = sys_eventfd();
	if (r >= 0)
		r = add_thread(p); /* one at least, so that nothing queued waits for ever */
	if (r < 0) {
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return r;
	}
	*ret = &p->base;
	return 0;
}
