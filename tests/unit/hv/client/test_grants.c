/* tests/unit/hv/client/test_grants.c - grants of well-behaved and of hostile
 * guests, on tables written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/xen.h>
#include <xen/grant_table.h>

#include "daemons/sys.h"
#include "hv/client/grants.h"
#include "proto/hv_layout.h"

#define RAM_PAGES 64u
#define FRAMES	  2u
#define REFS	  (FRAMES * P2M_PAGE_SIZE / sizeof(struct grant_entry_v1))

struct world {
	int ram_fd, gnt_fd;
	uint8_t *ram;
	struct grant_entry_v1 *t;
	struct hvc_guest *g;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->ram_fd = sys_memfd("ram", RAM_PAGES * P2M_PAGE_SIZE);
	w->gnt_fd = sys_memfd("gnttab", FRAMES * P2M_PAGE_SIZE);
	w->ram = mmap(NULL, RAM_PAGES * P2M_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      w->ram_fd, 0);
	w->t = mmap(NULL, FRAMES * P2M_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w->gnt_fd, 0);
	*state = w;
	return grants_open(w->ram_fd, RAM_PAGES, w->gnt_fd, FRAMES, &w->g);
}

static int teardown(void **state)
{
	struct world *w = *state;

	hvc_guest_close(w->g);
	munmap(w->ram, RAM_PAGES * P2M_PAGE_SIZE);
	munmap(w->t, FRAMES * P2M_PAGE_SIZE);
	close(w->ram_fd);
	close(w->gnt_fd);
	free(w);
	return 0;
}

static void grant(struct world *w, uint32_t ref, uint16_t flags, uint16_t domid, uint32_t frame)
{
	w->t[ref].frame = frame;
	w->t[ref].domid = domid;
	__atomic_store_n(&w->t[ref].flags, flags, __ATOMIC_RELEASE);
}

static void a_grant_shows_the_guests_own_page(void **state)
{
	struct world *w = *state;
	uint8_t *p;
	void *page;

	w->ram[5 * P2M_PAGE_SIZE + 7] = 0x42;
	grant(w, 9, GTF_permit_access, 0, 5);
	assert_int_equal(hvc_grant_map(w->g, 9, true, &page), 0);
	p = page;
	assert_int_equal(p[7], 0x42);
	p[8] = 0x43;
	assert_int_equal(w->ram[5 * P2M_PAGE_SIZE + 8], 0x43);
	hvc_grant_unmap(w->g, 9, true, page);
}

static void the_flags_tell_the_guest_who_uses_its_page(void **state)
{
	struct world *w = *state;
	void *a, *b;

	grant(w, 9, GTF_permit_access, 0, 5);
	assert_int_equal(hvc_grant_map(w->g, 9, false, &a), 0);
	assert_int_equal(w->t[9].flags, GTF_permit_access | GTF_reading);
	assert_int_equal(hvc_grant_map(w->g, 9, true, &b), 0);
	assert_int_equal(w->t[9].flags, GTF_permit_access | GTF_reading | GTF_writing);
	hvc_grant_unmap(w->g, 9, true, b);
	assert_int_equal(w->t[9].flags, GTF_permit_access | GTF_reading);
	hvc_grant_unmap(w->g, 9, false, a);
	assert_int_equal(w->t[9].flags, GTF_permit_access);
}

static void what_is_not_granted_to_dom0_is_refused(void **state)
{
	static const struct {
		uint16_t flags, domid;
		uint32_t frame;
		bool write;
		int r;
	} cases[] = {
		{ GTF_invalid, 0, 5, false, -EINVAL },
		{ GTF_accept_transfer, 0, 5, false, -EINVAL },
		{ GTF_transitive, 0, 5, false, -EINVAL },
		{ GTF_permit_access, 1, 5, false, -EINVAL },
		{ GTF_permit_access, 0x7ff0, 5, false, -EINVAL },
		{ GTF_permit_access | GTF_readonly, 0, 5, true, -EINVAL },
		{ GTF_permit_access | GTF_readonly, 0, 5, false, 0 },
		{ GTF_permit_access | GTF_sub_page, 0, 5, false, -EINVAL },
		{ GTF_permit_access, 0, RAM_PAGES - 1, true, 0 },
		{ GTF_permit_access, 0, RAM_PAGES, true, -EFAULT },
		{ GTF_permit_access, 0, 0xf0000, true, -EFAULT },
		{ GTF_permit_access, 0, 0xfefff, true, -EFAULT },
		{ GTF_permit_access, 0, 0x100000, true, -EFAULT },
		{ GTF_permit_access, 0, 0xffffffff, true, -EFAULT },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		void *sentinel = &w, *page = sentinel;

		grant(w, 20, cases[i].flags, cases[i].domid, cases[i].frame);
		assert_int_equal(hvc_grant_map(w->g, 20, cases[i].write, &page), cases[i].r);
		if (cases[i].r == 0)
			hvc_grant_unmap(w->g, 20, cases[i].write, page);
		else
			assert_ptr_equal(page, sentinel);
		assert_int_equal(w->t[20].flags, cases[i].flags); /* no bit stays behind */
	}
}

static void refs_end_with_the_table(void **state)
{
	struct world *w = *state;
	void *page;

	grant(w, REFS - 1, GTF_permit_access, 0, 1);
	assert_int_equal(hvc_grant_map(w->g, REFS - 1, true, &page), 0);
	hvc_grant_unmap(w->g, REFS - 1, true, page);
	assert_int_equal(hvc_grant_map(w->g, REFS, true, &page), -EINVAL);
	assert_int_equal(hvc_grant_map(w->g, UINT32_MAX, true, &page), -EINVAL);
}

static void a_frame_changed_behind_our_back_does_not_unbalance_anything(void **state)
{
	struct world *w = *state;
	void *a, *b;

	grant(w, 3, GTF_permit_access, 0, 5);
	assert_int_equal(hvc_grant_map(w->g, 3, true, &a), 0);
	w->t[3].frame = UINT32_MAX; /* while mapped: the guest breaks the rules */
	assert_int_equal(hvc_grant_map(w->g, 3, true, &b), -EFAULT);
	/* The failed one must not end the first one's hold. */
	assert_int_equal(w->t[3].flags, GTF_permit_access | GTF_reading | GTF_writing);
	w->t[3].flags = 0;
	hvc_grant_unmap(w->g, 3, true, a);
	assert_int_equal(w->t[3].flags, 0);
}

static void high_frames_continue_after_the_hole(void **state)
{
	uint64_t pages = P2M_HOLE_GFN + 2;
	int ram = sys_memfd("big", pages * P2M_PAGE_SIZE); /* sparse: costs nothing */
	struct world *w = *state;
	struct hvc_guest *g;
	uint8_t byte = 0x77;
	void *page;

	assert_true(ram >= 0);
	assert_int_equal(grants_open(ram, pages, w->gnt_fd, FRAMES, &g), 0);
	assert_int_equal(pwrite(ram, &byte, 1, (off_t)((P2M_HOLE_GFN + 1) * P2M_PAGE_SIZE)), 1);
	grant(w, 1, GTF_permit_access, 0, P2M_HIGH_GFN + 1);
	assert_int_equal(hvc_grant_map(g, 1, false, &page), 0);
	assert_int_equal(*(uint8_t *)page, 0x77);
	hvc_grant_unmap(g, 1, false, page);
	grant(w, 1, GTF_permit_access, 0, P2M_HIGH_GFN + 2);
	assert_int_equal(hvc_grant_map(g, 1, false, &page), -EFAULT);
	grant(w, 1, GTF_permit_access, 0, P2M_HOLE_GFN);
	assert_int_equal(hvc_grant_map(g, 1, false, &page), -EFAULT);
	hvc_guest_close(g);
	close(ram);
}

/* The guest's side, as Linux ends a grant: retry while a bit of ours is set. */
struct racer {
	struct world *w;
	unsigned ended, busy;
	bool stop;
};

static void *guest_thread(void *arg)
{
	struct racer *r = arg;
	uint16_t *flags = &r->w->t[30].flags;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		uint16_t f = __atomic_load_n(flags, __ATOMIC_ACQUIRE);

		if (f & (GTF_reading | GTF_writing)) {
			r->busy++;
			continue;
		}
		if (__atomic_compare_exchange_n(flags, &f, 0, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			r->ended++;
			__atomic_store_n(flags, GTF_permit_access, __ATOMIC_RELEASE);
		}
	}
	return NULL;
}

static void a_grant_is_never_ended_while_it_is_mapped(void **state)
{
	struct world *w = *state;
	struct racer r = { .w = w };
	pthread_t t;
	unsigned held = 0;

	grant(w, 30, GTF_permit_access, 0, 4);
	assert_int_equal(pthread_create(&t, NULL, guest_thread, &r), 0);
	for (unsigned i = 0; i < 20000; i++) {
		void *page;

		if (hvc_grant_map(w->g, 30, true, &page) < 0)
			continue;
		held++;
		for (int spin = 0; spin < 20; spin++)
			assert_int_equal(__atomic_load_n(&w->t[30].flags, __ATOMIC_ACQUIRE),
					 GTF_permit_access | GTF_reading | GTF_writing);
		hvc_grant_unmap(w->g, 30, true, page);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_true(held > 0);
}

static void memfds_smaller_than_promised_are_refused(void **state)
{
	struct world *w = *state;
	struct hvc_guest *g = w->g;

	assert_int_equal(grants_open(w->ram_fd, RAM_PAGES + 1, w->gnt_fd, FRAMES, &g), -EINVAL);
	assert_int_equal(grants_open(w->ram_fd, RAM_PAGES, w->gnt_fd, FRAMES + 1, &g), -EINVAL);
	assert_int_equal(grants_open(w->ram_fd, RAM_PAGES, w->gnt_fd, GNTTAB_MAX_FRAMES + 1, &g),
			 -EINVAL);
	assert_int_equal(grants_open(w->ram_fd, UINT64_MAX, w->gnt_fd, FRAMES, &g), -EINVAL);
	assert_int_equal(grants_open(w->ram_fd, 0, w->gnt_fd, FRAMES, &g), -EINVAL);
	assert_ptr_equal(g, w->g);
}

static void opening_survives_every_fault(void **state)
{
	struct world *w = *state;
	struct hvc_guest *sentinel = (struct hvc_guest *)(uintptr_t)1, *g;
	long n;
	int r;

	for (n = 0;; n++) {
		g = sentinel;
		fault_arm(n, ENOMEM);
		r = grants_open(w->ram_fd, RAM_PAGES, w->gnt_fd, FRAMES, &g);
		if (!fault_disarm())
			break;
		assert_int_equal(r, -ENOMEM);
		assert_ptr_equal(g, sentinel);
	}
	assert_int_equal(r, 0);
	assert_int_equal(n, 4);
	hvc_guest_close(g);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_grant_shows_the_guests_own_page),
		T(the_flags_tell_the_guest_who_uses_its_page),
		T(what_is_not_granted_to_dom0_is_refused),
		T(refs_end_with_the_table),
		T(a_frame_changed_behind_our_back_does_not_unbalance_anything),
		T(high_frames_continue_after_the_hole),
		T(a_grant_is_never_ended_while_it_is_mapped),
		T(memfds_smaller_than_promised_are_refused),
		T(opening_survives_every_fault),
	};

	return cmocka_run_group_tests_name("grants", tests, NULL, NULL);
}
