/* daemons/detach.h - going to the background as scripts of a Xen host expect:
 * the command they ran returns when the daemon serves, with its status. */
#ifndef DAEMONS_DETACH_H
#define DAEMONS_DETACH_H

#include <stdbool.h>

/* True if nobody waits for us in the foreground: no service manager that
 * asked for READY=1. */
bool detach_fits(void);

/* Go on as a child in a session of its own; the parent waits, and ends with 0
 * at detach_ready(), else with the child's status.  Before any thread.
 * *ret_fd is owned, for detach_ready(). */
int detach_start(int *ret_fd);

/* Everything works: let go of the terminal and of the waiting parent; the log
 * goes to syslog from here on.  fd < 0: nothing to do. */
void detach_ready(int fd);

#endif
