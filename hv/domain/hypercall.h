/* hv/domain/hypercall.h - the guest's calls: one table, one file per family.
 *
 * A handler gets the five arguments and returns what RAX shall hold: a result
 * or Xen's error as negative errno (the numbers are Linux's).  Arguments that
 * point are guest-virtual and hostile: they are reached only through guest_get
 * and guest_put, copied once, checked, used.  Handlers run on the vCPU's own
 * thread, take their locks themselves, and do bounded work: a long call
 * rewrites its arguments with hc_again() and the guest executes it again, so
 * that pauses and interrupts come in between.
 */
#ifndef HV_DOMAIN_HYPERCALL_H
#define HV_DOMAIN_HYPERCALL_H

#include <stddef.h>
#include <stdint.h>

struct mvcpu;

#define HC_ARGS 5u

typedef int64_t hypercall_fn(struct mvcpu *v, const uint64_t arg[HC_ARGS]);

/* Serves the hypercall the vCPU has just executed. */
void hypercall_run(struct mvcpu *v);

/* 0 or -EFAULT: unmapped, or past the end of the address space. */
int guest_get(struct mvcpu *v, uint64_t va, void *buf, size_t n);
int guest_put(struct mvcpu *v, uint64_t va, const void *buf, size_t n);

/* Make the guest execute the same hypercall again with these arguments;
 * return what this returns. */
int64_t hc_again(struct mvcpu *v, uint64_t a0, uint64_t a1, uint64_t a2);

hypercall_fn hc_memory, hc_evtchn, hc_gnttab, hc_vcpu, hc_sched, hc_hvm, hc_version, hc_console_io,
	hc_vm_assist, hc_set_timer;

/* A sub-operation whose argument is one structure: copied in, run, copied out. */
struct hc_sub {
	int64_t (*run)(struct mvcpu *v, void *arg);
	uint16_t size;
	uint8_t out; /* copy the structure back on success */
};
#define HC_SUB_MAX 64u /* bytes of the largest such structure */
int64_t hc_sub_run(struct mvcpu *v, const struct hc_sub *tab, size_t n, uint64_t op, uint64_t va);

#endif
