/* consoled/attach.h - the socket on which viewers come (proto/con_wire.h). */
#ifndef CONSOLED_ATTACH_H
#define CONSOLED_ATTACH_H

#include <stdint.h>

struct attach;
struct conset;
struct pool;

struct attach_ops {
	/* Does the domain exist?  Then a viewer waits a little for its console. */
	int (*exists)(void *arg, uint16_t domid);
	void *arg;
};

/* fd: a listening stream socket, owned from now on.  log_dir: for TAIL. */
int attach_new(struct conset *cs, struct pool *pool, const char *log_dir, int fd,
	       const struct attach_ops *ops, struct attach **ret);
struct attach *attach_free(struct attach *a); /* after the pool is gone; NULL ok */
/* A console has come into being: someone may be waiting for it. */
void attach_look(struct attach *a);

#endif
