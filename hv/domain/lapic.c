/* hv/domain/lapic.c - see lapic.h. */
#include "hv/domain/lapic.h"

#include <errno.h>
#include <string.h>

#define LVT_MASKED	(1u << 16)
#define SVR_ENABLED	(1u << 8)
#define VERSION_VALUE	0x00050014u /* 6 LVT entries, integrated */
#define ESR_BAD_SEND	(1u << 5)
#define ESR_BAD_REG	(1u << 7)
#define ICR_LOGICAL	(1u << 11)
#define ICR_BUSY	(1u << 12)
#define ICR_ASSERT	(1u << 14)
#define ICR_LEVEL	(1u << 15)
#define ICR_RESERVED_X2 0x00000000fff33000ull /* bits 31:20, 17:16, 13, 12 */
#define DEST_ALL_XAPIC	0xffu
#define DEST_ALL_X2APIC 0xffffffffu

/* Bits a guest may set, per local vector table entry. */
static const uint32_t lvt_mask[6] = {
	0x000700ff, /* timer: mode 18:17, mask, vector */
	0x000107ff, 0x000107ff, 0x0001a7ff, 0x0001a7ff, 0x000100ff,
};

bool lapic_is_x2apic(const struct lapic *l)
{
	return l->base & LAPIC_BASE_X2APIC;
}

static bool sw_enabled(const struct lapic *l)
{
	return (l->base & LAPIC_BASE_ENABLE) && (l->svr & SVR_ENABLED);
}

void lapic_reset(struct lapic *l)
{
	uint32_t id = l->id;
	uint64_t base = l->base;

	memset(l, 0, sizeof(*l));
	l->id = id;
	l->base = base;
	l->svr = 0xff;
	l->dfr = UINT32_MAX;
	for (unsigned i = 0; i < 6; i++)
		l->lvt[i] = LVT_MASKED;
}

void lapic_power_on(struct lapic *l, uint32_t id, bool bsp)
{
	l->id = id;
	l->base = LAPIC_BASE | LAPIC_BASE_ENABLE | (bsp ? LAPIC_BASE_BSP : 0);
	lapic_reset(l);
}

static int highest(const uint32_t *bits)
{
	for (int i = 7; i >= 0; i--)
		if (bits[i])
			return i * 32 + 31 - __builtin_clz(bits[i]);
	return -1;
}

static uint32_t ppr(const struct lapic *l)
{
	int isr = highest(l->isr);
	uint32_t class = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

	return (l->tpr & 0xf0) >= class ? l->tpr : class;
}

bool lapic_irq(struct lapic *l, uint8_t vector)
{
	if (!sw_enabled(l))
		return false;
	if (vector < 16) {
		l->esr |= ESR_BAD_SEND;
		return false;
	}
	l->irr[vector / 32] |= 1u << vector % 32;
	return true;
}

int lapic_pending(const struct lapic *l)
{
	int v = highest(l->irr);

	if (v < 0 || !sw_enabled(l) || ((uint32_t)v & 0xf0) <= (ppr(l) & 0xf0))
		return -1;
	return v;
}

void lapic_ack(struct lapic *l, uint8_t vector)
{
	l->irr[vector / 32] &= ~(1u << vector % 32);
	l->isr[vector / 32] |= 1u << vector % 32;
}

static void eoi(struct lapic *l)
{
	int v = highest(l->isr);

	if (v >= 0)
		l->isr[v / 32] &= ~(1u << v % 32);
}

bool lapic_matches(const struct lapic *l, const struct lapic_out *m)
{
	uint32_t dest = m->dest;

	if (!(l->base & LAPIC_BASE_ENABLE))
		return false;
	if (dest == (m->x2apic ? DEST_ALL_X2APIC : DEST_ALL_XAPIC))
		return true;
	if (!m->logical)
		return dest == l->id;
	if (lapic_is_x2apic(l)) {
		/* Cluster in 31:16, one bit for the place in it (SDM 10.12.10.2). */
		if (!m->x2apic)
			return false;
		return dest >> 16 == l->id >> 4 && (dest & 0xffff & 1u << (l->id & 15));
	}
	if (l->dfr >> 28 == 0xf) /* flat */
		return (l->ldr >> 24) & dest & 0xff;
	return (l->ldr >> 28) == (dest >> 4 & 0xf) && (l->ldr >> 24 & dest & 0xf);
}

enum lapic_timer_mode lapic_timer_mode(const struct lapic *l)
{
	unsigned m = l->lvt[0] >> 17 & 3;

	return m == 1 ? LAPIC_PERIODIC : m == 2 ? LAPIC_DEADLINE : LAPIC_ONESHOT;
}

static uint64_t tick_ns(const struct lapic *l)
{
	unsigned code = (l->tdcr & 3) | (l->tdcr >> 1 & 4);

	return (uint64_t)LAPIC_TICK_NS << ((code + 1) & 7);
}

uint64_t lapic_timer_ns(const struct lapic *l)
{
	return lapic_timer_mode(l) == LAPIC_DEADLINE ? 0 : l->tmict * tick_ns(l);
}

uint32_t lapic_timer_count(const struct lapic *l, uint64_t left_ns)
{
	uint64_t n = left_ns / tick_ns(l);

	return n > l->tmict ? l->tmict : (uint32_t)n;
}

int lapic_timer_vector(const struct lapic *l)
{
	return l->lvt[0] & LVT_MASKED ? -1 : (int)(l->lvt[0] & 0xff);
}

int lapic_read(const struct lapic *l, uint32_t reg, uint64_t *ret)
{
	bool x2 = lapic_is_x2apic(l);

	if (reg >= LAPIC_ISR && reg < LAPIC_ISR + 0x80)
		*ret = l->isr[(reg - LAPIC_ISR) >> 4];
	else if (reg >= LAPIC_TMR && reg < LAPIC_TMR + 0x80)
		*ret = 0;
	else if (reg >= LAPIC_IRR && reg < LAPIC_IRR + 0x80)
		*ret = l->irr[(reg - LAPIC_IRR) >> 4];
	else if (reg >= LAPIC_LVT_TIMER && reg <= LAPIC_LVT_ERROR)
		*ret = l->lvt[(reg - LAPIC_LVT_TIMER) >> 4];
	else
		switch (reg) {
		case LAPIC_ID: *ret = x2 ? l->id : l->id << 24; break;
		case LAPIC_VERSION: *ret = VERSION_VALUE; break;
		case LAPIC_TPR: *ret = l->tpr; break;
		case LAPIC_PPR: *ret = ppr(l); break;
		case LAPIC_LDR: *ret = x2 ? (l->id >> 4) << 16 | 1u << (l->id & 15) : l->ldr; break;
		case LAPIC_SVR: *ret = l->svr; break;
		case LAPIC_ESR: *ret = l->esr_seen; break;
		case LAPIC_ICR: *ret = x2 ? l->icr : (uint32_t)l->icr; break;
		case LAPIC_TMICT: *ret = l->tmict; break;
		case LAPIC_TMCCT: *ret = 0; break; /* the caller knows the time */
		case LAPIC_TDCR: *ret = l->tdcr; break;
		case LAPIC_DFR:
			if (x2)
				return -EPERM;
			*ret = l->dfr;
			break;
		case LAPIC_ICR2:
			if (x2)
				return -EPERM;
			*ret = l->icr2;
			break;
		default: return -EPERM;
		}
	return 0;
}

static int write_icr(struct lapic *l, uint64_t val, struct lapic_out *out)
{
	bool x2 = lapic_is_x2apic(l);

	if (x2 && (val & ICR_RESERVED_X2))
		return -EPERM;
	l->icr = x2 ? val : (val & 0x000ccfff);
	out->vector = (uint8_t)val;
	out->mode = (enum lapic_mode)(val >> 8 & 7);
	out->to = (enum lapic_to)(val >> 18 & 3);
	out->logical = val & ICR_LOGICAL;
	out->x2apic = x2;
	out->dest = x2 ? (uint32_t)(val >> 32) : l->icr2 >> 24;
	/* INIT level de-assert only set arbitration ids on old processors. */
	out->message = !(out->mode == LAPIC_INIT && (val & ICR_LEVEL) && !(val & ICR_ASSERT));
	if ((out->mode == LAPIC_FIXED || out->mode == LAPIC_LOWEST) && out->vector < 16) {
		l->esr |= ESR_BAD_SEND;
		out->message = false;
	}
	return 0;
}

static void write_svr(struct lapic *l, uint32_t val)
{
	l->svr = val & 0x1ff;
	if (!(l->svr & SVR_ENABLED))
		for (unsigned i = 0; i < 6; i++)
			l->lvt[i] |= LVT_MASKED;
}

static void write_lvt(struct lapic *l, unsigned i, uint32_t val)
{
	l->lvt[i] = val & lvt_mask[i];
	if (!(l->svr & SVR_ENABLED))
		l->lvt[i] |= LVT_MASKED;
}

int lapic_write(struct lapic *l, uint32_t reg, uint64_t val, struct lapic_out *ret)
{
	bool x2 = lapic_is_x2apic(l);
	struct lapic_out out = { 0 };

	if (x2 && reg != LAPIC_ICR && val > UINT32_MAX)
		return -EPERM;
	if (reg >= LAPIC_LVT_TIMER && reg <= LAPIC_LVT_ERROR && !(reg & 0xf)) {
		write_lvt(l, (reg - LAPIC_LVT_TIMER) >> 4, (uint32_t)val);
		out.timer = reg == LAPIC_LVT_TIMER;
		*ret = out;
		return 0;
	}
	switch (reg) {
	case LAPIC_TPR: l->tpr = val & 0xff; break;
	case LAPIC_EOI:
		if (x2 && val)
			return -EPERM;
		eoi(l);
		break;
	case LAPIC_SVR: write_svr(l, (uint32_t)val); break;
	case LAPIC_ESR:
		if (x2 && val)
			return -EPERM;
		l->esr_seen = l->esr;
		l->esr = 0;
		break;
	case LAPIC_ICR: {
		int r = write_icr(l, val, &out);

		if (r < 0)
			return r;
		break;
	}
	case LAPIC_TMICT:
		if (lapic_timer_mode(l) != LAPIC_DEADLINE) {
			l->tmict = (uint32_t)val;
			out.timer = true;
		}
		break;
	case LAPIC_TDCR:
		l->tdcr = val & 0xb;
		out.timer = true;
		break;
	case LAPIC_ID:
	case LAPIC_LDR:
	case LAPIC_DFR:
	case LAPIC_ICR2:
		if (x2)
			return -EPERM;
		/* The id is wired to the vCPU's number. */
		if (reg == LAPIC_LDR)
			l->ldr = val & 0xff000000;
		if (reg == LAPIC_DFR)
			l->dfr = (uint32_t)val | 0x0fffffff;
		if (reg == LAPIC_ICR2)
			l->icr2 = val & 0xff000000;
		break;
	case LAPIC_SELF_IPI:
		if (!x2 || val > 0xff)
			return -EPERM;
		out = (struct lapic_out){ .message = val >= 16,
					  .vector = (uint8_t)val,
					  .to = LAPIC_TO_SELF };
		break;
	default: l->esr |= ESR_BAD_REG; return -EPERM;
	}
	*ret = out;
	return 0;
}

int lapic_write_base(struct lapic *l, uint64_t val)
{
	const uint64_t mode = LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC;
	uint64_t from = l->base & mode, to = val & mode;

	/* The page stays where it is, and the boot processor's mark too. */
	if ((val & ~mode) != (l->base & ~mode))
		return -EPERM;
	/* SDM 10.12.5: x2APIC only from xAPIC, and only off from there. */
	if (to == LAPIC_BASE_X2APIC || (to == mode && !from) ||
	    (from == mode && to == LAPIC_BASE_ENABLE))
		return -EPERM;
	if (!to && from)
		lapic_reset(l);
	l->base = val;
	return 0;
}
