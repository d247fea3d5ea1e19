/* xenstored/ops.h - requests, from the wire to the handler of their kind. */
#ifndef XENSTORED_OPS_H
#define XENSTORED_OPS_H

#include "proto/xs_wire.h"
#include "xenstored/server.h"

#define REQ_ARGS_MAX 8u

struct req {
	struct server *srv;
	struct conn *c;
	struct txn *t; /* NULL: none */
	uint32_t type, tx_id;
	const char *body; /* borrowed, len bytes */
	size_t len;
	const char *arg[REQ_ARGS_MAX]; /* NUL-terminated strings in body */
	unsigned nargs;		       /* how many there are, also past the array */
	/* The reply: "OK" unless a handler says else. */
	const char *reply; /* borrowed; reply_buf or something that lives as long */
	size_t reply_len;
	char reply_buf[XS_PAYLOAD_MAX];
	bool keep;		      /* commit although the answer is an error */
	struct watch *new_watch;      /* gets its first event after the reply */
	void (*after)(struct req *q); /* after reply and events; may be NULL */
	void *after_arg;
};

/* Do one whole message of c: answers it, commits, fires watches.  seq is the
 * ring's number for it (0 for a socket); prepare, if not NULL, is given the
 * whole reply before the commit.  -EAGAIN: c is parked, give it the same
 * message again when server_unpark() was called.  c may be doomed after. */
typedef void op_prepare(struct conn *c, const void *msg, size_t n);
int op_dispatch(struct conn *c, const struct xs_msg *m, uint32_t seq, op_prepare *prepare);

/* For handlers. */
int req_path(struct req *q, const char *text, bool specials, struct path *ret);
int req_reply(struct req *q, const void *p, size_t n); /* copied; -E2BIG */
int req_reply_text(struct req *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int req_domid(const char *text, uint16_t *ret); /* -EINVAL */

/* Handlers by file: ops_node.c, ops_txn.c, ops_dom.c, control.c */
int op_directory(struct req *q);
int op_directory_part(struct req *q);
int op_read(struct req *q);
int op_get_perms(struct req *q);
int op_change(struct req *q); /* WRITE, MKDIR, RM */
int op_set_perms(struct req *q);
int op_watch(struct req *q);
int op_unwatch(struct req *q);
int op_reset_watches(struct req *q);
int op_transaction_start(struct req *q);
int op_transaction_end(struct req *q);
int op_introduce(struct req *q);
int op_release(struct req *q);
int op_get_domain_path(struct req *q);
int op_is_domain_introduced(struct req *q);
int op_resume(struct req *q);
int op_set_target(struct req *q);
int op_get_feature(struct req *q);
int op_set_feature(struct req *q);
int op_get_quota(struct req *q);
int op_set_quota(struct req *q);
int op_control(struct req *q);

#endif
