/* xenstored/watch.c - the tree of watched paths. */
#include "xenstored/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"
#include "proto/xs_wire.h"
#include "xenstored/siphash.h"

struct wnode {
	struct wnode *hash_next, *parent;
	LIST_ENTRY(wnode) sibling;
	LIST_HEAD(, wnode) kids;
	LIST_HEAD(, watch) here;
	uint16_t nlen;
	char name[];
};

static size_t bucket_of(const struct watches *w, const struct wnode *parent, const char *name,
			size_t n)
{
	return (siphash(w->key, name, n) ^ ((uintptr_t)parent >> 4) * 0x9e3779b97f4a7c15ull) &
	       (w->nbuckets - 1);
}

static struct wnode *wnode_find(const struct watches *w, const struct wnode *parent,
				const char *name, size_t n)
{
	struct wnode *x = w->bucket[bucket_of(w, parent, name, n)];

	while (x && (x->parent != parent || x->nlen != n || memcmp(x->name, name, n) != 0))
		x = x->hash_next;
	return x;
}

static void rehash(struct watches *w)
{
	size_t n = w->nbuckets * 2, old = w->nbuckets;
	struct wnode **was = w->bucket, **b = sys_zalloc(n * sizeof(*b));

	if (!b)
		return; /* longer chains until there is memory */
	w->bucket = b;
	w->nbuckets = n;
	for (size_t i = 0; i < old; i++)
		for (struct wnode *x = was[i], *next; x; x = next) {
			size_t at = bucket_of(w, x->parent, x->name, x->nlen);

			next = x->hash_next;
			x->hash_next = b[at];
			b[at] = x;
		}
	free(was);
}

static struct wnode *wnode_new(struct watches *w, struct wnode *parent, const char *name, size_t n)
{
	struct wnode *x = sys_zalloc(sizeof(*x) + n);
	size_t at;

	if (!x)
		return NULL;
	x->parent = parent;
	x->nlen = (uint16_t)n;
	memcpy(x->name, name, n);
	LIST_INIT(&x->kids);
	LIST_INIT(&x->here);
	if (!parent)
		return x;
	if (w->count++ >= w->nbuckets)
		rehash(w);
	at = bucket_of(w, parent, name, n);
	x->hash_next = w->bucket[at];
	w->bucket[at] = x;
	LIST_INSERT_HEAD(&parent->kids, x, sibling);
	return x;
}

/* Remove x and its ancestors as far as nobody needs them. */
static void wnode_prune(struct watches *w, struct wnode *x)
{
	while (x->parent && LIST_EMPTY(&x->kids) && LIST_EMPTY(&x->here)) {
		struct wnode *up = x->parent, **p;

		p = &w->bucket[bucket_of(w, up, x->name, x->nlen)];
		while (*p != x)
			p = &(*p)->hash_next;
		*p = x->hash_next;
		LIST_REMOVE(x, sibling);
		w->count--;
		free(x);
		x = up;
	}
}

int watches_init(struct watches *w, const uint64_t key[2])
{
	*w = (struct watches){ .nbuckets = 64, .key = { key[0], key[1] } };
	w->bucket = sys_zalloc(w->nbuckets * sizeof(*w->bucket));
	w->root = wnode_new(w, NULL, "", 0);
	w->special = wnode_new(w, NULL, "", 0);
	if (!w->bucket || !w->root || !w->special) {
		watches_fini(w);
		return -ENOMEM;
	}
	return 0;
}

void watches_fini(struct watches *w)
{
	free(w->root);
	free(w->special);
	free(w->bucket);
	*w = (struct watches){ 0 };
}

/* The next component of a path; false at its end.  A special path is one. */
static bool next_name(const char *path, size_t len, size_t *at, const char **ret, size_t *ret_n)
{
	const char *end;

	if (path[0] != '@' && *at == 0)
		*at = 1;
	if (*at >= len)
		return false;
	end = memchr(path + *at, '/', len - *at);
	*ret = path + *at;
	*ret_n = end ? (size_t)(end - *ret) : len - *at;
	*at += *ret_n + 1;
	return true;
}

int watch_new(struct watches *w, struct conn *c, const char *path, size_t len, const char *token,
	      int32_t depth, size_t strip, struct watch **ret)
{
	struct wnode *n = path[0] == '@' ? w->special : w->root, *kid;
	size_t at = 0, k, tlen = strlen(token);
	const char *name;
	struct watch *x;

	x = sys_zalloc(sizeof(*x) + len + tlen + 2);
	if (!x)
		return -ENOMEM;
	while (next_name(path, len, &at, &name, &k)) {
		kid = wnode_find(w, n, name, k);
		if (!kid)
			kid = wnode_new(w, n, name, k);
		if (!kid) {
			wnode_prune(w, n);
			free(x);
			return -ENOMEM;
		}
		n = kid;
	}
	x->conn = c;
	x->node = n;
	x->depth = depth;
	x->strip = (uint16_t)strip;
	x->path_len = (uint16_t)len;
	x->last_at = UINT64_MAX;
	memcpy(x->text, path, len);
	memcpy(x->text + len + 1, token, tlen);
	LIST_INSERT_HEAD(&n->here, x, of_path);
	*ret = x;
	return 0;
}

struct watch *watch_free(struct watches *w, struct watch *x)
{
	if (!x)
		return NULL;
	LIST_REMOVE(x, of_path);
	wnode_prune(w, x->node);
	free(x);
	return NULL;
}

static size_t names_in(const char *path, size_t len)
{
	size_t at = 0, n = 0, k;
	const char *name;

	while (next_name(path, len, &at, &name, &k))
		n++;
	return n;
}

void watches_match(const struct watches *w, const char *path, size_t len, bool exact,
		   void (*f)(void *arg, struct watch *x), void *arg)
{
	struct wnode *n = path[0] == '@' ? w->special : w->root;
	size_t at = 0, k, left = names_in(path, len);
	const char *name;
	struct watch *x, *tmp;

	for (;;) {
		for (x = LIST_FIRST(&n->here); (!exact || left == 0) && x; x = tmp) {
			tmp = LIST_NEXT(x, of_path);
			if (x->depth < 0 || (size_t)x->depth >= left)
				f(arg, x);
		}
		if (!next_name(path, len, &at, &name, &k))
			return;
		n = wnode_find(w, n, name, k);
		if (!n)
			return;
		left--;
	}
}

struct below {
	int (*f)(void *arg, const char *path, size_t len);
	void *arg;
	char path[XS_ABS_PATH_MAX + 64];
};

/* Depth first without recursion: down to the first kid, else on to the next
 * sibling of the nearest ancestor that has one. */
static int walk_below(struct wnode *top, struct below *b, size_t len)
{
	struct wnode *n = LIST_FIRST(&top->kids);
	int r = 0;

	while (n && r == 0) {
		b->path[len] = '/';
		memcpy(b->path + len + 1, n->name, n->nlen);
		len += n->nlen + 1u;
		b->path[len] = '\0';
		if (!LIST_EMPTY(&n->here))
			r = b->f(b->arg, b->path, len);
		if (LIST_FIRST(&n->kids)) {
			n = LIST_FIRST(&n->kids);
			continue;
		}
		while (n != top) {
			len -= n->nlen + 1u;
			if (LIST_NEXT(n, sibling))
				break;
			n = n->parent;
		}
		n = n == top ? NULL : LIST_NEXT(n, sibling);
	}
	return r;
}

int watches_below(const struct watches *w, const char *path, size_t len,
		  int (*f)(void *arg, const char *path, size_t len), void *arg)
{
	struct below b = { .f = f, .arg = arg };
	struct wnode *n = w->root;
	size_t at = 0, k;
	const char *name;

	while (n && next_name(path, len, &at, &name, &k))
		n = wnode_find(w, n, name, k);
	if (!n)
		return 0;
	if (len == 1)
		len = 0;
	memcpy(b.path, path, len);
	return walk_below(n, &b, len);
}
