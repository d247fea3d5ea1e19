/* hv/broker/state.c - what hvd must know after kill -9: one small file for
 * itself and one per domain, replaced whole.  Everything else it learns from
 * the domain processes, and checks against these. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemons/log.h"
#include "daemons/sys.h"
#include "hv/broker/hvd.h"

static int dom_path(const struct hvd *h, uint16_t domid, const char *ext, char *buf, size_t n)
{
	int len = snprintf(buf, n, "%s/%u.%s", h->dom_dir, domid, ext);

	return len > 0 && (size_t)len < n ? 0 : -ENAMETOOLONG;
}

char *dom_sock_path(const struct hvd *h, uint16_t domid, char buf[108])
{
	return dom_path(h, domid, "sock", buf, 108) < 0 ? NULL : buf;
}

static int write_file(const char *path, const struct hv_msg *m)
{
	uint8_t bytes[4096];
	char tmp[128];
	int n, fd, r;

	n = hv_msg_encode(m, bytes, sizeof(bytes));
	if (n < 0)
		return n;
	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = sys_open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	r = (int)sys_write(fd, bytes, (size_t)n);
	close(fd);
	if (r >= 0)
		r = r == n ? sys_rename(tmp, path) : -ENOSPC;
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

static int read_file(const char *path, uint16_t type, struct hv_msg *ret)
{
	uint8_t bytes[4096];
	ssize_t n;
	int fd, r;

	fd = sys_open(path, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	n = read(fd, bytes, sizeof(bytes));
	r = n < 0 ? -errno : hv_msg_decode(bytes, (size_t)n, ret);
	close(fd);
	return r < 0 ? r : ret->type == type ? 0 : -EBADMSG;
}

int state_save(struct hvd *h)
{
	struct hv_msg *m = &h->out;

	*m = (struct hv_msg){ .type = HV_STATE };
	m->u.STATE.boot_time_s = h->boot_time_s;
	m->u.STATE.last_domid = h->last_domid;
	return write_file(h->state_path, m);
}

int state_save_dom(const struct dom *d)
{
	struct hv_msg *m = &d->h->out;
	char path[108];
	int r = dom_path(d->h, d->id.domid, "state", path, sizeof(path));

	if (r < 0)
		return r;
	*m = (struct hv_msg){ .type = HV_STATE_DOM };
	m->u.STATE_DOM = d->id;
	return write_file(path, m);
}

void state_remove_dom(const struct hvd *h, uint16_t domid)
{
	char path[108];

	if (dom_path(h, domid, "state", path, sizeof(path)) == 0)
		(void)unlink(path);
}

/* A kill at the wrong moment leaves a socket without a state, or a state half
 * written beside the old one. */
static bool is_leftover(const struct hvd *h, const char *name)
{
	unsigned id;
	int n = 0;

	if (sscanf(name, "%u.%n", &id, &n) != 1 || n == 0)
		return false;
	return strcmp(name + n, "state.new") == 0 ||
	       (strcmp(name + n, "sock") == 0 && (id >= DOMIDS || !h->doms[id]));
}

static void remove_leftovers(const struct hvd *h, DIR *dir)
{
	struct dirent *e;

	rewinddir(dir);
	while ((e = readdir(dir)))
		if (is_leftover(h, e->d_name))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
}

/* Domains appear as ADOPTING; a file that can't be read is told and left alone. */
int state_load(struct hvd *h)
{
	struct hv_msg *m = &h->in;
	struct dirent *e;
	DIR *dir;
	int r;

	r = read_file(h->state_path, HV_STATE, m);
	if (r == 0) {
		h->boot_time_s = m->u.STATE.boot_time_s;
		h->last_domid = m->u.STATE.last_domid;
	} else if (r != -ENOENT) {
		(void)log_warn(r, "%s", h->state_path);
	}
	dir = opendir(h->dom_dir);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		char path[sizeof(h->dom_dir) + sizeof(e->d_name)];
		size_t n = strlen(e->d_name);
		struct dom *d;

		if (n < 6 || strcmp(e->d_name + n - 6, ".state") != 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", h->dom_dir, e->d_name);
		r = read_file(path, HV_STATE_DOM, m);
		if (r == 0)
			r = dom_add(h, &m->u.STATE_DOM, &d);
		if (r < 0)
			(void)log_warn(r, "%s: not a domain of ours", path);
		else
			d->phase = DOM_ADOPTING;
	}
	remove_leftovers(h, dir);
	closedir(dir);
	return 0;
}
