/* hv/engine/soft/mem.h - the guest's memory as instructions see it: linear
 * addresses through the software TLB, and segmented ones on top.
 *
 * Everything here may leave the instruction (fault, or ask for MMIO); stores
 * happen whole or not at all.
 */
#ifndef HV_ENGINE_SOFT_MEM_H
#define HV_ENGINE_SOFT_MEM_H

#include <string.h>

#include "hv/engine/soft/cpu.h"

#define PAGE_MASK (~0xfffull)

static inline void *tlb_hit(const struct tlb_entry *t, uint64_t va, unsigned n)
{
	const struct tlb_entry *e = &t[(va >> 12) & (TLB_SIZE - 1)];

	return likely(((va + n - 1) & PAGE_MASK) == e->tag) ? (void *)(va + e->add) : NULL;
}

/* Guest data has no alignment; one access all the same, as atomic as the CPU's. */
#define UNALIGNED __attribute__((aligned(1), may_alias))
typedef volatile uint16_t UNALIGNED any16;
typedef volatile uint32_t UNALIGNED any32;
typedef volatile uint64_t UNALIGNED any64;

static inline uint64_t host_get(const void *p, unsigned n)
{
	uint64_t v = 0;

	switch (n) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return *(const any16 *)p;
	case 4: return *(const any32 *)p;
	case 8: return *(const any64 *)p;
	default: memcpy(&v, p, n & 7); return v;
	}
}

static inline void host_put(void *p, unsigned n, uint64_t v)
{
	switch (n) {
	case 1: *(volatile uint8_t *)p = (uint8_t)v; break;
	case 2: *(any16 *)p = (uint16_t)v; break;
	case 4: *(any32 *)p = (uint32_t)v; break;
	case 8: *(any64 *)p = v; break;
	default: memcpy(p, &v, n & 7);
	}
}

/* mmu.c.  n: 1..8. */
uint64_t mem_read_slow(struct vcpu *c, enum tlb_mode tm, uint64_t va, unsigned n);
void mem_write_slow(struct vcpu *c, enum tlb_mode tm, uint64_t va, unsigned n, uint64_t v);

static inline uint64_t mem_read(struct vcpu *c, uint64_t va, unsigned n)
{
	void *p = tlb_hit(c->rd, va, n);

	return likely(p) ? host_get(p, n) : mem_read_slow(c, c->tm, va, n);
}

static inline void mem_write(struct vcpu *c, uint64_t va, unsigned n, uint64_t v)
{
	void *p = tlb_hit(c->wr, va, n);

	if (likely(p))
		host_put(p, n, v);
	else
		mem_write_slow(c, c->tm, va, n, v);
}

/* Descriptor tables, TSS, stacks of inner rings: supervisor access at any CPL. */
uint64_t sup_read(struct vcpu *c, uint64_t va, unsigned n);
void sup_write(struct vcpu *c, uint64_t va, unsigned n, uint64_t v);

/* Any length up to 512, both pages checked before a byte moves. */
void mem_read_bytes(struct vcpu *c, uint64_t va, void *buf, unsigned n);
void mem_write_bytes(struct vcpu *c, uint64_t va, const void *buf, unsigned n);
void mem_check_write(struct vcpu *c, uint64_t va, unsigned n);

/* Read-modify-write in place where the operand is plain RAM in one page, else
 * on a copy.  Open checks for writing; close stores the copy. */
struct rmw {
	void *p;
	uint64_t va;
	unsigned n;
	bool copy;
	uint8_t buf[16] __attribute__((aligned(16)));
};
void rmw_open(struct vcpu *c, struct rmw *m, uint64_t va, unsigned n, bool locked);
void rmw_close(struct vcpu *c, struct rmw *m);

/* Host address of a page chunk for bulk work, or NULL (MMIO, watched or code).
 * Faults like an access to [va, va+n), which must not cross a page. */
void *mem_chunk(struct vcpu *c, uint64_t va, unsigned n, enum access acc);

/* Segmented address to linear, with the checks of an access of n bytes. */
uint64_t seg_linear(struct vcpu *c, unsigned seg, uint64_t off, unsigned n, enum access acc);
/* Effective address (offset) of the memory operand. */
uint64_t insn_ea(const struct vcpu *c, const struct insn *i);
/* The operand's linear address, checked for n bytes. */
static inline uint64_t insn_lin(struct vcpu *c, const struct insn *i, unsigned n, enum access acc)
{
	return seg_linear(c, i->seg, insn_ea(c, i), n, acc);
}

/* mmu.c */
struct xlat {
	uint64_t gpa;
	unsigned shift; /* log2 of the page */
	bool writable, user, global;
};
/* 0, or -EFAULT with the page fault's error code. */
int mmu_walk(struct vcpu *c, uint64_t va, enum access acc, enum tlb_mode tm, struct xlat *ret,
	     uint32_t *ret_err);
/* Raises #PF, or fills the TLB and returns the host address of va; NULL if there
 * is no RAM to point at.  *ret_gpa is always set. */
void *mmu_fill(struct vcpu *c, uint64_t va, enum access acc, enum tlb_mode tm, uint64_t *ret_gpa);
void mmu_flush(struct vcpu *c, bool keep_global);
void mmu_invlpg(struct vcpu *c, uint64_t va);
void mmu_drop_writes(struct vcpu *c);
void mmu_drop_write_gfn(struct vcpu *c, uint64_t gfn);

/* smp.c: pages with code are never written through the TLB, and pages written
 * through it hold no decoded code; these move a page from one state to the
 * other on every vCPU. */
bool code_can_enter(const struct vcpu *c, uint64_t gfn);
void code_enter(struct vcpu *c, uint64_t gfn);
void code_leave(struct vcpu *c, uint64_t gfn);
/* The frame is being mapped for execution: is it still what was decoded? */
void code_check(struct vcpu *c, uint64_t gfn);
static inline bool code_present(const struct vcpu *c, uint64_t gfn)
{
	return gfn < c->vm->code_gfns && atomic_load(&c->vm->code[gfn]);
}
/* Lock, answering mail meanwhile. */
void smp_lock(struct vcpu *c, pthread_mutex_t *m);
void smp_mail(struct vcpu *c); /* do what others asked */
void smp_flush(struct vm *vm, struct vcpu *self);

#endif
