/* hv/domain/msr.c - the MSRs that are the machine's, not the engine's.
 *
 * A table: what is not in it raises #GP, as on a processor without the
 * feature, and is reported once in a while so that a kernel's needs show.
 * Sources: SDM 4 ch. 2, AMD APM 2 app. A.
 */
#include <errno.h>
#include <string.h>

#include "hv/domain/cpuid.h"
#include "hv/domain/machine.h"

#define X2APIC_FIRST	   0x800u
#define X2APIC_LAST	   0x8ffu
#define HYPERCALL_PAGE_MSR 0x40000000u

static int read_zero(struct mvcpu *v, uint64_t *ret)
{
	*ret = 0;
	return 0;
}

static int write_ignore(struct mvcpu *v, uint64_t val)
{
	return 0;
}

/* Read-only registers of which only zero may be written. */
static int write_zero(struct mvcpu *v, uint64_t val)
{
	return val ? -EPERM : 0;
}

static int read_tsc(struct mvcpu *v, uint64_t *ret)
{
	*ret = clock_tsc() + (uint64_t)v->tsc_offset;
	return 0;
}

static int write_tsc(struct mvcpu *v, uint64_t val)
{
	v->tsc_offset = (int64_t)(val - clock_tsc());
	v->d->ops->vcpu_set_tsc_offset(v->hw, v->tsc_offset);
	time_publish(v);
	return 0;
}

static int read_apic_base(struct mvcpu *v, uint64_t *ret)
{
	*ret = v->lapic.base;
	return 0;
}

static int write_apic_base(struct mvcpu *v, uint64_t val)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = lapic_write_base(&v->lapic, val);
	pthread_mutex_unlock(&v->lock);
	return r;
}

static int read_misc_enable(struct mvcpu *v, uint64_t *ret)
{
	*ret = v->msr.misc_enable | 1; /* fast strings */
	return 0;
}

static int write_misc_enable(struct mvcpu *v, uint64_t val)
{
	v->msr.misc_enable = val;
	return 0;
}

/* Software reads its microcode's revision; any non-zero one is as good. */
static int read_ucode(struct mvcpu *v, uint64_t *ret)
{
	*ret = 1ull << 32;
	return 0;
}

#define HWCR_TSC_FREQ_SEL (1ull << 24) /* TSC runs at the P0 frequency */

static int read_hwcr(struct mvcpu *v, uint64_t *ret)
{
	*ret = v->msr.hwcr | HWCR_TSC_FREQ_SEL;
	return 0;
}

static int write_hwcr(struct mvcpu *v, uint64_t val)
{
	v->msr.hwcr = val;
	return 0;
}

/* LFENCE is serialising: bit 1 is set and stays. */
static int read_de_cfg(struct mvcpu *v, uint64_t *ret)
{
	*ret = 2;
	return 0;
}

static int read_tsc_deadline(struct mvcpu *v, uint64_t *ret)
{
	*ret = 0; /* the mode is not offered */
	return 0;
}

/* Older kernels call through a page of stubs that we fill (cpuid 0x40000002):
 * mov $nr, %eax; vmcall, vmmcall or what the engine has for them; ret. */
static int write_hypercall_page(struct mvcpu *v, uint64_t val)
{
	const struct engine_ops *ops = v->d->ops;
	const uint8_t amd[] = { 0x0f, 0x01, 0xd9 }, intel[] = { 0x0f, 0x01, 0xc1 },
		      *insn = ops->vm_hypercall_insn ? ops->vm_hypercall_insn(v->d->vm) : NULL;
	uint8_t page[P2M_PAGE_SIZE], *host;
	unsigned flags;

	if (val & (P2M_PAGE_SIZE - 1))
		return -EPERM; /* there is one page, number 0 */
	if (!insn)
		insn = cpuid_host_is_amd() ? amd : intel;
	memset(page, 0xcc, sizeof(page));
	for (unsigned i = 0; i < P2M_PAGE_SIZE / 32; i++) {
		uint8_t *s = page + 32 * i;

		s[0] = 0xb8;
		s[1] = (uint8_t)i;
		s[2] = s[3] = s[4] = 0;
		memcpy(s + 5, insn, 3);
		s[8] = 0xc3;
	}
	pthread_mutex_lock(&v->d->mem.lock);
	host = p2m_lookup(v->d->mem.p2m, val / P2M_PAGE_SIZE, &flags);
	if (host && !(flags & P2M_RO)) {
		memcpy(host, page, sizeof(page));
		v->d->ops->vm_flush(v->d->vm, v->hw); /* it may hold code decoded from there */
	}
	pthread_mutex_unlock(&v->d->mem.lock);
	return host && !(flags & P2M_RO) ? 0 : -EPERM;
}

static const struct msr {
	uint32_t first, last;
	int (*read)(struct mvcpu *v, uint64_t *ret); /* NULL: #GP */
	int (*write)(struct mvcpu *v, uint64_t val); /* NULL: #GP */
} table[] = {
	{ 0x00000000, 0x00000001, read_zero, write_ignore }, /* P5 machine check */
	{ 0x00000010, 0x00000010, read_tsc, write_tsc },
	{ 0x00000017, 0x00000017, read_zero, NULL }, /* platform id */
	{ 0x0000001b, 0x0000001b, read_apic_base, write_apic_base },
	{ 0x0000002a, 0x0000002a, read_zero, write_ignore }, /* EBL_CR_POWERON */
	{ 0x00000079, 0x00000079, NULL, write_ignore },	     /* microcode update */
	{ 0x0000008b, 0x0000008b, read_ucode, write_zero },
	{ 0x000000ce, 0x000000ce, read_zero, NULL },	     /* PLATFORM_INFO */
	{ 0x00000179, 0x0000017a, read_zero, write_ignore }, /* MCG_CAP, MCG_STATUS: no banks */
	{ 0x000001a0, 0x000001a0, read_misc_enable, write_misc_enable },
	{ 0x000001d9, 0x000001d9, read_zero, write_ignore }, /* DEBUGCTL */
	{ 0x000001db, 0x000001de, read_zero, write_ignore }, /* last branch */
	{ 0x000006e0, 0x000006e0, read_tsc_deadline, write_ignore },
	{ HYPERCALL_PAGE_MSR, HYPERCALL_PAGE_MSR, NULL, write_hypercall_page },
	{ 0xc0010004, 0xc0010007, read_zero, write_ignore }, /* K7 performance counters */
	{ 0xc0010010, 0xc0010010, read_zero, write_ignore }, /* SYSCFG */
	{ 0xc0010015, 0xc0010015, read_hwcr, write_hwcr },
	{ 0xc001001f, 0xc001001f, read_zero, write_ignore }, /* NB_CFG */
	{ 0xc0010055, 0xc0010055, read_zero, write_ignore }, /* interrupt pending message */
	{ 0xc0011020, 0xc0011020, read_zero, write_ignore }, /* LS_CFG */
	{ 0xc0011022, 0xc0011023, read_zero, write_ignore }, /* DC_CFG, BU_CFG */
	{ 0xc0011029, 0xc0011029, read_de_cfg, write_ignore },
	{ 0xc001102a, 0xc001102a, read_zero, write_ignore }, /* BU_CFG2 */
};

static const struct msr *find(uint32_t index)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (index >= table[i].first && index <= table[i].last)
			return &table[i];
	return NULL;
}

static bool is_x2apic(const struct mvcpu *v, uint32_t index)
{
	return index >= X2APIC_FIRST && index <= X2APIC_LAST && lapic_is_x2apic(&v->lapic) &&
	       (v->lapic.base & LAPIC_BASE_ENABLE);
}

int msr_read(struct mvcpu *v, uint32_t index, uint64_t *ret)
{
	const struct msr *m = find(index);

	if (is_x2apic(v, index))
		return apic_read(v, (index - X2APIC_FIRST) << 4, ret);
	if (m && m->read)
		return m->read(v, ret);
	domain_log(v->d, LOGK_MSR, "the guest read MSR 0x%x, which is not provided", index);
	return -EPERM;
}

int msr_write(struct mvcpu *v, uint32_t index, uint64_t val)
{
	const struct msr *m = find(index);
	int r;

	if (is_x2apic(v, index)) {
		apic_write(v, (index - X2APIC_FIRST) << 4, val, &r);
		return r;
	}
	if (m && m->write)
		return m->write(v, val);
	domain_log(v->d, LOGK_MSR, "the guest wrote 0x%llx to MSR 0x%x, which is not provided",
		   (unsigned long long)val, index);
	return -EPERM;
}
