/* xenstored/path.c - the one place where a client's path is believed. */
#include "xenstored/path.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool char_ok(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '/' || c == '_' || c == '@';
}

/* Length of "/local/domain/N/" at the start of an absolute path, else 0. */
static size_t domain_prefix(const char *s, size_t n)
{
	static const char head[] = "/local/domain/";
	size_t at = sizeof(head) - 1;

	if (n <= at || memcmp(s, head, at) != 0)
		return 0;
	while (at < n && isdigit((unsigned char)s[at]))
		at++;
	return at > sizeof(head) - 1 && at < n && s[at] == '/' ? at + 1 : 0;
}

int path_parse(const char *text, size_t n, uint16_t domid, bool specials, size_t limit,
	       struct path *ret)
{
	bool relative = n && text[0] != '/' && text[0] != '@';
	size_t head = 0, max = relative ? XS_REL_PATH_MAX : XS_ABS_PATH_MAX;

	if (n == 0 || n > max)
		return -EINVAL;
	if (text[0] == '@' && !specials)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!char_ok((unsigned char)text[i]) ||
		    (text[i] == '/' && i + 1 < n && text[i + 1] == '/'))
			return -EINVAL;
	if (n > 1 && text[n - 1] == '/')
		return -EINVAL;
	if (limit && n - domain_prefix(text, n) > limit)
		return -EINVAL;
	if (relative)
		head = (size_t)snprintf(ret->s, sizeof(ret->s), "/local/domain/%u/", domid);
	memcpy(ret->s + head, text, n);
	ret->len = head + n;
	ret->s[ret->len] = '\0';
	ret->relative = relative;
	return 0;
}
