/* xenstored/conn.h - one client, whatever it is connected by.
 *
 * A transport (sock.c, ring.c) feeds whole requests to op_dispatch() and moves
 * conn->out to the peer; everything between is the same for both.
 */
#ifndef XENSTORED_CONN_H
#define XENSTORED_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "xenstored/perms.h"
#include "xenstored/txn.h"
#include "xenstored/watch.h"

struct server;
struct domain;

struct outbuf {
	uint8_t *p;	       /* owned */
	size_t head, len, cap; /* unsent bytes are p[head .. head+len) */
	uint64_t sent;	       /* bytes ever taken out: positions count from there */
};

struct conn {
	TAILQ_ENTRY(conn) link;
	TAILQ_ENTRY(conn) dirty_link;
	struct server *srv; /* borrowed */
	uint64_t id;
	struct who who;
	struct domain *dom; /* ring's owner, borrowed; NULL for a socket */
	struct sock *sock;  /* owned; NULL for a ring */
	TAILQ_HEAD(, watch) watches;
	uint32_t nwatches, last_serial;
	TAILQ_HEAD(, txn) txns;
	uint32_t ntxns, last_txn;
	struct outbuf out;
	bool dirty;    /* on the server's list of those with new output */
	bool parked;   /* its next request waits for a transaction to end (claim.c) */
	bool depth_ok; /* the depth of a watch is understood (feature bit 2) */
	bool doomed;   /* to be closed when the current work is done */
	TAILQ_ENTRY(conn) park_link;
	uint64_t park_until_ns;
	struct txn *park_txn; /* whose request waits; borrowed */
	unsigned park_slot;
};

int conn_init(struct conn *c, struct server *srv, const struct who *who);
/* Frees what hangs on it, not the conn. Idempotent. */
void conn_fini(struct conn *c);
/* Watches, transactions and unsent output go: RESET_WATCHES, reconnect. */
void conn_reset(struct conn *c);

/* Queue a message.  -ENOMEM: the connection is doomed. */
int conn_send(struct conn *c, uint32_t type, uint32_t req_id, uint32_t tx_id, const void *body,
	      size_t len);
/* Queue an event for x about path, unless the same one waits already. */
void conn_event(struct conn *c, struct watch *x, const char *path, size_t len);

struct txn *conn_txn(struct conn *c, uint32_t id); /* NULL: no such */
int conn_txn_start(struct conn *c, uint32_t *ret_id);
void conn_txn_drop(struct conn *c, struct txn *t);
void conn_drop_txns(struct conn *c);

int conn_watch_add(struct conn *c, const char *path, size_t len, const char *token, int32_t depth,
		   size_t strip, struct watch **ret);
struct watch *conn_watch_find(struct conn *c, const char *path, size_t len, const char *token);
void conn_watch_del(struct conn *c, struct watch *w);
void conn_drop_watches(struct conn *c);

int outbuf_add(struct outbuf *o, const void *p, size_t n); /* -ENOMEM */
void outbuf_drop(struct outbuf *o, size_t n);		   /* from the front */
void outbuf_fini(struct outbuf *o);

#endif
