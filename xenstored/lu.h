/* xenstored/lu.h - live update: another binary takes this process over.
 *
 * The tree, guests' rings and their watches are in the state file anyway; what
 * only this process has are the sockets.  They stay open over an exec, and a
 * stream of records in upstream's format, version 2 (docs/designs/
 * xenstore-migration.md; <xenstore_state.h>), tells what each was up to: GLOBAL
 * with the listening socket, CONN, WATCH, WATCH_EXT, END.  NODE and DOMAIN
 * records are left out, since the successor finds both where we did.
 */
#ifndef XENSTORED_LU_H
#define XENSTORED_LU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;

struct live_update {
	char *binary; /* owned; NULL: the running one */
	char **argv;  /* borrowed: how this process was started */
	int lfd;      /* listening socket; borrowed */
	bool wanted;  /* the loop was left for it */
};

/* The stream for all sockets of s: malloc'ed, owned by the caller. -ENOMEM. */
int lu_dump(struct server *s, int lfd, uint8_t **ret, size_t *ret_n);
/* Take sockets over from a stream; *ret_lfd is the listening one, owned by the
 * caller.  -EBADMSG: it is damaged; what was taken by then stays. */
int lu_load(struct server *s, const uint8_t *p, size_t n, int *ret_lfd);

/* Become the other binary; returns only if that fails. */
int lu_exec(struct server *s, const struct live_update *lu);
/* Read a stream that lu_exec() left at fd, and close it. */
int lu_resume(struct server *s, int fd, int *ret_lfd);

#endif
