/* scripts/guest/glibc-check.c - a dynamically linked program for the guest.
 *
 * Uses what a distribution's programs use and a CPU engine may get wrong: the
 * dynamic loader and its CPUID dispatch, SSE2 doubles, x87 long doubles,
 * string functions, threads with atomics and futexes, fork and pipes.  Prints
 * one line, "GUEST-GLIBC ok", or what is wrong.
 */
#include <gnu/libc-version.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void check(int ok, const char *what)
{
	if (!ok) {
		printf("GUEST-GLIBC wrong: %s\n", what);
		failures++;
	}
}

static void check_numbers(void)
{
	volatile double two = 2.0, tenth = 0.1;
	volatile long double third = 1.0L / 3.0L;
	char text[128];

	snprintf(text, sizeof(text), "%.15f %.18Lf %.10f %a", sqrt(two), third, sin(two), tenth);
	check(strcmp(text,
		     "1.414213562373095 0.333333333333333333 0.9092974268 0x1.999999999999ap-4") ==
		      0,
	      text);
	check(strtod("6.02214076e23", NULL) == 6.02214076e23, "strtod");
	check(lrint(two * 1.25) == 2 && floor(-tenth) == -1.0 && fmod(7.5, two) == 1.5, "rounding");
	check(expl(logl(third)) - third < 1e-18L && fabs(pow(two, 0.5) - sqrt(two)) < 1e-15,
	      "exp, log, pow");
}

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void check_memory(void)
{
	int n = 5000, *v = malloc(sizeof(*v) * (size_t)n);
	unsigned seed = 7;
	char a[4096], b[4096];

	for (int i = 0; i < n; i++)
		v[i] = (int)((seed = seed * 1664525u + 1013904223u) >> 8);
	qsort(v, (size_t)n, sizeof(*v), by_value);
	for (int i = 1; i < n; i++)
		check(v[i - 1] <= v[i], "qsort");
	free(v);
	for (size_t n2 = 1; n2 < sizeof(a); n2 = n2 * 3 + 1) {
		memset(a, 'x', sizeof(a));
		a[n2] = '\0';
		memcpy(b, a, n2 + 1);
		check(strlen(b) == n2 && memcmp(a, b, n2 + 1) == 0 && strchr(b, '\0') == b + n2 &&
			      memmove(b + 1, b, n2) == b + 1 && strncmp(b, a, n2) == 0,
		      "string functions");
	}
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counted, counted_atomic;

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&lock);
		counted++;
		pthread_mutex_unlock(&lock);
		__atomic_fetch_add(&counted_atomic, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void check_threads(void)
{
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		check(pthread_create(&t[i], NULL, count, NULL) == 0, "pthread_create");
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	check(counted == 6000 && counted_atomic == 6000, "threads count");
}

static void check_processes(void)
{
	int fd[2], status = -1;
	char got[8] = "";
	pid_t pid;

	check(pipe(fd) == 0, "pipe");
	pid = fork();
	if (pid == 0)
		_exit(write(fd[1], "child", 6) == 6 ? 42 : 1);
	check(read(fd[0], got, sizeof(got)) == 6 && strcmp(got, "child") == 0, "a child's bytes");
	check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42,
	      "a child's status");
}

int main(void)
{
	check_numbers();
	check_memory();
	check_threads();
	check_processes();
	if (!failures)
		printf("GUEST-GLIBC ok (%s, dynamically linked)\n", gnu_get_libc_version());
	return failures != 0;
}
