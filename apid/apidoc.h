/* apid/apidoc.h - the OpenAPI document, read once at start.
 *
 * It is the source: methods, paths, parameters, body schemas, JSON-RPC names
 * and privileges all come from it; the program adds one handler for each
 * operationId (apid/ops.c) and refuses to start if the two sets differ.
 */
#ifndef APID_APIDOC_H
#define APID_APIDOC_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "apid/problem.h"

/* The text as served, and its length; made at build from proto/openapi.json. */
extern const unsigned char apidoc_text[];
extern const size_t apidoc_text_len;

enum privilege { PRIV_NONE, PRIV_READ, PRIV_OPERATE, PRIV_ADMIN };
enum param_in { IN_PATH, IN_QUERY, IN_HEADER };

#define ROUTE_PARAMS_MAX 12
#define ROUTE_SEGS_MAX	 8

struct param {
	const char *name;
	enum param_in in;
	bool required;
	json_object *schema;
};

struct route {
	const char *op_id, *method, *path;
	const char *rpc; /* JSON-RPC method, or NULL: not offered there */
	enum privilege priv;
	struct param params[ROUTE_PARAMS_MAX];
	size_t nparams;
	json_object *body; /* schema of the JSON body, or NULL: takes none */
	bool body_required, body_merge;
	char *segs[ROUTE_SEGS_MAX]; /* "{id}" is a parameter */
	size_t nsegs;
	char *segbuf;
	const void *handler; /* filled in by the operations table */
};

struct apidoc {
	json_object *doc;
	struct route *routes;
	size_t nroutes;
};

/* Everything in *ret is owned by it and constant after this.  On failure
 * -EINVAL or -ENOMEM and err. */
int apidoc_load(const char *text, size_t n, struct apidoc *ret, char *err, size_t errlen);
void apidoc_fini(struct apidoc *d);

/* The route for a method and a path that is already split and decoded.
 * NULL: *p is not-found or method-not-allowed, allow lists the methods. */
const struct route *apidoc_match(const struct apidoc *d, const char *method, char *const *segs,
				 size_t nsegs, struct problem *p, char allow[64]);
const struct route *apidoc_rpc(const struct apidoc *d, const char *method);

/* A parameter's text as the schema's type, checked.  *ret is owned. */
int apidoc_param(const struct apidoc *d, const struct param *pa, const char *text,
		 json_object **ret, struct problem *p);
/* Value of a parameter that came as JSON already (JSON-RPC). */
int apidoc_param_check(const struct apidoc *d, const struct param *pa, json_object *v,
		       struct problem *p);
int apidoc_body_check(const struct apidoc *d, const struct route *r, json_object *body,
		      struct problem *p);

#endif
