/* apid/rpc.c - JSON-RPC requests to calls and back. */
#include "apid/rpc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "apid/json.h"

#define RPC_INVALID_REQUEST (-32600)
#define RPC_NO_METHOD	    (-32601)
#define RPC_INVALID_PARAMS  (-32602)
#define RPC_PARSE_ERROR	    (-32700)

static void begin_answer(struct rpc *r, json_object *id)
{
	r->answers++;
	jb_obj(&r->out);
	jb_kstr(&r->out, "jsonrpc", "2.0");
	jb_key(&r->out, "id");
	if (!id)
		jb_null(&r->out);
	else if (json_object_is_type(id, json_type_string))
		jb_str(&r->out, json_object_get_string(id));
	else
		jb_json(&r->out, json_object_to_json_string_ext(id, JSON_C_TO_STRING_PLAIN));
}

static void answer_error(struct rpc *r, json_object *id, int code, const char *message,
			 const struct problem *p)
{
	begin_answer(r, id);
	jb_key(&r->out, "error");
	jb_obj(&r->out);
	jb_kint(&r->out, "code", code);
	jb_kstr(&r->out, "message", message);
	if (p) {
		jb_key(&r->out, "data");
		problem_json(&r->out, p, NULL);
	}
	jb_obj_end(&r->out);
	jb_obj_end(&r->out);
}

/* The current call is complete: write its answer, unless nobody wants one. */
static void collect(struct rpc *r)
{
	struct call *c = &r->cur;

	if (c->out.oom && c->prob.code == PROB_NONE)
		(void)problem_errno(&c->prob, -ENOMEM, "answer");
	if (!r->notification && c->prob.code != PROB_NONE) {
		answer_error(r, r->id, problem_rpc_code(c->prob.code),
			     c->prob.detail[0] ? c->prob.detail : problem_title(c->prob.code),
			     &c->prob);
	} else if (!r->notification) {
		begin_answer(r, r->id);
		jb_key(&r->out, "result");
		jb_json(&r->out, c->out.n ? c->out.p : "null");
		jb_obj_end(&r->out);
	}
	call_fini(c);
}

static const struct param *find_param(const struct route *route, const char *name)
{
	for (size_t i = 0; i < route->nparams; i++)
		if (strcmp(route->params[i].name, name) == 0)
			return &route->params[i];
	return NULL;
}

/* Members named like a parameter are parameters, the others are the body. */
static int split_params(struct rpc *r, json_object *params)
{
	struct call *c = &r->cur;
	json_object *body = json_object_new_object();
	int rc = 0;

	c->params = json_object_new_object();
	if (!body || !c->params)
		rc = problem_errno(&c->prob, -ENOMEM, "parameters");
	if (params && rc == 0) {
		json_object_object_foreach(params, name, v)
		{
			const struct param *pa = find_param(c->route, name);

			if (pa)
				rc = apidoc_param_check(&r->a->doc, pa, v, &c->prob);
			else if (!c->route->body)
				rc = problem_set(&c->prob, PROB_BAD_REQUEST,
						 "unknown parameter '%.64s'", name);
			if (rc < 0)
				break;
			json_object_object_add(pa ? c->params : body, name, json_object_get(v));
		}
	}
	if (rc == 0 && c->route->body &&
	    (c->route->body_required || json_object_object_length(body) > 0)) {
		c->body = body;
		body = NULL;
	}
	json_object_put(body);
	return rc;
}

static void inner_done(void *arg);

/* One request.  0: answered; CALL_WAIT. */
static int one(struct rpc *r, json_object *q)
{
	const char *method = json_str(q, "method", NULL), *version = json_str(q, "jsonrpc", "");
	json_object *params = json_get(q, "params"), *id = json_get(q, "id");
	const struct route *route;

	if (!json_object_is_type(q, json_type_object) || !method || strcmp(version, "2.0") != 0 ||
	    (id && !json_object_is_type(id, json_type_string) &&
	     !json_object_is_type(id, json_type_int) &&
	     !json_object_is_type(id, json_type_double))) {
		answer_error(r, NULL, RPC_INVALID_REQUEST, "Invalid Request", NULL);
		return 0;
	}
	r->id = id;
	r->notification = !json_has(q, "id");
	atomic_fetch_add(&r->a->rpc_calls, 1);
	route = apidoc_rpc(&r->a->doc, method);
	if (!route || (params && !json_object_is_type(params, json_type_object))) {
		if (!r->notification)
			answer_error(r, id, route ? RPC_INVALID_PARAMS : RPC_NO_METHOD,
				     route ? "Parameters go by name" : "Method not found", NULL);
		return 0;
	}
	r->cur = (struct call){
		.a = r->a, .route = route, .who = r->who, .done = inner_done, .arg = r
	};
	if (split_params(r, params) == 0 && call_start(&r->cur) == CALL_WAIT)
		return CALL_WAIT;
	collect(r);
	return 0;
}

/* Goes on with the batch.  CALL_WAIT, or 0 when all are answered. */
static int go_on(struct rpc *r)
{
	while (r->at < r->n) {
		json_object *q = r->batch ? json_object_array_get_idx(r->req, r->at) : r->req;

		r->at++;
		if (one(r, q) == CALL_WAIT)
			return CALL_WAIT;
	}
	if (r->batch && r->answers)
		jb_arr_end(&r->out);
	if (!r->answers)
		jb_reset(&r->out);
	return 0;
}

static void inner_done(void *arg)
{
	struct rpc *r = arg;

	collect(r);
	if (go_on(r) == 0)
		r->done(r->arg);
}

int rpc_start(struct rpc *r, const char *text, size_t n)
{
	char err[128];

	if (json_parse(text, n, &r->req, err, sizeof(err)) < 0) {
		answer_error(r, NULL, RPC_PARSE_ERROR, err, NULL);
		return 0;
	}
	r->n = 1;
	r->batch = json_object_is_type(r->req, json_type_array);
	if (r->batch) {
		r->n = json_object_array_length(r->req);
		if (r->n == 0 || r->n > RPC_BATCH_MAX) {
			answer_error(r, NULL, RPC_INVALID_REQUEST,
				     r->n ? "A batch has at most 100 requests" : "Invalid Request",
				     NULL);
			return 0;
		}
		jb_arr(&r->out);
	}
	return go_on(r);
}

void rpc_fini(struct rpc *r)
{
	call_fini(&r->cur);
	json_object_put(r->req);
	jb_fini(&r->out);
	r->req = NULL;
}
