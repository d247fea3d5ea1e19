/* hv/domain/clock.h - guest system time as a linear function of the TSC.
 *
 * Guest time 0 is the domain's start; it runs with CLOCK_MONOTONIC.  The line
 * is re-anchored about once a second: it never jumps back, and its slope takes
 * up what the host's clock was slewed by.  The guest computes the same line
 * from the same numbers (pvclock, <xen/xen.h> vcpu_time_info), so its time and
 * our timers agree to the nanosecond.
 */
#ifndef HV_DOMAIN_CLOCK_H
#define HV_DOMAIN_CLOCK_H

#include <pthread.h>
#include <stdint.h>

/* ns = ns0 + (((tsc - tsc0) << shift) * mul >> 32) */
struct pvclock {
	uint64_t tsc0, ns0;
	uint32_t mul;
	int8_t shift;
};

struct gclock_sample {
	uint64_t tsc, mono;
};

struct gclock {
	pthread_mutex_t lock;
	struct pvclock cur;
	uint32_t seq;	/* counts re-anchorings */
	uint64_t mono0; /* CLOCK_MONOTONIC at guest time 0 */
	struct gclock_sample base, prev;
	uint64_t tsc_khz;
};

/* Pure parts, for tests. */
uint64_t pvclock_at(const struct pvclock *c, uint64_t tsc);
/* mul and shift for dns nanoseconds in dtsc ticks; both below 2^62, not 0. */
void pvclock_slope(struct pvclock *c, uint64_t dns, uint64_t dtsc);
/* The next line: continuous at s, aimed to meet the host's clock a second on.
 * host_ns: what guest time should be at s. */
struct pvclock pvclock_reanchor(const struct pvclock *c, uint64_t tsc, uint64_t host_ns,
				uint64_t rate_ns, uint64_t rate_tsc);

/* Two samples some milliseconds apart set the first slope. */
void gclock_init(struct gclock *g);  /* takes the first sample */
void gclock_start(struct gclock *g); /* takes the second; waits for 10 ms since the first */
void gclock_fini(struct gclock *g);
void gclock_tick(struct gclock *g); /* re-anchor */

uint64_t gclock_now(struct gclock *g);
struct pvclock gclock_get(struct gclock *g, uint32_t *ret_seq);
/* CLOCK_MONOTONIC when guest time will be ns. */
uint64_t gclock_to_mono(struct gclock *g, uint64_t ns);
uint64_t clock_tsc(void);

#endif
