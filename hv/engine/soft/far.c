/* hv/engine/soft/far.c - far jumps, calls, returns and IRET, with call gates and
 * the stack switches they and returns to outer rings make.  Task gates and TSS
 * selectors raise #GP: long mode has no hardware tasks and no guest we run uses
 * them before it.  Source: APM volume 3, CALL (far), RET (far), IRET.
 */
#include "hv/engine/soft/mem.h"
#include "hv/engine/soft/seg.h"

static uint64_t size_mask(unsigned n)
{
	return n == 8 ? ~0ull : (1ull << (8 * n)) - 1;
}

/* A code segment fit to run at ring cpl; faults name the selector. */
static void check_code(struct vcpu *c, const struct desc *d, unsigned sel)
{
	if ((desc_type(d) & 0x18) != 0x18 || (c->long_mode && DESC_L(d) && DESC_DB(d)))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	if (!desc_present(d))
		cpu_fault_err(c, X_NP, sel & 0xfffc);
}

static void check_offset(struct vcpu *c, const struct desc *d, uint64_t off)
{
	bool to64 = c->long_mode && DESC_L(d);

	if (to64 ? !canonical(off) : off > desc_seg(d, 0).limit)
		cpu_gp0(c);
}

static void set_cs(struct vcpu *c, struct desc *d, unsigned sel, unsigned cpl, uint64_t off)
{
	desc_accessed(c, d);
	c->st.s[S_CS] = desc_seg(d, (sel & 0xfffc) | cpl);
	c->next = off;
}

static void real_cs(struct vcpu *c, unsigned sel, uint64_t off)
{
	if (off > c->st.s[S_CS].limit)
		cpu_gp0(c);
	c->st.s[S_CS].sel = (uint16_t)sel;
	c->st.s[S_CS].base = sel << 4;
	c->next = off;
}

struct call_gate {
	uint64_t off;
	unsigned sel, words, n; /* n: bytes per push */
	struct desc code;
};

/* The target of a call gate, with the gate's and the segment's privileges checked. */
static void read_call_gate(struct vcpu *c, const struct desc *g, unsigned sel, bool call,
			   struct call_gate *ret)
{
	unsigned type = desc_type(g), dpl;

	if (type != 0xc && (type != 4 || c->long_mode))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	if (desc_dpl(g) < c->cpl || desc_dpl(g) < (sel & 3))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	if (!desc_present(g))
		cpu_fault_err(c, X_NP, sel & 0xfffc);
	ret->sel = (unsigned)(g->lo >> 16) & 0xffff;
	ret->off = g->lo & 0xffff;
	ret->words = (unsigned)(g->lo >> 32) & 31;
	ret->n = c->long_mode ? 8 : type == 0xc ? 4 : 2;
	if (type == 0xc)
		ret->off |= g->lo >> 32 & 0xffff0000;
	if (c->long_mode)
		ret->off |= sup_read(c, g->at + 8, 4) << 32;
	if (!(ret->sel & 0xfffc))
		cpu_gp0(c);
	if (!desc_read(c, ret->sel, &ret->code))
		cpu_fault_err(c, X_GP, ret->sel & 0xfffc);
	check_code(c, &ret->code, ret->sel);
	if (c->long_mode && !DESC_L(&ret->code))
		cpu_fault_err(c, X_GP, ret->sel & 0xfffc);
	dpl = desc_dpl(&ret->code);
	if (dpl > c->cpl || (!call && !(desc_type(&ret->code) & 4) && dpl != c->cpl))
		cpu_fault_err(c, X_GP, ret->sel & 0xfffc);
}

static void check_direct(struct vcpu *c, const struct desc *d, unsigned sel)
{
	bool conforming = desc_type(d) & 4;

	if (conforming ? desc_dpl(d) > c->cpl : desc_dpl(d) != c->cpl || (sel & 3) > c->cpl)
		cpu_fault_err(c, X_GP, sel & 0xfffc);
}

void far_jump(struct vcpu *c, unsigned sel, uint64_t off, unsigned opsize)
{
	struct call_gate cg;
	struct desc d;

	off &= size_mask(opsize);
	if (!cpu_protected(c)) {
		real_cs(c, sel, off);
		return;
	}
	if (!(sel & 0xfffc))
		cpu_gp0(c);
	if (!desc_read(c, sel, &d))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	if (!(desc_type(&d) & 0x10)) {
		read_call_gate(c, &d, sel, false, &cg);
		check_offset(c, &cg.code, cg.off);
		set_cs(c, &cg.code, cg.sel, c->cpl, cg.off);
	} else {
		check_code(c, &d, sel);
		check_direct(c, &d, sel);
		check_offset(c, &d, off);
		set_cs(c, &d, sel, c->cpl, off);
	}
	cpu_update_mode(c);
}

static void call_inner(struct vcpu *c, struct call_gate *g)
{
	unsigned ring = desc_dpl(&g->code), n = g->n;
	struct stack old = stack_current(c), k;
	uint32_t params[31];

	if (c->long_mode) {
		k = (struct stack){
			.sp = tss_rsp64(c, 4 + 8 * ring), .mask = ~0ull, .tm = TM_SUP, .flat = true
		};
		k.ss = (struct seg){ .sel = (uint16_t)ring,
				     .attr = (uint16_t)(SEG_UNUSABLE | ring << 5) };
		g->words = 0;
	} else {
		k = tss_stack(c, ring, 0);
	}
	for (unsigned i = 0; i < g->words; i++)
		params[i] = (uint32_t)stack_pop(c, &old, n);
	stack_push(c, &k, n, c->st.s[S_SS].sel);
	stack_push(c, &k, n, c->st.r[R_RSP]);
	for (unsigned i = g->words; i--;)
		stack_push(c, &k, n, params[i]);
	stack_push(c, &k, n, c->st.s[S_CS].sel);
	stack_push(c, &k, n, c->next);
	set_cs(c, &g->code, g->sel, ring, g->off);
	c->st.s[S_SS] = k.ss;
	c->st.r[R_RSP] = k.flat ? k.sp : stack_merge(&k, c->st.r[R_RSP]);
}

void far_call(struct vcpu *c, unsigned sel, uint64_t off, unsigned opsize)
{
	struct stack k = stack_current(c);
	struct call_gate cg = { .n = opsize };
	struct desc d = { 0, 0 };

	off &= size_mask(opsize);
	if (cpu_protected(c)) {
		if (!(sel & 0xfffc))
			cpu_gp0(c);
		if (!desc_read(c, sel, &d))
			cpu_fault_err(c, X_GP, sel & 0xfffc);
		if (!(desc_type(&d) & 0x10)) {
			read_call_gate(c, &d, sel, true, &cg);
			check_offset(c, &cg.code, cg.off);
			if (!(desc_type(&cg.code) & 4) && desc_dpl(&cg.code) < c->cpl) {
				call_inner(c, &cg);
				cpu_update_mode(c);
				return;
			}
			d = cg.code;
			sel = cg.sel;
			off = cg.off;
		} else {
			check_code(c, &d, sel);
			check_direct(c, &d, sel);
			check_offset(c, &d, off);
		}
	}
	stack_push(c, &k, cg.n, c->st.s[S_CS].sel);
	stack_push(c, &k, cg.n, c->next);
	if (cpu_protected(c))
		set_cs(c, &d, sel, c->cpl, off);
	else
		real_cs(c, sel, off);
	c->st.r[R_RSP] = k.flat ? k.sp : stack_merge(&k, c->st.r[R_RSP]);
	cpu_update_mode(c);
}

/* The code segment a return goes to: its RPL is the ring. */
static void read_return_cs(struct vcpu *c, unsigned sel, uint64_t off, struct desc *ret)
{
	unsigned rpl = sel & 3;

	if (!(sel & 0xfffc))
		cpu_gp0(c);
	if (!desc_read(c, sel, ret))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	if (rpl < c->cpl || (desc_type(ret) & 4 ? desc_dpl(ret) > rpl : desc_dpl(ret) != rpl))
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	check_code(c, ret, sel);
	check_offset(c, ret, off);
}

/* The stack segment a return to ring loads; to64: a null one will do. */
static struct seg read_return_ss(struct vcpu *c, unsigned sel, unsigned ring, bool to64)
{
	struct desc d;

	if (!(sel & 0xfffc)) {
		if (!to64 || ring == 3 || (sel & 3) != ring)
			cpu_gp0(c);
		return (struct seg){ .sel = (uint16_t)sel,
				     .attr = (uint16_t)(SEG_UNUSABLE | ring << 5) };
	}
	if (!desc_read(c, sel, &d) || (sel & 3) != ring || desc_dpl(&d) != ring ||
	    (desc_type(&d) & 0x1a) != 0x12)
		cpu_fault_err(c, X_GP, sel & 0xfffc);
	if (!desc_present(&d))
		cpu_fault_err(c, X_SS, sel & 0xfffc);
	desc_accessed(c, &d);
	return desc_seg(&d, sel);
}

static void set_return_stack(struct vcpu *c, const struct seg *ss, uint64_t sp, bool to64,
			     unsigned opsize)
{
	c->st.s[S_SS] = *ss;
	if (to64)
		c->st.r[R_RSP] = sp & size_mask(opsize);
	else if (ss->attr & SEG_DB)
		c->st.r[R_RSP] = (uint32_t)sp;
	else
		c->st.r[R_RSP] = (c->st.r[R_RSP] & ~0xffffull) | (sp & 0xffff);
}

void far_ret(struct vcpu *c, unsigned opsize, unsigned release)
{
	struct stack k = stack_current(c);
	uint64_t off = stack_pop(c, &k, opsize), sp;
	unsigned sel = (unsigned)stack_pop(c, &k, opsize) & 0xffff, ring;
	struct seg ss;
	struct desc d;
	bool to64;

	k.sp = (k.sp + release) & k.mask;
	if (!cpu_protected(c)) {
		real_cs(c, sel, off);
		c->st.r[R_RSP] = stack_merge(&k, c->st.r[R_RSP]);
		return;
	}
	read_return_cs(c, sel, off, &d);
	ring = sel & 3;
	if (ring == c->cpl) {
		set_cs(c, &d, sel, ring, off);
		c->st.r[R_RSP] = k.flat ? k.sp : stack_merge(&k, c->st.r[R_RSP]);
		cpu_update_mode(c);
		return;
	}
	sp = stack_pop(c, &k, opsize);
	to64 = c->long_mode && DESC_L(&d);
	ss = read_return_ss(c, (unsigned)stack_pop(c, &k, opsize) & 0xffff, ring, to64);
	set_cs(c, &d, sel, ring, off);
	set_return_stack(c, &ss, sp + release, to64, opsize);
	seg_drop_inner(c, ring);
	cpu_update_mode(c);
}

static void iret_flags(struct vcpu *c, uint64_t fl, unsigned opsize, unsigned old_cpl)
{
	uint64_t m = FL_ARITH | FL_TF | FL_DF | FL_NT, cur = cpu_rflags(c);

	if (opsize >= 4)
		m |= FL_RF | FL_AC | FL_ID;
	if (!cpu_protected(c) || old_cpl == 0)
		m |= FL_IOPL | FL_IF;
	else if (old_cpl <= (cur & FL_IOPL) >> 12)
		m |= FL_IF;
	cpu_set_rflags(c, (cur & ~m) | (fl & m));
}

void far_iret(struct vcpu *c, unsigned opsize)
{
	struct stack k = stack_current(c);
	unsigned cpl = c->cpl, sel, ring;
	uint64_t off, fl, sp = 0;
	bool outer, to64;
	struct desc d;
	struct seg ss;

	if (cpu_protected(c) && c->st.rflags & FL_NT)
		cpu_gp0(c);
	off = stack_pop(c, &k, opsize);
	sel = (unsigned)stack_pop(c, &k, opsize) & 0xffff;
	fl = stack_pop(c, &k, opsize);
	if (!cpu_protected(c)) {
		real_cs(c, sel, off);
		c->st.r[R_RSP] = stack_merge(&k, c->st.r[R_RSP]);
		iret_flags(c, fl, opsize, 0);
		c->st.nmi_blocked = 0;
		return;
	}
	if (fl & FL_VM && opsize >= 4 && !cpl && !c->long_mode)
		cpu_gp0(c); /* virtual-8086 mode is not offered */
	read_return_cs(c, sel, off, &d);
	ring = sel & 3;
	outer = ring > cpl || c->mode == MODE_64;
	to64 = c->long_mode && DESC_L(&d);
	if (outer) {
		sp = stack_pop(c, &k, opsize);
		ss = read_return_ss(c, (unsigned)stack_pop(c, &k, opsize) & 0xffff, ring, to64);
	}
	set_cs(c, &d, sel, ring, off);
	if (outer) {
		set_return_stack(c, &ss, sp, to64, opsize);
		if (ring > cpl)
			seg_drop_inner(c, ring);
	} else {
		c->st.r[R_RSP] = stack_merge(&k, c->st.r[R_RSP]);
	}
	c->st.nmi_blocked = 0;
	iret_flags(c, fl, opsize, cpl);
}
