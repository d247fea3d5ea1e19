/* tests/bench/xsbench.c - one libxenstore client for every XenStore server.
 *
 *   XENSTORED_PATH=<socket> xsbench <daemon's pid> <seconds per run> <runs>
 *
 * Prints "name value" lines, medians over the runs; scripts/bench.d/xenstored
 * runs it against each server and compares.  CPU is the daemon's own, from
 * /proc/<pid>/schedstat, so that the client's cost is not in it.  Watch events
 * are read off the wire: libxenstore's reader thread would be measured else. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>
#include <xenstore.h>

#include "daemons/clock.h"

#define LAT_MAX	 400000
#define WATCHERS 1000
#define DIR_KIDS 1000

enum mode { READ_ONE, WRITE_ONE, MIX, TXN_OWN, TXN_SAME };

struct worker {
	pthread_t thread;
	int id;
	enum mode mode;
	long ops, nlat;
	float *lat; /* microseconds */
};

static long daemon_pid;
static double seconds = 0.7;
static int runs = 3;
static _Atomic bool go, stop;

static double now(void)
{
	return (double)clock_mono_ns() * 1e-9;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double daemon_cpu(void)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/schedstat", daemon_pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%llu", &ns) != 1)
		die(path);
	fclose(f);
	return (double)ns * 1e-9;
}

static long daemon_rss_kib(void)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", daemon_pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "Rss: %ld", &kib);
	if (!f)
		die(path);
	fclose(f);
	return kib;
}

static int by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}
static int by_float(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_double);
	return v[n / 2];
}

static void say(const char *name, double value)
{
	printf("%s %.3f\n", name, value);
	fflush(stdout);
}

static struct xs_handle *open_client(void)
{
	for (int i = 0; i < 500; i++) {
		struct xs_handle *h = xs_open(0);

		if (h)
			return h;
		usleep(10000);
	}
	die("xs_open");
	return NULL;
}

/* ---- requests ---- */

static void increment(struct xs_handle *h, const char *path)
{
	char text[24], *v;
	unsigned len;
	xs_transaction_t t;

	do {
		t = xs_transaction_start(h);
		v = xs_read(h, t, path, &len);
		snprintf(text, sizeof(text), "%d", v ? atoi(v) + 1 : 0);
		free(v);
		if (!xs_write(h, t, path, text, (unsigned)strlen(text)))
			die("write in a transaction");
	} while (!xs_transaction_end(h, t, false) && errno == EAGAIN && !stop);
}

static void one_op(struct worker *w, struct xs_handle *h, const char *own, long i)
{
	unsigned len;

	switch (w->mode) {
	case TXN_OWN: increment(h, own); break;
	case TXN_SAME: increment(h, "/bench/shared"); break;
	default:
		if (w->mode == READ_ONE || (w->mode == MIX && i % 2))
			free(xs_read(h, 0, own, &len));
		else if (!xs_write(h, 0, own, "0123456789abcdef", 16))
			die("write");
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct xs_handle *h = open_client();
	char own[32];

	snprintf(own, sizeof(own), "/bench/c%d", w->id);
	if (!xs_write(h, 0, own, "0123456789abcdef", 16))
		die("write");
	while (!go)
		usleep(100);
	for (long i = 0; !stop; i++) {
		double t = now();

		one_op(w, h, own, i);
		if (w->nlat < LAT_MAX)
			w->lat[w->nlat++] = (float)((now() - t) * 1e6);
		w->ops++;
	}
	xs_close(h);
	return NULL;
}

struct outcome {
	double rate, p50, cpu_us; /* per second; microseconds; daemon's per operation */
};

static struct outcome run_once(int n, enum mode mode)
{
	struct worker *w = calloc((size_t)n, sizeof(*w));
	float *all = malloc(sizeof(*all) * LAT_MAX * (size_t)(n > 8 ? 8 : n));
	double t, cpu, took;
	long ops = 0, nlat = 0;

	go = stop = false;
	for (int i = 0; i < n; i++) {
		w[i] = (struct worker){ .id = i, .mode = mode };
		w[i].lat = malloc(sizeof(float) * LAT_MAX);
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			die("pthread_create");
	}
	usleep(n > 8 ? 400000 : 100000);
	cpu = daemon_cpu();
	t = now();
	go = true;
	usleep((useconds_t)(seconds * 1e6));
	stop = true;
	took = now() - t;
	cpu = daemon_cpu() - cpu;
	for (int i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		ops += w[i].ops;
		for (long k = 0; i < 8 && k < w[i].nlat; k++)
			all[nlat++] = w[i].lat[k];
		free(w[i].lat);
	}
	qsort(all, (size_t)nlat, sizeof(*all), by_float);
	struct outcome o = { (double)ops / took, nlat ? all[nlat / 2] : 0,
			     ops ? cpu * 1e6 / (double)ops : 0 };
	free(all);
	free(w);
	return o;
}

static void measure(const char *name, int n, enum mode mode)
{
	double rate[32], p50[32], cpu[32];
	char line[64];

	for (int i = 0; i < runs; i++) {
		struct outcome o = run_once(n, mode);

		rate[i] = o.rate;
		p50[i] = o.p50;
		cpu[i] = o.cpu_us;
	}
	snprintf(line, sizeof(line), "%s.rate", name);
	say(line, median(rate, runs));
	snprintf(line, sizeof(line), "%s.p50", name);
	say(line, median(p50, runs));
	snprintf(line, sizeof(line), "%s.cpu", name);
	say(line, median(cpu, runs));
}

/* ---- watches ---- */

static int raw_open(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	strncpy(sa.sun_path, getenv("XENSTORED_PATH"), sizeof(sa.sun_path) - 1);
	for (int i = 0; i < 500; i++) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			return fd;
		close(fd);
		usleep(5000);
	}
	die("connect");
	return -1;
}

static void raw_get(int fd, void *p, size_t n)
{
	if (n && recv(fd, p, n, MSG_WAITALL) != (ssize_t)n)
		die("recv");
}

static uint32_t raw_msg(int fd)
{
	char body[XENSTORE_PAYLOAD_MAX];
	uint32_t h[4];

	raw_get(fd, h, sizeof(h));
	raw_get(fd, body, h[3]);
	return h[0];
}

static void raw_watch(int fd, const char *path, const char *token)
{
	uint8_t msg[256];
	size_t n = strlen(path) + 1, m = strlen(token) + 1;

	struct xsd_sockmsg hdr = { .type = XS_WATCH, .req_id = 1, .len = (uint32_t)(n + m) };

	memcpy(msg, &hdr, sizeof(hdr));
	memcpy(msg + 16, path, n);
	memcpy(msg + 16 + n, token, m);
	if (write(fd, msg, 16 + n + m) < 0)
		die("write");
	(void)raw_msg(fd); /* the answer and the first event, in either order */
	(void)raw_msg(fd);
}

static void fan_out_one(struct xs_handle *h)
{
	int fd = raw_open(), n = runs * 4;
	double last[256], cpu;

	for (int i = 0; i < WATCHERS; i++) {
		char token[16];

		snprintf(token, sizeof(token), "t%d", i);
		raw_watch(fd, "/bench/w", token);
	}
	cpu = daemon_cpu();
	for (int k = 0; k < n; k++) {
		double t = now();

		xs_write(h, 0, "/bench/w/x", "v", 1);
		for (int i = 0; i < WATCHERS; i++)
			(void)raw_msg(fd);
		last[k] = (now() - t) * 1e3;
	}
	say("fan1x1000.cpu", (daemon_cpu() - cpu) * 1e3 / n);
	say("fan1x1000.last", median(last, n));
	close(fd);
}

static double await_all(struct pollfd *p, double since)
{
	int left = WATCHERS;

	for (int i = 0; i < WATCHERS; i++)
		p[i].events = POLLIN;
	while (left) {
		if (poll(p, WATCHERS, -1) < 0)
			die("poll");
		for (int i = 0; i < WATCHERS; i++)
			if (p[i].events && (p[i].revents & POLLIN)) {
				(void)raw_msg(p[i].fd);
				p[i].events = 0;
				left--;
			}
	}
	return (now() - since) * 1e3;
}

static void fan_out_many(struct xs_handle *h)
{
	struct pollfd p[WATCHERS];
	int n = runs * 4;
	double last[256], t, cpu;

	for (int i = 0; i < WATCHERS; i++) {
		p[i].fd = raw_open();
		raw_watch(p[i].fd, "/bench/w", "t");
	}
	cpu = daemon_cpu();
	for (int k = 0; k < n; k++) {
		t = now();
		xs_write(h, 0, "/bench/w/x", "v", 1);
		last[k] = await_all(p, t);
	}
	say("fan1000x1.cpu", (daemon_cpu() - cpu) * 1e3 / n);
	say("fan1000x1.last", median(last, n));
	cpu = daemon_cpu();
	for (int k = 0; k < n; k++) {
		t = now();
		for (int j = 0; j < 20; j++)
			xs_write(h, 0, "/bench/nomatch", "v", 1);
		last[k] = (now() - t) * 1e6 / 20;
	}
	say("idle1000.cpu", (daemon_cpu() - cpu) * 1e6 / (n * 20));
	say("idle1000.write", median(last, n));
	for (int i = 0; i < WATCHERS; i++)
		close(p[i].fd);
}

/* ---- directories and size ---- */

static void directory(struct xs_handle *h)
{
	double took[256];
	int n = runs * 4, got = 0;
	char path[64];

	for (int i = 0; i < DIR_KIDS; i++) {
		snprintf(path, sizeof(path), "/bench/dir/child-node-%06d", i);
		xs_write(h, 0, path, "", 0);
	}
	for (int k = 0; k < n; k++) {
		unsigned kids = 0;
		double t = now();
		char **names = xs_directory(h, 0, "/bench/dir", &kids);

		took[k] = (now() - t) * 1e6;
		got += names && kids == DIR_KIDS;
		free(names);
	}
	say("dir1000", got == n ? median(took, n) : -1); /* -1: it can't */
}

static void hundred_thousand(struct xs_handle *h)
{
	long before = daemon_rss_kib();
	char path[64];
	double t;

	for (int i = 0; i < 100000; i++) {
		snprintf(path, sizeof(path), "/bench/m/%d/n%d", i / 1000, i % 1000);
		if (!xs_write(h, 0, path, "0123456789abcdef", 16))
			die(path);
	}
	say("memory", (double)(daemon_rss_kib() - before) * 1024 / 100000);
	t = now();
	if (!xs_rm(h, 0, "/bench/m"))
		die("rm");
	say("rm100k", (now() - t) * 1e3);
}

int main(int argc, char **argv)
{
	struct xs_handle *h;

	if (argc != 4 || !getenv("XENSTORED_PATH")) {
		fprintf(stderr, "usage: XENSTORED_PATH=<socket> xsbench <pid> <seconds> <runs>\n");
		return 2;
	}
	daemon_pid = atol(argv[1]);
	seconds = atof(argv[2]);
	runs = atoi(argv[3]);
	if (runs < 1 || runs > 32)
		return 2;
	h = open_client();
	xs_rm(h, 0, "/bench");
	hundred_thousand(h); /* first, while the daemon's memory is its own */
	xs_write(h, 0, "/bench/shared", "0", 1);
	measure("read1", 1, READ_ONE);
	measure("write1", 1, WRITE_ONE);
	measure("mix8", 8, MIX);
	measure("mix64", 64, MIX);
	measure("txn1", 1, TXN_OWN);
	measure("txn8", 8, TXN_OWN);
	measure("same64", 64, TXN_SAME);
	fan_out_one(h);
	fan_out_many(h);
	directory(h);
	xs_rm(h, 0, "/bench");
	xs_close(h);
	return 0;
}
