/* xenstored/ops_node.c - requests about nodes and watches. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/domain.h"
#include "xenstored/ops.h"

static void req_access(struct req *q, struct access *x)
{
	server_access(q->srv, &q->c->who, x);
	if (q->t)
		txn_access(q->t, x);
}

/* The node of a read, noted in the transaction if there is one. */
static int get_for_read(struct req *q, struct path *p, const struct node **ret)
{
	struct access x;
	aref node = 0;
	int r, n;

	r = req_path(q, q->arg[0], false, p);
	if (r < 0)
		return r;
	req_access(q, &x);
	r = access_get(&x, p, PERM_READ, &node);
	n = q->t ? txn_note(q->t, &q->c->who, q->type, p, NULL, 0, r, node) : 0;
	if (r == 0 && n == 0)
		*ret = node_ptr(&q->srv->store.a, node);
	return r < 0 ? r : n;
}

int op_read(struct req *q)
{
	const struct node *n;
	struct path p;
	int r = get_for_read(q, &p, &n);

	return r < 0 ? r : req_reply(q, node_value(n), n->vlen);
}

int op_directory(struct req *q)
{
	const struct node *n;
	struct path p;
	const char *names;
	int r = get_for_read(q, &p, &n);

	if (r == 0 && n->kid_bytes > XS_PAYLOAD_MAX)
		r = -E2BIG;
	if (r == 0)
		r = server_list(q->srv, n, !q->t, &names);
	return r < 0 ? r : req_reply(q, names, n->kid_bytes);
}

/* "generation\0", then as many whole names from the offset on as fit; the last
 * part has one NUL more.  An offset at or past the end gets an empty part. */
int op_directory_part(struct req *q)
{
	char gen[24], *end;
	const struct node *n;
	const char *names;
	struct path p;
	size_t off, head, room, len;
	int r;

	off = strtoul(q->arg[1], &end, 10);
	if (!isdigit((unsigned char)*q->arg[1]) || *end)
		return -EINVAL;
	r = get_for_read(q, &p, &n);
	if (r == 0)
		r = server_list(q->srv, n, !q->t, &names);
	if (r < 0)
		return r;
	head = (size_t)snprintf(gen, sizeof(gen), "%" PRIu64, n->gen) + 1;
	memcpy(q->reply_buf, gen, head);
	room = sizeof(q->reply_buf) - head;
	if (off >= n->kid_bytes) {
		q->reply_buf[head] = '\0';
		len = 1;
	} else if (n->kid_bytes - off < room) {
		len = n->kid_bytes - off;
		memcpy(q->reply_buf + head, names + off, len);
		q->reply_buf[head + len++] = '\0';
	} else {
		for (len = room; len && names[off + len - 1]; len--)
			;
		memcpy(q->reply_buf + head, names + off, len);
	}
	q->reply = q->reply_buf;
	q->reply_len = head + len;
	return 0;
}

/* ---- changes ---- */

static int change(struct req *q, const struct path *p, const void *data, size_t n)
{
	struct access x;
	int r, note;

	if (!q->t) {
		server_access(q->srv, &q->c->who, &x);
		return access_apply(&x, q->type, p, data, n);
	}
	req_access(q, &x);
	if (q->t->lost) {
		/* It can't commit: let it go on as if it had. */
		return 0;
	}
	r = access_apply(&x, q->type, p, data, n);
	note = txn_note(q->t, &q->c->who, q->type, p, data, n, r, 0);
	return r < 0 ? r : note;
}

int op_change(struct req *q)
{
	size_t head = strlen(q->arg[0]) + 1;
	struct path p;
	int r = req_path(q, q->arg[0], false, &p);

	if (r < 0)
		return r;
	return change(q, &p, q->body + head, q->len - head);
}

static int special_node(struct req *q, const char **ret_path, const struct node **ret)
{
	static const char *const names[] = { "/@introduceDomain", "/@releaseDomain" };

	for (size_t i = 0; i < 2; i++)
		if (strcmp(q->arg[0], names[i] + 1) == 0) {
			*ret_path = names[i];
			return meta_find(&q->srv->store, names[i], ret);
		}
	return -EINVAL;
}

static int set_special_perms(struct req *q, const void *data, size_t n)
{
	struct tree m = store_meta(&q->srv->store);
	struct perm list[PERMS_MAX];
	const struct node *node;
	struct access x;
	const char *path;
	aref perms;
	int count, r;

	if (q->t)
		return -EINVAL;
	server_access(q->srv, &q->c->who, &x);
	count = access_parse_perms(&x, data, n, list, PERMS_MAX);
	if (count < 0)
		return count;
	r = special_node(q, &path, &node);
	if (r < 0)
		return r;
	if (!q->c->who.privileged)
		return -EACCES;
	r = store_reserve(&q->srv->store, 0);
	perms = r == 0 ? perms_new(m.e, list, (size_t)count) : 0;
	if (!perms)
		return -ENOMEM;
	r = tree_set_perms(&m, path, strlen(path), perms);
	if (r == 0)
		perms_unref(m.e->a, perms);
	return r;
}

int op_set_perms(struct req *q)
{
	size_t head = strlen(q->arg[0]) + 1;
	struct path p;
	int r;

	if (q->body[q->len - 1] != '\0')
		return -EINVAL;
	if (q->arg[0][0] == '@')
		return set_special_perms(q, q->body + head, q->len - head);
	r = req_path(q, q->arg[0], false, &p);
	return r < 0 ? r : change(q, &p, q->body + head, q->len - head);
}

int op_get_perms(struct req *q)
{
	const struct perms *perms;
	const struct node *n;
	const char *name;
	struct path p;
	int r;

	if (q->arg[0][0] == '@')
		r = special_node(q, &name, &n);
	else
		r = get_for_read(q, &p, &n);
	if (r < 0)
		return r;
	perms = perms_ptr(&q->srv->store.a, n->perms);
	r = perms_format(perms->p, perms->n, q->reply_buf, sizeof(q->reply_buf));
	if (r < 0)
		return r;
	q->reply = q->reply_buf;
	q->reply_len = (size_t)r;
	return 0;
}

/* ---- watches ---- */

static bool special_watchable(const char *path)
{
	return strcmp(path, "@introduceDomain") == 0 || strcmp(path, "@releaseDomain") == 0;
}

int op_watch(struct req *q)
{
	struct conn *c = q->c;
	struct path p;
	int32_t depth = -1;
	int r;

	if (q->nargs > 3 || q->body[q->len - 1] != '\0' || (q->nargs == 3 && !c->depth_ok))
		return -EINVAL;
	if (q->nargs == 3) {
		char *end;
		long v = strtol(q->arg[2], &end, 10);

		if (!isdigit((unsigned char)*q->arg[2]) || *end || v > INT32_MAX)
			return -EINVAL;
		depth = (int32_t)v;
	}
	r = req_path(q, q->arg[0], true, &p);
	if (r < 0)
		return r;
	if (p.s[0] == '@' && !special_watchable(p.s))
		return -EINVAL;
	if (conn_watch_find(c, p.s, p.len, q->arg[1]))
		return -EEXIST;
	if (!quota_allows(&q->srv->quotas, &c->who, Q_WATCHES, c->nwatches + 1ull) ||
	    !quota_allows(&q->srv->quotas, &c->who, Q_MEMORY,
			  quota_usage(&q->srv->quotas, c->who.domid)->used[Q_MEMORY] + q->len))
		return -ENOSPC;
	r = conn_watch_add(c, p.s, p.len, q->arg[1], depth,
			   p.relative ? p.len - strlen(q->arg[0]) : 0, &q->new_watch);
	if (r == 0 && c->dom)
		r = domain_save_watch(c->dom, q->new_watch);
	if (r < 0 && q->new_watch) {
		conn_watch_del(c, q->new_watch);
		q->new_watch = NULL;
	}
	return r;
}

int op_unwatch(struct req *q)
{
	struct watch *w;
	struct path p;
	int r;

	if (q->nargs != 2 || q->body[q->len - 1] != '\0')
		return -EINVAL;
	r = req_path(q, q->arg[0], true, &p);
	if (r < 0)
		return r;
	w = conn_watch_find(q->c, p.s, p.len, q->arg[1]);
	if (!w)
		return -ENOENT;
	r = q->c->dom ? domain_forget_watch(q->c->dom, w) : 0;
	if (r == 0)
		conn_watch_del(q->c, w);
	return r;
}

int op_reset_watches(struct req *q)
{
	int r = q->c->dom ? domain_forget_watches(q->c->dom) : 0;

	if (r < 0)
		return r;
	conn_drop_txns(q->c);
	conn_drop_watches(q->c);
	return 0;
}
