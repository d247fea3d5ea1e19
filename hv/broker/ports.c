/* hv/broker/ports.c - wires event channels between dom0 programs and domains.
 *
 * A port is a pair of eventfds: "notify", which the domain process signals, and
 * "kick", which dom0 signals.  hvd keeps the pair as long as the binding
 * stands, so a daemon that was killed gets the same one, with what was pending,
 * when it binds again.  A binding ends only when its holder says so; the holder
 * is known by the cookie of its bind, so that a late close of a former holder
 * doesn't take the port from the present one.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemons/sys.h"
#include "hv/broker/hvd.h"

struct port {
	struct port *next;
	uint32_t number;
	uint64_t cookie;
	int fds[2];
	bool wired; /* the domain process has said yes once */
};

static struct port **port_at(struct dom *d, uint32_t number)
{
	struct port **at = &d->ports;

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

static void port_drop(struct dom *d, struct port **at)
{
	struct port *p = *at;

	*at = p->next;
	d->nr_ports--;
	fdpass_close(p->fds, 2);
	free(p);
}

void ports_free(struct dom *d)
{
	while (d->ports)
		port_drop(d, &d->ports);
}

static int port_new(struct dom *d, uint32_t number, struct port **ret)
{
	struct port *p;

	if (number == 0 || number >= DOMAIN_MAX_PORTS)
		return -EINVAL;
	if (d->nr_ports >= DOM0_PORTS_MAX)
		return -ENOSPC;
	p = sys_zalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct port){ .next = d->ports, .number = number, .fds = { -1, -1 } };
	d->ports = p;
	d->nr_ports++;
	*ret = p;
	return 0;
}

/* arg: the port and, in the upper half, whether it was taken over. */
static void on_bound(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		     uint64_t arg)
{
	struct port **at = port_at(d, (uint32_t)arg), *p = *at;
	uint64_t one = 1;

	if (r == 0 && !p)
		r = -ECANCELED; /* closed while it was being bound */
	if (r < 0) {
		/* The guest has closed its end, or never had one. */
		if (p && (r == -ENOENT || r == -EINVAL || !p->wired))
			port_drop(d, at);
		reply_error(d->h, t, r, NULL);
		return;
	}
	/* What a former holder had taken note of and not dealt with is pending again:
	 * one event too many is harmless, one too few is not. */
	if (p->wired)
		(void)!write(p->fds[0], &one, sizeof(one));
	p->wired = true;
	d->h->out = (struct hv_msg){ .type = HV_PORT_BIND_REPLY,
				     .u.PORT_BIND_REPLY.cookie = p->cookie };
	reply_out(d->h, t, p->fds, 2);
}

int port_bind(struct dom *d, struct token t, uint32_t number)
{
	struct dlink_req req = { .want = HV_OK,
				 .timeout_ms = DLINK_SHORT_MS,
				 .cb = on_bound,
				 .token = t,
				 .arg = number };
	struct hv_msg *m = &d->h->out;
	struct port *p = *port_at(d, number);
	int r = 0;

	if (!p)
		r = port_new(d, number, &p);
	if (r < 0)
		return r;
	for (int i = 0; r == 0 && i < 2; i++) {
		if (p->fds[i] >= 0)
			continue;
		p->fds[i] = sys_eventfd();
		r = p->fds[i] < 0 ? p->fds[i] : 0;
	}
	if (r == 0) {
		p->cookie = ++d->h->last_cookie;
		/* Sent again on a takeover: the guest may have closed and reopened the port. */
		*m = (struct hv_msg){ .type = HV_D_BIND,
				      .u.D_BIND = { .port = number, .cookie = p->cookie } };
		r = dlink_call(d, m, p->fds, 2, &req);
	}
	if (r < 0 && !p->wired)
		port_drop(d, port_at(d, number));
	return r;
}

static void on_unbound(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		       uint64_t arg)
{
	reply_ok(d->h, t); /* gone on the guest's side, or with the guest: it is closed */
}

int port_close(struct dom *d, struct token t, uint32_t number, uint64_t cookie)
{
	struct dlink_req req = {
		.want = HV_OK, .timeout_ms = DLINK_SHORT_MS, .cb = on_unbound, .token = t
	};
	struct port **at = port_at(d, number);
	struct hv_msg *m = &d->h->out;

	if (*at && (*at)->cookie == cookie) {
		port_drop(d, at);
		*m = (struct hv_msg){ .type = HV_D_UNBIND, .u.D_UNBIND.port = number };
		if (dlink_call(d, m, NULL, 0, &req) == 0)
			return 0;
	}
	reply_ok(d->h, t);
	return 0;
}

int port_adopt(struct dom *d, uint32_t number, uint64_t cookie, int fds[2])
{
	struct port *p;
	int r = *port_at(d, number) ? -EEXIST : port_new(d, number, &p);

	if (r < 0)
		return r;
	p->cookie = cookie;
	p->wired = true;
	for (int i = 0; i < 2; i++) {
		p->fds[i] = fds[i];
		fds[i] = -1;
	}
	if (d->h->last_cookie < cookie)
		d->h->last_cookie = cookie;
	return 0;
}
