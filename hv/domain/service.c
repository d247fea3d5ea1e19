/* hv/domain/service.c - descriptors that wake a domain: dom0's kicks, timers.
 *
 * Each is watched twice with EPOLLEXCLUSIVE: first by its vCPU's own epoll set,
 * on which that vCPU's thread waits while it idles, then by the service
 * thread's.  The kernel wakes the first set somebody waits on: an idle vCPU is
 * woken itself, and only for a busy one the service thread runs (it marks the
 * event and kicks the vCPU out of guest code).  Order of registration matters.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemons/sys.h"
#include "hv/domain/evtchn.h"
#include "hv/domain/machine.h"
#include "hv/domain/service.h"

#define CLOCK_PERIOD_MS 1000
#define BATCH		16

static int watch(int epfd, int fd, uint64_t tag, unsigned flags)
{
	struct epoll_event ev = { .events = EPOLLIN | flags, .data.u64 = tag };

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int service_watch(struct mvcpu *v, int fd, uint32_t port)
{
	uint64_t tag = fd == v->timerfd ? SERVICE_TIMER(v->id) : port;
	int r;

	r = watch(v->epfd, fd, tag, EPOLLEXCLUSIVE);
	if (r < 0)
		return r;
	r = watch(v->d->svc.epfd, fd, tag, EPOLLEXCLUSIVE);
	if (r < 0)
		(void)epoll_ctl(v->epfd, EPOLL_CTL_DEL, fd, NULL); /* was just added */
	return r;
}

void service_unwatch(struct mvcpu *v, int fd)
{
	(void)epoll_ctl(v->epfd, EPOLL_CTL_DEL, fd, NULL);	  /* ENOENT is as good */
	(void)epoll_ctl(v->d->svc.epfd, EPOLL_CTL_DEL, fd, NULL); /* likewise */
}

void service_event(struct domain *d, uint64_t tag)
{
	uint64_t n;

	if (tag == SERVICE_WAKE)
		return; /* the waiter's own descriptor: it drains it */
	if (tag >= SERVICE_TIMER(0)) {
		struct mvcpu *v = &d->vcpu[tag - SERVICE_TIMER(0)];

		if (read(v->timerfd, &n, sizeof(n)) == sizeof(n))
			timer_expire(v);
	} else {
		evt_kicked(d, (uint32_t)tag);
	}
}

/* Running vCPUs take the new clock from their own threads. */
static void new_clock(struct domain *d)
{
	gclock_tick(&d->clock);
	wallclock_publish(d);
	for (unsigned i = 0; i < d->max_vcpus; i++)
		if (atomic_load(&d->vcpu[i].up) && atomic_load(&d->vcpu[i].mode) == MODE_BUSY)
			vcpu_request(&d->vcpu[i], REQ_TIME);
}

static void *service_main(void *arg)
{
	struct domain *d = arg;
	struct epoll_event ev[BATCH];

	for (uint64_t next = guest_now(d);;) {
		uint64_t now = guest_now(d);
		int left, n;

		if (now >= next) {
			new_clock(d);
			next = now + CLOCK_PERIOD_MS * 1000000ull;
		}
		left = (int)((next - now) / 1000000) + 1;
		n = epoll_wait(d->svc.epfd, ev, BATCH,
			       left > CLOCK_PERIOD_MS ? CLOCK_PERIOD_MS : left);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == SERVICE_WAKE)
				return NULL;
			service_event(d, ev[i].data.u64);
		}
	}
}

int service_init(struct domain *d)
{
	int r;

	d->svc.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (d->svc.epfd < 0)
		return -errno;
	r = d->svc.quitfd = sys_eventfd();
	if (r < 0)
		return r;
	return watch(d->svc.epfd, d->svc.quitfd, SERVICE_WAKE, 0);
}

int service_start(struct domain *d)
{
	int r = pthread_create(&d->svc.thread, NULL, service_main, d);

	d->svc.started = !r;
	return -r;
}

void service_stop(struct domain *d)
{
	if (d->svc.started) {
		(void)eventfd_write(d->svc.quitfd, 1);	 /* a fresh counter takes 1 */
		(void)pthread_join(d->svc.thread, NULL); /* ours, joined once */
		d->svc.started = false;
	}
}

void service_fini(struct domain *d)
{
	service_stop(d);
	if (d->svc.epfd >= 0)
		close(d->svc.epfd);
	if (d->svc.quitfd >= 0)
		close(d->svc.quitfd);
	d->svc.epfd = d->svc.quitfd = -1;
}
