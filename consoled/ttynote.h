/* consoled/ttynote.h - writes console/tty, but only while the node exists.
 *
 * A plain write makes the folders above its node: told just after a guest was
 * removed, it would bring back a part of what was removed.
 */
#ifndef CONSOLED_TTYNOTE_H
#define CONSOLED_TTYNOTE_H

#include <stdint.h>

#include "daemons/xs_client.h"

/* tty is copied.  Best effort: nothing is reported. */
void tty_note(struct xs_client *xs, uint16_t domid, const char *tty);

#endif
