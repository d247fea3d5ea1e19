/* tests/fake/guest.h - a console's guest end without a hypervisor: a page in
 * shared memory and two eventfds, so that it works across fork(). */
#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/console.h>

struct hvc_port;

struct fake_guest {
	struct xencons_interface *ring; /* a whole page */
	int notify, kick;		/* eventfds: guest to daemon, daemon to guest */
};

int fake_guest_init(struct fake_guest *g);
void fake_guest_fini(struct fake_guest *g);
/* The guest's side.  Puts what fits; returns how much.  kick tells the daemon. */
size_t fake_guest_put(struct fake_guest *g, const void *p, size_t n);
size_t fake_guest_get(struct fake_guest *g, void *p, size_t n);
void fake_guest_kick(struct fake_guest *g);
/* Blocks until the daemon told the guest something, at most ms. */
bool fake_guest_wait(struct fake_guest *g, int ms);

/* The daemon's side: a port to hand to console_connect().  Each close or leave
 * is counted in *closed if it isn't NULL. */
struct hvc_port *fake_port(struct fake_guest *g, unsigned *closed);

#endif
