/* hv/domain/vcpu.c - a vCPU's thread: find work, run the engine, serve exits.
 *
 * Waking up without losing anything: whoever makes work first publishes it
 * (IRR, request bit, pending word), then looks at the vCPU's mode; the vCPU
 * first publishes that it is idle, then looks for work.  One of them sees the
 * other.  A kick that finds nothing to do costs one turn of the loop.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <stdint.h>

#include <xen/sched.h>

#include "daemons/sys.h"
#include "hv/domain/evtchn.h"
#include "hv/domain/hypercall.h"
#include "hv/domain/machine.h"
#include "hv/domain/service.h"

#define RFLAGS_IF	  0x200u
#define RUNSTATE_STALE_NS 50000000u /* refresh a busy vCPU's accounting this often */

/* ---- any thread ---- */

void vcpu_notify(struct mvcpu *v)
{
	if (!v->hw)
		return;
	if (atomic_load(&v->mode) == MODE_IDLE)
		(void)eventfd_write(v->wakefd, 1); /* full: it is awake already */
	else
		v->d->ops->vcpu_kick(v->hw);
}

void vcpu_request(struct mvcpu *v, unsigned req)
{
	atomic_fetch_or(&v->req, req);
	vcpu_notify(v);
}

void vcpu_irq(struct mvcpu *v, uint8_t vector)
{
	bool taken;

	pthread_mutex_lock(&v->lock);
	taken = lapic_irq(&v->lapic, vector);
	pthread_mutex_unlock(&v->lock);
	if (taken)
		vcpu_notify(v);
}

/* The LAPIC drops what comes before the guest enables it; the guest would then
 * wait for ever, since only the first event raises the line: owe it. */
void vcpu_upcall(struct mvcpu *v)
{
	uint8_t vector = atomic_load(&v->upcall_vector);

	if (vector) {
		pthread_mutex_lock(&v->lock);
		v->upcall_owed = !lapic_irq(&v->lapic, vector);
		pthread_mutex_unlock(&v->lock);
	}
	vcpu_notify(v);
}

static bool upcall_pending(const struct mvcpu *v)
{
	return __atomic_load_n(&atomic_load(&v->info)->evtchn_upcall_pending, __ATOMIC_SEQ_CST);
}

bool vcpu_poll_ready(const struct mvcpu *v)
{
	for (unsigned i = 0; i < v->poll_nr; i++) {
		uint32_t p = v->poll_port[i];

		if (__atomic_load_n(&v->d->shinfo->evtchn_pending[p / 64], __ATOMIC_SEQ_CST) &
		    1ull << p % 64)
			return true;
	}
	return atomic_load(&v->poll_timeout);
}

/* ---- the vCPU's own thread ---- */

/* The interrupt to deliver next, or -1.  *ret_lapic: through the LAPIC. */
static int next_vector(struct mvcpu *v, bool *ret_lapic)
{
	uint8_t direct = atomic_load(&v->d->evt.callback_vector);
	uint8_t vector = atomic_load(&v->upcall_vector);
	int r;

	*ret_lapic = false;
	if (direct && !vector && upcall_pending(v))
		return direct;
	*ret_lapic = true;
	pthread_mutex_lock(&v->lock);
	if (v->upcall_owed && vector && upcall_pending(v))
		v->upcall_owed = !lapic_irq(&v->lapic, vector);
	r = lapic_pending(&v->lapic);
	pthread_mutex_unlock(&v->lock);
	return r;
}

static void ask_window(struct mvcpu *v, bool want)
{
	if (v->window != want) {
		v->window = want;
		v->d->ops->vcpu_window(v->hw, want);
	}
}

/* True if something was injected or waits only for the guest to allow it. */
static bool deliver(struct mvcpu *v)
{
	const struct engine_ops *ops = v->d->ops;
	bool lapic;
	int vector = next_vector(v, &lapic);

	if (vector < 0) {
		ask_window(v, false);
		return false;
	}
	if (!ops->vcpu_can_inject(v->hw)) {
		ask_window(v, true);
		return true;
	}
	if (lapic) {
		pthread_mutex_lock(&v->lock);
		lapic_ack(&v->lapic, (uint8_t)vector);
		pthread_mutex_unlock(&v->lock);
	}
	ops->vcpu_inject(v->hw, (uint8_t)vector);
	v->halted = false;
	/* More behind it: come back when this one is in the handler's hands. */
	ask_window(v, next_vector(v, &lapic) >= 0);
	return true;
}

/* Real mode at the reset vector; AP start-up then sets CS:IP (SDM 3A 9.1, 8.4). */
static void load_init_state(struct mvcpu *v)
{
	const struct seg data = { .limit = 0xffff, .attr = 0x93 };
	struct vcpu_state *old = v->d->ops->vcpu_regs(v->hw), st = { 0 };

	for (unsigned i = 0; i < S_NR; i++)
		st.s[i] = data;
	st.s[S_CS] =
		(struct seg){ .base = 0xffff0000, .limit = 0xffff, .sel = 0xf000, .attr = 0x9b };
	st.s[S_LDTR] = (struct seg){ .limit = 0xffff, .attr = 0x82 };
	st.s[S_TR] = (struct seg){ .limit = 0xffff, .attr = 0x8b };
	st.gdt.limit = st.idt.limit = 0xffff;
	st.rip = 0xfff0;
	st.rflags = 2;
	st.cr0 = 0x60000010;
	st.dr[6] = 0xffff0ff0;
	st.dr[7] = 0x400;
	st.xcr0 = 1;
	st.pat = 0x0007040600070406;
	st.tsc_aux = old->tsc_aux;
	memcpy(st.fx, old->fx, sizeof(st.fx));	/* INIT leaves the FPU alone */
	(void)v->d->ops->vcpu_load(v->hw, &st); /* a state of our own making loads */
}

void vcpu_take_down(struct mvcpu *v)
{
	struct domain *d = v->d;

	atomic_store(&v->up, false);
	for (unsigned i = 0; i < d->max_vcpus; i++)
		if (atomic_load(&d->vcpu[i].up))
			return;
	domain_shutdown(d, SHUTDOWN_poweroff, ""); /* nobody is left to start another */
}

static void unblock(struct mvcpu *v)
{
	if (atomic_exchange(&v->block, BLOCK_NONE) != BLOCK_POLL)
		return;
	atomic_fetch_sub(&v->d->evt.pollers, 1);
	timer_stop(v, TIMER_POLL);
}

static void serve_requests(struct mvcpu *v)
{
	unsigned req = atomic_exchange(&v->req, 0);

	if (req & REQ_INIT) {
		pthread_mutex_lock(&v->lock);
		lapic_reset(&v->lapic);
		v->upcall_owed = true;
		pthread_mutex_unlock(&v->lock);
		load_init_state(v);
		atomic_store(&v->up, false);
		unblock(v);
		v->halted = false;
		v->wait_sipi = true;
	}
	if ((req & REQ_SIPI) && v->wait_sipi) {
		struct vcpu_state *st = v->d->ops->vcpu_regs(v->hw);
		uint8_t page = atomic_load(&v->sipi_vector);

		st->s[S_CS].sel = (uint16_t)(page << 8);
		st->s[S_CS].base = (uint64_t)page << 12;
		st->rip = 0;
		v->wait_sipi = false;
		atomic_store(&v->initialised, true);
		atomic_store(&v->up, true);
		time_publish(v);
	}
	if ((req & REQ_NMI) && atomic_load(&v->up)) {
		v->d->ops->vcpu_inject_nmi(v->hw);
		v->halted = false;
	}
	if (req & REQ_TIME)
		time_publish(v);
}

static bool still_blocked(struct mvcpu *v)
{
	unsigned block = atomic_load(&v->block);
	bool lapic;

	if (block == BLOCK_NONE)
		return false;
	if (next_vector(v, &lapic) < 0 && !upcall_pending(v) &&
	    !(block == BLOCK_POLL && vcpu_poll_ready(v)))
		return true;
	unblock(v);
	return false;
}

/* Requests and interrupts; then: can the guest run? */
static bool prepare(struct mvcpu *v)
{
	if (atomic_load(&v->req))
		serve_requests(v);
	if (!atomic_load(&v->up))
		return false;
	if (still_blocked(v))
		return false;
	return deliver(v) || !v->halted;
}

static bool has_work(struct mvcpu *v)
{
	bool lapic;

	if (atomic_load(&v->d->life.stop) || atomic_load(&v->req))
		return true;
	if (!atomic_load(&v->up))
		return false;
	if (atomic_load(&v->block) != BLOCK_NONE)
		return !still_blocked(v);
	return !v->halted || next_vector(v, &lapic) >= 0;
}

static void idle(struct mvcpu *v)
{
	struct epoll_event ev[4];
	eventfd_t n;
	int got;

	runstate_switch(v, atomic_load(&v->up) ? RUNSTATE_blocked : RUNSTATE_offline);
	atomic_store(&v->mode, MODE_IDLE);
	while (!has_work(v)) {
		got = epoll_wait(v->epfd, ev, 4, -1);
		for (int i = 0; i < got; i++) {
			if (ev[i].data.u64 == SERVICE_WAKE)
				(void)eventfd_read(v->wakefd, &n); /* drained */
			else
				service_event(v->d, ev[i].data.u64);
		}
	}
	atomic_store(&v->mode, MODE_BUSY);
}

/* What changed while the vCPU did not run, and accounting that grew old. */
static void refresh(struct mvcpu *v)
{
	uint32_t seq;

	(void)gclock_get(&v->d->clock, &seq);
	if (seq != v->clock_seq)
		time_publish(v);
	if (v->rs.state != RUNSTATE_running ||
	    guest_now(v->d) - v->rs.state_entry_time > RUNSTATE_STALE_NS)
		runstate_switch(v, RUNSTATE_running);
}

/* ---- exits ---- */

static void exit_io(struct mvcpu *v, struct vm_exit *x)
{
	if (!x->is_write) /* no device answers: the bus floats */
		x->val = UINT64_MAX >> (64 - 8 * x->size);
}

static void send_message(struct mvcpu *v, const struct lapic_out *m);

void apic_write(struct mvcpu *v, uint32_t reg, uint64_t val, int *ret_err)
{
	struct lapic_out out;
	uint64_t ns;
	int r;

	pthread_mutex_lock(&v->lock);
	r = lapic_write(&v->lapic, reg, val, &out);
	ns = lapic_timer_ns(&v->lapic);
	pthread_mutex_unlock(&v->lock);
	*ret_err = r;
	if (r < 0)
		return;
	if (reg == LAPIC_TPR)
		v->d->ops->vcpu_regs(v->hw)->cr8 = val >> 4 & 0xf;
	if (out.timer && ns)
		timer_set(v, TIMER_LAPIC, guest_now(v->d) + ns,
			  lapic_timer_mode(&v->lapic) == LAPIC_PERIODIC ? ns : 0);
	else if (out.timer)
		timer_stop(v, TIMER_LAPIC);
	if (out.message)
		send_message(v, &out);
}

int apic_read(struct mvcpu *v, uint32_t reg, uint64_t *ret)
{
	uint64_t now = guest_now(v->d), at;
	int r;

	pthread_mutex_lock(&v->lock);
	r = lapic_read(&v->lapic, reg, ret);
	at = v->timer_at[TIMER_LAPIC];
	if (!r && reg == LAPIC_TMCCT && at > now)
		*ret = lapic_timer_count(&v->lapic, at - now);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* The xAPIC page: 32-bit registers on 16-byte boundaries. */
static void exit_mmio(struct mvcpu *v, struct vm_exit *x)
{
	uint32_t reg = (uint32_t)(x->addr & (LAPIC_PAGE - 1));
	uint64_t val;
	int r;

	if ((x->addr & ~(uint64_t)(LAPIC_PAGE - 1)) != LAPIC_BASE || x->size != 4 || reg & 0xf ||
	    (v->lapic.base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)) != LAPIC_BASE_ENABLE) {
		exit_io(v, x);
		return;
	}
	if (x->is_write) {
		apic_write(v, reg, x->val & UINT32_MAX, &r); /* bad ones are noted in its ESR */
		return;
	}
	x->val = apic_read(v, reg, &val) < 0 ? 0 : val;
}

static void send_to(struct mvcpu *to, const struct lapic_out *m)
{
	switch (m->mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST: vcpu_irq(to, m->vector); break;
	case LAPIC_NMI: vcpu_request(to, REQ_NMI); break;
	case LAPIC_INIT:
		atomic_fetch_and(&to->req, ~(unsigned)REQ_SIPI);
		vcpu_request(to, REQ_INIT);
		break;
	case LAPIC_SIPI:
		atomic_store(&to->sipi_vector, m->vector);
		vcpu_request(to, REQ_SIPI);
		break;
	default: break; /* SMI: there is no SMM */
	}
}

static void send_message(struct mvcpu *v, const struct lapic_out *m)
{
	for (unsigned i = 0; i < v->d->max_vcpus; i++) {
		struct mvcpu *to = &v->d->vcpu[i];
		bool hit = m->to != LAPIC_TO_OTHERS || to != v;

		if (m->to == LAPIC_TO_SELF)
			hit = to == v;
		if (m->to == LAPIC_TO_DEST) {
			pthread_mutex_lock(&to->lock);
			hit = lapic_matches(&to->lapic, m);
			pthread_mutex_unlock(&to->lock);
		}
		if (!hit)
			continue;
		send_to(to, m);
		if (m->to == LAPIC_TO_DEST && m->mode == LAPIC_LOWEST)
			break; /* one of them is enough, and any has the lowest priority */
	}
}

static void exit_hypercall(struct mvcpu *v, struct vm_exit *x)
{
	hypercall_run(v);
}

static void exit_rdmsr(struct mvcpu *v, struct vm_exit *x)
{
	x->fault = msr_read(v, (uint32_t)x->addr, &x->val) < 0;
}

static void exit_wrmsr(struct mvcpu *v, struct vm_exit *x)
{
	x->fault = msr_write(v, (uint32_t)x->addr, x->val) < 0;
}

static void exit_hlt(struct mvcpu *v, struct vm_exit *x)
{
	v->halted = true;
	/* With interrupts off only an NMI or INIT could end it: the CPU is gone. */
	if (!(v->d->ops->vcpu_regs(v->hw)->rflags & RFLAGS_IF))
		vcpu_take_down(v);
}

static void exit_cr8(struct mvcpu *v, struct vm_exit *x)
{
	pthread_mutex_lock(&v->lock);
	v->lapic.tpr = (uint32_t)(x->val << 4 & 0xf0);
	pthread_mutex_unlock(&v->lock);
}

static void exit_window(struct mvcpu *v, struct vm_exit *x)
{
	v->window = false;
}

static void exit_kicked(struct mvcpu *v, struct vm_exit *x)
{
	/* The loop looks for what the kick was about. */
}

static void exit_triple_fault(struct mvcpu *v, struct vm_exit *x)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "triple fault at rip 0x%llx on vcpu %u",
		       (unsigned long long)v->d->ops->vcpu_regs(v->hw)->rip, v->id); /* fits */
	domain_shutdown(v->d, SHUTDOWN_crash, text);
}

static const struct exit_op {
	void (*run)(struct mvcpu *v, struct vm_exit *x);
	bool complete;
} exits[EXIT_NR] = {
	[EXIT_IO] = { exit_io, true },
	[EXIT_MMIO] = { exit_mmio, true },
	[EXIT_HYPERCALL] = { exit_hypercall, true },
	[EXIT_RDMSR] = { exit_rdmsr, true },
	[EXIT_WRMSR] = { exit_wrmsr, true },
	[EXIT_HLT] = { exit_hlt, false },
	[EXIT_CR8] = { exit_cr8, false },
	[EXIT_INTR_WINDOW] = { exit_window, false },
	[EXIT_KICKED] = { exit_kicked, false },
	[EXIT_SHUTDOWN] = { exit_triple_fault, false },
};

static void run_once(struct mvcpu *v)
{
	const struct engine_ops *ops = v->d->ops;
	struct vm_exit x = { 0 };
	char text[80];
	int r;

	r = ops->vcpu_run(v->hw, &x);
	if (r < 0 || x.kind >= EXIT_NR) {
		(void)snprintf(text, sizeof(text), "the %s engine gave up at rip 0x%llx: %s",
			       ops->name, (unsigned long long)ops->vcpu_regs(v->hw)->rip,
			       strerror(r < 0 ? -r : EPROTO)); /* fits */
		domain_shutdown(v->d, SHUTDOWN_crash, text);
		return;
	}
	exits[x.kind].run(v, &x);
	if (exits[x.kind].complete)
		ops->vcpu_complete(v->hw, &x);
}

static void *vcpu_main(void *arg)
{
	struct mvcpu *v = arg;

	time_publish(v);
	while (domain_gate(v->d)) {
		if (!prepare(v)) {
			idle(v);
			continue;
		}
		refresh(v);
		run_once(v);
	}
	return NULL;
}

int vcpu_init(struct domain *d, unsigned id)
{
	struct mvcpu *v = &d->vcpu[id];
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = SERVICE_WAKE };
	int r;

	v->d = d;
	v->id = id;
	v->epfd = v->wakefd = v->timerfd = -1;
	pthread_mutex_init(&v->lock, NULL);
	atomic_store(&v->info, &d->shinfo->vcpu_info[id]);
	lapic_power_on(&v->lapic, 2 * id, id == 0);
	v->rs.state = RUNSTATE_offline;
	v->upcall_owed = true;
	v->epfd = epoll_create1(EPOLL_CLOEXEC);
	v->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (v->epfd < 0 || v->timerfd < 0)
		return -errno;
	r = v->wakefd = sys_eventfd();
	if (r < 0)
		return r;
	if (epoll_ctl(v->epfd, EPOLL_CTL_ADD, v->wakefd, &ev) < 0)
		return -errno;
	return service_watch(v, v->timerfd, 0);
}

int vcpu_start(struct mvcpu *v)
{
	int r = pthread_create(&v->thread, NULL, vcpu_main, v);

	v->started = !r;
	return -r;
}

void vcpu_fini(struct mvcpu *v)
{
	if (!v->d)
		return;
	if (v->started)
		(void)pthread_join(v->thread, NULL); /* ours, joined once */
	v->started = false;
	if (v->hw)
		v->d->ops->vcpu_free(v->hw);
	v->hw = NULL;
	for (int *fd = (int[]){ v->epfd, v->wakefd, v->timerfd }, i = 0; i < 3; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	pthread_mutex_destroy(&v->lock);
	v->d = NULL;
}
