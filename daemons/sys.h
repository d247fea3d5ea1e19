/* daemons/sys.h - the system calls that tests are allowed to break.
 *
 * Each wrapper returns >= 0 or a negative errno (allocators: NULL).  All fault
 * points live in sys.c, so the code under test carries none and reads the same
 * either way.  Faults are compiled in always and cost one predicted branch;
 * nothing but a test can arm them.
 */
#ifndef DAEMONS_SYS_H
#define DAEMONS_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

int sys_open(const char *path, int flags, mode_t mode); /* adds O_CLOEXEC */
int sys_openat(int dirfd, const char *path, int flags, mode_t mode);
int sys_rename(const char *from, const char *to);
int sys_ftruncate(int fd, off_t len);
ssize_t sys_write(int fd, const void *buf, size_t n);
ssize_t sys_pwrite(int fd, const void *buf, size_t n, off_t off);
int sys_memfd(const char *name, size_t len); /* sized and sealed: no shrink, no grow */
int sys_eventfd(void);			     /* non-blocking, count 0 */
void *sys_mmap_shared(int fd, size_t len, off_t off, int prot, int *ret_err);
void *sys_zalloc(size_t n);
void *sys_realloc(void *p, size_t n);

/* Make the nth wrapped call from now fail, once (0 is the next call), with err
 * (positive errno).  Process-wide; tests only. */
void fault_arm(long nth, int err);
bool fault_disarm(void); /* true if the armed fault was reached */

#endif
