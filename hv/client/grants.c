/* hv/client/grants.c - grants of a guest to dom0, honoured without a system
 * call: the flags of the shared entry are taken with compare-and-swap, as
 * <xen/grant_table.h> tells the guest to expect.
 *
 * Mapping:   {flags, domid} is one 32-bit word.  If it permits access to dom0,
 *            swap in GTF_reading (and GTF_writing); only then read the frame.
 *            A guest that ends the grant does cmpxchg(flags, 0) and fails while
 *            a bit is set, so it keeps the page for us until we let go.
 * Unmapping: the last user of a bit clears it.
 *
 * Everything in the table is the guest's to scribble on at any time: it can
 * hurt only itself, since a frame is checked against its own RAM after it was
 * copied.
 */
#include "hv/client/grants.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <xen/xen.h>
#include <xen/grant_table.h>

#include "daemons/sys.h"
#include "hv/client/provider.h"
#include "proto/hv_layout.h"

#define DOM0	       0u
#define UNSTABLE_TRIES 8 /* a guest that keeps rewriting its entry is refused */
#define V1_PER_FRAME   (P2M_PAGE_SIZE / sizeof(struct grant_entry_v1))

struct pins {
	uint32_t readers, writers; /* readers counts every mapping */
};

struct grants {
	struct hvc_guest base;
	uint8_t *ram;
	uint64_t ram_pages;
	struct grant_entry_v1 *table;
	uint32_t entries;
	struct pins *pins;
};

/* 0 and the entry is held, or -EINVAL. */
static int entry_take(struct grant_entry_v1 *e, bool write)
{
	uint32_t *word = (uint32_t *)(void *)e;
	uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);

	for (int i = 0; i < UNSTABLE_TRIES; i++) {
		uint16_t flags = (uint16_t)seen;
		uint32_t want = seen | GTF_reading | (write ? GTF_writing : 0);

		if ((flags & (GTF_type_mask | GTF_sub_page)) != GTF_permit_access ||
		    seen >> 16 != DOM0 || (write && (flags & GTF_readonly)))
			return -EINVAL;
		if (__atomic_compare_exchange_n(word, &seen, want, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			return 0;
	}
	return -EINVAL;
}

static void entry_release(struct grants *g, uint32_t ref)
{
	const struct pins *p = &g->pins[ref];
	uint16_t clear =
		(uint16_t)((p->readers ? 0 : GTF_reading) | (p->writers ? 0 : GTF_writing));

	if (clear)
		__atomic_fetch_and(&g->table[ref].flags, (uint16_t)~clear, __ATOMIC_RELEASE);
}

static void *frame_addr(const struct grants *g, uint32_t gfn)
{
	uint64_t page = gfn;

	if (page >= P2M_HIGH_GFN)
		page = page - P2M_HIGH_GFN + P2M_HOLE_GFN;
	else if (page >= P2M_HOLE_GFN)
		return NULL;
	return page < g->ram_pages ? g->ram + page * P2M_PAGE_SIZE : NULL;
}

static int grants_map(struct hvc_guest *base, uint32_t ref, bool write, void **ret)
{
	struct grants *g = (struct grants *)base;
	void *page;
	int r;

	if (ref >= g->entries)
		return -EINVAL;
	r = entry_take(&g->table[ref], write);
	if (r < 0)
		return r;
	page = frame_addr(g, __atomic_load_n(&g->table[ref].frame, __ATOMIC_ACQUIRE));
	if (!page) {
		entry_release(g, ref); /* clears only what no other mapping holds */
		return -EFAULT;
	}
	g->pins[ref].readers++;
	g->pins[ref].writers += write;
	*ret = page;
	return 0;
}

static void grants_unmap(struct hvc_guest *base, uint32_t ref, bool write, void *page)
{
	struct grants *g = (struct grants *)base;

	assert(ref < g->entries && g->pins[ref].readers > 0);
	assert(!write || g->pins[ref].writers > 0);
	assert((uint8_t *)page >= g->ram &&
	       (uint8_t *)page < g->ram + g->ram_pages * P2M_PAGE_SIZE);
	g->pins[ref].readers--;
	g->pins[ref].writers -= write;
	entry_release(g, ref);
}

static struct hvc_guest *grants_close(struct hvc_guest *base)
{
	struct grants *g = (struct grants *)base;

	if (g->ram)
		munmap(g->ram, g->ram_pages * P2M_PAGE_SIZE);
	if (g->table)
		munmap(g->table, g->entries * sizeof(*g->table));
	free(g->pins);
	free(g);
	return NULL;
}

static const struct hvc_guest_ops grants_ops = {
	.close = grants_close,
	.grant_map = grants_map,
	.grant_unmap = grants_unmap,
};

/* A mapping past the end of its file would be a SIGBUS in waiting. */
static int check_size(int fd, uint64_t pages)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return pages && (uint64_t)st.st_size / P2M_PAGE_SIZE >= pages ? 0 : -EINVAL;
}

int grants_open(int ram_fd, uint64_t ram_pages, int gnttab_fd, uint32_t frames,
		struct hvc_guest **ret)
{
	struct grants *g;
	int r;

	r = frames > GNTTAB_MAX_FRAMES ? -EINVAL : check_size(ram_fd, ram_pages);
	if (r == 0)
		r = check_size(gnttab_fd, frames);
	if (r < 0)
		return r;
	g = sys_zalloc(sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->base.ops = &grants_ops;
	g->ram_pages = ram_pages;
	g->entries = frames * (uint32_t)V1_PER_FRAME;
	g->pins = sys_zalloc(g->entries * sizeof(*g->pins));
	if (!g->pins) {
		r = -ENOMEM;
		goto out;
	}
	g->ram = sys_mmap_shared(ram_fd, ram_pages * P2M_PAGE_SIZE, 0, PROT_READ | PROT_WRITE, &r);
	if (!g->ram)
		goto out;
	g->table = sys_mmap_shared(gnttab_fd, g->entries * sizeof(*g->table), 0,
				   PROT_READ | PROT_WRITE, &r);
	if (!g->table)
		goto out;
	*ret = &g->base;
	return 0;
out:
	(void)grants_close(&g->base);
	return r;
}
