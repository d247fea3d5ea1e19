/* hv/engine/soft/jit.h - the same-ISA translator, as the run loop sees it.
 *
 * Runs 64-bit code natively, block by block; whatever it can't or need not do
 * (system instructions, faults, MMIO, code pages, page-crossing accesses, odd
 * encodings) it hands back one instruction at a time to the decoded-block
 * engine, which is the reference.  Its TLB only ever copies translations that
 * the engine's own TLB holds, so it is dropped whenever that is.
 */
#ifndef HV_ENGINE_SOFT_JIT_H
#define HV_ENGINE_SOFT_JIT_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;
struct jit;

enum jit_why {
	JIT_STEP, /* run one instruction at st.rip in the engine, then come back */
	JIT_ATTN  /* jit_poll() was called: look at the vCPU's attention bits */
};

int jit_new(struct vcpu *c, struct jit **ret);
struct jit *jit_free(struct jit *j);

/* On the vCPU's thread, long mode with a 64-bit CS, no single step, no
 * breakpoints armed.  State is exact in c->st and c->fl when it returns. */
enum jit_why jit_run(struct jit *j);

/* Any thread: make jit_run return JIT_ATTN at the next block border. */
void jit_poll(struct jit *j);

/* The engine's TLB lost: everything; everything but global pages; one page;
 * the right to write. NULL is fine. */
void jit_tlb_flush(struct jit *j, bool keep_global);
void jit_tlb_page(struct jit *j, uint64_t va);
void jit_tlb_no_writes(struct jit *j);

/* Code of this guest frame changed. */
void jit_inval(struct jit *j, uint64_t gfn);
/* Forget all code (CPUID or mode tables changed). */
void jit_reset(struct jit *j);

#endif
