/* hv/domain/timer.c - a vCPU's timers on one timerfd.
 *
 * The timerfd is armed for the earliest of them.  Whoever sees it readable
 * (the idle vCPU, or the service thread for a busy one) calls timer_expire();
 * two callers are harmless, each timer fires once.
 */
#include <sys/timerfd.h>
#include <stdint.h>
#include <xen/sched.h>

#include "hv/domain/evtchn.h"
#include "hv/domain/machine.h"

#define NS_PER_S 1000000000ull

static void rearm(struct mvcpu *v)
{
	struct itimerspec its = { 0 };
	uint64_t first = 0, mono;

	for (unsigned t = 0; t < TIMER_NR; t++)
		if (v->timer_at[t] && (!first || v->timer_at[t] < first))
			first = v->timer_at[t];
	if (first == v->timer_armed)
		return;
	v->timer_armed = first;
	if (first) {
		mono = gclock_to_mono(&v->d->clock, first);
		its.it_value.tv_sec = (time_t)(mono / NS_PER_S);
		its.it_value.tv_nsec = (long)(mono % NS_PER_S);
	}
	(void)timerfd_settime(v->timerfd, TFD_TIMER_ABSTIME, &its, NULL); /* arguments are valid */
}

void timer_set(struct mvcpu *v, enum vcpu_timer t, uint64_t at, uint64_t period)
{
	pthread_mutex_lock(&v->lock);
	v->timer_at[t] = at ? at : 1; /* 0 means off: guest time 1 ns is as past */
	v->timer_period[t] = period;
	rearm(v);
	pthread_mutex_unlock(&v->lock);
}

void timer_stop(struct mvcpu *v, enum vcpu_timer t)
{
	pthread_mutex_lock(&v->lock);
	v->timer_at[t] = 0;
	rearm(v);
	pthread_mutex_unlock(&v->lock);
}

uint64_t timer_at(struct mvcpu *v, enum vcpu_timer t)
{
	uint64_t at;

	pthread_mutex_lock(&v->lock);
	at = v->timer_at[t];
	pthread_mutex_unlock(&v->lock);
	return at;
}

static void fire(struct mvcpu *v, unsigned t)
{
	int vector;

	switch (t) {
	case TIMER_SINGLESHOT:
	case TIMER_PERIODIC: evt_virq(v, VIRQ_TIMER); break;
	case TIMER_POLL:
		atomic_store(&v->poll_timeout, true);
		vcpu_notify(v);
		break;
	case TIMER_LAPIC:
		pthread_mutex_lock(&v->lock);
		vector = lapic_timer_vector(&v->lapic);
		pthread_mutex_unlock(&v->lock);
		if (vector >= 0)
			vcpu_irq(v, (uint8_t)vector);
		break;
	default: domain_shutdown(v->d, SHUTDOWN_watchdog, ""); break;
	}
}

void timer_expire(struct mvcpu *v)
{
	uint64_t now = guest_now(v->d);
	unsigned due = 0;

	pthread_mutex_lock(&v->lock);
	for (unsigned t = 0; t < TIMER_NR; t++) {
		uint64_t at = v->timer_at[t], period = v->timer_period[t];

		if (!at || at > now)
			continue;
		due |= 1u << t;
		/* Missed periods are not made up for: one event, then in step again. */
		v->timer_at[t] = period ? at + period * ((now - at) / period + 1) : 0;
	}
	v->timer_armed = UINT64_MAX; /* it fired, or is about to: arm anew */
	rearm(v);
	pthread_mutex_unlock(&v->lock);

	for (unsigned t = 0; t < TIMER_NR; t++)
		if (due & 1u << t)
			fire(v, t);
}
