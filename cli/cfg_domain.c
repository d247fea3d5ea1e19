/* cli/cfg_domain.c - the table of xl.cfg's settings and what each becomes.
 *
 * A setting either is taken (a handler), has no meaning for a PVH guest here
 * (a warning, and the guest starts without it) or is unknown (a warning too:
 * a misspelt name must not pass in silence).
 */
#include "cli/cfg_domain.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/devspec.h"

enum { WARNINGS_MAX = 20 };

struct conv {
	const struct cfg *cfg;
	const char *cwd;
	json_object *out;
	char *err;
	size_t errlen;
};

static int fail_at(struct conv *c, const char *file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int fail_at(struct conv *c, const char *file, unsigned line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut is fine for a message */
	va_end(ap);
	snprintf(c->err, c->errlen, "%s:%u: %s", file, line, text);
	return -EINVAL;
}

#define fail(c, s, ...) fail_at((c), (s)->file, (s)->value.line, __VA_ARGS__)

static int no_memory(struct conv *c)
{
	snprintf(c->err, c->errlen, "out of memory");
	return -ENOMEM;
}

/* v is consumed. */
static int put(struct conv *c, const char *key, json_object *v)
{
	if (!v || json_object_object_add(c->out, key, v) < 0) {
		json_object_put(v);
		return no_memory(c);
	}
	return 0;
}

struct key {
	const char *name;
	int (*take)(struct conv *c, const struct cfg_setting *s, const struct key *k);
	const char *api;
	long min, max;
};

static int atom(struct conv *c, const struct cfg_setting *s, const char **ret)
{
	if (s->value.type != CFG_ATOM)
		return fail(c, s, "%s is one string or number, not a list", s->name);
	*ret = s->value.text;
	return 0;
}

static int take_string(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	const char *v = NULL;
	int r = atom(c, s, &v);

	if (r < 0)
		return r;
	if (k->max && strlen(v) > (size_t)k->max)
		return fail(c, s, "%s has %zu characters; at most %ld are possible", s->name,
			    strlen(v), k->max);
	return put(c, k->api, json_object_new_string(v));
}

static int take_number(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	const char *v = NULL;
	char *end;
	int r = atom(c, s, &v);
	long n;

	if (r < 0)
		return r;
	errno = 0;
	n = strtol(v, &end, 0);
	if (errno || !*v || *end || n < k->min || n > k->max)
		return fail(c, s, "%s = %.40s: not a number from %ld to %ld", s->name, v, k->min,
			    k->max);
	return put(c, k->api, json_object_new_int64(n));
}

static int take_bool(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	const char *v = NULL;
	int r = atom(c, s, &v);

	if (r < 0)
		return r;
	if (strcmp(v, "0") != 0 && strcmp(v, "1") != 0)
		return fail(c, s, "%s = %.40s: say 0 or 1", s->name, v);
	return put(c, k->api, json_object_new_boolean(*v == '1'));
}

static int take_path(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	const char *v = NULL;
	char *path = NULL;
	int r = atom(c, s, &v);

	if (r < 0)
		return r;
	if (!*v)
		return fail(c, s, "%s is empty; give the file's path", s->name);
	if (asprintf(&path, "%s%s%s", *v == '/' ? "" : c->cwd, *v == '/' ? "" : "/", v) < 0)
		return no_memory(c);
	r = put(c, k->api, json_object_new_string(path));
	free(path);
	return r;
}

/* xl's own words for what happens next; libxl's enum has hyphens too. */
static int take_action(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	static const char *const actions[] = { "destroy",  "restart",	       "rename-restart",
					       "preserve", "coredump-destroy", "coredump-restart" };
	const char *v = NULL;
	int r = atom(c, s, &v);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(v, actions[i]) == 0)
			return put(c, k->api, json_object_new_string(v));
	return fail(c, s,
		    "%s = \"%.40s\": say destroy, restart, rename-restart, preserve, "
		    "coredump-destroy or coredump-restart",
		    s->name, v);
}

static int take_type(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	const char *v = NULL;
	int r = atom(c, s, &v);

	if (r < 0)
		return r;
	if (strcmp(v, "pvh") == 0 || strcmp(v, "generic") == 0 || strcmp(v, "linux") == 0)
		return put(c, k->api, json_object_new_string("pvh"));
	if (strcmp(v, "pv") == 0 || strcmp(v, "hvm") == 0)
		return fail(c, s,
			    "%s = \"%s\": only PVH guests can be started; with type = \"pvh\" a "
			    "Linux kernel from 4.11 on boots directly",
			    s->name, v);
	return fail(c, s, "%s = \"%.40s\": no such guest type; say \"pvh\"", s->name, v);
}

static int take_uuid(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	const char *v = NULL, *hex = "0123456789abcdefABCDEF";
	char text[37];
	size_t n = 0;
	int r = atom(c, s, &v);

	if (r < 0)
		return r;
	for (const char *p = v; *p && n < 36; p++) {
		if (n == 8 || n == 13 || n == 18 || n == 23)
			text[n++] = '-';
		if (*p == '-' && n && text[n - 1] == '-')
			continue;
		if (!strchr(hex, *p))
			break;
		text[n++] = *p;
	}
	text[n] = '\0';
	if (n != 36 || (strlen(v) != 36 && strlen(v) != 32))
		return fail(c, s, "uuid = \"%.40s\" is no UUID; uuidgen makes one", v);
	return put(c, k->api, json_object_new_string(text));
}

static int take_devices(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	int (*parse)(const char *, json_object **, char *, size_t) =
		strcmp(s->name, "disk") == 0 ? devspec_disk : devspec_vif;
	json_object *list = json_object_new_array();
	int r = list ? 0 : no_memory(c);

	if (r == 0 && s->value.type != CFG_LIST)
		r = fail(c, s, "%s is a list: %s = [ '...' ]", s->name, s->name);
	if (r == 0 && s->value.n > (size_t)k->max)
		r = fail(c, s, "%zu entries in %s; at most %ld are possible", s->value.n, s->name,
			 k->max);
	for (size_t i = 0; r == 0 && i < s->value.n; i++) {
		const struct cfg_value *v = &s->value.items[i];
		json_object *dev = NULL;
		char why[256];

		if (v->type != CFG_ATOM) {
			r = fail_at(c, s->file, v->line, "%s: entry %zu is a list, not a string",
				    s->name, i + 1);
			break;
		}
		r = parse(v->text, &dev, why, sizeof(why));
		if (r < 0)
			r = fail_at(c, s->file, v->line, "%s '%.100s': %s", s->name, v->text, why);
		else if (json_object_array_add(list, dev) < 0)
			r = no_memory(c);
	}
	if (r < 0) {
		json_object_put(list);
		return r;
	}
	return put(c, k->api, list);
}

/* Taken together in put_cmdline(). */
static int take_cmdline(struct conv *c, const struct cfg_setting *s, const struct key *k)
{
	const char *v = NULL;

	return atom(c, s, &v);
}

static const struct key keys[] = {
	{ "name", take_string, "name", 0, 0 },
	{ "uuid", take_uuid, "uuid", 0, 0 },
	{ "type", take_type, "type", 0, 0 },
	{ "builder", take_type, "type", 0, 0 },
	{ "memory", take_number, "memory_mib", 1, 16777216 },
	{ "maxmem", take_number, "maxmem_mib", 1, 16777216 },
	{ "vcpus", take_number, "vcpus", 1, 32 },
	{ "maxvcpus", take_number, "maxvcpus", 1, 32 },
	{ "kernel", take_path, "kernel", 0, 0 },
	{ "ramdisk", take_path, "ramdisk", 0, 0 },
	{ "cmdline", take_cmdline, NULL, 0, 0 },
	{ "root", take_cmdline, NULL, 0, 0 },
	{ "extra", take_cmdline, NULL, 0, 0 },
	{ "on_poweroff", take_action, "on_poweroff", 0, 0 },
	{ "on_reboot", take_action, "on_reboot", 0, 0 },
	{ "on_crash", take_action, "on_crash", 0, 0 },
	{ "on_watchdog", take_action, "on_watchdog", 0, 0 },
	{ "disk", take_devices, "disks", 0, 128 },
	{ "vif", take_devices, "vifs", 0, 64 },
	{ "engine", take_string, "engine", 0, 16 },
	{ "autostart", take_bool, "autostart", 0, 0 },
};

/* Known to xl; without effect on a PVH guest here. */
static const char *const no_effect[] = {
	"acpi",
	"altp2m",
	"apic",
	"bios",
	"bootloader_args",
	"boot",
	"cap",
	"channel",
	"claim_mode",
	"cpu_weight",
	"cpuid",
	"cpus",
	"cpus_soft",
	"device_model_args",
	"device_model_version",
	"driver_domain",
	"event_channels",
	"firmware",
	"gfx_passthru",
	"hap",
	"keymap",
	"localtime",
	"max_event_channels",
	"max_grant_frames",
	"max_grant_version",
	"max_maptrack_frames",
	"nestedhvm",
	"nomigrate",
	"on_soft_reset",
	"on_xend_start",
	"on_xend_stop",
	"pae",
	"passthrough",
	"pci",
	"pool",
	"rtc_timeoffset",
	"sdl",
	"seclabel",
	"serial",
	"shadow_memory",
	"spice",
	"stdvga",
	"timer_mode",
	"tsc_mode",
	"usb",
	"usbctrl",
	"usbdev",
	"vfb",
	"vga",
	"videoram",
	"viridian",
	"vnc",
	"vnclisten",
	"vncconsole",
	"vncpasswd",
	"vncunused",
	"vnuma",
	"vpmu",
	"x2apic",
	"xen_platform_pci",
	"p9",
	"virtio",
	"vtpm",
};

static const struct key *key_find(const char *name)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static bool is_known(const char *name)
{
	for (size_t i = 0; i < sizeof(no_effect) / sizeof(no_effect[0]); i++)
		if (strcmp(no_effect[i], name) == 0)
			return true;
	return false;
}

static void warn_others(const struct cfg *cfg, cfg_warn_cb *warn, void *arg)
{
	size_t others = 0;
	char text[512];

	for (size_t i = 0; i < cfg->n; i++) {
		const struct cfg_setting *s = &cfg->settings[i];

		if (key_find(s->name) || strcmp(s->name, "bootloader") == 0)
			continue;
		if (others++ >= WARNINGS_MAX)
			continue;
		snprintf(text, sizeof(text), "%s:%u: warning: '%.64s' %s; it is ignored", s->file,
			 s->value.line, s->name,
			 is_known(s->name) ? "has no effect on this kind of guest yet"
					   : "is not a setting of xl.cfg");
		warn(arg, text);
	}
	if (others > WARNINGS_MAX) {
		snprintf(text, sizeof(text), "warning: %zu more settings are ignored",
			 others - WARNINGS_MAX);
		warn(arg, text);
	}
}

/* As xl: cmdline stands alone, else root and extra make one. */
static int put_cmdline(struct conv *c)
{
	const struct cfg_setting *line = cfg_find(c->cfg, "cmdline"),
				 *root = cfg_find(c->cfg, "root"),
				 *extra = cfg_find(c->cfg, "extra");
	char *text = NULL;
	int r = 0;

	if (line)
		text = strdup(line->value.text);
	else if (root || extra)
		r = asprintf(&text, "%s%s%s%s", root ? "root=" : "", root ? root->value.text : "",
			     root && extra ? " " : "", extra ? extra->value.text : "");
	else
		return 0;
	if (r < 0 || !text)
		return no_memory(c);
	if (strlen(text) > 2047) {
		const struct cfg_setting *at = line ? line : extra ? extra : root;

		r = fail(c, at, "the kernel's command line has %zu characters; at most 2047 fit",
			 strlen(text));
	} else {
		r = put(c, "cmdline", json_object_new_string(text));
	}
	free(text);
	return r;
}

static int check_whole(struct conv *c)
{
	const struct cfg_setting *boot = cfg_find(c->cfg, "bootloader"), *s;
	const char *file = c->cfg->nfiles ? c->cfg->files[0] : "configuration";

	if (!cfg_find(c->cfg, "name")) {
		snprintf(c->err, c->errlen, "%s: the guest has no name; add a line name = \"...\"",
			 file);
		return -EINVAL;
	}
	s = cfg_find(c->cfg, "name");
	if (!*s->value.text)
		return fail(c, s, "the guest's name is empty");
	if (!cfg_find(c->cfg, "kernel")) {
		if (boot)
			return fail(c, boot,
				    "bootloader is not supported; name the kernel (and ramdisk) "
				    "of the guest instead");
		snprintf(c->err, c->errlen,
			 "%s: the guest has no kernel; add a line kernel = \"/path/to/vmlinuz\"",
			 file);
		return -EINVAL;
	}
	return 0;
}

int cfg_to_domain(const struct cfg *cfg, const char *cwd, cfg_warn_cb *warn, void *arg,
		  json_object **ret, char *err, size_t errlen)
{
	struct conv c = { cfg, cwd, json_object_new_object(), err, errlen };
	int r = c.out ? 0 : no_memory(&c);

	for (size_t i = 0; r == 0 && i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct cfg_setting *s = cfg_find(cfg, keys[i].name);

		/* builder is type's old name. */
		if (s && !(strcmp(keys[i].name, "builder") == 0 && cfg_find(cfg, "type")))
			r = keys[i].take(&c, s, &keys[i]);
	}
	if (r == 0)
		r = check_whole(&c);
	if (r == 0)
		r = put_cmdline(&c);
	if (r < 0) {
		json_object_put(c.out);
		return r;
	}
	if (warn)
		warn_others(cfg, warn, arg);
	*ret = c.out;
	return 0;
}
