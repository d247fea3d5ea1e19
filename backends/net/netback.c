/* backends/net/netback.c - the network backend of one guest; each queue has a thread
 * of its own. */
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <seccomp.h>

#include "backends/net/vif.h"

/* Frames, and what a TAP is told. */
static const struct jail_rule rules[] = {
	{ SCMP_SYS(ioctl), 1, ~0ull, TUNSETQUEUE },
	{ SCMP_SYS(ioctl), 1, ~0ull, TUNSETOFFLOAD },
	{ SCMP_SYS(ioctl), 1, ~0ull, TUNSETCARRIER },
	{ SCMP_SYS(ioctl), 1, ~0ull, TUNSETPERSIST },
};

static int open_vif(const struct dev_host *host, uint32_t devid, void **ret)
{
	return vif_new(host, devid, (struct vif **)ret);
}

static void close_vif(void *dev, bool gone)
{
	vif_free(dev, gone);
}

static const char *watched(const void *dev)
{
	return vif_watched(dev);
}

static bool poll(void *dev)
{
	return vif_poll(dev);
}

static void tick(void *dev)
{
	vif_tick(dev);
}

#define THREADS 130u /* a queue each, and the control thread */

int main(int argc, char **argv)
{
	static const struct child_needs needs = {
		.name = "netback",
		.rules = rules,
		.nrules = sizeof(rules) / sizeof(rules[0]),
		.threads = THREADS,
		.data_max = 1ull << 30,
	};
	static const struct dev_ops ops = {
		.needs = &needs,
		.program = "netback",
		.kind = "vif",
		.open = open_vif,
		.close = close_vif,
		.watched = watched,
		.poll = poll,
		.tick = tick,
	};

	return devhost_main(&ops, argc, argv);
}
