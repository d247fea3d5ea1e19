/* backends/block/blkback.c - the block backend of one guest; each device has a
 * thread of its own. */
#include "backends/block/vbd.h"

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
		.open = open_vbd,
		.close = close_vbd,
		.watched = watched,
		.poll = poll,
		.tick = tick,
	};

	return devhost_main(&ops, argc, argv);
}
