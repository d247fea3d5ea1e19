/* tests/unit/hv/engine/silicon_settle.c - the list of differences that are not
 * ours: models of CPU that disagree, and what the manuals leave open.  Short on
 * purpose; whatever is not here must match.
 */
#include "tests/unit/hv/engine/silicon.h"

#include <string.h>

#include "hv/engine/soft/insn.h"
#include "hv/engine/state.h"

#define CSR_OE_UE 0x18u
#define CSR_PE	  0x20u

static bool is_op(const struct insn *i, unsigned map, unsigned op)
{
	return i->map == map && i->op == op;
}

uint64_t sil_ea(const struct insn *i, const uint64_t r[16])
{
	uint64_t ea = (uint64_t)(int64_t)i->disp;

	if (i->base == REG_RIP)
		ea += SIL_START + i->len;
	else if (i->base != REG_NONE)
		ea += r[i->base];
	if (i->index != REG_NONE)
		ea += r[i->index] << i->scale;
	return i->adsize == 4 ? (uint32_t)ea : ea;
}

static uint32_t csr_of(const struct sil_state *st)
{
	uint32_t v;

	memcpy(&v, st->fx + 24, 4);
	return v;
}

static void settle_page_faults(const struct insn *i, unsigned mem_size, struct sil_state *cpu,
			       struct sil_state *ours)
{
	/* environments are many accesses, in an order of the CPU's own */
	if (mem_size > 10 && mem_size != 16) {
		ours->cr2 = cpu->cr2;
		ours->err = cpu->err;
	}
	/* the kernel's half: the host has pages there, the guest has none */
	if (cpu->cr2 >> 47)
		ours->err = (ours->err & ~1ull) | (cpu->err & 1);
	/* cmps: which of two bad operands is reported */
	if (i->map == MAP_1 && (i->op | 1) == 0xa7)
		ours->cr2 = cpu->cr2;
}

static bool settle_simd(const struct insn *i, const struct sil_state *in, struct sil_state *cpu,
			struct sil_state *ours, uint8_t *cpu_mem)
{
	uint32_t cpu_csr = csr_of(cpu);

	if (is_op(i, MAP_0F, 0xae) && i->mod != 3) {
		/* AMD's misaligned-mode bit is not the guest's: in MXCSR_MASK, */
		if ((i->reg & 7) == 0 && cpu->vec == VEC_BP)
			memcpy(cpu_mem + (sil_ea(i, in->r) - SIL_DATA) + 28, "\xff\xff\0", 4);
		/* and in what is loaded */
		if ((i->reg & 7) < 3 && ours->vec == 13 && cpu_csr & 0x20000)
			return false;
	}
	/* SHA on unaligned memory: Intel faults, AMD does not */
	if ((i->map == MAP_0F38 && i->op >= 0xc8 && i->op <= 0xcd) || is_op(i, MAP_0F3A, 0xcc))
		return cpu->vec != 13;
	/* dpps, dppd raise what their inner products do, step by step; we see the end */
	if (i->map == MAP_0F3A && (i->op | 1) == 0x41 && (csr_of(in) & 0x1f80) != 0x1f80)
		return false;
	/* unmasked overflow and underflow: whether the result was inexact as well
	 * is judged before or after rounding to the bounded exponent */
	if (cpu->vec == 19 && (cpu_csr & CSR_OE_UE & ~(cpu_csr >> 7)) &&
	    (cpu_csr ^ csr_of(ours)) == CSR_PE)
		memcpy(ours->fx + 24, &cpu_csr, 4);
	return true;
}

bool sil_settle(const struct insn *i, unsigned mem_size, const struct sil_state *in,
		struct sil_state *cpu, struct sil_state *ours, uint8_t *cpu_mem)
{
	/* maskmovq may have entered MMX state before its fault */
	if (is_op(i, MAP_0F, 0xf7) && cpu->vec == ours->vec && (cpu->vec == 13 || cpu->vec == 14))
		memcpy(ours->fx, cpu->fx, 160);
	if (cpu->vec == 14 && ours->vec == 14)
		settle_page_faults(i, mem_size, cpu, ours);
	/* popa that faults half way: AMD keeps what it popped */
	if (in->is32 && is_op(i, MAP_1, 0x61) && cpu->vec == 14 && ours->vec == 14)
		return false;
	/* movsxd to 16 bits reads 2 bytes on Intel, 4 on AMD */
	if (!in->is32 && is_op(i, MAP_1, 0x63) && i->opsize == 2 && mem_size)
		return false;
	/* 16-bit shld and shrd by more than 16: the result is undefined too */
	if (i->map == MAP_0F && (i->op & 0xf6) == 0xa4 && i->opsize == 2)
		return ((i->op & 1 ? in->r[R_RCX] : i->imm) & 31) <= 16;
	return settle_simd(i, in, cpu, ours, cpu_mem);
}
