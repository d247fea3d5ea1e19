/* apid/toolstack/vdev.h - a disk's name in the guest as a number. */
#ifndef APID_TOOLSTACK_VDEV_H
#define APID_TOOLSTACK_VDEV_H

#include <stdint.h>

/* "xvda", "xvdb3", "hda", "sda1": the number of docs/man/xen-vbd-interface(7),
 * with which the guest names the device.  -EINVAL for any other name. */
int vdev_number(const char *name, uint32_t *ret);

#endif
