/* xenstored/access.c - permissions and quotas around tree.c. */
#include "xenstored/access.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"
#include "xenstored/watch.h"

#define NODE_HDR_COST 24u /* what upstream's record header costs; node-size counts it */
#define NODE_OVERHEAD 40u
#define EDIT_ROOM     (256u << 10)

static struct node *at(const struct access *x, aref r)
{
	return node_ptr(&x->st->a, r);
}

static const struct perms *perms_of(const struct access *x, aref r)
{
	return perms_ptr(&x->st->a, at(x, r)->perms);
}

size_t access_node_bytes(const struct node *n)
{
	return NODE_OVERHEAD + n->nlen + n->vlen;
}

/* ---- the books ---- */

static int ledger_add(struct ledger *l, uint16_t domid, int nodes, int64_t bytes)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->l[i].domid == domid) {
			l->l[i].nodes += nodes;
			l->l[i].bytes += bytes;
			return 0;
		}
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		struct ledger_line *p = sys_realloc(l->l, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->l = p;
		l->cap = cap;
	}
	l->l[l->n++] = (struct ledger_line){ domid, nodes, bytes };
	return 0;
}

static const struct ledger_line *ledger_find(const struct ledger *l, uint16_t domid)
{
	static const struct ledger_line none;

	for (size_t i = 0; i < l->n; i++)
		if (l->l[i].domid == domid)
			return &l->l[i];
	return &none;
}

void ledger_settle(struct ledger *l, struct quotas *q)
{
	for (size_t i = 0; i < l->n; i++) {
		quota_charge(q, l->l[i].domid, Q_NODES, l->l[i].nodes);
		quota_charge(q, l->l[i].domid, Q_MEMORY, l->l[i].bytes);
	}
	l->n = 0;
}

int ledger_check(const struct ledger *l, struct quotas *q, const struct who *w)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct usage *u = quota_usage(q, l->l[i].domid);

		if (l->l[i].nodes > 0 && u &&
		    !quota_allows_owner(q, w, l->l[i].domid, Q_NODES,
					(uint64_t)(u->used[Q_NODES] + l->l[i].nodes)))
			return -ENOSPC;
	}
	return 0;
}

void ledger_clear(struct ledger *l)
{
	l->n = 0;
}

void ledger_fini(struct ledger *l)
{
	free(l->l);
	*l = (struct ledger){ 0 };
}

/* perms: 0, or borrowed; a reference is taken. */
static int changes_add(struct access *x, const char *path, size_t len, bool exact, bool gone,
		       aref perms)
{
	struct changes *c = x->ch;
	char *copy;

	if (!c)
		return 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 16;
		struct change *p = sys_realloc(c->c, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		c->c = p;
		c->cap = cap;
	}
	copy = sys_zalloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, path, len);
	if (perms)
		(void)perms_ref(x->t.e->a, perms);
	c->c[c->n++] = (struct change){ copy, (uint32_t)len, exact, gone, perms };
	return 0;
}

void changes_clear(struct changes *c, struct arena *a)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->c[i].perms)
			perms_unref(a, c->c[i].perms);
		free(c->c[i].path);
	}
	c->n = 0;
}

void changes_fini(struct changes *c, struct arena *a)
{
	changes_clear(c, a);
	free(c->c);
	*c = (struct changes){ 0 };
}

/* ---- permissions ---- */

/* "/x" is reported missing only to those who could have used it: the nearest
 * ancestor that exists decides. */
int access_get(const struct access *x, const struct path *p, unsigned need, aref *ret)
{
	size_t covered;
	aref r = tree_deepest(&x->st->a, x->st->key, *x->t.root, p->s, p->len, &covered);
	unsigned have = perms_for(perms_of(x, r), &x->who);

	if ((have & need) != need) {
		if (x->q)
			quota_refused(x->q, x->who.domid, REFUSED_ACCESS, p->s);
		return -EACCES;
	}
	if (covered != p->len)
		return -ENOENT;
	*ret = r;
	return 0;
}

/* ---- quotas ---- */

static bool size_allowed(struct access *x, const struct node *n, size_t nperms, size_t vlen,
			 size_t more_names)
{
	return quota_allows(x->q, &x->who, Q_NODE_SIZE,
			    NODE_HDR_COST + nperms * sizeof(struct perm) + vlen +
				    (n ? n->kid_bytes : 0) + more_names);
}

static bool memory_allowed(struct access *x, uint16_t owner, int64_t more)
{
	const struct usage *u = quota_usage(x->q, owner);
	int64_t sum = !u ? 0 : u->used[Q_MEMORY] + ledger_find(x->led, owner)->bytes + more;

	return more <= 0 || quota_allows_owner(x->q, &x->who, owner, Q_MEMORY, (uint64_t)sum);
}

/* ---- the four operations ---- */

/* The permissions a node made below parent gets, as a reference of its own. */
static aref inherit(struct access *x, aref parent)
{
	const struct perms *up = perms_of(x, parent);
	struct perm p[PERMS_MAX];

	if (x->who.privileged || perms_owner(up) == x->who.domid)
		return perms_ref(x->t.e->a, at(x, parent)->perms);
	memcpy(p, up->p, up->n * sizeof(p[0]));
	p[0].domid = x->who.domid;
	return perms_new(x->t.e, p, up->n);
}

static int may_create(struct access *x, const struct path *p, aref parent, size_t covered,
		      size_t vlen)
{
	const struct perms *perms = perms_of(x, parent);
	uint16_t owner = x->who.privileged ? perms_owner(perms) : x->who.domid;
	const struct usage *u = quota_usage(x->q, owner);
	size_t first = covered == 1 ? 1 : covered + 1, count = 1, names;
	const char *slash;

	if (!u)
		return -ENOMEM;
	slash = memchr(p->s + first, '/', p->len - first);
	names = (slash ? (size_t)(slash - p->s) : p->len) - first + 1;
	for (size_t i = first; i < p->len; i++)
		count += p->s[i] == '/';
	if (!quota_allows(x->q, &x->who, Q_NODES,
			  (uint64_t)(u->used[Q_NODES] + ledger_find(x->led, owner)->nodes) +
				  count) ||
	    !size_allowed(x, at(x, parent), perms->n, at(x, parent)->vlen, names) ||
	    !size_allowed(x, NULL, perms->n, vlen, 0) ||
	    !memory_allowed(x, owner, (int64_t)(count * NODE_OVERHEAD + p->len - covered + vlen)))
		return -ENOSPC;
	return 0;
}

static int create(struct access *x, const struct path *p, const void *val, size_t vlen)
{
	size_t covered;
	aref up = tree_deepest(&x->st->a, x->st->key, *x->t.root, p->s, p->len, &covered), perms;
	uint16_t owner;
	int r;

	r = may_create(x, p, up, covered, vlen);
	if (r < 0)
		return r;
	perms = inherit(x, up);
	if (!perms)
		return -ENOMEM;
	owner = perms_owner(perms_ptr(&x->st->a, perms));
	while (r == 0 && covered < p->len) {
		size_t from = covered == 1 ? 1 : covered + 1;
		const char *end = memchr(p->s + from, '/', p->len - from);
		size_t len = end ? (size_t)(end - p->s) : p->len;

		r = tree_add(&x->t, p->s, len, perms, end ? NULL : val, end ? 0 : vlen);
		if (r == 0)
			r = ledger_add(x->led, owner, 1,
				       (int64_t)(NODE_OVERHEAD + len - from + (end ? 0 : vlen)));
		covered = len;
	}
	if (r == 0 || !x->t.e->direct) /* a direct edit that failed is undone as a whole */
		perms_unref(x->t.e->a, perms);
	return r < 0 ? r : changes_add(x, p->s, p->len, false, false, 0);
}

static int apply_write(struct access *x, const struct path *p, const void *data, size_t n)
{
	const struct node *node;
	uint16_t owner;
	int64_t more;
	aref old, perms;
	int r;

	r = access_get(x, p, PERM_WRITE, &old);
	if (r == -ENOENT)
		return create(x, p, data, n);
	if (r < 0)
		return r;
	node = at(x, old);
	perms = node->perms;
	owner = perms_owner(perms_of(x, old));
	more = (int64_t)n - node->vlen;
	if (!size_allowed(x, node, perms_of(x, old)->n, n, 0) || !memory_allowed(x, owner, more))
		return -ENOSPC;
	r = ledger_add(x->led, owner, 0, more);
	if (r == 0)
		r = changes_add(x, p->s, p->len, false, false, perms);
	if (r == 0)
		r = tree_set_value(&x->t, p->s, p->len, data, n);
	return r;
}

static int apply_mkdir(struct access *x, const struct path *p, const void *data, size_t n)
{
	aref old;
	int r = access_get(x, p, PERM_WRITE, &old);

	(void)data;
	(void)n;
	return r == -ENOENT ? create(x, p, NULL, 0) : r;
}

static int tally_kid(void *arg, aref kid)
{
	return refvec_push(arg, kid);
}

/* Book a whole subtree as gone. */
static int tally_subtree(struct access *x, aref top)
{
	struct refvec todo = { 0 };
	int r = refvec_push(&todo, top);

	while (r == 0 && todo.n) {
		aref n = todo.r[--todo.n];

		r = ledger_add(x->led, perms_owner(perms_of(x, n)), -1,
			       -(int64_t)access_node_bytes(at(x, n)));
		if (r == 0)
			r = node_each(&x->st->a, at(x, n), tally_kid, &todo);
	}
	free(todo.r);
	return r;
}

static int note_below(void *arg, const char *path, size_t len)
{
	struct access *x = arg;
	aref n;

	if (tree_find(&x->st->a, x->st->key, *x->t.root, path, len, &n) < 0)
		return 0;
	return changes_add(x, path, len, true, true, at(x, n)->perms);
}

static int remove_node(struct access *x, const char *path, size_t len, aref node)
{
	int r = tally_subtree(x, node);

	if (r == 0)
		r = changes_add(x, path, len, false, true, at(x, node)->perms);
	if (r == 0 && x->ch && x->wat)
		r = watches_below(x->wat, path, len, note_below, x);
	return r < 0 ? r : tree_del(&x->t, path, len);
}

static int apply_rm(struct access *x, const struct path *p, const void *data, size_t n)
{
	aref node, up;
	int r = access_get(x, p, PERM_WRITE, &node);

	(void)data;
	(void)n;
	if (r == -ENOENT)
		return tree_find(&x->st->a, x->st->key, *x->t.root, p->s, path_parent(p->s, p->len),
				 &up);
	if (r < 0)
		return r;
	return p->len == 1 ? -EINVAL : remove_node(x, p->s, p->len, node);
}

int access_parse_perms(struct access *x, const void *data, size_t n, struct perm *ret, size_t max)
{
	int count = 0;

	for (size_t i = 0; i < n; i++)
		count += ((const char *)data)[i] == '\0';
	if (count == 0)
		return -EINVAL;
	if (!quota_allows(x->q, &x->who, Q_NODE_PERMS, (uint64_t)count))
		return -ENOSPC;
	count = perms_parse(data, n, ret, max);
	for (int i = 0; i < count; i++)
		if (ret[i].domid != XS_DOMID_ANY && !x->exists(x->exists_arg, ret[i].domid))
			ret[i].bits |= PERM_IGNORE;
	return count > 0 && (ret[0].bits & PERM_IGNORE) ? -ENOENT : count;
}

static int apply_set_perms(struct access *x, const struct path *p, const void *data, size_t n)
{
	struct perm list[PERMS_MAX];
	const struct perms *was;
	uint16_t from;
	aref node, perms, old;
	int count, r;

	count = access_parse_perms(x, data, n, list, PERMS_MAX);
	if (count < 0)
		return count;
	r = access_get(x, p, PERM_WRITE, &node);
	if (r < 0)
		return r;
	was = perms_of(x, node);
	from = perms_owner(was);
	if (!perms_owns(was, &x->who))
		return -EACCES;
	if (!x->who.privileged && from != list[0].domid)
		return -EPERM;
	if (!size_allowed(x, at(x, node), (size_t)count, at(x, node)->vlen, 0))
		return -ENOSPC;
	old = at(x, node)->perms;
	r = changes_add(x, p->s, p->len, false, false, old);
	if (r == 0 && from != list[0].domid) {
		int64_t bytes = (int64_t)access_node_bytes(at(x, node));

		r = ledger_add(x->led, from, -1, -bytes);
		if (r == 0)
			r = ledger_add(x->led, list[0].domid, 1, bytes);
	}
	perms = r == 0 ? perms_new(x->t.e, list, (size_t)count) : 0;
	if (!perms)
		return r < 0 ? r : -ENOMEM;
	r = tree_set_perms(&x->t, p->s, p->len, perms);
	if (r == 0 || !x->t.e->direct)
		perms_unref(x->t.e->a, perms);
	return r;
}

static int (*const applies[XS_OP_MAX])(struct access *x, const struct path *p, const void *data,
				       size_t n) = {
	[XS_WRITE] = apply_write,
	[XS_MKDIR] = apply_mkdir,
	[XS_RM] = apply_rm,
	[XS_SET_PERMS] = apply_set_perms,
};

int access_apply(struct access *x, uint32_t type, const struct path *p, const void *data, size_t n)
{
	/* Everything that can fail for want of memory fails before the edit. */
	if (arena_reserve(x->t.e->a, EDIT_ROOM) < 0)
		return -ENOMEM;
	return applies[type](x, p, data, n);
}
