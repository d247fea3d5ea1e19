/* hv/engine/state.h - a vCPU's architectural state, the same for every engine.
 *
 * What one engine saves another loads (engine-neutral save and migration).
 * Units are the CPU's own; hidden segment parts are expanded.
 */
#ifndef HV_ENGINE_STATE_H
#define HV_ENGINE_STATE_H

#include <stdint.h>

enum {
	R_RAX,
	R_RCX,
	R_RDX,
	R_RBX,
	R_RSP,
	R_RBP,
	R_RSI,
	R_RDI,
	R_R8,
	R_R9,
	R_R10,
	R_R11,
	R_R12,
	R_R13,
	R_R14,
	R_R15,
	R_NR
};
enum { S_ES, S_CS, S_SS, S_DS, S_FS, S_GS, S_LDTR, S_TR, S_NR };

/* attr bits as in the descriptor's bytes 5 and 6 (SDM 3A 3.4.5), without the
 * limit nibble: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11; bit 12:
 * unusable (VMX's meaning). */
struct seg {
	uint64_t base;
	uint32_t limit; /* in bytes, granularity applied */
	uint16_t sel;
	uint16_t attr;
};
#define SEG_TYPE(a)  ((a)&0xf)
#define SEG_S	     0x0010u
#define SEG_DPL(a)   (((a) >> 5) & 3)
#define SEG_P	     0x0080u
#define SEG_L	     0x0200u
#define SEG_DB	     0x0400u
#define SEG_G	     0x0800u
#define SEG_UNUSABLE 0x1000u

struct dtable {
	uint64_t base;
	uint16_t limit;
};

struct vcpu_state {
	uint64_t r[R_NR];
	uint64_t rip, rflags;
	struct seg s[S_NR];
	struct dtable gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8;
	uint64_t dr[8]; /* 0-3, 6, 7; 4 and 5 unused */
	uint64_t xcr0;
	/* MSRs the engine itself needs; every other MSR is the domain's. */
	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux, pat;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint8_t fx[512] __attribute__((aligned(16))); /* FXSAVE image, 64-bit form */
	uint8_t halted;				      /* in HLT, waiting for an interrupt */
	uint8_t intr_shadow;			      /* the instruction after STI / MOV SS */
	uint8_t nmi_blocked;
};

#endif
