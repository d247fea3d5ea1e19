/* Going to the background: what whoever started the daemon gets to know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemons/detach.h"

/* A "daemon" in a process of its own: its status as a script sees it, and in
 * *ret_left whether a process went on in the background. */
static int status_of(int end, bool ready, bool *ret_left)
{
	int p[2], fd, status;
	pid_t pid;
	char c;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (detach_start(&fd) < 0)
			_exit(99);
		if (ready)
			detach_ready(fd);
		if (ready && isatty(STDERR_FILENO))
			_exit(98);
		if (end < 0)
			raise(SIGKILL);
		if (ready)
			(void)!write(p[1], getsid(0) == getpid() ? "s" : "?", 1);
		_exit(end);
	}
	close(p[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	*ret_left = read(p[0], &c, 1) == 1 && c == 's';
	close(p[0]);
	return WEXITSTATUS(status);
}

static void whoever_started_it_waits_until_it_serves(void **state)
{
	bool left;

	assert_int_equal(status_of(0, true, &left), 0);
	assert_true(left);
	/* What happens after that is no matter of the start. */
	assert_int_equal(status_of(7, true, &left), 0);
}

static void a_failed_start_is_told(void **state)
{
	bool left;

	assert_int_equal(status_of(7, false, &left), 7);
	assert_int_equal(status_of(0, false, &left), 1);
	assert_int_equal(status_of(-1, false, &left), 1);
	assert_false(left);
}

static void a_manager_that_waits_for_ready_keeps_it_in_the_foreground(void **state)
{
	setenv("NOTIFY_SOCKET", "/run/none", 1);
	assert_false(detach_fits());
	unsetenv("NOTIFY_SOCKET");
	assert_true(detach_fits());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_started_it_waits_until_it_serves),
		cmocka_unit_test(a_failed_start_is_told),
		cmocka_unit_test(a_manager_that_waits_for_ready_keeps_it_in_the_foreground),
	};

	return cmocka_run_group_tests_name("daemons/detach", tests, NULL, NULL);
}
