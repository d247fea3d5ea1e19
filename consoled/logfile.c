/* consoled/logfile.c - who may write to which file when, and what to do when it fails.
 *
 *   spool gets bytes -> source queued at its file -> file idle? -> job in the pool
 *   job done         -> account, tell the console there is room, next source
 *   job failed       -> say so once, try again every second; the console decides
 *                       (by logsrc_error) to count further bytes as lost
 */
#include "consoled/logfile.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consoled/logio.h"
#include "consoled/pool.h"
#include "daemons/clock.h"
#include "daemons/log.h"
#include "daemons/sys.h"

#define RETRY_S	   1
#define TELL_S	   60		/* one line per file and minute about errors */
#define STALL_NS   2000000000u	/* a write that takes longer counts as an error */
#define GIVE_UP_NS 30000000000u /* for the spools of guests that are gone */

struct logsrc {
	TAILQ_ENTRY(logsrc) queue; /* in its file's waiting list while queued */
	TAILQ_ENTRY(logsrc) all;
	struct logfile *f;
	struct slot *slot;
	bool queued, adopt, closing, finished;
	uint64_t close_ns;
	logsrc_cb *room, *gone;
	void *arg, *gone_arg;
};

struct logfile {
	TAILQ_ENTRY(logfile) all;
	TAILQ_ENTRY(logfile) idle; /* in the folder's list while open and not being written */
	TAILQ_HEAD(, logsrc) waiting;
	struct logdir *d;
	char name[LOG_NAME_MAX];
	unsigned refs;
	struct job job, zst_job;
	struct logio io;
	struct logsrc *cur; /* being written now, or NULL */
	int result, zst_result;
	bool reopen, zst_busy;
	int err;
	uint64_t since_ns; /* start of the write */
	struct event retry;
	struct log_window told;
};

struct logdir {
	struct logdir_conf conf;
	struct logio_conf io;
	struct event_base *base;
	struct pool *pool;
	TAILQ_HEAD(files, logfile) files, idle; /* idle: least recently used first */
	TAILQ_HEAD(, logsrc) srcs;
	unsigned nidle;
	struct event reap;
};

static void file_next(struct logfile *f);
static void file_put(struct logfile *f);

static uint32_t src_fill(const struct logsrc *src)
{
	return slot_in(src->slot)->head - slot_out(src->slot)->tail;
}

/* ---- the folder ---- */

static void mkdirs(const char *path)
{
	char buf[512], *p;
	size_t n = strlen(path);

	if (n >= sizeof(buf))
		return;
	memcpy(buf, path, n + 1);
	for (p = buf + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		(void)mkdir(buf, 0755); /* opening it tells what went wrong */
	}
	(void)mkdir(buf, 0750);
}

static int dir_open(struct logdir *d)
{
	if (d->io.dirfd >= 0)
		return 0;
	mkdirs(d->conf.path);
	d->io.dirfd = sys_open(d->conf.path, O_RDONLY | O_DIRECTORY, 0);
	return d->io.dirfd < 0 ? d->io.dirfd : 0;
}

static void reap(evutil_socket_t fd, short what, void *arg)
{
	struct logdir *d = arg;
	struct logsrc *src, *next;

	for (src = TAILQ_FIRST(&d->srcs); src; src = next) {
		next = TAILQ_NEXT(src, all);
		if (src->finished) {
			logsrc_cb *gone = src->gone;
			void *gone_arg = src->gone_arg;

			logsrc_drop(src);
			gone(gone_arg);
		}
	}
}

static void finish(struct logsrc *src)
{
	static const struct timeval now = { 0, 0 };

	src->finished = true;
	(void)evtimer_add(&src->f->d->reap, &now); /* fails only without memory: then at exit */
}

int logdir_new(struct event_base *base, struct pool *pool, const struct logdir_conf *conf,
	       struct logdir **ret)
{
	struct logdir *d = sys_zalloc(sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->conf = *conf;
	d->io = (struct logio_conf){ .dirfd = -1, .max_size = conf->max_size, .keep = conf->keep };
	d->base = base;
	d->pool = pool;
	TAILQ_INIT(&d->files);
	TAILQ_INIT(&d->idle);
	TAILQ_INIT(&d->srcs);
	(void)evtimer_assign(&d->reap, base, reap, d);
	r = dir_open(d);
	if (r < 0)
		(void)log_warn(r, "log folder %s (trying again with every log)", conf->path);
	*ret = d;
	return 0;
}

struct logdir *logdir_free(struct logdir *d)
{
	if (!d)
		return NULL;
	while (!TAILQ_EMPTY(&d->files)) { /* its compressor has ended without saying so */
		struct logfile *f = TAILQ_FIRST(&d->files);

		f->refs = 1;
		file_put(f);
	}
	evtimer_del(&d->reap);
	if (d->io.dirfd >= 0)
		close(d->io.dirfd);
	free(d);
	return NULL;
}

bool logdir_idle(const struct logdir *d)
{
	const struct logsrc *src;

	TAILQ_FOREACH(src, &d->srcs, all)
	if (src->f->cur || (!src->f->err && src_fill(src)))
		return false;
	return true;
}

/* ---- one file ---- */

static void idle_add(struct logfile *f)
{
	TAILQ_INSERT_TAIL(&f->d->idle, f, idle);
	f->d->nidle++;
}

static void idle_del(struct logfile *f)
{
	TAILQ_REMOVE(&f->d->idle, f, idle);
	f->d->nidle--;
}

/* Not while a job writes it; at the end of the process such a job is over. */
static void file_shut(struct logfile *f)
{
	if (f->io.fd < 0)
		return;
	if (!f->cur)
		idle_del(f);
	close(f->io.fd);
	f->io.fd = -1;
}

static void zst_run(struct job *j)
{
	struct logfile *f = (struct logfile *)((char *)j - offsetof(struct logfile, zst_job));

	f->zst_result = logio_compress(&f->d->io, f->name);
}

static void zst_done(struct job *j)
{
	struct logfile *f = (struct logfile *)((char *)j - offsetof(struct logfile, zst_job));

	f->zst_busy = false;
	if (f->zst_result < 0 && log_window_open(&f->told, TELL_S, NULL))
		(void)log_warn(f->zst_result, "compressing old logs of %s", f->name);
	file_next(f);
	file_put(f);
}

static void write_run(struct job *j)
{
	struct logfile *f = (struct logfile *)((char *)j - offsetof(struct logfile, job));

	f->result = logio_write(&f->io);
}

static void file_failed(struct logfile *f, int r)
{
	static const struct timeval tv = { RETRY_S, 0 };
	uint32_t more;

	f->err = r;
	file_shut(f);
	(void)evtimer_add(&f->retry, &tv); /* without memory the next kick tries again */
	if (log_window_open(&f->told, TELL_S, &more))
		(void)log_err(r, "log %s/%s can't be written (trying on; console goes on)",
			      f->d->conf.path, f->name);
}

static void src_after(struct logsrc *src)
{
	struct logfile *f = src->f;
	uint32_t left = src_fill(src);

	if (!src->closing) {
		src->room(src->arg);
		return;
	}
	if (left && f->err && clock_mono_ns() - src->close_ns > GIVE_UP_NS) {
		(void)log_warn(f->err, "%u bytes of a guest that is gone are lost to log %s", left,
			       f->name);
		left = 0;
	}
	if (!left) {
		if (src->queued)
			TAILQ_REMOVE(&f->waiting, src, queue);
		src->queued = false;
		finish(src);
	}
}

static void write_done(struct job *j)
{
	struct logfile *f = (struct logfile *)((char *)j - offsetof(struct logfile, job));
	struct logsrc *src = f->cur;

	f->cur = NULL;
	src->adopt = f->io.adopt;
	if (f->io.fd >= 0)
		idle_add(f);
	if (f->result < 0) {
		file_failed(f, f->result);
	} else if (f->err) {
		log_info("log %s/%s is written again", f->d->conf.path, f->name);
		f->err = 0;
		f->told = (struct log_window){ 0 };
	}
	if (f->reopen)
		file_shut(f);
	f->reopen = false;
	while (f->d->nidle > f->d->conf.max_open)
		file_shut(TAILQ_FIRST(&f->d->idle));
	if (f->io.rotated && f->d->conf.compress && f->d->conf.keep > 1 && !f->zst_busy) {
		f->zst_busy = true;
		f->refs++;
		pool_submit(f->d->pool, LANE_SLOW, &f->zst_job);
	}
	if (src_fill(src) && !src->queued) {
		/* The last words of a guest come before its successor's first. */
		if (src->closing)
			TAILQ_INSERT_HEAD(&f->waiting, src, queue);
		else
			TAILQ_INSERT_TAIL(&f->waiting, src, queue);
		src->queued = true;
	}
	src_after(src);
	file_next(f);
}

static void file_next(struct logfile *f)
{
	struct logdir *d = f->d;
	struct logsrc *src = TAILQ_FIRST(&f->waiting);
	int r;

	if (f->cur || f->err || !src)
		return;
	/* Rotating would move files under the compressor. */
	if (f->zst_busy && d->conf.max_size && f->io.off >= d->conf.max_size / 2)
		return;
	r = dir_open(d);
	if (r < 0) {
		file_failed(f, r);
		return;
	}
	TAILQ_REMOVE(&f->waiting, src, queue);
	src->queued = false;
	if (f->io.fd >= 0)
		idle_del(f);
	f->cur = src;
	f->since_ns = clock_mono_ns();
	f->io.conf = &d->io;
	f->io.name = f->name;
	f->io.slot = src->slot;
	f->io.head = slot_in(src->slot)->head;
	f->io.adopt = src->adopt;
	f->io.rotated = false;
	pool_submit(d->pool, LANE_LOG, &f->job);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct logfile *f = arg;
	struct logsrc *src, *next;
	int err = f->err;

	for (src = TAILQ_FIRST(&f->waiting); src; src = next) {
		next = TAILQ_NEXT(src, queue);
		if (src->closing)
			src_after(src);
	}
	f->err = 0;
	file_next(f);
	if (f->cur || f->err)
		f->err = err; /* until it is known to work */
}

static struct logfile *file_get(struct logdir *d, const char *name)
{
	struct logfile *f;

	TAILQ_FOREACH_REVERSE(f, &d->files, files, all)
	if (strcmp(f->name, name) == 0) {
		f->refs++;
		return f;
	}
	f = sys_zalloc(sizeof(*f));
	if (!f)
		return NULL;
	f->d = d;
	f->refs = 1;
	f->io.fd = -1;
	f->job = (struct job){ .run = write_run, .done = write_done };
	f->zst_job = (struct job){ .run = zst_run, .done = zst_done };
	memcpy(f->name, name, strlen(name) + 1);
	TAILQ_INIT(&f->waiting);
	(void)evtimer_assign(&f->retry, d->base, on_retry, f);
	TAILQ_INSERT_TAIL(&d->files, f, all);
	return f;
}

static void file_put(struct logfile *f)
{
	if (--f->refs)
		return;
	file_shut(f);
	evtimer_del(&f->retry);
	TAILQ_REMOVE(&f->d->files, f, all);
	free(f);
}

void logdir_reopen(struct logdir *d)
{
	struct logfile *f;

	TAILQ_FOREACH(f, &d->files, all)
	{
		if (f->cur)
			f->reopen = true;
		else
			file_shut(f);
	}
}

/* ---- sources ---- */

int logsrc_new(struct logdir *d, struct slot *s, bool adopt, logsrc_cb *room, void *arg,
	       struct logsrc **ret)
{
	struct logsrc *src = sys_zalloc(sizeof(*src));

	if (!src)
		return -ENOMEM;
	src->f = file_get(d, slot_log(s));
	if (!src->f) {
		free(src);
		return -ENOMEM;
	}
	src->slot = s;
	src->adopt = adopt;
	src->room = room;
	src->arg = arg;
	TAILQ_INSERT_TAIL(&d->srcs, src, all);
	*ret = src;
	logsrc_kick(src);
	return 0;
}

void logsrc_close(struct logsrc *src, logsrc_cb *gone, void *arg)
{
	src->closing = true;
	src->close_ns = clock_mono_ns();
	src->gone = gone;
	src->gone_arg = arg;
	if (src->f->cur != src && !src_fill(src))
		finish(src);
	else
		logsrc_kick(src);
}

struct logsrc *logsrc_drop(struct logsrc *src)
{
	if (!src)
		return NULL;
	if (src->queued)
		TAILQ_REMOVE(&src->f->waiting, src, queue);
	TAILQ_REMOVE(&src->f->d->srcs, src, all);
	file_put(src->f);
	free(src);
	return NULL;
}

void logsrc_kick(struct logsrc *src)
{
	if (src->queued || src->f->cur == src || !src_fill(src))
		return;
	TAILQ_INSERT_TAIL(&src->f->waiting, src, queue);
	src->queued = true;
	if (src->f->err && !evtimer_pending(&src->f->retry, NULL))
		on_retry(-1, 0, src->f);
	else
		file_next(src->f);
}

size_t logsrc_room(const struct logsrc *src)
{
	return SPOOL_SIZE - src_fill(src);
}

int logsrc_error(const struct logsrc *src)
{
	const struct logfile *f = src->f;

	if (f->err)
		return f->err;
	return f->cur && clock_mono_ns() - f->since_ns > STALL_NS ? -ETIMEDOUT : 0;
}

int logsrc_rename(struct logsrc *src, const char *log)
{
	struct logfile *f;

	if (strcmp(log, slot_log(src->slot)) == 0)
		return 0;
	if (src->queued || src->f->cur == src || src_fill(src))
		return -EAGAIN;
	f = file_get(src->f->d, log);
	if (!f)
		return -ENOMEM;
	slot_set_log(src->slot, log);
	file_put(src->f);
	src->f = f;
	return 0;
}
