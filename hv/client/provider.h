/* hv/client/provider.h - what a hypervisor provider implements; hvc.c
 * dispatches to it.  Private to hv/client. */
#ifndef HV_CLIENT_PROVIDER_H
#define HV_CLIENT_PROVIDER_H

#include "hv/client/hvc.h"

/* Every entry has the contract of the hvc_ function of its name. */
struct hvc_ops {
	bool own_ring; /* what hvc_own_ring() says */
	struct hvc *(*close)(struct hvc *h);
	int (*dominfo)(struct hvc *h, uint16_t domid, struct hvc_dominfo *ret);
	int (*domlist)(struct hvc *h, uint16_t first, struct hvc_dominfo *ret, size_t n);
	int (*event_fd)(struct hvc *h);
	int (*event_next)(struct hvc *h, struct hvc_event *ret);
	int (*map_page)(struct hvc *h, uint16_t domid, uint64_t gfn, void **ret);
	void (*unmap_page)(struct hvc *h, void *page);
	int (*guest_open)(struct hvc *h, uint16_t domid, struct hvc_guest **ret);
	int (*dmesg)(struct hvc *h, uint64_t off, char *buf, size_t n,
		     uint64_t *ret_next); /* or NULL */
	int (*port_bind)(struct hvc *h, uint16_t domid, uint32_t port, struct hvc_port **ret);
};

struct hvc_guest_ops {
	struct hvc_guest *(*close)(struct hvc_guest *g);
	int (*grant_map)(struct hvc_guest *g, uint32_t ref, bool write, void **ret);
	void (*grant_unmap)(struct hvc_guest *g, uint32_t ref, bool write, void *page);
};

struct hvc_port_ops {
	struct hvc_port *(*close)(struct hvc_port *p);
	struct hvc_port *(*leave)(struct hvc_port *p);
	int (*fd)(const struct hvc_port *p);
	void (*ack)(struct hvc_port *p);
	void (*notify)(struct hvc_port *p);
};

/* A provider embeds these as the first member of its own structs. */
struct hvc {
	const struct hvc_ops *ops;
};
struct hvc_guest {
	const struct hvc_guest_ops *ops;
};
struct hvc_port {
	const struct hvc_port_ops *ops;
};

int bundled_open(const char *path, struct hvc **ret); /* path NULL: path_hvd_sock() */
#ifdef DZ_WITH_XEN
int xen_open(struct hvc **ret);
#endif

#endif
