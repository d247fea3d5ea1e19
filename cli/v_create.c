/* cli/v_create.c - create, define, start, undefine: from an xl.cfg file to a guest. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/cfg.h"
#include "cli/cfg_domain.h"
#include "cli/dz.h"

enum { CREATE_TIMEOUT_S = 300, SCROLLBACK = 65536 };

static void print_warning(void *arg, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

/* argv: FILE, then key=value words, which win over the file. */
static int load_config(struct dz *dz, const struct dz_args *a, json_object **ret)
{
	struct cfg cfg = { 0 };
	char *cwd = getcwd(NULL, 0);
	int r;

	r = cwd ? cfg_parse_file(&cfg, a->operand[0], dz->err, sizeof(dz->err))
		: dz_set(dz, -errno, "the current folder: %s", strerror(errno));
	for (int i = 1; r == 0 && i < a->n; i++)
		r = cfg_parse(&cfg, "command line", a->operand[i], strlen(a->operand[i]), dz->err,
			      sizeof(dz->err));
	if (r == 0)
		r = cfg_to_domain(&cfg, cwd, print_warning, NULL, ret, dz->err, sizeof(dz->err));
	cfg_fini(&cfg);
	free(cwd);
	return r;
}

static int post_config(struct dz *dz, json_object *config, const char *query, json_object **ret)
{
	char target[128];
	int r;

	snprintf(target, sizeof(target), "/v1/domains%s", query);
	r = api_task(dz, "POST", target, config, CREATE_TIMEOUT_S, ret);
	if (r < 0 && strcmp(dz->code, "no-backend") == 0 && !strstr(dz->err, "--ignore-devices"))
		snprintf(dz->err + strlen(dz->err), sizeof(dz->err) - strlen(dz->err),
			 "; to start without disks and network: dz create --ignore-devices FILE");
	return r;
}

int verb_create(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	enum { PAUSED, CONSOLE, QUIET, DRYRUN, IGNORE, PERSIST, ENGINE };
	json_object *config = NULL, *domain = NULL;
	struct dz_args a;
	char query[96], *name;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	if (!a.val[QUIET])
		printf("Parsing config from %s\n", a.operand[0]);
	r = load_config(dz, &a, &config);
	if (r < 0)
		return dz_fail(dz);
	if (a.val[IGNORE])
		json_object_object_add(config, "ignore_devices", json_object_new_boolean(1));
	if (a.val[ENGINE])
		json_object_object_add(config, "engine", json_object_new_string(a.val[ENGINE]));
	if (a.val[DRYRUN]) {
		puts(json_object_to_json_string_ext(
			config, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
					JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(config);
		return EXIT_SUCCESS;
	}
	(void)fflush(stdout); /* before what the guest prints */
	snprintf(query, sizeof(query), "?start=true&paused=%s%s", a.val[PAUSED] ? "true" : "false",
		 a.val[PERSIST] ? "&persistent=true" : "");
	r = post_config(dz, config, query, &domain);
	name = r == 0 ? strdup(api_str(config, "name", "")) : NULL;
	json_object_put(config);
	json_object_put(domain);
	if (r == 0 && a.val[CONSOLE])
		r = name ? console_attach(dz, name, "rw", SCROLLBACK, 0x1d)
			 : dz_set(dz, -ENOMEM, "out of memory");
	free(name);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}

int verb_define(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	json_object *config = NULL, *domain = NULL;
	struct dz_args a;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	r = load_config(dz, &a, &config);
	if (r == 0 && a.val[0])
		json_object_object_add(config, "ignore_devices", json_object_new_boolean(1));
	if (r == 0)
		r = post_config(dz, config, "?start=false", &domain);
	if (r == 0)
		printf("%s\n", api_str(domain, "uuid", ""));
	json_object_put(config);
	json_object_put(domain);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}

int verb_start(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	char target[API_TARGET_MAX];
	struct dz_args a;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	r = api_domain_target(dz, a.operand[0], a.val[0] ? "/start?paused=true" : "/start", target);
	if (r == 0)
		r = api_task(dz, "POST", target, NULL, CREATE_TIMEOUT_S, NULL);
	if (r == 0 && a.val[1])
		r = console_attach(dz, a.operand[0], "rw", SCROLLBACK, 0x1d);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}

int verb_undefine(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	char target[API_TARGET_MAX];
	struct dz_args a;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	r = api_domain_target(dz, a.operand[0], "", target);
	if (r == 0)
		r = api_call(dz, "DELETE", target, NULL, NULL, NULL);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}
