/* hv/domain/hc_evtchn.c - event_channel_op: arguments in and out of evtchn.h. */
#include <errno.h>

#include "hv/domain/evtchn.h"
#include "hv/domain/hypercall.h"
#include "hv/domain/machine.h"

static bool is_self(const struct mvcpu *v, domid_t dom)
{
	return dom == DOMID_SELF || dom == v->d->domid;
}

static int64_t op_bind_interdomain(struct mvcpu *v, void *arg)
{
	struct evtchn_bind_interdomain *a = arg;

	return evt_bind_interdomain(v->d, a->remote_dom, a->remote_port, &a->local_port);
}

static int64_t op_bind_virq(struct mvcpu *v, void *arg)
{
	struct evtchn_bind_virq *a = arg;

	return evt_bind_virq(v->d, a->virq, a->vcpu, &a->port);
}

static int64_t op_close(struct mvcpu *v, void *arg)
{
	struct evtchn_close *a = arg;

	return evt_close(v->d, a->port);
}

static int64_t op_send(struct mvcpu *v, void *arg)
{
	struct evtchn_send *a = arg;

	return evt_send(v->d, a->port);
}

static int64_t op_status(struct mvcpu *v, void *arg)
{
	struct evtchn_status *a = arg;

	return is_self(v, a->dom) ? evt_status(v->d, a) : -EPERM;
}

static int64_t op_alloc_unbound(struct mvcpu *v, void *arg)
{
	struct evtchn_alloc_unbound *a = arg;

	return is_self(v, a->dom) ? evt_alloc_unbound(v->d, a->remote_dom, &a->port) : -EPERM;
}

static int64_t op_bind_ipi(struct mvcpu *v, void *arg)
{
	struct evtchn_bind_ipi *a = arg;

	return evt_bind_ipi(v->d, a->vcpu, &a->port);
}

static int64_t op_bind_vcpu(struct mvcpu *v, void *arg)
{
	struct evtchn_bind_vcpu *a = arg;

	return evt_bind_vcpu(v->d, a->port, a->vcpu);
}

static int64_t op_unmask(struct mvcpu *v, void *arg)
{
	struct evtchn_unmask *a = arg;

	return evt_unmask(v->d, a->port);
}

static int64_t op_reset(struct mvcpu *v, void *arg)
{
	struct evtchn_reset *a = arg;

	if (!is_self(v, a->dom))
		return -EPERM;
	evt_reset(v->d);
	return 0;
}

/* FIFO events (11 to 13) are not offered: a kernel then uses the 2-level ABI. */
static const struct hc_sub ops[] = {
	[EVTCHNOP_bind_interdomain] = { op_bind_interdomain, sizeof(struct evtchn_bind_interdomain),
					1 },
	[EVTCHNOP_bind_virq] = { op_bind_virq, sizeof(struct evtchn_bind_virq), 1 },
	[EVTCHNOP_close] = { op_close, sizeof(struct evtchn_close), 0 },
	[EVTCHNOP_send] = { op_send, sizeof(struct evtchn_send), 0 },
	[EVTCHNOP_status] = { op_status, sizeof(struct evtchn_status), 1 },
	[EVTCHNOP_alloc_unbound] = { op_alloc_unbound, sizeof(struct evtchn_alloc_unbound), 1 },
	[EVTCHNOP_bind_ipi] = { op_bind_ipi, sizeof(struct evtchn_bind_ipi), 1 },
	[EVTCHNOP_bind_vcpu] = { op_bind_vcpu, sizeof(struct evtchn_bind_vcpu), 0 },
	[EVTCHNOP_unmask] = { op_unmask, sizeof(struct evtchn_unmask), 0 },
	[EVTCHNOP_reset] = { op_reset, sizeof(struct evtchn_reset), 0 },
};

int64_t hc_evtchn(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	return hc_sub_run(v, ops, sizeof(ops) / sizeof(ops[0]), arg[0], arg[1]);
}
