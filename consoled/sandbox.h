/* consoled/sandbox.h - the system calls consoled needs once it runs. */
#ifndef CONSOLED_SANDBOX_H
#define CONSOLED_SANDBOX_H

/* From now on every thread of the process gets EPERM for anything else (no new
 * process, no exec, no ptrace, no mount, no network socket).  0 or a negative
 * errno; -EOPNOTSUPP where the kernel has no filters. */
int sandbox_enter(void);

#endif
