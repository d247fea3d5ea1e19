/* xenstored/claim.h - taking turns at nodes that transactions fight over.
 *
 * Many clients that read, change and commit one node at the same time make each
 * other fail: each commit spoils all others.  When a commit fails at a node,
 * the node is hot for a while; then the first transaction to touch it has the
 * claim, and requests of others for it wait (their connection is parked) until
 * the claim ends with its transaction, or with its time: CLAIM_NS from when it
 * was taken.  A claim only orders; correctness is the commit's business.  An
 * unprivileged domain's transaction makes nobody else's wait.
 */
#ifndef XENSTORED_CLAIM_H
#define XENSTORED_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

struct claims;
struct conn;
struct txn;
struct server;

#define CLAIM_NS 1000000u   /* 1 ms */
#define HOT_NS	 200000000u /* 200 ms since the last conflict */

struct claims *claims_new(struct server *srv); /* NULL: no memory */
struct claims *claims_free(struct claims *cl);
/* path conflicted in a commit. */
void claim_heat(struct claims *cl, const char *path);
/* May t go on with path?  False: c was parked. */
bool claim_try(struct claims *cl, struct txn *t, const char *path, struct conn *c);
/* t is over: whoever waits for it goes on. */
void claim_over(struct claims *cl, struct txn *t);
/* c waits no longer (it is closed). */
void claim_unpark(struct claims *cl, struct conn *c);

#endif
