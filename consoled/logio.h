/* consoled/logio.h - what is done to log files, synchronously, in a thread of
 * the pool.  Knows files and slots; no events, no logging. */
#ifndef CONSOLED_LOGIO_H
#define CONSOLED_LOGIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consoled/state.h"

#define LOGIO_MODE 0640

struct logio_conf {
	int dirfd; /* the log folder */
	uint64_t max_size;
	unsigned keep;
};

/* One write of a slot's spool to its file.  Descriptor and identity stay with
 * the caller between calls. */
struct logio {
	const struct logio_conf *conf;
	const char *name; /* in conf->dirfd */
	int fd;		  /* -1: to be opened; may change */
	uint64_t dev, ino, off;
	bool rotated; /* out: it was, at least once */
	struct slot *slot;
	uint32_t head; /* spool bytes up to here may be written */
	bool adopt;    /* the slot is from an earlier process: look before writing */
};

/* Write from the slot's tail towards head, opening and rotating as needed, and
 * keep the slot's out record true at every instant.  Returns how many spool
 * bytes are done with (may be fewer than there are: call again), or a negative
 * errno: -ELOOP, -EMLINK, -EISDIR, -EINVAL: what is at the path is no file of
 * ours. */
int logio_write(struct logio *io);

/* name.keep goes, name.N becomes name.N+1, name becomes name.1. */
int logio_rotate(const struct logio_conf *conf, const char *name);
/* name.2 .. name.keep: those that are not compressed yet become .zst. */
int logio_compress(const struct logio_conf *conf, const char *name);
/* The last max bytes of the log and, if it is shorter, of name.1 before it.
 * *ret is malloc'ed.  Returns how many. */
int logio_tail(int dirfd, const char *name, size_t max, uint8_t **ret);
/* Open an existing log for reading; the checks are those of writing. */
int logio_open(int dirfd, const char *name, int flags);

#endif
