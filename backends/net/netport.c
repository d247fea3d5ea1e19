/* backends/net/netport.c - /dev/net/tun. */
#include "backends/net/netport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemons/sys.h"

#define VNET_HDR_BYTES 10 /* struct virtio_net_hdr */

static int open_queue(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int size = VNET_HDR_BYTES, fd = sys_open("/dev/net/tun", O_RDWR | O_NONBLOCK, 0), r = 0;

	if (fd < 0)
		return fd;
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 ||
	    ioctl(fd, TUNSETPERSIST, 1) < 0) {
		r = -errno;
		close(fd);
	}
	return r < 0 ? r : fd;
}

static int put_up(const char *name)
{
	struct ifreq ifr = { 0 };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

	if (s < 0)
		return -errno;
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		r = -errno;
	ifr.ifr_flags |= IFF_UP;
	if (r == 0 && ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
		r = -errno;
	close(s);
	return r;
}

int netport_open(uint16_t domid, uint32_t devid, uint32_t queues, struct netport *ret)
{
	struct netport p = { .queues = 0 };
	int r = 0;

	if (snprintf(p.name, sizeof(p.name), "vif%u.%u", domid, devid) >= (int)sizeof(p.name))
		return -ENAMETOOLONG;
	while (p.queues < queues && r == 0) {
		r = open_queue(p.name);
		if (r >= 0) {
			p.fd[p.queues++] = r;
			r = 0;
		}
	}
	if (r == 0)
		r = put_up(p.name);
	if (r < 0) {
		netport_close(&p, false);
		return r;
	}
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
