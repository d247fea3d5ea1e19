/* hv/engine/engine.h - how a vCPU is made to run; the one seam between the
 * machine model (hv/domain) and the engines.  Neither engine sees the other,
 * and nothing outside hv/engine/<name>/ names one but engine_find().
 *
 * One thread runs one vCPU.  The engine knows memory (p2m.h) and architectural
 * state (state.h); LAPIC, MSRs other than those in vcpu_state, CPUID contents,
 * ports, hypercalls and time are the caller's, reached by exits.
 *
 *   for (;;) {
 *       r = vcpu_run(v, &x);          // until something is for the caller
 *       handle x, filling x.val/x.fault for reads
 *       vcpu_complete(v, &x);         // for exits marked (c) below
 *   }
 */
#ifndef HV_ENGINE_ENGINE_H
#define HV_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hv/engine/p2m.h"
#include "hv/engine/state.h"

struct vm;   /* per domain, engine-private: code generations, CPUID table */
struct vcpu; /* engine-private */

enum exit_kind {
	EXIT_IO,	  /* (c) port in addr, size 1/2/4, val; string I/O comes one item a time */
	EXIT_MMIO,	  /* (c) gpa in addr, size 1..8, val; no RAM or overlay there */
	EXIT_HYPERCALL,	  /* (c) vmcall/vmmcall at CPL 0 or above: args by vcpu_regs(); the caller
			   *     writes RAX; RIP is already past the instruction */
	EXIT_RDMSR,	  /* (c) index in addr; fill val or set fault for #GP */
	EXIT_WRMSR,	  /* (c) index in addr, val; set fault for #GP */
	EXIT_HLT,	  /* state.halted is set; run again after injecting or to re-check */
	EXIT_CR8,	  /* CR8 written: val is the new TPR >> 4 */
	EXIT_INTR_WINDOW, /* asked for by vcpu_window(): an interrupt can be taken now */
	EXIT_KICKED,	  /* vcpu_kick() was called */
	EXIT_SHUTDOWN,	  /* triple fault */
	EXIT_NR
};

struct vm_exit {
	enum exit_kind kind;
	uint64_t addr, val;
	uint8_t size, is_write, fault;
};

/* One CPUID leaf.  subleaf ~0: any.  The table is complete: a leaf that is not
 * in it reads as the caller's highest basic leaf rule demands (zeros). */
struct cpuid_leaf {
	uint32_t leaf, subleaf, eax, ebx, ecx, edx;
};

struct vm_config {
	struct p2m *p2m; /* borrowed */
	unsigned max_vcpus;
	uint64_t tsc_khz;
	int kvm_fd; /* /dev/kvm, borrowed; read by the kvm engine only */
};

struct engine_ops {
	const char *name;
	/* CPUID bits this engine can really execute: mask the host's with these.
	 * Fills eax..edx of (leaf, subleaf) with the supported bits. */
	void (*cpuid_supported)(uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *ret);

	int (*vm_new)(const struct vm_config *cfg, struct vm **ret);
	void (*vm_free)(struct vm *vm); /* after every vcpu_free; NULL ok */

	/* The leaves are copied.  APIC id and similar per-vCPU bits are the
	 * caller's to fill in. */
	int (*vcpu_new)(struct vm *vm, unsigned id, const struct cpuid_leaf *leaves, size_t n,
			struct vcpu **ret);
	void (*vcpu_free)(struct vcpu *v); /* not while it runs; NULL ok */

	/* On the vCPU's thread.  0 and *ret filled, or a negative errno: the
	 * engine can't go on; the domain crashes, the host does not. */
	int (*vcpu_run)(struct vcpu *v, struct vm_exit *ret);
	void (*vcpu_complete)(struct vcpu *v, const struct vm_exit *x);

	/* On the vCPU's thread, between runs.  Registers by reference, for
	 * hypercalls and tests; may be cheaper than save/load. */
	struct vcpu_state *(*vcpu_regs)(struct vcpu *v);
	/* save: -EAGAIN while an event or half an instruction waits in the engine
	 * (it has no place in vcpu_state): kick and run until EXIT_KICKED first. */
	int (*vcpu_save)(struct vcpu *v, struct vcpu_state *ret);
	int (*vcpu_load)(struct vcpu *v, const struct vcpu_state *st);

	/* Interrupts, between runs.  can_inject: IF set, no shadow, no event
	 * pending.  inject delivers before the next instruction, ends HLT. */
	bool (*vcpu_can_inject)(struct vcpu *v);
	void (*vcpu_inject)(struct vcpu *v, uint8_t vector);
	void (*vcpu_inject_nmi)(struct vcpu *v);
	void (*vcpu_window)(struct vcpu *v, bool want);

	/* Any thread: make vcpu_run return EXIT_KICKED soon, or at once if it is
	 * not running yet.  A kick is never lost. */
	void (*vcpu_kick)(struct vcpu *v);
	/* Any thread: drop every translation (after a p2m change).  Returns when
	 * no vCPU but the caller's own can use an old one. self may be NULL. */
	void (*vm_flush)(struct vm *vm, struct vcpu *self);

	/* Guest TSC = host TSC scaled and offset; the guest reads it without an
	 * exit.  offset is added to the host's TSC. */
	void (*vcpu_set_tsc_offset)(struct vcpu *v, int64_t offset);

	/* Translate and access guest-virtual memory as the running guest kernel
	 * would (supervisor access, current CR3); for hypercall arguments.
	 * 0 or -EFAULT; nothing is injected.  On the vCPU's thread. */
	int (*vcpu_read_virt)(struct vcpu *v, uint64_t va, void *buf, size_t n);
	int (*vcpu_write_virt)(struct vcpu *v, uint64_t va, const void *buf, size_t n);

	/* NULL: vmcall and vmmcall come out as EXIT_HYPERCALL.  Else: the bytes that
	 * must stand in guest code in place of either for that to happen. */
	const uint8_t *(*vm_hypercall_insn)(struct vm *vm);

	/* Bits that hold on this engine whatever the host's CPU says; NULL: none. */
	void (*cpuid_own)(uint32_t leaf, struct cpuid_leaf *ret);
};

/* By name ("soft", "kvm"); NULL if there is none. */
const struct engine_ops *engine_find(const char *name);

#endif
