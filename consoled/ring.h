/* consoled/ring.h - the two byte rings of a console page
 * (<xen/io/console.h>), read and written as if the guest were hostile.
 *
 * The page is shared with a guest that may change any of it at any instant:
 * every index is loaded once, checked, and only the copy is used.
 */
#ifndef CONSOLED_RING_H
#define CONSOLED_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/console.h>

#define RING_OUT_SIZE 2048u
#define RING_IN_SIZE  1024u

/* Copy at most max bytes the guest wrote, without consuming them.  *ret_cons
 * is the consumer index they start at.  Returns how many, or -EBADMSG when the
 * indexes claim more than the ring holds (*ret_cons is untouched then). */
int ring_peek(const struct xencons_interface *r, uint8_t *buf, size_t max, uint32_t *ret_cons);

/* Tell the guest that everything before cons was taken. */
void ring_consume(struct xencons_interface *r, uint32_t cons);
uint32_t ring_out_cons(const struct xencons_interface *r);
bool ring_out_holds(const struct xencons_interface *r, uint32_t n); /* at least n bytes */

/* Room for input, or -EBADMSG. */
int ring_in_room(const struct xencons_interface *r);
/* Put at most n bytes; returns how many fitted, or -EBADMSG. */
int ring_in_put(struct xencons_interface *r, const uint8_t *p, size_t n);

/* Clear the page's "backend is away" byte (offset 3088, Xen 4.20's header). */
void ring_connect(struct xencons_interface *r);

#endif
