/* backends/block/blkback.c - the block backend of one guest; each device has a
 * thread of its own.  Lives in a jail and has its images from blkd. */
#include <fcntl.h>
#include <linux/fs.h>
#include <seccomp.h>

#include "backends/block/vbd.h"

/* The images' bytes, and what a block device says of itself.  io_uring's operations
 * pass this filter by; what is left for them is an empty root without a network. */
static const struct jail_rule rules[] = {
	{ SCMP_SYS(preadv) },
	{ SCMP_SYS(pread64) },
	{ SCMP_SYS(pwritev) },
	{ SCMP_SYS(fdatasync) },
	{ SCMP_SYS(fallocate) },
	{ SCMP_SYS(io_uring_setup) },
	{ SCMP_SYS(io_uring_enter) },
	{ SCMP_SYS(io_uring_register) },
	{ SCMP_SYS(ioctl), 1, ~0ull, BLKGETSIZE64 },
	{ SCMP_SYS(ioctl), 1, ~0ull, BLKSSZGET },
	{ SCMP_SYS(ioctl), 1, ~0ull, BLKPBSZGET },
	{ SCMP_SYS(ioctl), 1, ~0ull, BLKDISCARD },
	{ SCMP_SYS(ioctl), 1, ~0ull, BLKSECDISCARD },
	{ SCMP_SYS(fcntl), 1, ~0ull, F_GETFL }, /* O_DIRECT */
	{ SCMP_SYS(fcntl), 1, ~0ull, F_SETFL },
};

static const struct child_needs needs = {
	.name = "blkback",
	.rules = rules,
	.nrules = sizeof(rules) / sizeof(rules[0]),
	.threads = 256,
	.data_max = 4ull << 30,
};

static int open_vbd(const struct dev_host *host, uint32_t devid, void **ret)
{
	return vbd_new(host, devid, (struct vbd **)ret);
}

static void close_vbd(void *dev, bool gone)
{
	vbd_free(dev);
}

static const char *watched(const void *dev)
{
	return vbd_frontend_state(dev);
}

static bool poll(void *dev)
{
	return vbd_poll(dev);
}

static void tick(void *dev)
{
	vbd_check_size(dev);
}

int main(int argc, char **argv)
{
	static const struct dev_ops ops = {
		.program = "blkback",
		.kind = "vbd",
		.needs = &needs,
		.open = open_vbd,
		.close = close_vbd,
		.watched = watched,
		.poll = poll,
		.tick = tick,
	};

	return devhost_main(&ops, argc, argv);
}
