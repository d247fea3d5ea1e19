/* xenstored/node.c - reading, owning and freeing nodes; see node.h for the two
 * modes of an edit.  The child map is in childmap.c. */
#include "xenstored/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"
#include "xenstored/childmap.h"

#define REAP_NOW 64u

int refvec_push(struct refvec *v, aref r)
{
	if (v->n == v->cap) {
		size_t cap = v->cap ? v->cap * 2 : 32;
		aref *p = sys_realloc(v->r, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		v->r = p;
		v->cap = cap;
	}
	v->r[v->n++] = r;
	return 0;
}

void edit_init(struct edit *e, struct arena *a, const uint64_t *key, bool direct)
{
	*e = (struct edit){ .a = a, .key = key, .direct = direct };
}

void edit_fini(struct edit *e)
{
	/* Not committed: what it made goes; what it copied still has its own. */
	for (size_t i = 0; i < e->fresh.n; i++)
		arena_free(e->a, e->fresh.r[i]);
	free(e->fresh.r);
	free(e->retire.r);
	free(e->drop_node.r);
	free(e->drop_perms.r);
	e->fresh = e->retire = e->drop_node = e->drop_perms = (struct refvec){ 0 };
}

void edit_commit(struct edit *e)
{
	for (size_t i = 0; i < e->fresh.n; i++)
		*(uint32_t *)arena_ptr(e->a, e->fresh.r[i]) &= ~NODE_FRESH;
	for (size_t i = 0; i < e->retire.n; i++)
		arena_free(e->a, e->retire.r[i]);
	for (size_t i = 0; i < e->drop_node.n; i++)
		node_unref(e->a, e->drop_node.r[i]);
	for (size_t i = 0; i < e->drop_perms.n; i++)
		perms_unref(e->a, e->drop_perms.r[i]);
	e->fresh.n = e->retire.n = e->drop_node.n = e->drop_perms.n = 0;
}

/* ---- blocks: the first word of each is its count of references ---- */

bool edit_owns(const struct edit *e, aref r)
{
	uint32_t refs = *(uint32_t *)arena_ptr(e->a, r);

	return refs & NODE_FRESH || (!e->direct && refs == 1);
}

aref edit_alloc(struct edit *e, size_t n)
{
	aref r = arena_alloc(e->a, n);

	if (!r)
		return 0;
	if (e->direct && refvec_push(&e->fresh, r) < 0) {
		arena_free(e->a, r);
		return 0;
	}
	*(uint32_t *)arena_ptr(e->a, r) = e->direct ? 1 | NODE_FRESH : 1;
	return r;
}

/* A block this edit owns is no longer used; what it referred to moved on. */
static void free_owned(struct edit *e, aref r)
{
	if (e->direct)
		for (size_t i = e->fresh.n; i-- > 0;)
			if (e->fresh.r[i] == r) {
				e->fresh.r[i] = e->fresh.r[--e->fresh.n];
				break;
			}
	arena_free(e->a, r);
}

bool edit_replace(struct edit *e, aref old)
{
	uint32_t *refs = arena_ptr(e->a, old);

	if (edit_owns(e, old)) {
		free_owned(e, old);
		return false;
	}
	if (*refs == 1) {
		(void)refvec_push(&e->retire, old); /* else lost until a restart finds it */
		return false;
	}
	--*refs;
	return true;
}

static void drop_node(struct edit *e, aref r)
{
	if (!e->direct)
		node_unref(e->a, r);
	else
		(void)refvec_push(&e->drop_node, r); /* as above */
}

/* ---- nodes ---- */

aref perms_new(struct edit *e, const struct perm *p, size_t n)
{
	aref r = edit_alloc(e, sizeof(struct perms) + n * sizeof(*p));
	struct perms *new;

	if (!r)
		return 0;
	new = perms_ptr(e->a, r);
	new->n = (uint32_t)n;
	memcpy(new->p, p, n * sizeof(*p));
	return r;
}

aref node_new(struct edit *e, const char *name, size_t nlen, aref perms, uint64_t gen)
{
	aref r = edit_alloc(e, offsetof(struct node, data) + nlen);
	struct node *n;

	if (!r)
		return 0;
	n = node_ptr(e->a, r);
	n->perms = perms_ref(e->a, perms);
	n->kids = 0;
	n->kid_bytes = 0;
	n->gen = n->seq = gen;
	n->nlen = (uint16_t)nlen;
	n->vlen = 0;
	memcpy(n->data, name, nlen);
	return r;
}

struct node *edit_own_value(struct edit *e, aref *r, size_t vlen)
{
	struct node *old = node_ptr(e->a, *r), *n;
	size_t head = offsetof(struct node, data) + old->nlen;
	uint32_t refs;
	aref new;

	if (edit_owns(e, *r) && old->vlen == vlen)
		return old;
	new = edit_alloc(e, head + vlen);
	if (!new)
		return NULL;
	old = node_ptr(e->a, *r);
	n = node_ptr(e->a, new);
	refs = n->refs;
	memcpy(n, old, head);
	n->refs = refs;
	n->vlen = (uint16_t)vlen;
	if (edit_replace(e, *r)) {
		(void)perms_ref(e->a, n->perms);
		if (n->kids)
			++*(uint32_t *)arena_ptr(e->a, n->kids);
	}
	*r = new;
	return n;
}

struct node *edit_own(struct edit *e, aref *r)
{
	const struct node *old = node_ptr(e->a, *r);
	struct node *n;
	char value[ARENA_BLOCK_MAX];

	if (edit_owns(e, *r))
		return node_ptr(e->a, *r);
	memcpy(value, node_value(old), old->vlen);
	n = edit_own_value(e, r, old->vlen);
	if (n)
		memcpy(n->data + n->nlen, value, n->vlen);
	return n;
}

void edit_set_perms(struct edit *e, struct node *n, aref perms)
{
	aref old = n->perms;

	n->perms = perms_ref(e->a, perms);
	if (!e->direct)
		perms_unref(e->a, old);
	else
		(void)refvec_push(&e->drop_perms, old); /* else lost until a restart */
}

aref node_child(const struct arena *a, const uint64_t *key, const struct node *n, const char *name,
		size_t len)
{
	return n->kids ? childmap_find(a, key, n->kids, name, len) : 0;
}

int node_each(const struct arena *a, const struct node *n, int (*f)(void *arg, aref kid), void *arg)
{
	return n->kids ? childmap_each(a, n->kids, f, arg) : 0;
}

int edit_add_child(struct edit *e, struct node *n, aref kid)
{
	int r = childmap_add(e, &n->kids, kid);

	if (r == 0)
		n->kid_bytes += node_ptr(e->a, kid)->nlen + 1u;
	return r;
}

aref *edit_child_slot(struct edit *e, struct node *n, const char *name, size_t len, int *ret_err)
{
	if (!node_child(e->a, e->key, n, name, len)) {
		*ret_err = -ENOENT;
		return NULL;
	}
	*ret_err = -ENOMEM;
	return childmap_own(e, &n->kids, name, len);
}

int edit_del_child(struct edit *e, struct node *n, const char *name, size_t len)
{
	aref kid = node_child(e->a, e->key, n, name, len);
	int r;

	if (!kid)
		return -ENOENT;
	r = childmap_del(e, &n->kids, name, len);
	if (r < 0)
		return r;
	n->kid_bytes -= (uint32_t)len + 1;
	drop_node(e, kid);
	return 0;
}

/* ---- freeing ---- */

void perms_unref(struct arena *a, aref r)
{
	if ((--perms_ptr(a, r)->refs & ~NODE_FRESH) == 0)
		arena_free(a, r);
}

static void bury(struct arena *a, aref r)
{
	struct node *n = node_ptr(a, r);

	if (--n->refs == 0) {
		n->seq = a->dead;
		a->dead = r;
	}
}

static void bury_kid(void *arg, aref kid)
{
	bury(arg, kid);
}

bool node_reap(struct arena *a, unsigned budget)
{
	while (a->dead && budget--) {
		aref r = a->dead;
		struct node *n = node_ptr(a, r);

		a->dead = (aref)n->seq;
		perms_unref(a, n->perms);
		if (n->kids)
			childmap_unref(a, n->kids, bury_kid, a);
		arena_free(a, r);
	}
	return a->dead != 0;
}

void node_unref(struct arena *a, aref r)
{
	bury(a, r);
	(void)node_reap(a, REAP_NOW); /* the rest is for the owner's idle time */
}

/* ---- recovery ---- */

struct recovery {
	struct arena *a;
	struct refvec todo;
	void (*f)(void *arg, const struct node *n);
	void *arg;
};

static int meet_perms(struct arena *a, aref r)
{
	struct perms *p;
	int first = arena_mark(a, r, sizeof(*p) + sizeof(p->p[0]));

	if (first < 0)
		return first;
	p = perms_ptr(a, r);
	if (p->n == 0 || p->n > (arena_room(a, r) - sizeof(*p)) / sizeof(p->p[0]))
		return -EBADMSG;
	p->refs = first ? 1 : p->refs + 1;
	return 0;
}

static int meet_node(void *arg, aref r)
{
	struct recovery *v = arg;
	struct node *n;
	int first = arena_mark(v->a, r, offsetof(struct node, data));

	if (first < 0)
		return first;
	n = node_ptr(v->a, r);
	if (!first) {
		n->refs++;
		return 0;
	}
	n->refs = 1;
	if (node_size(n) > arena_room(v->a, r))
		return -EBADMSG;
	return refvec_push(&v->todo, r);
}

int node_recover(struct arena *a, aref root, void (*f)(void *arg, const struct node *n), void *arg)
{
	struct recovery v = { .a = a, .f = f, .arg = arg };
	int r = meet_node(&v, root);

	while (r == 0 && v.todo.n) {
		struct node *n = node_ptr(a, v.todo.r[--v.todo.n]);

		r = meet_perms(a, n->perms);
		if (r == 0 && n->kids)
			r = childmap_recover(a, n->kids, meet_node, &v);
		if (r == 0 && f)
			f(arg, n);
	}
	free(v.todo.r);
	return r;
}
