/* cli/dz.h - what every verb gets: where apid is, what went wrong, its words.
 *
 * A verb's arguments are described by a table; getopt's state is the C
 * library's, everything else is in the context.
 */
#ifndef CLI_DZ_H
#define CLI_DZ_H

#include <stdbool.h>
#include <stddef.h>

struct dz {
	const char *where; /* apid's socket path or ADDRESS:PORT; borrowed */
	char err[2048];	   /* why the last call failed: one line for the user */
	char code[32];	   /* the API's code for it, or "" */
};

enum { DZ_OPTS_MAX = 8 };

struct dz_opt {
	char letter;
	const char *name; /* long name */
	const char *arg;  /* name of its value for the help, or NULL: a flag */
	const char *help;
};

struct dz_verb {
	const char *name;
	int (*run)(struct dz *dz, const struct dz_verb *v, int argc, char **argv);
	const char *operands; /* "DOM" */
	const char *help;     /* one line */
	struct dz_opt opts[DZ_OPTS_MAX];
	int min, max; /* operands; max < 0: any number */
};

/* A verb's parsed command line.  val[i] is option i's value ("" for a flag),
 * or NULL; operands are borrowed from argv. */
struct dz_args {
	const char *val[DZ_OPTS_MAX];
	char **operand;
	int n;
};
/* argv[0] is the verb.  0, or -EINVAL after it told the user on stderr, or
 * -ECANCELED after --help was printed. */
int dz_args(const struct dz_verb *v, int argc, char **argv, struct dz_args *ret);
/* The process's exit status for that. */
int dz_args_exit(int r);
void dz_usage(const struct dz_verb *v);

/* Keeps a line in dz->err; returns r. */
int dz_set(struct dz *dz, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Prints dz->err to stderr and returns EXIT_FAILURE. */
int dz_fail(const struct dz *dz);

typedef int dz_run_fn(struct dz *dz, const struct dz_verb *v, int argc, char **argv);
dz_run_fn verb_create, verb_define, verb_start, verb_undefine;		      /* v_create.c */
dz_run_fn verb_shutdown, verb_reboot, verb_pause, verb_unpause, verb_destroy; /* v_life.c */
dz_run_fn verb_list, verb_vcpu_list, verb_domid, verb_domname, verb_uptime;   /* v_list.c */
dz_run_fn verb_info, verb_dmesg, verb_events;				      /* v_host.c */
dz_run_fn verb_rename, verb_mem_set, verb_mem_max, verb_vcpu_set, verb_sysrq,
	verb_trigger; /* v_change.c */
dz_run_fn verb_block_list, verb_network_list;
dz_run_fn verb_block_attach, verb_block_detach, verb_network_attach,
	verb_network_detach; /* v_device.c */
dz_run_fn verb_console;	     /* v_console.c */

/* Attach to a domain's console until the escape character or its end.
 * scrollback: bytes of earlier output.  0 or a negative errno in dz. */
int console_attach(struct dz *dz, const char *dom, const char *mode, unsigned scrollback,
		   char escape);
/* "^]", "^a" or one character to the byte it stands for; -EINVAL. */
int console_escape(const char *text);

#endif
