/* hv/engine/kvm/kvm.c - the engine on /dev/kvm: running, exits, interrupts.
 *
 * Only the CPU is KVM's: interrupts are injected from the caller's LAPIC, MSRs
 * that are not the engine's come out as exits, and hypercalls come by KVM's
 * interception or by an OUT that replaced the kernel's vmcall and vmmcall
 * instructions.  Source: Documentation/virt/kvm/api.rst.
 */
#include "hv/engine/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "hv/engine/kvm/kvm_int.h"

#define RFLAGS_IF 0x200u
#define MSR_TSC	  0x10u

/* ---- registers ---- */

static struct vcpu_state *kvm_vcpu_regs(struct vcpu *v)
{
	if (!v->have)
		v->broken = kvm_state_get(v); /* the next run says so and ends the domain */
	return &v->st;
}

static int kvm_vcpu_save(struct vcpu *v, struct vcpu_state *ret)
{
	int r = 0;

	if (v->half || v->injected)
		return -EAGAIN;
	if (!v->have)
		r = kvm_state_get(v);
	if (r == 0)
		*ret = v->st;
	return r;
}

static int kvm_vcpu_load(struct vcpu *v, const struct vcpu_state *st)
{
	if (!v->have && kvm_state_get(v) < 0)
		return -EIO;
	v->st = *st;
	v->loaded = true;
	return 0;
}

/* ---- running ---- */

/* Did the last run leave an interrupt that has not begun yet? */
static bool event_waits(const struct vcpu *v)
{
	return !v->run->ready_for_interrupt_injection;
}

/* One KVM_RUN; stop: only end the instruction that the last exit was in. */
static int enter(struct vcpu *v, bool stop)
{
	int r = v->broken ? v->broken : v->have ? kvm_state_put(v) : 0;

	if (r < 0)
		return r;
	v->have = v->loaded = v->half = false;
	v->run->request_interrupt_window = v->want_window;
	/* A kick sets `kicked` before it looks at `running`, here it is the other
	 * way round: either the flag is seen, or the signal comes.  A signal just
	 * before KVM_RUN is made up for by immediate_exit, set before it. */
	v->tid = gettid();
	v->run->immediate_exit = stop;
	atomic_store(&v->running, true);
	if (!stop && atomic_load(&v->kicked))
		v->run->immediate_exit = 1;
	r = ioctl(v->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	atomic_store(&v->running, false);
	if (r == 0 || !event_waits(v))
		v->injected = false;
	return r;
}

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

/* Registers as they are behind the instruction, where the caller expects RIP. */
static int hypercall_exit(struct vcpu *v, unsigned pad, struct vm_exit *ret)
{
	int r = enter(v, true);

	if (r != -EINTR)
		return r < 0 ? r : -EPROTO; /* an OUT has no second part */
	r = kvm_state_get(v);
	v->st.rip += pad;
	*ret = (struct vm_exit){ .kind = EXIT_HYPERCALL };
	return r < 0 ? r : 1;
}

static int io_exit(struct vcpu *v, struct vm_exit *ret)
{
	const struct kvm_run *k = v->run;

	if (k->io.port == HCALL_PORT && k->io.direction == KVM_EXIT_IO_OUT && k->io.size == 1 &&
	    k->io.count == 1)
		return hypercall_exit(v, 1, ret); /* the NOP that fills it up to three bytes */
	v->pio_next = 0;
	v->pio_left = k->io.count - 1;
	io_item(v, ret);
	v->half = true;
	return 1;
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
	return true;
}

static int mmio_exit(struct vcpu *v, struct vm_exit *ret)
{
	const struct kvm_run *k = v->run;

	v->half = true;
	if (mmio_is_memory(v))
		return 0;
	*ret = (struct vm_exit){ .kind = EXIT_MMIO,
				 .addr = k->mmio.phys_addr,
				 .size = (uint8_t)k->mmio.len,
				 .is_write = k->mmio.is_write };
	if (ret->is_write)
		memcpy(&ret->val, k->mmio.data, sizeof(k->mmio.data));
	return 1;
}

/* 1 and *ret filled; 0: nothing for the caller, run on; or a negative errno. */
static int translate_exit(struct vcpu *v, struct vm_exit *ret)
{
	struct kvm_run *k = v->run;

	switch (k->exit_reason) {
	case KVM_EXIT_IO: return io_exit(v, ret);
	case KVM_EXIT_MMIO: return mmio_exit(v, ret);
	case KVM_EXIT_XEN:
		if (k->xen.type != KVM_EXIT_XEN_HCALL)
			return -EPROTO;
		k->xen.u.hcall.result = k->xen.u.hcall.input; /* RAX stays, for now */
		return hypercall_exit(v, 0, ret);
	case KVM_EXIT_X86_RDMSR:
		v->half = true;
		*ret = (struct vm_exit){ .kind = EXIT_RDMSR, .addr = k->msr.index };
		return 1;
	case KVM_EXIT_X86_WRMSR:
		v->half = true;
		*ret = (struct vm_exit){
			.kind = EXIT_WRMSR, .addr = k->msr.index, .val = k->msr.data, .is_write = 1
		};
		return 1;
	case KVM_EXIT_HLT:
		kvm_vcpu_regs(v)->halted = 1;
		*ret = (struct vm_exit){ .kind = EXIT_HLT };
		return 1;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		v->want_window = false;
		*ret = (struct vm_exit){ .kind = EXIT_INTR_WINDOW };
		return 1;
	case KVM_EXIT_SHUTDOWN: *ret = (struct vm_exit){ .kind = EXIT_SHUTDOWN }; return 1;
	case KVM_EXIT_SET_TPR: /* told by cr8_told */
	case KVM_EXIT_INTR: return 0;
	default: return -EIO; /* internal error, failed entry: the domain crashes */
	}
}

/* What needs no run: items of a string instruction, a new TPR, a kick. */
static int before_run(struct vcpu *v, struct vm_exit *ret)
{
	int r;

	if (v->half && v->pio_left) {
		v->pio_left--;
		v->pio_next++;
		io_item(v, ret);
		return 1;
	}
	if (v->run->cr8 != v->cr8_told) {
		v->cr8_told = v->run->cr8;
		*ret = (struct vm_exit){ .kind = EXIT_CR8, .val = v->cr8_told };
		return 1;
	}
	if (!atomic_load(&v->kicked))
		return 0;
	if (v->half) { /* whole instructions only: the caller may want to save */
		r = enter(v, true);
		if (r != -EINTR)
			return r < 0 ? r : translate_exit(v, ret);
	}
	atomic_store(&v->kicked, false);
	*ret = (struct vm_exit){ .kind = EXIT_KICKED };
	return 1;
}

static int kvm_vcpu_run(struct vcpu *v, struct vm_exit *ret)
{
	int r;

	do {
		r = before_run(v, ret);
		if (r)
			break;
		r = enter(v, false);
		if (r == 0)
			r = translate_exit(v, ret);
		else if (r == -EINTR || r == -EAGAIN)
			r = 0;
	} while (r == 0);
	return r < 0 ? r : 0;
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
			memcpy(k->mmio.data, &x->val, sizeof(k->mmio.data));
		break;
	case EXIT_RDMSR: k->msr.data = x->val; /* fall through */
	case EXIT_WRMSR: k->msr.error = x->fault; break;
	default: break;
	}
}

/* ---- interrupts ---- */

static bool kvm_vcpu_can_inject(struct vcpu *v)
{
	/* Not in the middle of an instruction: KVM would lose the interrupt if its
	 * second half faults.  The window opens right behind it. */
	if (v->injected || v->half)
		return false;
	if (v->loaded)
		return v->st.rflags & RFLAGS_IF && !v->st.intr_shadow;
	return v->run->ready_for_interrupt_injection && v->run->if_flag;
}

static void kvm_vcpu_inject(struct vcpu *v, uint8_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	/* Registers that were loaded go in first: they say what is injected, too. */
	if (v->have && !v->broken)
		v->broken = kvm_state_put(v);
	v->st.halted = 0;
	if (ioctl(v->fd, KVM_INTERRUPT, &irq) < 0)
		v->broken = -errno;
	v->injected = true;
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
	if (atomic_load(&v->running)) /* by number: the thread may be gone by now */
		(void)syscall(SYS_tgkill, getpid(), v->tid, KICK_SIGNAL);
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

	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} m = { .h.nmsrs = 1, .e.index = MSR_TSC };

	if (ioctl(v->fd, KVM_SET_DEVICE_ATTR, &a) == 0)
		return;
	m.e.data = __rdtsc() + val;	      /* Linux before 5.16: as exact as this is fast */
	(void)ioctl(v->fd, KVM_SET_MSRS, &m); /* every KVM has the TSC */
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

static const uint8_t *kvm_hypercall_insn(struct vm *vm)
{
	static const uint8_t out_nop[] = { 0xe6, HCALL_PORT, 0x90 };

	return vm->intercept ? NULL : out_nop;
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
	.vm_hypercall_insn = kvm_hypercall_insn,
};
