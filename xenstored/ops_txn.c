/* xenstored/ops_txn.c - starting and ending transactions. */
#include <errno.h>
#include <string.h>

#include "xenstored/claim.h"
#include "xenstored/domain.h"
#include "xenstored/ops.h"

int op_transaction_start(struct req *q)
{
	uint32_t id;
	int r;

	if (q->t)
		return -EBUSY;
	r = conn_txn_start(q->c, &id);
	if (r == 0 && q->c->dom)
		r = domain_save_txns(q->c->dom);
	return r < 0 ? r : req_reply_text(q, "%u", id);
}

static int commit(struct req *q)
{
	struct txn *t = q->t;
	const char *path = NULL;
	struct access x;
	int r;

	if (t->failed)
		return -ENOMEM;
	if (t->lost)
		return -EAGAIN;
	if (!t->writes)
		return 0; /* what it read was true when it started */
	server_access(q->srv, &q->c->who, &x);
	r = txn_replay(t, &x, &path);
	q->srv->metrics.commits += r == 0;
	if (r == -EAGAIN) {
		q->srv->metrics.conflicts++;
		claim_heat(q->srv->claims, path);
	}
	return r;
}

int op_transaction_end(struct req *q)
{
	const char *how = q->arg[0];
	int r = 0;

	if (strcmp(how, "T") != 0 && strcmp(how, "F") != 0)
		return -EINVAL;
	if (!q->t)
		return -ENOENT;
	if (*how == 'T')
		r = commit(q);
	if (r < 0)
		server_abort(q->srv); /* before its end is recorded */
	q->keep = true;
	conn_txn_drop(q->c, q->t);
	q->t = NULL;
	if (q->c->dom && domain_save_txns(q->c->dom) < 0)
		q->c->doomed = true; /* no memory: a restart would find it still open */
	return r;
}
