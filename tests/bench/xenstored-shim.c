/* tests/bench/xenstored-shim.c - lets Debian's xenstored and oxenstored run as
 * peers on plain Linux: preloaded, it stands in for the Xen libraries they use.
 * There are no domains but 0, no event ever comes, and domain 0's own ring is a
 * file of zeros in $XS_SHIM_DIR (dom0.ring; xsd_port holds "2"), found in place
 * of /proc/xen/xsd_*. */
#undef _FILE_OFFSET_BITS /* open and open64 are two functions here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <xenctrl.h>

static char handle; /* what every "open" returns the address of */

static const char *in_dir(char buf[128], const char *name)
{
	const char *dir = getenv("XS_SHIM_DIR");

	snprintf(buf, 128, "%s/%s", dir ? dir : ".", name);
	return buf;
}

/* ---- event channels: one that never fires ---- */

static int never_fd = -1;

void *xenevtchn_open(void *logger, unsigned flags)
{
	if (never_fd < 0)
		never_fd = eventfd(0, EFD_NONBLOCK);
	return &handle;
}
void *xenevtchn_fdopen(void *logger, int fd, unsigned flags)
{
	never_fd = fd;
	return &handle;
}
int xenevtchn_close(void *h)
{
	return 0;
}
int xenevtchn_fd(void *h)
{
	xenevtchn_open(NULL, 0);
	return never_fd;
}
int xenevtchn_bind_virq(void *h, unsigned virq)
{
	return 1;
}
int xenevtchn_bind_interdomain(void *h, uint32_t domid, uint32_t port)
{
	return 1000 + (int)domid;
}
int xenevtchn_unbind(void *h, uint32_t port)
{
	return 0;
}
int xenevtchn_unmask(void *h, uint32_t port)
{
	return 0;
}
int xenevtchn_pending(void *h)
{
	return -1;
}
int xenevtchn_notify(void *h, uint32_t port)
{
	return 0;
}

/* ---- memory: domain 0's ring is a file ---- */

static void *map_ring(uint32_t domid)
{
	char path[128];
	int fd = domid ? -1 : open(in_dir(path, "dom0.ring"), O_RDWR);
	void *p;

	if (fd < 0) {
		errno = ENOENT;
		return NULL;
	}
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

void *xengnttab_open(void *logger, unsigned flags)
{
	return &handle;
}
int xengnttab_close(void *h)
{
	return 0;
}
int xengnttab_set_max_grants(void *h, uint32_t n)
{
	return 0;
}
void *xengnttab_map_grant_ref(void *h, uint32_t domid, uint32_t ref, int prot)
{
	return map_ring(domid);
}
int xengnttab_unmap(void *h, void *p, uint32_t n)
{
	return munmap(p, 4096);
}
void *xc_map_foreign_range(xc_interface *x, uint32_t domid, int size, int prot, unsigned long mfn)
{
	return map_ring(domid);
}

/* ---- domains: only 0 ---- */

xc_interface *xc_interface_open(xentoollog_logger *a, xentoollog_logger *b, unsigned flags)
{
	return (xc_interface *)(void *)&handle;
}
int xc_interface_close(xc_interface *x)
{
	return 0;
}
int xc_domain_getinfo(xc_interface *x, uint32_t first, unsigned max, xc_dominfo_t *info)
{
	if (first)
		return 0;
	memset(info, 0, sizeof(*info));
	info->running = 1;
	return 1;
}
int xc_domain_getinfolist(xc_interface *x, uint32_t first, unsigned max, xc_domaininfo_t *info)
{
	if (first)
		return 0;
	memset(info, 0, sizeof(*info));
	return 1;
}
const xc_error *xc_get_last_error(xc_interface *x)
{
	static const xc_error e = { .code = XC_INTERNAL_ERROR, .message = "no hypervisor" };

	return &e;
}
const char *xc_error_code_to_desc(int code)
{
	return "no hypervisor";
}

/* ---- libc: where the daemon looks for its ring, and limits it may not set ---- */

static int real_open(const char *path, int flags, mode_t mode)
{
	static int (*next)(const char *, int, ...);
	char buf[128];

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "open");
	if (path && strcmp(path, "/proc/xen/xsd_kva") == 0)
		path = in_dir(buf, "dom0.ring");
	else if (path && strcmp(path, "/proc/xen/xsd_port") == 0)
		path = in_dir(buf, "xsd_port");
	return next(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return real_open(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return real_open(path, flags, mode);
}

int setrlimit(__rlimit_resource_t what, const struct rlimit *rl)
{
	return 0;
}
