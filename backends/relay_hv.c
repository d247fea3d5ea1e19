/* backends/relay_hv.c - hvd's datagrams, with their descriptors, for one guest.
 *
 * What may pass up is the table below, for the backend's own guest and without
 * descriptors.  Everything from hvd passes down as it is.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/relay.h"
#include "daemons/hv_link.h"
#include "daemons/listen.h"
#include "daemons/sys.h"

#define SORT_HV	 1u
#define UP_MAX	 128u  /* the largest request that may pass is 34 bytes */
#define DOWN_MAX 2048u /* the largest answer to one is an ERROR's text */

struct relay_hv {
	struct relay base;
	int down, up; /* the backend's socket, hvd's */
	struct event *down_ev, *up_ev;
};

static uint16_t domid_of(const struct hv_msg *m)
{
	switch (m->type) {
	case HV_GUEST_OPEN: return m->u.GUEST_OPEN.domid;
	case HV_PORT_BIND: return m->u.PORT_BIND.domid;
	case HV_PORT_CLOSE: return m->u.PORT_CLOSE.domid;
	case HV_DOMINFO: return m->u.DOMINFO.domid;
	default: return 0; /* dom0: nobody's */
	}
}

static void hv_free(struct relay *base)
{
	struct relay_hv *r = (struct relay_hv *)base;

	relay_unlink(base);
	if (r->down_ev)
		event_free(r->down_ev);
	if (r->up_ev)
		event_free(r->up_ev);
	fdpass_close((int[]){ r->down, r->up }, 2);
	free(r);
}

/* 0: go on; else the connection has had its day. */
static int pass_up(struct relay_hv *r)
{
	static const char no[] = "a backend may not ask this of hvd, or not for another guest";
	const struct relay_host *h = r->base.host;
	uint8_t buf[UP_MAX];
	int fds[FDPASS_MAX];
	struct hv_msg m;
	char what[64];
	size_t nfds = 0;
	ssize_t n;

	n = fdpass_recv(r->down, buf, sizeof(buf), fds, &nfds);
	if (n == -EAGAIN)
		return 0;
	if (n > 0)
		fdpass_close(fds, nfds); /* no request of its brings any */
	if (n <= 0 || hv_msg_decode(buf, (size_t)n, &m) < 0)
		return -ECONNRESET;
	if (nfds == 0 && h->domid != 0 && domid_of(&m) == h->domid)
		return fdpass_send(r->up, buf, (size_t)n, NULL, 0);
	snprintf(what, sizeof(what), "request %s of hvd", hv_msg_name(m.type));
	h->refused(h->arg, what);
	return hv_link_send_error(r->down, m.seq, -EPERM, no);
}

static int pass_down(struct relay_hv *r)
{
	uint8_t buf[DOWN_MAX];
	int fds[FDPASS_MAX];
	size_t nfds = 0;
	ssize_t n;
	int e;

	n = fdpass_recv(r->up, buf, sizeof(buf), fds, &nfds);
	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	e = fdpass_send(r->down, buf, (size_t)n, fds, nfds); /* who does not read is cut off */
	fdpass_close(fds, nfds);
	return e;
}

static void on_down(evutil_socket_t fd, short what, void *arg)
{
	struct relay_hv *r = arg;

	if (pass_up(r) < 0)
		hv_free(&r->base);
}

static void on_up(evutil_socket_t fd, short what, void *arg)
{
	struct relay_hv *r = arg;

	if (pass_down(r) < 0)
		hv_free(&r->base);
}

int relay_hv_add(struct relay_host *h, int fd)
{
	struct relay_hv *r = sys_zalloc(sizeof(*r));
	int e = r ? relay_link(h, &r->base, SORT_HV, hv_free) : -ENOMEM;

	if (e < 0) {
		free(r);
		close(fd);
		return e;
	}
	r->down = fd;
	r->up = e = connect_unix(h->hv_path, SOCK_SEQPACKET | SOCK_NONBLOCK);
	if (e >= 0) {
		r->down_ev = event_new(h->base, r->down, EV_READ | EV_PERSIST, on_down, r);
		r->up_ev = event_new(h->base, r->up, EV_READ | EV_PERSIST, on_up, r);
		if (!r->down_ev || !r->up_ev || event_add(r->down_ev, NULL) < 0 ||
		    event_add(r->up_ev, NULL) < 0)
			e = -ENOMEM;
	}
	if (e < 0) {
		hv_free(&r->base);
		return e;
	}
	return 0;
}
