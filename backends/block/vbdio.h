/* backends/block/vbdio.h - a connected ring and the thread that serves it. */
#ifndef BACKENDS_BLOCK_VBDIO_H
#define BACKENDS_BLOCK_VBDIO_H

#include "backends/block/serve.h"

struct vbdio;
struct vbdio_conf {
	uint32_t ring_ref, port;
	enum blk_abi abi;
	bool resume; /* the ring was served by a predecessor */
	struct blk_geom geom;
	struct image *image; /* borrowed */
	char name[16];	     /* of the thread */
};

/* hv is used by the caller's thread only, and again in vbdio_stop. */
int vbdio_start(struct hvc *hv, uint16_t domid, const struct vbdio_conf *c, struct vbdio **ret);
/* Ends after the request at hand.  leave: the port stays bound. */
struct vbdio *vbdio_stop(struct vbdio *io, bool leave);
void vbdio_resize(struct vbdio *io, uint64_t sectors);

#endif
