/* hv/domain/jail.h - the walls around a domain process.
 *
 * After jail_enter() the process has an uid of its own, no capability, an empty
 * read-only root, no network, no way to gain a privilege, and a short list of
 * system calls; a call off the list kills it.  What a guest that broke out of
 * the engine can still reach is the descriptors it was given.
 */
#ifndef HV_DOMAIN_JAIL_H
#define HV_DOMAIN_JAIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct jail_config {
	uid_t uid;	    /* also the gid */
	const char *root;   /* an empty folder; borrowed */
	uint64_t ram_bytes; /* of the guest: part of the address space limit */
	unsigned threads;   /* at most */
};

/* Call while single-threaded, as root.  0; *ret_missing then lists what the
 * host did not allow ("" if nothing: namespaces are optional, all else is
 * not).  A negative errno and what failed in err: the process must end. */
int jail_enter(const struct jail_config *cfg, char *ret_missing, size_t missing_len, char *err,
	       size_t errlen);

/* How many system calls are allowed; for the documentation and its test. */
size_t jail_allowed_calls(void);

#endif
