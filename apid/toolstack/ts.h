/* apid/toolstack/ts.h - what one thread needs to act on guests: its own
 * hypervisor handle and XenStore connection, and the steps made with both.
 *
 * Every step leaves nothing behind when it fails; errors are a negative errno
 * with *p filled in.  Nothing here knows of tasks, the database or HTTP.
 */
#ifndef APID_TOOLSTACK_TS_H
#define APID_TOOLSTACK_TS_H

#include "apid/guestcfg.h"
#include "apid/problem.h"
#include "apid/toolstack/layout.h"
#include "hv/client/domctl.h"

struct ts {
	struct hvc *h;
	struct xs_sync *xs; /* opened by ts_xs at first use */
};

int ts_init(struct ts *t); /* -ENOMEM, -ENODEV */
void ts_fini(struct ts *t);

/* A working connection to XenStore in t->xs; reconnects if it went away. */
int ts_xs(struct ts *t, struct problem *p);

struct ts_guest {
	uint16_t domid;
	uint64_t created_ns;
	struct hvc_created pages;
};

/* A paused domain with its kernel loaded. */
int ts_build(struct ts *t, const struct guestcfg *g, struct ts_guest *ret, struct problem *p);
/* Its XenStore nodes, and INTRODUCE. */
int ts_publish(struct ts *t, const struct guestcfg *g, const struct ts_guest *b, struct problem *p);
/* Until a device that is in XenStore has its backend ready. */
int ts_wait_device(struct ts *t, uint16_t domid, const struct device *d, struct problem *p);
/* Kernel and ramdisk can be read and devices have a backend: what can be told
 * before anything is made. */
int ts_check_devices(const struct guestcfg *g, struct problem *p); /* its devices' part */
int ts_check(const struct guestcfg *g, struct problem *p);

/* End the guest and remove its nodes.  The guest is ended even if XenStore is
 * away; then *ret_nodes_left is true and layout_remove must be tried later. */
int ts_destroy(struct ts *t, uint16_t domid, const char *uuid, bool crashed, bool *ret_nodes_left,
	       struct problem *p);

#endif
