/* hv/domain/hc_sched.c - sched_op: giving the CPU away, for a while or for good.
 *
 * Nothing waits in here: block and poll set what the vCPU is blocked on, and
 * its run loop waits, so that a pause finds it parked like any other. */
#include <errno.h>
#include <sched.h>
#include <stdint.h>

#include <xen/sched.h>
#include <xen/event_channel.h>

#include "hv/domain/hypercall.h"
#include "hv/domain/machine.h"

#define NS_PER_S 1000000000ull

static int64_t op_yield(struct mvcpu *v, uint64_t va)
{
	(void)sched_yield(); /* never fails on Linux */
	return 0;
}

static int64_t op_block(struct mvcpu *v, uint64_t va)
{
	atomic_store(&v->block, BLOCK_EVENT);
	return 0;
}

static const char *shutdown_detail(unsigned reason)
{
	return reason == SHUTDOWN_crash ? "guest reported a crash" : "";
}

static int64_t op_shutdown(struct mvcpu *v, uint64_t va)
{
	struct sched_shutdown a;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (a.reason > SHUTDOWN_MAX)
		return -EINVAL;
	domain_shutdown(v->d, a.reason, shutdown_detail(a.reason));
	return 0;
}

/* SCHEDOP_poll's structure, with the guest's pointer as a number. */
struct poll_arg {
	uint64_t ports;
	uint32_t nr, pad;
	uint64_t timeout;
};
_Static_assert(sizeof(struct poll_arg) == sizeof(struct sched_poll), "sched.h");

static int64_t op_poll(struct mvcpu *v, uint64_t va)
{
	struct poll_arg a;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (a.nr > DOMAIN_POLL_PORTS)
		return -EINVAL;
	if (guest_get(v, a.ports, v->poll_port, a.nr * sizeof(v->poll_port[0])) < 0)
		return -EFAULT;
	for (unsigned i = 0; i < a.nr; i++)
		if (!v->poll_port[i] || v->poll_port[i] >= DOMAIN_MAX_PORTS)
			return -EINVAL;
	v->poll_nr = a.nr;
	atomic_store(&v->poll_timeout, false);
	/* Counted before the ports are looked at: a sender after that sees us. */
	atomic_fetch_add(&v->d->evt.pollers, 1);
	atomic_store(&v->block, BLOCK_POLL);
	if (a.timeout)
		timer_set(v, TIMER_POLL, a.timeout, 0);
	return 0;
}

static int64_t op_shutdown_code(struct mvcpu *v, uint64_t va)
{
	struct sched_shutdown a;

	/* Only names the reason of a later shutdown: nothing here needs it. */
	return guest_get(v, va, &a, sizeof(a)) < 0 ? -EFAULT : 0;
}

/* The first watchdog not in use, 1-based as the guest counts them; or -ENOSPC. */
static int free_watchdog(struct mvcpu *owner)
{
	for (unsigned i = 0; i < DOMAIN_WATCHDOGS; i++)
		if (!timer_at(owner, TIMER_WATCHDOG + i))
			return (int)i + 1;
	return -ENOSPC;
}

static int64_t op_watchdog(struct mvcpu *v, uint64_t va)
{
	struct mvcpu *owner = &v->d->vcpu[0];
	struct sched_watchdog a;
	int id;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (a.id > DOMAIN_WATCHDOGS || (!a.id && !a.timeout))
		return -EINVAL;
	id = a.id ? (int)a.id : free_watchdog(owner);
	if (id < 0)
		return id;
	if (a.id && !timer_at(owner, TIMER_WATCHDOG + a.id - 1))
		return -EINVAL;
	if (a.timeout)
		timer_set(owner, TIMER_WATCHDOG + id - 1, guest_now(v->d) + a.timeout * NS_PER_S,
			  0);
	else
		timer_stop(owner, TIMER_WATCHDOG + id - 1);
	return a.id ? 0 : id;
}

static int64_t (*const ops[])(struct mvcpu *v, uint64_t va) = {
	[SCHEDOP_yield] = op_yield,
	[SCHEDOP_block] = op_block,
	[SCHEDOP_shutdown] = op_shutdown,
	[SCHEDOP_poll] = op_poll,
	[SCHEDOP_shutdown_code] = op_shutdown_code,
	[SCHEDOP_watchdog] = op_watchdog,
};

int64_t hc_sched(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	if (arg[0] >= sizeof(ops) / sizeof(ops[0]) || !ops[arg[0]])
		return -ENOSYS;
	return ops[arg[0]](v, arg[1]);
}
