/* consoled/conf.h - settings. */
#ifndef CONSOLED_CONF_H
#define CONSOLED_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "consoled/fmt.h"

struct conf {
	/* as given; see conf_parse() for what is made of them */
	char *log, *log_dir, *pid_file, *timestamp, *overflow, *format, *user, *group, *hv;
	uint64_t digits, log_size, log_files, log_rate, log_burst, log_fds, scrollback;
	bool replace_escape, compress, journal, pty, seccomp, verbose, interactive;

	bool log_guest, log_hv;
	bool discard; /* overflow-data=discard: drop, else hold the guest back */
	struct fmt_conf fmt_guest, fmt_hv;
};

/* 0, -ECANCELED after --help, or -EINVAL with a line in err. */
int conf_parse(struct conf *c, int argc, char **argv, char *err, size_t errlen);
void conf_fini(struct conf *c);

#endif
