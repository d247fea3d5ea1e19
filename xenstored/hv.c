/* xenstored/hv.c - the hypervisor interface over hv/client. */
#include "xenstored/hv.h"

#include <errno.h>

#include "hv/client/hvc.h"

static int real_dominfo(void *ctx, uint16_t domid, struct hv_dom *ret)
{
	struct hvc_dominfo info;
	int r = hvc_dominfo(ctx, domid, &info);

	if (r < 0)
		return r;
	*ret = (struct hv_dom){ .created_ns = info.created_ns,
				.shutdown = info.flags & HVC_DOM_SHUTDOWN,
				.dying = info.flags & HVC_DOM_DYING };
	return 0;
}

static enum hv_event real_next(void *ctx, uint16_t *ret_domid)
{
	struct hvc_event ev;

	while (hvc_event_next(ctx, &ev) > 0) {
		*ret_domid = ev.domid;
		switch (ev.kind) {
		case HVC_EV_SHUTDOWN: return HV_SHUTDOWN;
		case HVC_EV_DYING:
		case HVC_EV_DESTROYED: return HV_GONE;
		case HVC_EV_RESYNC: return HV_RESYNC;
		default: break; /* creation is INTRODUCE's news */
		}
	}
	return HV_NONE;
}

static int real_event_fd(void *ctx)
{
	return hvc_event_fd(ctx);
}

static int real_map(void *ctx, uint16_t domid, uint64_t gfn, void **ret)
{
	return hvc_map_page(ctx, domid, gfn, ret);
}

static void real_unmap(void *ctx, void *page)
{
	hvc_unmap_page(ctx, page);
}

static int real_bind(void *ctx, uint16_t domid, uint32_t port, void **ret)
{
	struct hvc_port *p;
	int r = hvc_port_bind(ctx, domid, port, &p);

	if (r == 0)
		*ret = p;
	return r;
}

static void real_unbind(void *ctx, void *port, bool leave)
{
	(void)ctx;
	if (leave)
		hvc_port_leave(port);
	else
		hvc_port_close(port);
}

static int real_port_fd(const void *port)
{
	return hvc_port_fd(port);
}

static void real_ack(void *port)
{
	hvc_port_ack(port);
}

static void real_notify(void *port)
{
	hvc_port_notify(port);
}

static void real_close(void *ctx)
{
	hvc_close(ctx);
}

static const struct hv_ops real_ops = {
	.dominfo = real_dominfo,
	.next = real_next,
	.event_fd = real_event_fd,
	.map = real_map,
	.unmap = real_unmap,
	.bind = real_bind,
	.unbind = real_unbind,
	.port_fd = real_port_fd,
	.ack = real_ack,
	.notify = real_notify,
	.close = real_close,
};

int hv_open(struct hv *ret)
{
	struct hvc *h;
	int r = hvc_open(NULL, &h);

	if (r < 0)
		return r;
	*ret = (struct hv){ &real_ops, h, hvc_own_ring(h) };
	return 0;
}

bool hv_is_xen(void)
{
	return hvc_is_xen(NULL);
}
