/* apid/guestcfg.c - what a guest is made of, checked. */
#include "apid/guestcfg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/jbuf.h"
#include "apid/json.h"

static int bad(struct problem *p, const char *member, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int bad(struct problem *p, const char *member, const char *fmt, ...)
{
	va_list ap;

	*p = (struct problem){ .code = PROB_INVALID_CONFIG };
	va_start(ap, fmt);
	vsnprintf(p->detail, sizeof(p->detail), fmt, ap);
	va_end(ap);
	snprintf(p->pointer, sizeof(p->pointer), "/%s", member);
	return -EINVAL;
}

/* One UTF-8 character of u bytes that shows nothing: the spaces of Unicode. */
static bool is_space(const char *s, size_t u)
{
	return (u == 1 && *s == ' ') || (u == 2 && memcmp(s, "\xc2\xa0", 2) == 0) ||
	       (u == 3 && (memcmp(s, "\xe3\x80\x80", 3) == 0 ||
			   (memcmp(s, "\xe2\x80", 2) == 0 &&
			    ((unsigned char)s[2] <= 0x8f || (unsigned char)s[2] == 0xaf))));
}

int guest_name_check(const char *name, struct problem *p)
{
	size_t left = strlen(name), chars = 0, u;
	bool digits = true, first = false, last = false;

	if (left > GUEST_NAME_MAX * 4)
		return bad(p, "name", "the name has %zu bytes; at most %d characters are allowed",
			   left, GUEST_NAME_MAX);
	for (const char *s = name; left; s += u, left -= u) {
		u = utf8_len(s, left);
		if (u == 0)
			return bad(p, "name", "the name is not UTF-8");
		if ((unsigned char)*s < 0x20 || *s == 0x7f ||
		    (u == 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0))
			return bad(p, "name",
				   "the name has a control character; use printable ones");
		if (*s == '/')
			return bad(p, "name", "the name contains '/'; choose one without");
		digits &= *s >= '0' && *s <= '9';
		last = is_space(s, u);
		first |= chars == 0 && last;
		chars++;
	}
	if (chars == 0 || chars > GUEST_NAME_MAX)
		return bad(p, "name", "the name has %zu characters; 1 to %d are allowed", chars,
			   GUEST_NAME_MAX);
	if (first || last)
		return bad(p, "name",
			   "the name begins or ends with a space, which a list doesn't show; "
			   "leave it out");
	if (digits)
		return bad(p, "name", "the name '%s' would be taken for a domid; add a letter",
			   name);
	if (uuid_valid(name))
		return bad(p, "name", "the name would be taken for a UUID; choose another");
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return bad(p, "name", "the name '%s' can't stand in an address; add a letter",
			   name); /* clients take it out of the path, RFC 3986 5.2.4 */
	if (strcmp(name, "Domain-0") == 0)
		return bad(p, "name", "'Domain-0' is the host itself; choose another name");
	return 0;
}

size_t guest_name_cut(const char *name, size_t max)
{
	size_t left = strlen(name), n = 0, u;

	while ((u = utf8_len(name + n, left - n)) != 0 && n + u <= max)
		n += u;
	return n;
}

static int path_check(const char *member, const char *path, struct problem *p)
{
	if (path[0] != '/')
		return bad(p, member, "%s '%.200s' is not an absolute path", member, path);
	for (const char *s = path; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return bad(p, member, "%s has a control character in its path", member);
	return 0;
}

static enum end_action action(json_object *cfg, const char *key, const char *def)
{
	static const char *const names[] = { "destroy",	 "restart",	     "rename-restart",
					     "preserve", "coredump-destroy", "coredump-restart" };
	const char *s = json_str(cfg, key, def);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], s) == 0)
			return (enum end_action)i;
	return END_DESTROY;
}

static int numbers(json_object *cfg, struct guestcfg *g, struct problem *p)
{
	g->vcpus = (unsigned)json_int(cfg, "vcpus", 1);
	g->maxvcpus = (unsigned)json_int(cfg, "maxvcpus", g->vcpus);
	if (g->maxvcpus < g->vcpus)
		return bad(p, "maxvcpus", "maxvcpus (%u) is less than vcpus (%u)", g->maxvcpus,
			   g->vcpus);
	g->memory_mib = (uint64_t)json_int(cfg, "memory_mib", 128);
	g->maxmem_mib = (uint64_t)json_int(cfg, "maxmem_mib", (int64_t)g->memory_mib);
	if (g->maxmem_mib < g->memory_mib)
		return bad(p, "maxmem_mib", "maxmem_mib (%llu) is less than memory_mib (%llu)",
			   (unsigned long long)g->maxmem_mib, (unsigned long long)g->memory_mib);
	return 0;
}

static int strings(json_object *cfg, struct guestcfg *g, struct problem *p)
{
	const char *kernel = json_str(cfg, "kernel", ""), *ramdisk = json_str(cfg, "ramdisk", NULL);
	const char *cmdline = json_str(cfg, "cmdline", NULL);
	int r = path_check("kernel", kernel, p);

	if (r == 0 && ramdisk)
		r = path_check("ramdisk", ramdisk, p);
	if (r == 0 && cmdline && strlen(cmdline) > 2047)
		r = bad(p, "cmdline", "cmdline has %zu bytes; at most 2047 fit", strlen(cmdline));
	if (r < 0)
		return r;
	g->kernel = strdup(kernel);
	g->ramdisk = ramdisk ? strdup(ramdisk) : NULL;
	g->cmdline = cmdline ? strdup(cmdline) : NULL;
	if (!g->kernel || (ramdisk && !g->ramdisk) || (cmdline && !g->cmdline))
		return problem_errno(p, -ENOMEM, "configuration");
	return 0;
}

static int disks(json_object *cfg, struct guestcfg *g, struct problem *p)
{
	json_object *list = json_get(cfg, "disks");
	unsigned n = (unsigned)json_len(cfg, "disks");

	if (n == 0)
		return 0;
	g->disks = calloc(n, sizeof(*g->disks));
	if (!g->disks)
		return problem_errno(p, -ENOMEM, "configuration");
	g->ndisks = n;
	for (unsigned i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(list, i);
		const char *target = json_str(o, "target", NULL);
		struct guest_disk *d = &g->disks[i];

		snprintf(d->vdev, sizeof(d->vdev), "%s", json_str(o, "vdev", ""));
		d->raw = strcmp(json_str(o, "format", "raw"), "raw") == 0;
		d->cdrom = strcmp(json_str(o, "devtype", "disk"), "cdrom") == 0;
		d->readonly = d->cdrom || strcmp(json_str(o, "access", "w"), "r") == 0;
		d->discard = json_flag(o, "discard", true);
		d->direct_io_safe = json_flag(o, "direct_io_safe", false);
		d->trusted = json_flag(o, "trusted", true);
		d->elsewhere = *json_str(o, "script", "") ||
			       (*json_str(o, "backend", "") &&
				strcmp(json_str(o, "backend", ""), "0") != 0 &&
				strcmp(json_str(o, "backend", ""), "Domain-0") != 0);
		d->target = target ? strdup(target) : NULL;
		if (target && !d->target)
			return problem_errno(p, -ENOMEM, "configuration");
	}
	return 0;
}

static int vifs(json_object *cfg, struct guestcfg *g, struct problem *p)
{
	json_object *list = json_get(cfg, "vifs");
	unsigned n = (unsigned)json_len(cfg, "vifs");
	int r = 0;

	if (n == 0)
		return 0;
	g->vifs = calloc(n, sizeof(*g->vifs));
	if (!g->vifs)
		return problem_errno(p, -ENOMEM, "configuration");
	g->nvifs = n;
	for (unsigned i = 0; r == 0 && i < n; i++) {
		r = vifcfg_parse(json_object_array_get_idx(list, i), i, &g->vifs[i], p);
		for (unsigned k = 0; r == 0 && k < i; k++) {
			const struct guest_vif *a = &g->vifs[i], *b = &g->vifs[k];

			if (a->devid == b->devid)
				r = bad(p, "vifs", "two vifs have the devid %u", a->devid);
			else if (a->mac[0] && strcmp(a->mac, b->mac) == 0)
				r = bad(p, "vifs", "two vifs have the MAC address %s", a->mac);
			else if (a->vifname[0] && strcmp(a->vifname, b->vifname) == 0)
				r = bad(p, "vifs", "two vifs are named %s", a->vifname);
		}
	}
	return r;
}

int guestcfg_parse(json_object *cfg, struct guestcfg *ret, struct problem *p)
{
	struct guestcfg g = { 0 };
	const char *name = json_str(cfg, "name", "");
	json_object *meta = json_get(cfg, "metadata");
	int r = guest_name_check(name, p);

	if (r == 0)
		r = numbers(cfg, &g, p);
	if (r == 0)
		r = strings(cfg, &g, p);
	if (r == 0)
		r = disks(cfg, &g, p);
	if (r == 0)
		r = vifs(cfg, &g, p);
	if (r == 0 && meta &&
	    strlen(json_object_to_json_string_ext(meta, JSON_C_TO_STRING_PLAIN)) >
		    GUEST_METADATA_MAX)
		r = bad(p, "metadata", "metadata is larger than %d bytes", GUEST_METADATA_MAX);
	if (r < 0) {
		guestcfg_fini(&g);
		return r;
	}
	snprintf(g.uuid, sizeof(g.uuid), "%s", json_str(cfg, "uuid", ""));
	snprintf(g.name, sizeof(g.name), "%s", name);
	snprintf(g.engine, sizeof(g.engine), "%s", json_str(cfg, "engine", "auto"));
	g.on_poweroff = action(cfg, "on_poweroff", "destroy");
	g.on_reboot = action(cfg, "on_reboot", "restart");
	g.on_crash = action(cfg, "on_crash", "destroy");
	g.on_watchdog = action(cfg, "on_watchdog", "destroy");
	g.ignore_devices = json_flag(cfg, "ignore_devices", false);
	g.autostart = json_flag(cfg, "autostart", false);
	*ret = g;
	return 0;
}

void guestcfg_fini(struct guestcfg *g)
{
	free(g->kernel);
	free(g->ramdisk);
	free(g->cmdline);
	g->kernel = g->ramdisk = g->cmdline = NULL;
	for (unsigned i = 0; g->disks && i < g->ndisks; i++)
		free(g->disks[i].target);
	free(g->disks);
	free(g->vifs);
	g->disks = NULL;
	g->vifs = NULL;
}
