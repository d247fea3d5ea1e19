/* hv/domain/hc_hvm.c - hvm_op: parameters and the upcall vector. */
#include <errno.h>
#include <stdint.h>

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

#include "hv/domain/hypercall.h"
#include "hv/domain/machine.h"

#define CALLBACK_TYPE_SHIFT 56

/* What a guest may read; all else is the toolstack's or an emulator's. */
static bool may_get(uint32_t index)
{
	switch (index) {
	case HVM_PARAM_CALLBACK_IRQ:
	case HVM_PARAM_STORE_PFN:
	case HVM_PARAM_STORE_EVTCHN:
	case HVM_PARAM_CONSOLE_PFN:
	case HVM_PARAM_CONSOLE_EVTCHN:
	case HVM_PARAM_VM86_TSS:
	case HVM_PARAM_VM86_TSS_SIZED:
	case HVM_PARAM_ALTP2M: return true;
	default: return false;
	}
}

static bool is_self(const struct mvcpu *v, domid_t dom)
{
	return dom == DOMID_SELF || dom == v->d->domid;
}

static int64_t op_get_param(struct mvcpu *v, void *arg)
{
	struct xen_hvm_param *a = arg;

	if (!is_self(v, a->domid))
		return -EPERM;
	if (a->index >= HVM_NR_PARAMS)
		return -EINVAL;
	if (!may_get(a->index))
		return -EPERM;
	pthread_mutex_lock(&v->d->evt.lock);
	a->value = v->d->evt.param[a->index];
	pthread_mutex_unlock(&v->d->evt.lock);
	return 0;
}

static int64_t op_set_param(struct mvcpu *v, void *arg)
{
	const struct xen_hvm_param *a = arg;
	struct domain *d = v->d;
	uint64_t type = a->value >> CALLBACK_TYPE_SHIFT;

	if (!is_self(v, a->domid))
		return -EPERM;
	if (a->index >= HVM_NR_PARAMS)
		return -EINVAL;
	if (a->index != HVM_PARAM_CALLBACK_IRQ)
		return -EPERM;
	/* GSI and INTx lines don't exist here: such a value is only kept. */
	pthread_mutex_lock(&d->evt.lock);
	d->evt.param[a->index] = a->value;
	atomic_store(&d->evt.callback_vector,
		     type == HVM_PARAM_CALLBACK_TYPE_VECTOR ? (uint8_t)a->value : 0);
	pthread_mutex_unlock(&d->evt.lock);
	for (unsigned i = 0; i < d->max_vcpus; i++)
		vcpu_notify(&d->vcpu[i]);
	return 0;
}

static int64_t op_upcall_vector(struct mvcpu *v, void *arg)
{
	const struct xen_hvm_evtchn_upcall_vector *a = arg;
	struct mvcpu *t;

	if (a->vector < 0x10)
		return -EINVAL;
	if (a->vcpu >= v->d->max_vcpus)
		return -ENOENT;
	t = &v->d->vcpu[a->vcpu];
	atomic_store(&t->upcall_vector, a->vector);
	/* What became pending before there was a vector. */
	pthread_mutex_lock(&t->lock);
	t->upcall_owed = true;
	pthread_mutex_unlock(&t->lock);
	vcpu_notify(t);
	return 0;
}

static int64_t op_get_time(struct mvcpu *v, void *arg)
{
	uint64_t *now = arg;

	*now = guest_now(v->d);
	return 0;
}

static const struct hc_sub ops[] = {
	[HVMOP_set_param] = { op_set_param, sizeof(struct xen_hvm_param), 0 },
	[HVMOP_get_param] = { op_get_param, sizeof(struct xen_hvm_param), 1 },
	[HVMOP_get_time] = { op_get_time, sizeof(uint64_t), 1 },
	[HVMOP_set_evtchn_upcall_vector] = { op_upcall_vector,
					     sizeof(struct xen_hvm_evtchn_upcall_vector), 0 },
};

int64_t hc_hvm(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	/* Invalidates this domain's own translations; takes no argument. */
	if (arg[0] == HVMOP_flush_tlbs) {
		if (arg[1])
			return -EINVAL;
		v->d->ops->vm_flush(v->d->vm, v->hw);
		return 0;
	}
	return hc_sub_run(v, ops, sizeof(ops) / sizeof(ops[0]), arg[0], arg[1]);
}
