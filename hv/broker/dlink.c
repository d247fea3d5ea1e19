/* hv/broker/dlink.c - requests to one domain process and their answers.
 *
 * The process is hostile territory: it may answer late, never, twice, or with
 * anything at all.  What it sends is decoded, matched with what was asked, and
 * otherwise ends it; nothing it does makes hvd wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemons/clock.h"
#include "daemons/sys.h"
#include "hv/broker/hvd.h"

#define TICK_MS	      250
#define EOF_GRACE_NS  1000000000ull /* between hanging up and being dead */
#define MSGS_PER_WAKE 8

struct call {
	struct call *next; /* in the order they were made */
	uint32_t seq;
	uint64_t deadline_ns;
	struct dlink_req req;
};

static void arm_tick(struct dom *d)
{
	struct timeval tv = { .tv_usec = TICK_MS * 1000 };

	if (!evtimer_pending(d->tick_ev, NULL))
		evtimer_add(d->tick_ev, &tv);
}

int dlink_call(struct dom *d, struct hv_msg *m, const int *fds, size_t nfds,
	       const struct dlink_req *req)
{
	struct call *c, **at = &d->calls;
	int r;

	if (d->sock < 0)
		return -ESRCH;
	if (d->nr_calls >= PENDING_MAX)
		return -EBUSY;
	c = sys_zalloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	if (++d->seq == 0)
		d->seq = 1; /* 0 is for what nobody asked */
	m->seq = d->seq;
	r = hv_link_send(d->sock, m, fds, nfds);
	if (r < 0) {
		free(c);
		return r == -EAGAIN ? -EBUSY : r == -EPIPE ? -ESRCH : r;
	}
	*c = (struct call){ .seq = m->seq,
			    .deadline_ns = clock_mono_ns() + req->timeout_ms * 1000000ull,
			    .req = *req };
	while (*at)
		at = &(*at)->next;
	*at = c;
	d->nr_calls++;
	arm_tick(d);
	return 0;
}

/* Unlinks first: the callback may make new calls. */
static void finish(struct dom *d, struct call **at, int r, const struct hv_msg *m, int *fds)
{
	struct call *c = *at;

	*at = c->next;
	d->nr_calls--;
	c->req.cb(d, r, m, fds, c->req.token, c->req.arg);
	free(c);
}

static void hung_up(struct dom *d)
{
	event_del(d->sock_ev);
	d->eof_ns = clock_mono_ns();
	arm_tick(d); /* its death is about to be seen; if not, it is made to happen */
}

static void on_answer(struct dom *d, const struct hv_msg *m, int *fds, size_t nfds)
{
	struct call **at = &d->calls;

	d->mute = false;
	while (*at && (*at)->seq != m->seq)
		at = &(*at)->next;
	if (!*at)
		return; /* it was given up on */
	if (m->type == HV_ERROR)
		finish(d, at, m->status < 0 ? m->status : -EBADMSG, m, fds);
	else if (m->type == (*at)->req.want && nfds == (*at)->req.want_fds)
		finish(d, at, 0, m, fds);
	else
		dom_condemn(d, -EBADMSG, "its process answered what was not asked");
}

static void on_readable(evutil_socket_t sock, short what, void *arg)
{
	struct dom *d = arg;
	struct hvd *h = d->h;

	for (int i = 0; i < MSGS_PER_WAKE && d->sock >= 0 && !d->condemned; i++) {
		int fds[FDPASS_MAX], r;
		size_t nfds = 0;

		r = hv_link_recv(d->sock, &h->buf, &h->in, fds, &nfds);
		if (r == -EAGAIN)
			return;
		if (r == 0) {
			hung_up(d);
			return;
		}
		if (r < 0) {
			dom_condemn(d, r, "its process sent what is no message");
			return;
		}
		if (h->in.seq)
			on_answer(d, &h->in, fds, nfds);
		else
			on_domain_event(d, &h->in);
		fdpass_close(fds, nfds);
	}
}

/* What it said before it died: an error's text, a last log line. */
void dlink_drain(struct dom *d)
{
	for (int i = 0; i < MSGS_PER_WAKE && d->sock >= 0 && !d->condemned && !d->eof_ns; i++)
		on_readable(d->sock, EV_READ, d);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct dom *d = arg;
	uint64_t now = clock_mono_ns();
	struct call **at = &d->calls;

	while (*at) {
		if ((*at)->deadline_ns > now) {
			at = &(*at)->next;
		} else {
			finish(d, at, -ETIMEDOUT, NULL, NULL);
			at = &d->calls; /* the list may have changed */
		}
	}
	if (d->eof_ns && now - d->eof_ns > EOF_GRACE_NS)
		dom_condemn(d, -EPIPE, "its process closed the control socket");
	else if (d->calls || d->eof_ns)
		arm_tick(d);
}

int dlink_open(struct dom *d, int sock)
{
	int r = -ENOMEM;

	if (fcntl(sock, F_SETFL, O_NONBLOCK) < 0) {
		r = -errno;
		close(sock);
		return r;
	}
	d->eof_ns = 0;
	d->sock = sock;
	d->tick_ev = evtimer_new(d->h->base, on_tick, d);
	d->sock_ev = event_new(d->h->base, sock, EV_READ | EV_PERSIST, on_readable, d);
	if (d->tick_ev && d->sock_ev && event_add(d->sock_ev, NULL) == 0)
		return 0;
	dlink_close(d);
	return r;
}

void dlink_close(struct dom *d)
{
	if (d->sock_ev)
		event_free(d->sock_ev);
	if (d->tick_ev)
		event_free(d->tick_ev);
	d->sock_ev = d->tick_ev = NULL;
	if (d->sock >= 0)
		close(d->sock);
	d->sock = -1;
	d->eof_ns = 0;
	while (d->calls) /* new ones are refused now */
		finish(d, &d->calls, -ESRCH, NULL, NULL);
}
