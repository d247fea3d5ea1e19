/* backends/devnode.c - reading and writing the nodes of one device. */
#include "backends/devnode.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TXN_TRIES 64

void devnode_init(struct devnode *d, struct xs_sync *xs, const char *kind, uint16_t domid,
		  uint32_t devid)
{
	*d = (struct devnode){ .xs = xs, .devid = devid };
	snprintf(d->back, sizeof(d->back), "/local/domain/0/backend/%s/%u/%u", kind, domid, devid);
	snprintf(d->front, sizeof(d->front), "/local/domain/%u/device/%s/%u", domid, kind, devid);
}

char *devnode_read(struct devnode *d, const char *dir, const char *name)
{
	char path[128], *val = NULL;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	r = xs_sync_read(d->xs, 0, path, &val);
	if (r < 0 && r != -ENOENT)
		d->blind = true;
	return r == 0 ? val : NULL;
}

enum xb_state devnode_state(struct devnode *d, const char *dir)
{
	char *s = devnode_read(d, dir, "state");
	enum xb_state st = xb_state_parse(s);

	free(s);
	return st;
}

bool devnode_online(struct devnode *d)
{
	char *s = devnode_read(d, d->back, "online");
	bool on = s && strcmp(s, "1") == 0;

	free(s);
	return on;
}

int devnode_u32(struct devnode *d, const char *name, uint32_t *ret)
{
	char *s = devnode_read(d, d->front, name), *end;
	unsigned long long n;
	int r = -ENOENT;

	if (s) {
		n = strtoull(s, &end, 10);
		r = s[0] >= '0' && s[0] <= '9' && !*end && n <= UINT32_MAX ? 0 : -EINVAL;
		if (r == 0)
			*ret = (uint32_t)n;
	}
	free(s);
	return r;
}

struct node node(const char *name, const char *fmt, ...)
{
	struct node n = { .name = name };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(n.val, sizeof(n.val), fmt, ap);
	va_end(ap);
	return n;
}

static int write_in(struct devnode *d, uint32_t tx, const struct node *n, size_t count)
{
	char path[128], *val = NULL;
	int r;

	snprintf(path, sizeof(path), "%s/frontend", d->back);
	r = xs_sync_read(d->xs, tx, path, &val); /* the toolstack's; gone: so is all */
	free(val);
	for (size_t i = 0; r == 0 && i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", d->back, n[i].name);
		r = xs_sync_write(d->xs, tx, path, n[i].val);
	}
	return r;
}

int devnode_publish(struct devnode *d, const struct node *n, size_t count)
{
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < TXN_TRIES; i++) {
		uint32_t tx;

		r = xs_sync_txn_start(d->xs, &tx);
		if (r < 0)
			break;
		r = write_in(d, tx, n, count);
		if (r == 0)
			r = xs_sync_txn_end(d->xs, tx, true);
		else
			(void)xs_sync_txn_end(d->xs, tx, false); /* r is the news */
	}
	return r;
}
