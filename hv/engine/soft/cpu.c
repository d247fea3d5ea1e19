/* hv/engine/soft/cpu.c - what is derived from a vCPU's state: mode, privilege,
 * flags in their two forms, CPUID.
 */
#include "hv/engine/soft/cpu.h"

#include <cpuid.h>

#include "hv/engine/soft/mem.h"
#include "hv/engine/soft/jit.h"

void cpu_load_flags(struct vcpu *c)
{
	c->fl = (uint16_t)((c->st.rflags & 0xd5) << 8 | !!(c->st.rflags & FL_OF));
}

uint64_t cpu_rflags(const struct vcpu *c)
{
	return (c->st.rflags & ~FL_ARITH) | (c->fl >> 8 & 0xd5) | (c->fl & 1 ? FL_OF : 0) | 2;
}

void cpu_store_flags(struct vcpu *c)
{
	c->st.rflags = cpu_rflags(c);
}

void cpu_set_rflags(struct vcpu *c, uint64_t v)
{
	c->st.rflags = v | 2;
	cpu_load_flags(c);
	cpu_update_mode(c);
}

void cpu_update_mode(struct vcpu *c)
{
	const struct seg *cs = &c->st.s[S_CS], *ss = &c->st.s[S_SS];
	struct tlb *t = c->tlb;
	bool user;

	c->long_mode = !!(c->st.efer & EFER_LMA);
	c->cpl = cpu_protected(c) ? SEG_DPL(ss->attr) : 0;
	if (c->long_mode && cs->attr & SEG_L)
		c->mode = MODE_64;
	else
		c->mode = cs->attr & SEG_DB ? MODE_32 : MODE_16;
	c->sp_mask = c->mode == MODE_64 ? ~0ull : ss->attr & SEG_DB ? 0xffffffffu : 0xffffu;
	c->bflags = c->mode;
	user = c->cpl == 3;
	c->jump_key = c->fetch_gen << 8 | (uint64_t)user << 4 | c->bflags;
	c->tm = user ? TM_USER : c->st.rflags & FL_AC && c->st.cr4 & CR4_SMAP ? TM_SUP_AC : TM_SUP;
	c->check_align = user && c->st.rflags & FL_AC && c->st.cr0 & CR0_AM;
	c->rd = c->check_align ? t->none : t->e[c->tm][ACC_READ];
	c->wr = c->check_align ? t->none : t->e[c->tm][ACC_WRITE];
}

void cpu_reset(struct vcpu *c)
{
	struct vcpu_state *st = &c->st;

	memset(st, 0, sizeof(*st));
	st->rip = 0xfff0;
	st->rflags = 2;
	for (unsigned s = S_ES; s <= S_GS; s++)
		st->s[s] = (struct seg){ 0, 0xffff, 0, SEG_P | SEG_S | 3 };
	st->s[S_CS] = (struct seg){ 0xffff0000, 0xffff, 0xf000, SEG_P | SEG_S | 0xb };
	st->s[S_LDTR] = (struct seg){ 0, 0xffff, 0, SEG_P | 2 };
	st->s[S_TR] = (struct seg){ 0, 0xffff, 0, SEG_P | 0xb };
	st->gdt.limit = st->idt.limit = 0xffff;
	st->cr0 = CR0_CD | CR0_NW | CR0_ET;
	st->dr[6] = DR6_FIXED;
	st->dr[7] = DR7_FIXED;
	st->xcr0 = 1;
	st->pat = 0x0007040600070406ull;
	st->fx[0] = 0x7f; /* FCW 0x37f, MXCSR 0x1f80 */
	st->fx[1] = 0x03;
	st->fx[24] = 0x80;
	st->fx[25] = 0x1f;
}

void cpu_cpuid(const struct vcpu *c, uint32_t leaf, uint32_t sub, struct cpuid_leaf *ret)
{
	*ret = (struct cpuid_leaf){ leaf, sub, 0, 0, 0, 0 };
	for (size_t k = 0; k < c->nleaves; k++) {
		const struct cpuid_leaf *l = &c->leaves[k];

		if (l->leaf != leaf || (l->subleaf != ~0u && l->subleaf != sub))
			continue;
		*ret = *l;
		break;
	}
	/* Two bits mirror the running state. */
	if (leaf == 1) {
		ret->ecx &= ~(1u << 27);
		if (c->st.cr4 & CR4_OSXSAVE)
			ret->ecx |= 1u << 27;
	}
}

/* What the guest was shown decides which control bits exist. */
void cpu_learn_cpuid(struct vcpu *c)
{
	struct cpuid_leaf l1, l7, e1, e8;

	cpu_cpuid(c, 1, 0, &l1);
	cpu_cpuid(c, 7, 0, &l7);
	cpu_cpuid(c, 0x80000001, 0, &e1);
	cpu_cpuid(c, 0x80000008, 0, &e8);
	c->cr4_allowed = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |
			 CR4_OSFXSR | CR4_OSXMMEXCPT;
	if (l7.ebx & 1)
		c->cr4_allowed |= CR4_FSGSBASE;
	if (l7.ebx & 1u << 7)
		c->cr4_allowed |= CR4_SMEP;
	if (l7.ebx & 1u << 20)
		c->cr4_allowed |= CR4_SMAP;
	if (l7.ecx & 1u << 2)
		c->cr4_allowed |= CR4_UMIP;
	c->efer_allowed = EFER_SCE | EFER_LME;
	if (e1.edx & 1u << 20)
		c->efer_allowed |= EFER_NXE;
	c->phys_bits = e8.eax & 0xff;
	if (c->phys_bits < 32 || c->phys_bits > 52)
		c->phys_bits = 40;
}

static uint32_t host_bit(uint32_t leaf, unsigned reg, unsigned bit)
{
	uint32_t r[4] = { 0 };

	__get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]);
	return r[reg] & 1u << bit;
}

#define BIT(n) (1u << (n))

static void own_bits(uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *ret)
{
	switch (leaf) {
	case 1:
		/* DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH */
		ret->edx = 0x008bfbfcu;
		/* CX16 x2APIC MOVBE POPCNT; RDRAND by the host's; HYPERVISOR */
		ret->ecx = BIT(13) | BIT(21) | BIT(22) | BIT(23) | host_bit(1, 2, 30) | BIT(31);
		break;
	case 7:
		if (subleaf)
			break;
		/* FSGSBASE SMEP ERMS ADX SMAP, RDSEED by the host's; UMIP; FSRM */
		ret->ebx = BIT(0) | BIT(7) | BIT(9) | host_bit(7, 1, 18) | BIT(19) | BIT(20);
		ret->ecx = BIT(2);
		ret->edx = BIT(4);
		break;
	case 0x80000001:
		/* Leaf 1's common bits, SYSCALL NX PDPE1GB RDTSCP LM; LAHF */
		ret->edx = 0x0003fbfcu | BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29);
		ret->ecx = BIT(0);
		break;
	case 0x80000007: ret->edx = BIT(8); break; /* invariant TSC */
	case 0x80000008:
		ret->eax = 0x3028; /* 48 linear, 40 physical bits */
		break;
	default: break;
	}
}

void cpuid_supported(uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *ret)
{
	uint32_t simd[4] = { 0 };

	*ret = (struct cpuid_leaf){ leaf, subleaf, 0, 0, 0, 0 };
	own_bits(leaf, subleaf, ret);
	simd_cpuid_supported(leaf, subleaf, simd);
	ret->eax |= simd[0];
	ret->ebx |= simd[1];
	ret->ecx |= simd[2];
	ret->edx |= simd[3];
}

/* Extended leaf 21h: a null selector clears the base (seg.c).  SRSO_NO: guest
 * returns are never run as returns, so a poisoned return stack of the host's CPU
 * can't steer them. */
void cpuid_own(uint32_t leaf, struct cpuid_leaf *ret)
{
	*ret = (struct cpuid_leaf){ .leaf = leaf };
	if (leaf == 0x80000021)
		ret->eax = BIT(6) | BIT(29);
}

void cpu_call(struct vcpu *c, uint32_t bits)
{
	atomic_fetch_or(&c->attn, bits);
	jit_poll(c->jit);
}
