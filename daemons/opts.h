/* daemons/opts.h - one table per daemon describes its settings; this parses
 * them from the command line and from a "name = value" file.
 *
 * A setting "log-level" is the option --log-level=V (or --log-level V) and the
 * line "log-level = V".  The command line wins over the file.  Booleans take
 * yes/no/true/false/on/off/1/0, and as an option may stand alone.
 */
#ifndef DAEMONS_OPTS_H
#define DAEMONS_OPTS_H

#include <stddef.h>
#include <stdint.h>

enum opt_type { OPT_STR, OPT_U64, OPT_BOOL };

struct opt {
	const char *name; /* long name; NULL ends the table */
	char letter;	  /* short option, or 0 */
	enum opt_type type;
	const char *def;   /* default as text; NULL: unset (strings only) */
	uint64_t min, max; /* OPT_U64 range, inclusive */
	size_t offset;	   /* into the config struct: char * (owned), uint64_t or bool */
	const char *help;
};

/* Fill cfg (zeroed by the caller) with defaults, then the file named by
 * --config if given, then argv.  Returns the index of the first operand, or
 * -EINVAL with one line in err that names what is wrong, or -ECANCELED after
 * --help or --version printed to stdout.  Free with opts_fini(). */
int opts_parse(const struct opt *table, const char *usage, int argc, char **argv, void *cfg,
	       char *err, size_t errlen);
void opts_fini(const struct opt *table, void *cfg);

#endif
