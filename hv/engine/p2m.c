/* hv/engine/p2m.c - RAM bitmaps and a radix tree of overlays, read without locks.
 *
 * Nearly every lookup is of plain RAM, so one bit per RAM page answers it:
 * `plain` = present and not overlaid.  Everything else walks a four-level tree
 * keyed by 40 frame bits.  Readers never lock: a table, once linked, is neither
 * moved nor freed while the p2m lives, and an entry is one atomic word.  What a
 * guest can make us allocate is bounded by P2M_TABLES_MAX.
 */
#include "hv/engine/p2m.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "daemons/sys.h"

#define GFN_BITS   40u
#define LEVEL_BITS 10u
#define LEVELS	   4u
#define FANOUT	   (1u << LEVEL_BITS)
/* 16 MiB of tables: room for two million overlays side by side, or for 680
 * frames as far apart as a hostile guest can put them. */
#define P2M_TABLES_MAX 2048u

/* Leaf entries hold a page-aligned host address and enum p2m_flags below it. */
struct table {
	_Atomic(uintptr_t) e[FANOUT];
};

struct p2m {
	uint8_t *ram;
	uint64_t nr_pages;
	_Atomic(uint64_t) *present; /* one bit per RAM page */
	_Atomic(uint64_t) *plain;
	struct table *root;
	pthread_mutex_t lock; /* updaters only */
	unsigned nr_tables;
};

static unsigned level_index(uint64_t gfn, unsigned level)
{
	return (unsigned)(gfn >> (level * LEVEL_BITS)) & (FANOUT - 1);
}

/* RAM page number of a frame, or ~0. */
static uint64_t ram_index(const struct p2m *p, uint64_t gfn)
{
	uint64_t i;

	if (gfn < P2M_HOLE_GFN)
		i = gfn;
	else if (gfn >= P2M_HIGH_GFN)
		i = gfn - P2M_HIGH_GFN + P2M_HOLE_GFN;
	else
		return ~0ull;
	return i < p->nr_pages ? i : ~0ull;
}

static bool bit_get(const _Atomic(uint64_t) *map, uint64_t i)
{
	return atomic_load_explicit(&map[i / 64], memory_order_acquire) >> (i % 64) & 1;
}

static void bit_put(_Atomic(uint64_t) *map, uint64_t i, bool on)
{
	uint64_t m = 1ull << (i % 64);

	if (on)
		atomic_fetch_or_explicit(&map[i / 64], m, memory_order_release);
	else
		atomic_fetch_and_explicit(&map[i / 64], ~m, memory_order_release);
}

static _Atomic(uint64_t) *bitmap_new(uint64_t nr)
{
	uint64_t words = nr / 64 + 1;
	_Atomic(uint64_t) *map = sys_zalloc(words * sizeof(*map));

	if (!map)
		return NULL;
	for (uint64_t w = 0; w < nr / 64; w++)
		atomic_init(&map[w], ~0ull);
	atomic_init(&map[nr / 64], (1ull << (nr % 64)) - 1);
	return map;
}

int p2m_new(void *ram, uint64_t nr_pages, struct p2m **ret)
{
	struct p2m *p;

	if ((uintptr_t)ram % P2M_PAGE_SIZE ||
	    nr_pages > (1ull << GFN_BITS) - (P2M_HIGH_GFN - P2M_HOLE_GFN))
		return -EINVAL;
	p = sys_zalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->ram = ram;
	p->nr_pages = nr_pages;
	pthread_mutex_init(&p->lock, NULL);
	p->present = bitmap_new(nr_pages);
	p->plain = bitmap_new(nr_pages);
	p->root = sys_zalloc(sizeof(*p->root));
	if (!p->present || !p->plain || !p->root) {
		p2m_free(p);
		return -ENOMEM;
	}
	p->nr_tables = 1;
	*ret = p;
	return 0;
}

static void tables_free(struct table *t, unsigned level)
{
	if (t && level)
		for (unsigned i = 0; i < FANOUT; i++)
			tables_free((struct table *)atomic_load(&t->e[i]), level - 1);
	free(t);
}

struct p2m *p2m_free(struct p2m *p)
{
	if (!p)
		return NULL;
	tables_free(p->root, LEVELS - 1);
	free(p->present);
	free(p->plain);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

/* The leaf entry of a frame, or NULL where no table reaches down to it. */
static _Atomic(uintptr_t) *leaf_find(const struct p2m *p, uint64_t gfn)
{
	struct table *t = p->root;

	for (unsigned level = LEVELS - 1; level; level--) {
		t = (struct table *)atomic_load_explicit(&t->e[level_index(gfn, level)],
							 memory_order_acquire);
		if (!t)
			return NULL;
	}
	return &t->e[level_index(gfn, 0)];
}

/* As leaf_find(), building what is missing.  Under the lock. */
static int leaf_make(struct p2m *p, uint64_t gfn, _Atomic(uintptr_t) **ret)
{
	struct table *t = p->root;

	for (unsigned level = LEVELS - 1; level; level--) {
		_Atomic(uintptr_t) *e = &t->e[level_index(gfn, level)];
		struct table *next = (struct table *)atomic_load(e);

		if (!next) {
			if (p->nr_tables == P2M_TABLES_MAX)
				return -ENOSPC;
			next = sys_zalloc(sizeof(*next));
			if (!next)
				return -ENOMEM;
			p->nr_tables++;
			atomic_store_explicit(e, (uintptr_t)next, memory_order_release);
		}
		t = next;
	}
	*ret = &t->e[level_index(gfn, 0)];
	return 0;
}

/* A reader that finds `plain` clear looks at the tree, and, when it finds
 * nothing there, at `present`: so each single step below shows it either the
 * old state or the new one. */
static int overlay_locked(struct p2m *p, uint64_t gfn, uintptr_t val)
{
	uint64_t i = ram_index(p, gfn);
	_Atomic(uintptr_t) *e;
	int r;

	if (!val) {
		e = leaf_find(p, gfn);
		if (e)
			atomic_store_explicit(e, 0, memory_order_release);
		if (i != ~0ull && bit_get(p->present, i))
			bit_put(p->plain, i, true);
		return 0;
	}
	r = leaf_make(p, gfn, &e);
	if (r < 0)
		return r;
	atomic_store_explicit(e, val, memory_order_release);
	if (i != ~0ull)
		bit_put(p->plain, i, false);
	return 0;
}

int p2m_overlay(struct p2m *p, uint64_t gfn, void *page, unsigned flags)
{
	int r;

	if (gfn >> GFN_BITS || (uintptr_t)page % P2M_PAGE_SIZE || (flags & ~(unsigned)P2M_RO))
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	r = overlay_locked(p, gfn, page ? (uintptr_t)page | flags : 0);
	pthread_mutex_unlock(&p->lock);
	return r;
}

int p2m_set_present(struct p2m *p, uint64_t gfn, bool present)
{
	uint64_t i = ram_index(p, gfn);
	_Atomic(uintptr_t) *e;

	if (i == ~0ull)
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	e = leaf_find(p, gfn);
	bit_put(p->present, i, present);
	bit_put(p->plain, i, present && !(e && atomic_load(e)));
	pthread_mutex_unlock(&p->lock);
	return 0;
}

void *p2m_lookup(const struct p2m *p, uint64_t gfn, unsigned *ret_flags)
{
	uint64_t i = ram_index(p, gfn);
	const _Atomic(uintptr_t) *e;
	uintptr_t val = 0;

	if (i != ~0ull && bit_get(p->plain, i))
		goto ram;
	if (gfn >> GFN_BITS)
		return NULL;
	e = leaf_find(p, gfn);
	if (e)
		val = atomic_load_explicit(e, memory_order_acquire);
	if (val) {
		if (ret_flags)
			*ret_flags = val & P2M_RO;
		return (void *)(val & ~(uintptr_t)P2M_RO);
	}
	if (i == ~0ull || !bit_get(p->present, i))
		return NULL;
ram:
	if (ret_flags)
		*ret_flags = 0;
	return p->ram + i * P2M_PAGE_SIZE;
}

/* First page in [i, end) whose bit is clear, or end. */
static uint64_t plain_run_end(const struct p2m *p, uint64_t i, uint64_t end)
{
	while (i < end) {
		uint64_t w = atomic_load_explicit(&p->plain[i / 64], memory_order_acquire);
		uint64_t gap = ~w >> (i % 64);

		if (gap) {
			i += (unsigned)__builtin_ctzll(gap);
			break;
		}
		i = (i / 64 + 1) * 64;
	}
	return i < end ? i : end;
}

uint64_t p2m_span(const struct p2m *p, uint64_t gpa, uint64_t max, void **ret_host)
{
	uint64_t gfn = gpa / P2M_PAGE_SIZE, off = gpa % P2M_PAGE_SIZE;
	uint64_t i = ram_index(p, gfn), end, n;

	if (i == ~0ull || !max)
		return 0;
	end = p->nr_pages;
	if (i < P2M_HOLE_GFN && end > P2M_HOLE_GFN)
		end = P2M_HOLE_GFN;  /* the next RAM page is not the next frame */
	n = max / P2M_PAGE_SIZE + 2; /* pages that max bytes can touch */
	if (end - i > n)
		end = i + n;
	n = plain_run_end(p, i, end) - i;
	if (!n)
		return 0;
	n = n * P2M_PAGE_SIZE - off;
	*ret_host = p->ram + i * P2M_PAGE_SIZE + off;
	return n < max ? n : max;
}

uint64_t p2m_absent(const struct p2m *p, uint64_t w)
{
	uint64_t in_use = p->nr_pages - w * 64;

	return ~atomic_load_explicit(&p->present[w], memory_order_acquire) &
	       (in_use >= 64 ? ~0ull : (1ull << in_use) - 1);
}

uint64_t p2m_ram_pages(const struct p2m *p)
{
	return p->nr_pages;
}

void *p2m_ram(const struct p2m *p)
{
	return p->ram;
}

bool p2m_is_overlay(const struct p2m *p, uint64_t gfn)
{
	const _Atomic(uintptr_t) *e = gfn >> GFN_BITS ? NULL : leaf_find(p, gfn);

	return e && atomic_load_explicit(e, memory_order_acquire);
}

/* First non-zero entry at or after *gfn below table t, whose level is given. */
static uintptr_t next_entry(const struct table *t, unsigned level, uint64_t *gfn)
{
	uint64_t step = 1ull << (level * LEVEL_BITS);

	do {
		uintptr_t e =
			atomic_load_explicit(&t->e[level_index(*gfn, level)], memory_order_acquire);

		if (e && level)
			e = next_entry((const struct table *)e, level - 1, gfn);
		else if (!e)
			*gfn = (*gfn / step + 1) * step;
		if (e)
			return e;
	} while (level_index(*gfn, level)); /* 0: on to the table's neighbour */
	return 0;
}

void *p2m_next_overlay(const struct p2m *p, uint64_t *gfn, unsigned *ret_flags)
{
	uintptr_t e = *gfn >> GFN_BITS ? 0 : next_entry(p->root, LEVELS - 1, gfn);

	*ret_flags = e & P2M_RO;
	return (void *)(e & ~(uintptr_t)P2M_RO);
}
