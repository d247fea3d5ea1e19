/* tests/unit/hv/engine/silicon_simd.c - the native stubs against the CPU they
 * run on: same instruction, same registers, same memory, same faults.  What is
 * tested is the machinery: operands, sizes, alignment, order of faults, and the
 * derivation of #XM and #MF.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/engine/soft/simd.h"
#include "hv/engine/state.h"
#include "tests/unit/hv/engine/silicon.h"

#define ARITH 0x8d5ull

static struct simd_cache *cache;
static uint8_t mem0[SIL_LEN], cpu_mem[SIL_LEN], our_mem[SIL_LEN];

static int page_fault(struct sil_state *st, uint64_t ea, unsigned n, bool write)
{
	for (uint64_t a = ea; a < ea + n; a = (a | 4095) + 1) {
		uint64_t pg = (a - SIL_DATA) / 4096;

		if (pg < SIL_PAGES && pg != SIL_HOLE && !(write && pg == SIL_RO))
			continue;
		st->cr2 = a;
		st->err = 4 | (write ? 2 : 0) | (pg == SIL_RO ? 1 : 0);
		return 14;
	}
	return 0;
}

/* What the engine does around a stub, over our copy of the arena. */
static int run_ours(const struct insn *i, struct sil_state *st)
{
	struct simd_regs regs = { .r = st->r, .rflags = &st->rflags, .fx = st->fx };
	uint8_t buf[512] __attribute__((aligned(64)));
	uint8_t *m = NULL, *at = NULL;
	struct simd_ins s;
	uint64_t ea;
	int r;

	r = simd_compile(cache, i, &s);
	if (r == -ENOSPC) {
		simd_cache_flush(cache);
		r = simd_compile(cache, i, &s);
	}
	if (r < 0)
		return 6;
	if (s.waits && simd_x87_pending(st->fx))
		return 16;
	if (s.mem) {
		ea = i->mod == 3 ? st->r[R_RDI] : sil_ea(i, st->r);
		if (i->mod == 3 && i->adsize == 4)
			ea = (uint32_t)ea;
		if (s.align && ea % s.align)
			return 13;
		if (page_fault(st, ea, s.mem_size, s.mem & SIMD_MEM_WRITE))
			return 14;
		at = our_mem + (ea - SIL_DATA);
		m = sil_rand() & 1 && ea % 16 == 0 ? at : buf;
		if (m == buf && s.mem & SIMD_MEM_READ)
			memcpy(m, at, s.mem_size);
	}
	r = s.run(&s, &regs, m);
	if (r)
		return r;
	if (m == buf && s.mem & SIMD_MEM_WRITE)
		memcpy(at, m, s.mem_size);
	st->rip += i->len;
	return 0;
}

static void random_state(struct sil_state *st)
{
	memset(st, 0, sizeof(*st));
	for (unsigned k = 0; k < 16; k++)
		st->r[k] = sil_rand_int();
	st->rip = SIL_START;
	st->rflags = (sil_rand() & ARITH) | 0x202;
	sil_rand_fx(st->fx);
}

/* Bytes of one candidate: prefixes, REX, escape, opcode, ModRM, rest. */
static void random_code(uint8_t code[15], bool x87)
{
	static const uint8_t pfx[] = { 0, 0, 0x66, 0x66, 0xf3, 0xf2 };
	unsigned n = 0, map = sil_rand() % 8, p = pfx[sil_rand() % sizeof(pfx)];

	for (unsigned i = 0; i < 15; i++)
		code[i] = (uint8_t)sil_rand();
	if (sil_rand() % 16 == 0)
		code[n++] = 0x67;
	if (p && (!x87 || sil_rand() % 8 == 0))
		code[n++] = (uint8_t)p;
	if (sil_rand() & 1)
		code[n++] = 0x40 | (sil_rand() & 15);
	if (x87) {
		code[n++] = 0xd8 + (sil_rand() & 7);
	} else {
		code[n++] = 0x0f;
		if (map >= 6)
			code[n++] = map == 6 ? 0x38 : 0x3a;
		n++;
	}
	if (sil_rand() & 1)
		code[n] |= 0xc0;
}

static bool one_case(bool x87, unsigned *ret_ran)
{
	struct sil_state in, cpu, ours;
	struct simd_ins s;
	struct insn i;
	uint8_t code[15];

	random_code(code, x87);
	if (insn_decode(code, sizeof(code), MODE_64, &i) < 0)
		return true;
	if (i.seg == S_FS || i.seg == S_GS || simd_compile(cache, &i, &s) < 0)
		return true;
	random_state(&in);
	if (s.mem && i.mod == 3) {
		in.r[R_RDI] = sil_rand_target(s.mem_size);
	} else if (s.mem) {
		if (!sil_aim(code, &i, in.r, sil_rand_target(s.mem_size)))
			return true;
		if (insn_decode(code, sizeof(code), MODE_64, &i) < 0)
			return true;
	}
	sil_rand_bytes(mem0 + 512 + sil_rand() % 2048, 512);
	cpu = ours = in;
	sil_mem_put(mem0);
	memcpy(our_mem, mem0, SIL_LEN);
	sil_run(code, i.len, &cpu);
	sil_mem_get(cpu_mem);
	if (cpu.vec == VEC_BP)
		cpu.rip--;
	ours.vec = run_ours(&i, &ours);
	if (ours.vec == 0)
		ours.vec = VEC_BP;
	if (!sil_settle(&i, s.mem_size, &in, &cpu, &ours, cpu_mem))
		return true;
	++*ret_ran;
	return sil_same("simd", code, i.len, &in, &cpu, &ours, ARITH, cpu_mem, our_mem);
}

static void family(bool x87)
{
	unsigned want = silicon_count(20000), ran = 0, bad = 0;

	sil_catch();
	sil_seed(silicon_seed() * 2 + x87);
	for (unsigned i = 0; i < SIL_LEN; i += 64)
		sil_rand_bytes(mem0 + i, 64);
	memset(mem0 + SIL_HOLE * 4096, 0, 4096);
	while (ran < want && bad < 20)
		bad += !one_case(x87, &ran);
	assert_int_equal(bad, 0);
}

static void x87_runs_as_on_the_cpu(void **state)
{
	family(true);
}

static void mmx_and_sse_run_as_on_the_cpu(void **state)
{
	family(false);
}

static int setup(void **state)
{
	sil_init();
	return simd_cache_new(&cache);
}

static int teardown(void **state)
{
	cache = simd_cache_free(cache);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x87_runs_as_on_the_cpu),
		cmocka_unit_test(mmx_and_sse_run_as_on_the_cpu),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests_name("hv/engine/silicon_simd", tests, setup, teardown);
}
