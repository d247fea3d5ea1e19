/* apid/stream.c - GET /v1/events as server-sent events.
 *
 * A stream is a cursor into the durable log: nothing is queued for a reader
 * that doesn't read, and nothing is lost for one that comes back.  An idle
 * stream is suspended; an event or the heartbeat resumes it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apid/http_int.h"
#include "apid/ids.h"
#include "apid/json.h"
#include "daemons/sys.h"

#define STREAM_CHUNK 64 /* events read at a time */

struct stream {
	struct httpd *h;
	struct MHD_Connection *mhd;
	pthread_mutex_t lock;
	bool news, suspended;
	int64_t seq, quiet_since;
	unsigned listener;
	char *types, *uuid;
	struct jbuf out;
	size_t sent;
};

bool stream_wanted(struct request *q)
{
	const char *accept;

	if (!q->route || strcmp(q->route->op_id, "getEvents") != 0)
		return false;
	accept = request_header(q, MHD_HTTP_HEADER_ACCEPT);
	return accept && strstr(accept, "text/event-stream");
}

static void wake(struct stream *s, bool news)
{
	pthread_mutex_lock(&s->lock);
	s->news |= news;
	if (s->suspended) {
		s->suspended = false;
		MHD_resume_connection(s->mhd);
	}
	pthread_mutex_unlock(&s->lock);
}

static void on_event(void *arg)
{
	wake(arg, true);
}

static void stream_free(void *arg)
{
	struct stream *s = arg;

	events_unlisten(s->h->a->ev, s->listener);
	atomic_fetch_sub(&s->h->a->sse_streams, 1);
	pthread_mutex_destroy(&s->lock);
	jb_fini(&s->out);
	free(s->types);
	free(s->uuid);
	free(s);
}

static void refill(struct stream *s)
{
	struct events_filter f = { s->types, s->uuid };
	int64_t seq;

	jb_reset(&s->out);
	s->sent = 0;
	/* What the filter leaves out is skipped in bounded steps. */
	do {
		seq = s->seq;
		s->seq = events_read(s->h->a->ev, seq, STREAM_CHUNK, &f, true, &s->out);
	} while (!s->out.n && s->seq != seq);
	if (!s->out.n && uptime_ms() - s->quiet_since >= (int64_t)s->h->opts.heartbeat_s * 1000)
		jb_puts(&s->out, ": still here\n\n");
	if (s->out.n)
		s->quiet_since = uptime_ms();
}

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct stream *s = cls;
	size_t n;

	(void)pos;
	if (s->sent == s->out.n) {
		pthread_mutex_lock(&s->lock);
		s->news = false;
		pthread_mutex_unlock(&s->lock);
		refill(s);
		if (s->out.oom)
			return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	n = s->out.n - s->sent;
	if (n == 0) {
		pthread_mutex_lock(&s->lock);
		if (!s->news) {
			s->suspended = true;
			MHD_suspend_connection(s->mhd);
		}
		pthread_mutex_unlock(&s->lock);
		return 0;
	}
	if (n > max)
		n = max;
	memcpy(buf, s->out.p + s->sent, n);
	s->sent += n;
	return (ssize_t)n;
}

static char *copy_param(struct request *q, const char *name, bool *oom)
{
	const char *v = json_str(q->call.params, name, NULL);
	char *c = v ? strdup(v) : NULL;

	*oom |= v && !c;
	return c;
}

/* NULL and *p if it can't be. */
static struct stream *stream_new(struct request *q, struct problem *p)
{
	struct events *ev = q->h->a->ev;
	const char *after = json_str(q->call.params, "Last-Event-ID", NULL);
	struct stream *s = sys_zalloc(sizeof(*s));
	bool oom = !s;

	if (s) {
		pthread_mutex_init(&s->lock, NULL);
		s->h = q->h;
		s->mhd = q->mhd;
		s->quiet_since = uptime_ms();
		s->types = copy_param(q, "type", &oom);
		s->uuid = copy_param(q, "domain", &oom);
	}
	if (oom) {
		(void)problem_errno(p, -ENOMEM, "event stream");
		goto fail;
	}
	if (!after)
		after = json_str(q->call.params, "after", NULL);
	if (!after)
		s->seq = events_last(ev);
	else if (events_parse_id(ev, after, &s->seq, p) < 0)
		goto fail;
	if (atomic_fetch_add(&q->h->a->sse_streams, 1) >= HTTPD_STREAMS_MAX ||
	    events_listen(ev, on_event, s, &s->listener) < 0) {
		atomic_fetch_sub(&q->h->a->sse_streams, 1);
		(void)problem_set(p, PROB_TOO_MANY_REQUESTS, "%d event streams are open already",
				  HTTPD_STREAMS_MAX);
		goto fail;
	}
	/* The client sees at once that it is connected. */
	jb_puts(&s->out, "retry: 1000\n: domzero events\n\n");
	return s;
fail:
	if (s) {
		pthread_mutex_destroy(&s->lock);
		free(s->types);
		free(s->uuid);
	}
	free(s);
	return NULL;
}

enum MHD_Result stream_answer(struct request *q)
{
	struct MHD_Response *resp;
	struct problem p;
	struct stream *s;
	enum MHD_Result ok;

	if (q->conn->who.priv < q->route->priv) {
		(void)problem_set(&p, PROB_FORBIDDEN, "user %u may not do this", q->conn->who.uid);
		return request_problem(q, &p);
	}
	s = stream_new(q, &p);
	if (!s)
		return request_problem(q, &p);
	resp = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, stream_read, s,
						 stream_free);
	if (!resp) {
		stream_free(s);
		return MHD_NO;
	}
	(void)MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
	(void)MHD_add_response_header(resp, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	ok = MHD_queue_response(q->mhd, 200, resp);
	MHD_destroy_response(resp);
	return ok;
}
