/* backends/block/vbdio.h - the connected rings of a device, each with a thread that
 * serves it. */
#ifndef BACKENDS_BLOCK_VBDIO_H
#define BACKENDS_BLOCK_VBDIO_H

#include "backends/block/serve.h"

#define VBDIO_QUEUES 4u /* Linux uses no more */

struct vbdio;
struct vbdio_conf {
	unsigned queues, order;
	struct {
		uint32_t ring_ref[RING_PAGES_MAX], port;
	} queue[VBDIO_QUEUES];
	enum blk_abi abi;
	bool persistent;
	bool resume; /* the rings were served by a predecessor */
	struct blk_geom geom;
	enum blkio_kind kind;
	struct image *image;	   /* borrowed */
	struct limit_group *limit; /* borrowed; NULL: none */
	struct journal *journal;   /* borrowed, one per queue; NULL: none */
	char name[12];		   /* of the threads */
};

/* hv is used by the caller's thread only, and again in vbdio_stop. */
int vbdio_start(struct hvc *hv, uint16_t domid, const struct vbdio_conf *c, struct vbdio **ret);
/* Ends when what is in flight is done.  leave: the ports stay bound and what was
 * not begun is a successor's. */
struct vbdio *vbdio_stop(struct vbdio *io, bool leave);
void vbdio_resize(struct vbdio *io, uint64_t sectors);
/* Limits have changed: who waits shall look again. */
void vbdio_kick(struct vbdio *io);
void vbdio_stats(const struct vbdio *io, struct vbd_stats *ret);
const char *vbdio_engine(const struct vbdio *io); /* for people */

#endif
