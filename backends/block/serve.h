/* backends/block/serve.h - requests of one ring, done one after the other against an
 * image: judged, grants mapped, bytes moved, grants let go, answered.
 *
 * In order and one at a time on purpose: then the ring itself says what a
 * successor of a killed backend has to repeat.  Knows no XenStore and no
 * threads; vbd.c calls it from the device's own.
 */
#ifndef BACKENDS_BLOCK_SERVE_H
#define BACKENDS_BLOCK_SERVE_H

#include <sys/uio.h>

#include "backends/block/image.h"
#include "backends/block/request.h"
#include "backends/block/ring.h"
#include "hv/client/hvc.h"

struct serve_counts {
	uint64_t rd_req, wr_req, f_req, ds_req, rd_sect, wr_sect, refused;
};

struct serve {
	struct blk_ring ring;
	struct hvc_guest *guest; /* borrowed */
	struct image *image;	 /* borrowed */
	struct blk_geom geom;	 /* sectors: changed by others, see serve_resize */
	struct serve_counts counts;
	/* Of the request at hand. */
	struct blk_req req;
	struct iovec iov[BLK_SEGS_INDIRECT];
	void *page[BLK_SEGS_INDIRECT];
};

/* Does one request.  1, 0 for none, -EPROTO when the ring is halted.
 * *ret_notify: the guest wants an event for it. */
int serve_one(struct serve *s, bool *ret_notify);
/* From any thread: the next request is judged by the new size. */
void serve_resize(struct serve *s, uint64_t sectors);

#endif
