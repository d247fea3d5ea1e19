/* backends/block/vbd.h - one block device of one guest: its XenStore nodes, its
 * image, and the thread that serves its ring.
 *
 * Calls are made by one control thread and block on the local XenStore; guests'
 * I/O is done by the device's own thread meanwhile.
 */
#ifndef BACKENDS_BLOCK_VBD_H
#define BACKENDS_BLOCK_VBD_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/devhost.h"

struct vbd;

int vbd_new(const struct dev_host *host, uint32_t devid, struct vbd **ret);
/* Stops the thread; the guest's end of the port stays bound for a successor. */
struct vbd *vbd_free(struct vbd *v);
const char *vbd_frontend_state(const struct vbd *v); /* its path; borrowed */

/* Look at the nodes and do what follows.  True: to be called again soon, for
 * something that no watch tells (an image that somebody still holds). */
bool vbd_poll(struct vbd *v);
/* The image may have another size now: tell the guest. */
void vbd_check_size(struct vbd *v);

#endif
