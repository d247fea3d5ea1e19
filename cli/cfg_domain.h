/* cli/cfg_domain.h - what xl.cfg's settings mean: from a parsed file to the
 * API's DomainConfig.
 */
#ifndef CLI_CFG_DOMAIN_H
#define CLI_CFG_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/cfg.h"

struct json_object;

/* Called with one line for each setting that has no effect. */
typedef void cfg_warn_cb(void *arg, const char *text);

/* cwd: absolute folder that relative paths of kernel, ramdisk and disks start
 * from.  *ret is owned by the caller.  -EINVAL with one line in err ("FILE:LINE:
 * what, and what to do"), or -ENOMEM.  warn may be NULL. */
int cfg_to_domain(const struct cfg *c, const char *cwd, cfg_warn_cb *warn, void *arg,
		  struct json_object **ret, char *err, size_t errlen);

#endif
