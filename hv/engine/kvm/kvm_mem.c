/* hv/engine/kvm/kvm_mem.c - guest memory for KVM.
 *
 * KVM wants ranges, the p2m has single pages laid over RAM.  So KVM is given a
 * second mapping of the RAM, and an overlay page is mapped into that one over
 * the RAM page it hides (mremap of a shared mapping with length 0 makes another
 * mapping of the same pages); KVM follows by itself through the MMU notifier.
 * Pages outside RAM get a slot of their own.
 *
 * A page that was ballooned out must not come back by being touched: in the
 * view zeros stand in its place, to be read only (a write ends the guest, as
 * KVM can't go on).  Each run of such pages is a mapping of its own; a guest
 * that gives memory back in more pieces than vm.max_map_count keeps the rest.
 */
#include "hv/engine/kvm/kvm_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static int set_slot(struct vm *vm, unsigned slot, uint64_t gpa, uint64_t size, void *host,
		    unsigned flags)
{
	struct kvm_userspace_memory_region r = { .slot = slot,
						 .flags = flags & P2M_RO ? KVM_MEM_READONLY : 0,
						 .guest_phys_addr = gpa,
						 .memory_size = size,
						 .userspace_addr = (uint64_t)(uintptr_t)host };

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) < 0 ? -errno : 0;
}

int kvm_mem_init(struct vm *vm)
{
	uint64_t pages = p2m_ram_pages(vm->p2m), low = pages < P2M_HOLE_GFN ? pages : P2M_HOLE_GFN;
	int r;

	vm->ram = p2m_ram(vm->p2m);
	vm->ram_bytes = pages * P2M_PAGE_SIZE;
	vm->view = mremap(vm->ram, 0, vm->ram_bytes, MREMAP_MAYMOVE);
	if (vm->view == MAP_FAILED) {
		vm->view = NULL;
		return -errno;
	}
	vm->holes = calloc(pages / 64 + 1, sizeof(*vm->holes));
	if (!vm->holes)
		return -ENOMEM;
	r = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	vm->max_slots = r > 0 ? (unsigned)r : 32;
	r = set_slot(vm, 0, 0, low * P2M_PAGE_SIZE, vm->view, 0);
	if (r == 0 && pages > low)
		r = set_slot(vm, 1, P2M_HIGH_GFN * P2M_PAGE_SIZE, (pages - low) * P2M_PAGE_SIZE,
			     vm->view + low * P2M_PAGE_SIZE, 0);
	return r < 0 ? r : kvm_mem_sync(vm);
}

void kvm_mem_fini(struct vm *vm)
{
	if (vm->view)
		munmap(vm->view, vm->ram_bytes);
	vm->view = NULL;
	free(vm->over);
	free(vm->holes);
	vm->over = NULL;
	vm->holes = NULL;
}

/* Offset of a RAM frame in the view, or ~0. */
static uint64_t view_offset(const struct vm *vm, uint64_t gfn)
{
	uint64_t i = gfn >= P2M_HIGH_GFN  ? gfn - P2M_HIGH_GFN + P2M_HOLE_GFN
		     : gfn < P2M_HOLE_GFN ? gfn
					  : ~0ull;

	return i < vm->ram_bytes / P2M_PAGE_SIZE ? i * P2M_PAGE_SIZE : ~0ull;
}

static int map_over(struct vm *vm, uint64_t off, void *page, bool ro)
{
	void *p = mremap(page, 0, P2M_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, vm->view + off);

	if (p == MAP_FAILED || (ro && mprotect(p, P2M_PAGE_SIZE, PROT_READ) < 0))
		return -errno;
	return 0;
}

/* What the guest finds at a RAM frame without an overlay. */
static int map_plain(struct vm *vm, uint64_t off)
{
	uint64_t i = off / P2M_PAGE_SIZE;

	if (!(vm->holes[i / 64] >> (i % 64) & 1))
		return map_over(vm, off, vm->ram + off, false);
	return mmap(vm->view + off, P2M_PAGE_SIZE, PROT_READ,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED
		       ? -errno
		       : 0;
}

/* Pages that went or came since the last look. */
static int sync_holes(struct vm *vm)
{
	for (uint64_t w = 0; w <= vm->ram_bytes / P2M_PAGE_SIZE / 64; w++) {
		uint64_t changed = p2m_absent(vm->p2m, w) ^ vm->holes[w];

		while (changed) {
			uint64_t bit = changed & -changed;
			uint64_t i = w * 64 + (unsigned)__builtin_ctzll(changed);
			int r = 0;

			changed ^= bit;
			vm->holes[w] ^= bit;
			if (!p2m_is_overlay(vm->p2m, p2m_ram_gfn(i)))
				r = map_plain(vm, i * P2M_PAGE_SIZE);
			if (r < 0) {
				vm->holes[w] ^= bit; /* once more at the next change */
				return r;
			}
		}
	}
	return 0;
}

static bool still_there(const struct vm *vm, uint64_t gfn, const void *page, bool ro)
{
	unsigned flags = 0;

	return p2m_is_overlay(vm->p2m, gfn) && p2m_lookup(vm->p2m, gfn, &flags) == page &&
	       !(flags & P2M_RO) == !ro;
}

/* What is no longer laid over the guest's memory goes. */
static int drop_old(struct vm *vm)
{
	size_t n = 0;
	int r = 0;

	for (size_t k = 0; k < vm->nover; k++) {
		const struct overlay *o = &vm->over[k];
		uint64_t off = view_offset(vm, o->gfn);

		if (still_there(vm, o->gfn, o->page, o->ro))
			vm->over[n++] = *o;
		else if (r == 0)
			r = map_plain(vm, off);
	}
	vm->nover = n;
	for (unsigned k = 0; k < vm->nlearned && r == 0; k++) {
		struct learned *l = &vm->learned[k];

		if (!l->page || still_there(vm, l->gfn, l->page, l->ro))
			continue;
		r = set_slot(vm, FIRST_PAGE_SLOT + k, l->gfn * P2M_PAGE_SIZE, 0, l->page, 0);
		l->page = NULL;
	}
	return r;
}

static int lay_over(struct vm *vm, uint64_t gfn, void *page, bool ro)
{
	struct overlay *more;
	int r;

	for (size_t k = 0; k < vm->nover; k++)
		if (vm->over[k].gfn == gfn)
			return 0;
	more = realloc(vm->over, (vm->nover + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	vm->over = more;
	r = map_over(vm, view_offset(vm, gfn), page, ro);
	if (r == 0)
		vm->over[vm->nover++] = (struct overlay){ gfn, page, ro };
	return r;
}

/* Without a free slot the page stays unknown to KVM, and every access to it
 * comes out as one to a device, which mmio_is_memory() in kvm.c serves. */
static void learn(struct vm *vm, uint64_t gfn, void *page, unsigned flags)
{
	unsigned k, slot = KVM_PAGE_SLOTS;

	for (k = 0; k < vm->nlearned; k++) {
		if (vm->learned[k].page && vm->learned[k].gfn == gfn)
			return;
		if (!vm->learned[k].page && slot == KVM_PAGE_SLOTS)
			slot = k;
	}
	if (slot == KVM_PAGE_SLOTS)
		slot = vm->nlearned;
	if (slot == KVM_PAGE_SLOTS || slot + FIRST_PAGE_SLOT >= vm->max_slots ||
	    set_slot(vm, FIRST_PAGE_SLOT + slot, gfn * P2M_PAGE_SIZE, P2M_PAGE_SIZE, page, flags) <
		    0)
		return;
	vm->learned[slot] = (struct learned){ gfn, page, flags & P2M_RO };
	if (slot == vm->nlearned)
		vm->nlearned++;
}

int kvm_mem_sync(struct vm *vm)
{
	uint64_t gfn = 0;
	unsigned flags;
	void *page;
	int r;

	pthread_mutex_lock(&vm->lock);
	r = sync_holes(vm);
	if (r == -ENOMEM)
		r = 0; /* out of mappings: see the top */
	if (r == 0)
		r = drop_old(vm);
	for (; r == 0 && (page = p2m_next_overlay(vm->p2m, &gfn, &flags)); gfn++) {
		if (view_offset(vm, gfn) == ~0ull)
			learn(vm, gfn, page, flags);
		else
			r = lay_over(vm, gfn, page, flags & P2M_RO);
	}
	pthread_mutex_unlock(&vm->lock);
	return r;
}
