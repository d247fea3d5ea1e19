/* consoled/logio.c - writing at known offsets, so that doing it twice is doing it once.
 *
 * The slot's out record says "spool byte tail belongs at off of file (dev,
 * ino)".  It is made true before the first byte goes to a file and again after
 * each write.  A process that is killed in between leaves bytes past off; its
 * successor (adopt) compares them with the spool and counts them as written.
 * A file that others cut or appended to is simply continued at its end.
 */
#include "consoled/logio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemons/sys.h"

int logio_open(int dirfd, const char *name, int flags)
{
	struct stat sb;
	int fd, r = 0;

	/* O_NONBLOCK: opening a FIFO someone put there must not wait. */
	fd = sys_openat(dirfd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, LOGIO_MODE);
	if (fd < 0)
		return fd;
	if (fstat(fd, &sb) < 0)
		r = -errno;
	else if (!S_ISREG(sb.st_mode))
		r = -EINVAL;
	else if (sb.st_nlink > 1)
		r = -EMLINK;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* How much of the spool stands in the file past the recorded offset: a write
 * that finished but was not recorded.  0 if what is there is not ours. */
static uint32_t already_written(const struct logio *io, const struct slot_out *o, uint64_t size)
{
	uint32_t past = (uint32_t)(size - o->off), done = 0;
	uint8_t buf[SPOOL_SIZE];
	const uint8_t *p;

	if (size - o->off > io->head - o->tail ||
	    pread(io->fd, buf, past, (off_t)o->off) != (ssize_t)past)
		return 0;
	while (done < past) {
		size_t n = slot_span(io->slot, o->tail + done, o->tail + past, &p);

		if (memcmp(p, buf + done, n) != 0)
			return 0;
		done += (uint32_t)n;
	}
	return done;
}

/* Make fd, identity and the slot's record agree with the file as it is. */
static int settle(struct logio *io)
{
	struct slot_out o = *slot_out(io->slot);
	struct stat sb;

	for (int attempt = 0;; attempt++) {
		if (io->fd < 0)
			io->fd = logio_open(io->conf->dirfd, io->name, O_RDWR | O_CREAT);
		if (io->fd < 0)
			return io->fd;
		if (fstat(io->fd, &sb) < 0)
			return -errno;
		if (sb.st_nlink || attempt)
			break;
		close(io->fd); /* someone removed it: start a new one */
		io->fd = -1;
	}
	if (io->adopt && o.ino == sb.st_ino && o.dev == sb.st_dev && (uint64_t)sb.st_size > o.off)
		o.tail += already_written(io, &o, (uint64_t)sb.st_size);
	io->adopt = false;
	io->dev = sb.st_dev;
	io->ino = sb.st_ino;
	io->off = (uint64_t)sb.st_size;
	o.dev = io->dev;
	o.ino = io->ino;
	o.off = io->off;
	slot_took(io->slot, &o);
	return 0;
}

/* How much of n bytes may go into the file: up to its limit, and then rather
 * up to the last line's end before it. */
static size_t fitting(const struct logio *io, const uint8_t *p, size_t n)
{
	uint64_t left = io->conf->max_size - io->off;
	const uint8_t *nl;

	if (!io->conf->max_size || n <= left)
		return n;
	nl = memrchr(p, '\n', (size_t)left);
	return nl ? (size_t)(nl - p) + 1 : (size_t)left;
}

/* True when nothing more should go into this file: it is full, or it ends with
 * a line and what comes would be cut in two by the limit. */
static bool full(const struct logio *io)
{
	const struct slot_out *o = slot_out(io->slot);
	uint64_t max = io->conf->max_size;
	const uint8_t *p;
	size_t n;
	char last;

	if (!max || io->off == 0)
		return false;
	if (io->off >= max)
		return true;
	n = slot_span(io->slot, o->tail, io->head, &p);
	if (n <= max - io->off || memrchr(p, '\n', (size_t)(max - io->off)))
		return false;
	return pread(io->fd, &last, 1, (off_t)io->off - 1) == 1 && last == '\n';
}

static int write_span(struct logio *io)
{
	struct slot_out o = *slot_out(io->slot);
	const uint8_t *p;
	size_t n = slot_span(io->slot, o.tail, io->head, &p);
	ssize_t r;

	n = fitting(io, p, n);
	r = sys_pwrite(io->fd, p, n, (off_t)io->off);
	if (r < 0)
		return (int)r;
	if (r == 0)
		return -ENOSPC;
	io->off += (uint64_t)r;
	o.tail += (uint32_t)r;
	o.off = io->off;
	slot_took(io->slot, &o);
	return (int)r;
}

int logio_write(struct logio *io)
{
	uint32_t before = slot_out(io->slot)->tail;
	int r;

	r = settle(io);
	while (r >= 0 && slot_out(io->slot)->tail != io->head) {
		if (full(io)) {
			r = logio_rotate(io->conf, io->name);
			if (r < 0)
				break;
			close(io->fd);
			io->fd = -1;
			io->rotated = true;
			r = settle(io);
			if (r < 0)
				break;
		}
		r = write_span(io);
		if (io->rotated)
			break; /* the caller may have to compress before more follows */
	}
	/* What was written counts, even if the next write failed. */
	return slot_out(io->slot)->tail != before ? (int)(slot_out(io->slot)->tail - before) : r;
}

static bool numbered(char out[LOG_NAME_MAX + 32], const char *name, unsigned i, const char *ext)
{
	return (size_t)snprintf(out, LOG_NAME_MAX + 32, "%s.%u%s", name, i, ext) <
	       LOG_NAME_MAX + 32;
}

static int unlink_if(int dirfd, const char *name)
{
	return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int logio_rotate(const struct logio_conf *conf, const char *name)
{
	static const char *const exts[] = { "", ".zst" };
	char from[LOG_NAME_MAX + 32], to[LOG_NAME_MAX + 32];
	int r;

	if (!conf->keep)
		return unlink_if(conf->dirfd, name);
	for (unsigned i = conf->keep; i > 0; i--)
		for (int e = 0; e < 2; e++) {
			numbered(to, name, i, exts[e]);
			if (i == conf->keep) {
				r = unlink_if(conf->dirfd, to);
				if (r < 0)
					return r;
			}
			if (i == 1)
				continue;
			numbered(from, name, i - 1, exts[e]);
			if (renameat(conf->dirfd, from, conf->dirfd, to) < 0 && errno != ENOENT)
				return -errno;
		}
	numbered(to, name, 1, "");
	return renameat(conf->dirfd, name, conf->dirfd, to) < 0 && errno != ENOENT ? -errno : 0;
}

/* Put the file's last bytes, at most room, before buf + room. */
static ssize_t read_end(int fd, uint8_t *buf, size_t room)
{
	struct stat sb;
	size_t n;

	if (fstat(fd, &sb) < 0)
		return -errno;
	n = (uint64_t)sb.st_size < room ? (size_t)sb.st_size : room;
	if (pread(fd, buf + (room - n), n, sb.st_size - (off_t)n) != (ssize_t)n)
		return -EIO;
	return (ssize_t)n;
}

int logio_tail(int dirfd, const char *name, size_t max, uint8_t **ret)
{
	char older[LOG_NAME_MAX + 32];
	const char *names[2] = { name, older };
	uint8_t *buf = sys_zalloc(max ? max : 1);
	size_t got = 0;
	int r = 0;

	if (!buf)
		return -ENOMEM;
	numbered(older, name, 1, "");
	/* From the end of the buffer to its front: newest first. */
	for (int i = 0; i < 2 && got < max; i++) {
		int fd = logio_open(dirfd, names[i], O_RDONLY);
		ssize_t n;

		if (fd < 0) {
			r = i == 0 ? fd : r;
			if (fd == -ENOENT)
				continue; /* just rotated, or never rotated */
			break;
		}
		r = 0;
		n = read_end(fd, buf, max - got);
		close(fd);
		if (n < 0)
			break; /* it shrank meanwhile: no older bytes before a gap */
		got += (size_t)n;
	}
	if (r < 0) {
		free(buf);
		return r;
	}
	memmove(buf, buf + (max - got), got);
	*ret = buf;
	return (int)got;
}
