/* tests/unit/hv/domain/test_jail.c - each way out of the jail is tried from
 * inside, by a process that has just closed it around itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemons/sys.h"
#include "hv/domain/jail.h"

#define TEST_UID 234567u

static char root_dir[] = "/tmp/jailrootXXXXXX";
static char outside[] = "/tmp/jailfileXXXXXX"; /* a file the prisoner would like */

/* The prisoner's act; what it returns is its exit status. */
typedef int act_fn(void);

static pid_t start_prisoner(act_fn *act)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct domain_jail cfg = {
			.uid = TEST_UID, .root = root_dir, .ram_bytes = 1 << 20, .threads = 16
		};
		char missing[128], err[256] = "";

		if (domain_jail_enter(&cfg, missing, sizeof(missing), err, sizeof(err)) < 0) {
			dprintf(2, "# %s\n", err);
			_exit(99);
		}
		_exit(act());
	}
	assert_true(pid > 0);
	return pid;
}

static int imprison(act_fn *act)
{
	int status;
	pid_t pid = start_prisoner(act);

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- acts ---- */

static int opens_a_file(void)
{
	return open(outside, O_RDONLY) >= 0 ? 1 : errno == EACCES ? 0 : 2;
}

static int opens_by_a_descriptor_of_the_root(void)
{
	return syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0) >= 0;
}

static int makes_a_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static int makes_a_socketpair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0;
}

static int traces_its_parent(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0;
}

static int reads_its_parents_memory(void)
{
	char c;
	struct iovec io = { &c, 1 };

	return (int)process_vm_readv(1, &io, 1, &io, 1, 0);
}

static int mounts(void)
{
	return mount("proc", "/", "proc", 0, NULL) == 0;
}

static int signals_another(void)
{
	return kill(1, SIGKILL) == 0;
}

static int signals_anothers_thread(void)
{
	return syscall(SYS_tgkill, 1, 1, SIGKILL) == 0;
}

static int forks(void)
{
	return fork() >= 0;
}

static int forks_by_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS;
}

static int executes(void)
{
	char *argv[] = { (char *)"/bin/true", NULL };

	return execv(argv[0], argv) == 0;
}

static int makes_namespaces(void)
{
	return unshare(CLONE_NEWUSER) == 0;
}

static int becomes_root(void)
{
	return setuid(0) == 0;
}

static int raises_a_limit(void)
{
	struct rlimit l = { RLIM_INFINITY, RLIM_INFINITY };

	return setrlimit(RLIMIT_CORE, &l) == 0;
}

static int makes_a_shared_descriptor_block(void)
{
	return fcntl(0, F_SETFL, 0) == 0;
}

static int becomes_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static int loads_a_program_into_the_kernel(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) >= 0;
}

static int opens_an_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 8, NULL) >= 0;
}

static int opens_by_handle(void)
{
	return syscall(SYS_open_by_handle_at, 0, NULL, 0) >= 0;
}

static int makes_a_folder(void)
{
	return mkdir("/x", 0777) == 0;
}

static int leaves_its_root(void)
{
	return chroot("..") == 0;
}

static void *thread_main(void *arg)
{
	*(int *)arg = 1;
	return NULL;
}

/* What an engine needs must still work, or nothing would. */
static int lives_on(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	int fd, ep, tfd, ran = 0;
	pthread_t t;
	uint8_t *w, *x;

	if (pthread_create(&t, NULL, thread_main, &ran) || pthread_join(t, NULL) || !ran)
		return 1;
	fd = sys_memfd("code", 8192);
	if (fd < 0)
		return 2;
	w = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	x = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (w == MAP_FAILED || x == MAP_FAILED)
		return 3;
	w[0] = 0xc3; /* ret */
	((void (*)(void))(uintptr_t)x)();
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0 || x[0] != 0)
		return 4;
	ep = epoll_create1(0);
	tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	if (ep < 0 || tfd < 0 || sys_eventfd() < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, tfd, &e) < 0)
		return 5;
	free(malloc(64 << 20));
	return 0;
}

static int waits_to_be_looked_at(void)
{
	char c;

	(void)!write(1, "x", 1);
	return (int)read(0, &c, 1);
}

/* ---- tests ---- */

static void ways_out_are_deadly(void **state)
{
	static const struct {
		act_fn *act;
		const char *name;
	} ways[] = {
#define WAY(f) { f, #f }
		WAY(opens_by_a_descriptor_of_the_root),
		WAY(makes_a_socket),
		WAY(makes_a_socketpair),
		WAY(traces_its_parent),
		WAY(reads_its_parents_memory),
		WAY(mounts),
		WAY(signals_another),
		WAY(signals_anothers_thread),
		WAY(forks),
		WAY(executes),
		WAY(makes_namespaces),
		WAY(becomes_root),
		WAY(makes_a_shared_descriptor_block),
		WAY(becomes_dumpable),
		WAY(loads_a_program_into_the_kernel),
		WAY(opens_an_io_uring),
		WAY(opens_by_handle),
		WAY(makes_a_folder),
		WAY(leaves_its_root),
#undef WAY
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int status = imprison(ways[i].act);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: status %#x", ways[i].name, (unsigned)status);
	}
}

static void what_the_c_library_asks_for_is_only_refused(void **state)
{
	assert_int_equal(imprison(opens_a_file), 0);
	assert_int_equal(imprison(forks_by_clone3), 0);
	assert_int_equal(imprison(raises_a_limit), 0);
}

static void what_an_engine_needs_still_works(void **state)
{
	assert_int_equal(imprison(lives_on), 0);
}

static void status_value(pid_t pid, const char *field, char *out, size_t n)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	out[0] = '\0';
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			snprintf(out, n, "%s", line + strlen(field) + 2);
	fclose(f);
}

static bool same_namespace(pid_t pid, const char *ns)
{
	char a[64], b[64];
	struct stat sa, sb;

	snprintf(a, sizeof(a), "/proc/%d/ns/%s", (int)pid, ns);
	snprintf(b, sizeof(b), "/proc/self/ns/%s", ns);
	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_ino == sb.st_ino;
}

static bool host_allows(int flag)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(unshare(flag) == 0 ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void from_outside_it_has_no_rights_and_an_empty_root(void **state)
{
	static const struct {
		const char *name;
		int flag;
	} spaces[] = { { "mnt", CLONE_NEWNS },
		       { "net", CLONE_NEWNET },
		       { "ipc", CLONE_NEWIPC },
		       { "uts", CLONE_NEWUTS },
		       { "user", CLONE_NEWUSER } };
	int in[2], out[2], status;
	char v[128], path[64], c;
	struct dirent *e;
	unsigned names = 0;
	DIR *dir;
	pid_t pid;
	int save0 = dup(0), save1 = dup(1);

	assert_true(pipe(in) == 0 && pipe(out) == 0);
	dup2(in[0], 0);
	dup2(out[1], 1);
	pid = start_prisoner(waits_to_be_looked_at);
	dup2(save0, 0);
	dup2(save1, 1);
	assert_int_equal(read(out[0], &c, 1), 1);

	status_value(pid, "Uid", v, sizeof(v));
	assert_int_equal(atoi(v), TEST_UID);
	status_value(pid, "Groups", v, sizeof(v));
	assert_int_equal(strspn(v, " \n"), strlen(v)); /* none */
	status_value(pid, "CapEff", v, sizeof(v));
	assert_string_equal(v, "0000000000000000\n");
	status_value(pid, "CapPrm", v, sizeof(v));
	assert_string_equal(v, "0000000000000000\n");
	status_value(pid, "NoNewPrivs", v, sizeof(v));
	assert_int_equal(atoi(v), 1);
	status_value(pid, "Seccomp", v, sizeof(v));
	assert_int_equal(atoi(v), 2);
	snprintf(path, sizeof(path), "/proc/%d/root/", (int)pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		names += e->d_name[0] != '.';
	closedir(dir);
	assert_int_equal(names, 0);
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		if (host_allows(spaces[i].flag))
			assert_false(same_namespace(pid, spaces[i].name));
		else
			printf("# SKIP this host gives no %s namespace\n", spaces[i].name);
	assert_int_equal(write(in[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 1 << 8);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
	close(save0);
	close(save1);
}

static void a_jail_that_can_not_be_closed_is_an_error(void **state)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct domain_jail cfg = { .uid = TEST_UID, .root = "/nonexistent", .threads = 1 };
		char missing[128], err[256] = "";
		int r = domain_jail_enter(&cfg, missing, sizeof(missing), err, sizeof(err));

		_exit(r < 0 && strstr(err, "empty root") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void the_list_of_calls_is_as_short_as_documented(void **state)
{
	assert_int_equal(domain_jail_calls(), 52 + 4); /* docs/hypervisor.md */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ways_out_are_deadly),
		cmocka_unit_test(what_the_c_library_asks_for_is_only_refused),
		cmocka_unit_test(what_an_engine_needs_still_works),
		cmocka_unit_test(from_outside_it_has_no_rights_and_an_empty_root),
		cmocka_unit_test(a_jail_that_can_not_be_closed_is_an_error),
		cmocka_unit_test(the_list_of_calls_is_as_short_as_documented),
	};
	int r;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	if (!mkdtemp(root_dir) || mkstemp(outside) < 0)
		return 1;
	chmod(outside, 0644);
	r = cmocka_run_group_tests_name("jail", tests, NULL, NULL);
	unlink(outside);
	rmdir(root_dir);
	return r;
}
