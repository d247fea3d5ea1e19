/* xenstored/path.h - which strings are paths (docs/misc/xenstore.txt). */
#ifndef XENSTORED_PATH_H
#define XENSTORED_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/xs_wire.h"

struct path {
	size_t len;
	bool relative;		      /* it was given relative to the connection's domain */
	char s[XS_ABS_PATH_MAX + 32]; /* canonical, NUL-terminated */
};

/* Make text (of n bytes, no NUL) a canonical path of domid's connection.
 * specials: "@introduceDomain" and the like are taken, as they are.  limit is
 * the domain's quota for what is left without /local/domain/N/ (0: none).
 * -EINVAL. */
int path_parse(const char *text, size_t n, uint16_t domid, bool specials, size_t limit,
	       struct path *ret);

#endif
