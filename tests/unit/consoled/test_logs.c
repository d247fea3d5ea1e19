/* Logs that rotate, fill the disk, move away, and the windows in which a kill
 * would lose or double bytes, each set up by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "daemons/sys.h"
#include "tests/fake/rig.h"

static void assert_log(struct rig *r, const char *file, const char *want)
{
	char *got = rig_file(r, file, NULL);

	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
}

static bool exists(struct rig *r, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/logs/%s", r->dir, file);
	return access(path, F_OK) == 0;
}

static void print_lines(struct rig *r, struct fake_guest *g, int from, int to)
{
	char buf[64 * 1024];
	size_t n = 0;

	for (int i = from; i < to; i++)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "line %06d\n", i);
	rig_print(r, g, buf, n);
}

/* C1, C6 */
static void logs_rotate_at_a_line_and_only_so_many_are_kept(void **state)
{
	static const char *const args[] = { "--log-size=1000", "--log-files=3", NULL };
	struct fake_guest g;
	struct rig r;
	char *p;
	size_t n;

	rig_init(&r, args);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	print_lines(&r, &g, 0, 1000);
	assert_true(exists(&r, "guest-web.log.3"));
	assert_false(exists(&r, "guest-web.log.4"));
	for (int i = 0; i < 4; i++) {
		char name[32];

		snprintf(name, sizeof(name), i ? "guest-web.log.%d" : "guest-web.log", i);
		p = rig_file(&r, name, &n);
		assert_non_null(p);
		assert_true(n <= 1000);
		assert_memory_equal(p, "line ", 5);
		assert_int_equal(p[n - 1], '\n');
		free(p);
	}
	p = rig_file(&r, "guest-web.log", &n);
	assert_string_equal(p + n - 12, "line 000999\n");
	free(p);
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void a_line_longer_than_a_log_is_cut_not_lost(void **state)
{
	static const char *const args[] = { "--log-size=1000", "--log-files=9", NULL };
	struct fake_guest g;
	char text[5000];
	size_t total = 0;
	struct rig r;

	rig_init(&r, args);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	memset(text, 'x', sizeof(text));
	rig_print(&r, &g, text, sizeof(text));
	for (int i = 0; i < 10; i++) {
		char name[32], *p;
		size_t n;

		snprintf(name, sizeof(name), i ? "guest-web.log.%d" : "guest-web.log", i);
		p = rig_file(&r, name, &n);
		if (p)
			total += n;
		free(p);
	}
	assert_int_equal(total, sizeof(text));
	rig_fini(&r);
	fake_guest_fini(&g);
}

struct look {
	struct rig *r;
	const char *name;
};

static bool is_there(void *arg)
{
	struct look *l = arg;

	return exists(l->r, l->name);
}

static void old_logs_are_compressed_and_can_be_read_back(void **state)
{
	static const char *const args[] = { "--log-size=1000", "--log-files=4", "--compress",
					    NULL };
	struct fake_guest g;
	struct rig r;
	char *p, *out;
	size_t n;

	rig_init(&r, args);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	for (int i = 0; i < 4; i++) {
		struct look l = { &r, "guest-web.log.2.zst" };

		print_lines(&r, &g, i * 83, (i + 1) * 83);
		if (i == 3)
			rig_until(&r, is_there, &l);
		rig_spin(&r, 20);
	}
	assert_true(exists(&r, "guest-web.log.1"));
	assert_false(exists(&r, "guest-web.log.2"));
	p = rig_file(&r, "guest-web.log.2.zst", &n);
	out = calloc(1, 2000);
	assert_non_null(out);
	assert_int_equal(ZSTD_decompress(out, 2000, p, n), 996);
	assert_memory_equal(out, "line 000083\n", 12);
	free(out);
	free(p);
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void logrotate_may_move_a_log_and_send_sighup(void **state)
{
	char from[64], to[64];
	struct fake_guest g;
	struct rig r;

	rig_init(&r, NULL);
	snprintf(from, sizeof(from), "%s/logs/guest-web.log", r.dir);
	snprintf(to, sizeof(to), "%s/logs/old", r.dir);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "one\n", 4);
	assert_int_equal(rename(from, to), 0);
	rig_print(&r, &g, "two\n", 4);
	logdir_reopen(r.logs);
	rig_print(&r, &g, "three\n", 6);
	assert_log(&r, "old", "one\ntwo\n");
	assert_log(&r, "guest-web.log", "three\n");
	/* copytruncate, and somebody who adds a line */
	assert_int_equal(truncate(from, 0), 0);
	rig_print(&r, &g, "four\n", 5);
	assert_log(&r, "guest-web.log", "four\n");
	{
		int fd = open(from, O_WRONLY | O_APPEND);

		assert_int_equal(write(fd, "note\n", 5), 5);
		close(fd);
	}
	rig_print(&r, &g, "five\n", 5);
	assert_log(&r, "guest-web.log", "four\nnote\nfive\n");
	assert_int_equal(unlink(from), 0);
	rig_print(&r, &g, "six\n", 4);
	assert_log(&r, "guest-web.log", "six\n");
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void hundreds_of_logs_need_few_descriptors(void **state)
{
	static const char *const args[] = { "--log-fds=4", "--pty=no", NULL };
	enum { N = 40 };
	struct fake_guest g[N];
	unsigned before;
	char name[32];
	struct rig r;

	rig_init(&r, args);
	for (int i = 0; i < N; i++)
		assert_int_equal(fake_guest_init(&g[i]), 0);
	before = rig_fds();
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		rig_console(&r, (uint16_t)(i + 1), name, &g[i]);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < N; i++)
			rig_print(&r, &g[i], "x\n", 2);
	assert_in_range(rig_fds(), before, before + 4);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "guest-g%d.log", i);
		assert_log(&r, name, "x\nx\nx\n");
	}
	rig_fini(&r);
	for (int i = 0; i < N; i++)
		fake_guest_fini(&g[i]);
}

static void a_guest_that_reboots_under_its_name_goes_on_in_its_log(void **state)
{
	struct fake_guest a, b;
	struct console *con;
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&a), 0);
	assert_int_equal(fake_guest_init(&b), 0);
	con = rig_console(&r, 1, "web", &a);
	rig_print(&r, &a, "first\n", 6);
	fake_guest_put(&a, "last words\n", 11);
	console_ended(con, "domain rebooting");
	console_close(con);
	rig_console(&r, 2, "web", &b);
	fake_guest_put(&b, "second\n", 7);
	fake_guest_kick(&b);
	rig_spin(&r, 20);
	rig_idle(&r);
	assert_log(&r, "guest-web.log", "first\nlast words\n--- domain rebooting ---\nsecond\n");
	rig_fini(&r);
	fake_guest_fini(&a);
	fake_guest_fini(&b);
}

static void a_renamed_guest_goes_on_in_another_log(void **state)
{
	struct console *con;
	struct fake_guest g;
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&g), 0);
	con = rig_console(&r, 1, "web--incoming", &g);
	rig_print(&r, &g, "one\n", 4);
	console_rename(con, "web");
	rig_print(&r, &g, "two\n", 4);
	assert_log(&r, "guest-web--incoming.log", "one\n");
	assert_log(&r, "guest-web.log", "two\n");
	rig_fini(&r);
	fake_guest_fini(&g);
}

/* ---- full and failing disks ---- */

static bool ring_empty(void *arg)
{
	struct fake_guest *g = arg;

	return g->ring->out_cons == g->ring->out_prod;
}

/* In a child with a mount namespace of its own: 0 done, 77 can't be set up. */
static int full_disk(struct rig *r, struct fake_guest *g)
{
	char dir[64], ballast[80], block[4096] = { 0 }, *p, *end;
	size_t n, lost = 0, marks = 0;
	int fd;

	snprintf(dir, sizeof(dir), "%s/logs", r->dir);
	snprintf(ballast, sizeof(ballast), "%s/ballast", dir);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=64k") < 0)
		return 77;
	rig_start(r);
	rig_console(r, 1, "web", g);
	rig_print(r, g, "before\n", 7);
	fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	for (int i = 0; i < 40; i++) { /* 40 KiB: more than the spool holds */
		memset(block, 'x', 1023);
		block[1023] = '\n';
		for (size_t at = 0; at < 1024;)
			at += fake_guest_put(g, block + at, 1024 - at);
		fake_guest_kick(g);
		rig_until(r, ring_empty, g); /* the guest is never held up */
	}
	assert_int_equal(unlink(ballast), 0);
	rig_spin(r, 1500); /* retried every second */
	rig_print(r, g, "after\n", 6);
	p = rig_file(r, "guest-web.log", &n);
	assert_memory_equal(p, "before\n", 7);
	assert_string_equal(p + n - 6, "after\n");
	/* Every byte is either there or counted; a mark may end a line first. */
	n -= 13;
	for (char *mark = p; (mark = strstr(mark, "--- ")); mark = end + 1) {
		end = strchr(mark, '\n');
		assert_memory_equal(end - 27, "No space left on device ---", 27);
		lost += strtoul(mark + 4, NULL, 10);
		n -= (size_t)(end + 1 - mark);
		marks++;
	}
	assert_true(marks > 0 && lost > 0);
	assert_in_range(n + lost, 40 * 1024, 40 * 1024 + marks);
	free(p);
	rig_stop(r);
	return 0;
}

static void a_full_disk_is_survived_told_and_forgotten(void **state)
{
	struct fake_guest g;
	struct rig r;
	int status;
	pid_t pid;

	rig_init(&r, NULL);
	rig_stop(&r);
	assert_int_equal(fake_guest_init(&g), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(60);
		_exit(full_disk(&r, &g));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rig_start(&r);
	rig_fini(&r);
	fake_guest_fini(&g);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("# SKIP this user may not mount a small file system\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_log_folder_that_comes_later_is_used(void **state)
{
	char file[64], dir[64], moved[64];
	struct fake_guest g;
	struct rig r;

	rig_init(&r, NULL);
	rig_stop(&r);
	snprintf(dir, sizeof(dir), "%s/logs", r.dir);
	snprintf(file, sizeof(file), "%s/logs", r.dir);
	snprintf(moved, sizeof(moved), "%s/gone", r.dir);
	assert_int_equal(rmdir(dir), 0);
	close(open(file, O_WRONLY | O_CREAT, 0600)); /* a file where the folder should be */
	rig_start(&r);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	fake_guest_put(&g, "early\n", 6);
	fake_guest_kick(&g);
	rig_until(&r, ring_empty, &g);
	assert_int_equal(rename(file, moved), 0);
	rig_spin(&r, 1300);
	rig_idle(&r);
	assert_log(&r, "guest-web.log", "early\n");
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void a_discarding_budget_counts_what_it_drops(void **state)
{
	static const char *const args[] = { "--log-rate=1000", "--log-burst=4096",
					    "--overflow-data=discard", NULL };
	struct fake_guest g;
	struct rig r;
	char *p;
	size_t n;

	rig_init(&r, args);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	print_lines(&r, &g, 0, 4000); /* 48000 bytes, at once */
	rig_spin(&r, 1500);
	rig_idle(&r);
	p = rig_file(&r, "guest-web.log", &n);
	assert_true(n < 8192);
	assert_non_null(strstr(p, " bytes not logged: over the budget ---\n"));
	free(p);
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void a_keeping_budget_holds_the_guest_back_and_loses_nothing(void **state)
{
	static const char *const args[] = { "--log-rate=100000", "--log-burst=4096", NULL };
	struct fake_guest g;
	struct rig r;
	char *p;
	size_t n;

	rig_init(&r, args);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	print_lines(&r, &g, 0, 4000);
	p = rig_file(&r, "guest-web.log", &n);
	assert_int_equal(n, 48000);
	free(p);
	rig_fini(&r);
	fake_guest_fini(&g);
}

/* ---- the windows of a kill ---- */

static struct slot *only_slot(struct rig *r)
{
	const struct slot_id id = { .domid = 1, .born_ns = 1 };
	struct slot *s = state_find(r->cs.state, &id);

	assert_non_null(s);
	return s;
}

static void no_release(void *arg, void *page) {}

static void killed_between_the_record_and_the_ring_nothing_doubles(void **state)
{
	struct fake_guest g;
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "one\n", 4);
	rig_print(&r, &g, "two\n", 4);
	{
		struct slot_in in = *slot_in(only_slot(&r));

		/* As if the last two stores had not happened: the record is
		 * there, the ring's index and the word that says so are not. */
		in.cons_before = in.cons_after - 4;
		in.cons_after -= 4;
		slot_put(only_slot(&r), NULL, 0, &in);
		slot_set_done(only_slot(&r));
		in.cons_after += 4;
		slot_put(only_slot(&r), NULL, 0, &in);
	}
	rig_stop(&r);
	g.ring->out_cons -= 4;
	rig_start(&r);
	rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "three\n", 6);
	assert_log(&r, "guest-web.log", "one\ntwo\nthree\n");
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void a_ring_that_begins_anew_is_not_taken_for_an_unfinished_one(void **state)
{
	struct fake_guest a, b;
	struct console *con;
	struct con_link l = { .release = no_release };
	struct rig r;

	rig_init(&r, NULL);
	assert_int_equal(fake_guest_init(&a), 0);
	assert_int_equal(fake_guest_init(&b), 0);
	con = rig_console(&r, 1, "web", &a);
	rig_print(&r, &a, "first kernel\n", 13); /* the record: from 0 to 13 */
	l.page = b.ring;
	l.port = fake_port(&b, NULL);
	assert_int_equal(console_connect(con, &l), 0);
	rig_print(&r, &b, "kexec\n", 6);
	rig_stop(&r);
	memset(b.ring, 0, 4096); /* and once more while nobody looked */
	fake_guest_put(&b, "third\n", 6);
	rig_start(&r);
	rig_console(&r, 1, "web", &b);
	rig_spin(&r, 5);
	rig_idle(&r);
	rig_print(&r, &b, "goes on\n", 8);
	assert_log(&r, "guest-web.log", "first kernel\nkexec\nthird\ngoes on\n");
	rig_fini(&r);
	fake_guest_fini(&a);
	fake_guest_fini(&b);
}

/* done: bytes of the pending line that the killed process had written already. */
static void killed_while_writing(size_t done)
{
	static const char line[] = "pending line\n";
	struct fake_guest g;
	struct slot_in in;
	char path[64];
	struct rig r;
	int fd;

	rig_init(&r, NULL);
	snprintf(path, sizeof(path), "%s/logs/guest-web.log", r.dir);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "one\n", 4);
	in = *slot_in(only_slot(&r));
	in.cons_before = in.cons_after;
	slot_put(only_slot(&r), line, sizeof(line) - 1, &in);
	rig_stop(&r);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, line, done, 4), done);
	close(fd);
	rig_start(&r);
	rig_console(&r, 1, "web", &g);
	rig_idle(&r);
	assert_log(&r, "guest-web.log", "one\npending line\n");
	rig_fini(&r);
	fake_guest_fini(&g);
}

static void killed_at_any_byte_of_a_write_nothing_doubles_or_is_lost(void **state)
{
	for (size_t done = 0; done <= 13; done++)
		killed_while_writing(done);
}

static void a_second_process_finds_the_state_locked(void **state)
{
	struct state *st;
	char path[64];
	struct rig r;

	rig_init(&r, NULL);
	snprintf(path, sizeof(path), "%s/state", r.dir);
	assert_int_equal(state_open(path, &st), -EBUSY);
	rig_fini(&r);
}

static void a_damaged_state_file_is_set_aside_or_its_bad_slots_dropped(void **state)
{
	char path[64], old[64];
	struct fake_guest g;
	struct rig r;
	int fd;

	rig_init(&r, NULL);
	snprintf(path, sizeof(path), "%s/state", r.dir);
	snprintf(old, sizeof(old), "%s/state.old", r.dir);
	assert_int_equal(fake_guest_init(&g), 0);
	rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "one\n", 4);
	rig_stop(&r);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, 4096 + 24), 8);
	close(fd);
	rig_start(&r); /* that slot's cur words are nonsense now */
	rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "two\n", 4);
	rig_stop(&r);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "garbage!", 8, 0), 8);
	close(fd);
	rig_start(&r);
	rig_console(&r, 1, "web", &g);
	rig_print(&r, &g, "three\n", 6);
	assert_int_equal(access(old, F_OK), 0);
	assert_log(&r, "guest-web.log", "one\ntwo\nthree\n");
	rig_fini(&r);
	fake_guest_fini(&g);
}

/* ---- every call fails once ---- */

static void any_single_failure_is_survived_without_a_leak(void **state)
{
	static const int errs[] = { ENOSPC, EIO, ENOMEM, EMFILE };
	struct fake_guest g;
	unsigned fds = 0;
	long n = 0;
	bool hit = true;

	while (hit) {
		static const char *const args[] = { "--log-size=64", "--log-files=2", "--pty=no",
						    NULL };
		struct rig r;
		char *p;

		rig_init(&r, args);
		rig_stop(&r);
		r.sync = true;
		rig_start(&r);
		assert_int_equal(fake_guest_init(&g), 0);
		rig_console(&r, 1, "web", &g);
		fault_arm(n, errs[n % 4]);
		for (int i = 0; i < 12; i++) {
			fake_guest_put(&g, "0123456789abcde\n", 16);
			fake_guest_kick(&g);
			rig_until(&r, ring_empty, &g);
		}
		rig_spin(&r, 5);
		hit = fault_disarm();
		if (hit)
			rig_spin(&r, 1100); /* the retry */
		rig_idle(&r);
		p = rig_file(&r, "guest-web.log", NULL);
		assert_non_null(p);
		assert_int_equal(strlen(p) % 16, 0);
		free(p);
		rig_fini(&r);
		fake_guest_fini(&g);
		if (n++ == 0)
			fds = rig_fds();
		assert_int_equal(rig_fds(), fds);
	}
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logs_rotate_at_a_line_and_only_so_many_are_kept),
		cmocka_unit_test(a_line_longer_than_a_log_is_cut_not_lost),
		cmocka_unit_test(old_logs_are_compressed_and_can_be_read_back),
		cmocka_unit_test(logrotate_may_move_a_log_and_send_sighup),
		cmocka_unit_test(hundreds_of_logs_need_few_descriptors),
		cmocka_unit_test(a_guest_that_reboots_under_its_name_goes_on_in_its_log),
		cmocka_unit_test(a_renamed_guest_goes_on_in_another_log),
		cmocka_unit_test(a_full_disk_is_survived_told_and_forgotten),
		cmocka_unit_test(a_log_folder_that_comes_later_is_used),
		cmocka_unit_test(a_discarding_budget_counts_what_it_drops),
		cmocka_unit_test(a_keeping_budget_holds_the_guest_back_and_loses_nothing),
		cmocka_unit_test(killed_between_the_record_and_the_ring_nothing_doubles),
		cmocka_unit_test(a_ring_that_begins_anew_is_not_taken_for_an_unfinished_one),
		cmocka_unit_test(killed_at_any_byte_of_a_write_nothing_doubles_or_is_lost),
		cmocka_unit_test(a_second_process_finds_the_state_locked),
		cmocka_unit_test(a_damaged_state_file_is_set_aside_or_its_bad_slots_dropped),
		cmocka_unit_test(any_single_failure_is_survived_without_a_leak),
	};

	return cmocka_run_group_tests_name("consoled/logs", tests, NULL, NULL);
}
