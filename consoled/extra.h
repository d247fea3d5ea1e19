/* consoled/extra.h - the further consoles of a domain (device/console/N).
 *
 * They are ordinary PV devices: the guest grants a page of its RAM and offers a
 * port, and both ends follow the states of <xen/io/xenbus.h>.  The guest may
 * write all of its end, so only what the toolstack wrote at the backend's end
 * decides whether there is a device at all.
 */
#ifndef CONSOLED_EXTRA_H
#define CONSOLED_EXTRA_H

#include <stdint.h>

struct conset;
struct extras;
struct hvc;
struct xs_client;

#define EXTRAS_MAX 8u /* per domain: device/console/1 ... 8 */

struct extras_of { /* everything is borrowed */
	struct conset *cs;
	struct hvc *h;
	struct xs_client *xs;
	uint16_t domid;
	uint64_t born_ns;
	const char *name; /* the guest's, at this time */
	void (*added)(void *arg);
	void *arg;
};

int extras_new(const struct extras_of *of, struct extras **ret);
void extras_rename(struct extras *x, const char *name);
/* The domain ended: its consoles are drained and marked. */
void extras_ended(struct extras *x, const char *mark);
void extras_resumed(struct extras *x);
/* close: the domain is gone (consoles finish by themselves); else the daemon
 * ends and they stay in the set.  NULL ok. */
struct extras *extras_free(struct extras *x, int close);

#endif
