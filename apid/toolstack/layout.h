/* apid/toolstack/layout.h - the XenStore nodes of a guest, as libxl writes them.
 *
 * Recorded from Xen 4.17's libxl for a PVH guest: the same nodes, values and
 * permissions, so that a guest's xenbus and Xen's own tools find what they
 * expect.  Ours in addition, under /vm/<uuid> and only for dom0 to write:
 *
 *   crash-reason, crash-time   why the last run crashed; written when it does,
 *                              and left behind (with name and uuid) when the
 *                              crashed domain is removed, until it is started
 *                              again, undefined or LAYOUT_CRASHES_MAX others
 *                              have crashed since.
 */
#ifndef APID_TOOLSTACK_LAYOUT_H
#define APID_TOOLSTACK_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "apid/toolstack/devices.h"
#include "daemons/xs_client.h"

#define LAYOUT_CRASHES_MAX 64

struct layout {
	uint16_t domid;
	const char *uuid, *name;
	unsigned vcpus, max_vcpus;
	uint64_t static_max_kib, target_kib;
	uint64_t store_gfn, console_gfn;
	uint32_t store_port, console_port;
	int64_t start_ms;
	const struct device *devs;
	unsigned ndevs;
};

/* /local/domain/0, /local/pool/0 and the folders above guests.  Idempotent;
 * leaves what is there. */
int layout_host(struct xs_sync *xs);

/* All nodes of a guest in one transaction, then INTRODUCE. */
int layout_add(struct xs_sync *xs, const struct layout *l);

/* Remove every node of the guest.  With crashed, /vm/<uuid> is reduced to the
 * crash report instead.  Nodes of another guest that got the same domid are
 * left alone (uuid is compared).  Idempotent. */
int layout_remove(struct xs_sync *xs, uint16_t domid, const char *uuid, bool crashed);

int layout_crash(struct xs_sync *xs, const char *uuid, const char *reason, int64_t at_ms);
int layout_forget_crash(struct xs_sync *xs, const char *uuid);

int layout_rename(struct xs_sync *xs, uint16_t domid, const char *uuid, const char *name);
/* Gives a preserved guest another identity: /vm/<uuid> moves to /vm/<new_uuid>. */
int layout_reidentify(struct xs_sync *xs, uint16_t domid, const char *uuid, const char *new_uuid,
		      const char *new_name);
int layout_target(struct xs_sync *xs, uint16_t domid, uint64_t kib);
int layout_vcpus(struct xs_sync *xs, uint16_t domid, unsigned online, unsigned max);

/* control/shutdown = request ("poweroff", "reboot").  -EBUSY while an earlier
 * request is not yet read by the guest. */
int layout_shutdown(struct xs_sync *xs, uint16_t domid, const char *request);
int layout_sysrq(struct xs_sync *xs, uint16_t domid, char key);
/* *ret is owned; "" if consoled has not made one yet. */
int layout_tty(struct xs_sync *xs, uint16_t domid, char **ret);

#endif
