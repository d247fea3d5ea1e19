/* Viewers: who sees what, who may type, and that nobody holds anybody up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "consoled/attach.h"
#include "daemons/clock.h"
#include "daemons/listen.h"
#include "tests/fake/rig.h"

/* One guest, one console, and viewers as socket pairs. */
struct scene {
	struct rig r;
	struct fake_guest g;
	struct console *con;
};

static void scene_init(struct scene *s, const char *const *args)
{
	rig_init(&s->r, args);
	assert_int_equal(fake_guest_init(&s->g), 0);
	s->con = rig_console(&s->r, 1, "web", &s->g);
}

static void scene_fini(struct scene *s)
{
	rig_fini(&s->r);
	fake_guest_fini(&s->g);
}

static int view(struct scene *s, enum con_mode mode, size_t scrollback)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	assert_int_equal(viewers_add(console_viewers(s->con), fds[0], mode, scrollback), 0);
	return fds[1];
}

/* What stands at fd now, after a moment; *ret_eof may be NULL. */
static size_t take(struct scene *s, int fd, char *buf, size_t n, bool *ret_eof)
{
	size_t got = 0;
	ssize_t r = 0;

	rig_spin(&s->r, 5);
	while (got < n - 1 && (r = read(fd, buf + got, n - 1 - got)) > 0)
		got += (size_t)r;
	buf[got] = '\0';
	if (ret_eof)
		*ret_eof = r == 0;
	return got;
}

static void assert_sees(struct scene *s, int fd, const char *want)
{
	char buf[8192];

	(void)take(s, fd, buf, sizeof(buf), NULL);
	assert_string_equal(buf, want);
}

static void assert_guest_got(struct scene *s, const char *want)
{
	char buf[1025];
	size_t n;

	rig_spin(&s->r, 5);
	n = fake_guest_get(&s->g, buf, 1024);
	buf[n] = '\0';
	assert_string_equal(buf, want);
	fake_guest_kick(&s->g);
	rig_spin(&s->r, 2);
}

static void a_viewer_gets_the_scrollback_it_asked_for_then_all_that_follows(void **state)
{
	struct scene s;
	int a, b;

	scene_init(&s, NULL);
	rig_print(&s.r, &s.g, "0123456789", 10);
	a = view(&s, CON_RO, 4);
	b = view(&s, CON_RO, 65536);
	assert_sees(&s, a, "OK ro\n6789");
	assert_sees(&s, b, "OK ro\n0123456789");
	rig_print(&s.r, &s.g, "more\n", 5);
	assert_sees(&s, a, "more\n");
	assert_sees(&s, b, "more\n");
	close(a);
	close(b);
	rig_spin(&s.r, 5);
	scene_fini(&s);
}

static void one_viewer_has_the_pen_until_it_leaves_or_is_forced(void **state)
{
	struct scene s;
	int a, b, c;

	scene_init(&s, NULL);
	a = view(&s, CON_RW, 0);
	b = view(&s, CON_RW, 0);
	assert_sees(&s, a, "OK rw\n");
	assert_sees(&s, b, "OK ro\n");
	assert_int_equal(write(b, "not this", 8), 8);
	assert_guest_got(&s, "");
	assert_int_equal(write(a, "this", 4), 4);
	assert_guest_got(&s, "this");
	c = view(&s, CON_FORCE, 0);
	assert_sees(&s, c, "OK rw\n");
	assert_int_equal(write(a, "no more", 7), 7);
	assert_guest_got(&s, "");
	assert_int_equal(write(c, "mine", 4), 4);
	assert_guest_got(&s, "mine");
	close(c);
	rig_spin(&s.r, 5);
	c = view(&s, CON_RW, 0);
	assert_sees(&s, c, "OK rw\n");
	close(a);
	close(b);
	close(c);
	scene_fini(&s);
}

static void everything_pasted_arrives_however_slowly_the_guest_reads(void **state)
{
	enum { N = 200000 };
	static char sent[N], got[N];
	size_t at = 0, n = 0;
	struct scene s;
	int a, idle = 0;

	scene_init(&s, NULL);
	for (size_t i = 0; i < N; i++)
		sent[i] = (char)('a' + i * 7 % 26);
	a = view(&s, CON_RW, 0);
	assert_sees(&s, a, "OK rw\n");
	while (n < N && idle < 1000) {
		ssize_t w = at < N ? write(a, sent + at, N - at) : 0;
		size_t k;

		at += w > 0 ? (size_t)w : 0;
		rig_spin(&s.r, 1);
		k = fake_guest_get(&s.g, got + n, N - n < 700 ? N - n : 700);
		n += k;
		idle = k ? 0 : idle + 1;
		fake_guest_kick(&s.g);
	}
	assert_int_equal(n, N);
	assert_memory_equal(sent, got, N);
	close(a);
	scene_fini(&s);
}

static void a_viewer_that_does_not_read_holds_nobody_up_and_is_told(void **state)
{
	static char text[1 << 20], seen[1 << 20];
	struct scene s;
	uint64_t t0;
	size_t n;
	int a;

	scene_init(&s, NULL);
	a = view(&s, CON_RO, 0);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '!';
	t0 = clock_mono_ns();
	rig_print(&s.r, &s.g, text, sizeof(text));
	assert_true(clock_mono_ns() - t0 < 10000000000ull);
	for (n = 0; !n || seen[n - 1] != '!';)
		n += take(&s, a, seen + n, sizeof(seen) - n, NULL);
	assert_non_null(strstr(seen, " bytes skipped]\r\n"));
	assert_true(n < sizeof(text));
	close(a);
	scene_fini(&s);
}

static void the_guest_waits_for_a_writer_that_reads_on(void **state)
{
	static char text[600000], seen[600100];
	size_t sent = 0, n = 0;
	struct scene s;
	int a;

	scene_init(&s, NULL);
	a = view(&s, CON_RW, 0);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i * 11 % 26);
	while (n < sizeof(text) + 6) {
		ssize_t r;

		sent += fake_guest_put(&s.g, text + sent, sizeof(text) - sent);
		fake_guest_kick(&s.g);
		rig_spin(&s.r, 1);
		r = read(a, seen + n, 5000);
		n += r > 0 ? (size_t)r : 0;
	}
	assert_memory_equal(seen, "OK rw\n", 6);
	assert_memory_equal(seen + 6, text, sizeof(text));
	close(a);
	scene_fini(&s);
}

static void viewers_see_the_last_bytes_then_the_end(void **state)
{
	char buf[256];
	struct scene s;
	bool eof;
	int a;

	scene_init(&s, NULL);
	a = view(&s, CON_RW, 0);
	fake_guest_put(&s.g, "bye", 3);
	console_ended(s.con, "domain powered off");
	console_close(s.con);
	(void)take(&s, a, buf, sizeof(buf), &eof);
	assert_string_equal(buf, "OK rw\nbye");
	assert_true(eof);
	assert_true(TAILQ_EMPTY(&s.r.cs.all));
	close(a);
	scene_fini(&s);
}

static void there_is_a_limit_to_viewers(void **state)
{
	int fds[VIEWERS_MAX], extra[2];
	struct scene s;
	unsigned before;

	scene_init(&s, NULL);
	for (unsigned i = 0; i < VIEWERS_MAX; i++)
		fds[i] = view(&s, CON_RO, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, extra), 0);
	before = rig_fds();
	assert_int_equal(viewers_add(console_viewers(s.con), extra[0], CON_RO, 0), -EMFILE);
	assert_int_equal(rig_fds(), before - 1);
	for (unsigned i = 0; i < VIEWERS_MAX; i++)
		close(fds[i]);
	close(extra[1]);
	rig_spin(&s.r, 5);
	assert_int_equal(console_viewers(s.con)->n, 0);
	scene_fini(&s);
}

/* C2: the in ring likewise */
static void a_broken_input_ring_cuts_the_console_off(void **state)
{
	struct scene s;
	int a;

	scene_init(&s, NULL);
	a = view(&s, CON_RW, 0);
	s.g.ring->in_prod = s.g.ring->in_cons + 1025;
	assert_int_equal(write(a, "x", 1), 1);
	rig_spin(&s.r, 5);
	fake_guest_put(&s.g, "y", 1);
	fake_guest_kick(&s.g);
	rig_spin(&s.r, 5);
	assert_int_equal(s.g.ring->out_cons, 0);
	close(a);
	scene_fini(&s);
}

/* ---- the terminal ---- */

static int open_tty(struct scene *s)
{
	int fd = open(console_tty(s->con), O_RDWR | O_NOCTTY | O_NONBLOCK);

	assert_true(fd >= 0);
	rig_spin(&s->r, 5);
	return fd;
}

static void the_terminal_shows_what_nobody_has_seen_and_takes_keys(void **state)
{
	struct scene s;
	int t, a;

	scene_init(&s, NULL);
	rig_print(&s.r, &s.g, "boot\r\n", 6);
	t = open_tty(&s);
	assert_sees(&s, t, "boot\r\n");
	assert_int_equal(write(t, "ls\r", 3), 3);
	assert_guest_got(&s, "ls\r"); /* raw: not turned into a newline, not echoed */
	assert_sees(&s, t, "");
	a = view(&s, CON_RW, 0); /* the terminal holds the pen */
	assert_sees(&s, a, "OK ro\n");
	close(t);
	rig_print(&s.r, &s.g, "while away\n", 11);
	close(a);
	a = view(&s, CON_RW, 0);
	assert_sees(&s, a, "OK rw\n");
	t = open_tty(&s);
	assert_sees(&s, t, "while away\n");
	assert_int_equal(write(t, "no\r", 3), 3);
	assert_guest_got(&s, "");
	close(t);
	close(a);
	scene_fini(&s);
}

static void a_terminal_costs_one_descriptor_and_no_time_when_closed(void **state)
{
	struct console *con;
	struct fake_guest g;
	struct scene s;
	unsigned before;
	int t, loops;

	scene_init(&s, NULL);
	t = open_tty(&s);
	close(t);
	assert_int_equal(fake_guest_init(&g), 0);
	before = rig_fds();
	con = rig_console(&s.r, 2, "other", &g);
	assert_int_equal(rig_fds(), before + 1);
	assert_non_null(console_tty(con));
	rig_spin(&s.r, 5);
	/* A hung-up terminal that woke the loop would make it spin. */
	for (loops = 0; loops < 50; loops++)
		if (event_base_loop(s.r.base, EVLOOP_ONCE | EVLOOP_NONBLOCK) < 0 ||
		    event_base_get_num_events(s.r.base, EVENT_BASE_COUNT_ACTIVE) > 0)
			break;
	assert_int_equal(loops, 50);
	scene_fini(&s);
	fake_guest_fini(&g);
}

/* ---- the socket ---- */

struct door {
	struct scene s;
	struct attach *a;
	char path[64];
	int exists;
};

static int exists(void *arg, uint16_t domid)
{
	return ((struct door *)arg)->exists;
}

static void door_init(struct door *d)
{
	const struct attach_ops ops = { .exists = exists, .arg = d };
	int fd;

	scene_init(&d->s, NULL);
	snprintf(d->path, sizeof(d->path), "%s/sock", d->s.r.dir);
	fd = listen_unix(d->path, SOCK_STREAM, 0600, (gid_t)-1);
	assert_true(fd >= 0);
	d->exists = 0;
	assert_int_equal(attach_new(&d->s.r.cs, d->s.r.pool, d->s.r.conf.log_dir, fd, &ops, &d->a),
			 0);
}

static void door_fini(struct door *d)
{
	attach_free(d->a);
	scene_fini(&d->s);
}

/* Sends the request in two pieces, the second with input for the guest. */
static int knock(struct door *d, const char *first, const char *second)
{
	int fd = connect_unix(d->path, SOCK_STREAM);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(write(fd, first, strlen(first)), strlen(first));
	rig_spin(&d->s.r, 5);
	if (*second)
		assert_int_equal(write(fd, second, strlen(second)), strlen(second));
	return fd;
}

static void the_socket_attaches_and_loses_no_early_keys(void **state)
{
	struct door d;
	int fd;

	door_init(&d);
	rig_print(&d.s.r, &d.s.g, "login: ", 7);
	fd = knock(&d, "ATTACH 1 0", " rw 100\nroot\r");
	assert_sees(&d.s, fd, "OK rw\nlogin: ");
	assert_guest_got(&d.s, "root\r");
	close(fd);
	door_fini(&d);
}

static void the_socket_refuses_with_a_reason(void **state)
{
	static const struct {
		const char *ask, *answer;
	} cases[] = {
		{ "HELLO\n", "ERR not a request\n" },
		{ "ATTACH 1 0 rw 99999\n", "ERR not a request\n" },
		{ "ATTACH 9 0 rw 1\n", "ERR no such domain\n" },
		{ "TAIL nobody 10\n", "ERR no log of that name\n" },
		{ "TAIL ../../../etc/passwd 10\n", "ERR no log of that name\n" },
	};
	char longest[CON_LINE_MAX + 1], buf[64];
	struct door d;
	bool eof;
	int fd;

	door_init(&d);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fd = knock(&d, cases[i].ask, "");
		rig_spin(&d.s.r, 20);
		(void)take(&d.s, fd, buf, sizeof(buf), &eof);
		assert_string_equal(buf, cases[i].answer);
		assert_true(eof);
		close(fd);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	fd = knock(&d, longest, "");
	(void)take(&d.s, fd, buf, sizeof(buf), NULL);
	assert_string_equal(buf, "ERR the request is too long\n");
	close(fd);
	fd = knock(&d, "ATTACH", ""); /* leaves in the middle */
	close(fd);
	rig_spin(&d.s.r, 5);
	door_fini(&d);
}

static void a_console_that_comes_a_little_later_is_waited_for(void **state)
{
	struct fake_guest g;
	struct door d;
	int fd;

	door_init(&d);
	assert_int_equal(fake_guest_init(&g), 0);
	d.exists = 1;
	fd = knock(&d, "ATTACH 2 0 rw 100\n", "");
	assert_sees(&d.s, fd, "");
	rig_console(&d.s.r, 2, "late", &g);
	attach_look(d.a);
	assert_sees(&d.s, fd, "OK rw\n");
	close(fd);
	door_fini(&d);
	fake_guest_fini(&g);
}

static void tail_gives_the_end_over_a_rotation(void **state)
{
	char path[64], moved[64];
	struct door d;
	int fd;

	door_init(&d);
	rig_print(&d.s.r, &d.s.g, "old line\n", 9);
	snprintf(path, sizeof(path), "%s/logs/guest-web.log", d.s.r.dir);
	snprintf(moved, sizeof(moved), "%s/logs/guest-web.log.1", d.s.r.dir);
	assert_int_equal(rename(path, moved), 0);
	logdir_reopen(d.s.r.logs);
	rig_print(&d.s.r, &d.s.g, "new line\n", 9);
	fd = knock(&d, "TAIL web 14\n", "");
	rig_spin(&d.s.r, 20);
	assert_sees(&d.s, fd, "OK 14\nline\nnew line\n");
	close(fd);
	fd = knock(&d, "TAIL web 1000\n", "");
	rig_spin(&d.s.r, 20);
	assert_sees(&d.s, fd, "OK 18\nold line\nnew line\n");
	close(fd);
	door_fini(&d);
}

/* ---- the journal ---- */

static void each_line_is_a_journal_entry(void **state)
{
	static const char *const args[] = { "--journal", "--log=none", NULL };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char buf[4096];
	struct scene s;
	ssize_t n;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/journal.%ld", (long)getpid());
	(void)unlink(sa.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	setenv("DOMZERO_JOURNAL_SOCKET", sa.sun_path, 1);
	scene_init(&s, args);
	fake_guest_put(&s.g, "first\r\nsec", 10);
	fake_guest_kick(&s.g);
	rig_spin(&s.r, 5);
	n = recv(fd, buf, sizeof(buf), 0);
	assert_true(n > 0);
	assert_non_null(memmem(buf, (size_t)n, "CONSOLED_DOMID=1\n", 17));
	assert_non_null(memmem(buf, (size_t)n, "CONSOLED_GUEST\n\3\0\0\0\0\0\0\0web\n", 27));
	assert_non_null(memmem(buf, (size_t)n, "MESSAGE\n\5\0\0\0\0\0\0\0first\n", 22));
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), -1);
	fake_guest_put(&s.g, "ond\n", 4);
	fake_guest_kick(&s.g);
	rig_spin(&s.r, 5);
	n = recv(fd, buf, sizeof(buf), 0);
	assert_non_null(memmem(buf, (size_t)n, "second\n", 7));
	scene_fini(&s);
	unsetenv("DOMZERO_JOURNAL_SOCKET");
	close(fd);
	unlink(sa.sun_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_viewer_gets_the_scrollback_it_asked_for_then_all_that_follows),
		cmocka_unit_test(one_viewer_has_the_pen_until_it_leaves_or_is_forced),
		cmocka_unit_test(everything_pasted_arrives_however_slowly_the_guest_reads),
		cmocka_unit_test(a_viewer_that_does_not_read_holds_nobody_up_and_is_told),
		cmocka_unit_test(the_guest_waits_for_a_writer_that_reads_on),
		cmocka_unit_test(viewers_see_the_last_bytes_then_the_end),
		cmocka_unit_test(there_is_a_limit_to_viewers),
		cmocka_unit_test(a_broken_input_ring_cuts_the_console_off),
		cmocka_unit_test(the_terminal_shows_what_nobody_has_seen_and_takes_keys),
		cmocka_unit_test(a_terminal_costs_one_descriptor_and_no_time_when_closed),
		cmocka_unit_test(the_socket_attaches_and_loses_no_early_keys),
		cmocka_unit_test(the_socket_refuses_with_a_reason),
		cmocka_unit_test(a_console_that_comes_a_little_later_is_waited_for),
		cmocka_unit_test(tail_gives_the_end_over_a_rotation),
		cmocka_unit_test(each_line_is_a_journal_entry),
	};

	return cmocka_run_group_tests_name("consoled/viewers", tests, NULL, NULL);
}
