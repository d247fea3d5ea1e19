/* backends/block/limit.c - buckets kept as one time stamp each.
 *
 * full_ns is when the bucket would be full again if nothing more came: taking n
 * tokens moves it by n/rate seconds.  The bucket is empty when full_ns is
 * `depth_ns` ahead, so the next request may start at full_ns - depth_ns.
 *
 *   rate 100/s, depth 50 ms, idle at t=0
 *   requests 1..5 at 0: full_ns = 10, 20 .. 50 ms, all start at 0
 *   the sixth at 0: full_ns 60 ms after it, but may start at 50 - 50 = 0 too
 *   the seventh starts at 60 - 50 = 10 ms, the eighth at 20 ms: 100 a second
 */
#include "backends/block/limit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"

#define SEC	    1000000000ull
#define COST_MAX_NS (1ull << 60) /* 36 years: sums of it stay in 64 bits */

struct bucket {
	uint64_t rate; /* tokens a second; 0: no limit */
	uint64_t depth_ns, full_ns;
	uint64_t rest; /* of the last division, in tokens * ns: nothing is rounded away */
};

/* A kind's sustained rate, and the rate of its bursts. */
struct pair {
	struct bucket sustained, peak;
};

struct limit_group {
	struct limit_group *next;
	struct limits *owner;
	char name[VBD_GROUP_MAX];
	unsigned users;
	pthread_mutex_t lock;
	bool any;	/* atomic: something is limited */
	uint32_t epoch; /* atomic */
	struct vbd_limits set;
	struct pair of[VBD_LIMIT_KINDS];
};

struct limits {
	pthread_mutex_t lock;
	struct limit_group *groups;
};

int limits_new(struct limits **ret)
{
	struct limits *l = sys_zalloc(sizeof(*l));

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	*ret = l;
	return 0;
}

struct limits *limits_free(struct limits *l)
{
	if (l)
		pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

int limit_get(struct limits *l, const char *name, struct limit_group **ret)
{
	struct limit_group *g;
	int r = 0;

	pthread_mutex_lock(&l->lock);
	for (g = l->groups; g; g = g->next)
		if (name[0] && strcmp(g->name, name) == 0)
			break;
	if (!g) {
		g = sys_zalloc(sizeof(*g));
		if (g) {
			pthread_mutex_init(&g->lock, NULL);
			g->owner = l;
			strncpy(g->name, name, sizeof(g->name) - 1);
			g->next = l->groups;
			l->groups = g;
		} else {
			r = -ENOMEM;
		}
	}
	if (g) {
		g->users++;
		*ret = g;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

struct limit_group *limit_put(struct limit_group *g)
{
	struct limits *l = g ? g->owner : NULL;

	if (!g)
		return NULL;
	pthread_mutex_lock(&l->lock);
	if (--g->users == 0) {
		struct limit_group **p = &l->groups;

		while (*p != g)
			p = &(*p)->next;
		*p = g->next;
		pthread_mutex_destroy(&g->lock);
		free(g);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* tokens * SEC / rate, carrying the rest. */
static uint64_t cost(struct bucket *b, uint64_t tokens)
{
	unsigned __int128 n = (unsigned __int128)tokens * SEC + b->rest;
	unsigned __int128 ns = n / b->rate;

	b->rest = (uint64_t)(n % b->rate);
	return ns > COST_MAX_NS ? COST_MAX_NS : (uint64_t)ns;
}

static void bucket_set(struct bucket *b, uint64_t rate, uint64_t extra, uint64_t now_ns)
{
	*b = (struct bucket){ .rate = rate, .full_ns = now_ns };
	if (rate)
		b->depth_ns = LIMIT_SLACK_NS + cost(b, extra);
	b->rest = 0;
}

void limit_set(struct limit_group *g, const struct vbd_limits *l, uint64_t now_ns)
{
	bool any = false;

	pthread_mutex_lock(&g->lock);
	if (memcmp(l->of, g->set.of, sizeof(l->of)) != 0 || l->size_iops != g->set.size_iops) {
		g->set = *l;
		for (unsigned k = 0; k < VBD_LIMIT_KINDS; k++) {
			const struct vbd_limit *o = &l->of[k];
			uint64_t extra = o->max ? (o->max - o->rate) * o->max_length : 0;

			bucket_set(&g->of[k].sustained, o->rate, extra, now_ns);
			bucket_set(&g->of[k].peak, o->max, 0, now_ns);
			any |= o->rate != 0;
		}
		__atomic_store_n(&g->any, any, __ATOMIC_RELAXED);
		__atomic_fetch_add(&g->epoch, 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&g->lock);
}

uint32_t limit_epoch(const struct limit_group *g)
{
	return __atomic_load_n(&g->epoch, __ATOMIC_ACQUIRE);
}

/* Pays; returns when it may start. */
static uint64_t take(struct bucket *b, uint64_t now_ns, uint64_t tokens)
{
	uint64_t start;

	if (!b->rate)
		return 0;
	start = b->full_ns > b->depth_ns ? b->full_ns - b->depth_ns : 0;
	if (b->full_ns < now_ns)
		b->full_ns = now_ns;
	if (b->full_ns < UINT64_MAX / 2)
		b->full_ns += cost(b, tokens);
	return start;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t limit_reserve(struct limit_group *g, uint64_t now_ns, bool write, uint64_t bytes)
{
	uint64_t start = now_ns, ops = 1;

	if (!__atomic_load_n(&g->any, __ATOMIC_RELAXED))
		return now_ns;
	pthread_mutex_lock(&g->lock);
	if (g->set.size_iops && bytes > g->set.size_iops)
		ops = (bytes - 1) / g->set.size_iops + 1;
	for (unsigned k = 0; k < VBD_LIMIT_KINDS; k++) {
		bool total = k == VBD_TOTAL_BYTES || k == VBD_TOTAL_IOPS;
		bool writes = k == VBD_WRITE_BYTES || k == VBD_WRITE_IOPS;
		uint64_t n = k <= VBD_WRITE_BYTES ? bytes : ops;

		if (total || writes == write) {
			start = later(start, take(&g->of[k].sustained, now_ns, n));
			start = later(start, take(&g->of[k].peak, now_ns, n));
		}
	}
	pthread_mutex_unlock(&g->lock);
	return start;
}
