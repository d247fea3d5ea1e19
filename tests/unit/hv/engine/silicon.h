/* tests/unit/hv/engine/silicon.h - the host's CPU as the reference: run one
 * instruction natively with a given register and memory state and see what it
 * did, including the exception it raised.
 *
 * Code and data sit at fixed low addresses, so that a guest can have the same
 * bytes at the same addresses.  Not thread-safe; one process, one arena.
 *
 * Environment: SILICON_SEED (default fixed) and SILICON_COUNT (cases per family)
 * for long soaks; see silicon_seed(), silicon_count().
 */
#ifndef TESTS_SILICON_H
#define TESTS_SILICON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct insn; /* hv/engine/soft/insn.h: not included, its REG_RIP is also ucontext.h's */

/* One page of code filled with int3; the instruction starts at SIL_START, so
 * that short branches both ways stay in the page. */
#define SIL_CODE  0x20000000ull
#define SIL_START (SIL_CODE + 0x800)
/* Data: two writable pages, an unmapped one, a read-only one, a writable one,
 * and nothing after it. */
#define SIL_DATA  0x20010000ull
#define SIL_PAGES 5u
#define SIL_HOLE  2u
#define SIL_RO	  3u
#define SIL_LEN	  (SIL_PAGES * 4096u)

#define SIL_CS64 0x33 /* Linux's selectors, and the guest's */
#define SIL_CS32 0x23
#define SIL_DS	 0x2b

#define VEC_BP 3

struct sil_state {
	uint64_t r[16];
	uint64_t rip, rflags;
	uint8_t fx[512] __attribute__((aligned(16)));
	int vec; /* out: VEC_BP when it went through to an int3 */
	uint64_t err, cr2;
	bool is32; /* in a flat 32-bit segment (compatibility mode) */
};

void sil_init(void);
/* At the start of each test: cmocka takes the signals for itself before. */
void sil_catch(void);
/* Runs code (less than half a page) from SIL_START.  st in and out; the arena's
 * memory is changed as the instruction does. */
void sil_run(const uint8_t *code, unsigned n, struct sil_state *st);
/* The arena's bytes, hole excluded from copies: all of SIL_LEN, hole as zeros. */
void sil_mem_put(const uint8_t mem[SIL_LEN]);
void sil_mem_get(uint8_t mem[SIL_LEN]);

/* Random numbers and interesting operands; one stream per seed. */
void sil_seed(uint64_t seed);
uint64_t sil_rand(void);
uint64_t sil_rand_int(void);		     /* small, edge or random */
void sil_rand_fx(uint8_t fx[512]);	     /* x87, MXCSR and xmm full of corner cases */
void sil_rand_bytes(uint8_t *p, unsigned n); /* mixtures of the above */
uint64_t silicon_seed(void);
unsigned silicon_count(unsigned deflt);

/* Aim the memory operand of a decoded instruction at `target` by setting
 * registers or patching the displacement in code (already decoded in i).
 * False: this encoding can't reach it. */
bool sil_aim(uint8_t *code, struct insn *i, uint64_t r[16], uint64_t target);
/* An operand address: plain, page-crossing, unaligned, faulting ... */
uint64_t sil_rand_target(unsigned size);

/* The linear address of a memory operand (flat segments). */
uint64_t sil_ea(const struct insn *i, const uint64_t r[16]);
/* Where CPUs differ among themselves, or the host from what we promise (each
 * case says why): make the two answers one.  False: leave the case out. */
bool sil_settle(const struct insn *i, unsigned mem_size, const struct sil_state *in,
		struct sil_state *cpu, struct sil_state *ours, uint8_t *cpu_mem);

/* Print what differs between two states and memories; true if they are equal.
 * flags: rflags bits to compare. */
bool sil_same(const char *what, const uint8_t *code, unsigned n, const struct sil_state *in,
	      const struct sil_state *cpu, const struct sil_state *ours, uint64_t flags,
	      const uint8_t *cpu_mem, const uint8_t *our_mem);

#endif
