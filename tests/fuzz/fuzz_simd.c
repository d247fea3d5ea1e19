/* tests/fuzz/fuzz_simd.c - any x87, MMX or SSE instruction on any state: its
 * stub must run through.  A host fault would end this process.
 *
 * Input: an FXSAVE image (as much of it as there is), then instructions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hv/engine/soft/simd.h"
#include "hv/engine/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void run_one(struct simd_cache *c, const struct insn *i, struct simd_regs *regs,
		    const uint8_t *data, size_t n)
{
	uint8_t mem[512 + 64] __attribute__((aligned(64)));
	struct simd_ins s;
	int r = simd_compile(c, i, &s);

	if (r == -ENOSPC) {
		simd_cache_flush(c);
		r = simd_compile(c, i, &s);
	}
	if (r == -ENOENT)
		return;
	if (r < 0 || s.mem_size > 512 || !s.mem != !s.mem_size)
		abort();
	memset(mem, 0xa5, sizeof(mem));
	memcpy(mem, data, n > s.mem_size ? s.mem_size : n);
	r = s.run(&s, regs, s.mem_size ? mem : NULL);
	if (r && r != SIMD_GP && r != SIMD_MF && r != SIMD_XM)
		abort();
	for (unsigned k = s.mem_size; k < sizeof(mem); k++)
		if (mem[k] != 0xa5)
			abort(); /* wrote beyond its operand */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct simd_cache *cache; /* made once: mappings are slow */
	uint8_t fx[512] __attribute__((aligned(16))) = { 0 };
	uint64_t r[R_NR] = { 0 }, rflags = 2;
	struct simd_regs regs = { .r = r, .rflags = &rflags, .fx = fx };
	size_t at = n < 512 ? n / 2 : 512;
	struct insn i;

	if (!cache && simd_cache_new(&cache) < 0)
		abort();
	memcpy(fx, data, at);
	while (at < n) {
		unsigned left = n - at > INSN_MAX ? INSN_MAX : (unsigned)(n - at);

		if (insn_decode(data + at, left, MODE_64, &i) < 0) {
			at++;
			continue;
		}
		run_one(cache, &i, &regs, data + at, n - at);
		at += i.len;
	}
	return 0;
}
