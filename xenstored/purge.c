/* xenstored/purge.c - taking everything from a domain that is gone, so that a
 * later domain with its number inherits nothing (XSA-322, XSA-417). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/access.h"

#define PURGE_ROOM (256u << 10)

struct purge {
	struct access *x;
	uint16_t domid;
	struct refvec todo; /* node and the length of its path, in pairs */
	char *paths;	    /* the finds' paths, NUL-terminated, one after the other */
	size_t n, cap;
	char at[XS_ABS_PATH_MAX + 64]; /* path of the node being looked at */
	size_t at_len;
};

static bool mentions(const struct perms *p, uint16_t domid)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->p[i].domid == domid)
			return true;
	return false;
}

static int found(struct purge *g, const char *path, size_t len)
{
	if (g->n + len + 1 > g->cap) {
		size_t cap = (g->cap ? g->cap * 2 : 4096) + len + 1;
		char *p = realloc(g->paths, cap);

		if (!p)
			return -ENOMEM;
		g->paths = p;
		g->cap = cap;
	}
	memcpy(g->paths + g->n, path, len);
	g->paths[g->n + len] = '\0';
	g->n += len + 1;
	return 0;
}

static int push_kid(void *arg, aref kid)
{
	struct purge *g = arg;
	int r = refvec_push(&g->todo, kid);

	return r < 0 ? r : refvec_push(&g->todo, (aref)g->at_len);
}

/* Note the nodes that belong to the domain or mention it.  What is below one of
 * its own nodes goes with that. */
static int find_all(struct purge *g)
{
	const struct arena *a = &g->x->st->a;
	int r = node_each(a, node_ptr(a, *g->x->t.root), push_kid, g);

	while (r == 0 && g->todo.n) {
		size_t up = g->todo.r[--g->todo.n];
		const struct node *n = node_ptr(a, g->todo.r[--g->todo.n]);
		const struct perms *p = perms_ptr(a, n->perms);

		g->at[up] = '/';
		memcpy(g->at + up + 1, n->data, n->nlen);
		g->at_len = up + 1 + n->nlen;
		if (mentions(p, g->domid))
			r = found(g, g->at, g->at_len);
		if (r == 0 && perms_owner(p) != g->domid)
			r = node_each(a, n, push_kid, g);
	}
	return r;
}

static int strike(struct purge *g, const char *path, size_t len)
{
	struct access *x = g->x;
	struct perm list[PERMS_MAX];
	const struct perms *p;
	struct path full = { .len = len };
	aref n, perms;
	size_t k = 0;
	int r;

	if (arena_reserve(x->t.e->a, PURGE_ROOM) < 0)
		return -ENOMEM;
	r = tree_find(&x->st->a, x->st->key, *x->t.root, path, len, &n);
	if (r < 0)
		return 0; /* it went with one above it */
	p = perms_ptr(&x->st->a, node_ptr(&x->st->a, n)->perms);
	if (perms_owner(p) == g->domid) {
		memcpy(full.s, path, len + 1);
		return access_apply(x, XS_RM, &full, NULL, 0);
	}
	for (uint32_t i = 0; i < p->n && k < PERMS_MAX; i++)
		if (p->p[i].domid != g->domid)
			list[k++] = p->p[i];
	perms = perms_new(x->t.e, list, k);
	if (!perms)
		return -ENOMEM;
	r = tree_set_perms(&x->t, path, len, perms);
	if (r == 0)
		perms_unref(x->t.e->a, perms);
	return r;
}

int access_purge(struct access *x, uint16_t domid)
{
	struct purge g = { .x = x, .domid = domid };
	int r = find_all(&g);

	for (size_t at = 0; r == 0 && at < g.n;) {
		size_t len = strlen(g.paths + at);

		r = strike(&g, g.paths + at, len);
		at += len + 1;
	}
	free(g.todo.r);
	free(g.paths);
	return r;
}
