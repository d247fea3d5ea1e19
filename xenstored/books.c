/* xenstored/books.c - limits kept over restarts, and the check of the books
 * against the tree that they are about. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"
#include "xenstored/books.h"

static void quota_path(char path[64], bool own, uint16_t domid, enum quota_kind k, bool soft)
{
	char who[8] = "all";

	if (own)
		snprintf(who, sizeof(who), "%u", domid);
	snprintf(path, 64, "/q/%s/%s%s", who, soft ? "soft-" : "", quota_name(k));
}

static void set_limit(struct quotas *q, bool own, uint16_t domid, enum quota_kind k, bool soft,
		      uint32_t v)
{
	struct usage *u = own ? quota_usage(q, domid) : NULL;

	if (u)
		*(soft ? &u->soft[k] : &u->hard[k]) = v;
	else if (!own)
		*(soft ? &q->soft[k] : &q->hard[k]) = v;
}

int server_set_quota(struct server *s, bool own, uint16_t domid, enum quota_kind k, bool soft,
		     uint32_t v)
{
	char path[64], text[16];
	int n = snprintf(text, sizeof(text), "%u", v), r;

	quota_path(path, own, domid, k, soft);
	r = meta_set(&s->store, path, text, (size_t)n);
	if (r == 0)
		set_limit(&s->quotas, own, domid, k, soft, v);
	return r;
}

int books_forget(struct server *s, uint16_t domid)
{
	char path[64];

	snprintf(path, sizeof(path), "/q/%u", domid);
	return meta_del(&s->store, path);
}

struct restoring {
	struct server *s;
	bool own;
	uint16_t domid;
};

static int restore_one(void *arg, aref kid)
{
	struct restoring *v = arg;
	const struct node *n = node_ptr(&v->s->store.a, kid);
	char name[32] = "", text[16] = "";
	enum quota_kind k;
	bool soft;

	if (n->nlen >= sizeof(name) || n->vlen >= sizeof(text))
		return -EBADMSG;
	memcpy(name, n->data, n->nlen);
	memcpy(text, node_value(n), n->vlen);
	if (quota_parse(name, &k, &soft) == 0)
		set_limit(&v->s->quotas, v->own, v->domid, k, soft,
			  (uint32_t)strtoul(text, NULL, 10));
	return 0;
}

static int restore_group(void *arg, aref kid)
{
	struct server *s = arg;
	const struct node *n = node_ptr(&s->store.a, kid);
	struct restoring v = { .s = s };
	char name[8] = "";

	if (n->nlen >= sizeof(name))
		return -EBADMSG;
	memcpy(name, n->data, n->nlen);
	v.own = strcmp(name, "all") != 0;
	v.domid = v.own ? (uint16_t)strtoul(name, NULL, 10) : 0;
	return node_each(&s->store.a, n, restore_one, &v);
}

int books_restore(struct server *s)
{
	const struct node *n;
	int r = meta_find(&s->store, "/q", &n);

	return r < 0 ? r : node_each(&s->store.a, n, restore_group, s);
}

/* ---- check ---- */

struct count {
	uint32_t nodes;
	uint64_t bytes;
};

static int push(void *arg, aref kid)
{
	return refvec_push(arg, kid);
}

/* Count every node of the tree by owner, and compare each node's own sums. */
static int recount(const struct store *st, struct count *by_domid, unsigned *ret_bad)
{
	struct refvec todo = { 0 };
	int r = refvec_push(&todo, st->root);

	while (r == 0 && todo.n) {
		const struct node *n = node_ptr(&st->a, todo.r[--todo.n]);
		uint16_t owner = perms_owner(perms_ptr(&st->a, n->perms));
		size_t before = todo.n, names = 0;

		by_domid[owner].nodes++;
		by_domid[owner].bytes += access_node_bytes(n);
		r = node_each(&st->a, n, push, &todo);
		for (size_t i = before; i < todo.n; i++)
			names += node_ptr(&st->a, todo.r[i])->nlen + 1u;
		*ret_bad += names != n->kid_bytes;
	}
	free(todo.r);
	return r;
}

int server_check(struct server *s, char **ret)
{
	struct count *c = sys_zalloc(65536 * sizeof(*c));
	unsigned bad = 0;
	char *out = NULL;
	int r = c ? recount(&s->store, c, &bad) : -ENOMEM;

	for (unsigned d = 0; r == 0 && d < 65536; d++) {
		const struct usage *u = s->quotas.by_domid[d];

		bad += (u ? u->used[Q_NODES] : 0) != c[d].nodes;
	}
	if (r == 0 && bad && asprintf(&out, "%u entries of the books are wrong", bad) < 0)
		r = -ENOMEM;
	free(c);
	if (r == 0)
		*ret = out;
	return r;
}
