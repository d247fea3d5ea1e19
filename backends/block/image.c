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

struct image {
	int fd;
	bool block_device;
};

static int check_kind(int fd, bool *ret_block)
{
	struct stat st;
	int fl;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return -EINVAL;
	fl = fcntl(fd, F_GETFL);
	if (fl < 0)
		return -errno;
	fl &= ~O_NONBLOCK;
	if (S_ISBLK(st.st_mode))
		fl |= O_DIRECT;
	if (fcntl(fd, F_SETFL, fl) < 0)
		return -errno;
	*ret_block = S_ISBLK(st.st_mode);
	return 0;
}

int image_open_fd(const char *path, bool writable)
{
	bool block;
	int fd, r;

	/* O_NONBLOCK: a FIFO must not hang us before we see what it is. */
	fd = sys_open(path, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return fd;
	r = check_kind(fd, &block);
	/* Two writers corrupt a guest's disk silently. */
	if (r == 0 && flock(fd, (writable ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int image_from_fd(int fd, struct image **ret)
{
	struct image *img = sys_zalloc(sizeof(*img));
	struct stat st;
	int r = img ? 0 : -ENOMEM;

	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r < 0) {
		free(img);
		close(fd);
		return r;
	}
	*img = (struct image){ fd, S_ISBLK(st.st_mode) };
	*ret = img;
	return 0;
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

int image_info(const struct image *img, struct image_info *ret)
{
	struct image_info i = { .sector_size = 512,
				.physical_size = 512,
				.block_device = img->block_device };
	unsigned phys = 0;
	struct stat st;
	int logical = 0;

	if (fstat(img->fd, &st) < 0)
		return -errno;
	if (!img->block_device) {
		i.bytes = (uint64_t)st.st_size;
		i.discard = true;
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

int image_read(struct image *img, struct iovec *iov, int n, uint64_t off)
{
	return all(preadv, img->fd, iov, n, off);
}

int image_write(struct image *img, struct iovec *iov, int n, uint64_t off)
{
	return all(pwritev, img->fd, iov, n, off);
}

int image_flush(struct image *img)
{
	return fdatasync(img->fd) < 0 ? -errno : 0;
}

int image_discard(struct image *img, uint64_t off, uint64_t len)
{
	int r;

	do {
		r = fallocate(img->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
			      (off_t)len);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}
