/* apid/http_int.h - shared by httpd.c, request.c, stream.c and attach.c. */
#ifndef APID_HTTP_INT_H
#define APID_HTTP_INT_H

#include <microhttpd.h>

#include "apid/httpd.h"
#include "apid/rpc.h"

struct conn; /* one connection; httpd.c */

struct httpd {
	struct apid *a;
	struct MHD_Daemon *mhd;
	struct httpd_opts opts;
	bool tcp;
	int listen_fd;
	pthread_mutex_t lock; /* the list of connections */
	struct conn *conns;
};

struct conn {
	struct httpd *h;
	int fd; /* borrowed; valid while the connection is in the list */
	struct caller who;
	bool upgraded;
	int64_t since_ms; /* it has been reading a request since; 0: it isn't */
	struct conn *next, **at;
};

/* One request, from its line to its answer. */
struct request {
	struct httpd *h;
	struct conn *conn;
	struct MHD_Connection *mhd;
	char *uri; /* owned; raw */
	char method[16];
	bool seen, too_large, started;
	struct jbuf body;

	char *pathbuf; /* owned; decoded segments point into it */
	char *segs[ROUTE_SEGS_MAX];
	size_t nsegs;
	const struct route *route;
	char allow[64];

	struct call call;
	struct rpc rpc;
	bool is_rpc;
	char idem_key[129]; /* "" or the key whose reply is to be stored */

	pthread_mutex_t lock;
	bool done, suspended;

	int con_fd; /* attach: consoled's socket, or -1 */
	struct jbuf con_early;
	const char *con_mode;
};

/* request.c: the two halves.  begin: 0 the answer is there, CALL_WAIT. */
int request_begin(struct request *q);
enum MHD_Result request_answer(struct request *q);
enum MHD_Result request_problem(struct request *q, const struct problem *p);
const char *request_header(struct request *q, const char *name);
enum MHD_Result request_send(struct request *q, int status, const char *ctype, struct jbuf *body,
			     const char *const (*headers)[2], size_t nheaders);
void request_wake(void *arg); /* struct request *: its answer is complete */

/* stream.c: GET /v1/events as text/event-stream. */
bool stream_wanted(struct request *q);
enum MHD_Result stream_answer(struct request *q);

/* attach.c: GET /v1/domains/{id}/console, once op_attach has connected. */
enum MHD_Result attach_answer(struct request *q);

/* idem.c: Idempotency-Key.  begin: 0 go on, 1 the stored answer is in *out /
 * call fields, negative: q->call.prob. */
int idem_begin(struct request *q, const char *key);
void idem_store(struct request *q, int status, const char *ctype, const char *body);

#endif
