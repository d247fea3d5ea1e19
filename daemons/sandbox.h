/* daemons/sandbox.h - a list of system calls for a daemon that runs on. */
#ifndef DAEMONS_SANDBOX_H
#define DAEMONS_SANDBOX_H

#include <stddef.h>

/* From now on every thread of the process gets EPERM for any call that is not
 * in calls (SCMP_SYS numbers); of sockets, only unix ones are made.  There is no
 * way back, also not over an exec.  0 or a negative errno; -EOPNOTSUPP where the
 * kernel has no filters. */
int sandbox_allow(const int *calls, size_t n);

#endif
