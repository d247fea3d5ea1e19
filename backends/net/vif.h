/* backends/net/vif.h - one network device of one guest: its XenStore nodes, its TAP,
 * and the threads that serve its queues.  Calls are made by one control thread
 * and block on the local XenStore. */
#ifndef BACKENDS_NET_VIF_H
#define BACKENDS_NET_VIF_H

#include "backends/devhost.h"

struct vif;

int vif_new(const struct dev_host *host, uint32_t devid, struct vif **ret);
/* gone: the toolstack has removed the device, its interface ends too. */
struct vif *vif_free(struct vif *v, bool gone);
const char *vif_watched(const struct vif *v); /* the frontend's folder; borrowed */
bool vif_poll(struct vif *v);		      /* true: again soon */
void vif_tick(struct vif *v);		      /* every second */

#endif
