/* apid/toolstack/ts.c - building and ending guests. */
#include "apid/toolstack/ts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apid/toolstack/xstxn.h"
#include "daemons/fdpass.h"
#include "daemons/sys.h"

#define PAGES_PER_MIB 256u

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

int ts_check(const struct guestcfg *g, struct problem *p)
{
	int fds[2] = { -1, -1 };
	int r;

	if ((g->ndisks || g->nvifs) && !g->ignore_devices) {
		(void)problem_set(
			p, PROB_NO_BACKEND,
			"the guest has %u disk(s) and %u vif(s), and there is no backend for "
			"them yet; set ignore_devices to start it without them",
			g->ndisks, g->nvifs);
		snprintf(p->pointer, sizeof(p->pointer), "%s", g->ndisks ? "/disks" : "/vifs");
		return -EINVAL;
	}
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
	int r = ts_xs(t, p);

	if (r < 0)
		return r;
	r = layout_add(t->xs, &l);
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
