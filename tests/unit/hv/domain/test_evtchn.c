/* Event channels through their hypercalls: states, errors, delivery (E1-E4, E8). */
#include "tests/unit/hv/domain/world.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/vcpu.h>

#include "daemons/sys.h"

#define SHINFO_GFN 0x10u
#define EVT	   __HYPERVISOR_event_channel_op
#define FIRST_FREE 3u /* behind the toolstack's two */

static struct world w;
static struct shared_info *sh;

static void map_shinfo(void)
{
	struct xen_add_to_physmap a = { .domid = DOMID_SELF,
					.space = XENMAPSPACE_shared_info,
					.gpfn = SHINFO_GFN };

	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, sizeof(a)), 0);
	sh = world_page(&w, SHINFO_GFN);
	assert_non_null(sh);
}

static void set_vector(unsigned vcpu)
{
	struct xen_hvm_evtchn_upcall_vector a = { vcpu, WORLD_VECTOR };

	assert_int_equal(world_op(&w, vcpu, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &a,
				  sizeof(a)),
			 0);
}

/* As the kernel does: x2APIC on, software-enabled. */
static void enable_lapic(unsigned vcpu)
{
	uint64_t base;

	assert_int_equal(world_rdmsr(&w, vcpu, 0x1b, &base), 0);
	assert_int_equal(world_wrmsr(&w, vcpu, 0x1b, base | 1u << 10), 0);
	assert_int_equal(world_wrmsr(&w, vcpu, 0x80f, 0x1ff), 0);
}

static int up(void **state)
{
	world_init(&w, 2);
	map_shinfo();
	return 0;
}

static int down(void **state)
{
	world_fini(&w);
	return 0;
}

static int64_t bind_virq(uint32_t virq, uint32_t vcpu, uint32_t *port)
{
	struct evtchn_bind_virq a = { .virq = virq, .vcpu = vcpu };
	int64_t r = world_op(&w, 0, EVT, EVTCHNOP_bind_virq, &a, sizeof(a));

	*port = a.port;
	return r;
}

static int64_t bind_ipi(uint32_t vcpu, uint32_t *port)
{
	struct evtchn_bind_ipi a = { .vcpu = vcpu };
	int64_t r = world_op(&w, 0, EVT, EVTCHNOP_bind_ipi, &a, sizeof(a));

	*port = a.port;
	return r;
}

static int64_t alloc_unbound(domid_t remote, uint32_t *port)
{
	struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = remote };
	int64_t r = world_op(&w, 0, EVT, EVTCHNOP_alloc_unbound, &a, sizeof(a));

	*port = a.port;
	return r;
}

static int64_t port_op(unsigned op, uint32_t port)
{
	return world_op(&w, 0, EVT, op, &port, sizeof(port));
}

static uint32_t status_of(uint32_t port)
{
	struct evtchn_status a = { .dom = DOMID_SELF, .port = port };

	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_status, &a, sizeof(a)), 0);
	return a.status;
}

static bool is_pending(uint32_t port)
{
	return sh->evtchn_pending[port / 64] & 1ull << port % 64;
}

static void ports_are_given_from_the_lowest_free_one(void **state)
{
	uint32_t a, b, c;

	assert_int_equal(bind_virq(VIRQ_TIMER, 0, &a), 0);
	assert_int_equal(bind_ipi(1, &b), 0);
	assert_int_equal(a, FIRST_FREE);
	assert_int_equal(b, FIRST_FREE + 1);
	assert_int_equal(port_op(EVTCHNOP_close, a), 0);
	assert_int_equal(status_of(a), EVTCHNSTAT_closed);
	assert_int_equal(alloc_unbound(0, &c), 0);
	assert_int_equal(c, a);
	assert_int_equal(status_of(a), EVTCHNSTAT_unbound);
	assert_int_equal(status_of(b), EVTCHNSTAT_ipi);
	assert_int_equal(status_of(DOMAIN_PORT_STORE), EVTCHNSTAT_unbound);
}

static void bad_ports_and_numbers_get_xens_errors(void **state)
{
	struct evtchn_bind_vcpu bv = { .port = FIRST_FREE, .vcpu = 2 };
	struct evtchn_status st = { .dom = DOMID_SELF };
	static const uint32_t bad[] = { 0, DOMAIN_MAX_PORTS, UINT32_MAX };
	uint32_t p;

	assert_int_equal(bind_virq(24, 0, &p), -EINVAL);
	assert_int_equal(bind_virq(VIRQ_TIMER, 2, &p), -ENOENT);
	assert_int_equal(bind_virq(VIRQ_CONSOLE, 1, &p), -EINVAL);
	assert_int_equal(bind_virq(VIRQ_TIMER, 1, &p), 0);
	assert_int_equal(bind_virq(VIRQ_TIMER, 1, &p), -EEXIST);
	assert_int_equal(bind_ipi(2, &p), -ENOENT);
	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_bind_vcpu, &bv, sizeof(bv)), -ENOENT);
	bv.vcpu = 0; /* a timer belongs to its vCPU */
	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_bind_vcpu, &bv, sizeof(bv)), -EINVAL);
	assert_int_equal(port_op(EVTCHNOP_send, FIRST_FREE), -EINVAL);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(port_op(EVTCHNOP_send, bad[i]), -EINVAL);
		assert_int_equal(port_op(EVTCHNOP_close, bad[i]), -EINVAL);
		assert_int_equal(port_op(EVTCHNOP_unmask, bad[i]), -EINVAL);
		st.port = bad[i];
		assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_status, &st, sizeof(st)), -EINVAL);
	}
	for (unsigned op = 11; op < 64; op++)
		assert_int_equal(world_call(&w, 0, EVT, op, ARG, 0), -ENOSYS);
	st.dom = 3;
	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_status, &st, sizeof(st)), -EPERM);
}

/* E2: with every port taken a VIRQ must not be half bound. */
static void the_table_fills_up_and_empties_again(void **state)
{
	struct evtchn_reset rs = { .dom = DOMID_SELF };
	uint32_t p;

	for (uint32_t i = FIRST_FREE; i < DOMAIN_MAX_PORTS; i++) {
		assert_int_equal(alloc_unbound(0, &p), 0);
		assert_int_equal(p, i);
	}
	assert_int_equal(alloc_unbound(0, &p), -ENOSPC);
	assert_int_equal(bind_virq(VIRQ_TIMER, 0, &p), -ENOSPC);
	assert_int_equal(bind_ipi(0, &p), -ENOSPC);
	assert_int_equal(port_op(EVTCHNOP_close, 4095), 0);
	assert_int_equal(bind_virq(VIRQ_TIMER, 0, &p), 0);
	assert_int_equal(p, 4095);
	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_reset, &rs, sizeof(rs)), 0);
	assert_int_equal(bind_virq(VIRQ_TIMER, 0, &p), 0);
	assert_int_equal(p, 1);
}

static void an_event_sets_pending_selector_and_upcall_and_interrupts(void **state)
{
	uint32_t p;

	enable_lapic(1);
	set_vector(1);
	assert_int_equal(bind_ipi(1, &p), 0);
	while (world_irq_now(&w, 1) >= 0)
		;
	assert_int_equal(port_op(EVTCHNOP_send, p), 0);
	assert_int_equal(world_wait_irq(&w, 1), WORLD_VECTOR);
	assert_true(is_pending(p));
	assert_int_equal(sh->vcpu_info[1].evtchn_pending_sel, 1ull << p / 64);
	assert_int_equal(sh->vcpu_info[1].evtchn_upcall_pending, 1);
	assert_int_equal(sh->vcpu_info[0].evtchn_upcall_pending, 0);
	/* In service: nothing more until EOI; one event is one interrupt. */
	assert_int_equal(world_irq_now(&w, 1), -1);
	assert_int_equal(world_wrmsr(&w, 1, 0x80b, 0), 0);
	assert_int_equal(world_irq_now(&w, 1), -1);
}

static void a_masked_event_waits_for_unmask(void **state)
{
	uint32_t p;

	enable_lapic(0);
	set_vector(0);
	assert_int_equal(bind_ipi(0, &p), 0);
	sh->evtchn_mask[p / 64] |= 1ull << p % 64;
	assert_int_equal(port_op(EVTCHNOP_send, p), 0);
	assert_true(is_pending(p));
	assert_int_equal(sh->vcpu_info[0].evtchn_upcall_pending, 0);
	assert_int_equal(world_irq_now(&w, 0), -1);
	assert_int_equal(port_op(EVTCHNOP_unmask, p), 0);
	assert_int_equal(sh->vcpu_info[0].evtchn_upcall_pending, 1);
	assert_int_equal(world_wait_irq(&w, 0), WORLD_VECTOR);
}

/* The trap: vector registered and event raised before the LAPIC is on. */
static void an_upcall_before_the_lapic_is_enabled_comes_when_it_is(void **state)
{
	uint32_t p;

	set_vector(0);
	assert_int_equal(bind_ipi(0, &p), 0);
	assert_int_equal(port_op(EVTCHNOP_send, p), 0);
	assert_int_equal(sh->vcpu_info[0].evtchn_upcall_pending, 1);
	assert_int_equal(world_irq_now(&w, 0), -1);
	enable_lapic(0);
	assert_int_equal(world_wait_irq(&w, 0), WORLD_VECTOR);
}

static void the_callback_vector_interrupts_without_a_lapic(void **state)
{
	struct xen_hvm_param a = { .domid = DOMID_SELF,
				   .index = HVM_PARAM_CALLBACK_IRQ,
				   .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0xf2 };
	uint32_t p;

	assert_int_equal(world_op(&w, 0, __HYPERVISOR_hvm_op, HVMOP_set_param, &a, sizeof(a)), 0);
	assert_int_equal(bind_ipi(0, &p), 0);
	world_set_if(&w, 0, false);
	assert_int_equal(port_op(EVTCHNOP_send, p), 0);
	assert_int_equal(world_irq_now(&w, 0), -1);
	world_set_if(&w, 0, true);
	assert_int_equal(world_wait_irq(&w, 0), 0xf2);
}

static void a_vcpu_in_hlt_is_woken_by_an_event(void **state)
{
	uint32_t p;

	enable_lapic(1);
	set_vector(1);
	assert_int_equal(bind_ipi(1, &p), 0);
	while (world_irq_now(&w, 1) >= 0)
		;
	world_halt(&w, 1);
	assert_int_equal(port_op(EVTCHNOP_send, p), 0);
	assert_int_equal(world_wait_irq(&w, 1), WORLD_VECTOR);
}

static void a_loopback_channel_carries_events_both_ways(void **state)
{
	struct evtchn_bind_interdomain a = { .remote_dom = DOMID_SELF };
	uint32_t p;

	assert_int_equal(alloc_unbound(DOMID_SELF, &p), 0);
	a.remote_port = p;
	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_bind_interdomain, &a, sizeof(a)), 0);
	assert_true(is_pending(a.local_port)); /* what came before the binding */
	assert_false(is_pending(p));
	assert_int_equal(port_op(EVTCHNOP_send, a.local_port), 0);
	assert_true(is_pending(p));
	sh->evtchn_pending[0] = 0;
	assert_int_equal(port_op(EVTCHNOP_send, p), 0);
	assert_true(is_pending(a.local_port));
	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_bind_interdomain, &a, sizeof(a)), -EINVAL);
	assert_int_equal(port_op(EVTCHNOP_close, p), 0);
	assert_int_equal(status_of(a.local_port), EVTCHNSTAT_unbound);
	assert_int_equal(port_op(EVTCHNOP_send, a.local_port), 0); /* to nobody */
	a.remote_dom = 0;
	a.remote_port = 1;
	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_bind_interdomain, &a, sizeof(a)), -EINVAL);
	a.remote_dom = 9;
	assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_bind_interdomain, &a, sizeof(a)), -ESRCH);
}

static bool console_port_pending(struct world *x)
{
	return is_pending(DOMAIN_PORT_CONSOLE);
}

static void dom0_and_the_guest_signal_each_other_by_eventfds(void **state)
{
	int notify = sys_eventfd(), kick = sys_eventfd(), mine = dup(notify), theirs = dup(kick);
	eventfd_t n;

	assert_int_equal(domain_bind_dom0(w.d, DOMAIN_PORT_CONSOLE, notify, kick), 0);
	assert_int_equal(eventfd_read(mine, &n), 0); /* look once */
	assert_int_equal(port_op(EVTCHNOP_send, DOMAIN_PORT_CONSOLE), 0);
	assert_int_equal(eventfd_read(mine, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(eventfd_write(theirs, 1), 0);
	assert_true(world_wait(console_port_pending, &w)); /* busy: by the service thread */
	sh->evtchn_pending[0] = 0;
	world_halt(&w, 0);
	assert_int_equal(eventfd_write(theirs, 1), 0);
	assert_true(world_wait(console_port_pending, &w)); /* idle: by itself */
	/* A restarted daemon: the old descriptors are replaced. */
	notify = sys_eventfd();
	kick = sys_eventfd();
	assert_int_equal(domain_bind_dom0(w.d, DOMAIN_PORT_CONSOLE, notify, kick), 0);
	assert_int_equal(domain_unbind_dom0(w.d, DOMAIN_PORT_CONSOLE), 0);
	assert_int_equal(domain_unbind_dom0(w.d, DOMAIN_PORT_CONSOLE), -EINVAL);
	close(mine);
	close(theirs);
}

static void dom0_can_bind_only_what_was_opened_for_it(void **state)
{
	int a = sys_eventfd(), b = sys_eventfd();
	uint32_t ipi, other, self;

	assert_int_equal(bind_ipi(0, &ipi), 0);
	assert_int_equal(alloc_unbound(5, &other), 0);
	assert_int_equal(alloc_unbound(DOMID_SELF, &self), 0);
	assert_int_equal(domain_bind_dom0(w.d, ipi, a, b), -EINVAL);
	assert_int_equal(domain_bind_dom0(w.d, other, a, b), -EINVAL);
	assert_int_equal(domain_bind_dom0(w.d, self, a, b), -EINVAL);
	assert_int_equal(domain_bind_dom0(w.d, 0, a, b), -ENOENT);
	assert_int_equal(domain_bind_dom0(w.d, 4000, a, b), -ENOENT);
	assert_int_equal(domain_bind_dom0(w.d, UINT32_MAX, a, b), -ENOENT);
	assert_int_equal(domain_unbind_dom0(w.d, 4000), -ENOENT);
	close(a);
	close(b);
}

/* E4: the guest closes a port the backend still uses. */
static void a_port_closed_under_dom0_takes_no_more_kicks(void **state)
{
	int notify = sys_eventfd(), kick = sys_eventfd(), theirs = dup(kick);
	uint32_t p, q;

	assert_int_equal(alloc_unbound(0, &p), 0);
	assert_int_equal(domain_bind_dom0(w.d, p, notify, kick), 0);
	assert_int_equal(port_op(EVTCHNOP_close, p), 0);
	assert_int_equal(bind_ipi(0, &q), 0);
	assert_int_equal(q, p);
	assert_int_equal(eventfd_write(theirs, 1), 0);
	assert_int_equal(world_irq_now(&w, 0), -1);
	assert_false(is_pending(q));
	close(theirs);
}

static void registering_vcpu_info_moves_what_was_pending(void **state)
{
	struct vcpu_register_vcpu_info a = { .mfn = 0x300, .offset = 64 };
	struct vcpu_info *vi = (struct vcpu_info *)(w.ram + 0x300 * 4096 + 64);
	uint32_t p;

	memcpy(w.ram + ARG, &a, sizeof(a));
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARG),
			 0);
	assert_int_equal(vi->evtchn_upcall_pending, 1);
	assert_int_equal(vi->evtchn_pending_sel, UINT64_MAX);
	assert_true(vi->time.tsc_to_system_mul != 0);
	assert_int_equal(vi->time.version % 2, 0);
	vi->evtchn_upcall_pending = 0;
	vi->evtchn_pending_sel = 0;
	assert_int_equal(bind_ipi(0, &p), 0);
	assert_int_equal(port_op(EVTCHNOP_send, p), 0);
	assert_int_equal(vi->evtchn_pending_sel, 1);
	assert_int_equal(sh->vcpu_info[0].evtchn_pending_sel, 0);
	/* Once; aligned; inside a page; in memory. */
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARG),
			 -EINVAL);
	a.offset = 4096 - 63;
	memcpy(w.ram + ARG, &a, sizeof(a));
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARG),
			 -EINVAL);
	a.offset = 4;
	memcpy(w.ram + ARG, &a, sizeof(a));
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARG),
			 -ENXIO);
	a = (struct vcpu_register_vcpu_info){ .mfn = UINT64_MAX };
	memcpy(w.ram + ARG, &a, sizeof(a));
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARG),
			 -EINVAL);
}

/* E8 for this family; every other goes through the same two functions. */
static void arguments_that_are_not_there_are_faults(void **state)
{
	static const uint64_t bad[] = { UNMAPPED,   UINT64_MAX - 7,
					UINT64_MAX, UNMAPPED - 2,
					0xfee00000, (uint64_t)WORLD_PAGES * 4096 - 1,
					1ull << 63 };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (unsigned op = 0; op <= EVTCHNOP_reset; op++) {
			int64_t r = world_call(&w, 0, EVT, op, bad[i], 0);

			assert_int_equal(r, op == EVTCHNOP_bind_pirq ? -ENOSYS : -EFAULT);
		}
}

static void an_argument_across_a_page_border_works(void **state)
{
	struct evtchn_bind_ipi a = { .vcpu = 1 };

	memcpy(w.ram + ARG + 4094, &a, sizeof(a));
	assert_int_equal(world_call(&w, 0, EVT, EVTCHNOP_bind_ipi, ARG + 4094, 0), 0);
	memcpy(&a, w.ram + ARG + 4094, sizeof(a));
	assert_int_equal(a.port, FIRST_FREE);
}

/* E1, E3: dom0 kicks, one vCPU sends, the other resets; nothing is lost but
 * what was closed, and the domain lives. */
static void *storm(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 20000; i++)
		(void)eventfd_write(fd, 1);
	return NULL;
}

static void reset_racing_sends_and_kicks_is_harmless(void **state)
{
	struct evtchn_reset rs = { .dom = DOMID_SELF };
	int kick = sys_eventfd(), theirs = dup(kick);
	uint32_t p, q;
	pthread_t t;

	assert_int_equal(alloc_unbound(0, &p), 0);
	assert_int_equal(domain_bind_dom0(w.d, p, sys_eventfd(), kick), 0);
	assert_int_equal(pthread_create(&t, NULL, storm, &theirs), 0);
	for (int i = 0; i < 200; i++) {
		if (i % 10 == 0)
			assert_int_equal(world_op(&w, 0, EVT, EVTCHNOP_reset, &rs, sizeof(rs)), 0);
		assert_int_equal(bind_ipi(i % 2, &q), 0);
		assert_int_equal(port_op(EVTCHNOP_send, q), 0);
		assert_true(is_pending(q));
	}
	pthread_join(t, NULL);
	close(theirs);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(ports_are_given_from_the_lowest_free_one),
		T(bad_ports_and_numbers_get_xens_errors),
		T(the_table_fills_up_and_empties_again),
		T(an_event_sets_pending_selector_and_upcall_and_interrupts),
		T(a_masked_event_waits_for_unmask),
		T(an_upcall_before_the_lapic_is_enabled_comes_when_it_is),
		T(the_callback_vector_interrupts_without_a_lapic),
		T(a_vcpu_in_hlt_is_woken_by_an_event),
		T(a_loopback_channel_carries_events_both_ways),
		T(dom0_and_the_guest_signal_each_other_by_eventfds),
		T(dom0_can_bind_only_what_was_opened_for_it),
		T(a_port_closed_under_dom0_takes_no_more_kicks),
		T(registering_vcpu_info_moves_what_was_pending),
		T(arguments_that_are_not_there_are_faults),
		T(an_argument_across_a_page_border_works),
		T(reset_racing_sends_and_kicks_is_harmless),
	};

	return cmocka_run_group_tests_name("hv/domain/evtchn", tests, NULL, NULL);
}
