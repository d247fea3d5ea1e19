/* backends/block/blkd.c - the warden of block devices: opens and locks the images
 * that the toolstack's nodes name, for one jailed blkback per guest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/block/image.h"
#include "backends/warden.h"
#include "daemons/paths.h"
#include "daemons/xs_client.h"

/* Publications of vbd.c; what the toolstack writes is not among them. */
static const char *const writes[] = {
	"state",
	"error",
	"hotplug-status",
	"hotplug-error",
	"physical-device",
	"feature-max-indirect-segments",
	"multi-queue-max-queues",
	"max-ring-page-order",
	"feature-flush-cache",
	"feature-barrier",
	"feature-discard",
	"feature-persistent",
	"discard-granularity",
	"discard-alignment",
	"discard-secure",
	"sectors",
	"stats",
	"info",
	"sector-size",
	"physical-sector-size",
	NULL,
};

static int read_node(const struct warden_ask *ask, const char *name, char **ret)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", ask->back, name);
	return xs_sync_read(ask->xs, 0, path, ret);
}

static int open_image(void *arg, const struct warden_ask *ask, struct warden_dev *ret, char *err,
		      size_t errlen)
{
	char *params = NULL, *mode = NULL;
	int r = read_node(ask, "params", &params);

	if (r == 0)
		r = read_node(ask, "mode", &mode);
	if (r == 0)
		r = image_open_fd(params, strcmp(mode, "w") == 0);
	if (r < 0) {
		snprintf(err, errlen, "%.120s: %s", params ? params : "params", strerror(-r));
	} else {
		ret->fds[0] = r;
		ret->nfds = 1;
		r = 0;
	}
	free(params);
	free(mode);
	return r;
}

static const struct warden_kind vbd = {
	.kind = "vbd",
	.daemon = "blkd",
	.program = "blkback",
	.uid_base = 240000, /* above the domain processes' */
	.writes = writes,
	.door = path_blkd_sock,
	.open = open_image,
};

int main(int argc, char **argv)
{
	return warden_main(argc, argv, &vbd);
}
