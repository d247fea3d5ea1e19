/* tests/bench/xenconsoled-shim.c - enough of a hypervisor for Debian's
 * xenconsoled (LD_PRELOAD), so that it can be measured without one.
 *
 * $XS_CON_DIR holds dom<N>.con, the console page of guest N as a file.  Each
 * event channel handle is a datagram socket: binding guest N's port binds
 * dom<N>.kick, and a datagram there is an event.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

/* The library's handles are opaque: these are ours. */
struct xenevtchn_handle {
	int fd;
	uint32_t dom;
};

#define PORT_BASE 1000 /* local port of guest N is PORT_BASE + N; 1 is the VIRQ */

static void in_dir(char *out, size_t n, const char *what, uint32_t dom)
{
	const char *dir = getenv("XS_CON_DIR");

	snprintf(out, n, "%s/dom%u.%s", dir ? dir : ".", dom, what);
}

/* ---- event channels ---- */

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *l, unsigned int flags)
{
	struct xenevtchn_handle *h = calloc(1, sizeof(*h));

	if (h)
		h->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	return h;
}

int xenevtchn_close(xenevtchn_handle *h)
{
	close(h->fd);
	free(h);
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *h)
{
	return h->fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *h, unsigned int virq)
{
	return 1; /* no domain ever dies here */
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t dom,
						     evtchn_port_t port)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	h->dom = dom;
	in_dir(a.sun_path, sizeof(a.sun_path), "kick", dom);
	(void)unlink(a.sun_path);
	if (bind(h->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -1;
	return (int)(PORT_BASE + dom);
}

int xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port)
{
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h)
{
	char b[8];

	if (recv(h->fd, b, sizeof(b), 0) < 0)
		return -1;
	while (recv(h->fd, b, sizeof(b), MSG_DONTWAIT) > 0)
		;
	return h->dom ? (int)(PORT_BASE + h->dom) : 1;
}

int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
	return 0; /* the fake guests look at the ring themselves */
}

/* ---- memory ---- */

xengnttab_handle *xengnttab_open(struct xentoollog_logger *l, unsigned int flags)
{
	return calloc(1, 1);
}

int xengnttab_close(xengnttab_handle *h)
{
	free(h);
	return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *h, uint32_t dom, uint32_t ref, int prot)
{
	char path[128];
	void *p;
	int fd;

	in_dir(path, sizeof(path), "con", dom);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

int xengnttab_unmap(xengnttab_handle *h, void *at, uint32_t pages)
{
	return munmap(at, 4096);
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *l, unsigned int flags)
{
	return calloc(1, 1);
}

int xenforeignmemory_close(xenforeignmemory_handle *h)
{
	free(h);
	return 0;
}

void *xenforeignmemory_map(xenforeignmemory_handle *h, uint32_t dom, int prot, size_t pages,
			   const xen_pfn_t arr[], int err[])
{
	return xengnttab_map_grant_ref(NULL, dom, 0, prot);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *h, void *at, size_t pages)
{
	return munmap(at, 4096);
}

/* ---- domains ---- */

xc_interface *xc_interface_open(xentoollog_logger *l, xentoollog_logger *dombuild_l,
				unsigned open_flags)
{
	return calloc(1, 1);
}

int xc_interface_close(xc_interface *x)
{
	free(x);
	return 0;
}

int xc_evtchn_status(xc_interface *x, xc_evtchn_status_t *st)
{
	st->status = EVTCHNSTAT_interdomain;
	return 0;
}

int xc_domain_getinfo(xc_interface *x, uint32_t first, unsigned int max, xc_dominfo_t *info)
{
	char path[128];
	struct stat sb;

	for (uint32_t dom = first; dom < first + 64; dom++) {
		in_dir(path, sizeof(path), "con", dom);
		if (stat(path, &sb) == 0) {
			*info = (xc_dominfo_t){ .domid = dom, .running = 1 };
			return 1;
		}
	}
	return 0;
}

int xc_readconsolering(xc_interface *x, char *buf, unsigned int *n, int clear, int incremental,
		       uint32_t *index)
{
	*n = 0;
	return 0;
}

/* It wants more descriptors than a container may grant, and ends if refused. */
int setrlimit(__rlimit_resource_t what, const struct rlimit *l)
{
	return 0;
}
