/* hv/engine/soft/seg.c - descriptors and the registers loaded from them, and
 * pushes and pops on stacks that are being switched to.
 * Source: APM volume 2, chapter 4; SDM volume 3A, chapters 3 and 5.
 */
#include "hv/engine/soft/seg.h"

#include "hv/engine/soft/mem.h"

bool desc_read(struct vcpu *c, unsigned sel, struct desc *ret)
{
	uint64_t base = c->st.gdt.base;
	uint32_t limit = c->st.gdt.limit, off = sel & 0xfff8;

	if (sel & 4) {
		const struct seg *l = &c->st.s[S_LDTR];

		if (l->attr & SEG_UNUSABLE)
			return false;
		base = l->base;
		limit = l->limit;
	}
	if (off + 7 > limit || !(sel & 0xfffc))
		return false;
	ret->at = base + off;
	if (!c->long_mode)
		ret->at = (uint32_t)ret->at;
	ret->lo = sup_read(c, ret->at, 8);
	return true;
}

struct seg desc_seg(const struct desc *d, unsigned sel)
{
	struct seg s = {
		.base = (d->lo >> 16 & 0xffffff) | (d->lo >> 56) << 24,
		.limit = (uint32_t)((d->lo & 0xffff) | (d->lo >> 32 & 0xf0000)),
		.sel = (uint16_t)sel,
		.attr = (uint16_t)((d->lo >> 40 & 0xff) | (d->lo >> 52 & 0xf) << 8),
	};

	if (s.attr & SEG_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

void desc_accessed(struct vcpu *c, struct desc *d)
{
	if (d->lo >> 40 & 1)
		return;
	d->lo |= 1ull << 40;
	sup_write(c, d->at + 5, 1, d->lo >> 40 & 0xff);
}

static void load_real(struct vcpu *c, unsigned s, unsigned sel)
{
	struct seg *g = &c->st.s[s];

	g->sel = (uint16_t)sel;
	g->base = sel << 4;
	if (g->attr & SEG_UNUSABLE)
		g->attr = SEG_P | SEG_S | 3;
}

static void load_null(struct vcpu *c, unsigned s, unsigned sel)
{
	if (s == S_SS && (c->mode != MODE_64 || c->cpl == 3 || (sel & 3) != c->cpl))
		cpu_gp0(c);
	c->st.s[s] = (struct seg){ .sel = (uint16_t)sel, .attr = SEG_UNUSABLE };
	if (s == S_SS)
		c->st.s[s].attr |= (uint16_t)(c->cpl << 5);
}

void seg_load(struct vcpu *c, unsigned s, unsigned sel)
{
	unsigned rpl = sel & 3, type;
	struct desc d;

	if (!cpu_protected(c)) {
		load_real(c, s, sel);
		return;
	}
	if (!(sel & 0xfffc)) {
		load_null(c, s, sel);
		cpu_update_mode(c);
		return;
	}
	if (!desc_read(c, sel, &d))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	type = desc_type(&d);
	if (s == S_SS) {
		if (rpl != c->cpl || desc_dpl(&d) != c->cpl || (type & 0x1a) != 0x12)
			cpu_fault_err(c, X_GP, sel & 0xfffc);
		if (!desc_present(&d))
			cpu_fault_err(c, X_SS, sel & 0xfffc);
	} else {
		if (!(type & 0x10) || (type & 0xa) == 8)
			cpu_fault_err(c, X_GP, sel & 0xfffc);
		if ((type & 0xc) != 0xc && (desc_dpl(&d) < c->cpl || desc_dpl(&d) < rpl))
			cpu_fault_err(c, X_GP, sel & 0xfffc);
		if (!desc_present(&d))
			cpu_fault_err(c, X_NP, sel & 0xfffc);
	}
	desc_accessed(c, &d);
	c->st.s[s] = desc_seg(&d, sel);
	cpu_update_mode(c);
}

/* LDT and TSS descriptors are 16 bytes in long mode. */
static struct seg system_seg(struct vcpu *c, unsigned sel, struct desc *d)
{
	struct seg g;

	if (sel & 4 || !desc_read(c, sel, d))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	g = desc_seg(d, sel);
	if (c->long_mode) {
		if ((sel & 0xfff8u) + 15 > c->st.gdt.limit)
			cpu_fault_err(c, X_GP, sel & 0xfffc);
		g.base |= sup_read(c, d->at + 8, 4) << 32;
		if (!canonical(g.base))
			cpu_fault_err(c, X_GP, sel & 0xfffc);
	}
	return g;
}

void seg_load_ldt(struct vcpu *c, unsigned sel)
{
	struct desc d;
	struct seg g;

	if (!(sel & 0xfffc)) {
		c->st.s[S_LDTR] = (struct seg){ .sel = (uint16_t)sel, .attr = SEG_UNUSABLE };
		return;
	}
	g = system_seg(c, sel, &d);
	if (desc_type(&d) != 2)
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	if (!desc_present(&d))
		cpu_fault_err(c, X_NP, sel & 0xfffc);
	c->st.s[S_LDTR] = g;
}

void seg_load_tr(struct vcpu *c, unsigned sel)
{
	struct desc d;
	struct seg g;

	if (!(sel & 0xfffc))
		cpu_gp0(c);
	g = system_seg(c, sel, &d);
	if (desc_type(&d) != 9 && (c->long_mode || desc_type(&d) != 1))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	if (!desc_present(&d))
		cpu_fault_err(c, X_NP, sel & 0xfffc);
	sup_write(c, d.at + 5, 1, (d.lo >> 40 & 0xff) | 2);
	g.attr |= 2; /* busy */
	c->st.s[S_TR] = g;
}

void seg_drop_inner(struct vcpu *c, unsigned cpl)
{
	static const uint8_t data[] = { S_ES, S_DS, S_FS, S_GS };

	for (unsigned k = 0; k < sizeof(data); k++) {
		struct seg *g = &c->st.s[data[k]];
		bool conforming = (g->attr & 0x1c) == 0x1c;

		if (!(g->attr & SEG_UNUSABLE) && SEG_DPL(g->attr) < cpl && !conforming) {
			g->sel = 0;
			g->attr |= SEG_UNUSABLE;
		}
	}
}

struct stack stack_current(const struct vcpu *c)
{
	return (struct stack){ c->st.s[S_SS], c->st.r[R_RSP], c->sp_mask, c->tm,
			       c->mode == MODE_64 };
}

static uint64_t stack_linear(struct vcpu *c, const struct stack *k, uint64_t sp, unsigned n)
{
	uint64_t last = sp + n - 1;

	if (k->flat) {
		if (!canonical(sp) || !canonical(last))
			cpu_fault_err(c, X_SS, 0);
		return sp;
	}
	if (cpu_protected(c) && (k->ss.attr & 0xc) == 4) {
		if (sp <= k->ss.limit || last > (k->ss.attr & SEG_DB ? 0xffffffffu : 0xffffu))
			cpu_fault_err(c, X_SS, 0);
	} else if (last > k->ss.limit) {
		cpu_fault_err(c, X_SS, 0);
	}
	return (uint32_t)(k->ss.base + sp);
}

void stack_push(struct vcpu *c, struct stack *k, unsigned n, uint64_t v)
{
	uint64_t sp = (k->sp - n) & k->mask, va = stack_linear(c, k, sp, n);
	void *p = tlb_hit(c->tlb->e[k->tm][ACC_WRITE], va, n);

	if (likely(p) && !c->check_align)
		host_put(p, n, v);
	else
		mem_write_slow(c, k->tm, va, n, v);
	k->sp = sp;
}

uint64_t stack_pop(struct vcpu *c, struct stack *k, unsigned n)
{
	uint64_t sp = k->sp & k->mask, va = stack_linear(c, k, sp, n), v;
	void *p = tlb_hit(c->tlb->e[k->tm][ACC_READ], va, n);

	v = likely(p) && !c->check_align ? host_get(p, n) : mem_read_slow(c, k->tm, va, n);
	k->sp = (sp + n) & k->mask;
	return v;
}
