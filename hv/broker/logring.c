/* hv/broker/logring.c - the hypervisor's log: the last lines of hvd and of
 * every domain process, for `dz dmesg`.
 *
 * It is a shared mapping of a file in the run folder, so that it outlives hvd.
 * Offsets count every byte ever logged; the total is advanced after the bytes
 * are there, so a kill in between loses a line and never shows half of one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "daemons/log.h"
#include "daemons/sys.h"
#include "hv/broker/hvd.h"

#define RING_SIZE  (256u << 10) /* a power of two */
#define RING_MAGIC 0x31474c5a44ull

struct ring_file {
	uint64_t magic, total;
	char bytes[RING_SIZE];
};

struct logring {
	struct ring_file *f;
};

int logring_open(const char *path, struct logring **ret)
{
	struct logring *r = sys_zalloc(sizeof(*r));
	int fd, err = 0;

	if (!r)
		return -ENOMEM;
	fd = sys_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (fd < 0) {
		free(r);
		return fd;
	}
	err = sys_ftruncate(fd, sizeof(*r->f));
	/* All of it now: a hole written to when the disk is full is a SIGBUS. */
	if (err == 0 && fallocate(fd, 0, 0, sizeof(*r->f)) < 0)
		err = -errno;
	if (err == 0)
		r->f = sys_mmap_shared(fd, sizeof(*r->f), 0, PROT_READ | PROT_WRITE, &err);
	close(fd);
	if (!r->f) {
		free(r);
		return err;
	}
	if (r->f->magic != RING_MAGIC) {
		r->f->total = 0;
		r->f->magic = RING_MAGIC;
	}
	*ret = r;
	return 0;
}

struct logring *logring_close(struct logring *r)
{
	if (r)
		munmap(r->f, sizeof(*r->f));
	free(r);
	return NULL;
}

static size_t put_escaped(char *to, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n + 5 < room; text++) {
		unsigned char ch = (unsigned char)*text;

		if (ch < 0x20 || ch == 0x7f)
			n += (size_t)snprintf(to + n, 5, "\\x%02x", ch);
		else
			to[n++] = (char)ch;
	}
	return n;
}

void logring_add(struct logring *r, int domid, const char *text)
{
	char line[2 * HV_TEXT_MAX], stamp[32];
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	n = (size_t)snprintf(line, sizeof(line), "(XEN) [%s.%03ld] ", stamp, ts.tv_nsec / 1000000);
	if (domid >= 0)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "d%d ", domid);
	n += put_escaped(line + n, sizeof(line) - n - 1, text);
	line[n++] = '\n';
	for (size_t i = 0; i < n; i++)
		r->f->bytes[(r->f->total + i) % RING_SIZE] = line[i];
	__atomic_store_n(&r->f->total, r->f->total + n, __ATOMIC_RELEASE);
}

uint32_t logring_read(const struct logring *r, uint64_t off, char *buf, uint32_t n,
		      uint64_t *ret_next)
{
	uint64_t total = r->f->total;
	uint64_t oldest = total > RING_SIZE ? total - RING_SIZE : 0;
	uint32_t got = 0;

	if (off > total)
		off = 0;    /* of a run before the last boot of the host */
	if (off < oldest) { /* begin with a whole line */
		for (off = oldest + 1; off < total && r->f->bytes[(off - 1) % RING_SIZE] != '\n';
		     off++)
			;
	}
	while (got < n && off < total)
		buf[got++] = r->f->bytes[off++ % RING_SIZE];
	*ret_next = off;
	return got;
}

void hvd_log(struct hvd *h, int domid, const char *fmt, ...)
{
	char text[HV_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut */
	va_end(ap);
	logring_add(h->log, domid, text);
	if (domid >= 0)
		log_info("d%d %s", domid, text);
	else
		log_info("%s", text);
}
