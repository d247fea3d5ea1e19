/* tests/unit/backends/test_child.c - each way out of a backend's jail is tried from
 * inside, by a process that has just entered it as backends do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/wardenc.h"
#include "daemons/listen.h"

static char root_dir[] = "/tmp/childrootXXXXXX";
static int listener;

static int imprison(int (*act)(void))
{
	static const struct child_needs needs = { .name = "test", .threads = 8 };
	struct child_args a = { .domid = 5, .sockets = root_dir, .uid = 234568 };
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(child_enter(&a, &needs) < 0 ? 99 : act());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int reaches_its_socket(void)
{
	struct child_args a = { .domid = 5, .sockets = root_dir, .uid = 234568 };
	char path[128];

	return connect_unix(child_warden(&a, path), SOCK_SEQPACKET) < 0;
}

static int opens_a_file(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES;
}

static int reaches_the_hosts_sockets(void)
{
	return connect_unix("/tmp", SOCK_STREAM) != -ENOENT;
}

static int makes_an_internet_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static int makes_a_packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0) >= 0;
}

static int traces(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0;
}

static int kills_another(void)
{
	return kill(1, SIGKILL) == 0;
}

static int mounts(void)
{
	return mount("proc", "/", "proc", 0, NULL) == 0;
}

static int forks(void)
{
	return fork() >= 0;
}

static int removes_a_socket(void)
{
	return unlink("/open") == 0;
}

static int touches_another_process_descriptors(void)
{
	return fcntl(0, F_SETOWN, 1) == 0;
}

static void the_wardens_socket_is_there_and_no_file_is(void **state)
{
	assert_int_equal(imprison(reaches_its_socket), 0);
	assert_int_equal(imprison(opens_a_file), 0);
	assert_int_equal(imprison(reaches_the_hosts_sockets), 0);
}

static void what_is_forbidden_kills_it(void **state)
{
	static int (*const acts[])(void) = {
		makes_an_internet_socket,
		makes_a_packet_socket,
		traces,
		kills_another,
		mounts,
		forks,
		removes_a_socket,
		touches_another_process_descriptors,
	};

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		int status = imprison(acts[i]);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

static void the_list_is_as_long_as_the_documentation_says(void **state)
{
	assert_int_equal(child_calls(), 64); /* docs/security.md */
}

static int setup(void **state)
{
	char path[64];

	if (!mkdtemp(root_dir) || chmod(root_dir, 0755) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/open", root_dir);
	listener = listen_unix(path, SOCK_SEQPACKET, 0666, (gid_t)-1);
	return listener < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/open", root_dir);
	close(listener);
	unlink(path);
	return rmdir(root_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wardens_socket_is_there_and_no_file_is),
		cmocka_unit_test(what_is_forbidden_kills_it),
		cmocka_unit_test(the_list_is_as_long_as_the_documentation_says),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root: a jail has an user and namespaces of its own\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
