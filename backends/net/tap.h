/* backends/net/tap.h - the host's end of a guest's network interface, as netd makes
 * it: a TAP on a bridge.  All calls are root's. */
#ifndef BACKENDS_NET_TAP_H
#define BACKENDS_NET_TAP_H

#include <stddef.h>

/* Descriptors of a TAP of this name, made if it isn't there: with virtio headers
 * of 10 bytes, persistent, its queues detached until the backend takes them.
 * fds: n of them, owned.  0, or a negative errno. */
int tap_open(const char *name, int *fds, size_t n);
void tap_remove(const char *name); /* idempotent */

/* -ENODEV: there is no interface bridge; -EINVAL: it is not a Linux bridge.  Sets
 * the port's address and its MTU (0: as the bridge's), and puts it up. */
int tap_join(const char *name, const char *bridge, int mtu);

#endif
