/* tests/fuzz/fuzz_xs_perms.c - permission lists and paths: what is taken comes
 * back as it was; what is not a path is refused. */
#include <stdlib.h>
#include <string.h>

#include "xenstored/path.h"
#include "xenstored/perms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct perm p[PERMS_MAX], again[PERMS_MAX];
	char text[8 * PERMS_MAX];
	struct path path;
	int count = perms_parse((const char *)data, n, p, PERMS_MAX), len;

	if (count > 0) {
		len = perms_format(p, (size_t)count, text, sizeof(text));
		if (len <= 0 || perms_parse(text, (size_t)len, again, PERMS_MAX) != count ||
		    memcmp(p, again, (size_t)count * sizeof(p[0])) != 0)
			abort();
	}
	if (path_parse((const char *)data, n, 7, true, 0, &path) == 0 &&
	    (path.len >= sizeof(path.s) || path.s[path.len] || strlen(path.s) != path.len ||
	     strstr(path.s, "//")))
		abort();
	return 0;
}
