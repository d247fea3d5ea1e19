/* hv/engine/soft/seg.h - segments, far control transfers and the IDT. */
#ifndef HV_ENGINE_SOFT_SEG_H
#define HV_ENGINE_SOFT_SEG_H

#include "hv/engine/soft/cpu.h"

/* A descriptor as it stands in the GDT or LDT. */
struct desc {
	uint64_t lo;
	uint64_t at; /* linear address, for the accessed bit */
};

/* False: the selector lies outside its table (or is null). */
bool desc_read(struct vcpu *c, unsigned sel, struct desc *ret);
struct seg desc_seg(const struct desc *d, unsigned sel);
void desc_accessed(struct vcpu *c, struct desc *d);
static inline unsigned desc_type(const struct desc *d)
{
	return (unsigned)(d->lo >> 40) & 0x1f; /* with S as bit 4 */
}
static inline unsigned desc_dpl(const struct desc *d)
{
	return (unsigned)(d->lo >> 45) & 3;
}
static inline bool desc_present(const struct desc *d)
{
	return d->lo >> 47 & 1;
}
#define DESC_L(d)  ((d)->lo >> 53 & 1)
#define DESC_DB(d) ((d)->lo >> 54 & 1)

/* MOV, POP and LxS to a data or stack segment register. */
void seg_load(struct vcpu *c, unsigned s, unsigned sel);
void seg_load_ldt(struct vcpu *c, unsigned sel);
void seg_load_tr(struct vcpu *c, unsigned sel);

/* A stack that may not be the current one yet. */
struct stack {
	struct seg ss;
	uint64_t sp, mask;
	enum tlb_mode tm;
	bool flat; /* 64-bit: no limits */
};
struct stack stack_current(const struct vcpu *c);
void stack_push(struct vcpu *c, struct stack *k, unsigned n, uint64_t v);
uint64_t stack_pop(struct vcpu *c, struct stack *k, unsigned n);
static inline uint64_t stack_merge(const struct stack *k, uint64_t old)
{
	return (old & ~k->mask) | (k->sp & k->mask);
}

/* far.c: c->next and CS (and perhaps SS:RSP) are set. */
void far_jump(struct vcpu *c, unsigned sel, uint64_t off, unsigned opsize);
void far_call(struct vcpu *c, unsigned sel, uint64_t off, unsigned opsize);
void far_ret(struct vcpu *c, unsigned opsize, unsigned release);
void far_iret(struct vcpu *c, unsigned opsize);

/* intr.c: go through the IDT.  st.rip is what gets pushed.  False: not. */
void intr_deliver(struct vcpu *c, const struct event *ev);
/* What a fault during the delivery of a becomes; type EV_NONE: triple fault. */
struct event intr_combine(const struct event *a, const struct event *b);
/* Ring r's stack from the TSS (legacy modes). */
struct stack tss_stack(struct vcpu *c, unsigned ring, unsigned ext);
uint64_t tss_rsp64(struct vcpu *c, unsigned off);

/* The outer ring may not keep data segments it could not load. */
void seg_drop_inner(struct vcpu *c, unsigned cpl);

#endif
