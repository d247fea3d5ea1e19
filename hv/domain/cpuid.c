/* hv/domain/cpuid.c - see cpuid.h. */
#include "hv/domain/cpuid.h"

#include <assert.h>
#include <cpuid.h>
#include <string.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/arch-x86/cpuid.h>

#define XEN_MAJOR	       4u
#define XEN_MINOR	       17u
#define XEN_HYPERCALL_PAGES    1u
#define XEN_HYPERCALL_MSR      0x40000000u
#define TSC_MODE_NEVER_EMULATE 2u

/* Leaf 1. */
#define F1C_X2APIC	 (1u << 21)
#define F1C_TSC_DEADLINE (1u << 24)
#define F1C_OSXSAVE	 (1u << 27)
#define F1C_HYPERVISOR	 (1u << 31)
#define F1D_HTT		 (1u << 28)
#define F1D_APIC	 (1u << 9)
#define F1D_MCE		 (1u << 7)
#define F1D_MCA		 (1u << 14)
#define F1D_MTRR	 (1u << 12)
/* Never offered by this machine whatever the engine does: monitoring, power,
 * debug store, machine checks, virtualisation, performance counters. */
#define F1C_HIDE                                                                          \
	(1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 10 | \
	 1u << 11 | 1u << 14 | 1u << 15 | 1u << 18 | F1C_TSC_DEADLINE)
#define F1D_HIDE \
	(F1D_MCE | F1D_MCA | F1D_MTRR | 1u << 18 | 1u << 21 | 1u << 22 | 1u << 29 | 1u << 31)
/* 0x80000001: SVM, IBS, perf counters, WDT, topology, MWAITX, ... */
#define FE1C_KEEP	(1u << 0 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 16 | 1u << 21)
#define FE1C_CMP_LEGACY (1u << 1)
#define FE1D_HIDE	(F1D_MCE | F1D_MCA | F1D_MTRR)

struct builder {
	struct cpuid_leaf *out;
	size_t n;
	const struct cpuid_cfg *cfg;
};

static struct cpuid_leaf host(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_leaf l = { .leaf = leaf, .subleaf = subleaf };

	__cpuid_count(leaf, subleaf, l.eax, l.ebx, l.ecx, l.edx);
	return l;
}

bool cpuid_host_is_amd(void)
{
	struct cpuid_leaf l = host(0, 0);

	/* "AuthenticAMD", "HygonGenuine" by their ECX part */
	return l.ecx == 0x444d4163 || l.ecx == 0x656e6975;
}

static void add(struct builder *b, uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx,
		uint32_t ecx, uint32_t edx)
{
	assert(b->n < CPUID_LEAVES_MAX);
	b->out[b->n++] = (struct cpuid_leaf){ leaf, subleaf, eax, ebx, ecx, edx };
}

static struct cpuid_leaf supported(const struct builder *b, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_leaf h = host(leaf, subleaf), s = { 0 };

	b->cfg->ops->cpuid_supported(leaf, subleaf, &s);
	h.eax &= s.eax;
	h.ebx &= s.ebx;
	h.ecx &= s.ecx;
	h.edx &= s.edx;
	return h;
}

/* APIC ids are 2 * vcpu: how many bits they take, and how many there can be. */
static unsigned id_bits(const struct cpuid_cfg *cfg)
{
	unsigned bits = 1;

	while (1u << bits < 2 * cfg->max_vcpus)
		bits++;
	return bits;
}

static void add_features(struct builder *b)
{
	uint32_t apic_id = 2 * b->cfg->vcpu, ids = 1u << id_bits(b->cfg);
	struct cpuid_leaf h = host(1, 0), s = supported(b, 1, 0);
	bool many = b->cfg->max_vcpus > 1;

	s.ecx &= ~F1C_HIDE & ~F1C_OSXSAVE; /* OSXSAVE mirrors CR4: the engine's */
	s.ecx |= F1C_X2APIC | F1C_HYPERVISOR;
	s.edx &= ~F1D_HIDE & ~F1D_HTT;
	s.edx |= F1D_APIC | (many ? F1D_HTT : 0);
	add(b, 1, UINT32_MAX, h.eax, apic_id << 24 | (many ? ids : 1) << 16 | 8u << 8, s.ecx,
	    s.edx);
}

/* Extended topology: one thread per core, all cores in one package. */
static void add_topology(struct builder *b)
{
	uint32_t apic_id = 2 * b->cfg->vcpu;

	add(b, 0xb, 0, 1, 1, 0 | 1u << 8, apic_id);
	add(b, 0xb, 1, id_bits(b->cfg), b->cfg->max_vcpus, 1 | 2u << 8, apic_id);
	add(b, 0xb, UINT32_MAX, 0, 0, 2, apic_id);
}

static void add_basic(struct builder *b)
{
	struct cpuid_leaf vendor = host(0, 0), l;

	add(b, 0, UINT32_MAX, vendor.eax < 0xd ? 0xb : 0xd, vendor.ebx, vendor.ecx, vendor.edx);
	add_features(b);
	if (!cpuid_host_is_amd()) {
		l = host(2, 0);
		add(b, 2, UINT32_MAX, l.eax, l.ebx, l.ecx, l.edx);
		/* Deterministic caches; cores per package in EAX[31:26] must fit ours. */
		for (uint32_t i = 0; i < 4; i++) {
			l = host(4, i);
			l.eax &= 0x3fff;
			if (l.eax & 0x1f)
				l.eax |= (b->cfg->max_vcpus - 1) << 26;
			add(b, 4, i, l.eax, l.ebx, l.ecx, l.edx);
		}
	}
	l = supported(b, 7, 0);
	add(b, 7, 0, 0, l.ebx, l.ecx, l.edx);
	add_topology(b);
	for (uint32_t i = 0; i < 2; i++) {
		l = supported(b, 0xd, i);
		if (l.eax | l.ebx | l.ecx | l.edx)
			add(b, 0xd, i, l.eax, l.ebx, l.ecx, l.edx);
	}
}

static void add_extended(struct builder *b)
{
	struct cpuid_leaf top = host(0x80000000, 0), l;
	uint32_t width = 40u | 48u << 8; /* physical: as far as the p2m reaches; linear */
	bool own = cpuid_host_is_amd() && b->cfg->ops->cpuid_own;

	add(b, 0x80000000, UINT32_MAX, own ? 0x80000021 : 0x80000008, top.ebx, top.ecx, top.edx);
	l = supported(b, 0x80000001, 0);
	l.ecx &= FE1C_KEEP;
	if (cpuid_host_is_amd() && b->cfg->max_vcpus > 1)
		l.ecx |= FE1C_CMP_LEGACY;
	l.edx &= ~FE1D_HIDE;
	add(b, 0x80000001, UINT32_MAX, cpuid_host_is_amd() ? host(1, 0).eax : 0, 0, l.ecx, l.edx);
	for (uint32_t i = 0x80000002; i <= 0x80000006; i++) {
		l = host(i, 0);
		add(b, i, UINT32_MAX, l.eax, l.ebx, l.ecx, l.edx);
	}
	add(b, 0x80000007, UINT32_MAX, 0, 0, 0, 0);
	add(b, 0x80000008, UINT32_MAX, width, 0,
	    cpuid_host_is_amd() ? id_bits(b->cfg) << 12 | ((1u << id_bits(b->cfg)) - 1) : 0, 0);
	if (own) {
		b->cfg->ops->cpuid_own(0x80000021, &l);
		add(b, 0x80000021, UINT32_MAX, l.eax, 0, 0, 0);
	}
}

static void add_xen(struct builder *b)
{
	const struct cpuid_cfg *c = b->cfg;

	add(b, 0x40000000, UINT32_MAX, 0x40000005, XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX,
	    XEN_CPUID_SIGNATURE_EDX);
	add(b, 0x40000001, UINT32_MAX, XEN_MAJOR << 16 | XEN_MINOR, 0, 0, 0);
	add(b, 0x40000002, UINT32_MAX, XEN_HYPERCALL_PAGES, XEN_HYPERCALL_MSR, 0, 0);
	/* Bit 1: the host's TSC is steady; the guest reads it without a detour. */
	add(b, 0x40000003, 0, 1u << 1, TSC_MODE_NEVER_EMULATE, c->tsc_khz, 0);
	add(b, 0x40000003, 1, 0, 0, c->tsc_mul, (uint32_t)c->tsc_shift);
	add(b, 0x40000003, 2, c->tsc_khz, 0, 0, 0);
	add(b, 0x40000004, UINT32_MAX,
	    XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT |
		    XEN_HVM_CPUID_UPCALL_VECTOR,
	    c->vcpu, c->domid, 0);
	add(b, 0x40000005, UINT32_MAX, 0, 0, 0, 0);
}

size_t cpuid_build(const struct cpuid_cfg *cfg, struct cpuid_leaf *leaves)
{
	struct builder b = { .out = leaves, .cfg = cfg };

	add_basic(&b);
	add_xen(&b);
	add_extended(&b);
	return b.n;
}
