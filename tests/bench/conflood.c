/* tests/bench/conflood.c - fake guests that print as fast as they can, against
 * our console daemon or Debian's.
 *
 *   conflood ours <folder> <seconds>   the daemon's core runs in a child
 *   conflood peer <folder> <seconds>   xenconsoled runs under xenconsoled-shim
 *                                      with XS_CON_DIR=<folder>; its logs are
 *                                      <folder>/guest-d1.log and -d2.log
 *
 * Guest 1 floods; guest 2 prints a line every 10 ms and waits until it stands
 * in the log file.  Prints "bytes_per_s N", "line_p50_us N", "line_p99_us N".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemons/clock.h"
#include "tests/fake/rig.h"

#define LINES_MAX 4096

struct bench {
	struct fake_guest g[2];
	bool peer;
	int kick_sock;
	struct sockaddr_un kick_to[2];
	char log[2][256];
};

static int peer_guest(struct bench *b, int i, const char *dir)
{
	char path[256];
	int fd;
	void *p;

	snprintf(path, sizeof(path), "%s/dom%d.con", dir, i + 1);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return -errno;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return -errno;
	b->g[i].ring = p;
	b->kick_to[i].sun_family = AF_UNIX;
	snprintf(b->kick_to[i].sun_path, sizeof(b->kick_to[i].sun_path), "%.90s/dom%d.kick", dir,
		 i + 1);
	return 0;
}

static void kick(struct bench *b, int i)
{
	if (!b->peer)
		fake_guest_kick(&b->g[i]);
	else
		(void)sendto(b->kick_sock, "k", 1, MSG_DONTWAIT, (struct sockaddr *)&b->kick_to[i],
			     sizeof(b->kick_to[i]));
}

/* As Linux's hvc console does when the ring is full: yield, look again. */
static uint64_t flood(struct bench *b, double seconds)
{
	static const char line[] =
		"0123456789012345678901234567890123456789012345678901234567890123456789012345678\n";
	uint64_t stop = clock_mono_ns() + (uint64_t)(seconds * 1e9), sent = 0;
	char buf[2048];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = line[i % 80];
	while (clock_mono_ns() < stop) {
		size_t n = fake_guest_put(&b->g[0], buf, sizeof(buf));

		sent += n;
		if (n)
			kick(b, 0);
		else
			sched_yield();
	}
	return sent;
}

static off_t size_of(const char *path)
{
	struct stat sb;

	return stat(path, &sb) < 0 ? 0 : sb.st_size;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* In a child: prints the percentiles when done. */
static void lines(struct bench *b, double seconds)
{
	uint64_t stop = clock_mono_ns() + (uint64_t)(seconds * 1e9), us[LINES_MAX];
	size_t n = 0;

	while (clock_mono_ns() < stop && n < LINES_MAX) {
		off_t before = size_of(b->log[1]);
		uint64_t t0 = clock_mono_ns();

		fake_guest_put(&b->g[1], "a line of the other guest\n", 26);
		kick(b, 1);
		while (size_of(b->log[1]) < before + 26 && clock_mono_ns() < stop + 1000000000u)
			usleep(50);
		us[n++] = (clock_mono_ns() - t0) / 1000;
		usleep(10000);
	}
	qsort(us, n, sizeof(us[0]), by_value);
	printf("line_p50_us %llu\nline_p99_us %llu\n", (unsigned long long)us[n / 2],
	       (unsigned long long)us[n * 99 / 100]);
	fflush(stdout);
}

static pid_t start_ours(struct bench *b, struct rig *r)
{
	/* As rotation would throw bytes away that the numbers count, it is off. */
	static const char *const args[] = { "--log-rate=0", "--log-size=0", "--pty=no", NULL };
	pid_t pid;

	rig_init(r, args);
	rig_stop(r);
	for (int i = 0; i < 2; i++) {
		if (fake_guest_init(&b->g[i]) < 0)
			return -1;
		snprintf(b->log[i], sizeof(b->log[i]), "%s/logs/guest-d%d.log", r->dir, i + 1);
	}
	pid = fork();
	if (pid)
		return pid;
	rig_start(r);
	rig_console(r, 1, "d1", &b->g[0]);
	rig_console(r, 2, "d2", &b->g[1]);
	(void)event_base_dispatch(r->base);
	_exit(0);
}

static int run(struct bench *b, double seconds)
{
	uint64_t t0 = clock_mono_ns(), sent;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		lines(b, seconds);
		_exit(0);
	}
	sent = flood(b, seconds);
	while (b->g[0].ring->out_cons != b->g[0].ring->out_prod &&
	       clock_mono_ns() - t0 < (uint64_t)(seconds * 2e9))
		usleep(100);
	printf("bytes_per_s %.0f\n", (double)sent / ((double)(clock_mono_ns() - t0) / 1e9));
	fflush(stdout);
	waitpid(pid, NULL, 0);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench b = { .kick_sock = -1 };
	pid_t daemon = -1;
	struct rig r;

	if (argc != 4 || (strcmp(argv[1], "ours") != 0 && strcmp(argv[1], "peer") != 0)) {
		fprintf(stderr, "usage: conflood ours|peer <folder> <seconds>\n");
		return 2;
	}
	b.peer = strcmp(argv[1], "peer") == 0;
	if (b.peer) {
		b.kick_sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		for (int i = 0; i < 2; i++) {
			if (peer_guest(&b, i, argv[2]) < 0)
				return 1;
			snprintf(b.log[i], sizeof(b.log[i]), "%s/guest-d%d.log", argv[2], i + 1);
		}
	} else {
		daemon = start_ours(&b, &r);
		if (daemon < 0)
			return 1;
		usleep(200000);
	}
	if (run(&b, atof(argv[3])) < 0)
		return 1;
	if (daemon > 0) {
		(void)kill(daemon, SIGKILL);
		waitpid(daemon, NULL, 0);
		rig_start(&r); /* so that it can be taken down */
		rig_fini(&r);
	}
	return 0;
}
