/* backends/relay.c - the list of a guest's relays, and which nodes are its. */
#include "backends/relay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/xs_wire.h"

int relay_link(struct relay_host *h, struct relay *r, unsigned sort, void (*fn)(struct relay *))
{
	unsigned count = 0;

	for (const struct relay *o = h->first; o; o = o->next)
		count += o->sort == sort;
	if (count >= RELAYS_MAX)
		return -EBUSY;
	r->host = h;
	r->sort = sort;
	r->free = fn;
	r->next = h->first;
	h->first = r;
	return 0;
}

void relay_unlink(struct relay *r)
{
	struct relay **at = &r->host->first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
}

void relay_free_all(struct relay_host *h)
{
	while (h->first)
		h->first->free(h->first);
}

/* ---- paths ---- */

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '@' || c == ':' || c == '+';
}

/* An absolute path of plain names: no empty one, so no "//" and no "/" at the
 * end, and no dots, so no ".." whatever the store makes of it. */
static bool is_plain(const char *path, size_t n)
{
	if (n < 2 || n > XS_ABS_PATH_MAX || path[0] != '/')
		return false;
	for (size_t i = 1; i < n; i++)
		if (path[i] == '/' ? path[i - 1] == '/' : !is_name_char(path[i]))
			return false;
	return path[n - 1] != '/';
}

/* What follows "dir/" in path, "" for dir itself, or NULL. */
static const char *below(const char *dir, const char *path, size_t n)
{
	size_t d = strlen(dir);

	if (n < d || memcmp(path, dir, d) != 0)
		return NULL;
	if (n == d)
		return path + n;
	return path[d] == '/' ? path + d + 1 : NULL; /* "5" is not the beginning of "55" */
}

static void back_folder(const struct relay_host *h, char buf[64])
{
	snprintf(buf, 64, "/local/domain/0/backend/%.16s/%u", h->kind, h->domid);
}

bool relay_may_read(const struct relay_host *h, const char *path, size_t n)
{
	char back[64], front[64];

	back_folder(h, back);
	snprintf(front, sizeof(front), "/local/domain/%u/device/%.16s", h->domid, h->kind);
	return is_plain(path, n) && (below(back, path, n) || below(front, path, n));
}

/* The devid that text starts with; *ret_used: its digits.  One way to write it. */
static bool get_devid(const char *text, size_t n, uint32_t *ret, size_t *ret_used)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < n && i < 10 && text[i] >= '0' && text[i] <= '9'; i++)
		v = v * 10 + (uint64_t)(text[i] - '0');
	if (i == 0 || v > UINT32_MAX || (i > 1 && text[0] == '0'))
		return false;
	*ret = (uint32_t)v;
	*ret_used = i;
	return true;
}

bool relay_may_write(const struct relay_host *h, const char *path, size_t n)
{
	const char *rest, *end = path + n;
	char back[64];
	uint32_t devid;
	size_t used;

	back_folder(h, back);
	rest = is_plain(path, n) ? below(back, path, n) : NULL;
	if (!rest || !get_devid(rest, (size_t)(end - rest), &devid, &used))
		return false;
	rest += used;
	if (rest == end || *rest++ != '/')
		return false;
	for (const char *const *w = h->writes; *w; w++)
		if (strlen(*w) == (size_t)(end - rest) && memcmp(*w, rest, strlen(*w)) == 0)
			return h->has_device(h->arg, devid);
	return false;
}
