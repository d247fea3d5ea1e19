/* hv/engine/soft/exec_ctl.c - branches, calls, software interrupts, and the fast
 * system calls.  Source: APM volume 3; SDM volume 2 for SYSENTER and SYSEXIT.
 */
#include "hv/engine/soft/exec.h"
#include "hv/engine/soft/seg.h"

void jump_near(struct vcpu *c, unsigned n, uint64_t v)
{
	v = mask_size(v, n);
	if (c->mode == MODE_64 ? !canonical(v) : v > c->st.s[S_CS].limit)
		cpu_gp0(c);
	c->next = v;
}

void ex_jcc(struct vcpu *c, const struct insn *i)
{
	if (flag_cond(c->fl, i->op & 15))
		jump_near(c, i->opsize, c->next + i->imm);
}

void ex_jmp(struct vcpu *c, const struct insn *i)
{
	jump_near(c, i->opsize, c->next + i->imm);
}

static void call_to(struct vcpu *c, unsigned n, uint64_t to)
{
	uint64_t back = c->next;

	jump_near(c, n, to);
	push(c, n, back);
}

void ex_call(struct vcpu *c, const struct insn *i)
{
	call_to(c, i->opsize, c->next + i->imm);
}

void ex_ret(struct vcpu *c, const struct insn *i)
{
	uint64_t rsp = c->st.r[R_RSP], v = pop(c, i->opsize), after = sp_add(c, (int64_t)i->imm);

	c->st.r[R_RSP] = rsp;
	jump_near(c, i->opsize, v);
	c->st.r[R_RSP] = after;
}

void ex_retf(struct vcpu *c, const struct insn *i)
{
	far_ret(c, i->opsize, (unsigned)i->imm);
}

void ex_iret(struct vcpu *c, const struct insn *i)
{
	far_iret(c, i->opsize);
}

void ex_jmp_far(struct vcpu *c, const struct insn *i)
{
	far_jump(c, (unsigned)(i->imm >> (8 * i->opsize)) & 0xffff, i->imm, i->opsize);
}

void ex_call_far(struct vcpu *c, const struct insn *i)
{
	far_call(c, (unsigned)(i->imm >> (8 * i->opsize)) & 0xffff, i->imm, i->opsize);
}

static void far_indirect(struct vcpu *c, const struct insn *i, bool call)
{
	unsigned n = i->opsize, sel;
	uint64_t ea, off;

	need_mem(c, i);
	ea = insn_ea(c, i);
	off = mem_read(c, seg_linear(c, i->seg, ea, n, ACC_READ), n);
	sel = (unsigned)mem_read(
		c, seg_linear(c, i->seg, mask_size(ea + n, i->adsize), 2, ACC_READ), 2);
	if (call)
		far_call(c, sel, off, n);
	else
		far_jump(c, sel, off, n);
}

void ex_grp5(struct vcpu *c, const struct insn *i)
{
	switch (i->reg & 7) {
	case 0:
	case 1: ex_grp4(c, i); break;
	case 2: call_to(c, i->opsize, rm_get(c, i, i->opsize)); break;
	case 3: far_indirect(c, i, true); break;
	case 4: jump_near(c, i->opsize, rm_get(c, i, i->opsize)); break;
	case 5: far_indirect(c, i, false); break;
	case 6: push(c, i->opsize, rm_get(c, i, i->opsize)); break;
	default: cpu_ud(c);
	}
}

/* loopne e0, loope e1, loop e2, jcxz e3: the counter is as wide as addresses. */
void ex_loop(struct vcpu *c, const struct insn *i)
{
	uint64_t n = mask_size(c->st.r[R_RCX], i->adsize);
	bool go, zf = c->fl & 0x4000;

	if (i->op == 0xe3) {
		go = !n;
	} else {
		n = mask_size(n - 1, i->adsize);
		go = n && (i->op == 0xe2 || zf == (i->op & 1));
	}
	if (go)
		jump_near(c, i->opsize, c->next + i->imm);
	if (i->op != 0xe3)
		set_sized(&c->st.r[R_RCX], i->adsize, n);
}

static _Noreturn void software(struct vcpu *c, unsigned vec, enum event_type type)
{
	uint8_t len = (uint8_t)(c->next - c->st.rip);

	c->st.rip = c->next;
	cpu_raise(c, (struct event){ (uint8_t)type, (uint8_t)vec, 0, 0, len });
}

void ex_int(struct vcpu *c, const struct insn *i)
{
	software(c, (unsigned)i->imm & 0xff, EV_SOFT);
}

void ex_int3(struct vcpu *c, const struct insn *i)
{
	software(c, X_BP, EV_SOFT);
}

void ex_into(struct vcpu *c, const struct insn *i)
{
	if (c->fl & 1)
		software(c, X_OF, EV_SOFT);
}

void ex_int1(struct vcpu *c, const struct insn *i)
{
	software(c, X_DB, EV_TRAP);
}

void ex_enter(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize, level = (unsigned)(i->imm >> 16) & 31;
	uint64_t rbp = c->st.r[R_RBP], frame, bp = rbp;
	struct stack k = stack_current(c);

	stack_push(c, &k, n, rbp);
	frame = k.sp;
	for (unsigned l = 1; l < level; l++) {
		bp = (bp - n) & c->sp_mask;
		stack_push(c, &k, n, mem_read(c, seg_linear(c, S_SS, bp, n, ACC_READ), n));
	}
	if (level)
		stack_push(c, &k, n, frame);
	k.sp = (k.sp - (i->imm & 0xffff)) & k.mask;
	mem_check_write(c, seg_linear(c, S_SS, k.sp, n, ACC_WRITE), n);
	c->st.r[R_RSP] = stack_merge(&k, c->st.r[R_RSP]);
	set_sized(&c->st.r[R_RBP], n, n == 2 ? frame : (rbp & ~k.mask) | frame);
}

void ex_leave(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize;
	uint64_t bp = c->st.r[R_RBP] & c->sp_mask;
	uint64_t v = mem_read(c, seg_linear(c, S_SS, bp, n, ACC_READ), n);

	c->st.r[R_RSP] = (c->st.r[R_RSP] & ~c->sp_mask) | ((bp + n) & c->sp_mask);
	set_sized(&c->st.r[R_RBP], n, v);
}

static struct seg flat_code(unsigned sel, unsigned dpl, bool wide)
{
	return (struct seg){ 0, ~0u, (uint16_t)sel,
			     (uint16_t)(0xb | SEG_S | dpl << 5 | SEG_P | SEG_G |
					(wide ? SEG_L : SEG_DB)) };
}

static struct seg flat_stack(unsigned sel, unsigned dpl)
{
	return (struct seg){ 0, ~0u, (uint16_t)sel,
			     (uint16_t)(3 | SEG_S | dpl << 5 | SEG_P | SEG_G | SEG_DB) };
}

void ex_syscall(struct vcpu *c, const struct insn *i)
{
	unsigned sel = (unsigned)(c->st.star >> 32) & 0xfffc;
	uint64_t fl = cpu_rflags(c);

	if (!(c->st.efer & EFER_SCE) || !cpu_protected(c))
		cpu_ud(c);
	if (c->long_mode) {
		c->st.r[R_RCX] = c->next;
		c->st.r[R_R11] = fl & ~FL_RF;
		c->next = c->mode == MODE_64 ? c->st.lstar : c->st.cstar;
		fl &= ~(c->st.sfmask | FL_RF);
	} else {
		c->st.r[R_RCX] = (uint32_t)c->next;
		c->next = (uint32_t)c->st.star;
		fl &= ~(FL_IF | FL_VM | FL_RF);
	}
	c->st.s[S_CS] = flat_code(sel, 0, c->long_mode);
	c->st.s[S_SS] = flat_stack(sel + 8, 0);
	cpu_set_rflags(c, fl | 2);
}

void ex_sysret(struct vcpu *c, const struct insn *i)
{
	unsigned sel = (unsigned)(c->st.star >> 48) & 0xffff;
	bool wide = i->opsize == 8;
	uint64_t fl = c->st.r[R_R11] & 0x3c7fd7;

	if (!(c->st.efer & EFER_SCE) || !cpu_protected(c))
		cpu_ud(c);
	cpu_need_cpl0(c);
	if (wide && !canonical(c->st.r[R_RCX]))
		cpu_gp0(c);
	c->next = wide ? c->st.r[R_RCX] : (uint32_t)c->st.r[R_RCX];
	c->st.s[S_CS] = flat_code((wide ? sel + 16 : sel) | 3, 3, wide);
	c->st.s[S_SS] = flat_stack((sel + 8) | 3, 3);
	if (!c->long_mode)
		fl = cpu_rflags(c) | FL_IF;
	cpu_set_rflags(c, (fl & ~(FL_RF | FL_VM)) | 2);
}

void ex_sysenter(struct vcpu *c, const struct insn *i)
{
	unsigned sel = c->st.sysenter_cs & 0xfffc;

	if (!cpu_protected(c) || !sel)
		cpu_gp0(c);
	c->st.s[S_CS] = flat_code(sel, 0, c->long_mode);
	c->st.s[S_SS] = flat_stack(sel + 8, 0);
	c->next = c->long_mode ? c->st.sysenter_eip : (uint32_t)c->st.sysenter_eip;
	c->st.r[R_RSP] = c->long_mode ? c->st.sysenter_esp : (uint32_t)c->st.sysenter_esp;
	cpu_set_rflags(c, cpu_rflags(c) & ~(FL_VM | FL_IF | FL_RF));
}

void ex_sysexit(struct vcpu *c, const struct insn *i)
{
	unsigned sel = c->st.sysenter_cs & 0xfffc;
	bool wide = i->opsize == 8;
	uint64_t rip = c->st.r[R_RDX], rsp = c->st.r[R_RCX];

	if (!cpu_protected(c) || !sel)
		cpu_gp0(c);
	cpu_need_cpl0(c);
	if (wide && (!canonical(rip) || !canonical(rsp)))
		cpu_gp0(c);
	c->st.s[S_CS] = flat_code((sel + (wide ? 32 : 16)) | 3, 3, wide);
	c->st.s[S_SS] = flat_stack((sel + (wide ? 40 : 24)) | 3, 3);
	c->next = wide ? rip : (uint32_t)rip;
	c->st.r[R_RSP] = wide ? rsp : (uint32_t)rsp;
	cpu_update_mode(c);
}

void ex_ud(struct vcpu *c, const struct insn *i)
{
	cpu_ud(c);
}
