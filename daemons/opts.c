/* daemons/opts.c - the shared settings parser. */
#include "daemons/opts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/log.h"

static const char *const bool_words[][2] = {
	{ "no", "yes" }, { "false", "true" }, { "off", "on" }, { "0", "1" }
};

static int parse_bool(const char *v, bool *ret)
{
	for (size_t i = 0; i < sizeof(bool_words) / sizeof(bool_words[0]); i++)
		for (int j = 0; j < 2; j++)
			if (strcmp(v, bool_words[i][j]) == 0) {
				*ret = j;
				return 0;
			}
	return -EINVAL;
}

static int opt_set(const struct opt *o, const char *v, void *cfg, char *err, size_t errlen)
{
	char *at = (char *)cfg + o->offset, *end;

	if (o->type == OPT_STR) {
		char *copy = strdup(v);

		if (!copy) {
			snprintf(err, errlen, "out of memory");
			return -ENOMEM;
		}
		free(*(char **)(void *)at);
		*(char **)(void *)at = copy;
	} else if (o->type == OPT_BOOL) {
		if (parse_bool(v, (bool *)at) < 0) {
			snprintf(err, errlen, "%s: '%s' is neither yes nor no", o->name, v);
			return -EINVAL;
		}
	} else {
		unsigned long long n;

		errno = 0;
		n = strtoull(v, &end, 0);
		if (errno || end == v || *end || *v == '-' || n < o->min || n > o->max) {
			snprintf(err, errlen, "%s: '%s' is not a number from %llu to %llu", o->name,
				 v, (unsigned long long)o->min, (unsigned long long)o->max);
			return -EINVAL;
		}
		*(uint64_t *)(void *)at = n;
	}
	return 0;
}

static const struct opt *opt_find(const struct opt *t, const char *name, size_t n)
{
	for (; t->name; t++)
		if (strlen(t->name) == n && memcmp(t->name, name, n) == 0)
			return t;
	return NULL;
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r\n");
	n = strlen(s);
	while (n && strchr(" \t\r\n", s[n - 1]))
		s[--n] = '\0';
	return s;
}

static int parse_file(const struct opt *table, const char *path, void *cfg, char *err,
		      size_t errlen)
{
	char line[1024], why[256], *eq, *name;
	unsigned at = 0;
	FILE *f;
	int r = 0;

	f = fopen(path, "re");
	if (!f) {
		r = -errno;
		snprintf(err, errlen, "%s: %s", path, strerror(-r));
		return r;
	}
	while (r == 0 && fgets(line, sizeof(line), f)) {
		const struct opt *o;

		at++;
		name = trim(line);
		if (!*name || *name == '#')
			continue;
		eq = strchr(name, '=');
		if (!eq) {
			snprintf(err, errlen, "%s:%u: no '=' in this line", path, at);
			r = -EINVAL;
			break;
		}
		*eq = '\0';
		name = trim(name);
		o = opt_find(table, name, strlen(name));
		if (!o) {
			snprintf(err, errlen, "%s:%u: unknown setting '%.80s'", path, at, name);
			r = -EINVAL;
			break;
		}
		r = opt_set(o, trim(eq + 1), cfg, why, sizeof(why));
		if (r < 0)
			snprintf(err, errlen, "%s:%u: %s", path, at, why);
	}
	fclose(f);
	return r;
}

static void print_help(const struct opt *table, const char *usage)
{
	printf("usage: %s\n\n", usage);
	for (const struct opt *o = table; o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s", o->name,
			 o->type == OPT_BOOL ? "" : "=VALUE");
		if (o->letter)
			printf("  -%c, %-28s %s", o->letter, left, o->help);
		else
			printf("      %-28s %s", left, o->help);
		printf(o->def && *o->def ? " [%s]\n" : "\n", o->def);
	}
	printf("      %-28s %s\n", "--config=FILE", "read settings from FILE");
}

/* One walk over argv.  with_cfg false: only look for --config/--help/--version. */
static int walk(const struct opt *table, const char *usage, int argc, char **argv, void *cfg,
		const char **ret_file, bool apply, char *err, size_t errlen)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		const char *a = argv[i], *eq = NULL, *val;
		const struct opt *o = NULL;

		if (strcmp(a, "--") == 0)
			return i + 1;
		if (strcmp(a, "--help") == 0 || strcmp(a, "--version") == 0) {
			if (a[2] == 'h')
				print_help(table, usage);
			else
				printf("domzero %s\n", DZ_VERSION);
			return -ECANCELED;
		}
		if (strncmp(a, "--config=", 9) == 0) {
			*ret_file = a + 9;
			continue;
		}
		if (a[1] == '-') {
			eq = strchrnul(a, '=');
			o = opt_find(table, a + 2, (size_t)(eq - a - 2));
			val = *eq ? eq + 1 : NULL;
		} else {
			for (o = table; o->name && o->letter != a[1]; o++)
				;
			if (!o->name)
				o = NULL;
			val = a[2] ? a + 2 : NULL;
		}
		if (!o) {
			snprintf(err, errlen, "unknown option '%.80s' (try --help)", a);
			return -EINVAL;
		}
		if (!val && o->type == OPT_BOOL)
			val = "yes";
		if (!val && i + 1 < argc)
			val = argv[++i];
		if (!val) {
			snprintf(err, errlen, "option --%s needs a value", o->name);
			return -EINVAL;
		}
		if (apply) {
			int r = opt_set(o, val, cfg, err, errlen);

			if (r < 0)
				return r;
		}
	}
	return i;
}

int opts_parse(const struct opt *table, const char *usage, int argc, char **argv, void *cfg,
	       char *err, size_t errlen)
{
	const char *file = NULL;
	int r;

	for (const struct opt *o = table; o->name; o++) {
		r = o->def ? opt_set(o, o->def, cfg, err, errlen) : 0;
		if (r < 0)
			return r;
	}
	r = walk(table, usage, argc, argv, cfg, &file, false, err, errlen);
	if (r < 0)
		return r;
	if (file) {
		r = parse_file(table, file, cfg, err, errlen);
		if (r < 0)
			return r;
	}
	return walk(table, usage, argc, argv, cfg, &file, true, err, errlen);
}

void opts_fini(const struct opt *table, void *cfg)
{
	for (const struct opt *o = table; o->name; o++)
		if (o->type == OPT_STR) {
			char **at = (char **)(void *)((char *)cfg + o->offset);

			free(*at);
			*at = NULL;
		}
}
