/* hv/engine/p2m.h - what guest-physical memory is made of.
 *
 * RAM is one mapping split at the hole below 4 GiB; single pages (shared_info,
 * grant frames, special pages, foreign pages) overlay it at any frame.  Lookup
 * is lock-free and may run beside an update; an updater then calls the engine's
 * flush on every vCPU, so no stale translation outlives the update.
 * Knows nothing of hypercalls or devices.
 */
#ifndef HV_ENGINE_P2M_H
#define HV_ENGINE_P2M_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/hv_layout.h" /* P2M_PAGE_SIZE, P2M_HOLE_GFN, P2M_HIGH_GFN */

struct p2m;

/* ram: nr_pages of host memory, borrowed for the p2m's life. */
int p2m_new(void *ram, uint64_t nr_pages, struct p2m **ret);
struct p2m *p2m_free(struct p2m *p);

enum p2m_flags { P2M_RO = 1 };

/* Overlay one page; page NULL removes the overlay (RAM shows again if there is
 * RAM, and it is not punched out).  -EINVAL: gfn beyond 2^40. */
int p2m_overlay(struct p2m *p, uint64_t gfn, void *page, unsigned flags);
/* Mark RAM present or ballooned out; the caller punches the memfd. */
int p2m_set_present(struct p2m *p, uint64_t gfn, bool present);

/* Host address of the frame's first byte and its flags, or NULL: nothing there
 * (MMIO or hole).  The pointer is valid until the overlay changes. */
void *p2m_lookup(const struct p2m *p, uint64_t gfn, unsigned *ret_flags);

/* Bytes from gpa that are host-contiguous and plain RAM, up to max; *ret_host
 * set when > 0.  For bulk copies and large TLB fills. */
uint64_t p2m_span(const struct p2m *p, uint64_t gpa, uint64_t max, void **ret_host);

/* Which of RAM pages 64 * w .. 64 * w + 63 are ballooned out: bit i is page 64 * w + i. */
uint64_t p2m_absent(const struct p2m *p, uint64_t w);

uint64_t p2m_ram_pages(const struct p2m *p);
/* The RAM that p2m_new() was given. */
void *p2m_ram(const struct p2m *p);

/* Is there an overlay at gfn (over RAM or not)? */
bool p2m_is_overlay(const struct p2m *p, uint64_t gfn);
/* The first overlay at or after frame *gfn: its page, with *gfn and *ret_flags
 * set; NULL: there is none.  An overlay that is added meanwhile may be missed. */
void *p2m_next_overlay(const struct p2m *p, uint64_t *gfn, unsigned *ret_flags);
/* Where RAM page i (0-based, memfd order) is in guest-physical space. */
static inline uint64_t p2m_ram_gfn(uint64_t i)
{
	return i < P2M_HOLE_GFN ? i : i - P2M_HOLE_GFN + P2M_HIGH_GFN;
}

#endif
