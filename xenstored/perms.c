/* xenstored/perms.c - permission letters and lists. */
#include "xenstored/perms.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char letters[] = "nrwb"; /* by bits */

static bool is_me(uint16_t domid, const struct who *w)
{
	return domid == w->domid || (w->target != XS_DOMID_NONE && domid == w->target);
}

bool perms_owns(const struct perms *p, const struct who *w)
{
	return w->privileged || is_me(p->p[0].domid, w);
}

unsigned perms_for(const struct perms *p, const struct who *w)
{
	if (perms_owns(p, w))
		return PERM_READ | PERM_WRITE;
	for (uint32_t i = 1; i < p->n; i++)
		if (!(p->p[i].bits & PERM_IGNORE) &&
		    (is_me(p->p[i].domid, w) || p->p[i].domid == XS_DOMID_ANY))
			return p->p[i].bits & (PERM_READ | PERM_WRITE);
	return p->p[0].bits & (PERM_READ | PERM_WRITE);
}

static int parse_one(const char *s, size_t n, struct perm *ret)
{
	const char *l = n ? memchr(letters, s[0], 4) : NULL;
	unsigned domid = 0;

	if (!l || n < 2 || n > 6)
		return -EINVAL;
	for (size_t i = 1; i < n; i++) {
		if (!isdigit((unsigned char)s[i]))
			return -EINVAL;
		domid = domid * 10 + (unsigned)(s[i] - '0');
	}
	if (domid > 0xffff)
		return -EINVAL;
	*ret = (struct perm){ .domid = (uint16_t)domid, .bits = (uint8_t)(l - letters) };
	return 0;
}

int perms_parse(const char *text, size_t n, struct perm *ret, size_t max)
{
	size_t count = 0;

	while (n) {
		const char *end = memchr(text, '\0', n);
		size_t k = end ? (size_t)(end - text) : 0;
		int r;

		if (!end || count == max)
			return -EINVAL;
		r = parse_one(text, k, &ret[count]);
		if (r < 0)
			return r;
		count++;
		text += k + 1;
		n -= k + 1;
	}
	return count ? (int)count : -EINVAL;
}

int perms_format(const struct perm *p, size_t count, char *buf, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		int k = snprintf(buf + at, n - at, "%c%u", letters[p[i].bits & 3], p[i].domid);

		if (k < 0 || (size_t)k >= n - at)
			return -E2BIG;
		at += (size_t)k + 1;
	}
	return (int)at;
}
