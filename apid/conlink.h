/* apid/conlink.h - one request to consoled's socket. */
#ifndef APID_CONLINK_H
#define APID_CONLINK_H

#include <stddef.h>

#include "proto/con_wire.h"

/* Sends q and reads the answer's line (without its newline) into ret_line.
 * Returns the connected socket, owned, whose next byte is the first after the
 * line; or a negative errno.  May block some seconds. */
int conlink_open(const struct con_req *q, char *ret_line, size_t linelen);

#endif
