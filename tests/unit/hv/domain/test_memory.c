/* memory_op and grant_table_op: placing pages, ballooning, own grants (E5-E8,
 * E10, E11). */
#include "tests/unit/hv/domain/world.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/vcpu.h>

#define MEM __HYPERVISOR_memory_op
#define GNT __HYPERVISOR_grant_table_op

static struct world w;

static int up(void **state)
{
	world_init(&w, 2);
	return 0;
}

static int down(void **state)
{
	world_fini(&w);
	return 0;
}

static int64_t add(unsigned space, uint64_t idx, uint64_t gfn)
{
	struct xen_add_to_physmap a = {
		.domid = DOMID_SELF, .space = space, .idx = idx, .gpfn = gfn
	};

	return world_op(&w, 0, MEM, XENMEM_add_to_physmap, &a, sizeof(a));
}

static int64_t forget(uint64_t gfn)
{
	struct xen_remove_from_physmap a = { .domid = DOMID_SELF, .gpfn = gfn };

	return world_op(&w, 0, MEM, XENMEM_remove_from_physmap, &a, sizeof(a));
}

/* nr extents of gfn list at ARG + 4096. */
static int64_t reserve(unsigned op, const uint64_t *gfns, uint64_t nr, unsigned order)
{
	struct xen_memory_reservation a = { .nr_extents = nr,
					    .extent_order = order,
					    .domid = DOMID_SELF };
	uint64_t list = ARG + 4096;

	memcpy(&a.extent_start, &list, sizeof(list));
	if (gfns)
		memcpy(w.ram + list, gfns, nr * 8);
	return world_op(&w, 0, MEM, op, &a, sizeof(a));
}

static uint64_t blocks(void)
{
	struct stat st;

	assert_int_equal(fstat(w.cfg.ram_fd, &st), 0);
	return (uint64_t)st.st_blocks / 8;
}

static void shared_info_goes_anywhere_and_is_in_one_place(void **state)
{
	uint8_t *ram_page = w.ram + 0x10 * 4096;
	void *page;

	strcpy((char *)ram_page, "covered");
	assert_int_equal(add(XENMAPSPACE_shared_info, 0, 0x10), 0);
	page = world_page(&w, 0x10);
	assert_ptr_not_equal(page, NULL);
	assert_string_not_equal(page, "covered");
	assert_int_equal(add(XENMAPSPACE_shared_info, 0, 0x107fff), 0); /* outside RAM */
	assert_ptr_equal(world_page(&w, 0x107fff), page);
	assert_string_equal(world_page(&w, 0x10), "covered");
	assert_int_equal(forget(0x107fff), 0);
	assert_null(world_page(&w, 0x107fff));
	assert_int_equal(forget(0x107fff), -EINVAL);
	assert_int_equal(add(XENMAPSPACE_shared_info, 1, 0x10), -EINVAL);
	assert_int_equal(add(XENMAPSPACE_shared_info, 0, 1ull << 40), -EINVAL);
	assert_int_equal(add(XENMAPSPACE_shared_info, 0, UINT64_MAX), -EINVAL);
}

/* E11: over its own kernel, ring pages, another of these pages. */
static void a_guest_may_cover_its_own_pages(void **state)
{
	assert_int_equal(add(XENMAPSPACE_shared_info, 0, WORLD_ENTRY / 4096), 0);
	assert_int_equal(add(XENMAPSPACE_shared_info, 0, SPECIAL_GFN_CONSOLE), 0);
	assert_ptr_not_equal(world_page(&w, SPECIAL_GFN_CONSOLE), w.special + 4096);
	assert_int_equal(add(XENMAPSPACE_grant_table, 0, SPECIAL_GFN_CONSOLE), 0);
	assert_int_equal(add(XENMAPSPACE_shared_info, 0, 0x20), 0);
	/* The grant frame was left alone by shared_info's move. */
	assert_non_null(world_page(&w, SPECIAL_GFN_CONSOLE));
}

static void grant_frames_are_placed_up_to_the_limit(void **state)
{
	uint32_t *first;

	assert_int_equal(add(XENMAPSPACE_grant_table, 0, 0x200000), 0);
	first = world_page(&w, 0x200000);
	/* What the toolstack seeds: console and XenStore pages for dom0. */
	assert_int_equal(first[0], GTF_permit_access);
	assert_int_equal(first[1], SPECIAL_GFN_CONSOLE);
	assert_int_equal(first[2], GTF_permit_access);
	assert_int_equal(first[3], SPECIAL_GFN_STORE);
	assert_memory_equal(first, w.gnttab, 64);
	assert_int_equal(add(XENMAPSPACE_grant_table, 63, 0x200001), 0);
	assert_int_equal(add(XENMAPSPACE_grant_table, 64, 0x200002), -EINVAL);
	assert_int_equal(add(XENMAPSPACE_grant_table, 0x80000000, 0x200002), -EINVAL);
	assert_int_equal(add(XENMAPSPACE_grant_table, UINT64_MAX, 0x200002), -EINVAL);
	for (unsigned space = 2; space < 8; space++)
		assert_int_equal(add(space, 0, 0x200003), -EINVAL);
}

static void only_its_own_memory_is_a_guests_to_change(void **state)
{
	struct xen_add_to_physmap a = { .domid = 0, .gpfn = 0x10 };
	struct xen_memory_reservation r = { .domid = 3, .nr_extents = 1 };
	uint16_t dom = 3;

	assert_int_equal(world_op(&w, 0, MEM, XENMEM_add_to_physmap, &a, sizeof(a)), -EPERM);
	assert_int_equal(world_op(&w, 0, MEM, XENMEM_decrease_reservation, &r, sizeof(r)), -EPERM);
	assert_int_equal(world_op(&w, 0, MEM, XENMEM_current_reservation, &dom, 2), -EPERM);
	dom = 7; /* its own number is itself */
	assert_int_equal(world_op(&w, 0, MEM, XENMEM_current_reservation, &dom, 2), WORLD_PAGES);
}

static void a_batch_places_each_page_and_reports_each_error(void **state)
{
	struct {
		uint16_t domid, space, size, foreign;
		uint64_t idxs, gpfns, errs;
	} a = { DOMID_SELF, XENMAPSPACE_grant_table, 300, 0, ARG + 4096, ARG + 8192, ARG + 16384 };
	uint64_t idx[300], gfn[300];
	const int32_t *err = (int32_t *)(w.ram + ARG + 16384);

	for (unsigned i = 0; i < 300; i++) {
		idx[i] = i;
		gfn[i] = 0x300000 + i;
	}
	memcpy(w.ram + ARG + 4096, idx, sizeof(idx));
	memcpy(w.ram + ARG + 8192, gfn, sizeof(gfn));
	assert_int_equal(world_op(&w, 0, MEM, XENMEM_add_to_physmap_batch, &a, sizeof(a)), 0);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(err[i], i < 64 ? 0 : -EINVAL);
		assert_int_equal(world_page(&w, gfn[i]) != NULL, i < 64);
	}
	a.space = XENMAPSPACE_gmfn_foreign;
	assert_int_equal(world_op(&w, 0, MEM, XENMEM_add_to_physmap_batch, &a, sizeof(a)), -EPERM);
}

static void ballooned_pages_go_back_to_the_host(void **state)
{
	struct domain_stats s;
	uint64_t gfn[512], before;

	memset(w.ram + 0x400 * 4096, 1, 512 * 4096);
	for (unsigned i = 0; i < 512; i++)
		gfn[i] = 0x400 + i;
	memset(w.ram + ARG, 0, 3 * 4096); /* arguments take pages too */
	before = blocks();
	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn, 512, 0), 512);
	assert_int_equal(blocks(), before - 512);
	assert_null(world_page(&w, 0x400));
	assert_null(world_page(&w, 0x5ff));
	assert_non_null(world_page(&w, 0x600));
	domain_stats(w.d, &s);
	assert_int_equal(s.pages, WORLD_PAGES - 512);
	/* Twice: the first one that is gone already ends it. */
	gfn[0] = 0x600;
	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn, 512, 0), 1);
	gfn[0] = 0x400;
	assert_int_equal(reserve(XENMEM_populate_physmap, gfn, 512, 0), 512);
	assert_non_null(world_page(&w, 0x400));
	assert_int_equal(*(uint8_t *)world_page(&w, 0x400), 0);
	domain_stats(w.d, &s);
	assert_int_equal(s.pages, WORLD_PAGES - 1);
}

static void a_guest_that_reached_its_target_counts_as_what_it_has(void **state)
{
	struct domain_stats s;
	uint64_t gfn[100];

	world_fini(&w);
	world_init_at(&w, 1, WORLD_PAGES - 60);
	for (unsigned i = 0; i < 100; i++)
		gfn[i] = 0x400 + i;
	domain_stats(w.d, &s);
	assert_int_equal(s.pages, WORLD_PAGES - 60);
	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn, 50, 0), 50);
	domain_stats(w.d, &s);
	assert_int_equal(s.pages, WORLD_PAGES - 60);
	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn + 50, 50, 0), 50);
	domain_stats(w.d, &s);
	assert_int_equal(s.pages, WORLD_PAGES - 100);
	assert_int_equal(reserve(XENMEM_populate_physmap, gfn, 80, 0), 80);
	domain_stats(w.d, &s);
	assert_int_equal(s.pages, WORLD_PAGES - 20);
}

static void populate_stops_at_the_cap(void **state)
{
	uint64_t gfn[100];

	for (unsigned i = 0; i < 100; i++)
		gfn[i] = 0x400 + i;
	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn, 100, 0), 100);
	assert_int_equal(domain_set_max_pages(w.d, WORLD_PAGES - 60), 0);
	assert_int_equal(reserve(XENMEM_populate_physmap, gfn, 100, 0), 40);
	assert_int_equal(domain_set_max_pages(w.d, 0), -EINVAL);
	assert_int_equal(domain_set_max_pages(w.d, WORLD_PAGES + 1), -EINVAL);
	assert_int_equal(domain_set_max_pages(w.d, WORLD_PAGES), 0);
	assert_int_equal(reserve(XENMEM_populate_physmap, gfn, 100, 0), 100);
	gfn[1] = WORLD_PAGES; /* no memory of ours could be there */
	assert_int_equal(reserve(XENMEM_populate_physmap, gfn, 100, 0), 1);
	gfn[1] = UINT64_MAX;
	assert_int_equal(reserve(XENMEM_populate_physmap, gfn, 100, 0), 1);
}

static void large_extents_are_aligned_and_bounded(void **state)
{
	uint64_t gfn[2] = { 0x600, 0x801 };

	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn, 2, 9), 1);
	assert_null(world_page(&w, 0x600));
	assert_null(world_page(&w, 0x7ff));
	assert_int_equal(reserve(XENMEM_populate_physmap, gfn, 1, 9), 1);
	assert_non_null(world_page(&w, 0x7ff));
	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn, 1, 10), 0);
	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn, 1, UINT32_MAX), 0);
}

static void an_endless_list_ends_where_memory_does(void **state)
{
	/* The list runs from ARG to the end of RAM, all zero: page 0, again and again. */
	memset(w.ram + ARG + 4096, 0, (WORLD_PAGES * 4096ull) - ARG - 4096);
	assert_int_equal(reserve(XENMEM_populate_physmap, NULL, UINT64_MAX >> 6, 0),
			 (WORLD_PAGES * 4096ull - ARG - 4096) / 8);
	assert_int_equal(reserve(XENMEM_populate_physmap, NULL, UINT64_MAX, 0), 0);
}

/* E10: what the domain itself uses. */
static void giving_away_pages_in_use_hurts_only_the_guest(void **state)
{
	struct vcpu_register_vcpu_info a = { .mfn = 0x700 };
	struct evtchn_bind_ipi ipi = { .vcpu = 0 };
	uint64_t gfn[] = { 0x700, SPECIAL_GFN_STORE, SPECIAL_GFN_CONSOLE, 0x200000, 0xfc000 };

	memcpy(w.ram + ARG, &a, sizeof(a));
	assert_int_equal(world_call(&w, 0, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARG),
			 0);
	assert_int_equal(add(XENMAPSPACE_grant_table, 0, 0x200000), 0);
	assert_int_equal(reserve(XENMEM_decrease_reservation, gfn, 5, 0), 5);
	for (unsigned i = 0; i < 5; i++)
		assert_null(world_page(&w, gfn[i]));
	assert_int_equal(world_op(&w, 0, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &ipi,
				  sizeof(ipi)),
			 0);
	assert_int_equal(
		world_op(&w, 0, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &ipi.port, 4), 0);
	assert_int_equal(add(XENMAPSPACE_grant_table, 0, 0x200000), 0);
	assert_non_null(world_page(&w, 0x200000));
}

static void memory_questions_are_answered(void **state)
{
	struct {
		uint32_t nr, pad;
		uint64_t buffer;
	} a = { 5, 0, ARG + 4096 };
	uint16_t dom = DOMID_SELF;

	assert_int_equal(world_op(&w, 0, MEM, XENMEM_memory_map, &a, sizeof(a)), 0);
	assert_int_equal(a.nr, 1);
	assert_int_equal(*(uint64_t *)(w.ram + ARG + 4104), WORLD_PAGES * 4096ull);
	a.nr = 0;
	assert_int_equal(world_op(&w, 0, MEM, XENMEM_memory_map, &a, sizeof(a)), 0);
	assert_int_equal(a.nr, 0);
	assert_int_equal(world_op(&w, 0, MEM, XENMEM_maximum_reservation, &dom, 2), WORLD_PAGES);
	assert_int_equal(world_op(&w, 0, MEM, XENMEM_maximum_gpfn, &dom, 2), WORLD_PAGES - 1);
	assert_int_equal(world_call(&w, 0, MEM, 11, ARG, 0), -ENOSYS);
	assert_int_equal(world_call(&w, 0, MEM, 63, ARG, 0), -ENOSYS);
	for (unsigned op = 0; op < 64; op++) {
		int64_t r = world_call(&w, 0, MEM, op, UINT64_MAX - 7, 0);

		assert_true(r == -EFAULT || r == -ENOSYS);
	}
}

/* ---- grants ---- */

static grant_entry_v1_t *entry(unsigned ref)
{
	return (grant_entry_v1_t *)w.gnttab + ref;
}

static void grant(unsigned ref, uint16_t flags, uint32_t gfn)
{
	*entry(ref) = (grant_entry_v1_t){ .flags = flags, .domid = 7, .frame = gfn };
}

static int64_t gnt(unsigned op, void *a, size_t n, unsigned count)
{
	int64_t r;

	memcpy(w.ram + ARG, a, n);
	r = world_call(&w, 0, GNT, op, ARG, count);
	memcpy(a, w.ram + ARG, n);
	return r;
}

static void the_table_tells_its_size_and_version(void **state)
{
	struct gnttab_query_size q = { .dom = DOMID_SELF };
	struct gnttab_get_version g = { .dom = DOMID_SELF };
	uint32_t v = 1;

	assert_int_equal(gnt(GNTTABOP_query_size, &q, sizeof(q), 1), 0);
	assert_int_equal(q.status, GNTST_okay);
	assert_int_equal(q.nr_frames, 1);
	assert_int_equal(q.max_nr_frames, 64);
	q.dom = 0;
	assert_int_equal(gnt(GNTTABOP_query_size, &q, sizeof(q), 1), 0);
	assert_int_equal(q.status, GNTST_permission_denied);
	assert_int_equal(gnt(GNTTABOP_set_version, &v, 4, 1), 0);
	v = 2; /* E5: never changes under load, since it never changes */
	assert_int_equal(gnt(GNTTABOP_set_version, &v, 4, 1), -ENOSYS);
	v = 3;
	assert_int_equal(gnt(GNTTABOP_set_version, &v, 4, 1), -EINVAL);
	assert_int_equal(gnt(GNTTABOP_get_version, &g, sizeof(g), 1), 0);
	assert_int_equal(g.version, 1);
	g.dom = 1;
	assert_int_equal(gnt(GNTTABOP_get_version, &g, sizeof(g), 1), -EPERM);
	assert_int_equal(world_call(&w, 0, GNT, GNTTABOP_transfer, ARG, 1), -ENOSYS);
	assert_int_equal(world_call(&w, 0, GNT, 99, ARG, 1), -ENOSYS);
	assert_int_equal(world_call(&w, 0, GNT, GNTTABOP_copy, ARG, 1ull << 32), -EINVAL);
	assert_int_equal(world_call(&w, 0, GNT, GNTTABOP_query_size, UINT64_MAX - 7, 1), -EFAULT);
}

static void setup_table_grows_it_and_tells_where_it_is(void **state)
{
	struct {
		uint16_t dom;
		uint32_t nr;
		int16_t status;
		uint64_t list;
	} a = { DOMID_SELF, 4, 1, ARG + 4096 };
	struct gnttab_query_size q = { .dom = DOMID_SELF };

	assert_int_equal(add(XENMAPSPACE_grant_table, 2, 0x234), 0);
	assert_int_equal(gnt(GNTTABOP_setup_table, &a, sizeof(a), 1), 0);
	assert_int_equal(a.status, GNTST_okay);
	assert_int_equal(((uint64_t *)(w.ram + ARG + 4096))[2], 0x234);
	assert_int_equal(((uint64_t *)(w.ram + ARG + 4096))[3], UINT64_MAX);
	assert_int_equal(gnt(GNTTABOP_query_size, &q, sizeof(q), 1), 0);
	assert_int_equal(q.nr_frames, 4);
	a.nr = 65;
	assert_int_equal(gnt(GNTTABOP_setup_table, &a, sizeof(a), 1), 0);
	assert_int_equal(a.status, GNTST_general_error);
	a.nr = 1;
	a.list = UNMAPPED;
	assert_int_equal(gnt(GNTTABOP_setup_table, &a, sizeof(a), 1), 0);
	assert_int_equal(a.status, GNTST_bad_virt_addr);
	a.dom = 0;
	assert_int_equal(gnt(GNTTABOP_setup_table, &a, sizeof(a), 1), 0);
	assert_int_equal(a.status, GNTST_permission_denied);
	assert_int_equal(gnt(GNTTABOP_setup_table, &a, sizeof(a), 2), -EINVAL);
}

static struct gnttab_map_grant_ref map_ref(unsigned ref, uint64_t gfn, unsigned flags)
{
	struct gnttab_map_grant_ref m = { .host_addr = gfn * 4096,
					  .flags = GNTMAP_host_map | flags,
					  .ref = ref,
					  .dom = 7,
					  .status = 99 };

	assert_int_equal(gnt(GNTTABOP_map_grant_ref, &m, sizeof(m), 1), 0);
	return m;
}

static int unmap_handle(uint32_t handle, uint64_t gfn)
{
	struct gnttab_unmap_grant_ref u = { .host_addr = gfn * 4096, .handle = handle };

	assert_int_equal(gnt(GNTTABOP_unmap_grant_ref, &u, sizeof(u), 1), 0);
	return u.status;
}

static void a_guest_maps_and_unmaps_its_own_grant(void **state)
{
	struct gnttab_map_grant_ref m, n;

	grant(20, GTF_permit_access, 0x800);
	m = map_ref(20, 0x300000, 0);
	assert_int_equal(m.status, GNTST_okay);
	assert_ptr_equal(world_page(&w, 0x300000), world_page(&w, 0x800));
	assert_int_equal(entry(20)->flags, GTF_permit_access | GTF_reading | GTF_writing);
	n = map_ref(20, 0x300001, GNTMAP_readonly);
	assert_int_equal(n.status, GNTST_okay);
	assert_int_equal(unmap_handle(m.handle, 0x300000), GNTST_okay);
	assert_null(world_page(&w, 0x300000));
	assert_int_equal(entry(20)->flags, GTF_permit_access | GTF_reading);
	assert_int_equal(unmap_handle(m.handle, 0x300000), GNTST_bad_handle);
	assert_int_equal(unmap_handle(n.handle, 0x300002), GNTST_bad_virt_addr);
	assert_int_equal(unmap_handle(n.handle, 0x300001), GNTST_okay);
	assert_int_equal(entry(20)->flags, GTF_permit_access);
	assert_int_equal(unmap_handle(UINT32_MAX, 0x300001), GNTST_bad_handle);
}

static void what_is_not_granted_is_not_mapped(void **state)
{
	struct gnttab_map_grant_ref m = { .dom = 0, .flags = GNTMAP_host_map };

	grant(20, GTF_permit_access | GTF_readonly, 0x800);
	assert_int_equal(map_ref(20, 0x300000, 0).status, GNTST_general_error);
	assert_int_equal(map_ref(21, 0x300000, 0).status, GNTST_bad_gntref);
	assert_int_equal(map_ref(511, 0x300000, 0).status, GNTST_bad_gntref);
	assert_int_equal(map_ref(512, 0x300000, 0).status, GNTST_bad_gntref);
	assert_int_equal(map_ref(UINT32_MAX, 0x300000, 0).status, GNTST_bad_gntref);
	grant(22, GTF_permit_access, 0x3fffff); /* no memory there */
	assert_int_equal(map_ref(22, 0x300000, 0).status, GNTST_bad_page);
	assert_int_equal(entry(22)->flags, GTF_permit_access);
	entry(22)->domid = 0;
	assert_int_equal(map_ref(22, 0x300000, 0).status, GNTST_bad_gntref);
	grant(23, GTF_permit_access, 0x800);
	assert_int_equal(map_ref(23, 1ull << 50, 0).status, GNTST_bad_virt_addr);
	assert_int_equal(entry(23)->flags, GTF_permit_access);
	assert_int_equal(map_ref(23, 0x300000, GNTMAP_device_map).status, GNTST_general_error);
	assert_int_equal(gnt(GNTTABOP_map_grant_ref, &m, sizeof(m), 1), 0);
	assert_int_equal(m.status, GNTST_bad_domain);
}

/* E7: handles run out, and the domain goes with maps held. */
static void mapping_for_ever_runs_out_of_handles(void **state)
{
	struct gnttab_map_grant_ref m;

	grant(20, GTF_permit_access, 0x800);
	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(map_ref(20, 0x300000 + i, 0).status, GNTST_okay);
	m = map_ref(20, 0x300400, 0);
	assert_int_equal(m.status, GNTST_no_space);
	assert_int_equal(unmap_handle(5, 0x300005), GNTST_okay);
	assert_int_equal(map_ref(20, 0x300400, 0).status, GNTST_okay);
}

static int copy(unsigned flags, struct gnttab_copy_ptr src, struct gnttab_copy_ptr dst,
		unsigned len)
{
	struct gnttab_copy c = {
		.source = src, .dest = dst, .len = (uint16_t)len, .flags = (uint16_t)flags
	};

	assert_int_equal(gnt(GNTTABOP_copy, &c, sizeof(c), 1), 0);
	return c.status;
}

#define REF(r, off) ((struct gnttab_copy_ptr){ .u.ref = (r), .domid = 7, .offset = (off) })
#define GMFN(g, off) \
	((struct gnttab_copy_ptr){ .u.gmfn = (g), .domid = DOMID_SELF, .offset = (off) })

/* E6: length 0, past the page, more than a page. */
static void copies_stay_inside_their_pages(void **state)
{
	const unsigned s = GNTCOPY_source_gref, d = GNTCOPY_dest_gref;

	grant(20, GTF_permit_access, 0x800);
	grant(21, GTF_permit_access | GTF_readonly, 0x801);
	strcpy((char *)w.ram + 0x800 * 4096 + 100, "copied");
	assert_int_equal(copy(s, REF(20, 100), GMFN(0x802, 4089), 7), GNTST_okay);
	assert_string_equal((char *)w.ram + 0x802 * 4096 + 4089, "copied");
	assert_int_equal(entry(20)->flags, GTF_permit_access);
	assert_int_equal(copy(s, REF(20, 100), GMFN(0x802, 4090), 7), GNTST_bad_copy_arg);
	assert_int_equal(copy(s, REF(20, 4090), GMFN(0x802, 0), 7), GNTST_bad_copy_arg);
	assert_int_equal(copy(s, REF(20, 0), GMFN(0x802, 0), 4096), GNTST_okay);
	assert_int_equal(copy(s, REF(20, 0), GMFN(0x802, 0), 4097), GNTST_bad_copy_arg);
	assert_int_equal(copy(s, REF(20, 0), GMFN(0x802, 0), 0), GNTST_okay);
	assert_int_equal(copy(s, REF(20, 4096), GMFN(0x802, 0), 0), GNTST_bad_copy_arg);
	assert_int_equal(copy(d, GMFN(0x800, 0), REF(21, 0), 8), GNTST_general_error);
	assert_int_equal(copy(s, REF(21, 0), GMFN(0x802, 0), 8), GNTST_okay);
	assert_int_equal(copy(s | d, REF(20, 0), REF(20, 8), 64), GNTST_okay);
	assert_int_equal(entry(20)->flags, GTF_permit_access);
	assert_int_equal(copy(0, GMFN(0x800, 0), GMFN(0x802, 0), 8), GNTST_permission_denied);
	assert_int_equal(copy(s, REF(20, 0), GMFN(UINT64_MAX, 0), 8), GNTST_bad_page);
	assert_int_equal(copy(s, REF(20, 0), GMFN(SPECIAL_GFN_CONSOLE, 0), 8), GNTST_okay);
	assert_int_equal(
		copy(s, (struct gnttab_copy_ptr){ .u.ref = 20, .domid = 0 }, GMFN(0x802, 0), 8),
		GNTST_bad_domain);
}

static void a_long_list_is_done_to_its_end(void **state)
{
	struct gnttab_query_size q[200];

	memset(q, 0, sizeof(q));
	for (unsigned i = 0; i < 200; i++)
		q[i] = (struct gnttab_query_size){ .dom = DOMID_SELF, .status = 77 };
	assert_int_equal(gnt(GNTTABOP_query_size, q, sizeof(q), 200), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(q[i].status, GNTST_okay);
	/* Count far beyond what is there: ends with a fault, not with us. */
	assert_int_equal(
		world_call(&w, 0, GNT, GNTTABOP_copy, WORLD_PAGES * 4096ull - 400, UINT32_MAX),
		-EFAULT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(shared_info_goes_anywhere_and_is_in_one_place),
		T(a_guest_may_cover_its_own_pages),
		T(grant_frames_are_placed_up_to_the_limit),
		T(only_its_own_memory_is_a_guests_to_change),
		T(a_batch_places_each_page_and_reports_each_error),
		T(ballooned_pages_go_back_to_the_host),
		T(a_guest_that_reached_its_target_counts_as_what_it_has),
		T(populate_stops_at_the_cap),
		T(large_extents_are_aligned_and_bounded),
		T(an_endless_list_ends_where_memory_does),
		T(giving_away_pages_in_use_hurts_only_the_guest),
		T(memory_questions_are_answered),
		T(the_table_tells_its_size_and_version),
		T(setup_table_grows_it_and_tells_where_it_is),
		T(a_guest_maps_and_unmaps_its_own_grant),
		T(what_is_not_granted_is_not_mapped),
		T(mapping_for_ever_runs_out_of_handles),
		T(copies_stay_inside_their_pages),
		T(a_long_list_is_done_to_its_end),
	};

	return cmocka_run_group_tests_name("hv/domain/memory", tests, NULL, NULL);
}
