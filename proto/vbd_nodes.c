/* proto/vbd_nodes.c - "name=value,name=value", both ways. */
#include "proto/vbd_nodes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_ 40 /* the longest is 27 */

static const char *const kinds[] = {
#define X(id, name) [VBD_##id] = #name,
	VBD_LIMIT_LIST(X)
#undef X
};

static const struct {
	const char *name;
	size_t at;
} stats[] = {
#define X(name) { #name, offsetof(struct vbd_stats, name) },
	VBD_STAT_LIST(X)
#undef X
};

struct pair {
	char name[NAME_MAX_], val[VBD_GROUP_MAX];
};

struct errbuf {
	char *text;
	size_t len;
};

const char *vbd_limit_name(enum vbd_limit_kind k)
{
	return kinds[k];
}

/* 1 and the next pair, 0 at the end, -EINVAL. */
static int next_pair(const char **s, struct pair *ret)
{
	const char *eq;
	size_t name, val;

	*s += strspn(*s, ", \t\n");
	if (!**s)
		return 0;
	eq = *s + strcspn(*s, "=, \t\n");
	name = (size_t)(eq - *s);
	if (*eq != '=' || name == 0 || name >= sizeof(ret->name))
		return -EINVAL;
	val = strcspn(eq + 1, "=, \t\n");
	if (val == 0 || val >= sizeof(ret->val) || eq[1 + val] == '=')
		return -EINVAL;
	*ret = (struct pair){ 0 };
	memcpy(ret->name, *s, name);
	memcpy(ret->val, eq + 1, val);
	*s = eq + 1 + val;
	return 1;
}

static int number(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || n > (max - (uint64_t)(*s - '0')) / 10)
			return -EINVAL;
		n = n * 10 + (uint64_t)(*s - '0');
	}
	*ret = n;
	return 0;
}

static int bad(struct errbuf *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(struct errbuf *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (e->text)
		vsnprintf(e->text, e->len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* ---- limits ---- */

static bool group_ok(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
	       strlen(s);
}

/* seen: a bit for each name, three for a kind. */
static int set_limit(struct vbd_limits *l, const struct pair *p, uint32_t *seen, struct errbuf *e)
{
	static const char *const suffixes[] = { "", "_max", "_max_length" };
	uint64_t n = 0;

	for (unsigned i = 0; i < VBD_LIMIT_KINDS * 3u; i++) {
		struct vbd_limit *to = &l->of[i / 3];
		uint64_t top = i % 3 == 2 ? VBD_LIMIT_LENGTH_MAX : VBD_LIMIT_MAX;
		size_t len = strlen(kinds[i / 3]);

		if (strncmp(p->name, kinds[i / 3], len) != 0 ||
		    strcmp(p->name + len, suffixes[i % 3]) != 0)
			continue;
		if (*seen & 1u << i)
			return bad(e, "%s is given twice", p->name);
		*seen |= 1u << i;
		if (number(p->val, top, &n) < 0)
			return bad(e, "%s=%s: not a number from 0 to %" PRIu64, p->name, p->val,
				   top);
		if (i % 3 == 2)
			to->max_length = n;
		else
			*(i % 3 ? &to->max : &to->rate) = n;
		return 0;
	}
	return bad(e, "%s is not the name of a limit", p->name);
}

static int set_other(struct vbd_limits *l, const struct pair *p, uint32_t *seen, struct errbuf *e)
{
	bool group = strcmp(p->name, "group_name") == 0;
	uint32_t bit = group ? 1u << 30 : 1u << 31;

	if (!group && strcmp(p->name, "size_iops_sec") != 0)
		return set_limit(l, p, seen, e);
	if (*seen & bit)
		return bad(e, "%s is given twice", p->name);
	*seen |= bit;
	if (group && !group_ok(p->val))
		return bad(e, "group_name=%s: letters, digits, '.', '_' and '-' only", p->val);
	if (group)
		memcpy(l->group, p->val, sizeof(l->group));
	else if (number(p->val, VBD_LIMIT_MAX, &l->size_iops) < 0)
		return bad(e, "size_iops_sec=%s: not a number", p->val);
	return 0;
}

int vbd_limits_parse(const char *s, struct vbd_limits *ret, char *err, size_t errlen)
{
	struct errbuf e = { err, errlen };
	struct vbd_limits l = { 0 };
	uint32_t seen = 0;
	struct pair p;
	int r;

	while ((r = next_pair(&s, &p)) > 0) {
		r = set_other(&l, &p, &seen, &e);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return bad(&e, "not name=value: %.40s", s);
	for (unsigned k = 0; k < VBD_LIMIT_KINDS; k++) {
		struct vbd_limit *o = &l.of[k];

		if ((o->max && o->max < o->rate) || (!o->rate && o->max))
			return bad(&e, "%s_max needs %s, and not to be below it", kinds[k],
				   kinds[k]);
		if (o->max_length && !o->max)
			return bad(&e, "%s_max_length needs %s_max", kinds[k], kinds[k]);
		if (o->max && !o->max_length)
			o->max_length = 1;
	}
	*ret = l;
	return 0;
}

static size_t put(char *buf, size_t at, size_t size, const char *name, const char *suffix,
		  uint64_t v)
{
	int n = snprintf(buf + at, size - at, "%s%s%s=%" PRIu64, at ? "," : "", name, suffix, v);

	return at + (size_t)n;
}

char *vbd_limits_format(const struct vbd_limits *l, char buf[VBD_LIMITS_TEXT])
{
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned k = 0; k < VBD_LIMIT_KINDS; k++) {
		const struct vbd_limit *o = &l->of[k];

		if (o->rate)
			at = put(buf, at, VBD_LIMITS_TEXT, kinds[k], "", o->rate);
		if (o->rate && o->max) {
			at = put(buf, at, VBD_LIMITS_TEXT, kinds[k], "_max", o->max);
			at = put(buf, at, VBD_LIMITS_TEXT, kinds[k], "_max_length", o->max_length);
		}
	}
	if (l->size_iops)
		at = put(buf, at, VBD_LIMITS_TEXT, "size_iops_sec", "", l->size_iops);
	if (l->group[0])
		snprintf(buf + at, VBD_LIMITS_TEXT - at, "%sgroup_name=%.*s", at ? "," : "",
			 VBD_GROUP_MAX - 1, l->group);
	return buf;
}

/* ---- counters ---- */

int vbd_stats_parse(const char *s, struct vbd_stats *ret)
{
	struct vbd_stats st = { 0 };
	struct pair p;
	uint64_t n;
	int r;

	while ((r = next_pair(&s, &p)) > 0) {
		if (number(p.val, UINT64_MAX, &n) < 0)
			return -EINVAL;
		for (size_t i = 0; i < sizeof(stats) / sizeof(stats[0]); i++)
			if (strcmp(p.name, stats[i].name) == 0)
				memcpy((char *)&st + stats[i].at, &n, sizeof(n));
	}
	if (r == 0)
		*ret = st;
	return r;
}

char *vbd_stats_format(const struct vbd_stats *st, char buf[VBD_STATS_TEXT])
{
	size_t at = 0;
	uint64_t n;

	for (size_t i = 0; i < sizeof(stats) / sizeof(stats[0]); i++) {
		memcpy(&n, (const char *)st + stats[i].at, sizeof(n));
		at = put(buf, at, VBD_STATS_TEXT, stats[i].name, "", n);
	}
	return buf;
}
