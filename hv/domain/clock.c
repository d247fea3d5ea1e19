/* hv/domain/clock.c - see clock.h. */
#include "hv/domain/clock.h"

#include <time.h>
#include <x86intrin.h>

#include "daemons/clock.h"

#define NS_PER_S     1000000000ull
#define CALIBRATE_NS 10000000ull
#define BASE_NS	     (16 * NS_PER_S) /* a slope is measured over 16 to 32 s */
#define SLEW_PPM_MAX 500
#define STEP_NS	     (NS_PER_S / 10) /* further behind than this: step, don't slew */
#define SAMPLE_TRIES 5

typedef unsigned __int128 u128;

uint64_t clock_tsc(void)
{
	_mm_lfence();
	return __rdtsc();
}

/* TSC and clock read together: the try with the least time between wins. */
static struct gclock_sample sample(void)
{
	struct gclock_sample best = { 0, 0 };
	uint64_t width = UINT64_MAX;

	for (int i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t a = clock_tsc(), mono = clock_mono_ns(), b = clock_tsc();

		if (b - a < width) {
			width = b - a;
			best = (struct gclock_sample){ a + (b - a) / 2, mono };
		}
	}
	return best;
}

uint64_t pvclock_at(const struct pvclock *c, uint64_t tsc)
{
	uint64_t d = tsc - c->tsc0;

	if (tsc < c->tsc0) /* another CPU's TSC, a little behind */
		return c->ns0;
	d = c->shift < 0 ? d >> -c->shift : d << c->shift;
	return c->ns0 + (uint64_t)((u128)d * c->mul >> 32);
}

void pvclock_slope(struct pvclock *c, uint64_t dns, uint64_t dtsc)
{
	u128 m = ((u128)dns << 32) / dtsc;
	int8_t shift = 0;

	while (m >> 32) {
		m >>= 1;
		shift++;
	}
	while (m && !(m >> 31)) {
		/* Bits of precision come from dividing again, not from shifting in zeros. */
		shift--;
		m = ((u128)dns << (32 - shift)) / dtsc;
	}
	c->mul = (uint32_t)m;
	c->shift = shift;
}

struct pvclock pvclock_reanchor(const struct pvclock *c, uint64_t tsc, uint64_t host_ns,
				uint64_t rate_ns, uint64_t rate_tsc)
{
	struct pvclock n = { .tsc0 = tsc, .ns0 = pvclock_at(c, tsc) };
	int64_t err = (int64_t)(host_ns - n.ns0), ppb, max = SLEW_PPM_MAX * 1000;

	if (err > (int64_t)STEP_NS) {
		n.ns0 = host_ns;
		err = 0;
	}
	ppb = err > max ? max : err < -max ? -max : err; /* err ns over one second */
	pvclock_slope(&n, rate_ns + (uint64_t)(int64_t)((__int128)rate_ns * ppb / 1000000000),
		      rate_tsc);
	return n;
}

void gclock_init(struct gclock *g)
{
	pthread_mutex_init(&g->lock, NULL);
	g->base = g->prev = sample();
}

void gclock_start(struct gclock *g)
{
	struct gclock_sample s = sample();
	uint64_t gone = s.mono - g->base.mono;

	if (gone < CALIBRATE_NS) {
		struct timespec ts = { .tv_nsec = (long)(CALIBRATE_NS - gone) };

		(void)nanosleep(&ts, NULL); /* cut short: a less exact first slope */
		s = sample();
	}
	pthread_mutex_lock(&g->lock);
	g->cur.tsc0 = s.tsc;
	g->cur.ns0 = 0;
	pvclock_slope(&g->cur, s.mono - g->base.mono, s.tsc - g->base.tsc);
	g->tsc_khz = (uint64_t)((u128)(s.tsc - g->base.tsc) * 1000000 / (s.mono - g->base.mono));
	g->mono0 = s.mono;
	g->seq++;
	pthread_mutex_unlock(&g->lock);
}

void gclock_fini(struct gclock *g)
{
	pthread_mutex_destroy(&g->lock);
}

void gclock_tick(struct gclock *g)
{
	struct gclock_sample s = sample();

	pthread_mutex_lock(&g->lock);
	if (s.tsc > g->base.tsc && s.mono > g->base.mono)
		g->cur = pvclock_reanchor(&g->cur, s.tsc, s.mono - g->mono0, s.mono - g->base.mono,
					  s.tsc - g->base.tsc);
	else /* the TSC was reset (host suspended): start the line anew */
		g->cur.tsc0 = s.tsc;
	g->seq++;
	if (s.mono - g->prev.mono > BASE_NS) {
		g->base = g->prev;
		g->prev = s;
	}
	pthread_mutex_unlock(&g->lock);
}

uint64_t gclock_now(struct gclock *g)
{
	uint64_t ns;

	pthread_mutex_lock(&g->lock);
	ns = pvclock_at(&g->cur, clock_tsc());
	pthread_mutex_unlock(&g->lock);
	return ns;
}

struct pvclock gclock_get(struct gclock *g, uint32_t *ret_seq)
{
	struct pvclock c;

	pthread_mutex_lock(&g->lock);
	c = g->cur;
	*ret_seq = g->seq;
	pthread_mutex_unlock(&g->lock);
	return c;
}

uint64_t gclock_to_mono(struct gclock *g, uint64_t ns)
{
	uint64_t now = gclock_now(g), mono = clock_mono_ns();

	if (ns <= now)
		return mono;
	return ns - now > UINT64_MAX - mono ? UINT64_MAX : mono + (ns - now);
}
