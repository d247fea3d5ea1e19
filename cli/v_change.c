/* cli/v_change.c - rename, mem-set, mem-max, vcpu-set, sysrq, trigger. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/dz.h"

/* method /v1/domains/<dom><rest> with {key: value}; value is consumed. */
static int send_member(struct dz *dz, const char *method, const char *dom, const char *rest,
		       const char *key, json_object *value)
{
	json_object *body = json_object_new_object();
	char target[API_TARGET_MAX];
	int r;

	json_object_object_add(body, key, value);
	r = api_domain_target(dz, dom, rest, target);
	if (r == 0)
		r = api_task(dz, method, target, body, API_WAIT_S, NULL);
	json_object_put(body);
	if (r == -ENOENT && strcmp(dz->code, "not-found") == 0)
		r = dz_set(dz, r,
			   "%s is an invalid domain identifier: there is no such domain "
			   "(dz list shows them)",
			   dom);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}

int verb_rename(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	struct dz_args a;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	return send_member(dz, "PATCH", a.operand[0], "", "name",
			   json_object_new_string(a.operand[1]));
}

/* MiB from "512", "512m", "1g", "1048576k"; -1. */
static int64_t parse_mib(const char *text)
{
	static const char units[] = "bkmgt";
	char *end;
	int64_t n = strtoll(text, &end, 10);
	const char *unit = *end ? strchr(units, *end | 32) : strchr(units, 'm');

	if (end == text || n < 0 || n > (int64_t)1 << 40 || !unit || (*end && end[1]))
		return -1;
	switch (unit - units) {
	case 0: return n >> 20;
	case 1: return n >> 10;
	case 2: return n;
	case 3: return n << 10;
	default: return n > 1 << 20 ? -1 : n << 20;
	}
}

static int set_memory(struct dz *dz, const struct dz_verb *v, int argc, char **argv,
		      const char *member)
{
	struct dz_args a;
	int64_t mib;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	mib = parse_mib(a.operand[1]);
	if (mib < 1) {
		fprintf(stderr,
			"dz: invalid memory size: %s (a number of MiB, or with b, k, m, g, t)\n",
			a.operand[1]);
		return 2;
	}
	return send_member(dz, "PATCH", a.operand[0], "", member, json_object_new_int64(mib));
}

int verb_mem_set(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return set_memory(dz, v, argc, argv, "memory_mib");
}

int verb_mem_max(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return set_memory(dz, v, argc, argv, "maxmem_mib");
}

int verb_vcpu_set(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	struct dz_args a;
	char *end;
	long n;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	n = strtol(a.operand[1], &end, 10);
	if (*end || end == a.operand[1] || n < 1 || n > 4096) {
		fprintf(stderr, "Error: Invalid argument %s.\n", a.operand[1]);
		return 2;
	}
	return send_member(dz, "PATCH", a.operand[0], "", "vcpus", json_object_new_int64(n));
}

int verb_sysrq(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	struct dz_args a;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	if (strlen(a.operand[1]) != 1) {
		fprintf(stderr, "Invalid sysrq.\n\n");
		return 2;
	}
	return send_member(dz, "POST", a.operand[0], "/sysrq", "key",
			   json_object_new_string(a.operand[1]));
}

int verb_trigger(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	struct dz_args a;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	return send_member(dz, "POST", a.operand[0], "/trigger", "trigger",
			   json_object_new_string(a.operand[1]));
}
