/* backends/net/credit.c - a bucket that is filled in steps, as Linux's netback does it.
 *
 * rate 1,000,000 bytes each 50,000 us, at 0.00 s, 3 MB to send:
 *   0.00 s  1 MB of credit, sent;  0.05 s  another;  0.10 s  the third
 * A guest that was quiet for an hour finds one step's worth, not an hour's.
 */
#include "backends/net/credit.h"

#include <errno.h>
#include <stddef.h>

/* Digits only, no sign, no blank; -EINVAL if there are none or too many. */
static int number(const char **s, uint64_t max, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > max)
			return -EINVAL;
	}
	*s = p;
	*ret = v;
	return 0;
}

int credit_parse(const char *s, struct credit_rate *ret)
{
	struct credit_rate c = { 0, 0 };
	int r = 0;

	if (s && *s) {
		r = number(&s, UINT64_C(1) << 40, &c.bytes);
		if (r == 0)
			r = *s++ == ',' ? number(&s, UINT32_MAX, &c.usecs) : -EINVAL;
		if (r == 0 && *s)
			r = -EINVAL;
		/* Both or none: bytes in no time, or none ever, is a mistake. */
		if (r == 0 && (c.bytes == 0) != (c.usecs == 0))
			r = -EINVAL;
	}
	if (r == 0)
		*ret = c;
	return r;
}

void credit_init(struct credit *c)
{
	*c = (struct credit){ .lock = PTHREAD_MUTEX_INITIALIZER };
}

void credit_fini(struct credit *c)
{
	pthread_mutex_destroy(&c->lock);
}

void credit_set(struct credit *c, const struct credit_rate *rate, uint64_t now_ns)
{
	pthread_mutex_lock(&c->lock);
	if (c->rate.bytes != rate->bytes || c->rate.usecs != rate->usecs) {
		c->rate = *rate;
		c->left = rate->bytes;
		c->next_ns = now_ns + rate->usecs * 1000;
		__atomic_store_n(&c->limited, rate->bytes != 0, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&c->lock);
}

static void refill(struct credit *c, uint64_t now_ns)
{
	uint64_t step_ns = c->rate.usecs * 1000, steps, burst;

	if (now_ns < c->next_ns)
		return;
	steps = (now_ns - c->next_ns) / step_ns + 1;
	burst = c->rate.bytes > CREDIT_BURST_MIN ? c->rate.bytes : CREDIT_BURST_MIN;
	c->next_ns += steps * step_ns;
	/* Not multiplied before it is known to be small. */
	c->left += steps > burst / c->rate.bytes ? burst : steps * c->rate.bytes;
	if (c->left > burst)
		c->left = burst;
}

uint64_t credit_take(struct credit *c, uint32_t bytes, uint64_t now_ns)
{
	uint64_t wait = 0;

	if (!__atomic_load_n(&c->limited, __ATOMIC_RELAXED))
		return 0;
	pthread_mutex_lock(&c->lock);
	if (c->rate.bytes) {
		refill(c, now_ns);
		if (c->left >= bytes)
			c->left -= bytes;
		else
			wait = c->next_ns;
	}
	pthread_mutex_unlock(&c->lock);
	return wait;
}
