/* hv/engine/kvm/kvm_int.h - what the KVM engine's files share. */
#ifndef HV_ENGINE_KVM_KVM_INT_H
#define HV_ENGINE_KVM_KVM_INT_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hv/engine/engine.h"

#define KVM_ENGINE_VCPUS 32u
#define HCALL_PORT	 0x5eu /* the port replaced hypercall instructions write to */

#define FIRST_PAGE_SLOT	 2u /* 0 and 1 are RAM below and above the hole */
#define KVM_PAGE_SLOTS	 256u

struct vm {
	struct p2m *p2m;
	int kvm_fd, fd;
	uint64_t tsc_khz;
	bool intercept; /* KVM hands hypercalls over by itself */
	/* Guest memory as KVM sees it: RAM, with overlays mapped over it. */
	uint8_t *ram, *view;
	uint64_t ram_bytes;
	pthread_mutex_t lock; /* of what follows */
	uint64_t *over;	      /* RAM frames that are overlaid in view */
	size_t nover;
	unsigned max_slots, nlearned;
	struct learned {
		uint64_t gfn;
		void *page; /* NULL: the slot is free */
	} learned[KVM_PAGE_SLOTS];
	struct vcpu *v[KVM_ENGINE_VCPUS];
};

struct vcpu {
	struct vm *vm;
	unsigned id;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	struct vcpu_state st; /* valid while `have` */
	bool have, dirty;     /* registers fetched from KVM; changed since */
	uint32_t pio_next;    /* item of a string I/O exit in hand */
	bool want_window;
	int64_t tsc_offset;
	_Atomic bool kicked;
	pthread_t thread;
	_Atomic bool running;
};

/* kvm_mem.c */
int kvm_mem_init(struct vm *vm);
void kvm_mem_fini(struct vm *vm);
/* Bring view in line with the p2m's overlays of RAM frames. */
int kvm_mem_sync(struct vm *vm);
/* A page that KVM took for MMIO although the p2m has it: give it a slot. */
void kvm_mem_learn(struct vm *vm, uint64_t gfn, void *page, unsigned flags);

/* kvm_state.c: v->st from KVM, and back.  0 or a negative errno. */
int kvm_state_get(struct vcpu *v);
int kvm_state_put(struct vcpu *v);

#endif
