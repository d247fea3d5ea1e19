/* tests/fuzz/fuzz_http.c - a server may answer anything; the first byte says
 * in what pieces it arrives. */
#include <stdint.h>
#include <stdlib.h>

#include "cli/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_head h;
	struct http_body b;
	size_t step, at, got = 0;
	ssize_t used;
	char *out;

	if (n < 2)
		return 0;
	step = data[0] ? data[0] : 256;
	used = http_head_parse((const char *)data + 1, n - 1, &h);
	if (used <= 0)
		return 0;
	if ((size_t)used > n - 1)
		abort();
	http_body_init(&b, &h);
	out = malloc(step);
	for (at = 1 + (size_t)used; at < n; at += step) {
		size_t take = n - at < step ? n - at : step;
		ssize_t r = http_body_feed(&b, (const char *)data + at, take, out);

		if (r < 0)
			break;
		if ((size_t)r > take)
			abort();
		got += (size_t)r;
	}
	if (h.length >= 0 && got > (size_t)h.length)
		abort();
	free(out);
	return 0;
}
