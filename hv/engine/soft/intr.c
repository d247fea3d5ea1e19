/* hv/engine/soft/intr.c - interrupts and exceptions through the IDT, in real,
 * protected and long mode.  All reads and pushes come first, the commit last,
 * so a fault on the way leaves the vCPU where it was.
 * Source: APM volume 2, chapter 8; SDM volume 3A, chapter 6.
 */
#include "hv/engine/soft/mem.h"
#include "hv/engine/soft/seg.h"

static bool contributory(unsigned vec)
{
	return vec == X_DE || (vec >= X_TS && vec <= X_GP);
}

struct event intr_combine(const struct event *a, const struct event *b)
{
	bool hw = a->type == EV_FAULT || a->type == EV_TRAP;

	if (hw && a->vec == X_DF)
		return (struct event){ EV_NONE, 0, 0, 0 };
	if (hw && ((contributory(a->vec) && contributory(b->vec)) ||
		   (a->vec == X_PF && (contributory(b->vec) || b->vec == X_PF))))
		return (struct event){ EV_FAULT, X_DF, 1, 0 };
	return *b;
}

static void deliver_real(struct vcpu *c, const struct event *ev)
{
	struct stack k = stack_current(c);
	uint64_t fl = cpu_rflags(c);
	uint32_t off = ev->vec * 4u, e;

	if (off + 3 > c->st.idt.limit)
		cpu_gp0(c);
	e = (uint32_t)sup_read(c, c->st.idt.base + off, 4);
	stack_push(c, &k, 2, fl);
	stack_push(c, &k, 2, c->st.s[S_CS].sel);
	stack_push(c, &k, 2, c->st.rip);
	c->st.r[R_RSP] = stack_merge(&k, c->st.r[R_RSP]);
	c->st.s[S_CS].sel = (uint16_t)(e >> 16);
	c->st.s[S_CS].base = (e >> 16) << 4;
	c->st.rip = e & 0xffff;
	cpu_set_rflags(c, fl & ~(FL_IF | FL_TF | FL_AC | FL_RF));
}

struct gate {
	uint64_t off;
	unsigned sel, type, dpl, ist;
};

static struct gate read_gate(struct vcpu *c, const struct event *ev, uint32_t err)
{
	unsigned size = c->long_mode ? 16 : 8;
	uint32_t at = ev->vec * size;
	struct gate g;
	uint64_t lo;

	if (at + size - 1 > c->st.idt.limit)
		cpu_fault_err(c, X_GP, err);
	lo = sup_read(c, c->st.idt.base + at, 8);
	g.off = (lo & 0xffff) | (lo >> 32 & 0xffff0000);
	if (c->long_mode)
		g.off |= sup_read(c, c->st.idt.base + at + 8, 4) << 32;
	g.sel = (unsigned)(lo >> 16) & 0xffff;
	g.type = (unsigned)(lo >> 40) & 0x1f;
	g.dpl = (unsigned)(lo >> 45) & 3;
	g.ist = (unsigned)(lo >> 32) & 7;
	/* 5 would be a task gate, which nothing we run uses. */
	if ((g.type | 1) != 15 && (c->long_mode || (g.type | 1) != 7))
		cpu_fault_err(c, X_GP, err);
	if (ev->type == EV_SOFT && g.dpl < c->cpl)
		cpu_fault_err(c, X_GP, err);
	if (!(lo >> 47 & 1))
		cpu_fault_err(c, X_NP, err);
	if (g.type < 8)
		g.off &= 0xffff;
	return g;
}

static void read_target(struct vcpu *c, const struct gate *g, unsigned ext, struct desc *ret)
{
	if (!(g->sel & 0xfffc))
		cpu_fault_err(c, X_GP, ext);
	if (!desc_read(c, g->sel, ret) || (desc_type(ret) & 0x18) != 0x18 || desc_dpl(ret) > c->cpl)
		cpu_fault_err(c, X_GP, (g->sel & 0xfffc) | ext);
	if (c->long_mode && (!DESC_L(ret) || DESC_DB(ret)))
		cpu_fault_err(c, X_GP, (g->sel & 0xfffc) | ext);
	if (!desc_present(ret))
		cpu_fault_err(c, X_NP, (g->sel & 0xfffc) | ext);
}

uint64_t tss_rsp64(struct vcpu *c, unsigned off)
{
	const struct seg *t = &c->st.s[S_TR];
	uint64_t rsp;

	if (t->attr & SEG_UNUSABLE || off + 7 > t->limit)
		cpu_fault_err(c, X_TS, t->sel & 0xfffc);
	rsp = sup_read(c, t->base + off, 8);
	if (!canonical(rsp))
		cpu_fault_err(c, X_SS, 0);
	return rsp;
}

struct stack tss_stack(struct vcpu *c, unsigned ring, unsigned ext)
{
	const struct seg *t = &c->st.s[S_TR];
	bool wide = SEG_TYPE(t->attr) & 8;
	unsigned off = wide ? 4 + 8 * ring : 2 + 4 * ring, n = wide ? 4 : 2, sel;
	struct stack k = { .tm = ring == 3 ? TM_USER : TM_SUP };
	struct desc d;

	if (t->attr & SEG_UNUSABLE || off + n + 1 > t->limit)
		cpu_fault_err(c, X_TS, (t->sel & 0xfffc) | ext);
	k.sp = sup_read(c, t->base + off, n);
	sel = (unsigned)sup_read(c, t->base + off + n, 2);
	if (!(sel & 0xfffc) || !desc_read(c, sel, &d) || (sel & 3) != ring ||
	    desc_dpl(&d) != ring || (desc_type(&d) & 0x1a) != 0x12)
		cpu_fault_err(c, X_TS, (sel & 0xfffc) | ext);
	if (!desc_present(&d))
		cpu_fault_err(c, X_SS, (sel & 0xfffc) | ext);
	desc_accessed(c, &d);
	k.ss = desc_seg(&d, sel);
	k.mask = k.ss.attr & SEG_DB ? 0xffffffffu : 0xffffu;
	return k;
}

static struct stack new_stack(struct vcpu *c, const struct gate *g, unsigned ring, unsigned ext)
{
	struct stack k;

	if (!c->long_mode)
		return ring < c->cpl ? tss_stack(c, ring, ext) : stack_current(c);
	k = (struct stack){ c->st.s[S_SS], c->st.r[R_RSP], ~0ull, ring == 3 ? TM_USER : TM_SUP,
			    true };
	if (g->ist)
		k.sp = tss_rsp64(c, 0x24 + 8 * (g->ist - 1));
	else if (ring < c->cpl)
		k.sp = tss_rsp64(c, 4 + 8 * ring);
	k.sp &= ~15ull;
	if (ring < c->cpl)
		k.ss = (struct seg){ .sel = (uint16_t)ring,
				     .attr = (uint16_t)(SEG_UNUSABLE | ring << 5) };
	return k;
}

void intr_deliver(struct vcpu *c, const struct event *ev)
{
	unsigned ext = ev->type != EV_SOFT, ring, n;
	uint64_t fl = cpu_rflags(c), image = fl;
	struct stack k;
	struct gate g;
	struct desc d;

	if (!cpu_protected(c)) {
		deliver_real(c, ev);
		return;
	}
	g = read_gate(c, ev, ev->vec * 8u | 2 | ext);
	read_target(c, &g, ext, &d);
	ring = desc_type(&d) & 4 ? c->cpl : desc_dpl(&d);
	k = new_stack(c, &g, ring, ext);
	n = c->long_mode ? 8 : g.type & 8 ? 4 : 2;
	if (ev->type == EV_FAULT && ev->vec != X_DF)
		image |= FL_RF;
	if (c->long_mode || ring < c->cpl) {
		stack_push(c, &k, n, c->st.s[S_SS].sel);
		stack_push(c, &k, n, c->st.r[R_RSP]);
	}
	stack_push(c, &k, n, image);
	stack_push(c, &k, n, c->st.s[S_CS].sel);
	stack_push(c, &k, n, c->st.rip);
	if (ev->has_err)
		stack_push(c, &k, n, ev->err);
	desc_accessed(c, &d);
	c->st.r[R_RSP] = k.flat ? k.sp : stack_merge(&k, c->st.r[R_RSP]);
	c->st.s[S_SS] = k.ss;
	c->st.s[S_CS] = desc_seg(&d, (g.sel & 0xfffc) | ring);
	c->st.rip = g.off;
	if (ev->vec == X_DB && ev->type != EV_SOFT)
		c->st.dr[7] &= ~DR7_GD;
	cpu_set_rflags(c, fl & ~(FL_TF | FL_NT | FL_RF | FL_VM | (g.type & 1 ? 0 : FL_IF)));
}
