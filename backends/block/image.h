/* backends/block/image.h - a raw disk image: a file or a block device, opened and
 * locked by who may (many readers or one writer), used by who has just the
 * descriptor.  What is written is stable after a flush.
 *
 * The lock belongs to the open file description and ends when the last
 * reference is gone, those of operations in the kernel included.  So a fresh
 * description that got the lock proves that a killed predecessor's I/O is over.
 */
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
	bool block_device;
	bool discard;	     /* the host can do it */
	bool secure_discard; /* what was there is gone for good */
	bool direct;	     /* past the host's cache */
	dev_t rdev;	     /* of a block device */
};

/* Opens and locks, for whoever may use paths.  The descriptor is the caller's.
 * -EAGAIN: somebody else has it open in a way that excludes this one.
 * -EINVAL: neither a file nor a block device. */
int image_open_fd(const char *path, bool writable);
/* An image of such a descriptor, which is consumed, in failure too.  It is read
 * and written past the host's cache if that can be done for every sector. */
int image_from_fd(int fd, struct image **ret);
/* Both.  On failure *ret is untouched. */
int image_open(const char *path, bool writable, struct image **ret);
struct image *image_free(struct image *img);			 /* NULL ok; returns NULL */
int image_info(const struct image *img, struct image_info *ret); /* as it is now */
int image_fd(const struct image *img);				 /* borrowed */

enum io_kind { IO_READ, IO_WRITE, IO_FLUSH, IO_DISCARD, IO_SECURE_DISCARD };

/* Do it and wait; any thread.  READ and WRITE move all of iov (which is used
 * up); -ENODATA at the end of the image.  A discarded range may read as zeroes
 * or as before; of a file, as zeroes.  -EOPNOTSUPP if it can't be done. */
int image_do(struct image *img, enum io_kind kind, struct iovec *iov, int n, uint64_t off,
	     uint64_t len);
/* This kind has no other way than image_do. */
bool image_by_thread(const struct image *img, enum io_kind kind);

#endif
