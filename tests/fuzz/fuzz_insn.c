/* tests/fuzz/fuzz_insn.c - the instruction decoder in its three modes: what it
 * accepts depends on those bytes alone, and on all of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hv/engine/soft/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const uint8_t *p, unsigned n, enum insn_mode mode)
{
	struct insn i, again;

	memset(&i, 0, sizeof(i));
	memset(&again, 0, sizeof(again));
	if (insn_decode(p, n, mode, &i) < 0)
		return;
	if (!i.len || i.len > n || i.len > INSN_MAX || memcmp(i.bytes, p, i.len) != 0)
		abort();
	if (i.op_off >= i.len || i.imm_off + i.imm_len > i.len)
		abort();
	if (insn_decode(p, i.len, mode, &again) < 0 || again.len != i.len || again.op != i.op)
		abort();
	if (insn_decode(p, i.len - 1u, mode, &again) != -EAGAIN)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	for (size_t at = 0; at < n; at++) {
		unsigned left = n - at > 32 ? 32 : (unsigned)(n - at);

		check(data + at, left, MODE_16);
		check(data + at, left, MODE_32);
		check(data + at, left, MODE_64);
	}
	return 0;
}
