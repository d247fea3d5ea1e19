/* apid/httpd.c - daemons, connections and the request's way through MHD. */
#include "apid/http_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apid/ids.h"
#include "apid/peer.h"
#include "daemons/sys.h"

/* ---- connections ---- */

static void conn_open(struct httpd *h, struct MHD_Connection *mhd, void **slot)
{
	const union MHD_ConnectionInfo *ci =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct conn *c = sys_zalloc(sizeof(*c));

	*slot = c;
	if (!c)
		return; /* its requests are refused */
	c->h = h;
	c->fd = ci ? ci->connect_fd : -1;
	c->since_ms = uptime_ms();
	peer_identify(c->fd, h->opts.group, &c->who);
	pthread_mutex_lock(&h->lock);
	c->next = h->conns;
	if (c->next)
		c->next->at = &c->next;
	c->at = &h->conns;
	h->conns = c;
	pthread_mutex_unlock(&h->lock);
}

static void conn_close(struct httpd *h, void **slot)
{
	struct conn *c = *slot;

	*slot = NULL;
	if (!c)
		return;
	pthread_mutex_lock(&h->lock);
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	pthread_mutex_unlock(&h->lock);
	free(c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **slot,
			  enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		conn_open(cls, mhd, slot);
	else
		conn_close(cls, slot);
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *ci =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return ci ? ci->socket_context : NULL;
}

static void conn_reading(struct conn *c, bool reading)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->h->lock);
	c->since_ms = reading ? uptime_ms() : 0;
	pthread_mutex_unlock(&c->h->lock);
}

/* A request must be whole in time, whoever drips its bytes how slowly; the
 * library's own time-out begins anew with every byte. */
static void end_slow(struct httpd *h)
{
	int64_t before = uptime_ms() - (int64_t)h->opts.request_s * 1000;

	pthread_mutex_lock(&h->lock);
	for (struct conn *c = h->conns; c; c = c->next)
		if (c->since_ms && c->since_ms < before && c->fd >= 0)
			(void)shutdown(c->fd, SHUT_RDWR); /* MHD then closes it */
	pthread_mutex_unlock(&h->lock);
}

void httpd_tick(struct httpd *h)
{
	end_slow(h);
}

/* ---- requests ---- */

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct request *q = sys_zalloc(sizeof(*q));

	if (!q)
		return NULL;
	pthread_mutex_init(&q->lock, NULL);
	q->h = cls;
	q->mhd = mhd;
	q->con_fd = -1;
	q->uri = strdup(uri);
	return q;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **slot,
			 enum MHD_RequestTerminationCode why)
{
	struct request *q = *slot;

	(void)cls;
	(void)why;
	*slot = NULL;
	conn_reading(conn_of(mhd), true); /* the next request's time begins */
	if (!q)
		return;
	if (q->conn && q->conn->upgraded)
		conn_reading(q->conn, false);
	call_fini(&q->call);
	if (q->is_rpc)
		rpc_fini(&q->rpc);
	jb_fini(&q->body);
	jb_fini(&q->con_early);
	if (q->con_fd >= 0)
		close(q->con_fd);
	/* Whoever woke us may not have let go of the lock yet. */
	pthread_mutex_lock(&q->lock);
	pthread_mutex_unlock(&q->lock);
	free(q->uri);
	free(q->pathbuf);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* A suspended request lives until it is resumed; after that it may be gone, so
 * the last step touches nothing of it. */
void request_wake(void *arg)
{
	struct request *q = arg;
	struct MHD_Connection *mhd = q->mhd;
	bool resume;

	pthread_mutex_lock(&q->lock);
	q->done = true;
	resume = q->suspended;
	pthread_mutex_unlock(&q->lock);
	if (resume)
		MHD_resume_connection(mhd);
}

static bool take_body(struct request *q, const char *data, size_t n)
{
	if (q->body.n + n > HTTPD_BODY_MAX)
		q->too_large = true;
	if (!q->too_large)
		jb_put(&q->body, data, n);
	return !q->too_large;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *n, void **slot)
{
	struct request *q = *slot;
	struct problem p;
	bool wait;

	(void)cls;
	(void)url;
	(void)version;
	if (!q || !q->uri)
		return MHD_NO;
	if (!q->seen) {
		const char *len = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND,
							      MHD_HTTP_HEADER_CONTENT_LENGTH);

		q->seen = true;
		q->conn = conn_of(mhd);
		snprintf(q->method, sizeof(q->method), "%s", method);
		if (!q->conn)
			return MHD_NO;
		if (!len || strtoull(len, NULL, 10) <= HTTPD_BODY_MAX)
			return MHD_YES; /* an answer now would end the connection */
		(void)problem_set(&p, PROB_PAYLOAD_TOO_LARGE, "a body has at most %u bytes",
				  HTTPD_BODY_MAX);
		return request_problem(q, &p);
	}
	if (*n) {
		bool ok = take_body(q, data, *n);

		*n = 0;
		return ok ? MHD_YES : MHD_NO; /* chunks without end: hang up */
	}
	if (!q->started) {
		q->started = true;
		conn_reading(q->conn, false);
		q->h->a->requests++;
		pthread_mutex_lock(&q->lock);
		wait = request_begin(q) == CALL_WAIT && !q->done;
		if (wait) {
			q->suspended = true;
			MHD_suspend_connection(mhd);
		}
		pthread_mutex_unlock(&q->lock);
		if (wait)
			return MHD_YES;
	}
	return request_answer(q);
}

/* The library would undo %2F and stop at %00; request.c splits and decodes the
 * raw line itself. */
static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *s)
{
	(void)cls;
	(void)mhd;
	return strlen(s);
}

int httpd_start(struct apid *a, int listen_fd, bool tcp, const struct httpd_opts *o,
		struct httpd **ret)
{
	struct httpd *h = sys_zalloc(sizeof(*h));
	unsigned flags = MHD_USE_POLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			 MHD_ALLOW_UPGRADE | MHD_USE_ITC;

	if (!h)
		return -ENOMEM;
	h->a = a;
	h->opts = *o;
	h->tcp = tcp;
	pthread_mutex_init(&h->lock, NULL);
	h->mhd = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET, listen_fd,
		MHD_OPTION_THREAD_POOL_SIZE, o->threads < 2 ? 2u : o->threads,
		MHD_OPTION_CONNECTION_LIMIT, o->connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTPD_HEADER_MAX, MHD_OPTION_CONNECTION_TIMEOUT, 120u,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, h, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_UNESCAPE_CALLBACK,
		keep_escapes, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!h->mhd) {
		pthread_mutex_destroy(&h->lock);
		free(h);
		return -EIO;
	}
	*ret = h;
	return 0;
}

void httpd_quiesce(struct httpd *h)
{
	int fd = MHD_quiesce_daemon(h->mhd);

	if (fd >= 0)
		close(fd);
}

struct httpd *httpd_stop(struct httpd *h)
{
	if (!h)
		return NULL;
	MHD_stop_daemon(h->mhd);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return NULL;
}
