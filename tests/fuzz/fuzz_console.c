/* tests/fuzz/fuzz_console.c - what a guest, a viewer and a file can say to the
 * console daemon: ring pages, log formats, names, request lines, slots.
 *
 * The first byte chooses; the rest is the hostile bytes. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "consoled/fmt.h"
#include "consoled/names.h"
#include "consoled/ring.h"
#include "consoled/utf8.h"
#include "proto/con_wire.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void a_ring_page(const uint8_t *p, size_t n)
{
	union {
		uint8_t bytes[4096];
		struct xencons_interface r;
	} page = { 0 };
	uint8_t buf[RING_OUT_SIZE];
	uint32_t cons = 0;
	int r;

	/* Indexes from the input's start, so that short inputs reach them. */
	memcpy(page.bytes + 3072, p, n < 16 ? n : 16);
	if (n > 16)
		memcpy(page.bytes, p + 16, n - 16 < 3072 ? n - 16 : 3072);
	r = ring_peek(&page.r, buf, sizeof(buf), &cons);
	must(r == -EBADMSG || (r >= 0 && r <= (int)RING_OUT_SIZE && cons == page.r.out_cons));
	if (r > 0) {
		ring_consume(&page.r, cons + (uint32_t)r);
		must(page.r.out_cons == page.r.out_prod);
	}
	r = ring_in_room(&page.r);
	must(r == -EBADMSG || (r >= 0 && r <= (int)RING_IN_SIZE));
	must(ring_in_put(&page.r, buf, sizeof(buf)) == r);
}

/* In pieces as the input says, every output byte accounted for. */
static void a_stream(const uint8_t *p, size_t n)
{
	struct fmt_conf conf = { 0 };
	struct fmt_ctx c = { .conf = &conf, .guest = "g", .domid = 1 };
	struct fmt_state st = { 0 };
	uint8_t out[8192];
	size_t used, put;

	if (n < 2)
		return;
	conf.kind = p[0] & 1 ? FMT_JSON : FMT_TEXT;
	conf.stamps = p[0] & 2;
	conf.replace_escape = p[0] & 4;
	conf.digits = (p[0] >> 3 & 1) * 3;
	for (size_t at = 1; at < n; at += used) {
		size_t step = 1 + p[at] % 64, room = FMT_ROOM + p[at] * 24u;

		step = step < n - at ? step : n - at;
		put = fmt_run(&c, &st, p + at, step, &used, out, room);
		must(used > 0 && used <= step && put <= room);
		must(st.utf8_len < 4 && st.line_len <= FMT_LINE_MAX);
		if (conf.kind == FMT_JSON)
			for (size_t i = 0; i < put; i++)
				must(out[i] >= 0x20 || out[i] == '\n');
	}
	must(fmt_mark(&c, &st, "mark", out, FMT_ROOM) <= FMT_ROOM && !st.mid_line);
}

static void a_name(const uint8_t *p, size_t n)
{
	char file[LOG_NAME_MAX];

	log_name(file, (const char *)p, n, 7, n & 1);
	must(log_name_valid(file) && !strchr(file, '/') && strlen(file) < LOG_NAME_MAX);
}

static void a_line(const uint8_t *p, size_t n)
{
	char line[CON_LINE_MAX], again[CON_LINE_MAX];
	struct con_req q, q2;
	int len;

	if (n >= sizeof(line))
		n = sizeof(line) - 1;
	memcpy(line, p, n);
	line[n] = '\0';
	if (con_req_parse(line, &q) < 0)
		return;
	must(q.bytes <= CON_TAIL_MAX);
	len = con_req_format(&q, again, sizeof(again));
	must(len > 0);
	again[len - 1] = '\0';
	must(con_req_parse(again, &q2) == 0 && memcmp(&q, &q2, sizeof(q)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static void (*const what[])(const uint8_t *p, size_t n) = { a_ring_page, a_stream, a_name,
								    a_line };

	if (n > 1)
		what[data[0] % 4](data + 1, n - 1);
	return 0;
}
