/* backends/block/image.c - opening, locking and moving bytes. */
#include "backends/block/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemons/sys.h"

#define SECTOR 512u

struct image {
	int fd;
	bool writable, block_device, direct, discard, secure_discard;
};

/* One sector into a buffer at an odd sector: the least aligned that comes. */
static bool direct_works(int fd)
{
	uint8_t *buf = aligned_alloc(4096, 8192);
	bool ok = buf && pread(fd, buf + SECTOR, SECTOR, SECTOR) >= 0;

	free(buf);
	return ok;
}

static int set_direct(struct image *img)
{
	int fl = fcntl(img->fd, F_GETFL);

	if (fl < 0)
		return -errno;
	fl &= ~O_NONBLOCK;
	img->direct = fcntl(img->fd, F_SETFL, fl | O_DIRECT) == 0 &&
		      (img->block_device || direct_works(img->fd));
	if (!img->direct && fcntl(img->fd, F_SETFL, fl & ~O_DIRECT) < 0)
		return -errno;
	return 0;
}

/* Asking for nothing tells whether it is known. */
static bool ioctl_known(int fd, unsigned long what)
{
	uint64_t none[2] = { 0, 0 };

	return ioctl(fd, what, none) == 0 || errno == EINVAL;
}

static void probe_discard(struct image *img, off_t size)
{
	if (!img->writable)
		return;
	if (img->block_device) {
		img->discard = ioctl_known(img->fd, BLKDISCARD);
		img->secure_discard = ioctl_known(img->fd, BLKSECDISCARD);
	} else { /* past the end there is nothing to lose */
		img->discard = fallocate(img->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, size,
					 4096) == 0;
	}
}

int image_from_fd(int fd, struct image **ret)
{
	struct image *img = sys_zalloc(sizeof(*img));
	int r = img ? 0 : -ENOMEM, fl = fcntl(fd, F_GETFL);
	struct stat st;

	if (r == 0 && (fl < 0 || fstat(fd, &st) < 0))
		r = -errno;
	if (r == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		r = -EINVAL;
	if (r == 0) {
		*img = (struct image){ .fd = fd,
				       .writable = (fl & O_ACCMODE) == O_RDWR,
				       .block_device = S_ISBLK(st.st_mode) };
		r = set_direct(img);
	}
	if (r < 0) {
		free(img);
		close(fd);
		return r;
	}
	probe_discard(img, st.st_size);
	*ret = img;
	return 0;
}

int image_open_fd(const char *path, bool writable)
{
	struct stat st;
	int fd, r = 0;

	/* O_NONBLOCK: a FIFO must not hang us before we see what it is. */
	fd = sys_open(path, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		r = -EINVAL;
	/* Two writers corrupt a guest's disk silently. */
	else if (flock(fd, (writable ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int image_open(const char *path, bool writable, struct image **ret)
{
	int fd = image_open_fd(path, writable);

	return fd < 0 ? fd : image_from_fd(fd, ret);
}

struct image *image_free(struct image *img)
{
	if (img)
		close(img->fd);
	free(img);
	return NULL;
}

int image_fd(const struct image *img)
{
	return img->fd;
}

int image_info(const struct image *img, struct image_info *ret)
{
	struct image_info i = { .sector_size = SECTOR,
				.physical_size = SECTOR,
				.block_device = img->block_device,
				.discard = img->discard,
				.secure_discard = img->secure_discard,
				.direct = img->direct };
	unsigned phys = 0;
	struct stat st;
	int logical = 0;

	if (fstat(img->fd, &st) < 0)
		return -errno;
	if (!img->block_device) {
		i.bytes = (uint64_t)st.st_size;
	} else {
		if (ioctl(img->fd, BLKGETSIZE64, &i.bytes) < 0 ||
		    ioctl(img->fd, BLKSSZGET, &logical) < 0 ||
		    ioctl(img->fd, BLKPBSZGET, &phys) < 0)
			return -errno;
		if ((logical != 512 && logical != 4096) || phys < (unsigned)logical)
			return -EINVAL;
		i.sector_size = (uint32_t)logical;
		i.physical_size = phys;
		i.rdev = st.st_rdev;
	}
	*ret = i;
	return 0;
}

typedef ssize_t rw_fn(int, const struct iovec *, int, off_t);

/* Goes on after short counts. */
static int all(rw_fn *fn, int fd, struct iovec *iov, int n, uint64_t off)
{
	while (n > 0) {
		ssize_t done = fn(fd, iov, n, (off_t)off);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			return -ENODATA;
		off += (uint64_t)done;
		while (n > 0 && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return 0;
}

static int discard(struct image *img, bool secure, uint64_t off, uint64_t len)
{
	uint64_t range[2] = { off, len };
	int r;

	do {
		if (img->block_device)
			r = ioctl(img->fd, secure ? BLKSECDISCARD : BLKDISCARD, range);
		else
			r = fallocate(img->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				      (off_t)off, (off_t)len);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int image_do(struct image *img, enum io_kind kind, struct iovec *iov, int n, uint64_t off,
	     uint64_t len)
{
	switch (kind) {
	case IO_READ: return all(preadv, img->fd, iov, n, off);
	case IO_WRITE: return all(pwritev, img->fd, iov, n, off);
	case IO_FLUSH: return fdatasync(img->fd) < 0 ? -errno : 0;
	case IO_DISCARD: return discard(img, false, off, len);
	case IO_SECURE_DISCARD: return discard(img, true, off, len);
	}
	return -EOPNOTSUPP;
}

bool image_by_thread(const struct image *img, enum io_kind kind)
{
	return img->block_device && (kind == IO_DISCARD || kind == IO_SECURE_DISCARD);
}
