/* consoled/pty.h - a terminal per guest, for xenconsole and whoever reads
 * console/tty from XenStore.
 *
 * One descriptor each: the slave is not kept open.  A shared inotify watch on
 * the folder of terminals tells when one is opened or closed; raw mode stays
 * with the pair, since it lives as long as the master.
 */
#ifndef CONSOLED_PTY_H
#define CONSOLED_PTY_H

#include <stdbool.h>

struct event_base;
struct ptys;
struct pty;

/* open: somebody has the slave open now. */
typedef void pty_cb(void *arg, bool open);

int ptys_new(struct event_base *base, struct ptys **ret);
struct ptys *ptys_free(struct ptys *ps); /* after its ptys; NULL ok */

/* -ENOSPC or similar when the system has no more terminals. */
int pty_new(struct ptys *ps, pty_cb *cb, void *arg, struct pty **ret);
struct pty *pty_free(struct pty *p);
int pty_fd(const struct pty *p);	   /* the master, non-blocking; borrowed */
const char *pty_path(const struct pty *p); /* of the slave; borrowed */

#endif
