/* backends/relay.h - what stands between a jailed backend and the daemons it
 * talks to: one upstream connection for each of its own, and only what concerns
 * its guest passes.
 *
 * The backend is taken for hostile: it may send anything, in any pieces, and
 * not read its answers.  A request that is not for it is answered with an error
 * and goes no further; one that can't be read ends the connection.  When the
 * daemon goes away the backend's connection ends too: its client reconnects.
 */
#ifndef BACKENDS_RELAY_H
#define BACKENDS_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAYS_MAX 8u /* connections of one guest's backend, of each sort */

struct event_base;
struct relay;

/* What the relays of one guest share; filled by the owner, who keeps it where it
 * is.  All pointers are borrowed. */
struct relay_host {
	struct event_base *base;
	uint16_t domid;
	const char *kind;	   /* "vbd" */
	const char *const *writes; /* nodes of a device's folder it may write; NULL ends it */
	const char *hv_path, *xs_path;
	/* A folder of a device that is not there must not be made by a late write. */
	bool (*has_device)(void *arg, uint32_t devid);
	void (*refused)(void *arg, const char *what); /* for the log */
	void *arg;
	struct relay *first; /* ours */
};

/* Take over a backend's connection; fd is consumed, in failure too. */
int relay_hv_add(struct relay_host *h, int fd);
int relay_xs_add(struct relay_host *h, int fd);
void relay_free_all(struct relay_host *h);

/* ---- for the two sorts ---- */

struct relay {
	struct relay *next;
	struct relay_host *host;
	unsigned sort;
	void (*free)(struct relay *r);
};
/* 0, or -EBUSY when there are too many already. */
int relay_link(struct relay_host *h, struct relay *r, unsigned sort, void (*free)(struct relay *));
void relay_unlink(struct relay *r);

/* May a backend read, or write, this node?  path is n bytes without a NUL. */
bool relay_may_read(const struct relay_host *h, const char *path, size_t n);
bool relay_may_write(const struct relay_host *h, const char *path, size_t n);

#endif
