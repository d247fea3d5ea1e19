/* apid/call.h - one operation being carried out, whichever way it came in.
 *
 * REST and JSON-RPC make a call, start it and write its answer in their own
 * form.  A handler never blocks: one that needs the hypervisor, XenStore or a
 * file is marked slow and runs in a helper thread, and one that waits for a
 * task says so (CALL_WAIT) and is continued when the task has ended.
 */
#ifndef APID_CALL_H
#define APID_CALL_H

#include <sys/types.h>

#include "apid/apid.h"

#define CALL_WAIT 1

struct caller {
	uid_t uid;
	enum privilege priv;
};

struct call {
	struct apid *a;
	const struct route *route;
	struct caller who;
	json_object *params; /* owned; path, query and header parameters by name */
	json_object *body;   /* owned or NULL */
	struct worker *w;    /* while a slow handler runs, else NULL */

	/* the answer */
	int status; /* HTTP */
	struct jbuf out;
	const char *ctype;   /* NULL: application/json */
	char location[96];   /* "" */
	char etag[32];	     /* "" */
	struct problem prob; /* if set, it is the answer */

	/* CALL_WAIT: for this task, so long, then after() writes the answer */
	char task[UUID_LEN + 1];
	double wait_s;
	void (*after)(struct call *c);
	char subject[UUID_LEN + 1]; /* the domain, for after() */
	const char *idem_key;	    /* borrowed; NULL: the request came without one */

	/* Called once, from another thread, if call_start returned CALL_WAIT. */
	void (*done)(void *arg);
	void *arg;
	struct call *next; /* in the helpers' queue */
};

/* 0: the answer is there; CALL_WAIT: done() will be called. */
int call_start(struct call *c);
void call_fini(struct call *c);

/* Handlers: 0 (answer or c->prob is set) or CALL_WAIT. */
struct operation {
	const char *op_id;
	int (*run)(struct call *c);
	bool slow;
};
extern const struct operation operations[];
extern const size_t operations_n;

/* Gives every route its handler.  -EINVAL and err if the document and the
 * table don't name the same operations. */
int operations_bind(struct apidoc *d, char err[256]);

/* The helper threads for slow calls. */
struct helpers;
int helpers_start(struct apid *a, unsigned n, struct helpers **ret);
struct helpers *helpers_stop(struct helpers *h);

/* Fill in what is not there from the schema's defaults. */
int call_defaults(struct call *c);

int op_attach(struct call *c); /* apid/attach.c */

/* Metrics text (apid/metrics.c) and host description (apid/host.c). */
void metrics_text(struct apid *a, struct jbuf *b);
void host_json(struct apid *a, struct jbuf *b);
/* The end of a console's log (apid/conlog.c); slow. */
int conlog_read(const char *name, size_t bytes, int64_t lines, struct jbuf *raw, struct problem *p);

#endif
