/* xenstored/node.h - the immutable tree: nodes, permission lists, child maps.
 *
 * A version of the store is a reference to its root node; versions share every
 * node that does not differ.  An edit (struct edit) makes a new version from an
 * old one by copying the nodes on the way to the change.  It has two modes:
 *
 *   private  the version belongs to a transaction: a node that only this
 *            version refers to is changed in place
 *   direct   the version is the committed one: nothing it reaches is touched
 *            before edit_commit(), because after a kill -9 it must be there.
 *            Copies take over the references of what they replace, so an edit
 *            costs the path and not the neighbours' counts.
 *
 * Counts of references are only true in this process: recovery makes them new.
 */
#ifndef XENSTORED_NODE_H
#define XENSTORED_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xenstored/arena.h"

#define NODE_FRESH 0x80000000u /* in refs: made by the direct edit under way */

struct node {
	uint32_t refs;
	aref perms;	    /* struct perms, shared */
	aref kids;	    /* struct branch; 0: no children */
	uint32_t kid_bytes; /* children's names with their NULs */
	uint64_t gen;	    /* when value, permissions or list of children last changed */
	uint64_t seq;	    /* when it was created: the order of DIRECTORY */
	uint16_t nlen, vlen;
	char data[]; /* name, then value; neither has a NUL of its own */
};		     /* allocated by node_size(), never by sizeof */

enum { PERM_READ = 1, PERM_WRITE = 2, PERM_IGNORE = 4 };

struct perm {
	uint16_t domid;
	uint8_t bits; /* PERM_* */
	uint8_t unused;
};
struct perms {
	uint32_t refs;
	uint32_t n; /* at least 1: the owner, whose bits are the default of others */
	struct perm p[];
};

struct refvec {
	aref *r; /* owned */
	size_t n, cap;
};

struct edit {
	struct arena *a;     /* borrowed */
	const uint64_t *key; /* two words: hashes children's names, secret */
	bool direct;
	struct refvec fresh, retire, drop_node, drop_perms;
};

int refvec_push(struct refvec *v, aref r); /* -ENOMEM */

static inline struct node *node_ptr(const struct arena *a, aref r)
{
	return arena_ptr(a, r);
}
static inline struct perms *perms_ptr(const struct arena *a, aref r)
{
	return arena_ptr(a, r);
}
static inline const char *node_value(const struct node *n)
{
	return n->data + n->nlen;
}
static inline size_t node_size(const struct node *n)
{
	return offsetof(struct node, data) + n->nlen + n->vlen;
}

/* Look up one child; 0 if there is none. */
aref node_child(const struct arena *a, const uint64_t *key, const struct node *n, const char *name,
		size_t len);
/* Visit the children in no order; stops if f returns non-zero and returns it. */
int node_each(const struct arena *a, const struct node *n, int (*f)(void *arg, aref kid),
	      void *arg);

void edit_init(struct edit *e, struct arena *a, const uint64_t *key, bool direct);
/* A direct edit's new version was made the committed one: free what it replaced. */
void edit_commit(struct edit *e);
void edit_fini(struct edit *e);

/* New objects, with one reference that the caller owns; 0: no memory. */
aref perms_new(struct edit *e, const struct perm *p, size_t n);
aref node_new(struct edit *e, const char *name, size_t nlen, aref perms /* borrowed */,
	      uint64_t gen);

/* Make *r (a reference of the version being edited) safe to change in place;
 * *r may become another one.  NULL: no memory, *r is as it was. */
struct node *edit_own(struct edit *e, aref *r);
/* The same, with room for a value of vlen bytes, which is uninitialised. */
struct node *edit_own_value(struct edit *e, aref *r, size_t vlen);
/* n must be safe to change.  kid's reference is consumed on success. */
int edit_add_child(struct edit *e, struct node *n, aref kid);
/* Where the reference to a child is kept, on a path that is safe to change;
 * NULL with *ret_err -ENOENT or -ENOMEM. */
aref *edit_child_slot(struct edit *e, struct node *n, const char *name, size_t len, int *ret_err);
int edit_del_child(struct edit *e, struct node *n, const char *name, size_t len);
/* Replace the node's permissions; perms is borrowed. */
void edit_set_perms(struct edit *e, struct node *n, aref perms);

static inline aref node_ref(const struct arena *a, aref r)
{
	node_ptr(a, r)->refs++;
	return r;
}
/* Drop one reference.  A subtree that dies is freed piece by piece: what
 * node_reap() has not come to yet waits in a->dead. */
void node_unref(struct arena *a, aref r);
/* Free up to budget dead nodes.  True if some are left. */
bool node_reap(struct arena *a, unsigned budget);
static inline aref perms_ref(const struct arena *a, aref r)
{
	perms_ptr(a, r)->refs++;
	return r;
}
void perms_unref(struct arena *a, aref r);

/* Recovery of one version: marks all it reaches and counts references anew;
 * f (may be NULL) is told of every node once.  -EBADMSG: it is damaged. */
int node_recover(struct arena *a, aref root, void (*f)(void *arg, const struct node *n), void *arg);

#endif
