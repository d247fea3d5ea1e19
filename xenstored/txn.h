/* xenstored/txn.h - one client transaction.
 *
 * A transaction works on a version of its own that starts as the committed one,
 * and keeps a log of what it was asked and what it answered.  A commit repeats
 * the log on the committed version as it is then: if every answer comes out the
 * same, the transaction might as well have run at that moment, so the result is
 * serialisable and nothing conflicts that need not.
 *
 *   T1 reads /a/x, writes /a/y     T2 writes /a/z, commits     T1 commits: fine
 *   T1 reads /n (1), writes 2      T2 writes /n = 2            T1: EAGAIN
 *   T1 reads /n (1), writes 2      T2 writes /n = 1            T1 commits: fine
 *   T1 lists /a, writes /b         T2 creates /a/new           T1: EAGAIN
 *   T1 writes /n                   T2 writes /n                T1 commits: fine
 *   T1 only reads                  anything                    T1 commits: fine
 */
#ifndef XENSTORED_TXN_H
#define XENSTORED_TXN_H

#include <sys/queue.h>

#include "xenstored/access.h"

struct conn;

struct txn {
	TAILQ_ENTRY(txn) of_conn;
	TAILQ_ENTRY(txn) of_server; /* by age */
	struct conn *conn;	    /* borrowed */
	uint32_t id;
	uint64_t started_ns;
	bool lost;   /* can't commit any more, whatever it does: EAGAIN */
	bool failed; /* it was refused something for a quota: ENOMEM */
	bool writes;
	struct store *st; /* borrowed */
	struct quotas *q; /* borrowed */
	aref root;	  /* a reference */
	struct edit e;
	uint64_t gen;
	struct ledger led;
	STAILQ_HEAD(, txn_entry) log;
	struct txn_entry **bucket; /* owned; by path */
	size_t nbuckets, entries, nodes, bytes;
};

int txn_new(struct store *st, struct quotas *q, struct conn *c, uint32_t id, struct txn **ret);
/* Ends it without effect. NULL ok. */
struct txn *txn_free(struct txn *t);
/* Give up its version to save memory; it reads the committed one from now on
 * and can't commit. */
void txn_lose(struct txn *t);

/* x as the operations on this transaction's version need it; who, exists set by
 * the caller. */
void txn_access(struct txn *t, struct access *x);
/* Log an operation and its outcome r; node: what a read found, or 0.
 * -ENOSPC: the transaction has become too big (it is failed then). */
int txn_note(struct txn *t, const struct who *w, uint32_t type, const struct path *p,
	     const void *data, size_t n, int r, aref node);

/* Repeat t on the committed version; x is as for a direct operation, with its
 * ledger and changes.  On 0 st->root is the new version, not yet committed.
 * -EAGAIN with the path where it differed in *ret_path (borrowed from t),
 * -ENOSPC, -ENOMEM.  t lives on either way. */
int txn_replay(struct txn *t, struct access *x, const char **ret_path);

#endif
