/* tests/fuzz/fuzz_json.c - JSON from the network, and the schema check of what
 * could be read.  What is taken must be written the same twice. */
#include <stdlib.h>
#include <string.h>

#include "apid/apidoc.h"
#include "apid/json.h"
#include "apid/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct apidoc doc; /* read once; the fuzzer is one thread */
	struct schema_err e;
	json_object *o = NULL, *again = NULL;
	char err[128];
	const char *text;

	if (!doc.doc &&
	    apidoc_load((const char *)apidoc_text, apidoc_text_len, &doc, err, sizeof(err)) < 0)
		abort();
	if (json_parse((const char *)data, n, &o, err, sizeof(err)) < 0)
		return 0;
	for (size_t i = 0; i < doc.nroutes; i++)
		if (doc.routes[i].body)
			(void)schema_check(doc.doc, doc.routes[i].body, o,
					   &e); /* any verdict will do */
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (json_parse(text, strlen(text), &again, err, sizeof(err)) < 0 ||
	    !json_object_equal(o, again))
		abort();
	json_object_put(again);
	json_object_put(o);
	return 0;
}
