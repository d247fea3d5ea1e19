/* backends/warden_dev.c - the devices of a guest as its warden knows them: that
 * they are there, their descriptors while they are open, their journals.
 *
 * A journal is a file in the guest's folder, where its jail does not reach: it
 * outlives the backend and the warden.  The warden never maps it, so what the
 * backend does to it hurts its successor for the same guest at most.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/warden_int.h"
#include "daemons/fdpass.h"
#include "daemons/sys.h"

struct device *dev_find(struct guest *g, uint32_t devid)
{
	struct device *d = g->devs;

	while (d && d->devid != devid)
		d = d->next;
	return d;
}

static void close_dev(struct guest *g, struct device *d)
{
	if (!d->open)
		return;
	if (g->w->kind->close)
		g->w->kind->close(g->w->arg, g->domid, d->devid);
	fdpass_close(d->dev.fds, d->dev.nfds);
	d->open = false;
}

/* ---- journals ---- */

static void remove_journals(struct guest *g, uint32_t devid)
{
	char prefix[32], path[160];
	struct dirent *e;
	DIR *dir = opendir(g->dir);

	snprintf(prefix, sizeof(prefix), "journal-%u-", devid);
	while (dir && (e = readdir(dir)))
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
			snprintf(path, sizeof(path), "%s/%.48s", g->dir, e->d_name);
			(void)unlink(path);
		}
	if (dir)
		closedir(dir);
}

static unsigned count_journals(const struct guest *g)
{
	DIR *dir = opendir(g->dir);
	struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir)))
		n += strncmp(e->d_name, "journal-", 8) == 0;
	if (dir)
		closedir(dir);
	return n;
}

static int new_journal(const char *path, uint32_t size)
{
	int fd = sys_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return fd;
	/* All of it now: a full disk must not become a signal in the backend. */
	r = -posix_fallocate(fd, 0, size);
	if (r < 0) {
		close(fd);
		(void)unlink(path);
		return r;
	}
	return fd;
}

static int open_journal(struct guest *g, const struct warden_req *rq, uint32_t *ret_fresh)
{
	char path[160];
	struct stat st;
	int fd;

	if (rq->size == 0 || rq->size > WARDEN_JOURNAL_MAX || rq->index >= WARDEN_JOURNALS_MAX)
		return -EINVAL;
	snprintf(path, sizeof(path), "%s/journal-%u-%u", g->dir, rq->devid, rq->index);
	fd = sys_open(path, O_RDWR | O_NOFOLLOW, 0);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)rq->size)
		return fd;
	if (fd >= 0) {
		close(fd);
		(void)unlink(path); /* of another shape: not for this one */
	}
	if (count_journals(g) >= WARDEN_JOURNALS_MAX)
		return -ENOSPC;
	*ret_fresh = 1;
	return new_journal(path, rq->size);
}

/* ---- what there is ---- */

int dev_saw(struct guest *g, uint32_t devid)
{
	struct device *d = dev_find(g, devid);

	if (!d) {
		d = sys_zalloc(sizeof(*d));
		if (!d)
			return -ENOMEM;
		d->devid = devid;
		d->next = g->devs;
		g->devs = d;
	}
	d->seen = true;
	return 0;
}

static void drop(struct guest *g, bool all)
{
	for (struct device **at = &g->devs; *at;) {
		struct device *d = *at;

		if (d->seen && !all) {
			at = &d->next;
			continue;
		}
		close_dev(g, d);
		if (!all)
			remove_journals(g, d->devid);
		*at = d->next;
		free(d);
	}
}

void dev_drop_unseen(struct guest *g)
{
	drop(g, false);
}

void dev_drop_all(struct guest *g)
{
	drop(g, true);
}

void dev_remove_folder(const char *dir)
{
	static const char *const known[] = { "root/hv", "root/xs", "root/open", "root",
					     "pid",	"pid.new", "log" };
	char path[256];
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, "journal-", 8) == 0) {
			snprintf(path, sizeof(path), "%.100s/%.48s", dir, e->d_name);
			(void)unlink(path);
		}
	if (d)
		closedir(d);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		snprintf(path, sizeof(path), "%.100s/%s", dir, known[i]);
		if (unlink(path) < 0)
			(void)rmdir(path);
	}
	(void)rmdir(dir);
}

/* ---- requests ---- */

static void ask_of(const struct guest *g, uint32_t devid, struct warden_ask *a)
{
	*a = (struct warden_ask){ .xs = g->w->xs, .domid = g->domid, .devid = devid };
	snprintf(a->back, sizeof(a->back), "/local/domain/0/backend/%.16s/%u/%u", g->w->kind->kind,
		 g->domid, devid);
	snprintf(a->front, sizeof(a->front), "/local/domain/%u/device/%.16s/%u", g->domid,
		 g->w->kind->kind, devid);
}

/* A device that the last look did not see yet. */
static int know(struct guest *g, const struct warden_ask *a)
{
	char path[80], *front = NULL;
	int r;

	if (dev_find(g, a->devid))
		return 0;
	snprintf(path, sizeof(path), "%s/frontend", a->back);
	r = xs_sync_read(a->xs, 0, path, &front);
	free(front);
	return r < 0 ? r : dev_saw(g, a->devid);
}

static int open_dev(struct guest *g, uint32_t devid, char *err, size_t errlen, struct device **ret)
{
	const struct warden_kind *k = g->w->kind;
	struct warden_ask a;
	struct device *d;
	int r;

	ask_of(g, devid, &a);
	r = know(g, &a);
	if (r < 0)
		return r;
	d = dev_find(g, devid);
	if (!d->open) {
		d->dev = (struct warden_dev){ 0 };
		r = k->open(g->w->arg, &a, &d->dev, err, errlen);
		if (r < 0)
			return r;
		d->open = true;
	}
	*ret = d;
	return 0;
}

static int close_asked(struct guest *g, uint32_t devid)
{
	struct device *d = dev_find(g, devid);

	if (d)
		close_dev(g, d);
	return 0;
}

static int journal_asked(struct guest *g, const struct warden_req *rq, struct warden_rep *rep,
			 int *ret_own)
{
	int r = dev_find(g, rq->devid) ? open_journal(g, rq, &rep->fresh) : -ENOENT;

	if (r < 0)
		return r;
	*ret_own = r;
	return 0;
}

void dev_answer(struct guest *g, const struct warden_req *rq, struct warden_rep *rep,
		const int **ret_fds, size_t *ret_nfds, int *ret_own)
{
	struct device *d = NULL;
	int r = -EPERM;

	if (rq->type == WARDEN_OPEN)
		r = open_dev(g, rq->devid, rep->text, sizeof(rep->text), &d);
	else if (rq->type == WARDEN_CLOSE)
		r = close_asked(g, rq->devid);
	else if (rq->type == WARDEN_JOURNAL)
		r = journal_asked(g, rq, rep, ret_own);
	rep->status = r;
	if (r < 0 && !rep->text[0])
		snprintf(rep->text, sizeof(rep->text), "%s", strerror(-r));
	if (r < 0)
		return;
	if (d) {
		*ret_fds = d->dev.fds;
		*ret_nfds = d->dev.nfds;
		rep->blob_len = (uint32_t)d->dev.blob_len;
		memcpy(rep->blob, d->dev.blob, d->dev.blob_len);
	} else if (*ret_own >= 0) {
		*ret_fds = ret_own;
		*ret_nfds = 1;
	}
}
