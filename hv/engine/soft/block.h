/* hv/engine/soft/block.h - decoded code kept for the next time round.
 *
 * A block is a straight run of instructions inside one guest-physical page,
 * keyed by physical address and decoding mode, private to its vCPU.  It is
 * valid as long as smp.c says its page holds code.
 */
#ifndef HV_ENGINE_SOFT_BLOCK_H
#define HV_ENGINE_SOFT_BLOCK_H

#include "hv/engine/soft/cpu.h"

struct blocks;

int blocks_new(struct blocks **ret);
struct blocks *blocks_free(struct blocks *b);

/* Run from st.rip until something needs the run loop: attention, a change of
 * mode or interrupt state, a shadow.  Faults leave by longjmp. */
void blocks_run(struct vcpu *c);
/* Exactly one instruction at st.rip, decoded afresh. */
void blocks_step(struct vcpu *c);

struct jump *blocks_jumps(struct blocks *b); /* the table vcpu.jumps points at */
/* Fetch and decode at st.rip, across pages if need be; faults as a fetch does. */
void blocks_fetch(struct vcpu *c, struct insn *ret);

/* Virtual-to-block shortcuts are void (after any TLB change). */
void blocks_forget_jumps(struct vcpu *c);
/* Every block decoded from this frame is void. */
void blocks_drop_page(struct vcpu *c, uint64_t gfn);
/* All of them. */
void blocks_drop_all(struct vcpu *c);

#endif
