/* hv/engine/soft/exec_mov.c - moves, stack, conversions, flag bits: everything
 * that neither computes nor branches.
 */
#include "hv/engine/soft/exec.h"
#include "hv/engine/soft/seg.h"

void push(struct vcpu *c, unsigned n, uint64_t v)
{
	uint64_t sp = sp_add(c, -(int64_t)n);

	mem_write(c, seg_linear(c, S_SS, sp & c->sp_mask, n, ACC_WRITE), n, v);
	c->st.r[R_RSP] = sp;
}

uint64_t pop(struct vcpu *c, unsigned n)
{
	uint64_t v = mem_read(c, seg_linear(c, S_SS, c->st.r[R_RSP] & c->sp_mask, n, ACC_READ), n);

	c->st.r[R_RSP] = sp_add(c, n);
	return v;
}

void ex_mov(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i);

	if (i->op & 2)
		reg_set(c, i, i->reg, n, rm_get(c, i, n));
	else
		rm_set(c, i, n, reg_get(c, i, i->reg, n));
}

void ex_mov_imm(struct vcpu *c, const struct insn *i)
{
	if (i->reg & 7)
		cpu_ud(c);
	rm_set(c, i, insn_size(i), i->imm);
}

void ex_mov_reg_imm(struct vcpu *c, const struct insn *i)
{
	reg_set(c, i, i->rm, i->op & 8 ? i->opsize : 1, i->imm);
}

void ex_mov_moffs(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i);
	uint64_t va = seg_linear(c, i->seg, i->imm, n, i->op & 2 ? ACC_WRITE : ACC_READ);

	if (i->op & 2)
		mem_write(c, va, n, c->st.r[R_RAX]);
	else
		set_sized(&c->st.r[R_RAX], n, mem_read(c, va, n));
}

void ex_mov_sreg(struct vcpu *c, const struct insn *i)
{
	unsigned s = i->reg & 7;

	if (s > S_GS || (i->op & 2 && s == S_CS))
		cpu_ud(c);
	if (!(i->op & 2)) {
		if (i->mod == 3)
			reg_set(c, i, i->rm, i->opsize, c->st.s[s].sel);
		else
			rm_set(c, i, 2, c->st.s[s].sel);
		return;
	}
	seg_load(c, s, (unsigned)rm_get(c, i, 2));
	if (s == S_SS)
		c->shadow = true;
}

void ex_movx(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->op & 1 ? 2 : 1;
	uint64_t v = rm_get(c, i, n);

	reg_set(c, i, i->reg, i->opsize, i->op & 8 ? sign_size(v, n) : v);
}

void ex_movsxd(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize == 2 ? 2 : 4;

	if (c->mode != MODE_64) {
		ex_arpl(c, i);
		return;
	}
	reg_set(c, i, i->reg, i->opsize, sign_size(rm_get(c, i, n), n));
}

void ex_lea(struct vcpu *c, const struct insn *i)
{
	need_mem(c, i);
	reg_set(c, i, i->reg, i->opsize, insn_ea(c, i));
}

void ex_xchg(struct vcpu *c, const struct insn *i)
{
	unsigned n = insn_size(i);
	uint64_t b = reg_get(c, i, i->reg, n), a;
	struct rmw m;

	if (i->mod == 3) {
		a = reg_get(c, i, i->rm, n);
		reg_set(c, i, i->rm, n, b);
		reg_set(c, i, i->reg, n, a);
		return;
	}
	rmw_open(c, &m, insn_lin(c, i, n, ACC_WRITE), n, true);
	switch (n) {
	case 1: a = __atomic_exchange_n((uint8_t *)m.p, (uint8_t)b, __ATOMIC_SEQ_CST); break;
	case 2: a = __atomic_exchange_n((uint16_t *)m.p, (uint16_t)b, __ATOMIC_SEQ_CST); break;
	case 4: a = __atomic_exchange_n((uint32_t *)m.p, (uint32_t)b, __ATOMIC_SEQ_CST); break;
	default: a = __atomic_exchange_n((uint64_t *)m.p, b, __ATOMIC_SEQ_CST);
	}
	rmw_close(c, &m);
	reg_set(c, i, i->reg, n, a);
}

/* 90..97; 90 itself is nop or pause unless REX.B makes it an exchange with r8. */
void ex_xchg_acc(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize;
	uint64_t a = mask_size(c->st.r[R_RAX], n), b = mask_size(c->st.r[i->rm], n);

	if (i->rm == R_RAX)
		return;
	set_sized(&c->st.r[R_RAX], n, b);
	set_sized(&c->st.r[i->rm], n, a);
}

void ex_push_reg(struct vcpu *c, const struct insn *i)
{
	push(c, i->opsize, c->st.r[i->rm]);
}

void ex_pop_reg(struct vcpu *c, const struct insn *i)
{
	uint64_t v = pop(c, i->opsize);

	set_sized(&c->st.r[i->rm], i->opsize, v);
}

void ex_push_imm(struct vcpu *c, const struct insn *i)
{
	push(c, i->opsize, i->imm);
}

/* POP m computes its address with the incremented RSP. */
void ex_pop_rm(struct vcpu *c, const struct insn *i)
{
	uint64_t rsp = c->st.r[R_RSP], v = pop(c, i->opsize), after = c->st.r[R_RSP], va;

	if (i->mod == 3) {
		reg_set(c, i, i->rm, i->opsize, v);
		return;
	}
	va = insn_ea(c, i);
	c->st.r[R_RSP] = rsp;
	mem_write(c, seg_linear(c, i->seg, va, i->opsize, ACC_WRITE), i->opsize, v);
	c->st.r[R_RSP] = after;
}

void ex_pusha(struct vcpu *c, const struct insn *i)
{
	uint64_t rsp = c->st.r[R_RSP];
	struct stack k = stack_current(c);

	for (unsigned r = 0; r < 8; r++)
		stack_push(c, &k, i->opsize, r == R_RSP ? rsp : c->st.r[r]);
	c->st.r[R_RSP] = stack_merge(&k, rsp);
}

void ex_popa(struct vcpu *c, const struct insn *i)
{
	struct stack k = stack_current(c);
	uint64_t v[8];

	for (unsigned r = 8; r--;)
		v[r] = stack_pop(c, &k, i->opsize);
	for (unsigned r = 0; r < 8; r++)
		if (r != R_RSP)
			set_sized(&c->st.r[r], i->opsize, v[r]);
	c->st.r[R_RSP] = stack_merge(&k, c->st.r[R_RSP]);
}

static unsigned pushed_seg(const struct insn *i)
{
	if (i->map == MAP_0F)
		return i->op & 8 ? S_GS : S_FS;
	return i->op >> 3 & 3;
}

void ex_push_seg(struct vcpu *c, const struct insn *i)
{
	push(c, i->opsize, c->st.s[pushed_seg(i)].sel);
}

void ex_pop_seg(struct vcpu *c, const struct insn *i)
{
	unsigned s = pushed_seg(i);
	uint64_t rsp = c->st.r[R_RSP], v = pop(c, i->opsize), after = c->st.r[R_RSP];

	c->st.r[R_RSP] = rsp; /* the load may fault */
	seg_load(c, s, (unsigned)v & 0xffff);
	c->st.r[R_RSP] = after;
	if (s == S_SS)
		c->shadow = true;
}

void ex_lxs(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize, s, sel;
	uint64_t ea, off;

	need_mem(c, i);
	s = i->map == MAP_1 ? (i->op & 1 ? S_DS : S_ES) : i->op == 0xb2 ? S_SS : i->op & 7;
	ea = insn_ea(c, i);
	off = mem_read(c, seg_linear(c, i->seg, ea, n, ACC_READ), n);
	sel = (unsigned)mem_read(
		c, seg_linear(c, i->seg, mask_size(ea + n, i->adsize), 2, ACC_READ), 2);
	seg_load(c, s, sel);
	reg_set(c, i, i->reg, n, off);
}

void ex_cbw(struct vcpu *c, const struct insn *i)
{
	set_sized(&c->st.r[R_RAX], i->opsize, sign_size(c->st.r[R_RAX], i->opsize / 2));
}

void ex_cwd(struct vcpu *c, const struct insn *i)
{
	set_sized(&c->st.r[R_RDX], i->opsize,
		  (int64_t)sign_size(c->st.r[R_RAX], i->opsize) < 0 ? ~0ull : 0);
}

void ex_xlat(struct vcpu *c, const struct insn *i)
{
	uint64_t ea = mask_size(c->st.r[R_RBX] + (uint8_t)c->st.r[R_RAX], i->adsize);

	host_put(&c->st.r[R_RAX], 1, mem_read(c, seg_linear(c, i->seg, ea, 1, ACC_READ), 1));
}

void ex_setcc(struct vcpu *c, const struct insn *i)
{
	rm_set(c, i, 1, flag_cond(c->fl, i->op & 15));
}

/* The operand is read, and a 32-bit destination zero-extended, in any case. */
void ex_cmov(struct vcpu *c, const struct insn *i)
{
	uint64_t v = rm_get(c, i, i->opsize);

	if (!flag_cond(c->fl, i->op & 15))
		v = c->st.r[i->reg];
	reg_set(c, i, i->reg, i->opsize, v);
}

void ex_movnti(struct vcpu *c, const struct insn *i)
{
	need_mem(c, i);
	if (i->rep || i->p66)
		cpu_ud(c);
	rm_set(c, i, i->opsize, c->st.r[i->reg]);
}

void ex_sahf(struct vcpu *c, const struct insn *i)
{
	c->fl = (uint16_t)((c->st.r[R_RAX] & 0xd500) | (c->fl & 1) | 0x200);
}

void ex_lahf(struct vcpu *c, const struct insn *i)
{
	uint64_t ah = (c->fl >> 8 & 0xd5) | 2;

	c->st.r[R_RAX] = (c->st.r[R_RAX] & ~0xff00ull) | ah << 8;
}

/* cmc f5, clc f8, stc f9, cld fc, std fd */
void ex_flag(struct vcpu *c, const struct insn *i)
{
	switch (i->op) {
	case 0xf5: c->fl ^= 0x100; break;
	case 0xf8: c->fl &= (uint16_t)~0x100; break;
	case 0xf9: c->fl |= 0x100; break;
	case 0xfc: c->st.rflags &= ~FL_DF; break;
	default: c->st.rflags |= FL_DF;
	}
}

void ex_pushf(struct vcpu *c, const struct insn *i)
{
	push(c, i->opsize, cpu_rflags(c) & ~(FL_RF | FL_VM));
}

void ex_popf(struct vcpu *c, const struct insn *i)
{
	uint64_t m = FL_ARITH | FL_TF | FL_DF | FL_NT, cur = cpu_rflags(c), v = pop(c, i->opsize);

	if (i->opsize >= 4)
		m |= FL_AC | FL_ID | FL_RF;
	if (c->cpl == 0)
		m |= FL_IOPL | FL_IF;
	else if (c->cpl <= (cur & FL_IOPL) >> 12)
		m |= FL_IF;
	cpu_set_rflags(c, (cur & ~m) | (v & m & ~FL_RF));
}

void ex_salc(struct vcpu *c, const struct insn *i)
{
	host_put(&c->st.r[R_RAX], 1, c->fl & 0x100 ? 0xff : 0);
}

void ex_bound(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize;
	int64_t v = (int64_t)sign_size(c->st.r[i->reg], n), lo, hi;
	uint64_t va;

	need_mem(c, i);
	va = insn_lin(c, i, 2 * n, ACC_READ);
	lo = (int64_t)sign_size(mem_read(c, va, n), n);
	hi = (int64_t)sign_size(mem_read(c, va + n, n), n);
	if (v < lo || v > hi)
		cpu_fault(c, X_BR);
}

void ex_nop(struct vcpu *c, const struct insn *i) {}

void ex_nop_rm(struct vcpu *c, const struct insn *i) {}
