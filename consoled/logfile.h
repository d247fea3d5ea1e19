/* consoled/logfile.h - spools into files: rotation, budgets of disk, full disks.
 *
 * A source is one console's spool; a file may have several sources (a guest
 * that reboots, two guests of one name) and takes one write at a time.  Files
 * are opened when there is something to write and closed again when too many
 * are open.
 */
#ifndef CONSOLED_LOGFILE_H
#define CONSOLED_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consoled/state.h"

struct event_base;
struct pool;
struct logdir;
struct logsrc;

struct logdir_conf {
	const char *path;  /* borrowed for the logdir's life */
	uint64_t max_size; /* rotate at this many bytes; 0: never */
	unsigned keep;	   /* rotated files: name.1 ... name.<keep> */
	bool compress;	   /* name.2 and older become .zst */
	unsigned max_open; /* descriptors for logs */
};

int logdir_new(struct event_base *base, struct pool *pool, const struct logdir_conf *conf,
	       struct logdir **ret);
struct logdir *logdir_free(struct logdir *d); /* after its sources; NULL ok */
void logdir_reopen(struct logdir *d);	      /* SIGHUP: every file is opened anew */
bool logdir_idle(const struct logdir *d);     /* no spool has anything left */

/* room: the spool has become emptier, or the file's state changed.  May put
 * more and kick, but not close the source. */
typedef void logsrc_cb(void *arg);

/* s is borrowed until the source is closed.  adopt: s was in use before this
 * process started, so the file may hold bytes that s does not know of yet. */
int logsrc_new(struct logdir *d, struct slot *s, bool adopt, logsrc_cb *room, void *arg,
	       struct logsrc **ret);
/* What is in the spool is still written (given up after half a minute of
 * errors), then gone() is called, exactly once and never from here. */
void logsrc_close(struct logsrc *src, logsrc_cb *gone, void *arg);
/* Frees at once; the spool keeps what it has.  For the end of the process,
 * after the pool is gone. */
struct logsrc *logsrc_drop(struct logsrc *src);

void logsrc_kick(struct logsrc *src);	      /* the spool got something */
size_t logsrc_room(const struct logsrc *src); /* bytes the spool can take */
int logsrc_error(const struct logsrc *src);   /* 0, or why nothing can be written now */
/* Later bytes go to this file; what is in the spool still goes to the old one.
 * Returns 0, or -EAGAIN while the spool isn't empty. */
int logsrc_rename(struct logsrc *src, const char *log);

#endif
