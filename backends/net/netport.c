/* backends/net/netport.c - what a jailed backend does with its TAP. */
#include "backends/net/netport.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int netport_take(const struct wardenc_dev *dev, struct netport *ret)
{
	struct netport p = { .queues = (uint32_t)dev->nfds };

	for (size_t i = 0; i < dev->nfds; i++)
		p.fd[i] = dev->fds[i];
	if (!dev->nfds || !dev->blob_len || dev->blob_len >= sizeof(p.name)) {
		netport_close(&p, false);
		return -EBADMSG;
	}
	memcpy(p.name, dev->blob, dev->blob_len);
	*ret = p;
	return 0;
}

void netport_close(struct netport *p, bool gone)
{
	/* Fails only on what is no TAP any more. */
	if (gone && p->queues)
		(void)ioctl(p->fd[0], TUNSETPERSIST, 0);
	for (uint32_t i = 0; i < p->queues; i++)
		close(p->fd[i]);
	p->queues = 0;
}

void netport_set(const struct netport *p, uint32_t used, bool csum, bool tso4, bool tso6)
{
	unsigned long bits =
		csum ? TUN_F_CSUM | (tso4 ? TUN_F_TSO4 : 0u) | (tso6 ? TUN_F_TSO6 : 0u) : 0;

	/* Failures: a queue that is attached or detached already, and descriptors
	 * that are no TAP; frames then come finished. */
	for (uint32_t i = 0; i < p->queues; i++) {
		struct ifreq ifr = { .ifr_flags = i < used ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

		(void)ioctl(p->fd[i], TUNSETQUEUE, &ifr);
	}
	(void)ioctl(p->fd[0], TUNSETOFFLOAD, bits);
}

void netport_carrier(int fd, bool on)
{
	int v = on;

	(void)ioctl(fd, TUNSETCARRIER, &v); /* an old kernel: the link stays up */
}
