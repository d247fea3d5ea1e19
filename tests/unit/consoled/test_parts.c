/* Names, the scrollback against a naive one, budgets, the ring's indexes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "consoled/budget.h"
#include "consoled/names.h"
#include "consoled/pty.h"
#include "consoled/ring.h"
#include "consoled/scroll.h"
#include "daemons/sys.h"

static uint32_t rnd(uint32_t n)
{
	static uint64_t s = 0x9e3779b97f4a7c15ull;

	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return (uint32_t)(s >> 20) % n;
}

static void different_names_have_different_harmless_files(void **state)
{
	char seen[400][LOG_NAME_MAX], name[4096];
	size_t n = 0;

	/* Long ones that differ in the last byte, and what looks like our own marks. */
	static const char *const odd[] = { "a/b",   "a%2Fb",  "a%252Fb", "a",
					   "a@1",   "a%401",  "@7",	 "",
					   "..",    ".",      "~",	 "a~0123456789abcdef",
					   "x.log", "x.log.1" };

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		log_name(seen[n++], odd[i], strlen(odd[i]), 7, 0);
	log_name(seen[n++], "a", 1, 7, 1);
	for (size_t len = 170; len < 190; len++) {
		memset(name, 'q', len);
		log_name(seen[n++], name, len, 7, 0);
		name[len - 1] = 'r';
		log_name(seen[n++], name, len, 7, 0);
		memset(name, '/', len);
		log_name(seen[n++], name, len, 7, 4000000000u);
	}
	for (size_t i = 0; i < n; i++) {
		assert_null(strchr(seen[i], '/'));
		assert_true(strlen(seen[i]) < LOG_NAME_MAX);
		assert_true(log_name_valid(seen[i]));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(seen[i], seen[k]);
	}
}

static void a_name_from_a_file_is_checked(void **state)
{
	static const char *const bad[] = {
		"",	  "guest-",	   "guest-a/b.log", "../guest-a.log", "guest-a\n.log",
		"passwd", "guest-a.log.1", "xguest-a.log"
	};
	char unterminated[LOG_NAME_MAX];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(log_name_valid(bad[i]));
	memset(unterminated, 'a', sizeof(unterminated));
	assert_false(log_name_valid(unterminated));
	assert_true(log_name_valid("hypervisor.log"));
}

static void the_scrollback_is_the_end_of_the_stream(void **state)
{
	static uint8_t all[1 << 20];
	uint64_t total = 0;
	struct scroll s;

	scroll_init(&s, 40000); /* 32 KiB */
	for (int i = 0; i < 400; i++) {
		size_t n = rnd(rnd(8) ? 300 : 40000);
		uint64_t pos;

		if (total + n > sizeof(all))
			break;
		for (size_t k = 0; k < n; k++)
			all[total + k] = (uint8_t)rnd(256);
		if (i % 7 == 3)
			fault_arm(0, ENOMEM); /* growing fails: it keeps less */
		scroll_put(&s, all + total, n);
		fault_disarm();
		total += n;
		assert_int_equal(s.end, total);
		pos = scroll_start(&s);
		assert_true(total - pos <= 32768);
		while (pos < total) {
			const uint8_t *p;
			size_t k = scroll_span(&s, pos, &p);

			assert_true(k > 0 && pos + k <= total);
			assert_memory_equal(p, all + pos, k);
			pos += k;
		}
	}
	assert_int_equal(total - scroll_start(&s), 32768);
	scroll_fini(&s);
}

static void a_budget_gives_its_burst_then_its_rate(void **state)
{
	uint64_t now = 5000000000u, spent = 0;
	struct budget b;

	budget_init(&b, 1000, 4000, now);
	for (int ms = 0; ms < 10000; ms++, now += 1000000) {
		uint64_t left = budget_left(&b, now);

		budget_spend(&b, left);
		spent += left;
	}
	assert_in_range(spent, 4000 + 9990, 4000 + 10000);
	now += 3600ull * 1000000000u; /* H3: time may jump */
	assert_int_equal(budget_left(&b, now), 4000);
	assert_int_equal(budget_left(&b, now - 7200ull * 1000000000u), 4000);
	budget_init(&b, 0, 0, now);
	assert_true(budget_left(&b, now) == UINT64_MAX);
}

/* C2, and the limit itself. */
static void a_ring_holds_its_size_and_not_one_byte_more(void **state)
{
	static struct {
		struct xencons_interface r;
		char rest[4096 - sizeof(struct xencons_interface)];
	} page;
	struct xencons_interface *r = &page.r;
	uint8_t buf[RING_OUT_SIZE];
	static const uint32_t bases[] = { 0, 1, 2047, 0x7fffffff, 0xfffff801, 0xffffffff };

	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		uint32_t cons = 77;

		r->out_cons = r->in_cons = bases[i];
		r->out_prod = bases[i] + 2048;
		assert_int_equal(ring_peek(r, buf, sizeof(buf), &cons), 2048);
		assert_int_equal(cons, bases[i]);
		cons = 77;
		r->out_prod = bases[i] + 2049;
		assert_int_equal(ring_peek(r, buf, sizeof(buf), &cons), -EBADMSG);
		r->out_prod = bases[i] - 1;
		assert_int_equal(ring_peek(r, buf, sizeof(buf), &cons), -EBADMSG);
		assert_int_equal(cons, 77);
		r->in_prod = bases[i] + 1024;
		assert_int_equal(ring_in_room(r), 0);
		assert_int_equal(ring_in_put(r, buf, 1), 0);
		r->in_prod = bases[i] + 1025;
		assert_int_equal(ring_in_room(r), -EBADMSG);
		assert_int_equal(ring_in_put(r, buf, 1), -EBADMSG);
		r->in_prod = bases[i] + 1000;
		assert_int_equal(ring_in_put(r, (const uint8_t *)"abcdefghijklmnopqrstuvwxyz", 26),
				 24);
		assert_int_equal(r->in[(bases[i] + 1000) % 1024], 'a');
		assert_int_equal(r->in[(bases[i] + 1023) % 1024], 'x');
	}
}

static void on_pty_open(void *arg, bool open)
{
	*(int *)arg = open;
}

/* As `echo x >/dev/pts/1` does: gone before we look. */
static void what_was_typed_by_somebody_who_left_is_read(void **state)
{
	struct event_base *base = event_base_new();
	struct ptys *ps;
	struct pty *p;
	int open_now = -1, fd;
	char buf[16];

	assert_int_equal(ptys_new(base, &ps), 0);
	assert_int_equal(pty_new(ps, on_pty_open, &open_now, &p), 0);
	for (int round = 0; round < 2; round++) {
		fd = open(pty_path(p), O_WRONLY | O_NOCTTY);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, "one\r", 4), 4);
		close(fd);
		for (int i = 0; i < 1000 && open_now != 1; i++) {
			event_base_loop(base, EVLOOP_NONBLOCK);
			usleep(1000);
		}
		assert_int_equal(open_now, 1);
		assert_int_equal(read(pty_fd(p), buf, sizeof(buf)), 4);
		assert_int_equal(read(pty_fd(p), buf, sizeof(buf)), -1); /* and now its end */
		open_now = -1;
	}
	pty_free(p);
	ptys_free(ps);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(different_names_have_different_harmless_files),
		cmocka_unit_test(a_name_from_a_file_is_checked),
		cmocka_unit_test(the_scrollback_is_the_end_of_the_stream),
		cmocka_unit_test(a_budget_gives_its_burst_then_its_rate),
		cmocka_unit_test(what_was_typed_by_somebody_who_left_is_read),
		cmocka_unit_test(a_ring_holds_its_size_and_not_one_byte_more),
	};

	return cmocka_run_group_tests_name("consoled/parts", tests, NULL, NULL);
}
