/* hv/domain/hc_memory.c - memory_op: what is where in guest-physical memory.
 *
 * The guest may put shared_info and its grant frames anywhere, also over its
 * own RAM or where there is none: it harms only itself.  Each such page is in
 * one place at a time, so the overlays of a domain are bounded.  Ballooned RAM
 * is unmapped first, then flushed from every vCPU, then given back to the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/memory.h>

#include "hv/domain/hypercall.h"
#include "hv/domain/machine.h"

#define CMD_BITS      6 /* the command; above it, where an interrupted call goes on */
#define EXTENTS_CHUNK 128u
#define ORDER_MAX     9u /* 2 MiB, as Xen allows a domU */
#define E820_RAM      1u

static bool is_self(const struct mvcpu *v, domid_t dom)
{
	return dom == DOMID_SELF || dom == v->d->domid;
}

/* The page of RAM behind gfn as an index into the memfd, or UINT64_MAX. */
static uint64_t ram_index(const struct memory *m, uint64_t gfn)
{
	uint64_t i = gfn < P2M_HOLE_GFN	   ? gfn
		     : gfn >= P2M_HIGH_GFN ? gfn - P2M_HIGH_GFN + P2M_HOLE_GFN
					   : UINT64_MAX;

	return i < m->ram_pages ? i : UINT64_MAX;
}

static int64_t again(struct mvcpu *v, uint64_t cmd, uint64_t from, uint64_t va)
{
	return hc_again(v, cmd | from << CMD_BITS, va, v->d->ops->vcpu_regs(v->hw)->r[R_RDX]);
}

/* ---- placing pages; the mem lock is held ---- */

/* The place of one of our pages at gfn is forgotten (it is mapped over, or removed). */
static void forget_place(struct memory *m, uint64_t gfn)
{
	if (m->shinfo_gfn == gfn)
		m->shinfo_gfn = GFN_NONE;
	for (unsigned i = 0; i < GNTTAB_MAX_FRAMES; i++)
		if (m->grant_gfn[i] == gfn)
			m->grant_gfn[i] = GFN_NONE;
}

static int place(struct mvcpu *v, uint64_t gfn, void *page, uint64_t *where)
{
	struct memory *m = &v->d->mem;
	int r;

	r = p2m_overlay(m->p2m, gfn, page, 0);
	if (r < 0)
		return r;
	if (*where != GFN_NONE && *where != gfn)
		(void)p2m_overlay(m->p2m, *where, NULL, 0); /* it was accepted when it was placed */
	forget_place(m, gfn);
	*where = gfn;
	v->d->ops->vm_flush(v->d->vm, v->hw);
	return 0;
}

static int add_page(struct mvcpu *v, unsigned space, uint64_t idx, uint64_t gfn)
{
	struct memory *m = &v->d->mem;
	int r;

	switch (space) {
	case XENMAPSPACE_shared_info:
		if (idx)
			return -EINVAL;
		r = place(v, gfn, v->d->shinfo, &m->shinfo_gfn);
		break;
	case XENMAPSPACE_grant_table:
		if (idx >= GNTTAB_MAX_FRAMES) /* status frames are version 2's */
			return -EINVAL;
		r = place(v, gfn, m->gnttab + idx * P2M_PAGE_SIZE, &m->grant_gfn[idx]);
		if (!r && idx >= m->grant_frames)
			m->grant_frames = (unsigned)idx + 1;
		break;
	default: return -EINVAL;
	}
	return r;
}

static int64_t op_add_to_physmap(struct mvcpu *v, uint64_t va, uint64_t start)
{
	struct xen_add_to_physmap a;
	int r;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (!is_self(v, a.domid))
		return -EPERM;
	pthread_mutex_lock(&v->d->mem.lock);
	r = add_page(v, a.space, a.idx, a.gpfn);
	pthread_mutex_unlock(&v->d->mem.lock);
	if (!r && a.space == XENMAPSPACE_shared_info) {
		wallclock_publish(v->d);
		for (unsigned i = 0; i < v->d->max_vcpus; i++)
			vcpu_request(&v->d->vcpu[i], REQ_TIME);
		time_publish(v);
	}
	return r;
}

/* xen_add_to_physmap_batch with guest pointers as numbers. */
struct batch_arg {
	uint16_t domid, space, size, foreign;
	uint64_t idxs, gpfns, errs;
};
_Static_assert(sizeof(struct batch_arg) == sizeof(struct xen_add_to_physmap_batch), "memory.h");

static int64_t op_add_batch(struct mvcpu *v, uint64_t va, uint64_t start)
{
	struct batch_arg a;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (!is_self(v, a.domid))
		return -EPERM;
	if (a.space == XENMAPSPACE_gmfn_foreign)
		return -EPERM; /* no domain's memory is another's by its number alone */
	for (uint64_t i = start; i < a.size; i++) {
		uint64_t idx, gfn;
		int32_t err;

		if (i - start == EXTENTS_CHUNK)
			return again(v, XENMEM_add_to_physmap_batch, i, va);
		if (guest_get(v, a.idxs + 8 * i, &idx, 8) < 0 ||
		    guest_get(v, a.gpfns + 8 * i, &gfn, 8) < 0)
			return -EFAULT;
		pthread_mutex_lock(&v->d->mem.lock);
		err = add_page(v, a.space, idx, gfn);
		pthread_mutex_unlock(&v->d->mem.lock);
		if (guest_put(v, a.errs + 4 * i, &err, 4) < 0)
			return -EFAULT;
	}
	return 0;
}

/* ---- ballooning ---- */

/* Pages that left the p2m and are to be punched once no vCPU sees them. */
struct gone {
	uint64_t index[EXTENTS_CHUNK + (1u << ORDER_MAX)];
	unsigned n;
};

static int take_page(struct mvcpu *v, uint64_t gfn, struct gone *g)
{
	struct memory *m = &v->d->mem;
	uint64_t i = ram_index(m, gfn);
	unsigned flags;
	void *host = p2m_lookup(m->p2m, gfn, &flags);

	if (!host)
		return -EINVAL; /* gone already, or never there */
	if (i == UINT64_MAX || host != m->ram + i * P2M_PAGE_SIZE) {
		forget_place(m, gfn);
		return p2m_overlay(m->p2m, gfn, NULL, 0);
	}
	if (p2m_set_present(m->p2m, gfn, false) < 0)
		return -ENOMEM;
	m->released++;
	if (m->ram_pages - m->released <= m->populated)
		m->settled = true;
	g->index[g->n++] = i;
	return 0;
}

static void punch(struct mvcpu *v, struct gone *g)
{
	struct memory *m = &v->d->mem;

	v->d->ops->vm_flush(v->d->vm, v->hw);
	for (unsigned i = 0; i < g->n; i++) {
		unsigned run = 1;

		while (i + run < g->n && g->index[i + run] == g->index[i] + run)
			run++;
		/* Failure only keeps the host's memory in use. */
		(void)fallocate(m->ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)(g->index[i] * P2M_PAGE_SIZE), (off_t)run * P2M_PAGE_SIZE);
		i += run - 1;
	}
	g->n = 0;
}

static int give_page(struct memory *m, uint64_t gfn)
{
	unsigned flags;

	if (ram_index(m, gfn) == UINT64_MAX)
		return -EINVAL;
	if (p2m_lookup(m->p2m, gfn, &flags))
		return 0; /* there is memory already */
	if (m->ram_pages - m->released >= m->max_pages || p2m_set_present(m->p2m, gfn, true) < 0)
		return -ENOMEM;
	m->released--;
	return 0;
}

/* xen_memory_reservation with the guest's pointer as a number. */
struct reservation_arg {
	uint64_t extents, nr;
	uint32_t order, flags;
	uint16_t domid;
};
_Static_assert(sizeof(struct reservation_arg) == sizeof(struct xen_memory_reservation), "memory.h");

static int one_extent(struct mvcpu *v, bool take, uint64_t gfn, unsigned order, struct gone *g)
{
	uint64_t n = 1ull << order;
	int r = 0;

	if (gfn & (n - 1))
		return -EINVAL;
	for (uint64_t i = 0; !r && i < n; i++)
		r = take ? take_page(v, gfn + i, g) : give_page(&v->d->mem, gfn + i);
	return r;
}

/* From extent start on, as many as one hypercall may do without a pause.  The
 * lock is held throughout: nobody gives a page back that is to be punched.
 * Returns the first extent that was not done. */
static uint64_t some_extents(struct mvcpu *v, bool take, const struct reservation_arg *a,
			     uint64_t start, bool *ret_failed)
{
	struct gone g = { .n = 0 };
	uint64_t gfn, i = start;

	pthread_mutex_lock(&v->d->mem.lock);
	for (uint64_t pages = 0; i < a->nr && pages < EXTENTS_CHUNK;
	     i++, pages += 1ull << a->order) {
		/* As Xen: what was done before the fault counts. */
		*ret_failed = guest_get(v, a->extents + 8 * i, &gfn, 8) < 0 ||
			      one_extent(v, take, gfn, a->order, &g) < 0;
		if (*ret_failed)
			break;
	}
	if (take)
		punch(v, &g);
	else
		v->d->ops->vm_flush(v->d->vm, v->hw); /* an engine may keep a map of its own */
	pthread_mutex_unlock(&v->d->mem.lock);
	return i;
}

static int64_t change_reservation(struct mvcpu *v, uint64_t cmd, uint64_t va, uint64_t start)
{
	bool failed = false;
	struct reservation_arg a;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (!is_self(v, a.domid))
		return -EPERM;
	if (a.nr > UINT64_MAX >> CMD_BITS || a.order > ORDER_MAX || start > a.nr)
		return (int64_t)start;
	start = some_extents(v, cmd == XENMEM_decrease_reservation, &a, start, &failed);
	return failed || start == a.nr ? (int64_t)start : again(v, cmd, start, va);
}

static int64_t op_decrease(struct mvcpu *v, uint64_t va, uint64_t start)
{
	return change_reservation(v, XENMEM_decrease_reservation, va, start);
}

static int64_t op_populate(struct mvcpu *v, uint64_t va, uint64_t start)
{
	return change_reservation(v, XENMEM_populate_physmap, va, start);
}

static int64_t op_remove_from_physmap(struct mvcpu *v, uint64_t va, uint64_t start)
{
	struct xen_remove_from_physmap a;
	struct gone g = { .n = 0 };
	int r;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (!is_self(v, a.domid))
		return -EPERM;
	pthread_mutex_lock(&v->d->mem.lock);
	r = take_page(v, a.gpfn, &g);
	punch(v, &g);
	pthread_mutex_unlock(&v->d->mem.lock);
	return r;
}

/* ---- questions ---- */

static int64_t ask(struct mvcpu *v, uint64_t va, bool max)
{
	const struct memory *m = &v->d->mem;
	domid_t dom;
	int64_t n;

	if (guest_get(v, va, &dom, sizeof(dom)) < 0)
		return -EFAULT;
	if (!is_self(v, dom))
		return -EPERM;
	pthread_mutex_lock(&v->d->mem.lock);
	n = (int64_t)(max ? m->max_pages : m->ram_pages - m->released);
	pthread_mutex_unlock(&v->d->mem.lock);
	return n;
}

static int64_t op_current(struct mvcpu *v, uint64_t va, uint64_t start)
{
	return ask(v, va, false);
}

static int64_t op_maximum(struct mvcpu *v, uint64_t va, uint64_t start)
{
	return ask(v, va, true);
}

static int64_t op_maximum_gpfn(struct mvcpu *v, uint64_t va, uint64_t start)
{
	int64_t r = ask(v, va, false);

	return r < 0 ? r : (int64_t)p2m_ram_gfn(v->d->mem.ram_pages - 1);
}

struct map_arg {
	uint32_t nr, pad;
	uint64_t buffer;
};
_Static_assert(sizeof(struct map_arg) == sizeof(struct xen_memory_map), "memory.h");

struct e820 {
	uint64_t addr, size;
	uint32_t type;
} __attribute__((packed));

/* For a kernel whose start_info had no map. */
static int64_t op_memory_map(struct mvcpu *v, uint64_t va, uint64_t start)
{
	const struct memory *m = &v->d->mem;
	uint64_t low = m->ram_pages < P2M_HOLE_GFN ? m->ram_pages : P2M_HOLE_GFN;
	const struct e820 map[2] = {
		{ 0, low * P2M_PAGE_SIZE, E820_RAM },
		{ P2M_HIGH_GFN * P2M_PAGE_SIZE, (m->ram_pages - low) * P2M_PAGE_SIZE, E820_RAM },
	};
	struct map_arg a;
	uint32_t n = m->ram_pages > low ? 2 : 1;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	a.nr = a.nr < n ? a.nr : n;
	if (guest_put(v, a.buffer, map, a.nr * sizeof(map[0])) < 0 ||
	    guest_put(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	return 0;
}

static int64_t (*const ops[1u << CMD_BITS])(struct mvcpu *v, uint64_t va, uint64_t start) = {
	[XENMEM_decrease_reservation] = op_decrease,
	[XENMEM_populate_physmap] = op_populate,
	[XENMEM_add_to_physmap] = op_add_to_physmap,
	[XENMEM_add_to_physmap_batch] = op_add_batch,
	[XENMEM_remove_from_physmap] = op_remove_from_physmap,
	[XENMEM_current_reservation] = op_current,
	[XENMEM_maximum_reservation] = op_maximum,
	[XENMEM_maximum_gpfn] = op_maximum_gpfn,
	[XENMEM_memory_map] = op_memory_map,
};

int64_t hc_memory(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	uint64_t cmd = arg[0] & ((1u << CMD_BITS) - 1);

	if (!ops[cmd])
		return -ENOSYS;
	return ops[cmd](v, arg[1], arg[0] >> CMD_BITS);
}
