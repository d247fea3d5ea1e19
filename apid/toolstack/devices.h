/* apid/toolstack/devices.h - the XenStore nodes of a guest's disks and network
 * interfaces, as libxl writes them, and what becomes of a device at run time.
 *
 * A device has three places: the backend's folder, the guest's, and the
 * toolstack's own copy below /libxl that the guest can't change.  Beyond
 * libxl, in a vif's backend folder, only where it is set (netd reads them):
 *
 *   allow                              frames let through all the same: "bpdu+ra"
 *   rx-rate, rx-burst, tx-rate, tx-burst   traffic control: bytes a second, bytes
 */
#ifndef APID_TOOLSTACK_DEVICES_H
#define APID_TOOLSTACK_DEVICES_H

#include <stdint.h>

#include "apid/guestcfg.h"
#include "apid/toolstack/put.h"

/* One device; exactly one of disk and vif is set, both borrowed. */
struct device {
	uint32_t devid;
	const struct guest_disk *disk;
	const struct guest_vif *vif;
};
const char *device_class(const struct device *d); /* "vbd" or "vif" */
const char *device_name(const struct device *d);  /* for people: "xvda", a vif's MAC address */

/* Within the caller's transaction: the class folders and the devices. */
void devices_put(struct put *p, uint16_t domid, const struct device *v, unsigned n);

/* What the backend says of a new device: 1 it is ready for the guest, 0 not
 * yet, -EIO and *ret_error (owned) it can't serve it. */
int device_ready(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid,
		 char **ret_error);

/* A running guest gets one more, in one transaction. -ENOENT: it has gone. */
int device_add(struct xs_sync *xs, uint16_t domid, const struct device *d);
/* Ask the guest to let go of it. -ENOENT: there is no such device. */
int device_offline(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid);
/* 1: its backend is through with it, or it isn't there; 0: not yet. */
int device_closed(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid);
/* All three places, and class folders that are empty then.  Idempotent. */
int device_remove(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid);

#endif
