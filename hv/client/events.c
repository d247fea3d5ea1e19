/* hv/client/events.c - domain events that survive hvd.
 *
 * The user polls one epoll descriptor for the handle's whole life; behind it
 * are the current subscription and, while there is none, a timer that tries
 * again.  A RESYNC is told only after hvd has confirmed the new subscription,
 * so nothing can happen unseen between the user's look and the next event.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "daemons/listen.h"
#include "hv/client/bundled.h"

#define RETRY_NS 200000000l

static void retry_later(struct bundled *b)
{
	struct itimerspec in = { .it_value.tv_nsec = RETRY_NS };

	if (b->ev_sock >= 0)
		close(b->ev_sock); /* leaves the epoll set with it */
	b->ev_sock = -1;
	b->resync_due = true;
	(void)timerfd_settime(b->timer_fd, 0, &in, NULL); /* its arguments are constants */
}

static int poll_add(struct bundled *b, int fd)
{
	struct epoll_event e = { .events = EPOLLIN };

	return epoll_ctl(b->ep_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static void subscribe(struct bundled *b)
{
	struct hv_msg m = { .type = HV_SUBSCRIBE };
	int r = connect_unix(b->path, SOCK_SEQPACKET);

	if (r >= 0) {
		b->ev_sock = r;
		r = fcntl(r, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	}
	if (r >= 0)
		r = hv_link_send(b->ev_sock, &m, NULL, 0);
	if (r >= 0)
		r = poll_add(b, b->ev_sock);
	if (r < 0)
		retry_later(b);
}

int bundled_event_fd(struct hvc *h)
{
	struct bundled *b = (struct bundled *)h;
	int r;

	if (b->ep_fd >= 0)
		return b->ep_fd;
	b->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (b->timer_fd < 0)
		return -errno;
	b->ep_fd = epoll_create1(EPOLL_CLOEXEC);
	r = b->ep_fd < 0 ? -errno : poll_add(b, b->timer_fd);
	if (r < 0) {
		int fds[] = { b->timer_fd, b->ep_fd };

		fdpass_close(fds, 2);
		b->timer_fd = b->ep_fd = -1;
		return r;
	}
	subscribe(b);
	return b->ep_fd;
}

/* True if the timer had run out and there is a subscription to read now. */
static bool try_again(struct bundled *b)
{
	uint64_t n;

	if (read(b->timer_fd, &n, sizeof(n)) != sizeof(n))
		return false;
	subscribe(b);
	return b->ev_sock >= 0;
}

int bundled_event_next(struct hvc *h, struct hvc_event *ret)
{
	struct bundled *b = (struct bundled *)h;
	int fds[FDPASS_MAX], r;
	size_t nfds;

	r = bundled_event_fd(h);
	if (r < 0)
		return r;
	if (b->ev_sock < 0 && !try_again(b))
		return 0;
	while (1) {
		nfds = 0;
		r = hv_link_recv(b->ev_sock, &b->buf, &b->reply, fds, &nfds);
		if (r == -EAGAIN)
			return 0;
		if (r <= 0) {
			retry_later(b);
			return 0;
		}
		fdpass_close(fds, nfds);
		if (b->reply.type == HV_EVENT) {
			*ret = (struct hvc_event){ .kind = b->reply.u.EVENT.kind,
						   .domid = b->reply.u.EVENT.domid,
						   .reason = b->reply.u.EVENT.reason };
			return 1;
		}
		if (b->reply.type == HV_OK && b->resync_due) {
			b->resync_due = false;
			*ret = (struct hvc_event){ .kind = HVC_EV_RESYNC };
			return 1;
		}
	}
}
