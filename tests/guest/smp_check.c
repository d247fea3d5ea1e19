/* tests/guest/smp_check.c - runs inside a guest: is this a multiprocessor?
 *
 * Locked counters, message passing, store buffering with fences, TLB shootdown
 * of a page that is replaced under its readers, time across processors, and
 * processes.  Fixed amounts of work, so that a slow host only takes longer.
 * Prints one line a check, "ok" or "BAD"; the exit status counts the bad ones.
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS	 4
#define ADDS	 200000u
#define MESSAGES 2000000u
#define BUFFERS	 5000
#define REMAPS	 25u
#define TIMES	 200000
#define FORKS	 64

struct shared {
	_Alignas(64) uint64_t add;
	_Alignas(64) uint64_t cas;
	_Alignas(64) uint64_t xadd;
	_Alignas(64) uint64_t plain; /* under mutex */
	_Alignas(64) volatile uint64_t x;
	_Alignas(64) volatile uint64_t y;
	_Alignas(64) uint64_t latest; /* time anybody has seen */
	pthread_mutex_t mutex;
	pthread_barrier_t barrier;
	volatile int r[2];
	volatile bool stop;
	uint64_t *volatile page;
	uint64_t bad;
};

static struct shared s;

static void pin(long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(cpu % sysconf(_SC_NPROCESSORS_ONLN)), &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* unpinned is still a test */
}

static void bad(void)
{
	__atomic_fetch_add(&s.bad, 1, __ATOMIC_SEQ_CST);
}

static int run(const char *name, void *(*f)(void *), long n)
{
	pthread_t t[THREADS];

	s.bad = 0;
	s.stop = false;
	for (long i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, f, (void *)i))
			exit(99);
	for (long i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	printf("%s %s\n", s.bad ? "BAD" : "ok", name);
	fflush(stdout);
	return s.bad != 0;
}

static void *count(void *arg)
{
	pin((long)arg);
	for (unsigned i = 0; i < ADDS; i++) {
		uint64_t seen = __atomic_load_n(&s.cas, __ATOMIC_RELAXED);

		__atomic_fetch_add(&s.add, 1, __ATOMIC_SEQ_CST);
		while (!__atomic_compare_exchange_n(&s.cas, &seen, seen + 1, false,
						    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			;
		if (__atomic_fetch_add(&s.xadd, 3, __ATOMIC_SEQ_CST) % 3)
			bad();
		if (i % 16 == 0) {
			pthread_mutex_lock(&s.mutex);
			s.plain++;
			pthread_mutex_unlock(&s.mutex);
		}
	}
	pthread_barrier_wait(&s.barrier);
	if (s.add != THREADS * ADDS || s.cas != THREADS * ADDS || s.xadd != 3ull * THREADS * ADDS ||
	    s.plain != THREADS * (ADDS / 16))
		bad();
	return NULL;
}

/* x is written before y: who sees the new y sees the new x. */
static void *pass_messages(void *arg)
{
	pin((long)arg);
	if (!arg) {
		for (uint64_t i = 1; i <= MESSAGES; i++) {
			s.x = i;
			__asm__ volatile("" ::: "memory");
			s.y = i;
		}
		s.stop = true;
		return NULL;
	}
	while (!s.stop) {
		uint64_t y = s.y, x;

		__asm__ volatile("" ::: "memory");
		x = s.x;
		if (x < y)
			bad();
	}
	return NULL;
}

/* Both store, fence, and load the other's: one of them must see the store. */
static void *buffer_stores(void *arg)
{
	volatile uint64_t *mine = arg ? &s.y : &s.x, *other = arg ? &s.x : &s.y;

	pin((long)arg);
	for (int i = 0; i < BUFFERS; i++) {
		*mine = 0;
		pthread_barrier_wait(&s.barrier);
		*mine = 1;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		s.r[arg != NULL] = (int)*other;
		pthread_barrier_wait(&s.barrier);
		if (!arg && !s.r[0] && !s.r[1])
			bad();
		pthread_barrier_wait(&s.barrier);
	}
	return NULL;
}

static uint64_t *new_page(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* The page is replaced by one with a larger number: a reader that goes back in
 * numbers has used a translation that was shot down. */
static void *replace_pages(void *arg)
{
	uint64_t last = 0, v;

	pin((long)arg);
	if (!arg) {
		for (uint64_t i = 1; i <= REMAPS; i++) {
			uint64_t *n = new_page();

			*n = i;
			if (mremap(n, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, s.page) ==
			    MAP_FAILED)
				bad();
		}
		s.stop = true;
		return NULL;
	}
	while (!s.stop) {
		v = *(volatile uint64_t *)s.page;
		if (v < last)
			bad();
		last = v;
	}
	return NULL;
}

/* Time that one processor has published is not ahead of another's clock. */
static void *read_clocks(void *arg)
{
	struct timespec ts;

	pin((long)arg);
	for (int i = 0; i < TIMES; i++) {
		uint64_t before = __atomic_load_n(&s.latest, __ATOMIC_SEQ_CST), now;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
		if (now < before)
			bad();
		while (before < now &&
		       !__atomic_compare_exchange_n(&s.latest, &before, now, false,
						    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
	return NULL;
}

static unsigned work(unsigned seed)
{
	uint64_t h = seed;
	double d = seed + 1;

	for (unsigned i = 0; i < 20000; i++) {
		h = h * 6364136223846793005u + i;
		d = d * 1.0000001 + 1.0 / (i + 1);
	}
	return (unsigned)(h ^ (uint64_t)(d * 1000)) % 200;
}

static int processes(void)
{
	pid_t pid[FORKS];
	int wrong = 0, status;

	for (unsigned i = 0; i < FORKS; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit((int)work(i));
	}
	for (unsigned i = 0; i < FORKS; i++)
		if (waitpid(pid[i], &status, 0) != pid[i] || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != (int)work(i))
			wrong++;
	printf("%s processes compute what their parent does\n", wrong ? "BAD" : "ok");
	return wrong != 0;
}

int main(void)
{
	int n = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("smp_check: %ld processors\n", sysconf(_SC_NPROCESSORS_ONLN));
	pthread_mutex_init(&s.mutex, NULL);
	pthread_barrier_init(&s.barrier, NULL, THREADS);
	n += run("locked counters add up", count, THREADS);
	pthread_barrier_destroy(&s.barrier);
	pthread_barrier_init(&s.barrier, NULL, 2);
	n += run("messages arrive in order", pass_messages, 2);
	n += run("fenced stores are seen by one of two", buffer_stores, 2);
	s.page = new_page();
	n += run("a replaced page is seen replaced everywhere", replace_pages, THREADS);
	n += run("clocks agree across processors", read_clocks, THREADS);
	n += processes();
	printf("smp_check: %d bad\n", n);
	return n;
}
