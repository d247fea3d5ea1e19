/* xenstored/tree.h - paths over one version of the store.
 *
 * Paths are canonical and absolute ("/", "/a/b"), already checked by
 * path_check().  No permissions and no quotas here.
 */
#ifndef XENSTORED_TREE_H
#define XENSTORED_TREE_H

#include "xenstored/node.h"

struct tree {
	aref *root;	/* the version's root; borrowed slot, changes with edits */
	struct edit *e; /* borrowed */
	uint64_t *gen;	/* last generation given out; edits take the next */
};

/* 0 and *ret (borrowed until the next edit), or -ENOENT. */
int tree_find(const struct arena *a, const uint64_t *key, aref root, const char *path, size_t len,
	      aref *ret);
/* The longest existing ancestor of path (or path itself); *ret_len is how much
 * of path it covers (1 for the root). */
aref tree_deepest(const struct arena *a, const uint64_t *key, aref root, const char *path,
		  size_t len, size_t *ret_len);
/* Length of path's parent: "/a/b" 2, "/a" 1. */
size_t path_parent(const char *path, size_t len);

/* The slot of an existing node, with everything on the way safe to change.
 * -ENOENT, -ENOMEM. */
int tree_own(struct tree *t, const char *path, size_t len, aref **ret_slot);
int tree_set_value(struct tree *t, const char *path, size_t len, const void *val, size_t vlen);
/* perms is borrowed. */
int tree_set_perms(struct tree *t, const char *path, size_t len, aref perms);
/* Make one node below an existing parent; it must not exist. perms is borrowed. */
int tree_add(struct tree *t, const char *path, size_t len, aref perms, const void *val,
	     size_t vlen);
int tree_del(struct tree *t, const char *path, size_t len);

/* The children's names with their NULs in order of creation: malloc'ed, owned
 * by the caller, n->kid_bytes long (NULL if 0). -ENOMEM. */
int tree_list(const struct arena *a, const struct node *n, char **ret);

#endif
