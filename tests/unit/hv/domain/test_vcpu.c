/* vCPUs: areas, timers, blocking, starting and stopping, MSRs, and a domain's
 * life around them. */
#include "tests/unit/hv/domain/world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define VCPU  __HYPERVISOR_vcpu_op
#define SCHED __HYPERVISOR_sched_op
#define SEC   1000000000ull

static struct world w;
static struct shared_info *sh;

static int up(void **state)
{
	struct xen_add_to_physmap a = { .domid = DOMID_SELF, .gpfn = 0x10 };

	world_init(&w, 2);
	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)), 0);
	sh = world_page(&w, 0x10);
	return 0;
}

static int down(void **state)
{
	world_fini(&w);
	return 0;
}

static uint64_t now(void)
{
	uint64_t t = 0;

	assert_int_equal(world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_get_time, &t, sizeof(t)), 0);
	return t;
}

static int64_t vcpu_op(unsigned by, unsigned op, unsigned on, void *arg, size_t n)
{
	int64_t r;

	memcpy(w.ram + ARG, arg, n);
	r = world_call(&w, by, VCPU, op, on, ARG);
	memcpy(arg, w.ram + ARG, n);
	return r;
}

static uint32_t bind_timer(unsigned vcpu)
{
	struct evtchn_bind_virq a = { .virq = VIRQ_TIMER, .vcpu = vcpu };

	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, &a, sizeof(a)),
		0);
	return a.port;
}

static uint32_t timer_port;

static bool timer_fired(struct world *x)
{
	return sh->evtchn_pending[0] & 1ull << timer_port;
}

static int64_t singleshot(unsigned vcpu, uint64_t at, uint32_t flags)
{
	struct vcpu_set_singleshot_timer a = { at, flags };

	return vcpu_op(vcpu, VCPUOP_set_singleshot_timer, vcpu, &a, sizeof(a));
}

static void a_singleshot_timer_fires_at_its_time_and_once(void **state)
{
	uint64_t at = now() + 30000000;

	timer_port = bind_timer(0);
	assert_int_equal(singleshot(0, at, VCPU_SSHOTTMR_future), 0);
	assert_false(timer_fired(&w) && now() < at);
	assert_true(world_wait(timer_fired, &w));
	assert_true(now() >= at);
	sh->evtchn_pending[0] = 0;
	usleep(20000);
	assert_false(timer_fired(&w));
}

static void a_deadline_in_the_past_fires_at_once_or_is_refused(void **state)
{
	timer_port = bind_timer(0);
	assert_int_equal(singleshot(0, 1, VCPU_SSHOTTMR_future), -ETIME);
	assert_false(timer_fired(&w));
	assert_int_equal(singleshot(0, 1, 0), 0);
	assert_true(timer_fired(&w));
	sh->evtchn_pending[0] = 0;
	assert_int_equal(singleshot(0, 0, 0), 0);
	assert_true(timer_fired(&w));
	assert_int_equal(singleshot(0, UINT64_MAX, 0), 0); /* in 584 years */
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_stop_singleshot_timer, 0, 0), 0);
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_stop_singleshot_timer, 1, 0), -EINVAL);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_set_timer_op, 1, 0, 0), 0);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_set_timer_op, 0, 0, 0), 0);
}

static void a_halted_vcpu_is_woken_by_its_own_timer(void **state)
{
	struct xen_hvm_evtchn_upcall_vector a = { 1, WORLD_VECTOR };
	uint64_t base;

	assert_int_equal(world_rdmsr(&w, 1, 0x1b, &base), 0);
	assert_int_equal(world_wrmsr(&w, 1, 0x1b, base | 1u << 10), 0);
	assert_int_equal(world_wrmsr(&w, 1, 0x80f, 0x1ff), 0);
	assert_int_equal(
		world_op(&w, 1, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &a, sizeof(a)),
		0);
	(void)bind_timer(1);
	while (world_irq_now(&w, 1) >= 0)
		;
	assert_int_equal(singleshot(1, now() + 20000000, 0), 0);
	world_halt(&w, 1);
	assert_int_equal(world_wait_irq(&w, 1), WORLD_VECTOR);
}

static void a_periodic_timer_repeats_until_it_is_stopped(void **state)
{
	struct vcpu_set_periodic_timer a = { 2000000 };

	timer_port = bind_timer(0);
	assert_int_equal(vcpu_op(0, VCPUOP_set_periodic_timer, 0, &a, sizeof(a)), 0);
	for (int i = 0; i < 3; i++) {
		assert_true(world_wait(timer_fired, &w));
		__atomic_store_n(&sh->evtchn_pending[0], 0, __ATOMIC_SEQ_CST);
	}
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_stop_periodic_timer, 0, 0), 0);
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_stop_periodic_timer, 1, 0), 0);
	a.period_ns = 999999;
	assert_int_equal(vcpu_op(0, VCPUOP_set_periodic_timer, 0, &a, sizeof(a)), -EINVAL);
	a.period_ns = UINT64_MAX;
	assert_int_equal(vcpu_op(0, VCPUOP_set_periodic_timer, 0, &a, sizeof(a)), -EINVAL);
}

static void the_runstate_area_is_written_where_it_was_registered(void **state)
{
	struct vcpu_runstate_info *rs = (void *)(w.ram + 0x300000), got;
	uint64_t va = 0x300000, sum = 0;

	memset(rs, 0xa5, sizeof(*rs));
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vm_assist, VMASST_CMD_enable,
				    VMASST_TYPE_runstate_update_flag, 0),
			 0);
	assert_int_equal(vcpu_op(0, VCPUOP_register_runstate_memory_area, 0, &va, 8), 0);
	assert_int_equal(rs->state, RUNSTATE_running);
	assert_true(rs->state_entry_time <= now());
	assert_int_equal(vcpu_op(1, VCPUOP_get_runstate_info, 0, &got, sizeof(got)), 0);
	for (int i = 0; i < 4; i++)
		sum += got.time[i];
	/* The four add up to the time the state was entered: nothing is lost. */
	assert_int_equal(sum, got.state_entry_time);
	assert_false(rs->state_entry_time & XEN_RUNSTATE_UPDATE);
	va = UNMAPPED;
	assert_int_equal(vcpu_op(0, VCPUOP_register_runstate_memory_area, 0, &va, 8), -EFAULT);
	va = 0;
	assert_int_equal(vcpu_op(0, VCPUOP_register_runstate_memory_area, 0, &va, 8), 0);
}

static void time_in_hlt_counts_as_blocked(void **state)
{
	struct vcpu_runstate_info got;
	uint64_t port = bind_timer(1);

	(void)port;
	world_halt(&w, 1);
	usleep(30000);
	assert_int_equal(vcpu_op(0, VCPUOP_get_runstate_info, 1, &got, sizeof(got)), 0);
	assert_int_equal(got.state, RUNSTATE_blocked);
	assert_true(now() - got.state_entry_time >= 20000000);
}

static void the_time_area_agrees_with_vcpu_info(void **state)
{
	struct vcpu_time_info *t = (void *)(w.ram + 0x300000);
	uint64_t va = 0x300000;

	assert_int_equal(vcpu_op(0, VCPUOP_register_vcpu_time_memory_area, 0, &va, 8), 0);
	assert_int_equal(t->version % 2, 0);
	assert_true(t->version > 0);
	assert_int_equal(t->flags & 1, 1);
	assert_int_equal(t->tsc_to_system_mul, sh->vcpu_info[0].time.tsc_to_system_mul);
	assert_int_equal(t->tsc_timestamp, sh->vcpu_info[0].time.tsc_timestamp);
	va = UNMAPPED;
	assert_int_equal(vcpu_op(0, VCPUOP_register_vcpu_time_memory_area, 0, &va, 8), -EFAULT);
	va = 0;
	assert_int_equal(vcpu_op(0, VCPUOP_register_vcpu_time_memory_area, 0, &va, 8), 0);
	assert_true(sh->wc_sec > 1600000000);
	assert_int_equal(sh->wc_version % 2, 0);
}

static void vcpu_ops_check_their_vcpu_and_number(void **state)
{
	uint64_t zero = 0;

	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_is_up, 1, 0), 1);
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_is_up, 2, 0), -ENOENT);
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_is_up, UINT64_MAX, 0), -ENOENT);
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_initialise, 1, ARG), -ENOSYS);
	assert_int_equal(world_call(&w, 0, VCPU, 14, 1, ARG), -ENOSYS);
	assert_int_equal(world_call(&w, 0, VCPU, UINT64_MAX, 1, ARG), -ENOSYS);
	assert_int_equal(singleshot(0, 5, 0), 0);
	assert_int_equal(vcpu_op(0, VCPUOP_set_singleshot_timer, 1, &zero, 8), -EINVAL);
	for (unsigned op = 4; op < 14; op++)
		if (op != 7 && op != 9 && op != 11 && op != 12)
			assert_int_equal(world_call(&w, 0, VCPU, op, 0, UINT64_MAX - 7), -EFAULT);
}

static bool nmi_came(struct world *x)
{
	return world_nmis(x, 1) > 0;
}

static void an_nmi_reaches_its_vcpu(void **state)
{
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_send_nmi, 1, 0), 0);
	assert_true(world_wait(nmi_came, &w));
	assert_int_equal(domain_nmi(w.d, 2), -ENOENT);
	world_halt(&w, 1);
	assert_int_equal(domain_nmi(w.d, 1), 0);
	assert_true(world_wait(nmi_came, &w));
}

/* ---- sched_op ---- */

struct poll_arg {
	uint64_t ports;
	uint32_t nr, pad;
	uint64_t timeout;
};

static int64_t do_poll(unsigned vcpu, uint32_t port, uint32_t nr, uint64_t timeout)
{
	struct poll_arg a = { .ports = ARG + 64, .nr = nr, .timeout = timeout };

	memcpy(w.ram + ARG + 64, &port, 4);
	return world_op(&w, vcpu, SCHED, SCHEDOP_poll, &a, sizeof(a));
}

static void poll_returns_for_a_pending_port_or_a_timeout(void **state)
{
	uint32_t p = bind_timer(0);
	struct vm_exit x = { .kind = EXIT_IO, .addr = 0x70, .size = 1 };
	uint64_t until;

	sh->evtchn_pending[0] = 1ull << p;
	assert_int_equal(do_poll(0, p, 1, 0), 0);
	world_exit(&w, 0, &x); /* it runs on */
	assert_int_equal(x.val, 0xff);
	sh->evtchn_pending[0] = 0;
	until = now() + 20000000;
	assert_int_equal(do_poll(0, p, 1, until), 0);
	world_exit(&w, 0, &x); /* only after the timeout */
	assert_true(now() >= until);
	assert_int_equal(do_poll(0, p, 0, now() + 1000000), 0);
	world_exit(&w, 0, &x);
}

static void a_poller_is_woken_by_a_send(void **state)
{
	struct evtchn_bind_ipi a = { .vcpu = 0 };
	struct vm_exit x = { .kind = EXIT_IO, .addr = 0x70, .size = 1 };

	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &a, sizeof(a)),
		0);
	sh->evtchn_mask[0] |= 1ull << a.port; /* as a polling kernel has it */
	assert_int_equal(do_poll(1, a.port, 1, 0), 0);
	assert_int_equal(world_op(&w, 0, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &a.port, 4),
			 0);
	world_exit(&w, 1, &x);
}

/* E3: poll on ports that are none, too many, not there. */
static void bad_polls_are_refused(void **state)
{
	assert_int_equal(do_poll(0, 0, 1, 0), -EINVAL);
	assert_int_equal(do_poll(0, 4096, 1, 0), -EINVAL);
	assert_int_equal(do_poll(0, UINT32_MAX, 1, 0), -EINVAL);
	assert_int_equal(do_poll(0, 1, 129, 0), -EINVAL);
	assert_int_equal(do_poll(0, 1, UINT32_MAX, 0), -EINVAL);
	for (unsigned op = 2; op < 8; op++) {
		int64_t r = world_call(&w, 0, SCHED, op, UINT64_MAX - 7, 0);

		assert_int_equal(r, op == 4 || op == 7 ? -ENOSYS : -EFAULT);
	}
	assert_int_equal(world_call(&w, 0, SCHED, 99, ARG, 0), -ENOSYS);
	assert_int_equal(world_call(&w, 0, SCHED, SCHEDOP_yield, 0, 0), 0);
}

static void a_blocked_vcpu_pauses_and_wakes(void **state)
{
	struct vm_exit x = { .kind = EXIT_IO, .addr = 0x70, .size = 1 };
	struct evtchn_bind_ipi a = { .vcpu = 1 };

	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &a, sizeof(a)),
		0);
	assert_int_equal(world_call(&w, 1, SCHED, SCHEDOP_block, 0, 0), 0);
	domain_pause(w.d);
	domain_unpause(w.d);
	assert_int_equal(world_op(&w, 0, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &a.port, 4),
			 0);
	world_exit(&w, 1, &x);
}

static void watchdogs_count_two_and_end_the_domain(void **state)
{
	struct sched_watchdog a = { 0, 100 };

	assert_int_equal(world_op(&w, 0, SCHED, SCHEDOP_watchdog, &a, sizeof(a)), 1);
	assert_int_equal(world_op(&w, 1, SCHED, SCHEDOP_watchdog, &a, sizeof(a)), 2);
	assert_int_equal(world_op(&w, 0, SCHED, SCHEDOP_watchdog, &a, sizeof(a)), -ENOSPC);
	a = (struct sched_watchdog){ 3, 1 };
	assert_int_equal(world_op(&w, 0, SCHED, SCHEDOP_watchdog, &a, sizeof(a)), -EINVAL);
	a = (struct sched_watchdog){ 0, 0 };
	assert_int_equal(world_op(&w, 0, SCHED, SCHEDOP_watchdog, &a, sizeof(a)), -EINVAL);
	a = (struct sched_watchdog){ 1, 0 };
	assert_int_equal(world_op(&w, 0, SCHED, SCHEDOP_watchdog, &a, sizeof(a)), 0);
	assert_int_equal(world_op(&w, 0, SCHED, SCHEDOP_watchdog, &a, sizeof(a)), -EINVAL);
	a = (struct sched_watchdog){ 2, 1 };
	assert_int_equal(world_op(&w, 0, SCHED, SCHEDOP_watchdog, &a, sizeof(a)), 0);
	assert_true(world_wait_shutdown(&w));
	assert_int_equal(w.reason, SHUTDOWN_watchdog);
}

/* ---- a domain's ends ---- */

static struct domain_stats stats(void)
{
	struct domain_stats s;

	domain_stats(w.d, &s);
	return s;
}

static int64_t shut(unsigned reason)
{
	uint32_t a = reason;

	return world_op(&w, 0, SCHED, SCHEDOP_shutdown, &a, sizeof(a));
}

static void a_shutdown_is_reported_once_with_its_reason(void **state)
{
	assert_int_equal(shut(6), -EINVAL);
	assert_int_equal(shut(SHUTDOWN_reboot), 0);
	assert_true(world_wait_shutdown(&w));
	assert_int_equal(w.reason, SHUTDOWN_reboot);
	assert_int_equal(stats().state, DOM_SHUTDOWN);
	assert_int_equal(stats().shutdown_reason, SHUTDOWN_reboot);
	assert_string_equal(stats().crash_detail, "");
	domain_unpause(w.d); /* a stopped domain stays stopped */
	domain_pause(w.d);
	assert_int_equal(stats().state, DOM_SHUTDOWN);
	assert_int_equal(w.shutdowns, 1);
}

static void a_crash_says_why(void **state)
{
	assert_int_equal(shut(SHUTDOWN_crash), 0);
	assert_true(world_wait_shutdown(&w));
	assert_string_equal(stats().crash_detail, "guest reported a crash");
}

static void a_triple_fault_crashes_with_its_address(void **state)
{
	struct vm_exit x = { .kind = EXIT_SHUTDOWN };

	world_regs(&w, 1)->rip = 0xffffffff81000123;
	world_exit(&w, 1, &x);
	assert_true(world_wait_shutdown(&w));
	assert_int_equal(w.reason, SHUTDOWN_crash);
	assert_string_equal(stats().crash_detail,
			    "triple fault at rip 0xffffffff81000123 on vcpu 1");
}

static void halting_every_vcpu_with_interrupts_off_powers_off(void **state)
{
	world_set_if(&w, 1, false);
	world_halt(&w, 1);
	world_set_if(&w, 0, false);
	world_halt(&w, 0);
	assert_true(world_wait_shutdown(&w));
	assert_int_equal(w.reason, SHUTDOWN_poweroff);
}

static void a_vcpu_goes_down_and_comes_up_again(void **state)
{
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_down, 1, 0), 0);
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_is_up, 1, 0), 0);
	assert_int_equal(stats().vcpus_online, 1);
	assert_int_equal(world_call(&w, 0, VCPU, VCPUOP_up, 1, 0), 0);
	assert_int_equal(stats().vcpus_online, 2);
	assert_int_equal(world_call(&w, 1, VCPU, VCPUOP_is_up, 1, 0), 1);
}

static bool all_blocked(struct world *x)
{
	return stats().blocked;
}

static void an_idle_domain_is_seen_as_blocked_and_uses_no_cpu(void **state)
{
	uint64_t before;

	world_halt(&w, 0);
	world_halt(&w, 1);
	assert_true(world_wait(all_blocked, &w));
	before = stats().cpu_ns;
	usleep(200000);
	assert_true(stats().cpu_ns - before < 20000000); /* a spin would take 200 ms each */
}

static void pausing_stops_every_vcpu_until_unpaused(void **state)
{
	struct vm_exit x = { .kind = EXIT_IO, .addr = 0x70, .size = 1 };

	for (int i = 0; i < 50; i++) {
		domain_pause(w.d);
		assert_int_equal(stats().state, DOM_PAUSED);
		domain_unpause(w.d);
		world_exit(&w, i % 2, &x);
	}
}

/* ---- the rest of the processor ---- */

static void msrs_and_ports_nobody_has_fault_or_float(void **state)
{
	struct vm_exit x = { .kind = EXIT_IO, .addr = 0xcf8, .size = 4 };
	uint64_t v;

	assert_int_equal(world_rdmsr(&w, 0, 0x12345, &v), -EPERM);
	assert_int_equal(world_wrmsr(&w, 0, 0x12345, 1), -EPERM);
	assert_non_null(strstr(w.line, "0x12345"));
	assert_int_equal(world_rdmsr(&w, 0, 0x802, &v), -EPERM); /* x2APIC is off */
	world_exit(&w, 0, &x);
	assert_int_equal(x.val, 0xffffffff);
	x = (struct vm_exit){ .kind = EXIT_MMIO, .addr = 0xfed00000, .size = 8 };
	world_exit(&w, 0, &x);
	assert_int_equal(x.val, UINT64_MAX);
	x = (struct vm_exit){ .kind = EXIT_MMIO, .addr = 0xfee00030, .size = 4 };
	world_exit(&w, 0, &x);
	assert_int_equal(x.val, 0x00050014);
}

static void the_guests_tsc_can_be_set(void **state)
{
	uint64_t a, b, version = sh->vcpu_info[0].time.version;

	assert_int_equal(world_rdmsr(&w, 0, 0x10, &a), 0);
	assert_int_equal(world_wrmsr(&w, 0, 0x10, 1ull << 60), 0);
	assert_int_equal(world_rdmsr(&w, 0, 0x10, &b), 0);
	assert_true(b >= 1ull << 60 && a < 1ull << 60);
	assert_true(sh->vcpu_info[0].time.tsc_timestamp > 1ull << 59);
	assert_true(sh->vcpu_info[0].time.version > version);
}

static void the_hypercall_page_is_filled_with_stubs(void **state)
{
	const uint8_t *s = w.ram + 0x500000 + 32 * 29;

	assert_int_equal(world_wrmsr(&w, 0, 0x40000000, 0x500000), 0);
	assert_int_equal(s[0], 0xb8);
	assert_int_equal(s[1], 29);
	assert_int_equal(s[5], 0x0f);
	assert_int_equal(s[8], 0xc3);
	assert_int_equal(world_wrmsr(&w, 0, 0x40000000, 0x500001), -EPERM);
	assert_int_equal(world_wrmsr(&w, 0, 0x40000000, UNMAPPED), -EPERM);
	assert_int_equal(world_wrmsr(&w, 0, 0x40000000, UINT64_MAX << 12), -EPERM);
}

static void hypercalls_need_ring_0_and_long_mode(void **state)
{
	world_regs(&w, 0)->s[S_SS].attr = 3 << 5;
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_xen_version, 0, 0, 0), -EPERM);
	world_regs(&w, 0)->s[S_SS].attr = 0;
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_xen_version, 0, 0, 0), 4 << 16 | 17);
	world_regs(&w, 0)->efer = 0;
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_xen_version, 0, 0, 0), -ENOSYS);
	world_regs(&w, 0)->efer = 0x500;
}

static void an_unknown_hypercall_is_logged_once_per_number(void **state)
{
	unsigned before = w.lines;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(world_call(&w, 0, 13, 0, 0, 0), -ENOSYS);
		assert_int_equal(world_call(&w, 1, 33, 0, 0, 0), -ENOSYS);
		assert_int_equal(world_call(&w, 0, 64 + (unsigned)i, 0, 0, 0), -ENOSYS);
		assert_int_equal(world_call(&w, 0, UINT64_MAX, 0, 0, 0), -ENOSYS);
	}
	assert_int_equal(w.lines - before, 3);
}

static void version_questions_have_answers(void **state)
{
	struct xen_feature_info f = { 0, 0 };

	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_xen_version, XENVER_get_features, &f, sizeof(f)), 0);
	assert_int_equal(f.submap, 1 | 1 << 2 | 1 << 8 | 1 << 9 | 1 << 13 | 1 << 16);
	f.submap_idx = 1;
	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_xen_version, XENVER_get_features, &f, sizeof(f)),
		-EINVAL);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_xen_version, XENVER_guest_handle, ARG, 0),
			 0);
	assert_memory_equal(w.ram + ARG, "uuid of world 7", 15);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_xen_version, XENVER_capabilities, ARG, 0),
			 0);
	assert_string_equal((char *)w.ram + ARG, "xen-3.0-x86_64 hvm-3.0-x86_64");
	for (unsigned op = 1; op < 10; op++)
		if (op != XENVER_pagesize)
			assert_int_equal(
				world_call(&w, 0, __HYPERVISOR_xen_version, op, UINT64_MAX - 7, 0),
				-EFAULT);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_xen_version, XENVER_build_id, ARG, 0),
			 -ENOSYS);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vm_assist, VMASST_CMD_enable, 3, 0),
			 -EINVAL);
	assert_int_equal(
		world_call(&w, 0, __HYPERVISOR_vm_assist, VMASST_CMD_enable, UINT64_MAX, 0),
		-EINVAL);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vm_assist, 9, 5, 0), -ENOSYS);
}

static void the_debug_console_is_cut_into_clean_lines(void **state)
{
	static const char text[] = "\x1b[31mred\x01\nnext";
	unsigned before = w.lines;

	memcpy(w.ram + ARG, text, sizeof(text));
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_console_io, 0, sizeof(text) - 1, ARG), 0);
	assert_string_equal(w.line, "guest: [31mred");
	assert_int_equal(w.lines - before, 1);
	memset(w.ram + ARG, 'x', 100000);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_console_io, 0, 100000, ARG), 0);
	assert_true(w.lines - before <= 201); /* 629 would have come */
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_console_io, 0, UINT32_MAX, ARG), -EFAULT);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_console_io, 1, 10, ARG), -EPERM);
}

static void hvm_params_are_the_toolstacks_but_for_one(void **state)
{
	static const struct {
		unsigned index;
		uint64_t value;
	} want[] = { { HVM_PARAM_STORE_PFN, SPECIAL_GFN_STORE },
		     { HVM_PARAM_STORE_EVTCHN, DOMAIN_PORT_STORE },
		     { HVM_PARAM_CONSOLE_PFN, SPECIAL_GFN_CONSOLE },
		     { HVM_PARAM_CONSOLE_EVTCHN, DOMAIN_PORT_CONSOLE } };
	struct xen_hvm_param a = { .domid = DOMID_SELF };

	for (unsigned i = 0; i < 4; i++) {
		a.index = want[i].index;
		assert_int_equal(
			world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_get_param, &a, sizeof(a)), 0);
		assert_int_equal(a.value, want[i].value);
		assert_int_equal(
			world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_set_param, &a, sizeof(a)),
			-EPERM);
	}
	a.index = HVM_PARAM_CALLBACK_IRQ;
	a.value = 1; /* Linux's marker */
	assert_int_equal(world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_set_param, &a, sizeof(a)), 0);
	a.index = HVM_PARAM_IDENT_PT;
	assert_int_equal(world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_get_param, &a, sizeof(a)),
			 -EPERM);
	a.index = HVM_NR_PARAMS;
	assert_int_equal(world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_get_param, &a, sizeof(a)),
			 -EINVAL);
	a.domid = 0;
	assert_int_equal(world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_get_param, &a, sizeof(a)),
			 -EPERM);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_hvm_op, 9, ARG, 0), -ENOSYS);
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_hvm_op, HVMOP_flush_tlbs, 0, 0), 0);
}

static void upcall_vectors_below_16_are_refused(void **state)
{
	struct xen_hvm_evtchn_upcall_vector a = { 0, 15 };

	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &a, sizeof(a)),
		-EINVAL);
	a = (struct xen_hvm_evtchn_upcall_vector){ 2, 16 };
	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &a, sizeof(a)),
		-ENOENT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(a_singleshot_timer_fires_at_its_time_and_once),
		T(a_deadline_in_the_past_fires_at_once_or_is_refused),
		T(a_halted_vcpu_is_woken_by_its_own_timer),
		T(a_periodic_timer_repeats_until_it_is_stopped),
		T(the_runstate_area_is_written_where_it_was_registered),
		T(time_in_hlt_counts_as_blocked),
		T(the_time_area_agrees_with_vcpu_info),
		T(vcpu_ops_check_their_vcpu_and_number),
		T(an_nmi_reaches_its_vcpu),
		T(poll_returns_for_a_pending_port_or_a_timeout),
		T(a_poller_is_woken_by_a_send),
		T(bad_polls_are_refused),
		T(a_blocked_vcpu_pauses_and_wakes),
		T(watchdogs_count_two_and_end_the_domain),
		T(a_shutdown_is_reported_once_with_its_reason),
		T(a_crash_says_why),
		T(a_triple_fault_crashes_with_its_address),
		T(halting_every_vcpu_with_interrupts_off_powers_off),
		T(a_vcpu_goes_down_and_comes_up_again),
		T(an_idle_domain_is_seen_as_blocked_and_uses_no_cpu),
		T(pausing_stops_every_vcpu_until_unpaused),
		T(msrs_and_ports_nobody_has_fault_or_float),
		T(the_guests_tsc_can_be_set),
		T(the_hypercall_page_is_filled_with_stubs),
		T(hypercalls_need_ring_0_and_long_mode),
		T(an_unknown_hypercall_is_logged_once_per_number),
		T(version_questions_have_answers),
		T(the_debug_console_is_cut_into_clean_lines),
		T(hvm_params_are_the_toolstacks_but_for_one),
		T(upcall_vectors_below_16_are_refused),
	};

	return cmocka_run_group_tests_name("hv/domain/vcpu", tests, NULL, NULL);
}
