/* cli/devspec.c - disk and network strings of xl.cfg.
 *
 * A disk is comma-separated: words without "=" are target, format, vdev and
 * access in this order, the rest are key=value; target= takes all that
 * follows.  The older form "file:PATH,VDEV,ACCESS" has no format word.
 */
#include "cli/devspec.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct build {
	json_object *obj;
	char *err;
	size_t errlen;
};

static int fail(struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct build *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(b->err, b->errlen, fmt, ap); /* cut is fine for a message */
	va_end(ap);
	return -EINVAL;
}

/* v is consumed. */
static int put(struct build *b, const char *key, json_object *v)
{
	if (!v || json_object_object_add(b->obj, key, v) < 0) {
		json_object_put(v);
		(void)fail(b, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

static int put_str(struct build *b, const char *key, const char *v)
{
	return put(b, key, json_object_new_string(v));
}

static bool has(const struct build *b, const char *key)
{
	return json_object_object_get_ex(b->obj, key, NULL);
}

/* ---- disk ---- */

static int disk_format(struct build *b, const char *v)
{
	static const char *const formats[] = { "raw", "qcow", "qcow2", "vhd", "qed" };

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(v, formats[i]) == 0)
			return put_str(b, "format", v);
	return fail(b, "unknown disk format '%.40s' (raw, qcow, qcow2, vhd or qed)", v);
}

static int disk_access(struct build *b, const char *v)
{
	if (strcmp(v, "r") == 0 || strcmp(v, "ro") == 0)
		return put_str(b, "access", "r");
	if (strcmp(v, "w") == 0 || strcmp(v, "rw") == 0)
		return put_str(b, "access", "w");
	return fail(b, "unknown access '%.40s' (r, ro, w or rw)", v);
}

static int disk_vdev(struct build *b, char *v)
{
	char *suffix = strchr(v, ':'); /* "hdc:cdrom", as in old files */

	if (suffix) {
		*suffix++ = '\0';
		if (strcmp(suffix, "cdrom") == 0) {
			int r = put_str(b, "devtype", "cdrom");

			if (r < 0)
				return r;
		} else if (strcmp(suffix, "disk") != 0) {
			return fail(b, "unknown device type '%.40s' after the device's name",
				    suffix);
		}
	}
	if (!*v || strlen(v) > 32)
		return fail(b, "'%.40s' is no device name; try xvda", v);
	return put_str(b, "vdev", v);
}

static int disk_type(struct build *b, const char *v)
{
	if (strcmp(v, "disk") != 0 && strcmp(v, "cdrom") != 0)
		return fail(b, "unknown devtype '%.40s' (disk or cdrom)", v);
	return put_str(b, "devtype", v);
}

static int disk_backendtype(struct build *b, const char *v)
{
	static const char *const types[] = { "phy", "qdisk", "standalone", "tap" };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(v, types[i]) == 0)
			return put_str(b, "backendtype", v);
	return fail(b, "unknown backendtype '%.40s' (phy, qdisk, standalone or tap)", v);
}

/* Words that stand alone. */
static const struct flag {
	const char *word, *key;
	const char *text; /* NULL: the boolean below */
	bool on;
} disk_flags[] = {
	{ "cdrom", "devtype", "cdrom", false },
	{ "discard", "discard", NULL, true },
	{ "no-discard", "discard", NULL, false },
	{ "direct-io-safe", "direct_io_safe", NULL, true },
	{ "trusted", "trusted", NULL, true },
	{ "untrusted", "trusted", NULL, false },
};

static int put_flag(struct build *b, const struct flag *f)
{
	return f->text ? put_str(b, f->key, f->text)
		       : put(b, f->key, json_object_new_boolean(f->on));
}

/* 1: taken, 0: not a flag. */
static int disk_flag(struct build *b, const char *word)
{
	for (size_t i = 0; i < sizeof(disk_flags) / sizeof(disk_flags[0]); i++)
		if (strcasecmp(word, disk_flags[i].word) == 0) {
			int r = put_flag(b, &disk_flags[i]);

			return r < 0 ? r : 1;
		}
	return 0;
}

static int disk_keyed(struct build *b, const char *key, char *v)
{
	if (strcmp(key, "format") == 0)
		return disk_format(b, v);
	if (strcmp(key, "vdev") == 0)
		return disk_vdev(b, v);
	if (strcmp(key, "access") == 0)
		return disk_access(b, v);
	if (strcmp(key, "devtype") == 0)
		return disk_type(b, v);
	if (strcmp(key, "backendtype") == 0)
		return disk_backendtype(b, v);
	if (strcmp(key, "backend") == 0 || strcmp(key, "script") == 0 ||
	    strcmp(key, "specification") == 0)
		return put_str(b, key, v);
	return fail(b, "unknown disk parameter '%.40s'", key);
}

/* The next word without a key; legacy: no format word. */
static int disk_positional(struct build *b, char *word, unsigned *pos, bool legacy)
{
	unsigned at = (*pos)++;

	if (at == 1 && legacy)
		at = ++*pos - 1;
	if (!*word)
		return 0; /* an empty word keeps the default */
	if (at == 0)
		return put_str(b, "target", word);
	if (at == 1)
		return has(b, "format") ? disk_positional(b, word, pos, legacy)
					: disk_format(b, word);
	if (at == 2)
		return disk_vdev(b, word);
	if (at == 3)
		return disk_access(b, word);
	return fail(b, "too many words; '%.40s' needs a key", word);
}

/* "file:", "phy:", "tap:aio:" ... before the target.  Returns what follows. */
static char *disk_prefix(struct build *b, char *s, bool *ret_legacy, int *ret_r)
{
	static const struct {
		const char *prefix, *key, *value;
	} prefixes[] = {
		{ "file:", "format", "raw" },	 { "phy:", "backendtype", "phy" },
		{ "tap:", NULL, NULL },		 { "tap2:", NULL, NULL },
		{ "aio:", "format", "raw" },	 { "raw:", "format", "raw" },
		{ "qcow2:", "format", "qcow2" }, { "qcow:", "format", "qcow" },
		{ "vhd:", "format", "vhd" },	 { "qed:", "format", "qed" },
		{ "ioemu:", NULL, NULL },
	};
	bool again = true;

	*ret_r = 0;
	while (again && *ret_r == 0) {
		again = false;
		for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
			size_t n = strlen(prefixes[i].prefix);

			if (strncmp(s, prefixes[i].prefix, n) != 0)
				continue;
			if (prefixes[i].key)
				*ret_r = put_str(b, prefixes[i].key, prefixes[i].value);
			s += n;
			*ret_legacy = again = true;
			break;
		}
	}
	return s;
}

static int disk_parse(struct build *b, char *s)
{
	bool legacy = false;
	unsigned pos = 0;
	int r;

	s = disk_prefix(b, s, &legacy, &r);
	while (r == 0 && s) {
		char *comma, *word = s + strspn(s, " \t"), *eq;

		if (strncmp(word, "target=", 7) == 0) {
			r = put_str(b, "target", word + 7);
			break;
		}
		comma = strchr(word, ',');
		s = comma ? comma + 1 : NULL;
		if (comma)
			*comma = '\0';
		for (char *e = word + strlen(word); e > word && (e[-1] == ' ' || e[-1] == '\t');)
			*--e = '\0';
		eq = strchr(word, '=');
		r = disk_flag(b, word);
		if (r != 0) {
			r = r < 0 ? r : 0;
		} else if (eq && pos != 0) {
			*eq = '\0';
			r = disk_keyed(b, word, eq + 1);
		} else if (eq && word[strcspn(word, "/=")] == '=') {
			*eq = '\0';
			r = disk_keyed(b, word, eq + 1);
		} else {
			r = disk_positional(b, word, &pos, legacy);
		}
	}
	if (r == 0 && !has(b, "vdev"))
		r = fail(b,
			 "it names no device for the guest (vdev); try '/path/image,raw,xvda,rw'");
	return r;
}

/* ---- vif ---- */

static int vif_number(struct build *b, const char *key, const char *v, long min, long max)
{
	char *end;
	long n = strtol(v, &end, 10);

	if (!*v || *end || n < min || n > max)
		return fail(b, "%s=%.40s: not a number from %ld to %ld", key, v, min, max);
	return put(b, key, json_object_new_int64(n));
}

/* "100Mb/s", "10MB/s", "256K", "65536": bytes; decimal units, b is a bit. */
static int put_bytes(struct build *b, const char *key, const char *api, const char *v, bool per_s)
{
	static const struct {
		char unit;
		uint64_t by;
	} units[] = { { 'K', 1000 }, { 'M', 1000000 }, { 'G', 1000000000 } };
	uint64_t n = 0, by = 1;
	const char *s = v;

	for (; *s >= '0' && *s <= '9' && n < UINT64_C(1) << 50; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	for (int i = 0; i < 3 && s != v; i++)
		if (*s == units[i].unit)
			by = units[i].by;
	s += by != 1;
	if (s == v || (*s && *s != 'B' && *s != 'b') || n > INT64_MAX / 16 / by)
		return fail(b, "%s=%.40s: not an amount such as %s", key, v,
			    per_s ? "100Mb/s or 10MB/s" : "256K");
	n = *s == 'b' ? n * by / 8 : n * by;
	s += *s != '\0';
	if (strcmp(s, per_s ? "/s" : "") != 0 && *s)
		return fail(b, "%s=%.40s: not an amount such as %s", key, v,
			    per_s ? "100Mb/s or 10MB/s" : "256K");
	return put(b, api, json_object_new_int64((int64_t)n));
}

static const struct amount {
	const char *key, *api;
	bool per_s;
} vif_amounts[] = {
	{ "rx_rate", "rx_bytes_sec", true },
	{ "rx_burst", "rx_burst_bytes", false },
	{ "tx_rate", "tx_bytes_sec", true },
	{ "tx_burst", "tx_burst_bytes", false },
};

static int vif_mac(struct build *b, const char *v)
{
	bool ok = strlen(v) == 17;

	for (int i = 0; ok && i < 17; i++)
		ok = i % 3 == 2 ? v[i] == ':' : strchr("0123456789abcdefABCDEF", v[i]) != NULL;
	if (!ok)
		return fail(b, "'%.40s' is no MAC address; it looks like 00:16:3e:12:34:56", v);
	return put_str(b, "mac", v);
}

static int vif_keyed(struct build *b, const char *key, const char *v)
{
	static const char *const texts[] = { "bridge", "vifname", "script",	"ip",	"model",
					     "rate",   "backend", "gatewaydev", "vlan", "allow" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(key, texts[i]) == 0) {
			if (!*v)
				return fail(b, "%s= has no value", key);
			if (strcmp(key, "vifname") == 0 && strlen(v) > 15)
				return fail(b, "vifname '%.40s' is longer than 15 characters", v);
			return put_str(b, key, v);
		}
	for (size_t i = 0; i < sizeof(vif_amounts) / sizeof(vif_amounts[0]); i++)
		if (strcmp(key, vif_amounts[i].key) == 0)
			return put_bytes(b, key, vif_amounts[i].api, v, vif_amounts[i].per_s);
	if (strcmp(key, "mac") == 0)
		return vif_mac(b, v);
	if (strcmp(key, "devid") == 0)
		return vif_number(b, key, v, 0, 255);
	if (strcmp(key, "mtu") == 0)
		return vif_number(b, key, v, 68, 65535);
	if (strcmp(key, "type") == 0) {
		if (strcmp(v, "vif") != 0 && strcmp(v, "ioemu") != 0)
			return fail(b, "unknown type '%.40s' (vif or ioemu)", v);
		return put_str(b, "type", v);
	}
	return fail(b, "unknown vif parameter '%.40s'", key);
}

static int vif_parse(struct build *b, char *s)
{
	int r = 0;

	while (r == 0 && s) {
		char *word = s + strspn(s, " \t"), *comma = strchr(word, ','), *eq;

		s = comma ? comma + 1 : NULL;
		if (comma)
			*comma = '\0';
		for (char *e = word + strlen(word); e > word && (e[-1] == ' ' || e[-1] == '\t');)
			*--e = '\0';
		eq = strchr(word, '=');
		if (!*word)
			continue;
		if (strcmp(word, "trusted") == 0 || strcmp(word, "untrusted") == 0)
			r = put(b, "trusted", json_object_new_boolean(*word == 't'));
		else if (!eq)
			r = fail(b, "'%.40s' is not key=value", word);
		else {
			*eq = '\0';
			r = vif_keyed(b, word, eq + 1);
		}
	}
	return r;
}

static int parse(const char *spec, int (*how)(struct build *, char *), json_object **ret, char *err,
		 size_t errlen)
{
	struct build b = { json_object_new_object(), err, errlen };
	char *copy = strdup(spec);
	int r = -ENOMEM;

	if (b.obj && copy)
		r = how(&b, copy);
	else
		(void)fail(&b, "out of memory");
	free(copy);
	if (r < 0)
		json_object_put(b.obj);
	else
		*ret = b.obj;
	return r;
}

int devspec_disk(const char *spec, json_object **ret, char *err, size_t errlen)
{
	return parse(spec, disk_parse, ret, err, errlen);
}

int devspec_vif(const char *spec, json_object **ret, char *err, size_t errlen)
{
	return parse(spec, vif_parse, ret, err, errlen);
}
