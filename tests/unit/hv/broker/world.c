/* tests/unit/hv/broker/world.c - starting, stopping and looking at an hvd. */
#include "tests/unit/hv/broker/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemons/hv_link.h"

const char *hvd_path, *domain_path;

void nap(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

void start_hvd(struct world *w)
{
	struct hvc_hostinfo hi;

	w->hvd = fork();
	assert_true(w->hvd >= 0);
	if (w->hvd == 0) {
		int null = open("/dev/null", O_RDWR);

		if (!getenv("HVD_TEST_LOG"))
			dup2(null, 2);
		setenv("DOMZERO_RUN_DIR", w->run, 1);
		execl(hvd_path, "hvd", "--domain-binary", domain_path, "--kvm-device", "/dev/null",
		      (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000; i++) {
		if (hvc_hostinfo(w->h, &hi) == 0)
			return;
		nap(10);
	}
	fail_msg("hvd did not come up");
}

void kill_hvd(struct world *w, int sig)
{
	int status;

	assert_int_equal(kill(w->hvd, sig), 0);
	assert_int_equal(waitpid(w->hvd, &status, 0), w->hvd);
	if (sig == SIGTERM)
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	w->hvd = 0;
}

int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char spec[160], path[] = "/tmp/hvdkernXXXXXX";
	int fd = mkstemp(path);

	strcpy(w->run, "/tmp/hvdtestXXXXXX");
	assert_non_null(mkdtemp(w->run));
	snprintf(w->sock, sizeof(w->sock), "%s/hvd.sock", w->run);
	snprintf(spec, sizeof(spec), "bundled:%s", w->sock);
	w->kernel = open(path, O_RDONLY | O_CLOEXEC);
	close(fd);
	unlink(path);
	assert_int_equal(hvc_open(spec, &w->h), 0);
	start_hvd(w);
	*state = w;
	return 0;
}

int teardown(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo all[64];
	char cmd[128];
	int n;

	if (w->hvd) {
		while ((n = hvc_domlist(w->h, 0, all, 64)) > 0)
			for (int i = 0; i < n; i++)
				hvc_destroy(w->h, all[i].domid);
		kill_hvd(w, SIGTERM);
	}
	hvc_close(w->h);
	close(w->kernel);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", w->run);
	n = system(cmd);
	free(w);
	return n;
}

int create(struct world *w, const char *cmdline, struct hvc_created *ret, char err[256])
{
	struct hvc_create c = { .uuid = { 1, 2, 3 },
				.mem_pages = 256,
				.max_pages = 512,
				.vcpus = 1,
				.max_vcpus = 2,
				.name = "test",
				.engine = "auto",
				.cmdline = cmdline,
				.kernel_fd = w->kernel,
				.ramdisk_fd = -1 };

	err[0] = '\0';
	return hvc_create(w->h, &c, ret, err, 256);
}

uint16_t must_create(struct world *w, const char *cmdline)
{
	struct hvc_created c;
	char err[256];

	if (create(w, cmdline, &c, err) < 0)
		fail_msg("create: %s", err);
	return c.domid;
}

/* Names in a folder, without the dots. */
static unsigned count_names(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

unsigned dom_files(struct world *w)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/dom", w->run);
	return count_names(path);
}

unsigned hvd_fds(struct world *w)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)w->hvd);
	return count_names(path);
}

long hvd_rss_kib(struct world *w)
{
	char path[64], line[256];
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)w->hvd);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/* By the state file that hvd keeps of it. */
pid_t domain_pid(struct world *w, uint16_t domid)
{
	uint8_t bytes[4096];
	struct hv_msg *m = malloc(sizeof(*m));
	char path[128];
	ssize_t n;
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/dom/%u.state", w->run, domid);
	for (int i = 0; (fd = open(path, O_RDONLY)) < 0 && i < 500; i++)
		nap(10); /* it is being built */
	assert_true(fd >= 0);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	assert_int_equal(hv_msg_decode(bytes, (size_t)n, m), 0);
	pid = (pid_t)m->u.STATE_DOM.pid;
	free(m);
	return pid;
}

bool process_gone(pid_t pid)
{
	for (int i = 0; i < 500; i++) {
		char path[64], line[512];
		FILE *f;
		bool zombie;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		f = fopen(path, "r");
		if (!f)
			return true;
		zombie = fgets(line, sizeof(line), f) && strstr(line, ") Z ");
		fclose(f);
		if (zombie)
			return true;
		nap(10);
	}
	return false;
}

bool wait_event(struct world *w, enum hvc_event_kind kind, struct hvc_event *ret)
{
	for (int i = 0; i < 200; i++) {
		struct pollfd p = { .fd = hvc_event_fd(w->h), .events = POLLIN };

		while (hvc_event_next(w->h, ret) == 1)
			if (ret->kind == kind)
				return true;
		poll(&p, 1, 50);
	}
	return false;
}

bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 5000) == 1;
}
