/* hv/client/hvc.c - picks a provider and hands every call to it. */
#include "hv/client/hvc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemons/sys.h"
#include "hv/client/provider.h"

#define CAPABILITIES "/proc/xen/capabilities" /* "control_d" in a Xen's dom0 */

/* What hvc_open() was asked for, or what there is. */
static const char *choose(const char *spec)
{
	if (!spec)
		spec = getenv("DOMZERO_HV");
	if (spec && *spec)
		return spec;
#ifdef DZ_WITH_XEN
	char text[64] = "";
	int fd = sys_open(CAPABILITIES, O_RDONLY, 0);

	if (fd >= 0) { /* else: no Xen */
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(fd);
	}
	if (strstr(text, "control_d"))
		return "xen";
#endif
	return "bundled";
}

bool hvc_is_xen(const char *spec)
{
	return strcmp(choose(spec), "xen") == 0;
}

bool hvc_own_ring(const struct hvc *h)
{
	return h->ops->own_ring;
}

int hvc_open(const char *spec, struct hvc **ret)
{
	spec = choose(spec);
	if (strcmp(spec, "bundled") == 0)
		return bundled_open(NULL, ret);
	if (strncmp(spec, "bundled:", 8) == 0)
		return bundled_open(spec + 8, ret);
#ifdef DZ_WITH_XEN
	if (strcmp(spec, "xen") == 0)
		return xen_open(ret);
#endif
	return -ENODEV;
}

struct hvc *hvc_close(struct hvc *h)
{
	return h ? h->ops->close(h) : NULL;
}

int hvc_dominfo(struct hvc *h, uint16_t domid, struct hvc_dominfo *ret)
{
	return h->ops->dominfo(h, domid, ret);
}

int hvc_domlist(struct hvc *h, uint16_t first, struct hvc_dominfo *ret, size_t n)
{
	return h->ops->domlist(h, first, ret, n);
}

int hvc_event_fd(struct hvc *h)
{
	return h->ops->event_fd(h);
}

int hvc_event_next(struct hvc *h, struct hvc_event *ret)
{
	return h->ops->event_next(h, ret);
}

int hvc_map_page(struct hvc *h, uint16_t domid, uint64_t gfn, void **ret)
{
	return h->ops->map_page(h, domid, gfn, ret);
}

void hvc_unmap_page(struct hvc *h, void *page)
{
	if (page)
		h->ops->unmap_page(h, page);
}

int hvc_guest_open(struct hvc *h, uint16_t domid, struct hvc_guest **ret)
{
	return h->ops->guest_open(h, domid, ret);
}

struct hvc_guest *hvc_guest_close(struct hvc_guest *g)
{
	return g ? g->ops->close(g) : NULL;
}

int hvc_grant_map(struct hvc_guest *g, uint32_t ref, bool write, void **ret)
{
	return g->ops->grant_map(g, ref, write, ret);
}

void hvc_grant_unmap(struct hvc_guest *g, uint32_t ref, bool write, void *page)
{
	g->ops->grant_unmap(g, ref, write, page);
}

int hvc_port_bind(struct hvc *h, uint16_t domid, uint32_t remote_port, struct hvc_port **ret)
{
	return h->ops->port_bind(h, domid, remote_port, ret);
}

struct hvc_port *hvc_port_close(struct hvc_port *p)
{
	return p ? p->ops->close(p) : NULL;
}

struct hvc_port *hvc_port_leave(struct hvc_port *p)
{
	return p ? p->ops->leave(p) : NULL;
}

int hvc_port_fd(const struct hvc_port *p)
{
	return p->ops->fd(p);
}

void hvc_port_ack(struct hvc_port *p)
{
	p->ops->ack(p);
}

void hvc_port_notify(struct hvc_port *p)
{
	p->ops->notify(p);
}
