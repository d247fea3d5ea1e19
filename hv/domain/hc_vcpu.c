/* hv/domain/hc_vcpu.c - vcpu_op: where a vCPU's shared areas are, its timers,
 * and starting and stopping it. */
#include <errno.h>
#include <stdint.h>

#include <xen/vcpu.h>
#include <xen/sched.h>

#include "hv/domain/evtchn.h"
#include "hv/domain/hypercall.h"
#include "hv/domain/machine.h"

/* Xen's limit: a shorter period would let a guest drown in its own events. */
#define PERIOD_MIN_NS 1000000ull
#define PERIOD_MAX_NS (1ull << 62)

static int64_t op_up(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	if (!atomic_load(&t->initialised))
		return -EINVAL;
	atomic_store(&t->up, true);
	vcpu_notify(t);
	return 0;
}

static int64_t op_down(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	vcpu_take_down(t);
	vcpu_notify(t);
	return 0;
}

static int64_t op_is_up(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	return atomic_load(&t->up);
}

static int64_t op_get_runstate(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	runstate_get(t, arg);
	return 0;
}

/* The area is the target's; it is written at once through the caller's page
 * tables, where the kernel half is the same. */
static int64_t op_register_runstate(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	const uint64_t *va = arg;
	struct vcpu_runstate_info rs;

	runstate_get(t, &rs);
	if (*va && guest_put(v, *va, &rs, sizeof(rs)) < 0)
		return -EFAULT;
	atomic_store(&t->runstate_va, *va);
	return 0;
}

static int64_t op_set_periodic(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	const struct vcpu_set_periodic_timer *a = arg;

	if (a->period_ns < PERIOD_MIN_NS || a->period_ns > PERIOD_MAX_NS)
		return -EINVAL;
	timer_set(t, TIMER_PERIODIC, guest_now(v->d) + a->period_ns, a->period_ns);
	return 0;
}

static int64_t op_stop_periodic(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	timer_stop(t, TIMER_PERIODIC);
	return 0;
}

static int64_t op_set_singleshot(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	const struct vcpu_set_singleshot_timer *a = arg;

	if (t != v)
		return -EINVAL;
	if (a->timeout_abs_ns <= guest_now(v->d)) {
		if (a->flags & VCPU_SSHOTTMR_future)
			return -ETIME;
		timer_stop(t, TIMER_SINGLESHOT);
		evt_virq(t, VIRQ_TIMER);
		return 0;
	}
	timer_set(t, TIMER_SINGLESHOT, a->timeout_abs_ns, 0);
	return 0;
}

static int64_t op_stop_singleshot(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	if (t != v)
		return -EINVAL;
	timer_stop(t, TIMER_SINGLESHOT);
	return 0;
}

static int64_t op_register_info(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	const struct vcpu_register_vcpu_info *a = arg;
	struct vcpu_info *to = NULL;
	unsigned flags;
	uint8_t *page;
	int r = -EINVAL;

	if (a->offset > P2M_PAGE_SIZE - sizeof(*to))
		return -EINVAL;
	if (a->offset % 8)
		return -ENXIO;
	/* The frame's host memory is the domain's for good, whatever becomes of the
	 * mapping: a guest that gives it back only talks to itself. */
	pthread_mutex_lock(&v->d->mem.lock);
	page = p2m_lookup(v->d->mem.p2m, a->mfn, &flags);
	if (page && !(flags & P2M_RO))
		to = (struct vcpu_info *)(page + a->offset);
	pthread_mutex_unlock(&v->d->mem.lock);
	if (to)
		r = evt_register_info(t, to);
	if (!r)
		vcpu_request(t, REQ_TIME);
	if (!r && t == v)
		time_publish(v);
	return r;
}

static int64_t op_send_nmi(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	vcpu_request(t, REQ_NMI);
	return 0;
}

static int64_t op_register_time(struct mvcpu *v, struct mvcpu *t, void *arg)
{
	const uint64_t *va = arg;
	struct vcpu_time_info probe;

	if (*va && guest_get(v, *va, &probe, sizeof(probe)) < 0)
		return -EFAULT;
	atomic_store(&t->time_va, *va);
	if (t == v)
		time_publish(v);
	else
		vcpu_request(t, REQ_TIME);
	return 0;
}

static const struct vcpu_op {
	int64_t (*run)(struct mvcpu *v, struct mvcpu *t, void *arg);
	uint16_t size;
	uint8_t in, out;
} ops[] = {
	/* initialise (0) is for PV guests and through INIT here */
	[VCPUOP_up] = { op_up, 0, 0, 0 },
	[VCPUOP_down] = { op_down, 0, 0, 0 },
	[VCPUOP_is_up] = { op_is_up, 0, 0, 0 },
	[VCPUOP_get_runstate_info] = { op_get_runstate, sizeof(struct vcpu_runstate_info), 0, 1 },
	[VCPUOP_register_runstate_memory_area] = { op_register_runstate, 8, 1, 0 },
	[VCPUOP_set_periodic_timer] = { op_set_periodic, sizeof(struct vcpu_set_periodic_timer), 1,
					0 },
	[VCPUOP_stop_periodic_timer] = { op_stop_periodic, 0, 0, 0 },
	[VCPUOP_set_singleshot_timer] = { op_set_singleshot,
					  sizeof(struct vcpu_set_singleshot_timer), 1, 0 },
	[VCPUOP_stop_singleshot_timer] = { op_stop_singleshot, 0, 0, 0 },
	[VCPUOP_register_vcpu_info] = { op_register_info, sizeof(struct vcpu_register_vcpu_info), 1,
					0 },
	[VCPUOP_send_nmi] = { op_send_nmi, 0, 0, 0 },
	[VCPUOP_register_vcpu_time_memory_area] = { op_register_time, 8, 1, 0 },
};

int64_t hc_vcpu(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	uint8_t buf[HC_SUB_MAX] __attribute__((aligned(8))) = { 0 };
	const struct vcpu_op *op;
	int64_t r;

	if (arg[1] >= v->d->max_vcpus)
		return -ENOENT;
	if (arg[0] >= sizeof(ops) / sizeof(ops[0]) || !ops[arg[0]].run)
		return -ENOSYS;
	op = &ops[arg[0]];
	if (op->in && guest_get(v, arg[2], buf, op->size) < 0)
		return -EFAULT;
	r = op->run(v, &v->d->vcpu[arg[1]], buf);
	if (r >= 0 && op->out && guest_put(v, arg[2], buf, op->size) < 0)
		return -EFAULT;
	return r;
}

/* The old form of the singleshot timer; 0 stops it. */
int64_t hc_set_timer(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	struct vcpu_set_singleshot_timer a = { .timeout_abs_ns = arg[0] };

	if (!arg[0])
		return op_stop_singleshot(v, v, NULL);
	return op_set_singleshot(v, v, &a);
}
