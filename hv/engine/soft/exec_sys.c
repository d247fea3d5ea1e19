/* hv/engine/soft/exec_sys.c - system instructions: control registers, MSRs,
 * descriptor tables, interrupt flag, identification, and the exits they make.
 * Source: APM volumes 2 (chapters 3, 4) and 3.
 */
#include "hv/engine/soft/exec.h"
#include "hv/engine/soft/seg.h"

/* Leave for the caller with the instruction done; a single step is still owed. */
static _Noreturn void exit_after(struct vcpu *c, enum exit_kind kind)
{
	c->st.rip = c->next;
	c->st.intr_shadow = 0;
	if (c->st.rflags & FL_TF) {
		c->st.dr[6] |= DR6_BS;
		c->ev = (struct event){ EV_TRAP, X_DB, 0, 0 };
	}
	cpu_exit(c, kind);
}

void ex_hlt(struct vcpu *c, const struct insn *i)
{
	cpu_need_cpl0(c);
	c->st.halted = 1;
	exit_after(c, EXIT_HLT);
}

static void need_iopl(struct vcpu *c)
{
	if (cpu_protected(c) && c->cpl > (c->st.rflags & FL_IOPL) >> 12)
		cpu_gp0(c);
}

void ex_cli(struct vcpu *c, const struct insn *i)
{
	need_iopl(c);
	c->st.rflags &= ~FL_IF;
}

void ex_sti(struct vcpu *c, const struct insn *i)
{
	need_iopl(c);
	if (!(c->st.rflags & FL_IF))
		c->shadow = true;
	c->st.rflags |= FL_IF;
}

void ex_cpuid(struct vcpu *c, const struct insn *i)
{
	struct cpuid_leaf l;

	cpu_cpuid(c, (uint32_t)c->st.r[R_RAX], (uint32_t)c->st.r[R_RCX], &l);
	c->st.r[R_RAX] = l.eax;
	c->st.r[R_RBX] = l.ebx;
	c->st.r[R_RCX] = l.ecx;
	c->st.r[R_RDX] = l.edx;
}

static uint64_t guest_tsc(const struct vcpu *c)
{
	return __builtin_ia32_rdtsc() + (uint64_t)c->tsc_offset;
}

void ex_rdtsc(struct vcpu *c, const struct insn *i)
{
	uint64_t t;

	if (c->st.cr4 & CR4_TSD && c->cpl)
		cpu_gp0(c);
	t = guest_tsc(c);
	c->st.r[R_RAX] = (uint32_t)t;
	c->st.r[R_RDX] = t >> 32;
}

void ex_rdpmc(struct vcpu *c, const struct insn *i)
{
	cpu_gp0(c);
}

static uint64_t *own_msr(struct vcpu *c, uint32_t idx)
{
	switch (idx) {
	case MSR_SYSENTER_CS: return &c->st.sysenter_cs;
	case MSR_SYSENTER_ESP: return &c->st.sysenter_esp;
	case MSR_SYSENTER_EIP: return &c->st.sysenter_eip;
	case MSR_PAT: return &c->st.pat;
	case MSR_EFER: return &c->st.efer;
	case MSR_STAR: return &c->st.star;
	case MSR_LSTAR: return &c->st.lstar;
	case MSR_CSTAR: return &c->st.cstar;
	case MSR_SFMASK: return &c->st.sfmask;
	case MSR_FS_BASE: return &c->st.s[S_FS].base;
	case MSR_GS_BASE: return &c->st.s[S_GS].base;
	case MSR_KERNEL_GS_BASE: return &c->st.kernel_gs_base;
	case MSR_TSC_AUX: return &c->st.tsc_aux;
	default: return NULL;
	}
}

void ex_rdmsr(struct vcpu *c, const struct insn *i)
{
	uint32_t idx = (uint32_t)c->st.r[R_RCX];
	uint64_t *p, v = 0;

	cpu_need_cpl0(c);
	p = own_msr(c, idx);
	if (p)
		v = *p;
	else if (idx == MSR_TSC)
		v = guest_tsc(c);
	else if (cpu_ask(c, EXIT_RDMSR, idx, 8, false, &v))
		cpu_gp0(c);
	c->st.r[R_RAX] = (uint32_t)v;
	c->st.r[R_RDX] = v >> 32;
}

static void write_efer(struct vcpu *c, uint64_t v)
{
	if (v & ~(c->efer_allowed | EFER_LMA))
		cpu_gp0(c);
	if (c->st.cr0 & CR0_PG && (v ^ c->st.efer) & EFER_LME)
		cpu_gp0(c);
	c->st.efer = (v & ~EFER_LMA) | (c->st.efer & EFER_LMA);
	mmu_flush(c, false);
	cpu_update_mode(c);
}

static bool pat_ok(uint64_t v)
{
	for (unsigned k = 0; k < 8; k++, v >>= 8)
		if ((v & 0xff) > 7 || (v & 0xff) == 2 || (v & 0xff) == 3)
			return false;
	return true;
}

void ex_wrmsr(struct vcpu *c, const struct insn *i)
{
	uint32_t idx = (uint32_t)c->st.r[R_RCX];
	uint64_t v = (uint32_t)c->st.r[R_RAX] | c->st.r[R_RDX] << 32, *p;

	cpu_need_cpl0(c);
	switch (idx) {
	case MSR_TSC: c->tsc_offset = (int64_t)(v - __builtin_ia32_rdtsc()); return;
	case MSR_EFER: write_efer(c, v); return;
	case MSR_PAT:
		if (!pat_ok(v))
			cpu_gp0(c);
		break;
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
		if (!canonical(v))
			cpu_gp0(c);
		break;
	case MSR_TSC_AUX:
	case MSR_SFMASK: v = (uint32_t)v; break;
	}
	p = own_msr(c, idx);
	if (p)
		*p = v;
	else if (cpu_ask(c, EXIT_WRMSR, idx, 8, true, &v))
		cpu_gp0(c);
}

static void write_cr0(struct vcpu *c, uint64_t v)
{
	uint64_t old = c->st.cr0, known = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE |
					  CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;

	if (v >> 32 || (v & CR0_PG && !(v & CR0_PE)) || (v & CR0_NW && !(v & CR0_CD)))
		cpu_gp0(c);
	v = (v & known) | CR0_ET;
	if (!(old & CR0_PG) && v & CR0_PG && c->st.efer & EFER_LME) {
		if (!(c->st.cr4 & CR4_PAE) || c->st.s[S_CS].attr & SEG_L)
			cpu_gp0(c);
		c->st.efer |= EFER_LMA;
	} else if (old & CR0_PG && !(v & CR0_PG)) {
		if (c->mode == MODE_64)
			cpu_gp0(c);
		c->st.efer &= ~EFER_LMA;
	}
	c->st.cr0 = v;
	if ((old ^ v) & (CR0_PG | CR0_WP | CR0_PE))
		mmu_flush(c, false);
	cpu_update_mode(c);
}

static void write_cr3(struct vcpu *c, uint64_t v)
{
	if (c->long_mode && v >> c->phys_bits)
		cpu_gp0(c);
	c->st.cr3 = c->long_mode ? v : (uint32_t)v;
	mmu_flush(c, c->st.cr4 & CR4_PGE);
}

static void write_cr4(struct vcpu *c, uint64_t v)
{
	uint64_t old = c->st.cr4;

	if (v & ~c->cr4_allowed || (c->long_mode && !(v & CR4_PAE)))
		cpu_gp0(c);
	c->st.cr4 = v;
	if ((old ^ v) & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_SMEP | CR4_SMAP))
		mmu_flush(c, false);
	cpu_update_mode(c);
}

static void write_cr8(struct vcpu *c, uint64_t v)
{
	if (v >> 4)
		cpu_gp0(c);
	c->st.cr8 = v;
	c->exit.val = v;
	exit_after(c, EXIT_CR8);
}

/* 20 and 22: mov to and from CR. */
void ex_mov_cr(struct vcpu *c, const struct insn *i)
{
	uint64_t v = mask_size(c->st.r[i->rm], i->opsize), *r;

	if (i->reg > 8 || i->reg == 1 || (i->reg > 4 && i->reg < 8))
		cpu_ud(c);
	cpu_need_cpl0(c);
	r = i->reg == 0	  ? &c->st.cr0
	    : i->reg == 2 ? &c->st.cr2
	    : i->reg == 3 ? &c->st.cr3
	    : i->reg == 4 ? &c->st.cr4
			  : &c->st.cr8;
	if (!(i->op & 2)) {
		c->st.r[i->rm] = mask_size(*r, i->opsize);
		return;
	}
	switch (i->reg) {
	case 0: write_cr0(c, v); break;
	case 2: c->st.cr2 = v; break;
	case 3: write_cr3(c, v); break;
	case 4: write_cr4(c, v); break;
	default: write_cr8(c, v);
	}
}

/* 21 and 23 */
void ex_mov_dr(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->reg;
	uint64_t v = mask_size(c->st.r[i->rm], i->opsize);

	if (n > 7 || ((n == 4 || n == 5) && c->st.cr4 & CR4_DE))
		cpu_ud(c);
	cpu_need_cpl0(c);
	if (c->st.dr[7] & DR7_GD) {
		c->st.dr[6] |= DR6_BD;
		cpu_fault(c, X_DB);
	}
	n = n == 4 || n == 5 ? n + 2 : n;
	if (!(i->op & 2)) {
		c->st.r[i->rm] = mask_size(c->st.dr[n], i->opsize);
		return;
	}
	if (n >= 6 && v >> 32)
		cpu_gp0(c);
	if (n == 6)
		v = (v & 0xe00f) | DR6_FIXED;
	else if (n == 7)
		v = (v & ~0xd800ull) | DR7_FIXED;
	c->st.dr[n] = v;
	mmu_flush(c, false); /* watched pages have no TLB entries */
}

void ex_clts(struct vcpu *c, const struct insn *i)
{
	cpu_need_cpl0(c);
	c->st.cr0 &= ~CR0_TS;
}

void ex_wbinvd(struct vcpu *c, const struct insn *i)
{
	cpu_need_cpl0(c);
}

static void umip(struct vcpu *c)
{
	if (c->cpl && c->st.cr4 & CR4_UMIP)
		cpu_gp0(c);
}

/* lar 02, lsl 03, verr, verw: look at a descriptor without loading it.  False:
 * not one that may be looked at. */
static bool visible(struct vcpu *c, unsigned sel, struct desc *d)
{
	if (!(sel & 0xfffc) || !desc_read(c, sel, d))
		return false;
	if ((desc_type(d) & 0x1c) == 0x1c) /* conforming code */
		return true;
	return desc_dpl(d) >= c->cpl && desc_dpl(d) >= (sel & 3);
}

static void set_zf(struct vcpu *c, bool on)
{
	c->fl = (uint16_t)(on ? c->fl | 0x4000 : c->fl & ~0x4000);
}

void ex_lar(struct vcpu *c, const struct insn *i)
{
	/* Types lar accepts beside code and data: TSS, LDT, gates; lsl: TSS, LDT. */
	unsigned types = i->op & 1 ? 0x0a04 : 0x1a04, sel;
	struct desc d;
	bool ok;

	if (!cpu_protected(c))
		cpu_ud(c);
	if (!c->long_mode)
		types |= i->op & 1 ? 0xa : 0x3a;
	sel = (unsigned)rm_get(c, i, 2);
	ok = visible(c, sel, &d) && (desc_type(&d) & 0x10 || types >> desc_type(&d) & 1);
	set_zf(c, ok);
	if (!ok)
		return;
	reg_set(c, i, i->reg, i->opsize, i->op & 1 ? desc_seg(&d, 0).limit : d.lo >> 32 & 0xf0ff00);
}

static void verify(struct vcpu *c, unsigned sel, bool write)
{
	struct desc d;
	unsigned t;
	bool ok = visible(c, sel, &d);

	t = ok ? desc_type(&d) : 0;
	set_zf(c, ok && t & 0x10 && (write ? (t & 0xa) == 2 : (t & 0xa) != 8));
}

void ex_grp6(struct vcpu *c, const struct insn *i)
{
	unsigned k = i->reg & 7, n = i->mod == 3 ? i->opsize : 2;

	if (!cpu_protected(c) || k > 5)
		cpu_ud(c);
	if (k < 2) {
		umip(c);
		rm_set(c, i, n, c->st.s[k ? S_TR : S_LDTR].sel);
		return;
	}
	if (k < 4)
		cpu_need_cpl0(c);
	n = (unsigned)rm_get(c, i, 2);
	if (k == 2)
		seg_load_ldt(c, n);
	else if (k == 3)
		seg_load_tr(c, n);
	else
		verify(c, n, k == 5);
}

void ex_arpl(struct vcpu *c, const struct insn *i)
{
	unsigned rpl = c->st.r[i->reg] & 3;
	uint64_t v;

	if (!cpu_protected(c))
		cpu_ud(c);
	v = rm_get(c, i, 2);
	set_zf(c, (v & 3) < rpl);
	if ((v & 3) < rpl)
		rm_set(c, i, 2, (v & ~3ull) | rpl);
}

static void table_store(struct vcpu *c, const struct insn *i, const struct dtable *t)
{
	unsigned n = c->mode == MODE_64 ? 8 : 4;
	uint8_t b[10];

	umip(c);
	memcpy(b, &t->limit, 2);
	memcpy(b + 2, &t->base, 8);
	mem_write_bytes(c, insn_lin(c, i, n + 2, ACC_WRITE), b, n + 2);
}

static void table_load(struct vcpu *c, const struct insn *i, struct dtable *t)
{
	unsigned n = c->mode == MODE_64 ? 8 : 4;
	struct dtable v = { 0, 0 };
	uint64_t va;

	cpu_need_cpl0(c);
	va = insn_lin(c, i, n + 2, ACC_READ);
	v.limit = (uint16_t)mem_read(c, va, 2);
	v.base = mem_read(c, va + 2, n);
	if (n == 8 && !canonical(v.base))
		cpu_gp0(c);
	if (n == 4 && i->opsize == 2)
		v.base &= 0xffffff;
	*t = v;
}

static void set_ac(struct vcpu *c, bool on)
{
	if (!(c->cr4_allowed & CR4_SMAP) || c->cpl)
		cpu_ud(c);
	c->st.rflags = on ? c->st.rflags | FL_AC : c->st.rflags & ~FL_AC;
	cpu_update_mode(c);
}

static void grp7_reg(struct vcpu *c, const struct insn *i)
{
	uint64_t t;

	switch (i->bytes[i->modrm_off]) {
	case 0xc1:
	case 0xd9: exit_after(c, EXIT_HYPERCALL);
	case 0xca:
	case 0xcb: set_ac(c, i->bytes[i->modrm_off] & 1); break;
	case 0xf8:
		if (c->mode != MODE_64)
			cpu_ud(c);
		cpu_need_cpl0(c);
		t = c->st.s[S_GS].base;
		c->st.s[S_GS].base = c->st.kernel_gs_base;
		c->st.kernel_gs_base = t;
		break;
	case 0xf9:
		ex_rdtsc(c, i);
		c->st.r[R_RCX] = (uint32_t)c->st.tsc_aux;
		break;
	default: cpu_ud(c);
	}
}

void ex_grp7(struct vcpu *c, const struct insn *i)
{
	unsigned k = i->reg & 7;
	uint64_t v;

	if (k == 4) {
		umip(c);
		rm_set(c, i, i->mod == 3 ? i->opsize : 2, c->st.cr0);
		return;
	}
	if (k == 6) {
		cpu_need_cpl0(c);
		v = rm_get(c, i, 2);
		write_cr0(c, (c->st.cr0 & ~0xeull) | (v & 0xf));
		return;
	}
	if (i->mod == 3) {
		grp7_reg(c, i);
		return;
	}
	switch (k) {
	case 0: table_store(c, i, &c->st.gdt); break;
	case 1: table_store(c, i, &c->st.idt); break;
	case 2: table_load(c, i, &c->st.gdt); break;
	case 3: table_load(c, i, &c->st.idt); break;
	case 7:
		cpu_need_cpl0(c);
		v = insn_ea(c, i);
		if (c->mode != MODE_64 || i->seg >= S_FS)
			v += c->st.s[i->seg].base;
		mmu_invlpg(c, c->mode == MODE_64 ? v : (uint32_t)v);
		break;
	default: cpu_ud(c);
	}
}

static void fsgs_base(struct vcpu *c, const struct insn *i)
{
	uint64_t *base = &c->st.s[i->reg & 1 ? S_GS : S_FS].base, v;

	if (c->mode != MODE_64 || !(c->st.cr4 & CR4_FSGSBASE))
		cpu_ud(c);
	if (!(i->reg & 2)) {
		reg_set(c, i, i->rm, i->opsize, *base);
		return;
	}
	v = mask_size(c->st.r[i->rm], i->opsize);
	if (!canonical(v))
		cpu_gp0(c);
	*base = v;
}

/* 0F AE: fences, clflush, FS and GS base; the FPU's are exec_simd's. */
void ex_grp15(struct vcpu *c, const struct insn *i)
{
	unsigned k = i->reg & 7;

	if (i->mod == 3 && i->rep == 0xf3 && k < 4) {
		fsgs_base(c, i);
		return;
	}
	if (k < 4) {
		exec_simd(c, i);
		return;
	}
	if (i->rep || k == 4 || (i->mod == 3 && i->p66))
		cpu_ud(c);
	if (i->mod == 3)
		atomic_thread_fence(memory_order_seq_cst);
	else if (k == 7)
		mem_read(c, insn_lin(c, i, 1, ACC_READ), 1); /* clflush faults like a load */
	else
		cpu_ud(c);
}
