/* cli/v_device.c - attach, detach and list for block and network devices. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/devspec.h"
#include "cli/dz.h"

/* body is consumed. */
static int send_device(struct dz *dz, const char *dom, const char *rest, json_object *body)
{
	char target[API_TARGET_MAX];
	int r = api_domain_target(dz, dom, rest, target);

	if (r == 0)
		r = api_task(dz, "POST", target, body, API_WAIT_S, NULL);
	json_object_put(body);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}

/* The words after DOM are one specification, as xl joins them. */
static int attach(struct dz *dz, const struct dz_verb *v, int argc, char **argv, const char *rest,
		  int (*parse)(const char *, json_object **, char *, size_t))
{
	char spec[4096] = "", err[256];
	json_object *body = NULL;
	struct dz_args a;
	size_t n = 0;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	for (int i = 1; i < a.n && n < sizeof(spec); i++)
		n += (size_t)snprintf(spec + n, sizeof(spec) - n, "%s%s", i > 1 ? "," : "",
				      a.operand[i]);
	if (n >= sizeof(spec)) {
		fprintf(stderr, "dz: the specification is too long\n");
		return 2;
	}
	r = parse(spec, &body, err, sizeof(err));
	if (r < 0) {
		fprintf(stderr, "dz: '%.100s': %s\n", spec, err);
		return 2;
	}
	return send_device(dz, a.operand[0], rest, body);
}

int verb_block_attach(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return attach(dz, v, argc, argv, "/disk-attach", devspec_disk);
}

int verb_network_attach(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return attach(dz, v, argc, argv, "/vif-attach", devspec_vif);
}

int verb_block_detach(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	json_object *body;
	struct dz_args a;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	body = json_object_new_object();
	json_object_object_add(body, "vdev", json_object_new_string(a.operand[1]));
	if (a.val[0])
		json_object_object_add(body, "force", json_object_new_boolean(true));
	return send_device(dz, a.operand[0], "/disk-detach", body);
}

int verb_network_detach(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	json_object *body;
	struct dz_args a;
	char *end;
	long devid;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	body = json_object_new_object();
	devid = strtol(a.operand[1], &end, 10);
	if (*a.operand[1] && !*end)
		json_object_object_add(body, "devid", json_object_new_int64(devid));
	else
		json_object_object_add(body, "mac", json_object_new_string(a.operand[1]));
	if (a.val[0])
		json_object_object_add(body, "force", json_object_new_boolean(true));
	return send_device(dz, a.operand[0], "/vif-detach", body);
}

/* ---- lists: the definition, which attach and detach keep true ---- */

static void show_disk(json_object *o, int64_t domid)
{
	printf("%-8s %-6s %-6s %s\n", api_str(o, "vdev", "?"),
	       strcmp(api_str(o, "access", "w"), "r") == 0 ||
			       strcmp(api_str(o, "devtype", "disk"), "cdrom") == 0
		       ? "r"
		       : "w",
	       api_str(o, "format", "raw"), api_str(o, "target", "-"));
}

static void show_vif(json_object *o, int64_t domid)
{
	char path[64] = "-";

	if (domid > 0)
		snprintf(path, sizeof(path), "/local/domain/0/backend/vif/%lld/%lld",
			 (long long)domid, (long long)api_int(o, "devid", 0));
	printf("%-4lld %-18s %-16s %s\n", (long long)api_int(o, "devid", 0), api_str(o, "mac", "-"),
	       api_str(o, "bridge", "xenbr0"), path);
}

static int list(struct dz *dz, const struct dz_verb *v, int argc, char **argv, const char *member,
		const char *head, void (*show)(json_object *o, int64_t domid))
{
	json_object *d = NULL, *cfg = NULL, *all = NULL;
	struct dz_args a;
	int r = dz_args(v, argc, argv, &a);

	if (r < 0)
		return dz_args_exit(r);
	r = api_domain(dz, a.operand[0], &d);
	if (r < 0)
		return dz_fail(dz);
	puts(head);
	if (json_object_object_get_ex(d, "config", &cfg) &&
	    json_object_object_get_ex(cfg, member, &all))
		for (size_t i = 0; i < json_object_array_length(all); i++)
			show(json_object_array_get_idx(all, i), api_int(d, "domid", 0));
	json_object_put(d);
	return EXIT_SUCCESS;
}

int verb_block_list(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return list(dz, v, argc, argv, "disks", "Vdev     Access Format Target", show_disk);
}

int verb_network_list(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return list(dz, v, argc, argv, "vifs", "Idx  Mac Addr.          Bridge           BE-path",
		    show_vif);
}
