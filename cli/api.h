/* cli/api.h - apid's operations as calls: requests, problems, tasks.
 *
 * Every function returns 0 or a negative errno with one line for the user in
 * dz->err (and the API's code in dz->code).
 */
#ifndef CLI_API_H
#define CLI_API_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/dz.h"

struct json_object;

enum { API_TARGET_MAX = 1024, API_WAIT_S = 60 };

/* "/v1/domains/<dom, escaped><rest>" into buf (API_TARGET_MAX). */
int api_domain_target(struct dz *dz, const char *dom, const char *rest, char *buf);

/* One request.  body is borrowed or NULL.  *ret (may be NULL) is owned by the
 * caller; NULL if the answer has no body.  A status from 400 on is an error. */
int api_call(struct dz *dz, const char *method, const char *target, struct json_object *body,
	     struct json_object **ret, int *ret_status);
int api_get(struct dz *dz, const char *target, struct json_object **ret);
/* GET one domain.  A name nobody has is -ENOENT, in xl's words. */
int api_domain(struct dz *dz, const char *dom, struct json_object **ret);
/* All domains, over all pages: an array.  query is "" or "&key=value...". */
int api_domains(struct dz *dz, const char *query, struct json_object **ret);

/* A request that may become a task: waits up to timeout_s (< 0: for ever) for
 * its end, and reports its failure as ours.  *ret (may be NULL): the last
 * answer, a task or what the operation returns when it is quick. */
int api_task(struct dz *dz, const char *method, const char *target, struct json_object *body,
	     int timeout_s, struct json_object **ret);

/* Members of an object, with a default for what is missing or of another kind.
 * Strings are borrowed from o. */
const char *api_str(struct json_object *o, const char *key, const char *def);
int64_t api_int(struct json_object *o, const char *key, int64_t def);
double api_num(struct json_object *o, const char *key, double def);
struct json_object *api_sub(struct json_object *o, const char *key); /* NULL if missing */

#endif
