/* apid/toolstack/xstxn.h - XenStore transactions that are tried again.
 *
 * A transaction meets EAGAIN when somebody else changed what it touched; it is
 * run again from its start, at most XSTXN_TRIES times with a growing pause, so
 * that many starts at once end and don't livelock.
 */
#ifndef APID_TOOLSTACK_XSTXN_H
#define APID_TOOLSTACK_XSTXN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemons/xs_client.h"

#define XSTXN_TRIES 64

/* body works with tx and returns 0 to commit or a negative errno to abort; it
 * may run several times. */
typedef int xstxn_body(struct xs_sync *xs, uint32_t tx, void *arg);
int xstxn_run(struct xs_sync *xs, xstxn_body *body, void *arg);

/* Write a node with its permissions: those of ret, or who. perms such as
 * "n0,r1"; NULL: inherited. */
int xs_put(struct xs_sync *xs, uint32_t tx, const char *path, const char *val, const char *perms);
int xs_putf(struct xs_sync *xs, uint32_t tx, const char *perms, const char *val, const char *fmt,
	    ...) __attribute__((format(printf, 5, 6)));

/* Remove a node; one whose parent is missing is gone all the same. */
int xs_gone(struct xs_sync *xs, uint32_t tx, const char *path);
int xs_gone_if_empty(struct xs_sync *xs, uint32_t tx, const char *path);

/* True for errors that mean the connection, not the request, failed. */
bool xs_is_down(int r);

#endif
