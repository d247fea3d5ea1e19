/* apid/schema.h - checks values against the JSON Schemas of the OpenAPI
 * document: the part of draft 2020-12 that document uses, and nothing that is
 * silently ignored (schema_lint refuses every other keyword).
 */
#ifndef APID_SCHEMA_H
#define APID_SCHEMA_H

#include <json-c/json.h>

struct schema_err {
	char pointer[256]; /* JSON pointer to what is wrong; "" is the whole value */
	char what[256];
};

/* doc resolves "#/..." references; all borrowed.  0, or -EINVAL and *e. */
int schema_check(json_object *doc, json_object *schema, json_object *v, struct schema_err *e);
/* 0, or -EINVAL and *e names a keyword or reference we can't honour. */
int schema_lint(json_object *doc, json_object *schema, struct schema_err *e);
/* The object a local reference points at ("#/a/b"), or NULL; if o has no $ref, o. */
json_object *schema_deref(json_object *doc, json_object *o);

#endif
