/* xenstored/arena.c - size classes in 64 KiB pages.
 *
 * Page 0 is the header.  Every other page in use starts with 8 bytes that say
 * its class; all blocks of a page have one size.  Lists of free blocks run
 * through the blocks, the rest of the bookkeeping is on the heap and rebuilt
 * by arena_sweep().
 */
#include "xenstored/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemons/sys.h"

#define ARENA_MAGIC 0x31656e6572617a64ull /* "dzarene1" */
#define PAGE_MAGIC  0x64a5u
#define PAGE_HDR    8u
#define GROW_PAGES  4u
#define KEEP_FREE   24u /* free pages whose memory is not given back */

struct arena_hdr {
	uint64_t magic;
	uint32_t npages, unused;
	uint8_t root[ARENA_ROOT_SIZE];
};

struct page_hdr {
	uint16_t magic, cls;
	uint32_t unused;
};

/* 16, 24 ... 128, then eight steps per doubling up to 8192: classes 1..63. */
static unsigned class_of(size_t n)
{
	unsigned shift;

	if (n <= 16)
		return 1;
	if (n <= 128)
		return (unsigned)((n + 7) / 8 - 1);
	shift = 63 - (unsigned)__builtin_clzll(n - 1);
	return 15 + (shift - 7) * 8 + (unsigned)((n - 1 - (1ull << shift)) >> (shift - 3)) + 1;
}

static size_t class_size(unsigned c)
{
	unsigned shift;

	if (c <= 15)
		return (c + 1) * 8;
	shift = 7 + (c - 16) / 8;
	return (1ull << shift) + ((size_t)((c - 16) % 8 + 1) << (shift - 3));
}

static uint8_t *page_ptr(const struct arena *a, uint32_t page)
{
	return a->base + (size_t)page * ARENA_PAGE;
}

void *arena_root(const struct arena *a)
{
	return ((struct arena_hdr *)(void *)a->base)->root;
}

static int map_file(struct arena *a, size_t max_bytes)
{
	int err = 0;

	if (a->fd < 0) {
		a->base = mmap(NULL, max_bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (a->base == MAP_FAILED)
			a->base = NULL;
		return a->base ? 0 : -errno;
	}
	a->base = sys_mmap_shared(a->fd, max_bytes, 0, PROT_READ | PROT_WRITE, &err);
	return a->base ? 0 : err;
}

/* Pages [page, page + n) get memory of their own. */
static int back_pages(struct arena *a, uint32_t page, uint32_t n)
{
	if (a->fd < 0)
		return 0;
	return -posix_fallocate(a->fd, (off_t)page * ARENA_PAGE, (off_t)n * ARENA_PAGE);
}

static void unback_page(struct arena *a, uint32_t page)
{
	/* Failure only means that memory is given back later. */
	if (a->fd < 0)
		(void)madvise(page_ptr(a, page), ARENA_PAGE, MADV_DONTNEED);
	else
		(void)fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)page * ARENA_PAGE, ARENA_PAGE);
}

int arena_init(struct arena *a, int fd, size_t max_bytes, bool *ret_old)
{
	struct arena_hdr *h;
	struct stat st = { 0 };
	int r;

	*a = (struct arena){ .fd = fd, .max_pages = (uint32_t)(max_bytes / ARENA_PAGE) };
	if (fd >= 0 && fstat(fd, &st) < 0)
		return -errno;
	r = map_file(a, max_bytes);
	if (r == 0 && st.st_size == 0)
		r = back_pages(a, 0, 1);
	if (r < 0)
		return r;
	h = (struct arena_hdr *)(void *)a->base;
	*ret_old = st.st_size != 0 && h->magic != 0;
	if (!*ret_old) {
		h->npages = 1;
		h->magic = ARENA_MAGIC;
	}
	if (h->magic != ARENA_MAGIC || h->npages == 0 || h->npages > a->max_pages ||
	    (fd >= 0 && (size_t)h->npages * ARENA_PAGE > (size_t)st.st_size && *ret_old))
		return -EBADMSG;
	a->npages = h->npages;
	a->pages = sys_zalloc(a->npages * sizeof(*a->pages));
	if (!a->pages)
		return -ENOMEM;
	if (*ret_old) {
		a->marks = sys_zalloc((size_t)a->npages * (ARENA_PAGE / 64));
		if (!a->marks)
			return -ENOMEM;
	}
	return 0;
}

void arena_fini(struct arena *a)
{
	if (a->base)
		munmap(a->base, (size_t)a->max_pages * ARENA_PAGE);
	if (a->fd >= 0)
		close(a->fd);
	free(a->pages);
	free(a->marks);
	*a = (struct arena){ .fd = -1 };
}

static void push_free_page(struct arena *a, uint32_t page, bool backed)
{
	uint32_t *head = &a->ready;

	if (backed && a->nready < KEEP_FREE) {
		a->nready++;
	} else {
		if (backed)
			unback_page(a, page);
		head = &a->punched;
	}
	a->pages[page] = (struct arena_page){ .next = *head };
	*head = page;
}

static int grow(struct arena *a)
{
	struct arena_hdr *h = (struct arena_hdr *)(void *)a->base;
	uint32_t n = GROW_PAGES, first = a->npages;
	struct arena_page *p;

	if (n > a->max_pages - a->npages)
		return -ENOMEM;
	p = sys_realloc(a->pages, (size_t)(a->npages + n) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	a->pages = p;
	if (back_pages(a, first, n) < 0)
		return -ENOMEM;
	memset(p + first, 0, n * sizeof(*p));
	a->npages += n;
	h->npages = a->npages;
	for (uint32_t i = n; i-- > 0;) {
		p[first + i].next = a->ready;
		a->ready = first + i;
		a->nready++;
	}
	return 0;
}

static int make_ready(struct arena *a)
{
	uint32_t page = a->punched;

	if (!page)
		return grow(a);
	if (back_pages(a, page, 1) < 0)
		return -ENOMEM;
	a->punched = a->pages[page].next;
	a->pages[page].next = a->ready;
	a->ready = page;
	a->nready++;
	return 0;
}

static void list_page(struct arena *a, uint32_t page)
{
	struct arena_page *p = &a->pages[page];

	p->prev = 0;
	p->next = a->partial[p->cls];
	if (p->next)
		a->pages[p->next].prev = page;
	a->partial[p->cls] = page;
	p->listed = true;
}

static void unlist_page(struct arena *a, uint32_t page)
{
	struct arena_page *p = &a->pages[page];

	if (p->next)
		a->pages[p->next].prev = p->prev;
	if (p->prev)
		a->pages[p->prev].next = p->next;
	else
		a->partial[p->cls] = p->next;
	p->listed = false;
}

static int take_page(struct arena *a, unsigned cls)
{
	struct page_hdr *h;
	uint32_t page;
	int r;

	r = a->ready ? 0 : make_ready(a);
	if (r < 0)
		return r;
	page = a->ready;
	a->ready = a->pages[page].next;
	a->nready--;
	h = (struct page_hdr *)(void *)page_ptr(a, page);
	*h = (struct page_hdr){ PAGE_MAGIC, (uint16_t)cls, 0 };
	a->pages[page] = (struct arena_page){ .cls = (uint8_t)cls };
	list_page(a, page);
	return 0;
}

static unsigned page_blocks(unsigned cls)
{
	return (unsigned)((ARENA_PAGE - PAGE_HDR) / class_size(cls));
}

static uint8_t *block_ptr(const struct arena *a, uint32_t page, unsigned i)
{
	return page_ptr(a, page) + PAGE_HDR + i * class_size(a->pages[page].cls);
}

aref arena_alloc(struct arena *a, size_t n)
{
	struct arena_page *p;
	uint32_t page;
	uint8_t *b;
	unsigned cls;

	if (n > ARENA_BLOCK_MAX)
		return 0;
	cls = class_of(n);
	if (!a->partial[cls] && take_page(a, cls) < 0)
		return 0;
	page = a->partial[cls];
	p = &a->pages[page];
	if (p->free) {
		b = block_ptr(a, page, p->free - 1u);
		memcpy(&p->free, b, sizeof(p->free));
	} else {
		b = block_ptr(a, page, p->bump++);
	}
	p->used++;
	a->live += class_size(cls);
	if (!p->free && p->bump == page_blocks(cls))
		unlist_page(a, page);
	return (aref)((size_t)(b - a->base) / 8);
}

void arena_free(struct arena *a, aref r)
{
	uint32_t page = r / (ARENA_PAGE / 8);
	struct arena_page *p = &a->pages[page];
	uint8_t *b = arena_ptr(a, r);
	size_t size = class_size(p->cls);

	memcpy(b, &p->free, sizeof(p->free));
	p->free = (uint16_t)((size_t)(b - page_ptr(a, page) - PAGE_HDR) / size + 1);
	p->used--;
	a->live -= size;
	if (!p->listed)
		list_page(a, page);
	if (p->used == 0 && (p->next || p->prev)) {
		unlist_page(a, page); /* not the class's last page with room */
		push_free_page(a, page, true);
	}
}

int arena_reserve(struct arena *a, size_t n)
{
	/* Each block may open a page of its own class in the worst case, so pages
	 * are counted, not bytes: sixteen covers every operation on one path. */
	uint32_t want = (uint32_t)(n / (ARENA_PAGE / 2)) + 16;

	while (a->nready < want)
		if (make_ready(a) < 0)
			return -ENOMEM;
	return 0;
}

size_t arena_room(const struct arena *a, aref r)
{
	size_t off = (size_t)r * 8, size;
	const struct page_hdr *h;
	uint32_t page = r / (ARENA_PAGE / 8);

	if (page == 0 || page >= a->npages)
		return 0;
	h = (const struct page_hdr *)(const void *)page_ptr(a, page);
	if (h->magic != PAGE_MAGIC || h->cls == 0 || h->cls > 63)
		return 0;
	size = class_size(h->cls);
	off -= (size_t)page * ARENA_PAGE;
	if (off < PAGE_HDR || (off - PAGE_HDR) % size ||
	    (off - PAGE_HDR) / size >= page_blocks(h->cls))
		return 0;
	return size;
}

int arena_mark(struct arena *a, aref r, size_t n)
{
	uint32_t page = r / (ARENA_PAGE / 8);
	size_t room = arena_room(a, r);
	const struct page_hdr *h;

	if (room == 0 || room < n)
		return -EBADMSG;
	if (a->marks[r / 8] & 1u << r % 8)
		return 0;
	a->marks[r / 8] |= (uint8_t)(1u << r % 8);
	h = (const struct page_hdr *)(const void *)page_ptr(a, page);
	a->pages[page].cls = (uint8_t)h->cls;
	a->pages[page].used++;
	a->live += room;
	return 1;
}

/* Thread the free blocks of one page that has some in use. */
static void sweep_page(struct arena *a, uint32_t page)
{
	struct arena_page *p = &a->pages[page];
	unsigned n = page_blocks(p->cls);

	p->bump = (uint16_t)n;
	for (unsigned i = n; i-- > 0;) {
		uint8_t *b = block_ptr(a, page, i);
		aref r = (aref)((size_t)(b - a->base) / 8);

		if (a->marks[r / 8] & 1u << r % 8)
			continue;
		memcpy(b, &p->free, sizeof(p->free));
		p->free = (uint16_t)(i + 1);
	}
	if (p->free)
		list_page(a, page);
}

void arena_sweep(struct arena *a)
{
	for (uint32_t page = a->npages; page-- > 1;) {
		if (a->pages[page].used) {
			sweep_page(a, page);
			continue;
		}
		unback_page(a, page); /* it may be a hole already */
		push_free_page(a, page, false);
	}
	free(a->marks);
	a->marks = NULL;
}
