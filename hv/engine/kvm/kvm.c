/* hv/engine/kvm/kvm.c - the engine on /dev/kvm.
 *
 * Only the CPU is KVM's: interrupts are injected from the caller's LAPIC, MSRs
 * KVM does not know come out as exits, and hypercalls come by KVM's interception
 * or by an OUT that replaced the kernel's vmcall and vmmcall instructions
 * (kvm_patch_hypercalls).  Source: Documentation/virt/kvm/api.rst.
 */
#include "hv/engine/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/engine/kvm/kvm_int.h"

#define TSS_GPA		0xfffbd000ul /* three pages KVM on Intel needs, away from ours */
#define X_GP		13u
#define MSR_TSC		0x10u
#define MSR_HCALL_PAGE	0x40000000u
#define RFLAGS_IF	0x200u
#define KICK_SIGNAL	SIGUSR1

static void on_kick(int sig)
{
	(void)sig; /* its only purpose is to end KVM_RUN with EINTR */
}

/* ---- virtual machine ---- */

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

static void kvm_vm_free(struct vm *vm)
{
	if (!vm)
		return;
	kvm_mem_fini(vm);
	if (vm->fd >= 0)
		close(vm->fd);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static int kvm_vm_new(const struct vm_config *cfg, struct vm **ret)
{
	struct sigaction sa = { .sa_handler = on_kick };
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return -ENOMEM;
	vm->p2m = cfg->p2m;
	vm->kvm_fd = cfg->kvm_fd;
	vm->tsc_khz = cfg->tsc_khz;
	pthread_mutex_init(&vm->lock, NULL);
	sigaction(KICK_SIGNAL, &sa, NULL);
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0) {
		r = -errno;
		goto out;
	}
	(void)ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_GPA); /* not needed on AMD */
	r = enable_cap(vm->fd, KVM_CAP_X86_USER_SPACE_MSR,
		       KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL);
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

static void kvm_cpuid_supported(uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *ret)
{
	/* KVM filters what it can't run when it is given the leaves; the host's
	 * own bits are the bound here. */
	*ret = (struct cpuid_leaf){ .leaf = leaf, .subleaf = subleaf };
	__asm__ volatile("cpuid" : "=a"(ret->eax), "=b"(ret->ebx), "=c"(ret->ecx), "=d"(ret->edx)
			 : "a"(leaf), "c"(subleaf));
}

static int set_cpuid(struct vcpu *v, const struct cpuid_leaf *leaves, size_t n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
	int r;

	if (!c)
		return -ENOMEM;
	c->nent = (uint32_t)n;
	for (size_t k = 0; k < n; k++)
		c->entries[k] = (struct kvm_cpuid_entry2){
			.function = leaves[k].leaf,
			.index = leaves[k].subleaf == ~0u ? 0 : leaves[k].subleaf,
			.flags = leaves[k].subleaf == ~0u ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = leaves[k].eax,
			.ebx = leaves[k].ebx,
			.ecx = leaves[k].ecx,
			.edx = leaves[k].edx
		};
	r = ioctl(v->fd, KVM_SET_CPUID2, c) < 0 ? -errno : 0;
	free(c);
	return r;
}

static void kvm_vcpu_free(struct vcpu *v)
{
	if (!v)
		return;
	if (v->run)
		munmap(v->run, v->run_size);
	if (v->fd >= 0)
		close(v->fd);
	v->vm->v[v->id] = NULL;
	free(v);
}

static int kvm_vcpu_new(struct vm *vm, unsigned id, const struct cpuid_leaf *leaves, size_t n,
			struct vcpu **ret)
{
	struct vcpu *v;
	int r;

	if (id >= KVM_ENGINE_VCPUS)
		return -EINVAL;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->vm = vm;
	v->id = id;
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);
	r = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (v->fd < 0 || r < 0) {
		r = -errno;
		goto out;
	}
	v->run_size = (size_t)r;
	v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		r = -errno;
		goto out;
	}
	r = set_cpuid(v, leaves, n);
	if (r == 0)
		r = kvm_state_get(v);
	if (r < 0)
		goto out;
	vm->v[id] = v;
	*ret = v;
	v = NULL;
out:
	kvm_vcpu_free(v);
	return r;
}

/* ---- registers ---- */

static struct vcpu_state *kvm_vcpu_regs(struct vcpu *v)
{
	if (!v->have && kvm_state_get(v) < 0)
		memset(&v->st, 0, sizeof(v->st)); /* the next put fails and ends the domain */
	v->dirty = true;
	return &v->st;
}

static int kvm_vcpu_save(struct vcpu *v, struct vcpu_state *ret)
{
	int r = v->have ? 0 : kvm_state_get(v);

	if (r == 0)
		*ret = v->st;
	return r;
}

static int kvm_vcpu_load(struct vcpu *v, const struct vcpu_state *st)
{
	v->st = *st;
	v->have = true;
	v->dirty = true;
	return 0;
}

/* ---- running ---- */

static void io_item(struct vcpu *v, struct vm_exit *ret)
{
	const struct kvm_run *k = v->run;
	const uint8_t *data = (const uint8_t *)k + k->io.data_offset + v->pio_next * k->io.size;

	*ret = (struct vm_exit){ .kind = EXIT_IO,
				 .addr = k->io.port,
				 .size = k->io.size,
				 .is_write = k->io.direction == KVM_EXIT_IO_OUT };
	if (ret->is_write)
		memcpy(&ret->val, data, k->io.size);
}

/* True if the access was to memory that KVM had not been told of, and is done. */
static bool mmio_is_memory(struct vcpu *v)
{
	struct kvm_run *k = v->run;
	uint64_t gpa = k->mmio.phys_addr;
	unsigned flags;
	uint8_t *page = p2m_lookup(v->vm->p2m, gpa / P2M_PAGE_SIZE, &flags);

	if (!page || (gpa & (P2M_PAGE_SIZE - 1)) + k->mmio.len > P2M_PAGE_SIZE)
		return false;
	if (!k->mmio.is_write)
		memcpy(k->mmio.data, page + (gpa & (P2M_PAGE_SIZE - 1)), k->mmio.len);
	else if (!(flags & P2M_RO))
		memcpy(page + (gpa & (P2M_PAGE_SIZE - 1)), k->mmio.data, k->mmio.len);
	kvm_mem_learn(v->vm, gpa / P2M_PAGE_SIZE, page, flags);
	return true;
}

/* Fills *ret and returns true, or false: nothing for the caller, run on. */
static bool translate_exit(struct vcpu *v, struct vm_exit *ret)
{
	struct kvm_run *k = v->run;

	switch (k->exit_reason) {
	case KVM_EXIT_IO:
		v->pio_next = 0;
		io_item(v, ret);
		if (k->io.port == HCALL_PORT && ret->is_write && k->io.size == 1 &&
		    k->io.count == 1)
			*ret = (struct vm_exit){ .kind = EXIT_HYPERCALL };
		return true;
	case KVM_EXIT_MMIO:
		if (mmio_is_memory(v))
			return false;
		*ret = (struct vm_exit){ .kind = EXIT_MMIO,
					 .addr = k->mmio.phys_addr,
					 .size = (uint8_t)k->mmio.len,
					 .is_write = k->mmio.is_write };
		if (ret->is_write)
			memcpy(&ret->val, k->mmio.data, k->mmio.len);
		return true;
	case KVM_EXIT_XEN: *ret = (struct vm_exit){ .kind = EXIT_HYPERCALL }; return true;
	case KVM_EXIT_X86_RDMSR:
		*ret = (struct vm_exit){ .kind = EXIT_RDMSR, .addr = k->msr.index };
		return true;
	case KVM_EXIT_X86_WRMSR:
		*ret = (struct vm_exit){ .kind = EXIT_WRMSR,
					 .addr = k->msr.index,
					 .val = k->msr.data,
					 .is_write = 1 };
		return true;
	case KVM_EXIT_HLT: *ret = (struct vm_exit){ .kind = EXIT_HLT }; return true;
	case KVM_EXIT_SET_TPR:
		*ret = (struct vm_exit){ .kind = EXIT_CR8, .val = k->cr8 };
		return true;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		*ret = (struct vm_exit){ .kind = EXIT_INTR_WINDOW };
		return true;
	case KVM_EXIT_SHUTDOWN: *ret = (struct vm_exit){ .kind = EXIT_SHUTDOWN }; return true;
	default: return false;
	}
}

static int run_once(struct vcpu *v)
{
	if (v->dirty) {
		int r = kvm_state_put(v);

		if (r < 0)
			return r;
	}
	v->have = false;
	v->run->request_interrupt_window = v->want_window;
	v->run->cr8 = v->st.cr8;
	v->thread = pthread_self();
	atomic_store(&v->running, true);
	/* A kick from here on either finds running set and signals, or its flag
	 * is seen now; immediate_exit closes the gap before KVM_RUN. */
	v->run->immediate_exit = atomic_load(&v->kicked);
	if (ioctl(v->fd, KVM_RUN, 0) < 0) {
		atomic_store(&v->running, false);
		return -errno;
	}
	atomic_store(&v->running, false);
	return 0;
}

static int kvm_vcpu_run(struct vcpu *v, struct vm_exit *ret)
{
	for (;;) {
		int r = run_once(v);

		if (atomic_exchange(&v->kicked, false)) {
			if (r == 0 && translate_exit(v, ret)) {
				atomic_store(&v->kicked, true); /* after this exit */
				return 0;
			}
			if (r == 0 || r == -EINTR) {
				*ret = (struct vm_exit){ .kind = EXIT_KICKED };
				return 0;
			}
		}
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r < 0)
			return r;
		if (translate_exit(v, ret)) {
			if (ret->kind == EXIT_HLT)
				kvm_vcpu_regs(v)->halted = 1;
			return 0;
		}
		if (v->run->exit_reason != KVM_EXIT_MMIO && v->run->exit_reason != KVM_EXIT_INTR)
			return -EIO; /* internal error, failed entry: the domain crashes */
	}
}

static void kvm_vcpu_complete(struct vcpu *v, const struct vm_exit *x)
{
	struct kvm_run *k = v->run;

	switch (x->kind) {
	case EXIT_IO:
		if (!x->is_write)
			memcpy((uint8_t *)k + k->io.data_offset + v->pio_next * k->io.size, &x->val,
			       k->io.size);
		break;
	case EXIT_MMIO:
		if (!x->is_write)
			memcpy(k->mmio.data, &x->val, x->size > 8 ? 8 : x->size);
		break;
	case EXIT_RDMSR: k->msr.data = x->val; /* fall through */
	case EXIT_WRMSR: k->msr.error = x->fault; break;
	case EXIT_HYPERCALL:
		if (k->exit_reason == KVM_EXIT_XEN && v->have)
			k->xen.u.hcall.result = v->st.r[R_RAX];
		break;
	default: break;
	}
}

/* ---- interrupts ---- */

static bool kvm_vcpu_can_inject(struct vcpu *v)
{
	if (v->have && v->dirty)
		return v->st.rflags & RFLAGS_IF && !v->st.intr_shadow;
	return v->run->ready_for_interrupt_injection && v->run->if_flag;
}

static void kvm_vcpu_inject(struct vcpu *v, uint8_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	if (v->dirty && kvm_state_put(v) < 0)
		return; /* the next run fails likewise and says so */
	v->st.halted = 0;
	(void)ioctl(v->fd, KVM_INTERRUPT, &irq); /* refused only if one is queued: caller asked */
}

static void kvm_vcpu_inject_nmi(struct vcpu *v)
{
	(void)ioctl(v->fd, KVM_NMI, 0); /* coalesces like the pin */
}

static void kvm_vcpu_window(struct vcpu *v, bool want)
{
	v->want_window = want;
}

static void kvm_vcpu_kick(struct vcpu *v)
{
	atomic_store(&v->kicked, true);
	v->run->immediate_exit = 1;
	if (atomic_load(&v->running))
		pthread_kill(v->thread, KICK_SIGNAL);
}

static void kvm_vm_flush(struct vm *vm, struct vcpu *self)
{
	(void)self;
	(void)kvm_mem_sync(vm); /* a page that can't be mapped keeps showing what was there */
}

static void kvm_vcpu_set_tsc_offset(struct vcpu *v, int64_t offset)
{
	uint64_t val = (uint64_t)offset;
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL,
				     .attr = KVM_VCPU_TSC_OFFSET,
				     .addr = (uint64_t)(uintptr_t)&val };

	v->tsc_offset = offset;
	(void)ioctl(v->fd, KVM_SET_DEVICE_ATTR, &a); /* kernels before 5.16: offset stays 0 */
}

static int copy_virt(struct vcpu *v, uint64_t va, void *buf, size_t n, bool write)
{
	uint8_t *b = buf;

	while (n) {
		struct kvm_translation t = { .linear_address = va };
		size_t part = P2M_PAGE_SIZE - (va & (P2M_PAGE_SIZE - 1));
		unsigned flags;
		uint8_t *page;

		if (ioctl(v->fd, KVM_TRANSLATE, &t) < 0 || !t.valid)
			return -EFAULT;
		page = p2m_lookup(v->vm->p2m, t.physical_address / P2M_PAGE_SIZE, &flags);
		if (!page || (write && (flags & P2M_RO || !t.writeable)))
			return -EFAULT;
		page += t.physical_address & (P2M_PAGE_SIZE - 1);
		part = part < n ? part : n;
		if (write)
			memcpy(page, b, part);
		else
			memcpy(b, page, part);
		va += part;
		b += part;
		n -= part;
	}
	return 0;
}

static int kvm_vcpu_read_virt(struct vcpu *v, uint64_t va, void *buf, size_t n)
{
	return copy_virt(v, va, buf, n, false);
}

static int kvm_vcpu_write_virt(struct vcpu *v, uint64_t va, const void *buf, size_t n)
{
	return copy_virt(v, va, (void *)(uintptr_t)buf, n, true);
}

const struct engine_ops engine_kvm = {
	.name = "kvm",
	.cpuid_supported = kvm_cpuid_supported,
	.vm_new = kvm_vm_new,
	.vm_free = kvm_vm_free,
	.vcpu_new = kvm_vcpu_new,
	.vcpu_free = kvm_vcpu_free,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_complete = kvm_vcpu_complete,
	.vcpu_regs = kvm_vcpu_regs,
	.vcpu_save = kvm_vcpu_save,
	.vcpu_load = kvm_vcpu_load,
	.vcpu_can_inject = kvm_vcpu_can_inject,
	.vcpu_inject = kvm_vcpu_inject,
	.vcpu_inject_nmi = kvm_vcpu_inject_nmi,
	.vcpu_window = kvm_vcpu_window,
	.vcpu_kick = kvm_vcpu_kick,
	.vm_flush = kvm_vm_flush,
	.vcpu_set_tsc_offset = kvm_vcpu_set_tsc_offset,
	.vcpu_read_virt = kvm_vcpu_read_virt,
	.vcpu_write_virt = kvm_vcpu_write_virt,
};
