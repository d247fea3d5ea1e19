/* apid/toolstack/ts.c - building and ending guests. */
#include "apid/toolstack/ts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apid/toolstack/vdev.h"
#include "apid/toolstack/xstxn.h"
#include "daemons/clock.h"
#include "daemons/fdpass.h"
#include "daemons/listen.h"
#include "daemons/paths.h"
#include "daemons/sys.h"

#define PAGES_PER_MIB 256u
#define TARGET_MAX    500 /* bytes of a disk's path */
#define DISKS_MAX     128 /* the schema's */
#define DEV_WAIT_S    20  /* longer than the backend waits for an image's lock */

int ts_init(struct ts *t)
{
	*t = (struct ts){ 0 };
	return hvc_open(NULL, &t->h);
}

void ts_fini(struct ts *t)
{
	t->h = hvc_close(t->h);
	t->xs = xs_sync_close(t->xs);
}

int ts_xs(struct ts *t, struct problem *p)
{
	char *val = NULL;
	int r = -ENOTCONN;

	/* The first request on a connection whose server was restarted fails and
	 * the second one connects anew. */
	for (int i = 0; i < 2 && r < 0; i++) {
		r = t->xs ? 0 : xs_sync_open(NULL, &t->xs);
		if (r < 0)
			break;
		r = xs_sync_read(t->xs, 0, "/tool", &val);
		free(val);
		val = NULL;
		if (r == -ENOENT || r == -EACCES)
			r = 0;
	}
	if (r < 0)
		(void)problem_set(p, PROB_XENSTORE_DOWN, "XenStore: %s; is xenstored running?",
				  strerror(-r));
	return r;
}

/* FIFOs and devices would block or never end: only plain files are taken. */
static int open_image(const char *what, const char *path, int *ret, struct problem *p)
{
	struct stat st;
	int fd = sys_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0), r = 0;

	if (fd < 0) {
		r = fd;
		if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
			(void)problem_errno(p, r, path);
		else
			(void)problem_set(p, PROB_BAD_KERNEL, "%s %.300s can't be read: %s%s", what,
					  path, strerror(-r),
					  r == -EACCES ? "; apid's own user must be able to" : "");
	} else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		r = problem_set(p, PROB_BAD_KERNEL, "%s %.300s is not a file", what, path);
	} else if (st.st_size == 0) {
		r = problem_set(p, PROB_BAD_KERNEL, "%s %.300s is empty", what, path);
	}
	if (r < 0) {
		snprintf(p->pointer, sizeof(p->pointer), "/%s", what);
		if (fd >= 0)
			close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

static int open_images(const struct guestcfg *g, int *ret_kernel, int *ret_ramdisk,
		       struct problem *p)
{
	int kernel = -1, ramdisk = -1;
	int r = open_image("kernel", g->kernel, &kernel, p);

	if (r == 0 && g->ramdisk)
		r = open_image("ramdisk", g->ramdisk, &ramdisk, p);
	if (r < 0) {
		fdpass_close(&kernel, 1);
		return r;
	}
	*ret_kernel = kernel;
	*ret_ramdisk = ramdisk;
	return 0;
}

/* Somebody answers at the door of a kind of backend. */
static bool has_backend(char *(*door)(char buf[108]))
{
	char path[108];
	int fd = door(path) ? connect_unix(path, SOCK_STREAM) : -ENAMETOOLONG;

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int dev_problem(struct problem *p, enum problem_code code, const char *list, unsigned i,
		       const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static int dev_problem(struct problem *p, enum problem_code code, const char *list, unsigned i,
		       const char *fmt, ...)
{
	va_list ap;

	*p = (struct problem){ .code = code };
	va_start(ap, fmt);
	vsnprintf(p->detail, sizeof(p->detail), fmt, ap);
	va_end(ap);
	snprintf(p->pointer, sizeof(p->pointer), "/%s/%u", list, i);
	return -EINVAL;
}

/* Every disk is one that the block backend can serve. */
static int check_disks(const struct guestcfg *g, struct problem *p)
{
	uint32_t a, b;

	for (unsigned i = 0; i < g->ndisks; i++) {
		const struct guest_disk *d = &g->disks[i];

		if (!d->raw || d->elsewhere)
			return dev_problem(p, PROB_NO_BACKEND, "disks", i,
					   "disk %s: there is a backend for raw images and block "
					   "devices of this host only; set ignore_devices to "
					   "start without disks",
					   d->vdev);
		if (vdev_number(d->vdev, &a) < 0)
			return dev_problem(p, PROB_INVALID_CONFIG, "disks", i,
					   "'%s' is no device name; try xvda", d->vdev);
		if (!d->target || d->target[0] != '/' || strlen(d->target) > TARGET_MAX)
			return dev_problem(p, PROB_INVALID_CONFIG, "disks", i,
					   "disk %s: the target must be an absolute path of at "
					   "most %d bytes",
					   d->vdev, TARGET_MAX);
		for (unsigned k = 0; k < i; k++)
			if (vdev_number(g->disks[k].vdev, &b) == 0 && a == b)
				return dev_problem(p, PROB_INVALID_CONFIG, "disks", i,
						   "two disks are named %s", d->vdev);
	}
	return 0;
}

static int check_vifs(const struct guestcfg *g, struct problem *p)
{
	for (unsigned i = 0; i < g->nvifs; i++)
		if (g->vifs[i].elsewhere)
			return dev_problem(p, PROB_NO_BACKEND, "vifs", i,
					   "vif %s: the backend must be this host (leave out "
					   "backend=)",
					   g->vifs[i].mac);
	return 0;
}

static int check_backends(const struct guestcfg *g, struct problem *p)
{
	const char *missing = g->ndisks && !has_backend(path_blkd_sock)	 ? "blkd"
			      : g->nvifs && !has_backend(path_netd_sock) ? "netd"
									 : NULL;

	if (!missing)
		return 0;
	(void)problem_set(p, PROB_NO_BACKEND,
			  "the guest has %u disk(s) and %u vif(s), and %s, which serves them, does "
			  "not answer; start it, or set ignore_devices to start the guest without",
			  g->ndisks, g->nvifs, missing);
	snprintf(p->pointer, sizeof(p->pointer), "%s", *missing == 'b' ? "/disks" : "/vifs");
	return -EINVAL;
}

int ts_check_devices(const struct guestcfg *g, struct problem *p)
{
	int r = check_backends(g, p);

	if (r == 0)
		r = check_disks(g, p);
	return r == 0 ? check_vifs(g, p) : r;
}

int ts_check(const struct guestcfg *g, struct problem *p)
{
	int fds[2] = { -1, -1 };
	int r = 0;

	if (!g->ignore_devices)
		r = ts_check_devices(g, p);
	if (r == 0)
		r = open_images(g, &fds[0], &fds[1], p);
	fdpass_close(fds, 2);
	return r;
}

static int check_memory(struct ts *t, const struct guestcfg *g, struct problem *p)
{
	struct hvc_hostinfo hi;
	int r = hvc_hostinfo(t->h, &hi);

	if (r < 0)
		return problem_errno(p, r, "hypervisor"), r;
	if (g->memory_mib <= hi.free_kib / 1024)
		return 0;
	(void)problem_set(
		p, PROB_OUT_OF_MEMORY,
		"the guest wants %llu MiB and the host has %llu MiB free; stop a guest or "
		"give less memory",
		(unsigned long long)g->memory_mib, (unsigned long long)(hi.free_kib / 1024));
	snprintf(p->pointer, sizeof(p->pointer), "/memory_mib");
	return -ENOMEM;
}

static int build_problem(struct problem *p, int r, const char *err)
{
	if (r == -ENOMEM)
		(void)problem_set(p, PROB_OUT_OF_MEMORY, "%s", err[0] ? err : "not enough memory");
	else if (r == -EINVAL || r == -ENOEXEC || r == -EBADMSG || r == -EFBIG || r == -E2BIG)
		(void)problem_set(p, PROB_BAD_KERNEL, "%s",
				  err[0] ? err : "the kernel can't be loaded");
	else if (r == -ENOTCONN)
		(void)problem_errno(p, r, "hypervisor");
	else
		(void)problem_set(p, PROB_INTERNAL, "can't build the guest: %s",
				  err[0] ? err : strerror(-r));
	return r;
}

int ts_build(struct ts *t, const struct guestcfg *g, struct ts_guest *ret, struct problem *p)
{
	struct hvc_create c = { .mem_pages = g->memory_mib * PAGES_PER_MIB,
				.max_pages = g->maxmem_mib * PAGES_PER_MIB,
				.vcpus = g->vcpus,
				.max_vcpus = g->maxvcpus,
				.name = g->name,
				.engine = g->engine,
				.cmdline = g->cmdline ? g->cmdline : "",
				.kernel_fd = -1,
				.ramdisk_fd = -1 };
	struct hvc_dominfo info;
	struct ts_guest b = { 0 };
	char err[256] = "";
	int r = check_memory(t, g, p);

	if (r == 0)
		r = open_images(g, &c.kernel_fd, &c.ramdisk_fd, p);
	if (r < 0)
		goto out;
	r = uuid_bytes(g->uuid, c.uuid);
	if (r == 0)
		r = hvc_create(t->h, &c, &b.pages, err, sizeof(err));
	if (r < 0) {
		r = build_problem(p, r, err);
		goto out;
	}
	b.domid = b.pages.domid;
	r = hvc_dominfo(t->h, b.domid, &info);
	if (r < 0) {
		(void)hvc_destroy(t->h, b.domid); /* as far as it can be reached */
		(void)problem_errno(p, r, "hypervisor");
		goto out;
	}
	b.created_ns = info.created_ns;
	*ret = b;
out:
	fdpass_close(&c.kernel_fd, 1);
	fdpass_close(&c.ramdisk_fd, 1);
	return r;
}

int ts_wait_device(struct ts *t, uint16_t domid, const struct device *d, struct problem *p)
{
	uint64_t end = clock_mono_ns() + DEV_WAIT_S * 1000000000ull;
	char *why = NULL;
	int r = 0;

	while (r == 0 && clock_mono_ns() < end) {
		r = device_ready(t->xs, domid, device_class(d), d->devid, &why);
		if (r == 0)
			usleep(5000);
	}
	if (r > 0)
		return 0;
	(void)problem_set(p, xs_is_down(r) ? PROB_XENSTORE_DOWN : PROB_NO_BACKEND, "%s %s: %.400s",
			  d->disk ? "disk" : "vif", device_name(d),
			  why	    ? why
			  : r < 0   ? strerror(-r)
			  : d->disk ? "the block backend does not answer; see blkd's log"
				    : "the network backend does not answer; see netd's log");
	free(why);
	return r < 0 ? r : -ETIMEDOUT;
}

/* Every backend has its device open, or says why it can't. */
static int wait_devices(struct ts *t, const struct layout *l, struct problem *p)
{
	unsigned i = 0, disks = 0;
	int r = 0;

	for (; r == 0 && i < l->ndevs; i++) {
		const struct device *d = &l->devs[i];

		r = ts_wait_device(t, l->domid, d, p);
		if (r < 0 && p->code == PROB_NO_BACKEND)
			snprintf(p->pointer, sizeof(p->pointer), "/%s/%u",
				 d->disk ? "disks" : "vifs", d->disk ? i : i - disks);
		disks += d->disk != NULL;
	}
	return r;
}

int ts_publish(struct ts *t, const struct guestcfg *g, const struct ts_guest *b, struct problem *p)
{
	struct layout l = { .domid = b->domid,
			    .uuid = g->uuid,
			    .name = g->name,
			    .vcpus = g->vcpus,
			    .max_vcpus = g->maxvcpus,
			    .static_max_kib = g->maxmem_mib * 1024,
			    .target_kib = g->memory_mib * 1024,
			    .store_gfn = b->pages.store_gfn,
			    .console_gfn = b->pages.console_gfn,
			    .store_port = b->pages.store_port,
			    .console_port = b->pages.console_port,
			    .start_ms = now_ms() };
	struct device devs[DISKS_MAX + VIFS_MAX];
	int r = ts_xs(t, p);

	l.devs = devs;
	for (unsigned i = 0; r == 0 && !g->ignore_devices && i < g->ndisks && i < DISKS_MAX; i++) {
		devs[l.ndevs] = (struct device){ .disk = &g->disks[i] };
		r = vdev_number(g->disks[i].vdev, &devs[l.ndevs++].devid);
	}
	for (unsigned i = 0; r == 0 && !g->ignore_devices && i < g->nvifs && i < VIFS_MAX; i++)
		devs[l.ndevs++] = (struct device){ .devid = g->vifs[i].devid, .vif = &g->vifs[i] };
	if (r < 0)
		return r;
	r = layout_add(t->xs, &l);
	if (r == 0)
		return wait_devices(t, &l, p);
	if (r < 0)
		(void)problem_set(p, xs_is_down(r) ? PROB_XENSTORE_DOWN : PROB_INTERNAL,
				  "can't write the guest's XenStore nodes: %s", strerror(-r));
	return r;
}

int ts_destroy(struct ts *t, uint16_t domid, const char *uuid, bool crashed, bool *ret_nodes_left,
	       struct problem *p)
{
	struct problem ignored;
	int r = hvc_destroy(t->h, domid);

	if (r < 0 && r != -ESRCH) {
		(void)problem_errno(p, r, "hypervisor");
		return r;
	}
	r = ts_xs(t, &ignored);
	if (r == 0)
		r = layout_remove(t->xs, domid, uuid, crashed);
	*ret_nodes_left = r < 0;
	return 0;
}
