/* A consoled that is killed at any instant loses and doubles no byte: the
 * stream in the logs is compared with what the guest printed, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemons/clock.h"
#include "tests/fake/rig.h"

#define KILLS  300
#define GUESTS 3
#define LINE   16

static uint64_t rng = 88172645463325252ull; /* xorshift64, fixed seed */

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 16) % n);
}

/* What guest i prints at offset at: numbered lines, so any loss shows. */
static char stream(unsigned guest, uint64_t at)
{
	char line[32];

	snprintf(line, sizeof(line), "%c %012llu\n", 'a' + guest, (unsigned long long)(at / LINE));
	return line[at % LINE];
}

struct flood {
	struct fake_guest g[GUESTS];
	uint64_t sent[GUESTS];
};

static void flood_some(struct flood *f)
{
	unsigned i = rnd(GUESTS);
	char buf[2048];
	size_t n = 1 + rnd(rnd(4) ? 200 : sizeof(buf));

	for (size_t k = 0; k < n; k++)
		buf[k] = stream(i, f->sent[i] + k);
	f->sent[i] += fake_guest_put(&f->g[i], buf, n);
	fake_guest_kick(&f->g[i]);
}

static pid_t start_child(struct rig *r, struct flood *f)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	alarm(60); /* should the parent be gone */
	rig_start(r);
	for (unsigned i = 0; i < GUESTS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "g%u", i);
		rig_console(r, (uint16_t)(i + 1), name, &f->g[i]);
	}
	(void)event_base_dispatch(r->base);
	_exit(0);
}

/* All generations of a log, oldest first. */
static char *whole_log(struct rig *r, unsigned guest, size_t *ret_n)
{
	char name[64], *all = calloc(1, 1), *p;
	size_t n, total = 0;

	for (int i = 999; i >= 0; i--) {
		snprintf(name, sizeof(name), i ? "guest-g%u.log.%d" : "guest-g%u.log", guest, i);
		p = rig_file(r, name, &n);
		if (!p)
			continue;
		all = realloc(all, total + n + 1);
		assert_non_null(all);
		memcpy(all + total, p, n);
		total += n;
		free(p);
	}
	*ret_n = total;
	return all;
}

/* Take "[....] " off the start of each line. */
static size_t strip_stamps(char *p, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		if ((i == 0 || p[i - 1] == '\n') && p[i] == '[')
			while (p[i] != ' ' || p[i - 1] != ']')
				i++, assert_true(i < n);
		else
			p[to++] = p[i];
	}
	return to;
}

static void check(struct rig *r, struct flood *f, bool stamps)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		size_t n;
		char *log = whole_log(r, i, &n);

		if (stamps)
			n = strip_stamps(log, n);
		for (uint64_t at = 0; at < n && at < f->sent[i]; at++)
			if (log[at] != stream(i, at))
				fail_msg("guest %u: byte %llu of %llu is wrong: \"%.40s\"", i,
					 (unsigned long long)at, (unsigned long long)f->sent[i],
					 log + at);
		assert_int_equal(n, f->sent[i]);
		free(log);
	}
}

static bool all_drained(void *arg)
{
	const struct flood *f = arg;

	for (unsigned i = 0; i < GUESTS; i++)
		if (f->g[i].ring->out_cons != f->g[i].ring->out_prod)
			return false;
	return true;
}

static void kill_it_often(const char *const *args, bool stamps)
{
	struct flood f = { 0 };
	uint64_t total = 0;
	struct rig r;

	rig_init(&r, args);
	rig_stop(&r);
	for (unsigned i = 0; i < GUESTS; i++)
		assert_int_equal(fake_guest_init(&f.g[i]), 0);
	for (int k = 0; k < KILLS; k++) {
		uint64_t until = clock_mono_ns() + 500000 + rnd(6000000);
		pid_t pid = start_child(&r, &f);

		assert_true(pid > 0);
		while (clock_mono_ns() < until)
			flood_some(&f);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	rig_start(&r);
	for (unsigned i = 0; i < GUESTS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "g%u", i);
		rig_console(&r, (uint16_t)(i + 1), name, &f.g[i]);
		total += f.sent[i];
	}
	rig_until(&r, all_drained, &f);
	rig_idle(&r);
	check(&r, &f, stamps);
	print_message("# %d kills, %llu bytes\n", KILLS, (unsigned long long)total);
	assert_true(total > 100000);
	rig_fini(&r);
	for (unsigned i = 0; i < GUESTS; i++)
		fake_guest_fini(&f.g[i]);
}

static void a_killed_daemon_loses_and_doubles_nothing(void **state)
{
	static const char *const args[] = { "--log-rate=0", "--log-size=0", "--pty=no", NULL };

	kill_it_often(args, false);
}

static void not_even_while_it_rotates(void **state)
{
	static const char *const args[] = { "--log-rate=0", "--log-size=20000", "--log-files=999",
					    "--pty=no", NULL };

	kill_it_often(args, false);
}

static void nor_with_stamps(void **state)
{
	static const char *const args[] = { "--log-rate=0",	 "--log-size=0",
					    "--timestamp=guest", "--timestamp-digits=6",
					    "--pty=no",		 NULL };

	kill_it_often(args, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_daemon_loses_and_doubles_nothing),
		cmocka_unit_test(not_even_while_it_rotates),
		cmocka_unit_test(nor_with_stamps),
	};

	return cmocka_run_group_tests_name("consoled/kill", tests, NULL, NULL);
}
