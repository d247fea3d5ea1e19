/* Consoles of fake guests, from the ring to the log; the C cases of hostile input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fake/rig.h"

static void assert_log(struct rig *r, const char *file, const char *want)
{
	char *got = rig_file(r, file, NULL);

	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
}

static void what_a_guest_prints_is_in_its_log(void **state)
{
	struct fake_guest g;
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "hello\r\n\0\x1b[1mworld", 18);
	{
		size_t n;
		char *got = rig_file(&r, "guest-web.log", &n);

		assert_int_equal(n, 18);
		assert_memory_equal(got, "hello\r\n\0\x1b[1mworld", 18);
		free(got);
	}
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void bytes_left_in_the_ring_of_a_dead_guest_come_before_the_mark(void **state)
{
	struct fake_guest g;
	struct console *con;
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&g), 0);
	con = rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "one\n", 4);
	fake_guest_put(&g, "Kernel panic", 12); /* no kick: it is dead */
	console_ended(con, "domain crashed: panic");
	console_close(con);
	rig_idle(&r);
	rig_spin(&r, 20);
	assert_log(&r, "guest-web.log", "one\nKernel panic\n--- domain crashed: panic ---\n");
	assert_int_equal(r.closed, 1);
	assert_true(TAILQ_EMPTY(&r.cs.all));
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void the_end_of_a_domain_is_marked_once_over_restarts(void **state)
{
	struct fake_guest g;
	struct console *con;
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&g), 0);
	con = rig_console(&r, 1, "web", &g);
	console_ended(con, "domain powered off");
	rig_spin(&r, 5);
	rig_idle(&r);
	rig_stop(&r);
	rig_start(&r);
	con = rig_console(&r, 1, "web", &g);
	console_ended(con, "domain powered off");
	rig_spin(&r, 5);
	rig_idle(&r);
	assert_log(&r, "guest-web.log", "--- domain powered off ---\n");
	rig_fini(&r);
	fake_guest_fini(&g);
}

/* C2 */
static void lying_ring_indexes_cut_one_console_off_and_no_other(void **state)
{
	struct fake_guest bad, good;
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&bad), 0);
	assert_int_equal(fake_guest_init(&good), 0);
	rig_console(&r, 1, "bad", &bad);
	rig_console(&r, 2, "good", &good);
	rig_print(&r, &bad, "fine\n", 5);
	bad.ring->out_prod = bad.ring->out_cons + 2049;
	fake_guest_kick(&bad);
	rig_spin(&r, 5);
	bad.ring->out_prod = bad.ring->out_cons + 4; /* too late */
	fake_guest_kick(&bad);
	rig_spin(&r, 5);
	rig_print(&r, &good, "still here\n", 11);
	assert_log(&r, "guest-bad.log",
		   "fine\n--- console ring broken by the guest: cut off ---\n");
	assert_log(&r, "guest-good.log", "still here\n");
	rig_fini(&r);
	fake_guest_fini(&bad);
	fake_guest_fini(&good);
}

static void a_full_ring_at_any_index_is_legal(void **state)
{
	char text[2048], *got;
	struct fake_guest g;
	struct rig r;
	size_t n;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&g), 0);
	g.ring->out_cons = g.ring->out_prod = 0xfffffc01; /* wraps inside the text */
	rig_console(&r, 1, "web", &g);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	rig_print(&r, &g, text, sizeof(text));
	got = rig_file(&r, "guest-web.log", &n);
	assert_int_equal(n, sizeof(text));
	assert_memory_equal(got, text, sizeof(text));
	free(got);
	rig_fini(&r);
	fake_guest_fini(&g);
}

/* C4 */
static void a_guest_s_name_never_leaves_the_log_folder(void **state)
{
	char name[4097];
	static const char *const names[][2] = {
		{ "../../etc/cron.d/x", "guest-..%2F..%2Fetc%2Fcron.d%2Fx.log" },
		{ "a/b", "guest-a%2Fb.log" },
		{ "two\nlines", "guest-two%0Alines.log" },
		{ "-rf", "guest--rf.log" },
		{ "", "guest-%407.log" },
	};
	struct fake_guest g;
	struct rig r;

	rig_init(&r, NULL);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct console *con;

		assert_int_equal(fake_guest_init(&g), 0);
		con = rig_console(&r, 7, names[i][0], &g);
		rig_print(&r, &g, "x\n", 2);
		assert_log(&r, i == 4 ? "guest-@7.log" : names[i][1], "x\n");
		console_close(con);
		rig_spin(&r, 10);
		fake_guest_fini(&g);
	}
	memset(name, 'n', 4096);
	name[4096] = '\0';
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 7, name, &g);
	rig_print(&r, &g, "long\n", 5);
	log_name(name, name, 4096, 7, 0);
	assert_true(strlen(name) < LOG_NAME_MAX);
	assert_log(&r, name, "long\n");
	rig_fini(&r);
	fake_guest_fini(&g);
}

/* C5 */
static void only_a_plain_file_with_one_name_is_written(void **state)
{
	char victim[64], path[64];
	struct fake_guest g;
	struct stat sb;
	struct rig r;

	for (int kind = 0; kind < 4; kind++) {
		rig_init(&r, NULL);
		snprintf(victim, sizeof(victim), "%s/victim", r.dir);
		snprintf(path, sizeof(path), "%s/logs/guest-web.log", r.dir);
		close(open(victim, O_WRONLY | O_CREAT, 0600));
		assert_int_equal(kind == 0   ? symlink(victim, path)
				 : kind == 1 ? link(victim, path)
				 : kind == 2 ? mkfifo(path, 0600)
					     : mkdir(path, 0700),
				 0);
		assert_int_equal(fake_guest_init(&g), 0);
		rig_console(&r, 1, "web", &g);
		fake_guest_put(&g, "secret\n", 7);
		fake_guest_kick(&g);
		rig_spin(&r, 30);
		assert_int_equal(g.ring->out_cons, 7); /* the guest is not held up */
		assert_int_equal(stat(victim, &sb), 0);
		assert_int_equal(sb.st_size, 0);
		rig_fini(&r);
		fake_guest_fini(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_guest_prints_is_in_its_log),
		cmocka_unit_test(bytes_left_in_the_ring_of_a_dead_guest_come_before_the_mark),
		cmocka_unit_test(the_end_of_a_domain_is_marked_once_over_restarts),
		cmocka_unit_test(lying_ring_indexes_cut_one_console_off_and_no_other),
		cmocka_unit_test(a_full_ring_at_any_index_is_legal),
		cmocka_unit_test(a_guest_s_name_never_leaves_the_log_folder),
		cmocka_unit_test(only_a_plain_file_with_one_name_is_written),
	};

	return cmocka_run_group_tests_name("consoled/console", tests, NULL, NULL);
}
