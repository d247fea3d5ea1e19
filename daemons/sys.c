/* daemons/sys.c - thin wrappers with the fault hooks of the sweep tests. */
#include "daemons/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static long fault_left = -1;
static int fault_err;
static bool fault_seen;

void fault_arm(long nth, int err)
{
	fault_left = nth;
	fault_err = err;
	fault_seen = false;
}

bool fault_disarm(void)
{
	fault_left = -1;
	return fault_seen;
}

static bool fault_here(void)
{
	if (__builtin_expect(fault_left < 0, 1) || fault_left-- > 0)
		return false;
	fault_seen = true;
	return true;
}

int sys_open(const char *path, int flags, mode_t mode)
{
	return sys_openat(AT_FDCWD, path, flags, mode);
}

int sys_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	if (fault_here())
		return -fault_err;
	fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
	return fd < 0 ? -errno : fd;
}

int sys_rename(const char *from, const char *to)
{
	if (fault_here())
		return -fault_err;
	return rename(from, to) < 0 ? -errno : 0;
}

int sys_ftruncate(int fd, off_t len)
{
	if (fault_here())
		return -fault_err;
	return ftruncate(fd, len) < 0 ? -errno : 0;
}

ssize_t sys_write(int fd, const void *buf, size_t n)
{
	ssize_t r;

	if (fault_here())
		return -fault_err;
	r = write(fd, buf, n);
	return r < 0 ? -errno : r;
}

ssize_t sys_pwrite(int fd, const void *buf, size_t n, off_t off)
{
	ssize_t r;

	if (fault_here())
		return -fault_err;
	r = pwrite(fd, buf, n, off);
	return r < 0 ? -errno : r;
}

int sys_memfd(const char *name, size_t len)
{
	int fd, r;

	if (fault_here())
		return -fault_err;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int sys_eventfd(void)
{
	int fd;

	if (fault_here())
		return -fault_err;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void *sys_mmap_shared(int fd, size_t len, off_t off, int prot, int *ret_err)
{
	void *p;

	if (fault_here()) {
		*ret_err = -fault_err;
		return NULL;
	}
	p = mmap(NULL, len, prot, MAP_SHARED, fd, off);
	if (p == MAP_FAILED) {
		*ret_err = -errno;
		return NULL;
	}
	return p;
}

void *sys_zalloc(size_t n)
{
	return fault_here() ? NULL : calloc(1, n);
}

void *sys_realloc(void *p, size_t n)
{
	return fault_here() ? NULL : realloc(p, n);
}
