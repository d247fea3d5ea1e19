/* hv/engine/kvm/kvm_mem.c - guest memory for KVM.
 *
 * KVM wants ranges, the p2m has single pages laid over RAM.  So KVM is given a
 * second mapping of the RAM, and an overlay page is mapped into that one over
 * the RAM page it hides (mremap of a shared mapping with length 0 makes another
 * mapping of the same pages); KVM follows by itself through the MMU notifier.
 * Pages outside RAM get a slot of their own when they are first touched.
 */
#include "hv/engine/kvm/kvm_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
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
	r = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	vm->max_slots = r > 0 ? (unsigned)r : 32;
	r = set_slot(vm, 0, 0, low * P2M_PAGE_SIZE, vm->view, 0);
	if (r == 0 && pages > low)
		r = set_slot(vm, 1, P2M_HIGH_GFN * P2M_PAGE_SIZE, (pages - low) * P2M_PAGE_SIZE,
			     vm->view + low * P2M_PAGE_SIZE, 0);
	return r;
}

void kvm_mem_fini(struct vm *vm)
{
	if (vm->view)
		munmap(vm->view, vm->ram_bytes);
	vm->view = NULL;
	free(vm->over);
	vm->over = NULL;
}

/* Offset of a RAM frame in the view, or ~0. */
static uint64_t view_offset(const struct vm *vm, uint64_t gfn)
{
	uint64_t i = gfn >= P2M_HIGH_GFN ? gfn - P2M_HIGH_GFN + P2M_HOLE_GFN
		     : gfn < P2M_HOLE_GFN ? gfn
					  : ~0ull;

	return i < vm->ram_bytes / P2M_PAGE_SIZE ? i * P2M_PAGE_SIZE : ~0ull;
}

static int map_over(struct vm *vm, uint64_t off, void *page)
{
	void *p = mremap(page, 0, P2M_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, vm->view + off);

	return p == MAP_FAILED ? -errno : 0;
}

int kvm_mem_sync(struct vm *vm)
{
	uint64_t *old, gfn = 0;
	size_t nold;
	unsigned flags;
	void *page;
	int r = 0;

	pthread_mutex_lock(&vm->lock);
	old = vm->over;
	nold = vm->nover;
	vm->over = NULL;
	vm->nover = 0;
	for (size_t k = 0; k < nold && r == 0; k++)
		if (!p2m_is_overlay(vm->p2m, old[k]))
			r = map_over(vm, view_offset(vm, old[k]), vm->ram + view_offset(vm, old[k]));
	free(old);
	for (unsigned k = 0; k < vm->nlearned && r == 0; k++) {
		struct learned *l = &vm->learned[k];

		if (l->page && p2m_lookup(vm->p2m, l->gfn, &flags) != l->page) {
			r = set_slot(vm, FIRST_PAGE_SLOT + k, l->gfn * P2M_PAGE_SIZE, 0, l->page, 0);
			l->page = NULL;
		}
	}
	for (; r == 0 && (page = p2m_next_overlay(vm->p2m, &gfn, &flags)); gfn++) {
		uint64_t *more;

		if (view_offset(vm, gfn) == ~0ull)
			continue; /* a slot of its own, when touched */
		more = realloc(vm->over, (vm->nover + 1) * sizeof(*more));
		if (!more) {
			r = -ENOMEM;
			break;
		}
		vm->over = more;
		vm->over[vm->nover++] = gfn;
		r = map_over(vm, view_offset(vm, gfn), page);
	}
	pthread_mutex_unlock(&vm->lock);
	return r;
}

void kvm_mem_learn(struct vm *vm, uint64_t gfn, void *page, unsigned flags)
{
	unsigned k;

	pthread_mutex_lock(&vm->lock);
	if (view_offset(vm, gfn) != ~0ull)
		goto out;
	for (k = 0; k < vm->nlearned && vm->learned[k].page; k++)
		;
	if (k < KVM_PAGE_SLOTS && k + FIRST_PAGE_SLOT < vm->max_slots &&
	    set_slot(vm, FIRST_PAGE_SLOT + k, gfn * P2M_PAGE_SIZE, P2M_PAGE_SIZE, page, flags) == 0) {
		vm->learned[k] = (struct learned){ gfn, page };
		if (k == vm->nlearned)
			vm->nlearned++;
	}
out:
	pthread_mutex_unlock(&vm->lock);
}
