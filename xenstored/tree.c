/* xenstored/tree.c - walking and changing a version by path. */
#include "xenstored/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"

/* The component that starts at path[at]; at is behind a '/'. */
static size_t component(const char *path, size_t len, size_t at)
{
	const char *end = memchr(path + at, '/', len - at);

	return end ? (size_t)(end - path) - at : len - at;
}

size_t path_parent(const char *path, size_t len)
{
	while (len > 1 && path[len - 1] != '/')
		len--;
	return len > 1 ? len - 1 : 1;
}

aref tree_deepest(const struct arena *a, const uint64_t *key, aref root, const char *path,
		  size_t len, size_t *ret_len)
{
	aref r = root;
	size_t at = 1, covered = 1;

	while (at < len) {
		size_t n = component(path, len, at);
		aref kid = node_child(a, key, node_ptr(a, r), path + at, n);

		if (!kid)
			break;
		r = kid;
		covered = at + n;
		at = covered + 1;
	}
	*ret_len = covered;
	return r;
}

int tree_find(const struct arena *a, const uint64_t *key, aref root, const char *path, size_t len,
	      aref *ret)
{
	size_t covered;
	aref r = tree_deepest(a, key, root, path, len, &covered);

	if (covered != len)
		return -ENOENT;
	*ret = r;
	return 0;
}

int tree_own(struct tree *t, const char *path, size_t len, aref **ret_slot)
{
	aref *slot = t->root;
	size_t at = 1;
	int r = 0;

	while (slot) {
		struct node *n = edit_own(t->e, slot);
		size_t k;

		if (!n)
			return -ENOMEM;
		if (at >= len) {
			*ret_slot = slot;
			return 0;
		}
		k = component(path, len, at);
		slot = edit_child_slot(t->e, n, path + at, k, &r);
		at += k + 1;
	}
	return r;
}

int tree_set_value(struct tree *t, const char *path, size_t len, const void *val, size_t vlen)
{
	struct node *n;
	aref *slot;
	int r;

	r = tree_own(t, path, len, &slot);
	if (r < 0)
		return r;
	n = edit_own_value(t->e, slot, vlen);
	if (!n)
		return -ENOMEM;
	if (vlen)
		memcpy(n->data + n->nlen, val, vlen);
	n->gen = ++*t->gen;
	return 0;
}

int tree_set_perms(struct tree *t, const char *path, size_t len, aref perms)
{
	struct node *n;
	aref *slot;
	int r;

	r = tree_own(t, path, len, &slot);
	if (r < 0)
		return r;
	n = node_ptr(t->e->a, *slot);
	edit_set_perms(t->e, n, perms);
	n->gen = ++*t->gen;
	return 0;
}

int tree_add(struct tree *t, const char *path, size_t len, aref perms, const void *val, size_t vlen)
{
	size_t up = path_parent(path, len), at = up == 1 ? 1 : up + 1;
	struct node *n;
	aref *slot, kid;
	int r;

	r = tree_own(t, path, up, &slot);
	if (r < 0)
		return r;
	kid = node_new(t->e, path + at, len - at, perms, ++*t->gen);
	if (!kid)
		return -ENOMEM;
	if (vlen) {
		n = edit_own_value(t->e, &kid, vlen);
		if (!n)
			return -ENOMEM;
		memcpy(n->data + n->nlen, val, vlen);
	}
	n = node_ptr(t->e->a, *slot);
	n->gen = *t->gen;
	return edit_add_child(t->e, n, kid);
}

int tree_del(struct tree *t, const char *path, size_t len)
{
	size_t up = path_parent(path, len), at = up == 1 ? 1 : up + 1;
	struct node *n;
	aref *slot;
	int r;

	r = tree_own(t, path, up, &slot);
	if (r < 0)
		return r;
	n = node_ptr(t->e->a, *slot);
	r = edit_del_child(t->e, n, path + at, len - at);
	if (r == 0)
		n->gen = ++*t->gen;
	return r;
}

struct listing {
	const struct arena *a;
	struct item {
		uint64_t seq;
		aref node;
	} * items;
	size_t n, cap;
};

static int collect(void *arg, aref kid)
{
	struct listing *l = arg;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct item *p = sys_realloc(l->items, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->items = p;
		l->cap = cap;
	}
	l->items[l->n++] = (struct item){ node_ptr(l->a, kid)->seq, kid };
	return 0;
}

static int by_seq(const void *x, const void *y)
{
	const struct item *a = x, *b = y;

	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

int tree_list(const struct arena *a, const struct node *n, char **ret)
{
	struct listing l = { .a = a };
	char *out = NULL, *p;
	int r;

	r = node_each(a, n, collect, &l);
	if (r == 0 && n->kid_bytes) {
		out = sys_zalloc(n->kid_bytes);
		r = out ? 0 : -ENOMEM;
	}
	if (r == 0) {
		if (l.n)
			qsort(l.items, l.n, sizeof(*l.items), by_seq);
		p = out;
		for (size_t i = 0; i < l.n; i++) {
			const struct node *kid = node_ptr(a, l.items[i].node);

			memcpy(p, kid->data, kid->nlen); /* the NUL is there already */
			p += kid->nlen + 1;
		}
		*ret = out;
	}
	free(l.items);
	return r;
}
