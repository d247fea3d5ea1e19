/* apid/request.c - an HTTP request to a call, and a call's answer to HTTP. */
#include "apid/http_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/json.h"

const char *request_header(struct request *q, const char *name)
{
	return MHD_lookup_connection_value(q->mhd, MHD_HEADER_KIND, name);
}

/* ---- the address ---- */

static int hex(char c)
{
	return c >= '0' && c <= '9'			? c - '0'
	       : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
							: -1;
}

/* In place.  False for a bad escape, an encoded NUL or text that isn't UTF-8. */
static bool decode(char *s, bool plus)
{
	char *out = s, *from = s;
	size_t n, u;

	for (; *s; s++) {
		if (*s == '%') {
			int hi = hex(s[1]), lo = hi < 0 ? -1 : hex(s[2]);

			if (lo < 0 || (hi | lo) == 0)
				return false;
			*out++ = (char)(hi << 4 | lo);
			s += 2;
		} else {
			*out++ = plus && *s == '+' ? ' ' : *s;
		}
	}
	*out = '\0';
	for (n = (size_t)(out - from); n; from += u, n -= u) {
		u = utf8_len(from, n);
		if (!u)
			return false;
	}
	return true;
}

static int bad_uri(struct request *q)
{
	return problem_set(&q->call.prob, PROB_BAD_REQUEST, "the address has a broken escape");
}

/* "/a/b" -> segments.  An empty one ("//", a trailing "/") matches nothing. */
static int split_path(struct request *q, char *path)
{
	if (*path != '/')
		return bad_uri(q);
	for (char *s = path; s;) {
		char *next = strchr(s + 1, '/');

		if (next)
			*next = '\0';
		if (q->nsegs == ROUTE_SEGS_MAX) {
			q->nsegs = 0;
			return problem_set(&q->call.prob, PROB_NOT_FOUND, "no such address");
		}
		q->segs[q->nsegs++] = s + 1;
		if (!decode(s + 1, false))
			return bad_uri(q);
		s = next;
	}
	return 0;
}

static const struct param *find_param(const struct route *r, enum param_in in, const char *name)
{
	for (size_t i = 0; i < r->nparams; i++)
		if (r->params[i].in == in && strcmp(r->params[i].name, name) == 0)
			return &r->params[i];
	return NULL;
}

static int add_param(struct request *q, const struct param *pa, const char *text)
{
	json_object *v = NULL;
	int r;

	if (json_has(q->call.params, pa->name))
		return problem_set(&q->call.prob, PROB_BAD_REQUEST, "parameter '%s' is given twice",
				   pa->name);
	r = apidoc_param(&q->h->a->doc, pa, text, &v, &q->call.prob);
	if (r == 0 && json_object_object_add(q->call.params, pa->name, v) < 0) {
		json_object_put(v);
		r = problem_errno(&q->call.prob, -ENOMEM, "parameter");
	}
	return r;
}

static int read_query(struct request *q, char *query)
{
	char *save = NULL;

	for (char *kv = strtok_r(query, "&", &save); kv; kv = strtok_r(NULL, "&", &save)) {
		char *eq = strchr(kv, '=');
		const struct param *pa;
		int r;

		if (eq)
			*eq = '\0';
		if (!decode(kv, true) || (eq && !decode(eq + 1, true)))
			return bad_uri(q);
		pa = find_param(q->route, IN_QUERY, kv);
		if (!pa)
			return problem_set(&q->call.prob, PROB_BAD_REQUEST,
					   "there is no parameter '%.64s' here", kv);
		r = add_param(q, pa, eq ? eq + 1 : "true");
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_params(struct request *q, char *query)
{
	int r = 0;

	q->call.params = json_object_new_object();
	if (!q->call.params)
		return problem_errno(&q->call.prob, -ENOMEM, "request");
	for (size_t i = 0; i < q->nsegs && r == 0; i++) {
		char name[64];

		if (q->route->segs[i][0] != '{')
			continue;
		snprintf(name, sizeof(name), "%s", q->route->segs[i] + 1);
		name[strcspn(name, "}")] = '\0';
		r = add_param(q, find_param(q->route, IN_PATH, name), q->segs[i]);
	}
	for (size_t i = 0; i < q->route->nparams && r == 0; i++) {
		const struct param *pa = &q->route->params[i];
		const char *v = pa->in == IN_HEADER ? request_header(q, pa->name) : NULL;

		if (v)
			r = add_param(q, pa, v);
	}
	return r == 0 && query ? read_query(q, query) : r;
}

/* ---- who and what ---- */

struct count {
	unsigned length, encoding;
};

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *key,
				    const char *value)
{
	struct count *n = cls;

	(void)kind;
	(void)value;
	n->length += strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
	n->encoding += strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
	return MHD_YES;
}

/* Two lengths of one body: whoever stands between might see another request. */
static int check_framing(struct request *q)
{
	struct count n = { 0 };

	MHD_get_connection_values(q->mhd, MHD_HEADER_KIND, count_header, &n);
	if (n.length + n.encoding <= 1)
		return 0;
	return problem_set(&q->call.prob, PROB_BAD_REQUEST,
			   "Content-Length and Transfer-Encoding exclude each other");
}

static bool host_is_local(const char *host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; host && i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = strlen(names[i]);

		if (strncasecmp(host, names[i], n) == 0 && (host[n] == '\0' || host[n] == ':'))
			return true;
	}
	return false;
}

/* A web page in the operator's browser can reach the loopback port too: it
 * can't hide its Origin, nor forge Host by a name that points here. */
static int check_browser(struct request *q)
{
	if (!q->h->tcp)
		return 0;
	if (!host_is_local(request_header(q, MHD_HTTP_HEADER_HOST)))
		return problem_set(&q->call.prob, PROB_FORBIDDEN,
				   "the Host header must be localhost, 127.0.0.1 or [::1]");
	if (request_header(q, MHD_HTTP_HEADER_ORIGIN))
		return problem_set(&q->call.prob, PROB_FORBIDDEN,
				   "not for web pages of other sites");
	return 0;
}

static int check_media(struct request *q)
{
	const char *ct = request_header(q, MHD_HTTP_HEADER_CONTENT_TYPE);
	size_t n = ct ? strcspn(ct, "; ") : 0;

	if (!q->body.n)
		return 0;
	if (n == 16 && strncasecmp(ct, "application/json", n) == 0)
		return 0;
	if (q->route->body_merge && n == 28 &&
	    strncasecmp(ct, "application/merge-patch+json", n) == 0)
		return 0;
	return problem_set(&q->call.prob, PROB_UNSUPPORTED_MEDIA_TYPE,
			   "the body must be sent as application/json");
}

static int read_body(struct request *q)
{
	struct call *c = &q->call;
	char err[128];
	int r;

	if (!q->body.n)
		return 0;
	if (!q->route->body)
		return problem_set(&c->prob, PROB_BAD_REQUEST, "no body is wanted here");
	if (q->body.oom)
		return problem_errno(&c->prob, -ENOMEM, "body");
	r = json_parse(q->body.p, q->body.n, &c->body, err, sizeof(err));
	return r < 0 ? problem_set(&c->prob, PROB_BAD_JSON, "%s", err) : 0;
}

static int begin_rpc(struct request *q)
{
	q->is_rpc = true;
	q->rpc = (struct rpc){ .a = q->h->a, .who = q->conn->who, .done = request_wake, .arg = q };
	if (q->conn->who.priv < PRIV_READ)
		return problem_set(&q->call.prob, PROB_FORBIDDEN,
				   "user %u may not use this service", q->conn->who.uid),
		       0;
	return rpc_start(&q->rpc, q->body.p ? q->body.p : "", q->body.n);
}

static int find_route(struct request *q, char **ret_query)
{
	const char *method = strcmp(q->method, "HEAD") == 0 ? "GET" : q->method;

	if (strlen(q->uri) > HTTPD_URI_MAX)
		return problem_set(&q->call.prob, PROB_URI_TOO_LONG,
				   "an address has at most %u bytes", HTTPD_URI_MAX);
	q->pathbuf = strdup(q->uri);
	if (!q->pathbuf)
		return problem_errno(&q->call.prob, -ENOMEM, "request");
	*ret_query = strchr(q->pathbuf, '?');
	if (*ret_query)
		*(*ret_query)++ = '\0';
	if (split_path(q, q->pathbuf) < 0)
		return -EINVAL;
	q->route = apidoc_match(&q->h->a->doc, method, q->segs, q->nsegs, &q->call.prob, q->allow);
	return q->route ? 0 : -ENOENT;
}

static bool wants_text(struct request *q)
{
	const char *accept = request_header(q, MHD_HTTP_HEADER_ACCEPT);

	return !accept || !strstr(accept, "application/json");
}

int request_begin(struct request *q)
{
	struct call *c = &q->call;
	char *query = NULL;
	const char *key;

	c->a = q->h->a;
	c->who = q->conn->who;
	c->done = request_wake;
	c->arg = q;
	if (check_framing(q) < 0 || check_browser(q) < 0 || find_route(q, &query) < 0 ||
	    check_media(q) < 0)
		return 0;
	c->route = q->route;
	if (strcmp(q->route->op_id, "jsonRpc") == 0)
		return begin_rpc(q);
	if (read_params(q, query) < 0 || read_body(q) < 0)
		return 0;
	if (strcmp(q->route->op_id, "getConsoleLog") == 0 && wants_text(q))
		json_object_object_add(c->params, "text", json_object_new_boolean(1));
	if (stream_wanted(q))
		return 0;
	key = json_str(c->params, "Idempotency-Key", NULL);
	if (key && idem_begin(q, key) != 0)
		return 0;
	c->idem_key = key ? q->idem_key : NULL;
	return call_start(c);
}

/* ---- the answer ---- */

enum MHD_Result request_send(struct request *q, int status, const char *ctype, struct jbuf *body,
			     const char *const (*headers)[2], size_t nheaders)
{
	struct MHD_Response *resp;
	enum MHD_Result ok;
	size_t n = body->n;
	char *p = body->p;

	*body = (struct jbuf){ 0 }; /* the response owns it now */
	resp = p ? MHD_create_response_from_buffer(n, p, MHD_RESPMEM_MUST_FREE)
		 : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	if (!resp) {
		free(p);
		return MHD_NO;
	}
	if (n)
		(void)MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, ctype);
	(void)MHD_add_response_header(resp, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	(void)MHD_add_response_header(resp, "X-Content-Type-Options", "nosniff");
	for (size_t i = 0; i < nheaders; i++)
		if (headers[i][1] && headers[i][1][0])
			(void)MHD_add_response_header(resp, headers[i][0], headers[i][1]);
	ok = MHD_queue_response(q->mhd, (unsigned)status, resp);
	MHD_destroy_response(resp);
	return ok;
}

enum MHD_Result request_problem(struct request *q, const struct problem *p)
{
	const char *const headers[][2] = {
		{ MHD_HTTP_HEADER_ALLOW, p->code == PROB_METHOD_NOT_ALLOWED ? q->allow : "" },
		{ MHD_HTTP_HEADER_RETRY_AFTER, p->code == PROB_TOO_MANY_REQUESTS ? "1" : "" },
		{ MHD_HTTP_HEADER_UPGRADE,
		  p->code == PROB_UPGRADE_REQUIRED ? "domzero-console" : "" },
	};
	struct jbuf b = { 0 };

	problem_json(&b, p, NULL);
	if (q->idem_key[0] && !b.oom)
		idem_store(q, problem_status(p->code), "application/problem+json", b.p);
	return request_send(q, problem_status(p->code), "application/problem+json", &b, headers,
			    sizeof(headers) / sizeof(headers[0]));
}

enum MHD_Result request_answer(struct request *q)
{
	struct call *c = &q->call;
	const char *const headers[][2] = { { MHD_HTTP_HEADER_LOCATION, c->location },
					   { MHD_HTTP_HEADER_ETAG, c->etag } };
	const char *ctype = c->ctype ? c->ctype : "application/json";

	if (c->prob.code == PROB_NONE && (q->is_rpc ? q->rpc.out.oom : c->out.oom))
		(void)problem_errno(&c->prob, -ENOMEM, "answer");
	if (c->prob.code != PROB_NONE)
		return request_problem(q, &c->prob);
	if (q->is_rpc)
		return request_send(q, q->rpc.out.n ? 200 : 204, "application/json", &q->rpc.out,
				    NULL, 0);
	if (strcmp(q->route->op_id, "attachConsole") == 0)
		return attach_answer(q);
	if (stream_wanted(q))
		return stream_answer(q);
	if (q->idem_key[0])
		idem_store(q, c->status, ctype, c->out.n ? c->out.p : "");
	return request_send(q, c->status, ctype, &c->out, headers, 2);
}
