/* hv/domain/lapic.h - one vCPU's local APIC: registers, priorities, messages.
 *
 * A plain state machine: no lock (the caller holds the vCPU's), no time (the
 * caller arms what lapic_timer() says), no other APIC (a write may yield a
 * message for the caller to deliver).  Only edge interrupts exist.
 * Source: SDM 3A ch. 10; register offsets are the xAPIC page's.
 */
#ifndef HV_DOMAIN_LAPIC_H
#define HV_DOMAIN_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define LAPIC_BASE    0xfee00000ull
#define LAPIC_PAGE    4096u
#define LAPIC_TICK_NS 10u /* bus clock of 100 MHz, as Xen gives */

/* Bits of the APIC base MSR. */
#define LAPIC_BASE_BSP	  (1ull << 8)
#define LAPIC_BASE_X2APIC (1ull << 10)
#define LAPIC_BASE_ENABLE (1ull << 11)

enum lapic_reg {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_PPR = 0xa0,
	LAPIC_EOI = 0xb0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR2 = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PMC = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TMICT = 0x380,
	LAPIC_TMCCT = 0x390,
	LAPIC_TDCR = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0, /* x2APIC only */
};

enum lapic_mode { LAPIC_FIXED, LAPIC_LOWEST, LAPIC_SMI, LAPIC_NMI = 4, LAPIC_INIT, LAPIC_SIPI };
enum lapic_to { LAPIC_TO_DEST, LAPIC_TO_SELF, LAPIC_TO_ALL, LAPIC_TO_OTHERS };

struct lapic {
	uint32_t id;
	uint64_t base; /* the MSR */
	uint32_t tpr, ldr, dfr, svr, esr, esr_seen, icr2, tdcr, tmict;
	uint64_t icr;
	uint32_t lvt[6];
	uint32_t irr[8], isr[8];
};

/* What a write asks of the caller. */
struct lapic_out {
	bool message; /* deliver these */
	uint8_t vector;
	enum lapic_mode mode;
	enum lapic_to to;
	bool logical, x2apic;
	uint32_t dest;
	bool timer; /* the timer's setting changed: see lapic_timer() */
};

void lapic_power_on(struct lapic *l, uint32_t id, bool bsp);
void lapic_reset(struct lapic *l); /* INIT: all but id and base */

/* -EPERM: no such register, or not in this direction, or reserved bits (the
 * x2APIC's #GP; a memory access ignores it).  now: ns, for the counter. */
int lapic_read(const struct lapic *l, uint32_t reg, uint64_t *ret);
int lapic_write(struct lapic *l, uint32_t reg, uint64_t val, struct lapic_out *ret);
int lapic_write_base(struct lapic *l, uint64_t val); /* the MSR; -EPERM: #GP */

bool lapic_is_x2apic(const struct lapic *l);
/* Accept an edge interrupt.  False: disabled, or vector below 16; dropped. */
bool lapic_irq(struct lapic *l, uint8_t vector);
/* Highest vector above the processor's priority, or -1. */
int lapic_pending(const struct lapic *l);
void lapic_ack(struct lapic *l, uint8_t vector); /* IRR to ISR */
bool lapic_matches(const struct lapic *l, const struct lapic_out *m);

enum lapic_timer_mode { LAPIC_ONESHOT, LAPIC_PERIODIC, LAPIC_DEADLINE };
enum lapic_timer_mode lapic_timer_mode(const struct lapic *l);
uint64_t lapic_timer_ns(const struct lapic *l); /* of a full count; 0: stopped */
/* Nanoseconds left as the counter shows them. */
uint32_t lapic_timer_count(const struct lapic *l, uint64_t left_ns);
/* The vector to raise when the timer fires, or -1 if it is masked. */
int lapic_timer_vector(const struct lapic *l);

#endif
