/* hv/domain/hc_gnttab.c - grant_table_op: version 1 of the table.
 *
 * dom0 honours grants itself, on the shared frames (hv/client); what is here
 * is for the guest: size, version, where the frames are, and mapping and
 * copying its own grants.  Grants of other domains need their memory, which
 * this process does not hold: GNTST_bad_domain.
 * Source: <xen/grant_table.h>.
 */
#include <errno.h>
#include <string.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/grant_table.h>

#include "hv/domain/hypercall.h"
#include "hv/domain/machine.h"

#define BATCH_MAX 64u /* operations per turn; a longer list goes on by hc_again */

static bool is_self(const struct mvcpu *v, domid_t dom)
{
	return dom == DOMID_SELF || dom == v->d->domid;
}

static grant_entry_v1_t *entry(struct domain *d, uint32_t ref)
{
	const unsigned per_page = P2M_PAGE_SIZE / sizeof(grant_entry_v1_t);

	if (ref / per_page >= d->mem.grant_frames)
		return NULL;
	return (grant_entry_v1_t *)d->mem.gnttab + ref;
}

/* Pin an entry for use: sets GTF_reading (and writing) unless the guest takes
 * the permission back at the same moment.  0, *ret_frame; or GNTST_*. */
static int pin(struct domain *d, uint32_t ref, bool write, uint32_t *ret_frame)
{
	grant_entry_v1_t *e = entry(d, ref);
	/* flags and domid together: both must belong to the same grant. */
	uint32_t old, new, *word;

	if (!e)
		return GNTST_bad_gntref;
	word = (uint32_t *)&e->flags;
	old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
	do {
		uint16_t flags = (uint16_t)old;

		if ((flags & GTF_type_mask) != GTF_permit_access || old >> 16 != d->domid)
			return GNTST_bad_gntref;
		if (write && (flags & GTF_readonly))
			return GNTST_general_error;
		new = old | GTF_reading | (write ? GTF_writing : 0);
	} while (!__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	*ret_frame = __atomic_load_n(&e->frame, __ATOMIC_SEQ_CST);
	return GNTST_okay;
}

/* Uses of ref by mappings that stay keep the flags they need. */
static void unpin(struct domain *d, uint32_t ref)
{
	grant_entry_v1_t *e = entry(d, ref);
	uint16_t keep = 0;

	for (unsigned i = 0; i < GRANT_MAPS_MAX; i++)
		if (d->gnt.map[i].used && d->gnt.map[i].ref == ref)
			keep |= GTF_reading |
				(d->gnt.map[i].flags & GNTMAP_readonly ? 0 : GTF_writing);
	if (e)
		__atomic_fetch_and(&e->flags, ~((GTF_reading | GTF_writing) & ~keep),
				   __ATOMIC_SEQ_CST);
}

static uint8_t *frame_host(struct domain *d, uint64_t gfn, bool write)
{
	unsigned flags;
	uint8_t *p = p2m_lookup(d->mem.p2m, gfn, &flags);

	return p && !(write && (flags & P2M_RO)) ? p : NULL;
}

/* ---- one operation each; mem and gnt locks are held ---- */

static void one_map(struct mvcpu *v, void *arg)
{
	struct gnttab_map_grant_ref *a = arg;
	bool write = !(a->flags & GNTMAP_readonly);
	struct domain *d = v->d;
	uint32_t frame, h = 0;
	uint8_t *page;

	a->status = GNTST_general_error;
	if (!is_self(v, a->dom)) {
		a->status = GNTST_bad_domain;
		return;
	}
	if ((a->flags & (GNTMAP_host_map | GNTMAP_contains_pte | GNTMAP_device_map)) !=
		    GNTMAP_host_map ||
	    a->host_addr % P2M_PAGE_SIZE)
		return;
	while (h < GRANT_MAPS_MAX && d->gnt.map[h].used)
		h++;
	if (h == GRANT_MAPS_MAX) {
		a->status = GNTST_no_space;
		return;
	}
	a->status = (int16_t)pin(d, a->ref, write, &frame);
	if (a->status != GNTST_okay)
		return;
	page = frame_host(d, frame, write);
	if (!page ||
	    p2m_overlay(d->mem.p2m, a->host_addr / P2M_PAGE_SIZE, page, write ? 0 : P2M_RO) < 0) {
		unpin(d, a->ref);
		a->status = page ? GNTST_bad_virt_addr : GNTST_bad_page;
		return;
	}
	d->gnt.map[h] = (struct grant_map){
		.ref = a->ref, .flags = a->flags, .gfn = a->host_addr / P2M_PAGE_SIZE, .used = true
	};
	a->handle = h;
	a->dev_bus_addr = (uint64_t)frame * P2M_PAGE_SIZE;
}

static void one_unmap(struct mvcpu *v, void *arg)
{
	struct gnttab_unmap_grant_ref *a = arg;
	struct domain *d = v->d;
	struct grant_map *m;

	if (a->handle >= GRANT_MAPS_MAX || !d->gnt.map[a->handle].used) {
		a->status = GNTST_bad_handle;
		return;
	}
	m = &d->gnt.map[a->handle];
	if (a->host_addr != m->gfn * P2M_PAGE_SIZE) {
		a->status = GNTST_bad_virt_addr;
		return;
	}
	(void)p2m_overlay(d->mem.p2m, m->gfn, NULL, 0); /* it was accepted when it was mapped */
	m->used = false;
	unpin(d, m->ref);
	a->status = GNTST_okay;
}

/* One side of a copy: *ret_host, and whether it holds a pin to drop. */
static int copy_side(struct mvcpu *v, const struct gnttab_copy_ptr *p, bool by_ref, bool write,
		     uint8_t **ret_host)
{
	uint64_t gfn = p->u.gmfn;
	uint32_t frame;
	int st;

	if (!is_self(v, p->domid))
		return GNTST_bad_domain;
	if (by_ref) {
		st = pin(v->d, p->u.ref, write, &frame);
		if (st != GNTST_okay)
			return st;
		gfn = frame;
	}
	*ret_host = frame_host(v->d, gfn, write);
	if (*ret_host)
		return GNTST_okay;
	if (by_ref)
		unpin(v->d, p->u.ref);
	return GNTST_bad_page;
}

static void one_copy(struct mvcpu *v, void *arg)
{
	struct gnttab_copy *a = arg;
	bool src_ref = a->flags & GNTCOPY_source_gref, dst_ref = a->flags & GNTCOPY_dest_gref;
	uint8_t *src, *dst;

	if (a->source.offset >= P2M_PAGE_SIZE || a->dest.offset >= P2M_PAGE_SIZE ||
	    a->len > P2M_PAGE_SIZE - a->source.offset || a->len > P2M_PAGE_SIZE - a->dest.offset) {
		a->status = GNTST_bad_copy_arg;
		return;
	}
	/* Xen's rule: at least one side is a grant. */
	if (!src_ref && !dst_ref) {
		a->status = GNTST_permission_denied;
		return;
	}
	a->status = (int16_t)copy_side(v, &a->source, src_ref, false, &src);
	if (a->status != GNTST_okay)
		return;
	a->status = (int16_t)copy_side(v, &a->dest, dst_ref, true, &dst);
	if (a->status == GNTST_okay) {
		memmove(dst + a->dest.offset, src + a->source.offset, a->len);
		if (dst_ref)
			unpin(v->d, a->dest.u.ref);
	}
	if (src_ref)
		unpin(v->d, a->source.u.ref);
}

static void one_query_size(struct mvcpu *v, void *arg)
{
	struct gnttab_query_size *a = arg;

	if (!is_self(v, a->dom)) {
		a->status = GNTST_permission_denied;
		return;
	}
	a->nr_frames = v->d->mem.grant_frames;
	a->max_nr_frames = GNTTAB_MAX_FRAMES;
	a->status = GNTST_okay;
}

static void one_get_status_frames(struct mvcpu *v, void *arg)
{
	struct gnttab_get_status_frames *a = arg;

	/* Version 2's; this table is version 1. */
	a->status = is_self(v, a->dom) ? GNTST_general_error : GNTST_permission_denied;
}

/* ---- lists of operations ---- */

static const struct gnt_op {
	void (*run)(struct mvcpu *v, void *arg);
	uint16_t size;
	bool flush; /* may have changed the p2m */
} list_ops[] = {
	[GNTTABOP_map_grant_ref] = { one_map, sizeof(struct gnttab_map_grant_ref), true },
	[GNTTABOP_unmap_grant_ref] = { one_unmap, sizeof(struct gnttab_unmap_grant_ref), true },
	[GNTTABOP_copy] = { one_copy, sizeof(struct gnttab_copy), false },
	[GNTTABOP_query_size] = { one_query_size, sizeof(struct gnttab_query_size), false },
	[GNTTABOP_get_status_frames] = { one_get_status_frames,
					 sizeof(struct gnttab_get_status_frames), false },
};

static int64_t run_list(struct mvcpu *v, const struct gnt_op *op, uint64_t cmd, uint64_t va,
			uint32_t count)
{
	uint8_t buf[HC_SUB_MAX] __attribute__((aligned(8)));
	uint32_t i, n = count < BATCH_MAX ? count : BATCH_MAX;
	int64_t r = 0;

	for (i = 0; i < n && !r; i++) {
		uint64_t at = va + (uint64_t)i * op->size;

		r = guest_get(v, at, buf, op->size);
		if (r < 0)
			break;
		pthread_mutex_lock(&v->d->mem.lock);
		pthread_mutex_lock(&v->d->gnt.lock);
		op->run(v, buf);
		pthread_mutex_unlock(&v->d->gnt.lock);
		if (op->flush)
			v->d->ops->vm_flush(v->d->vm, v->hw);
		pthread_mutex_unlock(&v->d->mem.lock);
		r = guest_put(v, at, buf, op->size);
	}
	if (!r && n < count)
		return hc_again(v, cmd, va + (uint64_t)n * op->size, count - n);
	return r;
}

/* gnttab_setup_table and its list pointer as numbers. */
struct setup_arg {
	uint16_t dom;
	uint32_t nr;
	int16_t status;
	uint64_t list;
};
_Static_assert(sizeof(struct setup_arg) == sizeof(struct gnttab_setup_table), "grant_table.h");

/* Grows the table; a translated guest maps the frames by add_to_physmap, and
 * finds here where it put them. */
static int64_t setup_table(struct mvcpu *v, uint64_t va, uint64_t count)
{
	struct memory *m = &v->d->mem;
	uint64_t gfns[GNTTAB_MAX_FRAMES];
	struct setup_arg a;

	if (count != 1)
		return -EINVAL;
	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (!is_self(v, a.dom)) {
		a.status = GNTST_permission_denied;
	} else if (a.nr > GNTTAB_MAX_FRAMES) {
		a.status = GNTST_general_error;
	} else {
		pthread_mutex_lock(&m->lock);
		if (a.nr > m->grant_frames)
			m->grant_frames = a.nr;
		memcpy(gfns, m->grant_gfn, sizeof(gfns));
		pthread_mutex_unlock(&m->lock);
		a.status = GNTST_okay;
		if (guest_put(v, a.list, gfns, a.nr * sizeof(gfns[0])) < 0)
			a.status = GNTST_bad_virt_addr;
	}
	return guest_put(v, va, &a, sizeof(a));
}

static int64_t version(struct mvcpu *v, uint64_t cmd, uint64_t va, uint64_t count)
{
	struct gnttab_get_version get;
	uint32_t want;

	if (cmd == GNTTABOP_set_version) {
		if (guest_get(v, va, &want, sizeof(want)) < 0)
			return -EFAULT;
		if (want != 1 && want != 2)
			return -EINVAL;
		return want == 1 ? guest_put(v, va, &want, sizeof(want)) : -ENOSYS;
	}
	if (guest_get(v, va, &get, sizeof(get)) < 0)
		return -EFAULT;
	if (!is_self(v, get.dom))
		return -EPERM;
	get.version = 1;
	return guest_put(v, va, &get, sizeof(get));
}

int64_t hc_gnttab(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	uint64_t cmd = arg[0];

	if (arg[2] > UINT32_MAX)
		return -EINVAL;
	if (cmd == GNTTABOP_setup_table)
		return setup_table(v, arg[1], arg[2]);
	if (cmd == GNTTABOP_set_version || cmd == GNTTABOP_get_version)
		return version(v, cmd, arg[1], arg[2]);
	if (cmd >= sizeof(list_ops) / sizeof(list_ops[0]) || !list_ops[cmd].run)
		return -ENOSYS;
	return run_list(v, &list_ops[cmd], cmd, arg[1], (uint32_t)arg[2]);
}
