/* xenstored/ops.c - request numbers to handlers, with every cross-cutting
 * check (known, privileged, transaction, argument count) made here and nowhere
 * else, and the one order of things: do, settle, commit, answer, tell. */
#include "xenstored/ops.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/claim.h"

enum {
	OP_PRIV = 1 << 0,
	OP_NO_TXN = 1 << 1,  /* ignores tx_id */
	OP_ONE_ARG = 1 << 2, /* exactly one string: one NUL, at the end */
	OP_NODE = 1 << 3,    /* touches a node: may have to wait for a claim */
};

struct op {
	int (*run)(struct req *q);
	uint8_t min_args;
	uint8_t flags;
};

static const struct op ops[XS_OP_MAX] = {
	[XS_CONTROL] = { op_control, 0, OP_PRIV | OP_NO_TXN },
	[XS_DIRECTORY] = { op_directory, 1, OP_ONE_ARG | OP_NODE },
	[XS_READ] = { op_read, 1, OP_ONE_ARG | OP_NODE },
	[XS_GET_PERMS] = { op_get_perms, 1, OP_ONE_ARG },
	[XS_WATCH] = { op_watch, 2, OP_NO_TXN },
	[XS_UNWATCH] = { op_unwatch, 2, OP_NO_TXN },
	[XS_TRANSACTION_START] = { op_transaction_start, 0, 0 },
	[XS_TRANSACTION_END] = { op_transaction_end, 1, OP_ONE_ARG },
	[XS_INTRODUCE] = { op_introduce, 3, OP_PRIV },
	[XS_RELEASE] = { op_release, 1, OP_PRIV | OP_ONE_ARG },
	[XS_GET_DOMAIN_PATH] = { op_get_domain_path, 1, OP_ONE_ARG },
	[XS_WRITE] = { op_change, 1, OP_NODE },
	[XS_MKDIR] = { op_change, 1, OP_ONE_ARG | OP_NODE },
	[XS_RM] = { op_change, 1, OP_ONE_ARG | OP_NODE },
	[XS_SET_PERMS] = { op_set_perms, 2, 0 },
	[XS_IS_DOMAIN_INTRODUCED] = { op_is_domain_introduced, 1, OP_PRIV | OP_ONE_ARG },
	[XS_RESUME] = { op_resume, 1, OP_PRIV | OP_ONE_ARG },
	[XS_SET_TARGET] = { op_set_target, 2, OP_PRIV },
	[XS_RESET_WATCHES] = { op_reset_watches, 0, OP_NO_TXN },
	[XS_DIRECTORY_PART] = { op_directory_part, 2, OP_NODE },
	[XS_GET_FEATURE] = { op_get_feature, 0, OP_NO_TXN },
	[XS_SET_FEATURE] = { op_set_feature, 2, OP_PRIV | OP_NO_TXN },
	[XS_GET_QUOTA] = { op_get_quota, 0, OP_PRIV | OP_NO_TXN },
	[XS_SET_QUOTA] = { op_set_quota, 2, OP_PRIV | OP_NO_TXN },
};

/* ---- for handlers ---- */

int req_path(struct req *q, const char *text, bool specials, struct path *ret)
{
	const struct who *w = &q->c->who;
	size_t limit =
		w->privileged ? 0 : quota_limit(&q->srv->quotas, w->domid, Q_PATH_MAX, false);

	return path_parse(text, strlen(text), w->domid, specials, limit, ret);
}

int req_reply(struct req *q, const void *p, size_t n)
{
	if (n > sizeof(q->reply_buf))
		return -E2BIG;
	if (n)
		memcpy(q->reply_buf, p, n);
	q->reply = q->reply_buf;
	q->reply_len = n;
	return 0;
}

int req_reply_text(struct req *q, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(q->reply_buf, sizeof(q->reply_buf), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(q->reply_buf))
		return -E2BIG;
	q->reply = q->reply_buf;
	q->reply_len = (size_t)n + 1;
	return 0;
}

int req_domid(const char *text, uint16_t *ret)
{
	unsigned long v = 0;

	if (!*text)
		return -EINVAL;
	for (const char *p = text; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		v = v * 10 + (unsigned long)(*p - '0');
		if (v > 0xffff)
			return -EINVAL;
	}
	*ret = (uint16_t)v;
	return 0;
}

/* ---- dispatch ---- */

static void split_args(struct req *q)
{
	for (size_t at = 0; at < q->len;) {
		const char *end = memchr(q->body + at, '\0', q->len - at);

		if (!end)
			return; /* what follows the last NUL is data */
		if (q->nargs < REQ_ARGS_MAX)
			q->arg[q->nargs] = q->body + at;
		q->nargs++;
		at = (size_t)(end - q->body) + 1;
	}
}

static int check(struct req *q, const struct op *op)
{
	if ((op->flags & OP_PRIV) && !q->c->who.privileged) {
		quota_refused(&q->srv->quotas, q->c->who.domid, REFUSED_ACCESS,
			      xs_op_name(q->type));
		return -EACCES;
	}
	if (!(op->flags & OP_NO_TXN) && q->tx_id) {
		q->t = conn_txn(q->c, q->tx_id);
		if (!q->t)
			return -ENOENT;
	}
	split_args(q);
	if (q->nargs < op->min_args)
		return -EINVAL;
	if ((op->flags & OP_ONE_ARG) && (q->nargs != 1 || q->body[q->len - 1] != '\0'))
		return -EINVAL;
	return 0;
}

static int run(struct req *q)
{
	const struct op *op = q->type < XS_OP_MAX ? &ops[q->type] : NULL;
	int r;

	if (!op || !op->run)
		return -ENOSYS;
	r = check(q, op);
	if (r < 0)
		return r;
	if ((op->flags & OP_NODE) && q->t && !claim_try(q->srv->claims, q->t, q->body, q->c))
		return -EINPROGRESS;
	return op->run(q);
}

/* Queue the reply.  A ring hears of it before the commit, so that both are done
 * by the same store; what is queued is sent only after it. */
static void answer(struct req *q, const struct xs_msg *m, int r, op_prepare *prepare)
{
	const char *name = xs_errno_name(-r);
	uint8_t msg[XS_HDR_SIZE + XS_PAYLOAD_MAX];
	const void *body = r < 0 ? name : q->reply;
	size_t len = r < 0 ? strlen(name) + 1 : q->reply_len;

	xs_hdr_encode(msg, r < 0 ? XS_ERROR : m->type, m->req_id, m->tx_id, (uint32_t)len);
	if (len)
		memcpy(msg + XS_HDR_SIZE, body, len);
	if (prepare)
		prepare(q->c, msg, XS_HDR_SIZE + len);
	else
		(void)conn_send(q->c, r < 0 ? XS_ERROR : m->type, m->req_id, m->tx_id, body, len);
	server_trace(q->srv, q->c, "OUT", r < 0 ? XS_ERROR : m->type, body, len);
}

int op_dispatch(struct conn *c, const struct xs_msg *m, uint32_t seq, op_prepare *prepare)
{
	struct server *srv = c->srv;
	struct req q;
	int r;

	memset(&q, 0, offsetof(struct req, reply_buf));
	q.keep = false;
	q.new_watch = NULL;
	q.after = NULL;
	q.after_arg = NULL;
	q.srv = srv;
	q.c = c;
	q.type = m->type;
	q.tx_id = m->tx_id;
	q.body = (const char *)m->body;
	q.len = m->len;
	q.reply = "OK";
	q.reply_len = 3;

	r = run(&q);
	if (r == -EINPROGRESS)
		return -EAGAIN;
	server_trace(srv, c, "IN", m->type, m->body, m->len);
	srv->metrics.requests[m->type < XS_OP_MAX ? m->type : XS_ERROR]++;
	srv->metrics.errors += r < 0;
	if (r >= 0 && q.reply_len > XS_PAYLOAD_MAX)
		r = -E2BIG;
	if (r < 0 && !q.keep)
		server_abort(srv);
	answer(&q, m, r, prepare);
	if (store_dirty(&srv->store))
		server_commit(srv, c->who.domid, seq);
	if (q.new_watch)
		conn_event(c, q.new_watch, q.new_watch->text, q.new_watch->path_len);
	server_fire(srv);
	if (q.after)
		q.after(&q);
	return 0;
}
