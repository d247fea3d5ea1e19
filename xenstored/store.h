/* xenstored/store.h - the committed state: the tree guests see, and the daemon's
 * own records beside it, moving together from version to version.
 *
 * Edits go to root and meta through e; store_commit() makes them the state that
 * a restart finds, by one store to mapped memory.  Whoever acknowledges a
 * change commits first.  meta is a tree of the same kind that no client sees:
 *
 *   /@introduceDomain, /@releaseDomain    the special nodes' permissions
 *   /d/<domid>                            struct domain_record (domain.h)
 *   /d/<domid>/w/<n>                      path NUL token NUL depth NUL
 *   /q/<domid or "*">/<quota>             decimal
 */
#ifndef XENSTORED_STORE_H
#define XENSTORED_STORE_H

#include "xenstored/tree.h"

struct store {
	struct arena a;
	uint64_t key[2];
	struct edit e;	 /* direct; both trees */
	aref root, meta; /* the version being edited */
	aref was_root, was_meta;
	uint64_t gen;
	uint32_t last_domid, last_seq; /* whose request the last commit carried out */
};

/* path: the state file, made if missing; NULL: private memory.  *ret_old: an
 * earlier state was found; f is told of each node of its tree (for accounts).
 * -EBUSY: another daemon has it.  -EBADMSG: damaged. */
int store_open(struct store *st, const char *path, void (*f)(void *arg, const struct node *n),
	       void *arg, bool *ret_old);
void store_close(struct store *st);

static inline struct tree store_tree(struct store *st)
{
	return (struct tree){ &st->root, &st->e, &st->gen };
}
static inline struct tree store_meta(struct store *st)
{
	return (struct tree){ &st->meta, &st->e, &st->gen };
}
/* Room for one operation, before its edit starts: -ENOMEM. */
int store_reserve(struct store *st, size_t bytes);
/* domid and seq name the ring request that is thereby done; 0, 0 for none. */
void store_commit(struct store *st, uint32_t domid, uint32_t seq);
/* Undo the edit since the last commit. */
void store_abort(struct store *st);
static inline bool store_dirty(const struct store *st)
{
	return st->root != st->was_root || st->meta != st->was_meta;
}

static inline int store_find(const struct store *st, const char *path, size_t len, aref *ret)
{
	return tree_find(&st->a, st->key, st->root, path, len, ret);
}

/* Records in meta.  Missing parents are made; val may hold anything. */
int meta_set(struct store *st, const char *path, const void *val, size_t n);
int meta_del(struct store *st, const char *path); /* missing is 0 */
int meta_find(const struct store *st, const char *path, const struct node **ret);

#endif
