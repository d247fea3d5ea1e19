/* apid/json.h - strict JSON (RFC 8259) from the network into json-c objects.
 *
 * json-c's own parser keeps the last of two equal keys, takes NaN and turns
 * 1e400 into infinity.  What a client sends here must mean one thing to every
 * reader, so those are errors, and so are bad UTF-8, a lone surrogate, U+0000
 * in a string, nesting past a limit and anything after the value.
 */
#ifndef APID_JSON_H
#define APID_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32u

/* *ret is owned (json_object_put).  On failure -EINVAL or -ENOMEM and one line
 * in err with the byte offset. */
int json_parse(const char *text, size_t n, json_object **ret, char *err, size_t errlen);

/* Members by name; the default when absent, null or of another type.  Borrowed. */
const char *json_str(json_object *o, const char *key, const char *def);
int64_t json_int(json_object *o, const char *key, int64_t def);
double json_num(json_object *o, const char *key, double def);
bool json_flag(json_object *o, const char *key, bool def);
size_t json_len(json_object *o, const char *key);	/* of an array; 0 if it is none */
json_object *json_get(json_object *o, const char *key); /* NULL: absent or null */
bool json_has(json_object *o, const char *key);		/* also when null */

#endif
