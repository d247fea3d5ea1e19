/* The local APIC as a state machine: priorities, messages, both modes, timer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hv/domain/lapic.h"

static struct lapic l;
static struct lapic_out out;

static void write_ok(uint32_t reg, uint64_t val)
{
	memset(&out, 0xa5, sizeof(out));
	assert_int_equal(lapic_write(&l, reg, val, &out), 0);
}

static uint64_t read_ok(uint32_t reg)
{
	uint64_t v = 0;

	assert_int_equal(lapic_read(&l, reg, &v), 0);
	return v;
}

static int up(void **state)
{
	lapic_power_on(&l, 6, false);
	write_ok(LAPIC_SVR, 0x1ff);
	return 0;
}

static void x2apic(void)
{
	assert_int_equal(lapic_write_base(&l, l.base | LAPIC_BASE_X2APIC), 0);
}

static void a_disabled_apic_drops_interrupts(void **state)
{
	lapic_power_on(&l, 0, true);
	assert_false(lapic_irq(&l, 0x40));
	assert_int_equal(lapic_pending(&l), -1);
	write_ok(LAPIC_SVR, 0x1ff);
	assert_int_equal(lapic_pending(&l), -1);
	assert_true(lapic_irq(&l, 0x40));
	assert_false(lapic_irq(&l, 15));
	assert_int_equal(lapic_pending(&l), 0x40);
}

static void the_highest_vector_above_the_priority_wins(void **state)
{
	lapic_irq(&l, 0x40);
	lapic_irq(&l, 0xf3);
	lapic_irq(&l, 0x41);
	assert_int_equal(lapic_pending(&l), 0xf3);
	lapic_ack(&l, 0xf3);
	assert_int_equal(read_ok(LAPIC_PPR), 0xf0);
	assert_int_equal(lapic_pending(&l), -1); /* class 4 waits for class 15 */
	lapic_irq(&l, 0xfe);
	assert_int_equal(lapic_pending(&l), -1); /* the same class waits too */
	write_ok(LAPIC_EOI, 0);
	assert_int_equal(lapic_pending(&l), 0xfe);
	lapic_ack(&l, 0xfe);
	write_ok(LAPIC_EOI, 0);
	assert_int_equal(lapic_pending(&l), 0x41);
	write_ok(LAPIC_TPR, 0x40);
	assert_int_equal(lapic_pending(&l), -1);
	assert_int_equal(read_ok(LAPIC_PPR), 0x40);
	write_ok(LAPIC_TPR, 0x3f);
	assert_int_equal(lapic_pending(&l), 0x41);
}

/* Against a model that searches vector by vector. */
static void random_traffic_agrees_with_a_naive_model(void **state)
{
	bool irr[256] = { 0 }, isr[256] = { 0 };
	unsigned tpr = 0;

	srand(5);
	for (int step = 0; step < 200000; step++) {
		int in_service = -1, want = -1;

		for (int v = 0; v < 256; v++)
			if (isr[v])
				in_service = v;
		for (int v = 0; v < 256; v++)
			if (irr[v] && v / 16 > (int)(tpr >> 4) && v / 16 > in_service / 16)
				want = v;
		if (in_service < 0)
			for (int v = 0; v < 256; v++)
				if (irr[v] && v / 16 > (int)(tpr >> 4))
					want = v;
		assert_int_equal(lapic_pending(&l), want);
		switch (rand() % 4) {
		case 0: {
			unsigned v = 16 + rand() % 240;

			assert_true(lapic_irq(&l, (uint8_t)v));
			irr[v] = true;
			break;
		}
		case 1:
			if (want >= 0) {
				lapic_ack(&l, (uint8_t)want);
				irr[want] = false;
				isr[want] = true;
			}
			break;
		case 2:
			write_ok(LAPIC_EOI, 0);
			if (in_service >= 0)
				isr[in_service] = false;
			break;
		default:
			tpr = rand() % 3 ? 0 : rand() % 256;
			write_ok(LAPIC_TPR, tpr);
			break;
		}
	}
}

static void an_icr_write_is_a_message(void **state)
{
	write_ok(LAPIC_ICR2, 0x0a000000);
	assert_false(out.message);
	write_ok(LAPIC_ICR, 0x4500);
	assert_true(out.message);
	assert_int_equal(out.mode, LAPIC_INIT);
	assert_int_equal(out.dest, 0x0a);
	assert_int_equal(out.to, LAPIC_TO_DEST);
	write_ok(LAPIC_ICR, 0x8500); /* INIT de-assert says nothing to a processor */
	assert_false(out.message);
	write_ok(LAPIC_ICR, 0x469a);
	assert_int_equal(out.mode, LAPIC_SIPI);
	assert_int_equal(out.vector, 0x9a);
	write_ok(LAPIC_ICR, 0x000c00f3);
	assert_int_equal(out.to, LAPIC_TO_OTHERS);
	assert_int_equal(out.vector, 0xf3);
	write_ok(LAPIC_ICR, 0x0000000f); /* vectors below 16 are an error, not a message */
	assert_false(out.message);
	write_ok(LAPIC_ESR, 0);
	assert_int_equal(read_ok(LAPIC_ESR), 1 << 5);
	assert_int_equal(read_ok(LAPIC_ICR) & 1 << 12, 0);
}

static void destinations_match_by_id_and_by_logical_address(void **state)
{
	struct lapic_out m = { .dest = 6 };

	assert_true(lapic_matches(&l, &m));
	m.dest = 7;
	assert_false(lapic_matches(&l, &m));
	m.dest = 0xff;
	assert_true(lapic_matches(&l, &m));
	write_ok(LAPIC_LDR, 0x04000000);
	m = (struct lapic_out){ .logical = true, .dest = 0x06 };
	assert_true(lapic_matches(&l, &m));
	m.dest = 0x02;
	assert_false(lapic_matches(&l, &m));
	write_ok(LAPIC_DFR, 0x0fffffff); /* cluster model */
	write_ok(LAPIC_LDR, 0x31000000);
	m.dest = 0x33;
	assert_true(lapic_matches(&l, &m));
	m.dest = 0x23;
	assert_false(lapic_matches(&l, &m));
	l.id = 0x26;
	x2apic();
	m = (struct lapic_out){ .x2apic = true, .logical = true, .dest = 2 << 16 | 1 << 6 };
	assert_true(lapic_matches(&l, &m));
	assert_int_equal(read_ok(LAPIC_LDR), m.dest);
	m.dest = 3 << 16 | 1 << 6;
	assert_false(lapic_matches(&l, &m));
	m = (struct lapic_out){ .x2apic = true, .dest = 0xff };
	assert_false(lapic_matches(&l, &m)); /* 255 is an id like any other here */
	m.dest = 0xffffffff;
	assert_true(lapic_matches(&l, &m));
}

static void the_base_msr_moves_only_along_legal_ways(void **state)
{
	const uint64_t xapic = l.base, x2 = l.base | LAPIC_BASE_X2APIC;
	const uint64_t off = l.base & ~LAPIC_BASE_ENABLE;

	assert_int_equal(lapic_write_base(&l, x2), 0);
	assert_int_equal(lapic_write_base(&l, xapic), -EPERM);
	assert_int_equal(lapic_write_base(&l, off), 0);
	assert_int_equal(lapic_write_base(&l, x2), -EPERM);
	assert_int_equal(lapic_write_base(&l, off | LAPIC_BASE_X2APIC), -EPERM);
	assert_int_equal(lapic_write_base(&l, xapic), 0);
	assert_int_equal(lapic_write_base(&l, xapic + 0x1000), -EPERM);
	assert_int_equal(lapic_write_base(&l, xapic | LAPIC_BASE_BSP), -EPERM);
	assert_int_equal(lapic_write_base(&l, xapic | 1), -EPERM);
	assert_int_equal(lapic_write_base(&l, xapic | 1ull << 52), -EPERM);
}

static void x2apic_faults_where_memory_only_ignores(void **state)
{
	uint64_t v;

	assert_int_equal(lapic_write(&l, LAPIC_VERSION, 0, &out), -EPERM);
	x2apic();
	assert_int_equal(read_ok(LAPIC_ID), 6);
	assert_int_equal(lapic_read(&l, LAPIC_DFR, &v), -EPERM);
	assert_int_equal(lapic_read(&l, LAPIC_ICR2, &v), -EPERM);
	assert_int_equal(lapic_read(&l, LAPIC_EOI, &v), -EPERM);
	assert_int_equal(lapic_write(&l, LAPIC_ID, 1, &out), -EPERM);
	assert_int_equal(lapic_write(&l, LAPIC_EOI, 1, &out), -EPERM);
	assert_int_equal(lapic_write(&l, LAPIC_TPR, 1ull << 32, &out), -EPERM);
	assert_int_equal(lapic_write(&l, LAPIC_ICR, 1 << 12, &out), -EPERM);
	assert_int_equal(lapic_write(&l, LAPIC_SELF_IPI, 0x100, &out), -EPERM);
	write_ok(LAPIC_SELF_IPI, 0x55);
	assert_int_equal(out.to, LAPIC_TO_SELF);
	assert_int_equal(out.vector, 0x55);
	write_ok(LAPIC_ICR, 5ull << 32 | 0xf3);
	assert_int_equal(out.dest, 5);
	assert_int_equal(read_ok(LAPIC_ICR), 5ull << 32 | 0xf3);
}

static void no_register_number_does_harm(void **state)
{
	for (int mode = 0; mode < 2; mode++) {
		for (uint32_t reg = 0; reg < 0x1000; reg++) {
			uint64_t v;

			(void)lapic_read(&l, reg, &v);
			(void)lapic_write(&l, reg, 0xffffffff, &out);
			(void)lapic_write(&l, reg, UINT64_MAX, &out);
		}
		lapic_power_on(&l, 6, false);
		x2apic();
	}
}

static void the_timer_counts_the_bus_clock(void **state)
{
	write_ok(LAPIC_LVT_TIMER, 0xec);
	write_ok(LAPIC_TDCR, 0x3); /* by 16 */
	write_ok(LAPIC_TMICT, 1000);
	assert_true(out.timer);
	assert_int_equal(lapic_timer_ns(&l), 1000 * 160);
	assert_int_equal(lapic_timer_mode(&l), LAPIC_ONESHOT);
	assert_int_equal(lapic_timer_vector(&l), 0xec);
	assert_int_equal(lapic_timer_count(&l, 500 * 160), 500);
	assert_int_equal(lapic_timer_count(&l, UINT64_MAX), 1000);
	write_ok(LAPIC_TDCR, 0xb); /* by 1 */
	assert_int_equal(lapic_timer_ns(&l), 1000 * 10);
	write_ok(LAPIC_LVT_TIMER, 0x200ec);
	assert_int_equal(lapic_timer_mode(&l), LAPIC_PERIODIC);
	write_ok(LAPIC_LVT_TIMER, 0x100ec);
	assert_int_equal(lapic_timer_vector(&l), -1);
	write_ok(LAPIC_TMICT, 0);
	assert_int_equal(lapic_timer_ns(&l), 0);
}

static void init_resets_all_but_id_and_base(void **state)
{
	uint64_t base;

	x2apic();
	base = l.base;
	lapic_irq(&l, 0x80);
	lapic_reset(&l);
	assert_int_equal(l.id, 6);
	assert_int_equal(l.base, base);
	assert_int_equal(lapic_pending(&l), -1);
	assert_int_equal(read_ok(LAPIC_SVR), 0xff);
	assert_int_equal(read_ok(LAPIC_LVT_TIMER), 1 << 16);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, up)
	const struct CMUnitTest tests[] = {
		T(a_disabled_apic_drops_interrupts),
		T(the_highest_vector_above_the_priority_wins),
		T(random_traffic_agrees_with_a_naive_model),
		T(an_icr_write_is_a_message),
		T(destinations_match_by_id_and_by_logical_address),
		T(the_base_msr_moves_only_along_legal_ways),
		T(x2apic_faults_where_memory_only_ignores),
		T(no_register_number_does_harm),
		T(the_timer_counts_the_bus_clock),
		T(init_resets_all_but_id_and_base),
	};

	return cmocka_run_group_tests_name("hv/domain/lapic", tests, NULL, NULL);
}
