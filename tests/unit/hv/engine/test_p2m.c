/* tests/unit/hv/engine/test_p2m.c - guest frames to host bytes, overlays and holes. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "daemons/sys.h"
#include "hv/engine/p2m.h"

static uint8_t *reserve(uint64_t pages)
{
	uint8_t *p = mmap(NULL, pages * P2M_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

/* Overlays near table borders, over RAM and far from it, some taken away again. */
static void a_walk_finds_the_overlays_a_naive_search_finds(void **state)
{
	static const uint64_t at[] = { 0,
				       1,
				       1023,
				       1024,
				       1048575,
				       1048576,
				       1048577,
				       1 << 29,
				       1 << 30,
				       (1ull << 30) + 1,
				       (1ull << 40) - 1 };
	enum { N = sizeof(at) / sizeof(at[0]) };
	uint8_t *ram = reserve(2048);
	struct p2m *p;

	(void)state;
	assert_int_equal(p2m_new(ram, 2048, &p), 0);
	assert_ptr_equal(p2m_ram(p), ram);
	for (unsigned set = 0; set < 1u << N; set += 37) {
		uint64_t gfn = 0;
		unsigned flags;

		for (unsigned i = 0; i < N; i++)
			assert_int_equal(p2m_overlay(p, at[i],
						     set >> i & 1 ? ram + i * P2M_PAGE_SIZE : NULL,
						     i & P2M_RO),
					 0);
		for (unsigned i = 0; i < N; i++) {
			assert_int_equal(p2m_is_overlay(p, at[i]), set >> i & 1);
			if (!(set >> i & 1))
				continue;
			assert_ptr_equal(p2m_next_overlay(p, &gfn, &flags),
					 ram + i * P2M_PAGE_SIZE);
			assert_int_equal(gfn, at[i]);
			assert_int_equal(flags, i & P2M_RO);
			gfn++;
		}
		assert_null(p2m_next_overlay(p, &gfn, &flags));
	}
	assert_false(p2m_is_overlay(p, 2));
	assert_false(p2m_is_overlay(p, 1ull << 40));
	p2m_free(p);
	munmap(ram, 2048 * P2M_PAGE_SIZE);
}

static void ram_splits_at_the_hole(void **state)
{
	uint64_t pages = P2M_HOLE_GFN + 5;
	uint8_t *ram = reserve(pages);
	struct p2m *p;
	unsigned fl = 7;
	void *host;

	assert_int_equal(p2m_new(ram, pages, &p), 0);
	assert_int_equal(p2m_ram_pages(p), pages);
	assert_ptr_equal(p2m_lookup(p, 0, &fl), ram);
	assert_int_equal(fl, 0);
	assert_ptr_equal(p2m_lookup(p, P2M_HOLE_GFN - 1, NULL),
			 ram + (P2M_HOLE_GFN - 1) * P2M_PAGE_SIZE);
	assert_null(p2m_lookup(p, P2M_HOLE_GFN, NULL));
	assert_null(p2m_lookup(p, P2M_HIGH_GFN - 1, NULL));
	assert_ptr_equal(p2m_lookup(p, P2M_HIGH_GFN, NULL), ram + P2M_HOLE_GFN * P2M_PAGE_SIZE);
	assert_non_null(p2m_lookup(p, P2M_HIGH_GFN + 4, NULL));
	assert_null(p2m_lookup(p, P2M_HIGH_GFN + 5, NULL));
	assert_null(p2m_lookup(p, ~0ull, NULL));
	assert_null(p2m_lookup(p, 1ull << 40, NULL));
	for (uint64_t i = P2M_HOLE_GFN - 2; i < pages; i++)
		assert_ptr_equal(p2m_lookup(p, p2m_ram_gfn(i), NULL), ram + i * P2M_PAGE_SIZE);

	/* a span never runs through the hole, nor past the end */
	assert_int_equal(p2m_span(p, 0x123, ~0ull, &host), P2M_HOLE_GFN * P2M_PAGE_SIZE - 0x123);
	assert_ptr_equal(host, ram + 0x123);
	assert_int_equal(p2m_span(p, P2M_HIGH_GFN << 12, 5, &host), 5);
	assert_int_equal(p2m_span(p, (P2M_HIGH_GFN << 12) + 1, ~0ull, &host),
			 5 * P2M_PAGE_SIZE - 1);
	assert_int_equal(p2m_span(p, P2M_HOLE_GFN << 12, 5, &host), 0);
	assert_int_equal(p2m_span(p, ~0ull, ~0ull, &host), 0);
	assert_int_equal(p2m_span(p, 0, 0, &host), 0);
	p2m_free(p);
	munmap(ram, pages * P2M_PAGE_SIZE);
}

static void an_overlay_hides_ram_and_gives_it_back(void **state)
{
	uint8_t *ram = reserve(100), *pg = reserve(2);
	struct p2m *p;
	unsigned fl = 0;
	void *host = NULL;

	assert_int_equal(p2m_new(ram, 100, &p), 0);
	assert_int_equal(p2m_overlay(p, 70, pg, P2M_RO), 0);
	assert_ptr_equal(p2m_lookup(p, 70, &fl), pg);
	assert_int_equal(fl, P2M_RO);
	assert_int_equal(p2m_span(p, 0, ~0ull, &host), 70 * P2M_PAGE_SIZE);
	assert_int_equal(p2m_span(p, 70 << 12, 1, &host), 0);
	assert_int_equal(p2m_span(p, 71 << 12, ~0ull, &host), 29 * P2M_PAGE_SIZE);

	/* ballooned out under an overlay: the overlay stays, RAM does not return */
	assert_int_equal(p2m_set_present(p, 70, false), 0);
	assert_ptr_equal(p2m_lookup(p, 70, NULL), pg);
	assert_int_equal(p2m_overlay(p, 70, NULL, 0), 0);
	assert_null(p2m_lookup(p, 70, NULL));
	assert_int_equal(p2m_set_present(p, 70, true), 0);
	assert_ptr_equal(p2m_lookup(p, 70, &fl), ram + 70 * P2M_PAGE_SIZE);
	assert_int_equal(fl, 0);
	assert_int_equal(p2m_span(p, 0, ~0ull, &host), 100 * P2M_PAGE_SIZE);

	/* frames outside RAM, up to the last one */
	assert_int_equal(p2m_overlay(p, 0x107fff, pg, 0), 0);
	assert_int_equal(p2m_overlay(p, (1ull << 40) - 1, pg + P2M_PAGE_SIZE, 0), 0);
	assert_ptr_equal(p2m_lookup(p, 0x107fff, NULL), pg);
	assert_null(p2m_lookup(p, 0x107ffe, NULL));
	assert_ptr_equal(p2m_lookup(p, (1ull << 40) - 1, NULL), pg + P2M_PAGE_SIZE);
	assert_int_equal(p2m_overlay(p, 0x107fff, NULL, 0), 0);
	assert_null(p2m_lookup(p, 0x107fff, NULL));
	p2m_free(p);
	munmap(pg, 2 * P2M_PAGE_SIZE);
	munmap(ram, 100 * P2M_PAGE_SIZE);
}

static void nonsense_is_refused(void **state)
{
	uint8_t *ram = reserve(2);
	struct p2m *p = NULL;

	assert_int_equal(p2m_new(ram + 16, 1, &p), -EINVAL);
	assert_int_equal(p2m_new(ram, 1ull << 40, &p), -EINVAL);
	assert_null(p);
	assert_int_equal(p2m_new(ram, 2, &p), 0);
	assert_int_equal(p2m_overlay(p, 1ull << 40, ram, 0), -EINVAL);
	assert_int_equal(p2m_overlay(p, ~0ull, ram, 0), -EINVAL);
	assert_int_equal(p2m_overlay(p, 5, ram + 8, 0), -EINVAL);
	assert_int_equal(p2m_overlay(p, 5, ram, 2), -EINVAL);
	assert_int_equal(p2m_set_present(p, 2, true), -EINVAL);
	assert_int_equal(p2m_set_present(p, P2M_HOLE_GFN, true), -EINVAL);
	assert_int_equal(p2m_set_present(p, ~0ull, false), -EINVAL);
	p2m_free(p);
	assert_null(p2m_free(NULL));
	munmap(ram, 2 * P2M_PAGE_SIZE);
}

/* A guest that scatters overlays can't make us allocate without end, and what
 * it had goes on working. */
static void scattered_overlays_hit_a_limit(void **state)
{
	uint8_t *ram = reserve(1);
	struct p2m *p;
	uint64_t n = 0;
	int r;

	assert_int_equal(p2m_new(ram, 1, &p), 0);
	do /* a new leaf table each time, and every 1024th a new one above it */
		r = p2m_overlay(p, ++n << 10, ram, 0);
	while (r == 0 && n < 100000);
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(p2m_overlay(p, 1ull << 10, NULL, 0), 0);
	assert_null(p2m_lookup(p, 1ull << 10, NULL));
	assert_int_equal(p2m_overlay(p, 1ull << 10 | 5, ram, 0), 0);
	assert_ptr_equal(p2m_lookup(p, 1ull << 10 | 5, NULL), ram);
	assert_null(p2m_lookup(p, (1ull << 40) - 1, NULL));
	p2m_free(p);
	munmap(ram, P2M_PAGE_SIZE);
}

static void every_allocation_may_fail(void **state)
{
	uint8_t *ram = reserve(1);
	struct p2m *p, *sentinel = (struct p2m *)(uintptr_t)1;
	long n;
	int r;

	for (n = 0;; n++) {
		p = sentinel;
		fault_arm(n, ENOMEM);
		r = p2m_new(ram, 1, &p);
		if (!fault_disarm())
			break;
		assert_int_equal(r, -ENOMEM);
		assert_ptr_equal(p, sentinel);
	}
	assert_int_equal(n, 4);
	for (n = 0;; n++) {
		fault_arm(n, ENOMEM);
		r = p2m_overlay(p, 0x12345, ram, 0);
		if (!fault_disarm())
			break;
		assert_int_equal(r, -ENOMEM);
		assert_null(p2m_lookup(p, 0x12345, NULL));
	}
	assert_int_equal(r, 0);
	assert_int_equal(n, 2); /* a table that was built stays for the next round */
	assert_ptr_equal(p2m_lookup(p, 0x12345, NULL), ram);
	p2m_free(p);
	munmap(ram, P2M_PAGE_SIZE);
}

/* The naive model: three arrays over a window that spans RAM and beyond. */
#define MODEL 512u
static void random_updates_match_a_naive_model(void **state)
{
	uint8_t *ram = reserve(300), *pg = reserve(4);
	void *over[MODEL] = { 0 };
	unsigned flags[MODEL] = { 0 };
	bool present[MODEL];
	struct p2m *p;

	srandom(7);
	for (unsigned i = 0; i < MODEL; i++)
		present[i] = i < 300;
	assert_int_equal(p2m_new(ram, 300, &p), 0);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned g = (unsigned)random() % MODEL, fl = 0, run = 0;
		void *host = NULL, *want;

		if (random() & 1) {
			over[g] = random() & 1 ? pg + (random() & 3) * P2M_PAGE_SIZE : NULL;
			flags[g] = over[g] ? random() & P2M_RO : 0;
			assert_int_equal(p2m_overlay(p, g, over[g], flags[g]), 0);
		} else if (g < 300) {
			present[g] = random() & 3;
			assert_int_equal(p2m_set_present(p, g, present[g]), 0);
		}
		g = (unsigned)random() % MODEL;
		want = over[g] ? over[g] : present[g] ? ram + g * P2M_PAGE_SIZE : NULL;
		assert_ptr_equal(p2m_lookup(p, g, &fl), want);
		if (want)
			assert_int_equal(fl, flags[g]);
		while (g + run < MODEL && present[g + run] && !over[g + run])
			run++;
		assert_int_equal(p2m_span(p, g * 4096ull, ~0ull, &host), run * 4096ull);
		g = (unsigned)random() % 300;
		assert_int_equal(p2m_absent(p, g / 64) >> g % 64 & 1, !present[g]);
	}
	assert_int_equal(p2m_absent(p, 300 / 64) >> 300 % 64, 0);
	p2m_free(p);
	munmap(pg, 4 * P2M_PAGE_SIZE);
	munmap(ram, 300 * P2M_PAGE_SIZE);
}

struct race {
	struct p2m *p;
	uint8_t *ram, *pg;
	atomic_bool stop;
	atomic_ulong bad, looked;
};

static void *race_reader(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		uint8_t *h = p2m_lookup(r->p, 3, NULL);

		if (h != r->ram + 3 * P2M_PAGE_SIZE && h != r->pg)
			atomic_fetch_add(&r->bad, 1);
		atomic_fetch_add(&r->looked, 1);
	}
	return NULL;
}

/* Page 3 flips between RAM and an overlay, never to nothing. */
static void a_reader_sees_the_old_page_or_the_new_one(void **state)
{
	struct race r = { .ram = reserve(8), .pg = reserve(1) };
	pthread_t t;

	assert_int_equal(p2m_new(r.ram, 8, &r.p), 0);
	assert_int_equal(pthread_create(&t, NULL, race_reader, &r), 0);
	while (atomic_load(&r.looked) < 1000)
		;
	for (unsigned i = 0; i < 50000; i++)
		assert_int_equal(p2m_overlay(r.p, 3, i & 1 ? NULL : r.pg, 0), 0);
	atomic_store(&r.stop, true);
	pthread_join(t, NULL);
	assert_int_equal(atomic_load(&r.bad), 0);
	p2m_free(r.p);
	munmap(r.pg, P2M_PAGE_SIZE);
	munmap(r.ram, 8 * P2M_PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram_splits_at_the_hole),
		cmocka_unit_test(an_overlay_hides_ram_and_gives_it_back),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(scattered_overlays_hit_a_limit),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(random_updates_match_a_naive_model),
		cmocka_unit_test(a_walk_finds_the_overlays_a_naive_search_finds),
		cmocka_unit_test(a_reader_sees_the_old_page_or_the_new_one),
	};

	return cmocka_run_group_tests_name("hv/engine/p2m", tests, NULL, NULL);
}
