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

struct simd_ins {
	/* mem: bounce buffer of mem_size bytes (64-aligned), or NULL.  Returns 0,
	 * or a vector: 16 (#MF) or 19 (#XM), with registers as the CPU leaves
	 * them (the destination unchanged for #XM). */
	int (*run)(const struct simd_ins *s, struct simd_regs *regs, void *mem);
	const void *code;  /* the native stub, for run */
	uint16_t mem_size; /* bytes; 0: no memory operand */
	uint8_t mem;	   /* enum simd_mem */
	uint8_t align;	   /* memory alignment the CPU demands (#GP), or 0 */
	uint8_t unit;	   /* enum simd_unit: which of #NM/#UD/#MF rules apply */
	uint8_t waits;	   /* x87/MMX: a pending unmasked exception is raised first (#MF) */
};

struct simd_cache; /* code memory for stubs, W^X by dual mapping; one per vCPU */
int simd_cache_new(struct simd_cache **ret);
struct simd_cache *simd_cache_free(struct simd_cache *c);
void simd_cache_flush(struct simd_cache *c); /* every simd_ins compiled so far is void */

/* Compile one instruction.  0; -ENOENT: not an x87/MMX/SSE instruction this
 * engine shows in CPUID (the caller raises #UD or looks elsewhere); -ENOSPC:
 * flush the cache and try again. */
int simd_compile(struct simd_cache *c, const struct insn *i, struct simd_ins *ret);

#endif
