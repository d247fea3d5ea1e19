/* xenstored/watch.h - who wants to know about which path.
 *
 * Watched paths form a tree of their own, so that finding those concerned by a
 * change costs the path's components, however many watches there are.
 */
#ifndef XENSTORED_WATCH_H
#define XENSTORED_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct conn;
struct wnode;

struct watch {
	LIST_ENTRY(watch) of_path;
	TAILQ_ENTRY(watch) of_conn;
	struct conn *conn;  /* borrowed */
	struct wnode *node; /* borrowed */
	int32_t depth;	    /* -1: any */
	uint32_t serial;    /* its number in the connection: the record's name */
	uint16_t strip;	    /* bytes to leave out at the start of reported paths */
	uint16_t path_len;
	uint64_t last_at;   /* where in the output the last event starts, and */
	uint64_t last_hash; /* a hash of its path: to coalesce */
	char text[];	    /* canonical path NUL token NUL */
};

struct watches {
	struct wnode **bucket; /* owned */
	size_t nbuckets, count;
	struct wnode *root, *special; /* "/..." and "@..." */
	uint64_t key[2];
};

int watches_init(struct watches *w, const uint64_t key[2]);
void watches_fini(struct watches *w); /* all watches must be gone */

/* path is canonical.  *ret is owned by the caller, who links it to its
 * connection; watch_free unlinks it from here. */
int watch_new(struct watches *w, struct conn *c, const char *path, size_t len, const char *token,
	      int32_t depth, size_t strip, struct watch **ret);
struct watch *watch_free(struct watches *w, struct watch *x);
static inline const char *watch_token(const struct watch *x)
{
	return x->text + x->path_len + 1;
}

/* Every watch that a change of path concerns, from the root down.  exact: only
 * those on path itself. */
void watches_match(const struct watches *w, const char *path, size_t len, bool exact,
		   void (*f)(void *arg, struct watch *x), void *arg);
/* Every watched path strictly below path; stops if f returns non-zero. */
int watches_below(const struct watches *w, const char *path, size_t len,
		  int (*f)(void *arg, const char *path, size_t len), void *arg);

#endif
