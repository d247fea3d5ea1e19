/* backends/warden.h - the privileged helper behind a kind of backend: blkd for
 * "vbd", netd for "vif".
 *
 * For each guest with devices of its kind the warden keeps one backend process
 * running, in a jail whose root holds three sockets of the warden's and nothing
 * else:
 *
 *   hv     a few of hvd's requests, about this guest only       (relay_hv.c)
 *   xs     XenStore, below this guest's devices only            (relay_xs.c)
 *   open   the devices' descriptors, and journals               (warden_msg.h)
 *
 * The process may be killed and so may the warden: what either needs of the
 * other is found again by these paths.  The warden reads XenStore nodes that
 * only the toolstack can write, and nothing of a guest's making.
 *
 * A daemon is a main() that calls warden_main() with one of these structs.
 */
#ifndef BACKENDS_WARDEN_H
#define BACKENDS_WARDEN_H

#include <stddef.h>
#include <stdint.h>

#include "backends/warden_msg.h"

struct event_base;
struct xs_sync;

/* What the backend gets for a device.  The warden keeps the descriptors open
 * until the device is gone or closed, and hands the same ones to a successor:
 * locks and TAPs outlive a backend that was killed. */
struct warden_dev {
	int fds[WARDEN_FDS_MAX]; /* the first nfds count; owned by the warden once returned */
	size_t nfds;
	uint8_t blob[WARDEN_BLOB_MAX]; /* whatever daemon and backend agree on */
	size_t blob_len;
};

/* Borrowed for the length of an open(). */
struct warden_ask {
	struct xs_sync
		*xs; /* blocking, as root: only the toolstack's own nodes are to be trusted */
	uint16_t domid;
	uint32_t devid;
	char back[64];	/* /local/domain/0/backend/KIND/DOMID/DEVID */
	char front[64]; /* /local/domain/DOMID/device/KIND/DEVID: the guest writes here */
};

struct warden_kind {
	const char *kind;    /* the folder's name in XenStore: "vbd" */
	const char *daemon;  /* "blkd" */
	const char *program; /* "blkback", beside the daemon's own */
	uint64_t uid_base;   /* the backend of guest N is user uid_base + N */
	/* Ends with NULL: the nodes of a device's folder that the backend writes,
	 * as "state" or "queue-0/tx-packets".  Never the toolstack's own. */
	const char *const *writes;
	/* A stream or datagram socket in the run folder that says this daemon is there. */
	char *(*door)(char buf[108]);

	/* Once, before anything else; may be NULL.  *ret_arg is what open and close get. */
	int (*start)(struct event_base *base, void **ret_arg);
	void (*stop)(void *arg);
	/* Opens and locks what the toolstack's nodes name.  0, -EAGAIN (somebody has
	 * it: worth another try), or another negative errno; err then says it for a
	 * person, in one line.  Called again only after close(). */
	int (*open)(void *arg, const struct warden_ask *ask, struct warden_dev *ret, char *err,
		    size_t errlen);
	/* The device is gone, or its backend wants it opened anew: the descriptors
	 * are closed by the warden after this.  May be NULL. */
	void (*close)(void *arg, uint16_t domid, uint32_t devid);
};

int warden_main(int argc, char **argv, const struct warden_kind *kind);

#endif
