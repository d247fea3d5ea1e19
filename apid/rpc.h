/* apid/rpc.h - JSON-RPC 2.0 over the same operations: requests, notifications
 * and batches.  Calls of a batch are carried out one after the other. */
#ifndef APID_RPC_H
#define APID_RPC_H

#include "apid/call.h"

#define RPC_BATCH_MAX 100

struct rpc {
	struct apid *a;
	struct caller who;
	json_object *req; /* owned: the body */
	struct jbuf out;  /* the answer; empty: nothing to say (204) */
	size_t at, n;	  /* of a batch */
	bool batch;
	unsigned answers;
	struct call cur;
	json_object *id; /* of the current request; borrowed */
	bool notification;
	void (*done)(void *arg); /* as in struct call */
	void *arg;
};

/* text: the body.  0: the answer is there; CALL_WAIT: done() will be called. */
int rpc_start(struct rpc *r, const char *text, size_t n);
void rpc_fini(struct rpc *r);

#endif
