/* hv/engine/kvm/kvm_vm.c - making KVM's virtual machine and processors.
 *
 * Every MSR but the engine's own is refused to KVM, so that the machine model
 * answers them as it does under any engine.  CPUID is what the machine model
 * offers less what KVM can't run.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/engine/kvm/kvm_int.h"

#define TSS_GPA		0xfffbd000ul /* three pages KVM on Intel needs, away from ours */
#define MSR_HCALL_PAGE	0x40000000u
#define CPUID_MAX	256u
#define NR_CPUID_FILTER (sizeof(cpuid_filter) / sizeof(cpuid_filter[0]))

static void on_kick(int sig)
{
	(void)sig; /* its only purpose is to end KVM_RUN with EINTR */
}

static int enable_cap(int fd, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return ioctl(fd, KVM_ENABLE_CAP, &c) < 0 ? -errno : 0;
}

static void try_intercept(struct vm *vm)
{
	struct kvm_xen_hvm_config c = { .flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
					.msr = MSR_HCALL_PAGE };
	int have = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XEN_HVM);

	vm->intercept = have > 0 && have & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL &&
			ioctl(vm->fd, KVM_XEN_HVM_CONFIG, &c) == 0;
}

/* Allowed to KVM: struct vcpu_state's MSRs, EFER, FS.base and GS.base.  A bit
 * per MSR from base on; all others come out as exits. */
static int filter_msrs(struct vm *vm)
{
	static const struct {
		uint32_t base, nr;
		uint8_t allow;
	} own[] = {
		{ 0x174, 3, 0x07 },	 /* SYSENTER_CS, ESP, EIP */
		{ 0x277, 1, 0x01 },	 /* PAT */
		{ 0xc0000080, 5, 0x1f }, /* EFER, STAR, LSTAR, CSTAR, SFMASK */
		{ 0xc0000100, 4, 0x0f }, /* FS, GS, kernel GS base, TSC_AUX */
	};
	uint64_t maps[sizeof(own) / sizeof(own[0])];
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		maps[i] = own[i].allow;
		f.ranges[i] = (struct kvm_msr_filter_range){ .flags = KVM_MSR_FILTER_READ |
								      KVM_MSR_FILTER_WRITE,
							     .nmsrs = own[i].nr,
							     .base = own[i].base,
							     .bitmap = (uint8_t *)&maps[i] };
	}
	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f) < 0 ? -errno : 0;
}

void kvm_vm_free(struct vm *vm)
{
	if (!vm)
		return;
	kvm_mem_fini(vm);
	if (vm->fd >= 0)
		close(vm->fd);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

int kvm_vm_new(const struct vm_config *cfg, struct vm **ret)
{
	struct sigaction sa = { .sa_handler = on_kick, .sa_flags = SA_RESTART };
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return -ENOMEM;
	vm->p2m = cfg->p2m;
	vm->kvm_fd = cfg->kvm_fd;
	pthread_mutex_init(&vm->lock, NULL);
	(void)sigaction(KICK_SIGNAL, &sa, NULL); /* fails only for a wrong number */
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0) {
		r = -errno;
		goto out;
	}
	(void)ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_GPA); /* not needed on AMD */
	r = enable_cap(vm->fd, KVM_CAP_X86_USER_SPACE_MSR,
		       KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL |
			       KVM_MSR_EXIT_REASON_FILTER);
	if (r == 0)
		r = filter_msrs(vm);
	if (r < 0)
		goto out;
	try_intercept(vm);
	r = kvm_mem_init(vm);
	if (r < 0)
		goto out;
	*ret = vm;
	vm = NULL;
out:
	kvm_vm_free(vm);
	return r;
}

/* ---- CPUID ---- */

/* Bits a guest may have; what is not listed is not in struct vcpu_state (XSAVE's
 * extended registers, SPEC_CTRL) or of no use here.  Source: SDM 2A, CPUID. */
static const struct {
	uint32_t leaf, ebx, ecx, edx;
	/* the machine model's own: not the host's or KVM's to refuse */
	uint32_t own_ecx, own_edx;
} cpuid_filter[] = {
	/* less DTES64.., XSAVE 26, OSXSAVE 27, AVX 28, F16C 29, FMA 12, PCID 17 */
	{ 1, ~0u, ~(1u << 12 | 1u << 17 | 0xfu << 26), ~0u, 1u << 21 | 1u << 31,
	  1u << 9 | 1u << 28 },
	/* FSGSBASE BMI1 SMEP BMI2 ERMS RDSEED ADX SMAP CLFLUSHOPT CLWB; FSRM */
	{ 7, 1u << 0 | 1u << 3 | 1u << 7 | 1u << 8 | 1u << 9 | 7u << 18 | 3u << 23, 0, 1u << 4, 0,
	  0 },
	{ 0x80000001, 0, ~(1u << 11 | 1u << 15 | 1u << 16 | 1u << 21), ~0u, 1u << 1, 0 },
};

void kvm_cpuid_supported(uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *ret)
{
	/* Of the host's bits those above; set_cpuid() takes off what KVM lacks. */
	*ret = (struct cpuid_leaf){ .leaf = leaf, .subleaf = subleaf };
	for (size_t i = 0; i < NR_CPUID_FILTER; i++)
		if (leaf == cpuid_filter[i].leaf && !subleaf) {
			ret->eax = leaf == 7 ? 0 : ~0u;
			ret->ebx = cpuid_filter[i].ebx;
			ret->ecx = cpuid_filter[i].ecx;
			ret->edx = cpuid_filter[i].edx;
		}
}

/* Takes off the feature bits of e that KVM does not report. */
static void mask_leaf(struct kvm_cpuid_entry2 *e, const struct kvm_cpuid2 *can)
{
	size_t i = 0;

	while (i < NR_CPUID_FILTER && cpuid_filter[i].leaf != e->function)
		i++;
	if (i == NR_CPUID_FILTER)
		return;
	for (uint32_t k = 0; k < can->nent; k++) {
		const struct kvm_cpuid_entry2 *c = &can->entries[k];

		if (c->function != e->function || c->index != e->index)
			continue;
		if (e->function == 7)
			e->ebx &= c->ebx;
		e->ecx &= c->ecx | cpuid_filter[i].own_ecx;
		e->edx &= c->edx | cpuid_filter[i].own_edx;
	}
}

static int set_cpuid(struct vcpu *v, const struct cpuid_leaf *leaves, size_t n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
	struct kvm_cpuid2 *can = calloc(1, sizeof(*c) + CPUID_MAX * sizeof(c->entries[0]));
	int r = -ENOMEM;

	if (!c || !can)
		goto out;
	can->nent = CPUID_MAX;
	r = ioctl(v->vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, can) < 0 ? -errno : 0;
	if (r < 0)
		goto out;
	c->nent = (uint32_t)n;
	for (size_t k = 0; k < n; k++) {
		bool any = leaves[k].subleaf == ~0u;

		c->entries[k] =
			(struct kvm_cpuid_entry2){ .function = leaves[k].leaf,
						   .index = any ? 0 : leaves[k].subleaf,
						   .flags = any ? 0
								: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
						   .eax = leaves[k].eax,
						   .ebx = leaves[k].ebx,
						   .ecx = leaves[k].ecx,
						   .edx = leaves[k].edx };
		mask_leaf(&c->entries[k], can);
	}
	r = ioctl(v->fd, KVM_SET_CPUID2, c) < 0 ? -errno : 0;
out:
	free(c);
	free(can);
	return r;
}

/* ---- processors ---- */

void kvm_vcpu_free(struct vcpu *v)
{
	if (!v)
		return;
	if (v->run)
		(void)munmap(v->run, v->run_size);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

int kvm_vcpu_new(struct vm *vm, unsigned id, const struct cpuid_leaf *leaves, size_t n,
		 struct vcpu **ret)
{
	struct vcpu *v = calloc(1, sizeof(*v));
	void *run;
	int r;

	if (!v)
		return -ENOMEM;
	v->vm = vm;
	v->id = id;
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	r = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (v->fd < 0 || r < 0) {
		r = -errno;
		goto out;
	}
	v->run_size = (size_t)r;
	run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED) {
		r = -errno;
		goto out;
	}
	v->run = run;
	r = set_cpuid(v, leaves, n);
	if (r == 0)
		r = kvm_state_get(v);
	if (r < 0)
		goto out;
	*ret = v;
	v = NULL;
out:
	kvm_vcpu_free(v);
	return r;
}
