/* backends/block/vbdio.c - wait for the guest's event, serve, tell it. */
#include "backends/block/vbdio.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemons/log.h"
#include "daemons/sys.h"

struct vbdio {
	struct serve serve;
	struct hvc_guest *guest;
	struct hvc_port *port;
	void *page; /* the ring's; NULL: not mapped */
	uint32_t ring_ref;
	int stop_fd;
	bool stop; /* atomic */
	pthread_t thread;
};

static void serve_all(struct vbdio *io)
{
	bool notify;
	int r;

	do {
		while (!__atomic_load_n(&io->stop, __ATOMIC_RELAXED) &&
		       (r = serve_one(&io->serve, &notify)) > 0)
			if (notify)
				hvc_port_notify(io->port);
	} while (!__atomic_load_n(&io->stop, __ATOMIC_RELAXED) && ring_rest(&io->serve.ring));
}

static void *run(void *arg)
{
	struct vbdio *io = arg;
	struct pollfd p[2] = { { .fd = io->stop_fd, .events = POLLIN },
			       { .fd = hvc_port_fd(io->port), .events = POLLIN } };
	bool told = false;

	while (!__atomic_load_n(&io->stop, __ATOMIC_RELAXED)) {
		hvc_port_ack(io->port);
		serve_all(io);
		if (io->serve.ring.halted && !told) {
			(void)log_warn(0, "the guest's ring can't be: it is not served any more");
			told = true;
		}
		/* A halted ring has nothing to wait for but the end. */
		if (poll(p, told ? 1 : 2, -1) < 0 && errno != EINTR)
			break;
	}
	return NULL;
}

static struct vbdio *release(struct vbdio *io, bool leave)
{
	if (io->page)
		hvc_grant_unmap(io->guest, io->ring_ref, true, io->page);
	io->port = leave ? hvc_port_leave(io->port) : hvc_port_close(io->port);
	io->guest = hvc_guest_close(io->guest);
	if (io->stop_fd >= 0)
		close(io->stop_fd);
	free(io);
	return NULL;
}

static int start_thread(struct vbdio *io, const char *name)
{
	sigset_t all, old;
	int r;

	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&io->thread, NULL, run, io);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		(void)pthread_setname_np(io->thread, name); /* only for people */
	return r;
}

int vbdio_start(struct hvc *hv, uint16_t domid, const struct vbdio_conf *c, struct vbdio **ret)
{
	struct vbdio *io = sys_zalloc(sizeof(*io));
	int r;

	if (!io)
		return -ENOMEM;
	io->ring_ref = c->ring_ref;
	r = io->stop_fd = sys_eventfd();
	if (r >= 0)
		r = hvc_guest_open(hv, domid, &io->guest);
	if (r >= 0)
		r = hvc_grant_map(io->guest, c->ring_ref, true, &io->page);
	if (r >= 0)
		r = hvc_port_bind(hv, domid, c->port, &io->port);
	if (r >= 0) {
		io->serve.guest = io->guest;
		io->serve.image = c->image;
		io->serve.geom = c->geom;
		ring_init(&io->serve.ring, io->page, c->abi, c->resume);
		r = start_thread(io, c->name);
	}
	if (r < 0) {
		(void)release(io, c->resume);
		return r;
	}
	/* A predecessor may have answered and died before it told. */
	if (c->resume)
		hvc_port_notify(io->port);
	*ret = io;
	return 0;
}

struct vbdio *vbdio_stop(struct vbdio *io, bool leave)
{
	uint64_t one = 1;

	if (!io)
		return NULL;
	__atomic_store_n(&io->stop, true, __ATOMIC_RELAXED);
	(void)!write(io->stop_fd, &one, sizeof(one)); /* an eventfd with room */
	pthread_join(io->thread, NULL);
	return release(io, leave);
}

void vbdio_resize(struct vbdio *io, uint64_t sectors)
{
	serve_resize(&io->serve, sectors);
}
