/* tests/fuzz/fuzz_cfg.c - any file is a configuration or an error with a line. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cfg.h"
#include "cli/cfg_domain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	json_object *domain = NULL;
	struct cfg c = { 0 };
	char err[512] = "";
	int r;

	r = cfg_parse(&c, "fuzz", (const char *)data, n, err, sizeof(err));
	if (r == 0)
		r = cfg_to_domain(&c, "/", NULL, NULL, &domain, err, sizeof(err));
	if (r < 0 && (!*err || strlen(err) >= sizeof(err)))
		abort();
	json_object_put(domain);
	cfg_fini(&c);
	return 0;
}
