/* backends/block/request.h - a block request: taken apart and judged, before any
 * grant is mapped or any byte moved.  Pure; knows no ring and no file. */
#ifndef BACKENDS_BLOCK_REQUEST_H
#define BACKENDS_BLOCK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/block/ring.h"

#define BLK_SECTOR	  512u /* the protocol's unit, whatever the device's */
#define BLK_SEGS_DIRECT	  11u
#define BLK_SEGS_INDIRECT 256u
#define BLK_SEG_SIZE	  8u

enum blk_op {
	BLK_READ = 0,
	BLK_WRITE = 1,
	BLK_BARRIER = 2,
	BLK_FLUSH = 3,
	BLK_DISCARD = 5,
	BLK_INDIRECT = 6
};
enum blk_status { BLK_OKAY = 0, BLK_ERROR = -1, BLK_NOTSUPP = -2 };

struct blk_seg {
	uint32_t gref;
	uint8_t first, last; /* sectors of the granted page */
};

struct blk_req {
	uint8_t op;    /* of an indirect request: the inner one; what the response names */
	bool indirect; /* segments are in the page of indirect_gref */
	bool secure;   /* of a discard */
	uint64_t id, sector;
	uint64_t nsect; /* of the segments, or of the discard; set by request_judge */
	uint32_t nseg;
	uint32_t indirect_gref;
	struct blk_seg *seg; /* borrowed room: BLK_SEGS_DIRECT, or nseg of an indirect one */
};

struct blk_geom {
	uint64_t sectors; /* in BLK_SECTOR */
	uint32_t sector_size;
	bool readonly, discard, secure_discard;
};

/* Numbers only; segments of an indirect request come with request_segments.
 * ret->seg is the caller's. */
void request_parse(const uint8_t raw[RING_REQ_MAX], enum blk_abi abi, struct blk_req *ret);
/* What can be said without the indirect page: BLK_OKAY to go on. */
enum blk_status request_precheck(const struct blk_req *q, const struct blk_geom *g);
/* n segments from a private copy of the indirect page. */
void request_segments(struct blk_req *q, const uint8_t *copy);
/* The whole verdict, with all segments there.  Sets nsect. */
enum blk_status request_judge(struct blk_req *q, const struct blk_geom *g);

#endif
