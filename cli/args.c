/* cli/args.c - a verb's option table becomes getopt's, and its help text. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dz.h"

void dz_usage(const struct dz_verb *v)
{
	printf("usage: dz %s%s%s%s\n\n%s.\n", v->name, v->opts[0].name ? " [options]" : "",
	       *v->operands ? " " : "", v->operands, v->help);
	for (int i = 0; i < DZ_OPTS_MAX && v->opts[i].name; i++) {
		const struct dz_opt *o = &v->opts[i];
		char left[48];

		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
			 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
			 o->arg ? "=" : "", o->arg ? o->arg : "");
		printf("%s  %-26s %s\n", i ? "" : "\n", left, o->help);
	}
}

static int misused(const struct dz_verb *v)
{
	fprintf(stderr, "usage: dz %s%s%s%s (dz help %s tells more)\n", v->name,
		v->opts[0].name ? " [options]" : "", *v->operands ? " " : "", v->operands, v->name);
	return -EINVAL;
}

int dz_args(const struct dz_verb *v, int argc, char **argv, struct dz_args *ret)
{
	struct option longs[DZ_OPTS_MAX + 2] = { 0 };
	char shorts[2 * DZ_OPTS_MAX + 4] = "h";
	struct dz_args a = { 0 };
	int n = 0, c;

	for (; n < DZ_OPTS_MAX && v->opts[n].name; n++) {
		const struct dz_opt *o = &v->opts[n];
		char one[3] = { o->letter, o->arg ? ':' : '\0', '\0' };

		strcat(shorts, one); /* fits: at most two bytes for each */
		longs[n] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL,
					    1000 + n };
	}
	longs[n] = (struct option){ "help", no_argument, NULL, 'h' };
	optind = 0; /* glibc: start over, with another argv */
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		int i = c - 1000;

		for (int k = 0; c < 1000 && k < n; k++)
			if (v->opts[k].letter == c)
				i = k;
		if (i >= 0) {
			a.val[i] = optarg ? optarg : "";
		} else if (c == 'h') {
			dz_usage(v);
			return -ECANCELED;
		} else {
			return misused(v); /* getopt has named the option */
		}
	}
	a.operand = argv + optind;
	a.n = argc - optind;
	if (a.n < v->min || (v->max >= 0 && a.n > v->max)) {
		fprintf(stderr, "dz %s: %s\n", v->name,
			a.n < v->min ? "an argument is missing" : "too many arguments");
		return misused(v);
	}
	*ret = a;
	return 0;
}

int dz_args_exit(int r)
{
	return r == -ECANCELED ? EXIT_SUCCESS : 2;
}

int dz_set(struct dz *dz, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(dz->err, sizeof(dz->err), fmt, ap); /* cut is fine for a message */
	va_end(ap);
	return r;
}

int dz_fail(const struct dz *dz)
{
	fprintf(stderr, "dz: %s\n", dz->err);
	return EXIT_FAILURE;
}
