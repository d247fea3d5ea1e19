/* hv/engine/soft/simd.h - x87, MMX and SSE instructions run on the host's own
 * units: each becomes a small native stub in which the memory operand points
 * at a bounce buffer.  Knows registers and instruction bytes; not paging, not
 * exceptions (the caller raises #NM, #MF, #XM, #GP for alignment, #UD).
 */
#ifndef HV_ENGINE_SOFT_SIMD_H
#define HV_ENGINE_SOFT_SIMD_H

#include <stdint.h>

#include "hv/engine/soft/insn.h"

/* What a stub works on; embedded in the vCPU.  fx is the guest's FXSAVE image. */
struct simd_regs {
	uint64_t *r;	  /* the guest's 16 GPRs */
	uint64_t *rflags; /* arithmetic flags are read and written */
	uint8_t *fx;	  /* 512 bytes, 16-aligned */
};

enum simd_mem { SIMD_MEM_NONE = 0, SIMD_MEM_READ = 1, SIMD_MEM_WRITE = 2, SIMD_MEM_RW = 3 };
enum simd_unit { SIMD_X87, SIMD_MMX, SIMD_SSE };

/* What run may return besides 0: vectors.  #GP(0) only for reserved MXCSR bits. */
enum { SIMD_GP = 13, SIMD_MF = 16, SIMD_XM = 19 };

struct simd_ins {
	/* mem: mem_size bytes, 16-aligned where align says so, or NULL.  A bounce
	 * buffer, or the guest's own memory: everything is copied before it is
	 * checked.  SIMD_MEM_RW: fill a bounce buffer first, as the instruction
	 * may leave some or all of it alone; the access is a write for #PF.
	 * Returns 0 or a vector, with registers as the CPU leaves them (the
	 * destination unchanged for #XM). */
	int (*run)(const struct simd_ins *s, struct simd_regs *regs, void *mem);
	const void *code;  /* the native stub, for run */
	uint16_t mem_size; /* bytes; 0: no memory operand */
	uint8_t mem;	   /* enum simd_mem */
	uint8_t align;	   /* memory alignment the CPU demands (#GP), or 0 */
	uint8_t unit;	   /* enum simd_unit: which of #NM/#UD/#MF rules apply */
	uint8_t waits;	   /* a pending unmasked x87 exception is raised first, before memory
			    * is touched: check simd_x87_pending(); run checks it again */
	uint8_t flags;	   /* *rflags is used; where 0 it is neither read nor written in effect */
	uint8_t tiny, dst; /* simd_run.c's */
};

/* A memory operand with mod 3 is maskmovq's or maskmovdqu's: at seg:rDI, of the
 * address size.  Units: fxsave and fxrstor are SIMD_X87 (#NM by TS or EM);
 * instructions naming mm and xmm are SIMD_SSE with waits set; fwait (9B) is
 * SIMD_X87, though only MP with TS makes it raise #NM. */

/* An unmasked x87 exception waits to be raised. */
static inline int simd_x87_pending(const uint8_t *fx)
{
	return fx[2] & ~fx[0] & 0x3f;
}

/* Make an image from outside (saved state) one that the host can load. */
void simd_fx_clean(uint8_t fx[512]);

/* The CPUID bits of (leaf, subleaf) that stand for what is compiled here and
 * runs on this host: eax..edx, other bits 0. */
void simd_cpuid_supported(uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

struct simd_cache; /* code memory for stubs, W^X by dual mapping; one per vCPU */
int simd_cache_new(struct simd_cache **ret);
struct simd_cache *simd_cache_free(struct simd_cache *c);
void simd_cache_flush(struct simd_cache *c); /* every simd_ins compiled so far is void */

/* Compile one instruction.  0; -ENOENT: not an x87/MMX/SSE instruction this
 * engine shows in CPUID (the caller raises #UD or looks elsewhere); -ENOSPC:
 * flush the cache and try again. */
int simd_compile(struct simd_cache *c, const struct insn *i, struct simd_ins *ret);

#endif
