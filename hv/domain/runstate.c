/* hv/domain/runstate.c - how a vCPU's time was spent, and what time it is.
 *
 * Steal time is what the host's scheduler took: wall time in the running state
 * less the thread's CPU time.  Registered areas are guest-virtual; they are
 * written on the vCPU's own thread, through its page tables as they are then.
 */
#include <string.h>
#include <time.h>
#include <stdint.h>

#include <xen/xen.h>

#include "hv/domain/evtchn.h"
#include "hv/domain/machine.h"

static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* With the update flag the guest can tell a half-written area (XEN_RUNSTATE_UPDATE). */
void runstate_publish(struct mvcpu *v)
{
	const struct engine_ops *ops = v->d->ops;
	uint64_t va = atomic_load(&v->runstate_va), flag;
	const uint64_t entry = offsetof(struct vcpu_runstate_info, state_entry_time);
	bool marked = atomic_load(&v->d->vm_assist) & 1u << VMASST_TYPE_runstate_update_flag;
	struct vcpu_runstate_info rs;

	if (!va)
		return;
	runstate_get(v, &rs);
	if (marked) {
		rs.state_entry_time |= XEN_RUNSTATE_UPDATE;
		if (ops->vcpu_write_virt(v->hw, va + entry, &rs.state_entry_time, 8) < 0)
			return; /* the guest unmapped it; the next switch tries again */
		atomic_thread_fence(memory_order_seq_cst);
	}
	if (ops->vcpu_write_virt(v->hw, va, &rs, sizeof(rs)) < 0 || !marked)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	flag = rs.state_entry_time & ~XEN_RUNSTATE_UPDATE;
	(void)ops->vcpu_write_virt(v->hw, va + entry, &flag, 8); /* mapped a moment ago */
}

void runstate_switch(struct mvcpu *v, int state)
{
	uint64_t now = guest_now(v->d), cpu = thread_ns(), wall, used;

	pthread_mutex_lock(&v->lock);
	wall = now > v->rs.state_entry_time ? now - v->rs.state_entry_time : 0;
	used = cpu - v->rs_cpu_ns;
	if (v->rs.state == RUNSTATE_running && used < wall) {
		v->rs.time[RUNSTATE_running] += used;
		v->rs.time[RUNSTATE_runnable] += wall - used;
	} else {
		v->rs.time[v->rs.state] += wall;
	}
	v->rs.state = state;
	v->rs.state_entry_time += wall;
	v->rs_cpu_ns = cpu;
	pthread_mutex_unlock(&v->lock);
	/* An idle guest's area is read by itself only: written when it runs again. */
	if (state == RUNSTATE_running)
		runstate_publish(v);
}

void runstate_get(struct mvcpu *v, struct vcpu_runstate_info *ret)
{
	struct vcpu_runstate_info rs;

	memset(&rs, 0, sizeof(rs)); /* padding too: the guest sees it */
	pthread_mutex_lock(&v->lock);
	rs.state = v->rs.state;
	rs.state_entry_time = v->rs.state_entry_time;
	memcpy(rs.time, v->rs.time, sizeof(rs.time));
	pthread_mutex_unlock(&v->lock);
	memcpy(ret, &rs, sizeof(rs));
}

static void fill_time(const struct mvcpu *v, const struct pvclock *c, struct vcpu_time_info *t)
{
	t->tsc_timestamp = c->tsc0 + (uint64_t)v->tsc_offset;
	t->system_time = c->ns0;
	t->tsc_to_system_mul = c->mul;
	t->tsc_shift = c->shift;
	t->flags = 1; /* XEN_PVCLOCK_TSC_STABLE_BIT: one line for every vCPU */
}

void time_publish(struct mvcpu *v)
{
	const struct engine_ops *ops = v->d->ops;
	struct vcpu_time_info t = { 0 }, *shared;
	uint64_t va = atomic_load(&v->time_va);
	struct pvclock c = gclock_get(&v->d->clock, &v->clock_seq);
	uint32_t version;

	fill_time(v, &c, &t);
	/* Under evt, so that registering a new place can't lose this update. */
	pthread_mutex_lock(&v->d->evt.lock);
	shared = &atomic_load(&v->info)->time;
	version = __atomic_load_n(&shared->version, __ATOMIC_RELAXED) | 1;
	__atomic_store_n(&shared->version, version, __ATOMIC_SEQ_CST);
	shared->tsc_timestamp = t.tsc_timestamp;
	shared->system_time = t.system_time;
	shared->tsc_to_system_mul = t.tsc_to_system_mul;
	shared->tsc_shift = t.tsc_shift;
	shared->flags = t.flags;
	__atomic_store_n(&shared->version, version + 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&v->d->evt.lock);

	if (!va)
		return;
	t.version = version;
	if (ops->vcpu_write_virt(v->hw, va, &t, sizeof(t)) < 0)
		return; /* the guest unmapped it */
	atomic_thread_fence(memory_order_seq_cst);
	t.version = version + 1;
	(void)ops->vcpu_write_virt(v->hw, va, &t.version, 4); /* mapped a moment ago */
}

void wallclock_publish(struct domain *d)
{
	struct shared_info *s = d->shinfo;
	uint64_t ns, sec, now;
	struct timespec ts;
	uint32_t version;
	int64_t off;

	clock_gettime(CLOCK_REALTIME, &ts);
	now = guest_now(d);
	ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec - now;
	pthread_mutex_lock(&d->evt.lock);
	sec = (uint64_t)s->wc_sec_hi << 32 | s->wc_sec;
	off = (int64_t)(ns - (sec * 1000000000u + s->wc_nsec));
	if (off > -1000000 && off < 1000000)
		goto out; /* within a millisecond: not worth a guest's attention */
	version = __atomic_load_n(&s->wc_version, __ATOMIC_RELAXED) | 1;
	__atomic_store_n(&s->wc_version, version, __ATOMIC_SEQ_CST);
	s->wc_sec = (uint32_t)(ns / 1000000000u);
	s->wc_sec_hi = (uint32_t)(ns / 1000000000u >> 32);
	s->wc_nsec = (uint32_t)(ns % 1000000000u);
	__atomic_store_n(&s->wc_version, version + 1, __ATOMIC_SEQ_CST);
out:
	pthread_mutex_unlock(&d->evt.lock);
}
