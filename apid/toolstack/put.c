/* apid/toolstack/put.c - nodes below one folder. */
#include "apid/toolstack/put.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "apid/toolstack/xstxn.h"

void put(struct put *p, const char *perms, const char *node, const char *fmt, ...)
{
	char path[256], val[512];
	va_list ap;
	int n;

	if (p->r < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(val, sizeof(val), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(val)) {
		p->r = -ENAMETOOLONG;
		return;
	}
	snprintf(path, sizeof(path), "%s%s%s", p->base, *node ? "/" : "", node);
	p->r = xs_put(p->xs, p->tx, path, val, perms);
}

void put_base(struct put *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->base, sizeof(p->base), fmt, ap);
	va_end(ap);
}

struct perms perms_for(uint16_t domid)
{
	struct perms p;

	snprintf(p.ro, sizeof(p.ro), "n0,r%u", domid);
	snprintf(p.rw, sizeof(p.rw), "n%u", domid);
	snprintf(p.own, sizeof(p.own), "n%u,r0", domid);
	return p;
}
