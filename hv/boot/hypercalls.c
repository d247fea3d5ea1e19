/* hv/boot/hypercalls.c - see hypercalls.h. */
#include "hv/boot/hypercalls.h"

#include <stdbool.h>
#include <string.h>

#define FUNC_SIZE 16u
#define RET	  0xc3u
#define JMP	  0xe9u /* to a return thunk */

/* 0f 01 last, then a return. */
static bool is_stub(const uint8_t *p, uint8_t last)
{
	return p[0] == 0x0f && p[1] == 0x01 && p[2] == last && (p[3] == RET || p[3] == JMP);
}

unsigned hypercalls_replace(uint8_t *code, size_t n, const uint8_t insn[HYPERCALL_LEN])
{
	unsigned found = 0;

	for (size_t at = 0; n >= FUNC_SIZE + 4 && at <= n - FUNC_SIZE - 4;) {
		uint8_t *p = memchr(code + at, 0x0f, n - FUNC_SIZE - 3 - at);

		if (!p)
			break;
		at = (size_t)(p - code) + 1;
		if (!is_stub(p, 0xd9) || !is_stub(p + FUNC_SIZE, 0xc1))
			continue;
		memcpy(p, insn, HYPERCALL_LEN);
		memcpy(p + FUNC_SIZE, insn, HYPERCALL_LEN);
		found++;
	}
	return found;
}
