/* tests/fuzz/fuzz_xs_wire.c - any byte stream is messages, "more", or broken. */
#include <stdlib.h>

#include "proto/xs_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t at = 0;

	while (at < n) {
		struct xs_msg m;
		int used = xs_msg_decode(data + at, n - at, &m);

		if (used <= 0)
			break;
		if ((size_t)used > n - at || m.len > XS_PAYLOAD_MAX || m.body < data + at ||
		    m.body + m.len > data + n || !xs_op_name(m.type))
			abort();
		at += (size_t)used;
	}
	return 0;
}
