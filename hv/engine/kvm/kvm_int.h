/* hv/engine/kvm/kvm_int.h - what the KVM engine's files share. */
#ifndef HV_ENGINE_KVM_KVM_INT_H
#define HV_ENGINE_KVM_KVM_INT_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "hv/engine/engine.h"

#define KICK_SIGNAL SIGUSR1
#define HCALL_PORT  0x5eu /* the port replaced hypercall instructions write to */

#define FIRST_PAGE_SLOT 2u /* 0 and 1 are RAM below and above the hole */
#define KVM_PAGE_SLOTS	256u

struct vm {
	struct p2m *p2m;
	int kvm_fd, fd;
	bool intercept; /* KVM hands hypercalls over by itself */
	/* Guest memory as KVM sees it: RAM, with overlays mapped over it. */
	uint8_t *ram, *view;
	uint64_t ram_bytes;
	pthread_mutex_t lock; /* of what follows */
	uint64_t *holes;      /* RAM pages that view shows as ballooned out: a bit each */
	struct overlay {
		uint64_t gfn;
		void *page;
		bool ro;
	} * over; /* RAM frames that are overlaid in view */
	size_t nover;
	unsigned max_slots, nlearned;
	struct learned {
		uint64_t gfn;
		void *page; /* NULL: the slot is free */
		bool ro;
	} learned[KVM_PAGE_SLOTS];
};

struct vcpu {
	struct vm *vm;
	unsigned id;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	/* While `have`: st is the registers, base what KVM has of them. */
	struct vcpu_state st, base;
	bool have, loaded;	     /* loaded: st came from vcpu_load */
	bool half;		     /* an exit's instruction is not complete */
	bool injected;		     /* an interrupt waits for the next run */
	uint32_t pio_next, pio_left; /* items of a string I/O exit */
	bool want_window;
	uint64_t cr8_told;
	int broken; /* what the next run must fail with */
	_Atomic bool kicked, running;
	pid_t tid;
};

/* kvm_vm.c: engine_ops of these names */
int kvm_vm_new(const struct vm_config *cfg, struct vm **ret);
void kvm_vm_free(struct vm *vm);
void kvm_cpuid_supported(uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *ret);
int kvm_vcpu_new(struct vm *vm, unsigned id, const struct cpuid_leaf *leaves, size_t n,
		 struct vcpu **ret);
void kvm_vcpu_free(struct vcpu *v);

/* kvm_mem.c */
int kvm_mem_init(struct vm *vm);
void kvm_mem_fini(struct vm *vm);
/* Bring KVM's memory in line with the p2m's overlays. */
int kvm_mem_sync(struct vm *vm);

/* kvm_state.c: v->st from KVM, and back.  0 or a negative errno. */
int kvm_state_get(struct vcpu *v);
int kvm_state_put(struct vcpu *v);

#endif
