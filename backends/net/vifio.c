/* backends/net/vifio.c - a thread for each queue: wait for the guest, the TAP, a timer;
 * move frames both ways.
 *
 * While the guest's buffers are too few the TAP isn't read; it queues and then
 * drops by itself.  Frames that waited 10 s are dropped, after 60 s of waiting
 * the link goes down until the guest gives buffers again.
 */
#include "backends/net/vifio.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

#include "daemons/clock.h"
#include "daemons/log.h"
#include "daemons/sys.h"

#define BATCH	  32u
#define ROUNDS	  16 /* of batches, before descriptors are looked at again */
#define MS	  1000000ull
#define MAKE_DO	  (20 * MS)
#define DRAIN	  (10000 * MS)
#define STALL	  (60000 * MS)
#define SILENT_MS 10 /* a guest that doesn't tell is looked at so often */

struct worker {
	struct netq q;
	struct vifio *io;
	struct hvc_port *tx_port, *rx_port; /* rx_port: NULL if there is one for both */
	void *tx_page, *rx_page;
	struct vifio_queue refs;
	int stop_fd;
	bool started;
	pthread_t thread;
};

struct vifio {
	struct netdev dev;
	bool stop; /* atomic */
	uint32_t n;
	struct worker w[NETPORT_QUEUES_MAX];
};

void netq_break(struct netq *q, const char *why)
{
	const char *none = NULL;

	if (__atomic_compare_exchange_n(&q->dev->broken, &none, why, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		netport_carrier(q->tap, false);
}

static void flowing(struct netq *q)
{
	q->short_ns = q->drain_ns = 0;
	q->make_do = false;
	if (q->stalled) {
		q->stalled = false;
		if (__atomic_sub_fetch(&q->dev->stalled, 1, __ATOMIC_RELAXED) == q->dev->queues - 1)
			netport_carrier(q->tap, true);
	}
}

/* Frames wait and the guest's buffers don't suffice. */
static void wait_short(struct netq *q, uint64_t now)
{
	if (!q->short_ns)
		q->short_ns = q->drain_ns = now;
	q->make_do = now - q->short_ns >= MAKE_DO;
	if (now - q->drain_ns >= DRAIN) {
		q->drain_ns = now;
		netrx_drain(q);
	}
	if (!q->stalled && now - q->short_ns >= STALL) {
		q->stalled = true;
		if (__atomic_add_fetch(&q->dev->stalled, 1, __ATOMIC_RELAXED) == q->dev->queues)
			netport_carrier(q->tap, false);
	}
}

static int timeout_ms(const struct netq *q, uint64_t now)
{
	int ms = -1;

	if (q->short_ns)
		ms = !q->dev->rx_notify ? SILENT_MS : q->make_do ? 1000 : 20;
	if (q->tx_wake_ns) {
		uint64_t left = q->tx_wake_ns > now ? (q->tx_wake_ns - now) / MS + 1 : 0;

		if (ms < 0 || left < (uint64_t)ms)
			ms = left < 60000 ? (int)left : 60000;
	}
	return ms;
}

/* Both directions until nothing moves; true: more is to be done. */
static bool move(struct worker *w, bool *readable)
{
	struct netq *q = &w->q;
	bool busy = true;

	for (int i = 0; i < ROUNDS && busy; i++) {
		unsigned moved = 0;

		busy = nettx_serve(q, BATCH, clock_mono_ns()) > 0;
		if (*readable) {
			enum netrx_why why = netrx_serve(q, BATCH, &moved);

			if (moved)
				flowing(q);
			if (why == NETRX_SHORT)
				wait_short(q, clock_mono_ns());
			*readable = why == NETRX_MORE;
		}
		busy |= moved > 0;
	}
	if (busy || __atomic_load_n(&q->dev->broken, __ATOMIC_RELAXED))
		return busy;
	if (!q->tx_wake_ns && sring_rest(&q->tx, 1))
		return true;
	if (q->short_ns) {
		uint32_t few = netrx_short(q);

		if (few == 0 || sring_rest(&q->rx, few)) {
			*readable = true;
			return true;
		}
	}
	return false;
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct netq *q = &w->q;
	bool readable = true;

	while (!__atomic_load_n(&w->io->stop, __ATOMIC_RELAXED)) {
		bool broken = __atomic_load_n(&q->dev->broken, __ATOMIC_RELAXED) != NULL;
		bool more = !broken && move(w, &readable);
		bool deaf =
			q->short_ns != 0 || __atomic_load_n(&q->dev->tap_gone, __ATOMIC_RELAXED);
		struct pollfd p[4] = {
			{ .fd = w->stop_fd, .events = POLLIN },
			{ .fd = broken ? -1 : hvc_port_fd(w->tx_port), .events = POLLIN },
			{ .fd = broken || deaf ? -1 : q->tap, .events = POLLIN },
			{ .fd = broken || !w->rx_port ? -1 : hvc_port_fd(w->rx_port),
			  .events = POLLIN },
		};
		int n = poll(p, 4, more ? 0 : timeout_ms(q, clock_mono_ns()));

		if (n < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			hvc_port_ack(w->tx_port);
		if (p[3].revents)
			hvc_port_ack(w->rx_port);
		readable |= p[2].revents != 0 || q->short_ns != 0;
	}
	return NULL;
}

/* ---- start and end ---- */

static void release(struct worker *w, bool leave)
{
	netrx_unmap(&w->q);
	if (w->tx_page)
		hvc_grant_unmap(w->q.guest, w->refs.tx_ref, true, w->tx_page);
	if (w->rx_page)
		hvc_grant_unmap(w->q.guest, w->refs.rx_ref, true, w->rx_page);
	if (w->tx_port)
		w->tx_port = leave ? hvc_port_leave(w->tx_port) : hvc_port_close(w->tx_port);
	if (w->rx_port)
		w->rx_port = leave ? hvc_port_leave(w->rx_port) : hvc_port_close(w->rx_port);
	if (w->q.guest)
		w->q.guest = hvc_guest_close(w->q.guest);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
}

struct vifio *vifio_stop(struct vifio *io, bool leave)
{
	uint64_t one = 1;

	if (!io)
		return NULL;
	__atomic_store_n(&io->stop, true, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < io->n; i++)
		if (io->w[i].started) {
			(void)!write(io->w[i].stop_fd, &one, sizeof(one)); /* has room */
			pthread_join(io->w[i].thread, NULL);
		}
	for (uint32_t i = 0; i < io->n; i++)
		release(&io->w[i], leave);
	credit_fini(&io->dev.credit);
	mcast_fini(&io->dev.mcast);
	free(io);
	return NULL;
}

static int set_up(struct hvc *hv, uint16_t domid, const struct vifio_conf *c, struct worker *w)
{
	int r = w->stop_fd = sys_eventfd();

	if (r >= 0)
		r = hvc_guest_open(hv, domid, &w->q.guest);
	if (r >= 0)
		r = hvc_grant_map(w->q.guest, w->refs.tx_ref, true, &w->tx_page);
	if (r >= 0)
		r = hvc_grant_map(w->q.guest, w->refs.rx_ref, true, &w->rx_page);
	if (r >= 0)
		r = hvc_port_bind(hv, domid, w->refs.tx_port, &w->tx_port);
	if (r >= 0 && w->refs.rx_port != w->refs.tx_port)
		r = hvc_port_bind(hv, domid, w->refs.rx_port, &w->rx_port);
	if (r < 0)
		return r;
	w->q.tx_port = w->tx_port;
	w->q.rx_port = w->rx_port ? w->rx_port : w->tx_port;
	sring_init(&w->q.tx, w->tx_page, sizeof(struct netif_tx_request), c->resume);
	sring_init(&w->q.rx, w->rx_page, sizeof(struct netif_rx_request), c->resume);
	return 0;
}

static int start_thread(struct worker *w, uint32_t devid, uint32_t index)
{
	sigset_t all, old;
	char name[16];
	int r;

	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		return r;
	w->started = true;
	snprintf(name, sizeof(name), "vif%u-q%u", devid % 10000, index % 100);
	(void)pthread_setname_np(w->thread, name); /* only for people */
	return 0;
}

int vifio_start(struct hvc *hv, uint16_t domid, const struct vifio_conf *c, struct vifio **ret)
{
	struct vifio *io = sys_zalloc(sizeof(*io));
	int r = 0;

	if (!io)
		return -ENOMEM;
	io->dev = (struct netdev){ .sg = c->sg,
				   .gso4 = c->gso4,
				   .gso6 = c->gso6,
				   .csum4 = c->csum4,
				   .csum6 = c->csum6,
				   .rx_notify = c->rx_notify,
				   .queues = c->queues };
	credit_init(&io->dev.credit);
	credit_set(&io->dev.credit, &c->rate, clock_mono_ns());
	mcast_init(&io->dev.mcast);
	/* A predecessor's list is lost: the guest gets more than it asked for. */
	mcast_filter(&io->dev.mcast, c->mcast && !c->resume);
	for (uint32_t i = 0; i < c->queues && r == 0; i++) {
		struct worker *w = &io->w[io->n++];

		w->io = io;
		w->q.dev = &io->dev;
		w->q.tap = c->port->fd[i];
		w->refs = c->queue[i];
		r = set_up(hv, domid, c, w);
	}
	if (r == 0) {
		netport_set(c->port, c->queues, c->csum4, c->sg && c->gso4, c->sg && c->gso6);
		netport_carrier(c->port->fd[0], true);
	}
	for (uint32_t i = 0; i < c->queues && r == 0; i++) {
		if (!c->resume)
			netrx_drain(&io->w[i].q); /* what came before there was a guest */
		r = start_thread(&io->w[i], c->devid, i);
		if (r == 0 && c->resume) { /* it may have died before it told */
			hvc_port_notify(io->w[i].q.tx_port);
			hvc_port_notify(io->w[i].q.rx_port);
		}
	}
	if (r < 0)
		(void)vifio_stop(io, c->resume);
	else
		*ret = io;
	return r;
}

void vifio_rate(struct vifio *io, const struct credit_rate *rate)
{
	credit_set(&io->dev.credit, rate, clock_mono_ns());
}

void vifio_mcast(struct vifio *io, bool filter)
{
	mcast_filter(&io->dev.mcast, filter);
}

const char *vifio_broken(const struct vifio *io)
{
	if (__atomic_load_n(&io->dev.tap_gone, __ATOMIC_RELAXED))
		return "the host's interface is gone";
	return __atomic_load_n(&io->dev.broken, __ATOMIC_RELAXED);
}

void vifio_counts(const struct vifio *io, struct net_counts *ret)
{
	uint64_t sum[sizeof(*ret) / sizeof(uint64_t)] = { 0 };

	for (uint32_t i = 0; i < io->n; i++)
		for (size_t k = 0; k < sizeof(sum) / sizeof(sum[0]); k++)
			sum[k] += __atomic_load_n((const uint64_t *)&io->w[i].q.counts + k,
						  __ATOMIC_RELAXED);
	*ret = *(struct net_counts *)sum;
}
