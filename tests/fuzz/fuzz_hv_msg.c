/* tests/fuzz/fuzz_hv_msg.c - a datagram is refused, or decodes to something
 * that encodes to the very same bytes. */
#include <stdlib.h>
#include <string.h>

#include "proto/hv_msg.h"

static struct hv_msg msg;
static uint8_t again[HV_MSG_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t at = 0;
	int used;

	if (hv_msg_decode(data, n, &msg) == 0 &&
	    (hv_msg_encode(&msg, again, sizeof(again)) != (int)n || memcmp(data, again, n) != 0))
		abort();
	while (at < n && (used = hv_msg_decode_next(data + at, n - at, &msg)) > 0) {
		if ((size_t)used > n - at || hv_msg_name(msg.type)[0] == '?')
			abort();
		at += (size_t)used;
	}
	return 0;
}
