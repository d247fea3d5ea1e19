/* daemons/xs_txmap.h - transaction ids that stay unique over reconnects.
 *
 * A server numbers transactions per connection, so after a reconnect an old id
 * may name somebody's new transaction.  Callers of the client therefore get
 * ids of our own, mapped here; an id whose connection is gone is not found.
 */
#ifndef DAEMONS_XS_TXMAP_H
#define DAEMONS_XS_TXMAP_H

#include <stddef.h>
#include <stdint.h>

struct xs_txmap {
	struct xs_tx {
		uint32_t ours, theirs;
	} * tx; /* owned */
	size_t n;
	uint32_t last;
};

int xs_txmap_add(struct xs_txmap *m, uint32_t theirs, uint32_t *ret_ours); /* -ENOMEM */
/* 0 maps to 0; -EAGAIN for an id of a connection that is gone. */
int xs_txmap_find(const struct xs_txmap *m, uint32_t ours, uint32_t *ret_theirs);
void xs_txmap_del(struct xs_txmap *m, uint32_t ours);
void xs_txmap_clear(struct xs_txmap *m); /* the connection is gone; idempotent */

#endif
