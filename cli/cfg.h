/* cli/cfg.h - the syntax of xl.cfg(5): names, strings, numbers, lists.
 *
 * Knows nothing of what a setting means.  A file is untrusted text: every
 * limit has a name, and every error the file, the line and what to do.
 */
#ifndef CLI_CFG_H
#define CLI_CFG_H

#include <stdbool.h>
#include <stddef.h>

#define CFG_BYTES_MAX	 (1u << 20) /* of one file */
#define CFG_SETTINGS_MAX 4096u
#define CFG_DEPTH_MAX	 8u /* lists in lists */

enum cfg_type { CFG_ATOM, CFG_LIST };

/* A string or number (xl makes no difference between 1 and "1"), or a list. */
struct cfg_value {
	enum cfg_type type;
	unsigned line;
	char *text;		 /* CFG_ATOM: owned, no NUL inside */
	struct cfg_value *items; /* CFG_LIST: owned, n of them */
	size_t n, room;
};

struct cfg_setting {
	char *name;	  /* owned */
	const char *file; /* owned by the cfg */
	struct cfg_value value;
};

struct cfg {
	struct cfg_setting *settings; /* in the order of the text */
	size_t n, room;
	char **files;
	size_t nfiles;
};

/* Parse text (n bytes, any bytes) and add its settings to c, which is zeroed
 * before the first call.  file is a name for messages, copied.  -EINVAL with
 * one line in err, -E2BIG, -ENOMEM; what was parsed before stays. */
int cfg_parse(struct cfg *c, const char *file, const char *text, size_t n, char *err,
	      size_t errlen);
/* Read a file ("-" is standard input) and parse it. */
int cfg_parse_file(struct cfg *c, const char *path, char *err, size_t errlen);
void cfg_fini(struct cfg *c);

/* The last setting of that name, or NULL; borrowed from c. */
const struct cfg_setting *cfg_find(const struct cfg *c, const char *name);

#endif
