/* daemons/jail.h - the walls around a process that deals with a guest.
 *
 * After jail_enter() the process has an uid of its own, no capability, a
 * read-only root that is empty or holds a few sockets, no network, no way to
 * gain a privilege, and a short list of system calls; a call off the list kills
 * it.  What a guest that broke into it can still reach is the descriptors it
 * was given and those sockets.
 */
#ifndef DAEMONS_JAIL_H
#define DAEMONS_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A system call that is allowed; with a mask only if (argument arg & mask) ==
 * value.  The same call may have several rules. */
struct jail_rule {
	int call; /* SCMP_SYS(name) */
	unsigned arg;
	uint64_t mask, value;
};

struct jail_config {
	uid_t uid;	   /* also the gid */
	const char *root;  /* a folder; borrowed */
	bool covered;	   /* an empty file system is laid over root; else root itself is seen */
	unsigned threads;  /* at most */
	unsigned files;	   /* descriptors, at most */
	uint64_t file_max; /* largest file it may write; 0: no limit */
	uint64_t data_max; /* bytes of private memory; 0: no limit */
	uint64_t memlock_max;
	uint64_t address_space; /* in bytes; 0: no limit */
	/* Beside what every jailed process is allowed; borrowed. */
	const struct jail_rule *rules;
	size_t nrules;
};

/* Call while single-threaded, as root.  0; *ret_missing then lists what the
 * host did not allow ("" if nothing: namespaces are optional, all else is
 * not).  A negative errno and what failed in err: the process must end. */
int jail_enter(const struct jail_config *cfg, char *ret_missing, size_t missing_len, char *err,
	       size_t errlen);

/* How many system calls are allowed to everybody; for the documentation and its
 * test. */
size_t jail_base_calls(void);

#endif
