/* backends/devhost.h - the process that serves one guest's devices of a kind: as
 * many as the toolstack has made folders for below
 * /local/domain/0/backend/KIND/DOMID.
 *
 * Ends by itself when the guest's last folder is gone.  May be killed at any
 * time: its successor goes on with the same rings.
 */
#ifndef BACKENDS_DEVHOST_H
#define BACKENDS_DEVHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/wardenc.h"
#include "daemons/xs_client.h"
#include "hv/client/hvc.h"

struct dev_host { /* borrowed by every device */
	struct xs_sync *xs;
	struct hvc *hv;
	struct wardenc *warden; /* NULL: it was started by hand and opens devices itself */
	uint16_t domid;
};

struct dev_ops {
	const char *program, *kind;
	const struct child_needs *needs; /* of the jail it is started in */
	int (*open)(const struct dev_host *host, uint32_t devid, void **ret);
	/* Stops its threads; the guest's ends of ports stay bound for a successor.
	 * gone: the toolstack has removed the device. */
	void (*close)(void *dev, bool gone);
	/* What to watch of the frontend's; borrowed from dev. */
	const char *(*watched)(const void *dev);
	/* Look at the nodes and do what follows.  True: to be called again soon, for
	 * something that no watch tells. */
	bool (*poll)(void *dev);
	void (*tick)(void *dev); /* every second */
};

int devhost_main(const struct dev_ops *ops, int argc, char **argv);

#endif
