/* hv/client/hvc.h - what dom0 programs use to reach a hypervisor.
 *
 * Two providers behind one interface: "bundled" (hvd's socket) and "xen"
 * (libxenevtchn, libxengnttab, libxenforeignmemory, libxenctrl, when built with
 * -Dxen=enabled).  Calls are synchronous and short; a handle belongs to one
 * thread.  If hvd is away a call returns -ENOTCONN at once and the handle
 * reconnects on a later call; mapped memory and ports stay usable meanwhile.
 */
#ifndef HV_CLIENT_HVC_H
#define HV_CLIENT_HVC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hvc;

/* spec: "bundled:<socket path>", "bundled", "xen", or NULL: $DOMZERO_HV, else
 * "xen" if that was built in and this is a real Xen's control domain, else
 * "bundled".  *ret is owned by the caller.  Succeeds even if hvd is not there
 * yet; -ENODEV for a provider that was not built in. */
int hvc_open(const char *spec, struct hvc **ret);
bool hvc_is_xen(const char *spec);    /* hvc_open(spec) would mean a real Xen */
struct hvc *hvc_close(struct hvc *h); /* NULL ok; does not unmap what is mapped */
/* True: this domain's kernel uses XenStore through a ring of its own, which is
 * domain 0's page and port 0 for hvc_map_page() and hvc_port_bind(). */
bool hvc_own_ring(const struct hvc *h);

/* ---- domains ---- */
#define HVC_DOMID_FIRST_RESERVED 0x7ff0u /* <xen/xen.h> */
#define HVC_NAME_MAX		 64

enum hvc_dom_flags {
	HVC_DOM_RUNNING = 1,
	HVC_DOM_BLOCKED = 2,
	HVC_DOM_PAUSED = 4,
	HVC_DOM_SHUTDOWN = 8, /* see shutdown_reason */
	HVC_DOM_DYING = 16    /* its process is gone; memory is kept until destroyed */
};

struct hvc_dominfo {
	uint16_t domid;
	uint8_t uuid[16];
	uint32_t flags;
	uint32_t shutdown_reason; /* SHUTDOWN_* of <xen/sched.h> */
	char crash_detail[128];
	uint64_t pages, max_pages; /* 4 KiB */
	uint32_t vcpus_online, max_vcpus;
	uint64_t cpu_ns;
	uint64_t created_ns; /* CLOCK_REALTIME at creation; tells reuse of a domid */
	char engine[16];
};

int hvc_dominfo(struct hvc *h, uint16_t domid, struct hvc_dominfo *ret); /* -ESRCH */
/* Up to n domains with domid >= first, ascending.  Returns how many. */
int hvc_domlist(struct hvc *h, uint16_t first, struct hvc_dominfo *ret, size_t n);

enum hvc_event_kind {
	HVC_EV_CREATED,
	HVC_EV_SHUTDOWN,  /* reason valid; the domain still exists */
	HVC_EV_DYING,	  /* its process died */
	HVC_EV_DESTROYED, /* the domid is free */
	HVC_EV_RESYNC	  /* events may have been missed: look at every domain */
};
struct hvc_event {
	enum hvc_event_kind kind;
	uint16_t domid;
	uint32_t reason;
};
/* A descriptor that is readable when hvc_event_next() has something; owned by
 * h and constant over reconnects.  Subscribes at the first call. */
int hvc_event_fd(struct hvc *h);
/* 1 and *ret, 0 for none now.  After a lost connection a RESYNC comes first. */
int hvc_event_next(struct hvc *h, struct hvc_event *ret);

/* ---- memory ---- */
/* Map one special page (the XenStore or console ring; gfn as HVM params tell),
 * read-write.  *ret is 4096 bytes, owned: hvc_unmap_page. -ENOENT: no such page. */
int hvc_map_page(struct hvc *h, uint16_t domid, uint64_t gfn, void **ret);
void hvc_unmap_page(struct hvc *h, void *page);

/* Everything a backend may touch of one guest: its RAM and its grant table.
 * Only given to root and to processes hvd was told of. */
struct hvc_guest;
int hvc_guest_open(struct hvc *h, uint16_t domid, struct hvc_guest **ret);
struct hvc_guest *hvc_guest_close(struct hvc_guest *g);
/* Map a grant for access.  *ret points at the frame's 4096 bytes; nothing is
 * copied.  The flags protocol of <xen/grant_table.h> is followed: GTF_reading
 * or GTF_writing is set until hvc_grant_unmap.  -EINVAL: not granted to dom0,
 * read-only for a write, ref out of range; -EFAULT: the frame is not RAM. */
int hvc_grant_map(struct hvc_guest *g, uint32_t ref, bool write, void **ret);
void hvc_grant_unmap(struct hvc_guest *g, uint32_t ref, bool write, void *page);

/* ---- event channels ---- */
struct hvc_port;
/* Bind dom0's end to a guest's port.  A port that dom0 already held (a daemon
 * that was killed) is taken over with what was pending.  Owned. */
int hvc_port_bind(struct hvc *h, uint16_t domid, uint32_t remote_port, struct hvc_port **ret);
struct hvc_port *hvc_port_close(struct hvc_port *p); /* the guest's end becomes unbound */
struct hvc_port *hvc_port_leave(struct hvc_port *p); /* frees, the binding stays for a successor */
int hvc_port_fd(const struct hvc_port *p);	     /* readable when pending; borrowed */
void hvc_port_ack(struct hvc_port *p);		     /* clear pending before looking at the ring */
void hvc_port_notify(struct hvc_port *p);

#endif
