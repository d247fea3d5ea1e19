/* hv/client/ports.c - dom0's end of an event channel: two eventfds that go
 * straight to the domain process. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemons/sys.h"
#include "hv/client/bundled.h"

struct bundled_port {
	struct hvc_port base;
	struct bundled *b;
	struct hv_PORT_CLOSE id;
	int fds[2]; /* notify: the guest tells us; kick: we tell the guest */
};

static struct hvc_port *port_leave(struct hvc_port *base)
{
	struct bundled_port *p = (struct bundled_port *)base;

	fdpass_close(p->fds, 2);
	free(p);
	return NULL;
}

static struct hvc_port *port_close(struct hvc_port *base)
{
	struct bundled_port *p = (struct bundled_port *)base;
	struct hv_msg m = { .type = HV_PORT_CLOSE };
	struct owed_close *o;
	int r;

	m.u.PORT_CLOSE = p->id;
	r = bundled_simple(p->b, &m, CALL_SHORT_S);
	if (r == -ENOTCONN) {
		o = sys_zalloc(sizeof(*o));
		if (o) { /* else the port stays bound to nobody: no harm but its number */
			o->what = p->id;
			o->next = p->b->owed;
			p->b->owed = o;
		}
	}
	return port_leave(base);
}

static int port_fd(const struct hvc_port *base)
{
	return ((const struct bundled_port *)base)->fds[0];
}

static void port_ack(struct hvc_port *base)
{
	uint64_t n;

	(void)!read(((struct bundled_port *)base)->fds[0], &n, sizeof(n)); /* EAGAIN: not pending */
}

static void port_notify(struct hvc_port *base)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so it is pending anyway. */
	(void)!write(((struct bundled_port *)base)->fds[1], &one, sizeof(one));
}

static const struct hvc_port_ops port_ops = {
	.close = port_close,
	.leave = port_leave,
	.fd = port_fd,
	.ack = port_ack,
	.notify = port_notify,
};

int bundled_port_bind(struct hvc *h, uint16_t domid, uint32_t port, struct hvc_port **ret)
{
	struct bundled *b = (struct bundled *)h;
	struct hv_msg m = { .type = HV_PORT_BIND, .u.PORT_BIND = { .domid = domid, .port = port } };
	struct call c = {
		.req = &m, .want = HV_PORT_BIND_REPLY, .want_fds = 2, .timeout_s = CALL_SHORT_S
	};
	struct bundled_port *p = sys_zalloc(sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	r = bundled_call(b, &c, p->fds);
	if (r < 0) {
		free(p);
		return r;
	}
	p->base.ops = &port_ops;
	p->b = b;
	p->id = (struct hv_PORT_CLOSE){ .domid = domid,
					.port = port,
					.cookie = b->reply.u.PORT_BIND_REPLY.cookie };
	*ret = &p->base;
	return 0;
}
