/* backends/block/limit.h - how fast a device, or a group of devices, may go.
 *
 * Every limit is a token bucket that may go into debt: a request starts as soon
 * as the bucket isn't empty and then pays in full, so one larger than the
 * bucket is late but not lost.  limit_reserve() tells the exact nanosecond at
 * which a request may start and pays for it at once; the caller sets a timer to
 * that time.  Nothing here sleeps or reads a clock.
 *
 * A bucket without a burst holds LIMIT_SLACK_NS worth of its rate, which is how
 * late a timer may be without a loss.  A burst holds as much as lets a device
 * that was idle go at `max` for `max_length` seconds.
 */
#ifndef BACKENDS_BLOCK_LIMIT_H
#define BACKENDS_BLOCK_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/vbd_nodes.h"

#define LIMIT_SLACK_NS 50000000ull

struct limits;	    /* the named groups of a process; any thread */
struct limit_group; /* one set of buckets; counted, any thread */

int limits_new(struct limits **ret);
struct limits *limits_free(struct limits *l); /* after its groups; NULL ok */

/* A group by its name, or one of its own for name "".  put gives it back. */
int limit_get(struct limits *l, const char *name, struct limit_group **ret);
struct limit_group *limit_put(struct limit_group *g); /* NULL ok */

/* From now on.  Who waits for a time that limit_reserve told must ask again:
 * limit_epoch() has changed.  Setting what is set already changes nothing. */
void limit_set(struct limit_group *g, const struct vbd_limits *l, uint64_t now_ns);
uint32_t limit_epoch(const struct limit_group *g);

/* When a request of so many bytes may start; now_ns or before: at once. */
uint64_t limit_reserve(struct limit_group *g, uint64_t now_ns, bool write, uint64_t bytes);

#endif
