/* proto/hv_layout.h - where things are in a domain's shared memory and on its
 * event channels; the numbers both sides of the hypervisor's socket must agree
 * on.  Special pages end at frame 0xff000 as they do under Xen's toolstack. */
#ifndef PROTO_HV_LAYOUT_H
#define PROTO_HV_LAYOUT_H

/* RAM in the memfd is contiguous; the guest sees a hole below 4 GiB. */
#define P2M_PAGE_SIZE 4096u
#define P2M_HOLE_GFN  0xf0000ull  /* RAM stops here (3.75 GiB) ... */
#define P2M_HIGH_GFN  0x100000ull /* ... and goes on at 4 GiB */

/* The "special" memfd, in pages: xenstored and consoled map only this. */
#define SPECIAL_PAGES	     16u
#define SPECIAL_PAGE_STORE   0u
#define SPECIAL_PAGE_CONSOLE 1u
#define SPECIAL_GFN_STORE    0xfeffcull
#define SPECIAL_GFN_CONSOLE  0xfefffull

/* The "gnttab" memfd: v1 shared frames, this many pages. */
#define GNTTAB_MAX_FRAMES 64u

/* Ports of the toolstack's pages; unbound for dom0 when a domain is built. */
#define DOMAIN_PORT_STORE   1u
#define DOMAIN_PORT_CONSOLE 2u
#define DOMAIN_MAX_VCPUS    32u
#define DOMAIN_MAX_PORTS    4096u /* 2-level ABI, 64-bit guest */
#define DOM0_PORTS_MAX	    1024u /* of one domain, bound to dom0: two descriptors each */
#define DOMAIN_CMDLINE_MAX  2048u

/* The life of a domain as its process reports it (D_STATS_REPLY). */
enum hv_dom_state { HV_DOM_BUILDING, HV_DOM_PAUSED, HV_DOM_RUNNING, HV_DOM_SHUTDOWN };

#endif
