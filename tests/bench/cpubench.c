/* tests/bench/cpubench.c - small workloads that show what an engine costs: plain
 * arithmetic, memory, system calls, faults, process switches.  Runs natively, in
 * a guest of ours and in QEMU alike; prints "CPU <name> <seconds>" lines. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUF (64u << 20)

static volatile uint64_t sink;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void xorshift(uint8_t *a, uint8_t *b)
{
	uint64_t x = 88172645463325252ull;

	(void)a;
	(void)b;
	for (long i = 0; i < 500000000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	sink = x;
}

static void touch_pages(uint8_t *a, uint8_t *b)
{
	for (size_t i = 0; i < BUF; i += 4096) {
		a[i] = 1;
		b[i] = 2;
	}
}

static void copy(uint8_t *a, uint8_t *b)
{
	for (int i = 0; i < 16; i++) {
		memcpy(b, a, BUF);
		__asm__ volatile("" ::"r"(b) : "memory");
	}
}

static uint32_t ror(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

/* The compression function of FIPS 180-4, with round constants made up on the
 * spot: the work is the same. */
static void sha_block(uint32_t h[8], const uint8_t *p, const uint32_t k[64])
{
	uint32_t w[64], v[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       w[i - 7] + (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, h, sizeof(v));
	for (int i = 0; i < 64; i++) {
		uint32_t t = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) +
			     ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		uint32_t u = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) +
			     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t;
		v[0] = t + u;
	}
	for (int i = 0; i < 8; i++)
		h[i] += v[i];
}

static void sha256(uint8_t *a, uint8_t *b)
{
	uint32_t h[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, k[64];

	(void)b;
	for (uint32_t i = 0; i < 64; i++)
		k[i] = (i + 1) * 2654435761u;
	for (size_t i = 0; i < BUF; i += 64)
		sha_block(h, a + i, k);
	sink = h[0];
}

static void getpids(uint8_t *a, uint8_t *b)
{
	(void)a;
	(void)b;
	for (long i = 0; i < 1000000; i++)
		syscall(SYS_getpid);
}

static void sse_double(uint8_t *a, uint8_t *b)
{
	double y = 1.0;

	(void)a;
	(void)b;
	for (long i = 0; i < 100000000; i++)
		y = y * 1.0000001 + 0.5e-9;
	sink = (uint64_t)y;
}

static void pointer_chase(uint8_t *a, uint8_t *b)
{
	uint32_t *p = (uint32_t *)(void *)a, n = 16u << 18, j = 0;

	(void)b;
	for (uint32_t i = 0; i < n; i++)
		p[i] = (uint32_t)((uint64_t)i * 2654435761u % n);
	for (long i = 0; i < 20000000; i++)
		j = p[j];
	sink = j;
}

static void forks(uint8_t *a, uint8_t *b)
{
	(void)a;
	(void)b;
	for (int i = 0; i < 1000; i++) {
		pid_t p = fork();

		if (p == 0)
			_exit(0);
		waitpid(p, NULL, 0);
	}
}

static int move_byte(int from, int to)
{
	char c = 0;

	return read(from, &c, 1) == 1 && write(to, &c, 1) == 1 ? 0 : -1;
}

static void pipe_pingpong(uint8_t *a, uint8_t *b)
{
	int p[2], q[2];
	pid_t child;

	(void)a;
	(void)b;
	if (pipe(p) < 0 || pipe(q) < 0)
		exit(1);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 50000; i++)
			if (move_byte(p[0], q[1]) < 0)
				_exit(1);
		_exit(0);
	}
	if (write(p[1], "x", 1) != 1)
		exit(1);
	for (int i = 0; i < 49999; i++)
		if (move_byte(q[0], p[1]) < 0)
			exit(1);
	waitpid(child, NULL, 0);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(uint8_t *a, uint8_t *b);
	} t[] = { { "xorshift", xorshift },
		  { "touch_pages", touch_pages },
		  { "memcpy", copy },
		  { "sha256", sha256 },
		  { "getpid", getpids },
		  { "sse_double", sse_double },
		  { "pointer_chase", pointer_chase },
		  { "fork", forks },
		  { "pipe", pipe_pingpong } };
	uint8_t *a = mmap(NULL, BUF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *b = mmap(NULL, BUF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (a == MAP_FAILED || b == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		double t0 = now();

		t[i].run(a, b);
		printf("CPU %s %.4f\n", t[i].name, now() - t0);
		fflush(stdout);
	}
	printf("CPU-DONE\n");
	return 0;
}
