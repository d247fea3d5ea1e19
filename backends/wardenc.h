/* backends/wardenc.h - a backend process's side: into the jail, and what it may
 * ask of its warden there.
 *
 *   child_enter()                      first thing in main(), single-threaded
 *   hvc_open(child_hv(..)), xs_sync_open(child_xs(..)), wardenc_open(child_warden(..))
 *
 * All three reconnect by themselves when the warden was restarted.
 */
#ifndef BACKENDS_WARDENC_H
#define BACKENDS_WARDENC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/warden_msg.h"
#include "daemons/jail.h"
#include "daemons/opts.h"
#include "hv/client/hvc.h"

/* ---- start ---- */

struct child_args {
	uint64_t domid;
	char *sockets; /* the folder with hv, xs and open */
	uint64_t uid;  /* 0: no jail */
};

/* For the table of options; T is the config struct, m its struct child_args. */
/* clang-format off */
#define CHILD_OPTS(T, m)                                                                          \
	{ "domid", 'd', OPT_U64, "0", 0, HVC_DOMID_FIRST_RESERVED - 1, offsetof(T, m.domid),      \
	  "the guest to serve" },                                                                 \
	{ "sockets", 0, OPT_STR, NULL, 0, 0, offsetof(T, m.sockets),                              \
	  "folder of the warden's sockets; becomes the root of the jail" },                       \
	{ "uid", 0, OPT_U64, "0", 0, 0x7fffffff, offsetof(T, m.uid),                              \
	  "user to be inside the jail; 0: no jail" }
/* clang-format on */

/* Beside what every backend has: see daemons/jail.h and rules[] in wardenc.c. */
struct child_needs {
	const char *name; /* for ps: "blkback" */
	const struct jail_rule *rules;
	size_t nrules;
	unsigned threads;     /* at most */
	uint64_t data_max;    /* bytes of private memory, stacks included; 0: no limit */
	uint64_t memlock_max; /* bytes of locked memory, as fixed buffers are */
};

/* Closes the jail around this process, or does nothing when a->uid is 0.  0, or
 * a negative errno after logging: the process must end.  What the host did not
 * allow is logged. */
int child_enter(const struct child_args *a, const struct child_needs *n);

/* How many rules every backend has; for the documentation and its test. */
size_t child_calls(void);

/* Where things are once child_enter() is through.  buf is used where needed;
 * NULL means the default, for a process that nobody jailed. */
const char *child_hv(const struct child_args *a, char buf[128]); /* for hvc_open */
const char *child_xs(const struct child_args *a, char buf[128]); /* xs_sync_open, xs_client_new */
const char *child_warden(const struct child_args *a, char buf[128]); /* wardenc_open */

/* ---- requests; blocking, of one thread ---- */

struct wardenc;

/* Succeeds even if the warden is away. */
int wardenc_open(const char *path, struct wardenc **ret);
struct wardenc *wardenc_close(struct wardenc *w); /* NULL ok; returns NULL */

struct wardenc_dev {
	int fds[WARDEN_FDS_MAX]; /* owned by the caller; the first nfds count */
	size_t nfds;
	uint8_t blob[WARDEN_BLOB_MAX];
	size_t blob_len;
};

/* All three: -ENOTCONN while the warden is away (try again), or its negative
 * errno; err (may be NULL) then holds one line for a person. */
int wardenc_device(struct wardenc *w, uint32_t devid, struct wardenc_dev *ret, char *err,
		   size_t errlen);
/* The device was let go of: locks end, the next wardenc_device opens anew. */
int wardenc_release(struct wardenc *w, uint32_t devid);
/* Memory that outlives this process, the warden too, as long as the device is
 * there: a descriptor to map MAP_SHARED, size bytes long (at most
 * WARDEN_JOURNAL_MAX).  The same (devid, index, size) gives the same memory;
 * another size a new one.  *ret_fresh: nobody has had it before, it is zeroes. */
int wardenc_journal(struct wardenc *w, uint32_t devid, uint32_t index, uint32_t size, int *ret_fd,
		    bool *ret_fresh);

#endif
