/* xenstored/server.h - the daemon's whole state, and what joins its parts. */
#ifndef XENSTORED_SERVER_H
#define XENSTORED_SERVER_H

#include <stdio.h>

#include "xenstored/access.h"
#include "xenstored/conn.h"
#include "xenstored/quota.h"
#include "xenstored/store.h"
#include "xenstored/watch.h"

struct event_base;
struct event;
struct domains;
struct claims;
struct live_update;

struct metrics {
	uint64_t requests[XS_OP_MAX], errors, commits, conflicts, events, events_dropped;
};

struct server {
	struct event_base *base; /* borrowed */
	struct store store;
	struct quotas quotas;
	struct watches watches;
	struct domains *domains; /* owned: domain.c */
	struct claims *claims;	 /* owned: claim.c */
	TAILQ_HEAD(, conn) conns, dirty, parked;
	TAILQ_HEAD(, txn) txns;
	unsigned nconns;
	uint64_t last_conn_id;
	struct changes changes; /* of the request being done */
	struct ledger ledger;
	struct metrics metrics;
	struct live_update *lu; /* borrowed; NULL: not offered */
	FILE *trace;		/* owned; NULL: off */
	const char *trace_path; /* borrowed */
	struct event *ev_idle;	/* freeing what is dead, piece by piece */
	struct list_cache {	/* of directories in the committed version */
		aref node;
		uint64_t gen;
		char *names; /* owned */
	} lists[8];
	unsigned next_list;
	char *list_once; /* owned: a list that can't be cached */
};

/* state_path: where the state is kept; NULL: nowhere.  base is borrowed. */
int server_init(struct server *s, struct event_base *base, const char *state_path);
void server_fini(struct server *s);

/* A direct access by who; the ledger and changes are the server's. */
void server_access(struct server *s, const struct who *who, struct access *ret);
/* Settle the books, commit, and keep the changes for server_fire(). */
void server_commit(struct server *s, uint32_t domid, uint32_t seq);
void server_abort(struct server *s);
/* Send the events of what was committed. */
void server_fire(struct server *s);
/* The names in n, in order of creation, borrowed until the next call; committed:
 * n belongs to the committed version, so its list may be kept. */
int server_list(struct server *s, const struct node *n, bool committed, const char **ret);
/* Fire a special node: "@introduceDomain", "@releaseDomain". */
void server_fire_special(struct server *s, const char *name, uint16_t domid);
/* Move output of all connections that have some to their transports. */
void server_flush(struct server *s);

/* May an event of n bytes be queued for c?  Counts and logs if not. */
bool server_event_room(struct conn *c, size_t n);
/* A transaction is gone: let those go on that waited for it. */
void server_txn_over(struct server *s, struct txn *t);
void server_unpark(struct conn *c);

/* Set a limit, for all or for one domain, and keep it over a restart. */
int server_set_quota(struct server *s, bool own, uint16_t domid, enum quota_kind k, bool soft,
		     uint32_t v);
/* Compare the books with the tree.  *ret: what differs, malloc'ed; NULL: nothing. */
int server_check(struct server *s, char **ret);

int server_trace_open(struct server *s, const char *path); /* NULL: close */
void server_trace(struct server *s, const struct conn *c, const char *dir, uint32_t type,
		  const void *body, size_t n);

#endif
