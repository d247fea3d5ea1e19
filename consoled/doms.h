/* consoled/doms.h - which domains there are, and where their consoles live.
 *
 * Two sources: the hypervisor knows who exists and how it ended, XenStore knows
 * the ring's page and port (docs/misc/console.txt of Xen).  Either may go away
 * and come back; consoles that are connected go on meanwhile. */
#ifndef CONSOLED_DOMS_H
#define CONSOLED_DOMS_H

#include <stdint.h>

struct conset;
struct doms;
struct hvc;

struct doms_ops {
	void (*added)(void *arg); /* a console came into being */
	void (*event)(void *arg); /* the hypervisor said something */
	void *arg;
};

/* xs_path NULL: the usual socket.  Everything is borrowed. */
int doms_new(struct conset *cs, struct hvc *h, const char *xs_path, const struct doms_ops *ops,
	     struct doms **ret);
struct doms *doms_free(struct doms *ds);     /* consoles stay in the set; NULL ok */
int doms_exists(void *doms, uint16_t domid); /* 1, 0 or a negative errno */

#endif
