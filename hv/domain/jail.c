/* hv/domain/jail.c - what a domain process needs beside what every jailed process
 * has: its control socket, its guest's memory, its engine's code. */
#include "hv/domain/jail.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <seccomp.h>

#include "daemons/jail.h"

#define AS_BASE	      (4ull << 30)   /* code, tables of the engine, libraries */
#define AS_PER_THREAD (256ull << 20) /* stack, allocator arena, translation cache */
#define FILE_MAX      (1ull << 30)   /* largest memfd the engine may make for its code */
#define FD_MAX	      4096u

#define KVM(request)                                 \
	{                                            \
		SCMP_SYS(ioctl), 1, ~0ull, (request) \
	}
#define COMMON 8u /* rules of every engine; what follows them is for kvm alone */

static const struct jail_rule rules[] = {
	{ SCMP_SYS(accept4) },
	{ SCMP_SYS(dup) },
	{ SCMP_SYS(pread64) },
	{ SCMP_SYS(lseek) },
	/* the balloon's holes, the engine's code */
	{ SCMP_SYS(fallocate) },
	{ SCMP_SYS(memfd_create) },
	{ SCMP_SYS(ftruncate) },
	/* memfds are sealed; no other flag of a shared descriptor may be touched */
	{ SCMP_SYS(fcntl), 1, ~0ull, F_ADD_SEALS },
	/* What hv/engine/kvm asks; nothing reaches beyond the guest's own machine. */
	KVM(KVM_CREATE_VM),
	KVM(KVM_CHECK_EXTENSION),
	KVM(KVM_GET_VCPU_MMAP_SIZE),
	KVM(KVM_GET_SUPPORTED_CPUID),
	KVM(KVM_ENABLE_CAP),
	KVM(KVM_SET_TSS_ADDR),
	KVM(KVM_X86_SET_MSR_FILTER),
	KVM(KVM_XEN_HVM_CONFIG),
	KVM(KVM_SET_USER_MEMORY_REGION),
	KVM(KVM_CREATE_VCPU),
	KVM(KVM_SET_CPUID2),
	KVM(KVM_SET_DEVICE_ATTR),
	KVM(KVM_RUN),
	KVM(KVM_GET_REGS),
	KVM(KVM_SET_REGS),
	KVM(KVM_GET_SREGS),
	KVM(KVM_SET_SREGS),
	KVM(KVM_GET_MSRS),
	KVM(KVM_SET_MSRS),
	KVM(KVM_GET_FPU),
	KVM(KVM_SET_FPU),
	KVM(KVM_GET_DEBUGREGS),
	KVM(KVM_SET_DEBUGREGS),
	KVM(KVM_GET_VCPU_EVENTS),
	KVM(KVM_SET_VCPU_EVENTS),
	KVM(KVM_INTERRUPT),
	KVM(KVM_NMI),
	KVM(KVM_TRANSLATE),
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

size_t domain_jail_calls(void)
{
	return jail_base_calls() + COMMON;
}

int domain_jail_enter(const struct domain_jail *cfg, char *ret_missing, size_t missing_len,
		      char *err, size_t errlen)
{
	struct jail_config c = {
		.uid = cfg->uid,
		.root = cfg->root,
		.covered = true,
		.threads = cfg->threads,
		.files = FD_MAX,
		.file_max = FILE_MAX,
		.address_space = cfg->ram_bytes * (cfg->kvm ? 2 : 1) + /* KVM has its own view */
				 AS_BASE + cfg->threads * AS_PER_THREAD,
		.rules = rules,
		.nrules = cfg->kvm ? RULES : COMMON,
	};

	return jail_enter(&c, ret_missing, missing_len, err, errlen);
}
