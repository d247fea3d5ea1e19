/* xenstored/childmap.h - one node's children by name: a hash trie with 32 ways
 * per level, persistent like the nodes.  Only node.c uses it.
 *
 * A branch holds, for each of its 32 slots, nothing, a child (bit in data) or
 * a further branch (bit in sub); e[] has the occupied ones in slot order.
 */
#ifndef XENSTORED_CHILDMAP_H
#define XENSTORED_CHILDMAP_H

#include "xenstored/node.h"

struct branch {
	uint32_t refs;
	uint32_t data, sub;
	aref e[];
};

aref childmap_find(const struct arena *a, const uint64_t *key, aref map, const char *name,
		   size_t len);
int childmap_each(const struct arena *a, aref map, int (*f)(void *arg, aref kid), void *arg);
/* *map may be 0.  kid is consumed on success and must not be there yet. */
int childmap_add(struct edit *e, aref *map, aref kid);
/* Both: the child is known to be there.  The slot is good until the next call. */
aref *childmap_own(struct edit *e, aref *map, const char *name, size_t len);
int childmap_del(struct edit *e, aref *map, const char *name, size_t len);
/* Drop a reference to the map; f is given the children's if it was the last. */
void childmap_unref(struct arena *a, aref map, void (*f)(void *arg, aref kid), void *arg);
/* Mark a map's branches; f gets each child of a map met for the first time. */
int childmap_recover(struct arena *a, aref map, int (*f)(void *arg, aref kid), void *arg);

/* From node.c: blocks in an edit. */
bool edit_owns(const struct edit *e, aref r);
aref edit_alloc(struct edit *e, size_t n);
/* A copy takes old's place.  True: old lives on, so the copy must count the
 * references it took; false: they passed to it. */
bool edit_replace(struct edit *e, aref old);

#endif
