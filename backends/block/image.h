/* backends/block/image.h - a raw disk image, a file or a block device, opened once
 * and locked: many readers or one writer.  What is written is stable after
 * image_flush.  Calls block; any thread may make them. */
#ifndef BACKENDS_BLOCK_IMAGE_H
#define BACKENDS_BLOCK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct image;

struct image_info {
	uint64_t bytes;
	uint32_t sector_size, physical_size;
	bool block_device, discard;
	dev_t rdev; /* of a block device */
};

/* Opens and locks, for whoever may use paths.  The descriptor is the caller's.
 * -EAGAIN: somebody else has it open in a way that excludes this one.
 * -EINVAL: neither a file nor a block device.  A block device is read and
 * written past the host's cache. */
int image_open_fd(const char *path, bool writable);
/* An image of such a descriptor, which is consumed, in failure too. */
int image_from_fd(int fd, struct image **ret);
/* Both.  On failure *ret is untouched. */
int image_open(const char *path, bool writable, struct image **ret);
struct image *image_free(struct image *img);			 /* NULL ok; returns NULL */
int image_info(const struct image *img, struct image_info *ret); /* as it is now */

/* All n bytes of iov or an error; -ENODATA at the end of the image.  iov is
 * used up. */
int image_read(struct image *img, struct iovec *iov, int n, uint64_t off);
int image_write(struct image *img, struct iovec *iov, int n, uint64_t off);
int image_flush(struct image *img);
/* The range reads as zeroes afterwards.  -EOPNOTSUPP if it can't be done. */
int image_discard(struct image *img, uint64_t off, uint64_t len);

#endif
