/* xenstored/sandbox.h - the system calls xenstored needs once it runs. */
#ifndef XENSTORED_SANDBOX_H
#define XENSTORED_SANDBOX_H

/* Anything else is EPERM from now on.  The program of a live update inherits
 * the filter, so what it needs to start is allowed.  0 or a negative errno. */
int sandbox_enter(void);

#endif
