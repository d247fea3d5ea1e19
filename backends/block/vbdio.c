/* backends/block/vbdio.c - wait for the guest's event, for I/O that ends, for a limit's
 * time; serve; tell the guest. */
#include "backends/block/vbdio.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "daemons/clock.h"
#include "daemons/log.h"
#include "daemons/sys.h"

#define SEC 1000000000u

struct queue {
	struct serve *serve;
	struct blkio *blkio;
	struct hvc_guest *guest;
	struct hvc_port *port;
	void *page[RING_PAGES_MAX]; /* NULL: not mapped */
	uint32_t ring_ref[RING_PAGES_MAX];
	int kick_fd, timer_fd;
	uint64_t timer_ns;  /* as set; 0: not */
	bool stop, running; /* stop is atomic */
	pthread_t thread;
};

struct vbdio {
	unsigned queues;
	struct queue q[VBDIO_QUEUES];
};

static void set_timer(struct queue *q, uint64_t at_ns)
{
	struct itimerspec t = { 0 };

	if (at_ns == q->timer_ns)
		return;
	if (at_ns != UINT64_MAX) {
		t.it_value.tv_sec = (time_t)(at_ns / SEC);
		t.it_value.tv_nsec = (long)(at_ns % SEC);
	}
	(void)timerfd_settime(q->timer_fd, TFD_TIMER_ABSTIME, &t, NULL); /* ours, valid */
	q->timer_ns = at_ns;
}

static void drain_fd(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof(n)); /* EAGAIN: nothing there */
}

/* All that can be done now.  When to look again. */
static uint64_t serve_all(struct queue *q)
{
	struct serve_turn t;
	bool ending;

	do {
		ending = __atomic_load_n(&q->stop, __ATOMIC_RELAXED);
		serve_turn(q->serve, clock_mono_ns(), ending, &t);
		if (t.notify)
			hvc_port_notify(q->port);
	} while (t.busy || (!ending && serve_rest(q->serve)));
	return t.wake_ns;
}

static void *run(void *arg)
{
	struct queue *q = arg;
	struct io_watch w[3] = { { .fd = q->kick_fd },
				 { .fd = q->timer_fd },
				 { .fd = hvc_port_fd(q->port) } };
	bool told = false;

	hvc_port_ack(q->port);
	for (;;) {
		set_timer(q, serve_all(q));
		if (__atomic_load_n(&q->stop, __ATOMIC_RELAXED) && !serve_in_flight(q->serve))
			break;
		if (serve_halted(q->serve) && !told) {
			(void)log_warn(0, "the guest's ring can't be: it is not served any more");
			told = true;
		}
		/* A halted ring has nothing to say any more. */
		blkio_wait(q->blkio, w, told ? 2 : 3);
		if (w[0].ready)
			drain_fd(q->kick_fd);
		if (w[1].ready) {
			drain_fd(q->timer_fd);
			q->timer_ns = 0;
		}
		if (!told && w[2].ready)
			hvc_port_ack(q->port);
	}
	return NULL;
}

static int start_thread(struct queue *q, const char *name, unsigned n)
{
	char full[16];
	sigset_t all, old;
	int r;

	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&q->thread, NULL, run, q);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		return r;
	q->running = true;
	snprintf(full, sizeof(full), "%.11s.%u", name, n % 10);
	(void)pthread_setname_np(q->thread, full); /* only for people */
	return 0;
}

static void end_queue(struct queue *q, bool leave)
{
	uint64_t one = 1;

	if (q->running) {
		__atomic_store_n(&q->stop, true, __ATOMIC_RELAXED);
		(void)!write(q->kick_fd, &one, sizeof(one)); /* an eventfd with room */
		pthread_join(q->thread, NULL);
	}
	q->serve = serve_free(q->serve, leave);
	q->blkio = blkio_close(q->blkio);
	for (unsigned i = 0; i < RING_PAGES_MAX; i++)
		if (q->page[i])
			hvc_grant_unmap(q->guest, q->ring_ref[i], true, q->page[i]);
	if (q->port)
		q->port = leave ? hvc_port_leave(q->port) : hvc_port_close(q->port);
	if (q->guest)
		q->guest = hvc_guest_close(q->guest);
	if (q->kick_fd >= 0)
		close(q->kick_fd);
	if (q->timer_fd >= 0)
		close(q->timer_fd);
}

static int map_ring(struct queue *q, const struct vbdio_conf *c, unsigned n, struct blk_ring *ret)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < 1u << c->order; i++) {
		q->ring_ref[i] = c->queue[n].ring_ref[i];
		r = hvc_grant_map(q->guest, q->ring_ref[i], true, &q->page[i]);
	}
	if (r == 0)
		ring_init(ret, q->page, c->order, c->abi);
	return r;
}

static int start_queue(struct hvc *hv, uint16_t domid, const struct vbdio_conf *c, unsigned n,
		       struct queue *q)
{
	struct serve_conf s = { .limit = c->limit,
				.journal = c->journal ? &c->journal[n] : NULL,
				.ring_ref = c->queue[n].ring_ref[0],
				.port = c->queue[n].port,
				.geom = c->geom,
				.persistent = c->persistent,
				.resume = c->resume };
	int r;

	r = q->kick_fd = sys_eventfd();
	if (r >= 0) {
		r = q->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		r = r < 0 ? -errno : 0;
	}
	if (r >= 0)
		r = hvc_guest_open(hv, domid, &q->guest);
	if (r >= 0)
		r = map_ring(q, c, n, &s.ring);
	if (r >= 0)
		r = hvc_port_bind(hv, domid, c->queue[n].port, &q->port);
	if (r >= 0)
		r = blkio_open(c->image, s.ring.slots, c->kind, &q->blkio);
	if (r >= 0) {
		s.guest = q->guest;
		s.io = q->blkio;
		r = serve_new(&s, clock_mono_ns(), &q->serve);
	}
	if (r >= 0)
		r = start_thread(q, c->name, n);
	return r;
}

int vbdio_start(struct hvc *hv, uint16_t domid, const struct vbdio_conf *c, struct vbdio **ret)
{
	struct vbdio *io = sys_zalloc(sizeof(*io));
	int r = 0;

	if (!io)
		return -ENOMEM;
	for (unsigned i = 0; i < VBDIO_QUEUES; i++)
		io->q[i].kick_fd = io->q[i].timer_fd = -1;
	for (unsigned i = 0; r >= 0 && i < c->queues; i++) {
		io->queues = i + 1;
		r = start_queue(hv, domid, c, i, &io->q[i]);
	}
	if (r < 0) {
		(void)vbdio_stop(io, c->resume);
		return r;
	}
	/* A predecessor may have answered and died before it told. */
	for (unsigned i = 0; c->resume && i < c->queues; i++)
		hvc_port_notify(io->q[i].port);
	*ret = io;
	return 0;
}

struct vbdio *vbdio_stop(struct vbdio *io, bool leave)
{
	for (unsigned i = 0; io && i < io->queues; i++)
		end_queue(&io->q[i], leave);
	free(io);
	return NULL;
}

void vbdio_resize(struct vbdio *io, uint64_t sectors)
{
	for (unsigned i = 0; i < io->queues; i++)
		serve_resize(io->q[i].serve, sectors);
}

void vbdio_kick(struct vbdio *io)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < io->queues; i++)
		(void)!write(io->q[i].kick_fd, &one, sizeof(one)); /* full: it is awake */
}

void vbdio_stats(const struct vbdio *io, struct vbd_stats *ret)
{
	struct vbd_stats sum = { 0 };

	for (unsigned i = 0; i < io->queues; i++)
		serve_stats(io->q[i].serve, &sum);
	*ret = sum;
}

const char *vbdio_engine(const struct vbdio *io)
{
	return blkio_name(io->q[0].blkio);
}
