/* xenstored/hv.h - what the daemon needs of a hypervisor, so that rings can be
 * tested without one.
 */
#ifndef XENSTORED_HV_H
#define XENSTORED_HV_H

#include <stdbool.h>
#include <stdint.h>

struct hv_dom {
	uint64_t created_ns; /* tells reuse of a domid */
	bool shutdown, dying;
};

enum hv_event { HV_NONE, HV_SHUTDOWN, HV_GONE, HV_RESYNC };

struct hv_ops {
	/* 0; -ESRCH: no such domain; -ENOTCONN: can't be known now. */
	int (*dominfo)(void *ctx, uint16_t domid, struct hv_dom *ret);
	/* Next thing that happened to a domain; HV_NONE: no more. */
	enum hv_event (*next)(void *ctx, uint16_t *ret_domid);
	int (*event_fd)(void *ctx);
	/* *ret is the ring's page, unmapped by unmap. -ENOENT, -ENOTCONN. */
	int (*map)(void *ctx, uint16_t domid, uint64_t gfn, void **ret);
	void (*unmap)(void *ctx, void *page);
	int (*bind)(void *ctx, uint16_t domid, uint32_t port, void **ret);
	/* leave: a successor will take the port over. */
	void (*unbind)(void *ctx, void *port, bool leave);
	int (*port_fd)(const void *port);
	void (*ack)(void *port);
	void (*notify)(void *port);
	void (*close)(void *ctx);
};

struct hv {
	const struct hv_ops *ops; /* NULL: there is none */
	void *ctx;
	bool own_ring; /* our kernel is a client, on domain 0's page (gfn 0) and port 0 */
};

/* The real one, through hv/client. */
int hv_open(struct hv *ret);
/* True: that is a real Xen, whose hosts expect what upstream's daemon does. */
bool hv_is_xen(void);

#endif
