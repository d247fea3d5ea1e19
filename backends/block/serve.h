/* backends/block/serve.h - requests of one ring, many at a time, against an image:
 * judged, held back by limits, grants mapped, bytes moved, grants let go,
 * answered.
 *
 * With a journal responses go out as the I/O ends; without one in the order of
 * the requests, for then the ring itself says what a successor of a killed
 * backend has to repeat.  Knows no XenStore and no threads; vbdio.c calls it
 * from the ring's own.
 */
#ifndef BACKENDS_BLOCK_SERVE_H
#define BACKENDS_BLOCK_SERVE_H

#include "backends/block/blkio.h"
#include "backends/block/keep.h"
#include "backends/block/limit.h"
#include "backends/block/request.h"
#include "hv/client/hvc.h"

/* Requests of more than BLK_SEGS_DIRECT pages in flight; others wait. */
#define SERVE_LARGE 64u

struct serve;
struct serve_conf { /* all borrowed */
	struct hvc_guest *guest;
	struct blkio *io;
	struct limit_group *limit; /* NULL: none */
	struct journal *journal;   /* NULL: answers in order */
	struct blk_ring ring;	   /* as ring_init left it */
	uint32_t ring_ref, port;   /* what the journal is of */
	struct blk_geom geom;
	bool persistent;
	bool resume; /* the ring was served by a predecessor */
};

struct serve_turn {
	bool busy;	  /* something was done: look again before waiting */
	bool notify;	  /* the guest wants an event */
	uint64_t wake_ns; /* look again then; UINT64_MAX: for nothing */
};

/* -EPROTO: the journal can't be of this ring. */
int serve_new(const struct serve_conf *c, uint64_t now_ns, struct serve **ret);
/* Nothing may be in the blkio.  leave: for a successor to go on. */
struct serve *serve_free(struct serve *s, bool leave);

/* Answer what is done, take what is new (not when ending), start what may. */
void serve_turn(struct serve *s, uint64_t now_ns, bool ending, struct serve_turn *ret);
/* Before waiting.  True: there is something after all. */
bool serve_rest(struct serve *s);
unsigned serve_in_flight(const struct serve *s); /* in the blkio */
bool serve_halted(const struct serve *s);

/* From any thread: the next request is judged by the new size. */
void serve_resize(struct serve *s, uint64_t sectors);
void serve_stats(const struct serve *s, struct vbd_stats *sum); /* added to sum */

#endif
