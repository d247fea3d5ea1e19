/* backends/devnode.h - a device's two folders in XenStore, as a backend uses them.
 *
 * The backend's folder is the toolstack's: nothing is written to one that is
 * gone.  The guest's own nodes are text from a stranger.  Calls block on the
 * local XenStore.
 */
#ifndef BACKENDS_DEVNODE_H
#define BACKENDS_DEVNODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/xenbus_fsm.h"
#include "daemons/xs_client.h"

struct devnode {
	struct xs_sync *xs; /* borrowed */
	uint32_t devid;
	char back[64], front[64]; /* folders */
	bool blind; /* XenStore did not answer: what was read since this was cleared says nothing */
};

struct node {
	const char *name; /* borrowed, may be "queue-0/x" */
	char val[256];
};

/* kind: "vbd", "vif": the name of the folders. */
void devnode_init(struct devnode *d, struct xs_sync *xs, const char *kind, uint16_t domid,
		  uint32_t devid);

/* dir is d->back or d->front.  The value is malloc'ed; NULL: there is none. */
char *devnode_read(struct devnode *d, const char *dir, const char *name);
enum xb_state devnode_state(struct devnode *d, const char *dir);
bool devnode_online(struct devnode *d); /* the toolstack wants the device */
/* A decimal number of the guest's; -ENOENT, or -EINVAL. */
int devnode_u32(struct devnode *d, const char *name, uint32_t *ret);

struct node node(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Write all of them to the backend's folder, or none; -ENOENT: it is gone. */
int devnode_publish(struct devnode *d, const struct node *n, size_t count);

#endif
