/* apid/apidoc.c - routes out of the OpenAPI document. */
#include "apid/apidoc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/json.h"
#include "apid/schema.h"
#include "daemons/sys.h"

static const char *const methods[] = { "get", "post", "patch", "put", "delete" };

static int split_path(struct route *r)
{
	char *save = NULL;

	r->segbuf = strdup(r->path);
	if (!r->segbuf)
		return -ENOMEM;
	for (char *s = strtok_r(r->segbuf, "/", &save); s; s = strtok_r(NULL, "/", &save)) {
		if (r->nsegs == ROUTE_SEGS_MAX)
			return -EINVAL;
		r->segs[r->nsegs++] = s;
	}
	return 0;
}

static int read_params(json_object *doc, json_object *list, struct route *r, char *err,
		       size_t errlen)
{
	struct schema_err e;

	if (!json_object_is_type(list, json_type_array))
		return -EINVAL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *o = schema_deref(doc, json_object_array_get_idx(list, i));
		const char *in = json_str(o, "in", "");
		struct param *p = &r->params[r->nparams];

		if (!o || r->nparams == ROUTE_PARAMS_MAX)
			return -EINVAL;
		p->name = json_str(o, "name", NULL);
		p->schema = json_get(o, "schema");
		p->required = json_flag(o, "required", false);
		p->in = strcmp(in, "path") == 0	   ? IN_PATH
			: strcmp(in, "query") == 0 ? IN_QUERY
						   : IN_HEADER;
		if (!p->name || !p->schema || schema_lint(doc, p->schema, &e) < 0) {
			snprintf(err, errlen, "%s: parameter %zu is broken", r->op_id, i);
			return -EINVAL;
		}
		r->nparams++;
	}
	return 0;
}

static int read_body(json_object *doc, json_object *op, struct route *r)
{
	json_object *rb = json_get(op, "requestBody"), *content, *media;
	struct schema_err e;

	if (!rb)
		return 0;
	content = json_get(rb, "content");
	media = json_get(content, "application/json");
	r->body = json_get(media, "schema");
	r->body_required = json_flag(rb, "required", false);
	r->body_merge = json_has(content, "application/merge-patch+json");
	return r->body && schema_lint(doc, r->body, &e) == 0 ? 0 : -EINVAL;
}

static enum privilege read_priv(const char *s)
{
	return strcmp(s, "read") == 0	   ? PRIV_READ
	       : strcmp(s, "operate") == 0 ? PRIV_OPERATE
					   : PRIV_ADMIN;
}

static int read_op(struct apidoc *d, const char *path, const char *method, json_object *op,
		   char *err, size_t errlen)
{
	struct route *r = &d->routes[d->nroutes];
	int rc;

	*r = (struct route){ .path = path, .method = method };
	r->op_id = json_str(op, "operationId", NULL);
	r->rpc = json_str(op, "x-jsonrpc-method", NULL);
	r->priv = read_priv(json_str(op, "x-privilege", "admin"));
	d->nroutes++;
	if (!r->op_id) {
		snprintf(err, errlen, "%s %s has no operationId", method, path);
		return -EINVAL;
	}
	rc = split_path(r);
	if (rc == 0)
		rc = read_params(d->doc, json_get(op, "parameters"), r, err, errlen);
	if (rc == 0)
		rc = read_body(d->doc, op, r);
	if (rc < 0 && !err[0])
		snprintf(err, errlen, "%s: broken path, parameters or body", r->op_id);
	return rc;
}

static int lint_components(json_object *doc, char *err, size_t errlen)
{
	json_object *schemas = json_get(json_get(doc, "components"), "schemas");
	struct schema_err e;

	if (!schemas) {
		snprintf(err, errlen, "no components");
		return -EINVAL;
	}
	json_object_object_foreach(schemas, name, s)
	{
		if (schema_lint(doc, s, &e) < 0) {
			snprintf(err, errlen, "schema %s: %s", name, e.what);
			return -EINVAL;
		}
	}
	return 0;
}

/* A method's name in the case HTTP uses, static storage. */
static const char *http_method(const char *m)
{
	static const char *const upper[] = { "GET", "POST", "PATCH", "PUT", "DELETE" };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i], m) == 0)
			return upper[i];
	return NULL;
}

int apidoc_load(const char *text, size_t n, struct apidoc *ret, char *err, size_t errlen)
{
	struct apidoc d = { 0 };
	json_object *paths;
	int r;

	err[0] = '\0';
	r = json_parse(text, n, &d.doc, err, errlen);
	if (r < 0)
		return r;
	r = lint_components(d.doc, err, errlen);
	paths = json_get(d.doc, "paths");
	d.routes = sys_zalloc(256 * sizeof(*d.routes));
	if (r == 0 && (!paths || !d.routes))
		r = d.routes ? -EINVAL : -ENOMEM;
	if (r < 0)
		goto out;
	json_object_object_foreach(paths, path, item){
		json_object_object_foreach(item, method, op){ const char *m = http_method(method);

	r = m && d.nroutes < 256 ? read_op(&d, path, m, op, err, errlen) : -EINVAL;
	if (r < 0)
		goto out;
}
}
*ret = d;
d = (struct apidoc){ 0 };
out : apidoc_fini(&d);
return r;
}

void apidoc_fini(struct apidoc *d)
{
	for (size_t i = 0; i < d->nroutes; i++)
		free(d->routes[i].segbuf);
	free(d->routes);
	json_object_put(d->doc);
	*d = (struct apidoc){ 0 };
}

static bool fits(const struct route *r, char *const *segs, size_t nsegs)
{
	if (r->nsegs != nsegs)
		return false;
	for (size_t i = 0; i < nsegs; i++)
		if (r->segs[i][0] == '{' ? !segs[i][0] : strcmp(r->segs[i], segs[i]) != 0)
			return false;
	return true;
}

const struct route *apidoc_match(const struct apidoc *d, const char *method, char *const *segs,
				 size_t nsegs, struct problem *p, char allow[64])
{
	size_t n = 0;

	allow[0] = '\0';
	for (size_t i = 0; i < d->nroutes; i++) {
		if (!fits(&d->routes[i], segs, nsegs))
			continue;
		if (strcmp(d->routes[i].method, method) == 0)
			return &d->routes[i];
		n += (size_t)snprintf(allow + n, 64 - n, "%s%s", n ? ", " : "",
				      d->routes[i].method);
	}
	if (allow[0])
		problem_set(p, PROB_METHOD_NOT_ALLOWED, "this address takes %s", allow);
	else
		problem_set(p, PROB_NOT_FOUND, "no such address; see /openapi.json");
	return NULL;
}

const struct route *apidoc_rpc(const struct apidoc *d, const char *method)
{
	for (size_t i = 0; i < d->nroutes; i++)
		if (d->routes[i].rpc && strcmp(d->routes[i].rpc, method) == 0)
			return &d->routes[i];
	return NULL;
}

int apidoc_param_check(const struct apidoc *d, const struct param *pa, json_object *v,
		       struct problem *p)
{
	struct schema_err e;

	if (schema_check(d->doc, pa->schema, v, &e) == 0)
		return 0;
	problem_set(p, PROB_BAD_REQUEST, "parameter '%s' %s", pa->name, e.what);
	snprintf(p->pointer, sizeof(p->pointer), "%s", pa->name);
	return -EINVAL;
}

int apidoc_param(const struct apidoc *d, const struct param *pa, const char *text,
		 json_object **ret, struct problem *p)
{
	const char *type = json_str(pa->schema, "type", "string");
	json_object *v = NULL;
	char err[96];
	int r;

	if (strcmp(type, "string") == 0) {
		v = json_object_new_string(text);
	} else if (json_parse(text, strlen(text), &v, err, sizeof(err)) < 0) {
		/* A word that is no number or boolean: let the schema say what it wants. */
		v = json_object_new_string(text);
	}
	if (!v)
		return problem_errno(p, -ENOMEM, "parameter");
	r = apidoc_param_check(d, pa, v, p);
	if (r < 0)
		json_object_put(v);
	else
		*ret = v;
	return r;
}

int apidoc_body_check(const struct apidoc *d, const struct route *r, json_object *body,
		      struct problem *p)
{
	struct schema_err e;

	if (schema_check(d->doc, r->body, body, &e) == 0)
		return 0;
	problem_set(p, PROB_INVALID_CONFIG, "%s%s%s", e.pointer[0] ? e.pointer + 1 : "the body",
		    " ", e.what);
	snprintf(p->pointer, sizeof(p->pointer), "%s", e.pointer);
	return -EINVAL;
}
