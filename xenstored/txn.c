/* xenstored/txn.c - the log, and repeating it. */
#include "xenstored/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/clock.h"
#include "daemons/sys.h"
#include "xenstored/siphash.h"

#define ENTRIES_PER_NODE 8u /* times the transaction-nodes quota: how long a log may get */

struct txn_entry {
	STAILQ_ENTRY(txn_entry) link;
	struct txn_entry *hash_next;
	uint32_t type;
	int r;
	aref node; /* a reference, or 0 */
	uint32_t path_len, data_len;
	char data[]; /* path NUL data */
};

static bool is_read(uint32_t type)
{
	return type == XS_READ || type == XS_DIRECTORY || type == XS_DIRECTORY_PART ||
	       type == XS_GET_PERMS;
}

int txn_new(struct store *st, struct quotas *q, struct conn *c, uint32_t id, struct txn **ret)
{
	struct txn *t = sys_zalloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->nbuckets = 8;
	t->bucket = sys_zalloc(t->nbuckets * sizeof(*t->bucket));
	if (!t->bucket) {
		free(t);
		return -ENOMEM;
	}
	t->st = st;
	t->q = q;
	t->conn = c;
	t->id = id;
	t->started_ns = clock_mono_ns();
	t->root = node_ref(&st->a, st->root);
	t->gen = st->gen;
	edit_init(&t->e, &st->a, st->key, false);
	STAILQ_INIT(&t->log);
	*ret = t;
	return 0;
}

static void drop_log(struct txn *t)
{
	struct txn_entry *e;

	while ((e = STAILQ_FIRST(&t->log))) {
		STAILQ_REMOVE_HEAD(&t->log, link);
		if (e->node)
			node_unref(&t->st->a, e->node);
		free(e);
	}
	memset(t->bucket, 0, t->nbuckets * sizeof(*t->bucket));
}

struct txn *txn_free(struct txn *t)
{
	if (!t)
		return NULL;
	drop_log(t);
	if (t->root)
		node_unref(&t->st->a, t->root);
	edit_fini(&t->e);
	ledger_fini(&t->led);
	free(t->bucket);
	free(t);
	return NULL;
}

void txn_lose(struct txn *t)
{
	t->lost = true;
	drop_log(t);
	node_unref(&t->st->a, t->root);
	t->root = 0;
	ledger_clear(&t->led);
}

void txn_access(struct txn *t, struct access *x)
{
	/* Until it has seen something it may as well have started now. */
	if (!t->entries && !t->lost && t->root != t->st->root) {
		node_unref(&t->st->a, t->root);
		t->root = node_ref(&t->st->a, t->st->root);
		t->gen = t->st->gen;
	}
	x->st = t->st;
	x->q = t->q;
	/* A lost one has no version: it reads the committed one, and its changes
	 * are not made. */
	x->t = t->lost ? store_tree(t->st) : (struct tree){ &t->root, &t->e, &t->gen };
	x->led = &t->led;
	x->ch = NULL;
	x->wat = NULL;
}

static void grow_buckets(struct txn *t)
{
	size_t n = t->nbuckets * 4;
	struct txn_entry **b = sys_zalloc(n * sizeof(*b)), *e;

	if (!b)
		return;
	free(t->bucket);
	t->bucket = b;
	t->nbuckets = n;
	STAILQ_FOREACH(e, &t->log, link)
	{
		size_t at = siphash(t->st->key, e->data, e->path_len) & (n - 1);

		e->hash_next = b[at];
		b[at] = e;
	}
}

/* Nothing new: the same answer to the same question. */
static bool known(const struct txn *t, const struct txn_entry *e, uint32_t type, int r, aref node)
{
	(void)t;
	return is_read(type) && e->type == type && e->r == r && e->node == node;
}

int txn_note(struct txn *t, const struct who *w, uint32_t type, const struct path *p,
	     const void *data, size_t n, int r, aref node)
{
	size_t at = siphash(t->st->key, p->s, p->len) & (t->nbuckets - 1);
	uint32_t max = quota_limit(t->q, w->domid, Q_TXN_NODES, false);
	bool seen = false;
	struct txn_entry *e;

	if (t->lost)
		return 0;
	if (r == -ENOSPC || r == -ENOMEM)
		t->failed = true;
	for (e = t->bucket[at]; e; e = e->hash_next) {
		if (e->path_len != p->len || memcmp(e->data, p->s, p->len) != 0)
			continue;
		seen = true;
		if (known(t, e, type, r, node))
			return 0;
	}
	if ((!seen && !quota_allows(t->q, w, Q_TXN_NODES, t->nodes + 1)) ||
	    (!w->privileged && max && t->entries >= (size_t)max * ENTRIES_PER_NODE)) {
		t->failed = true;
		return -ENOSPC;
	}
	e = sys_zalloc(sizeof(*e) + p->len + 1 + n);
	if (!e) {
		t->failed = true;
		return -ENOMEM;
	}
	e->type = type;
	e->r = r;
	e->node = node ? node_ref(&t->st->a, node) : 0;
	e->path_len = (uint32_t)p->len;
	e->data_len = (uint32_t)n;
	memcpy(e->data, p->s, p->len);
	if (n)
		memcpy(e->data + p->len + 1, data, n);
	e->hash_next = t->bucket[at];
	t->bucket[at] = e;
	STAILQ_INSERT_TAIL(&t->log, e, link);
	t->nodes += !seen;
	t->writes |= !is_read(type);
	t->bytes += sizeof(*e) + p->len + n;
	if (++t->entries > t->nbuckets * 2)
		grow_buckets(t);
	return 0;
}

/* ---- repeating ---- */

static bool same_list(const struct arena *a, const struct node *x, const struct node *y)
{
	char *lx = NULL, *ly = NULL;
	bool same;

	if (x->kids == y->kids)
		return true;
	if (x->kid_bytes != y->kid_bytes)
		return false;
	same = tree_list(a, x, &lx) == 0 && tree_list(a, y, &ly) == 0 &&
	       (!lx || memcmp(lx, ly, x->kid_bytes) == 0);
	free(lx);
	free(ly);
	return same;
}

static bool same_perms(const struct perms *x, const struct perms *y)
{
	return x == y || (x->n == y->n && memcmp(x->p, y->p, x->n * sizeof(x->p[0])) == 0);
}

static bool same_answer(const struct arena *a, uint32_t type, aref was, aref is)
{
	const struct node *x, *y;

	if (was == is)
		return true;
	if (!was || !is)
		return false;
	x = node_ptr(a, was);
	y = node_ptr(a, is);
	switch (type) {
	case XS_READ:
		return x->vlen == y->vlen && memcmp(node_value(x), node_value(y), x->vlen) == 0;
	case XS_GET_PERMS: return same_perms(perms_ptr(a, x->perms), perms_ptr(a, y->perms));
	default: return same_list(a, x, y);
	}
}

static int repeat(struct access *x, const struct txn_entry *e)
{
	struct path p = { .len = e->path_len };
	aref node = 0;
	int r;

	memcpy(p.s, e->data, e->path_len + 1);
	if (is_read(e->type)) {
		r = access_get(x, &p, PERM_READ, &node);
		return r == e->r && same_answer(&x->st->a, e->type, e->node, node) ? 0 : -EAGAIN;
	}
	r = access_apply(x, e->type, &p, e->data + e->path_len + 1, e->data_len);
	if (r == -ENOMEM || r == -ENOSPC)
		return r;
	return r == e->r ? 0 : -EAGAIN;
}

/* One event per changed node: a later change of the same node is left out. */
static void merge_changes(struct changes *c, struct arena *a)
{
	size_t out = 0, nb = 1;
	uint32_t *first; /* by hash of path: index + 1 */

	while (nb < c->n * 2)
		nb *= 2;
	first = c->n > 1 ? sys_zalloc(nb * sizeof(*first)) : NULL;
	if (!first)
		return; /* one change; or no memory, and an event too many does no harm */
	for (size_t i = 0; i < c->n; i++) {
		struct change *x = &c->c[i], *y;
		size_t h = 5381;

		for (uint32_t k = 0; k < x->len; k++)
			h = h * 33 + (unsigned char)x->path[k];
		for (h &= nb - 1; first[h]; h = (h + 1) & (nb - 1)) {
			y = &c->c[first[h] - 1];
			if (y->len == x->len && memcmp(y->path, x->path, x->len) == 0)
				break;
		}
		if (!first[h]) {
			c->c[out] = *x;
			first[h] = (uint32_t)++out;
			continue;
		}
		y = &c->c[first[h] - 1];
		y->exact = y->exact && x->exact;
		y->gone = x->gone;
		if (x->perms)
			perms_unref(a, x->perms);
		free(x->path);
	}
	c->n = out;
	free(first);
}

int txn_replay(struct txn *t, struct access *x, const char **ret_path)
{
	struct store *st = t->st;
	struct txn_entry *e;
	aref root = node_ref(&st->a, st->root);
	uint64_t gen = st->gen;
	struct edit ed;
	int r = 0;

	edit_init(&ed, &st->a, st->key, false);
	x->t = (struct tree){ &root, &ed, &gen };
	STAILQ_FOREACH(e, &t->log, link)
	{
		r = repeat(x, e);
		if (r < 0) {
			*ret_path = e->data;
			break;
		}
	}
	if (r == 0)
		r = ledger_check(x->led, x->q, &x->who);
	if (r == 0)
		r = refvec_push(&st->e.drop_node, st->root);
	edit_fini(&ed);
	if (r < 0) {
		node_unref(&st->a, root);
		return r;
	}
	merge_changes(x->ch, &st->a);
	st->root = root;
	st->gen = gen;
	return 0;
}
