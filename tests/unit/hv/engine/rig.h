/* tests/unit/hv/engine/rig.h - a bare machine for small guest programs: 4 MiB of
 * RAM, a GDT, an IDT whose every handler halts, a TSS, and long-mode identity
 * paging with 4 KiB pages for the first 2 MiB.
 *
 * A program ends by HLT.  So does every handler, at HANDLER(vector), so that a
 * test sees from RIP what happened and finds the frame at RSP.
 */
#ifndef TEST_RIG_H
#define TEST_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "hv/engine/engine.h"

#define RIG_RAM	   (4u << 20)
#define AT_GDT	   0x1000u
#define AT_IDT	   0x2000u
#define AT_TSS	   0x3000u
#define AT_PML4	   0x4000u
#define AT_PDPT	   0x5000u
#define AT_PD	   0x6000u
#define AT_PT	   0x7000u
#define AT_HANDLER 0x9000u
#define AT_CODE	   0x10000u
#define AT_DATA	   0x20000u
#define AT_STACK   0x30000u /* the top */
#define AT_RING0   0x38000u /* TSS.RSP0, top */
#define AT_IST1	   0x3c000u /* top */
#define HANDLER(v) (AT_HANDLER + 16u * (v))

/* Selectors in the rig's GDT. */
enum {
	SEL_CODE32 = 0x08,
	SEL_DATA = 0x10,
	SEL_CODE64 = 0x18,
	SEL_UCODE32 = 0x20,
	SEL_UDATA = 0x28,
	SEL_UCODE64 = 0x30,
	SEL_CODE16 = 0x38,
	SEL_DATA16 = 0x40,
	SEL_ABSENT = 0x48,
	SEL_TSS = 0x50
};

struct rig {
	const struct engine_ops *ops;
	uint8_t *ram;
	struct p2m *p2m;
	struct vm *vm;
	struct vcpu *v[4];
	unsigned nv;
	struct vm_exit x;
};

/* Guest code in the middle of a test: assembled with the test itself. */
#define GUEST(name, text)                                                 \
	extern const uint8_t name[], name##_end[];                        \
	asm(".pushsection .rodata\n" #name ":\n" text "\n.code64\n" #name \
	    "_end:\n.byte 0xf4\n.popsection\n")
#define PUT_CODE(g, at, name) memcpy((g)->ram + (at), name, (size_t)(name##_end - name) + 1)

/* One vCPU in 64-bit ring 0 at AT_CODE, interrupts off; nv: how many to make. */
struct rig *rig_new(unsigned nv);
void rig_free(struct rig *g);
struct vcpu_state rig_long_mode(const struct rig *g);
/* State of vCPU 0, live. */
static inline struct vcpu_state *regs(struct rig *g)
{
	return g->ops->vcpu_regs(g->v[0]);
}
/* Run vCPU 0 once; the exit is in g->x. */
enum exit_kind rig_run(struct rig *g);
void rig_complete(struct rig *g, uint64_t val);
/* Run to HLT, which must come without another exit. */
void rig_to_hlt(struct rig *g);
/* It ended where a program ends, or in the handler of a vector. */
void rig_expect_end(struct rig *g);
void rig_expect_vector(struct rig *g, unsigned vec);
uint64_t *rig_frame(struct rig *g); /* what lies at RSP */

static inline uint64_t *pte(struct rig *g, uint64_t va)
{
	return (uint64_t *)(g->ram + AT_PT) + (va >> 12);
}
static inline uint64_t *q(struct rig *g, uint64_t gpa)
{
	return (uint64_t *)(g->ram + gpa);
}

#endif
