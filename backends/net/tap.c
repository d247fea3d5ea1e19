/* backends/net/tap.c - /dev/net/tun and bridge ports.
 *
 * A port's own address is fe:ff:ff:ff:ff:ff, as Xen's scripts set it: a bridge
 * takes the lowest address of its ports as its own, and must not take this one.
 */
#include "backends/net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemons/sys.h"

#define VNET_HDR_BYTES 10 /* struct virtio_net_hdr */

static struct ifreq request(const char *name)
{
	struct ifreq ifr = { 0 };

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return ifr;
}

static int open_queue(const char *name)
{
	struct ifreq ifr = request(name), off = { .ifr_flags = IFF_DETACH_QUEUE };
	int size = VNET_HDR_BYTES, fd = sys_open("/dev/net/tun", O_RDWR | O_NONBLOCK, 0), r = 0;

	if (fd < 0)
		return fd;
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	/* Detached at once: a frame for a queue that nobody reads would be lost, and
	 * those of a backend that runs on while netd is new stay the only ones. */
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 ||
	    ioctl(fd, TUNSETPERSIST, 1) < 0 || ioctl(fd, TUNSETQUEUE, &off) < 0) {
		r = -errno;
		close(fd);
	}
	return r < 0 ? r : fd;
}

int tap_open(const char *name, int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = open_queue(name);
		if (fds[i] < 0) {
			int r = fds[i];

			while (i)
				close(fds[--i]);
			return r;
		}
	}
	return 0;
}

void tap_remove(const char *name)
{
	struct ifreq ifr = request(name);
	int fd = sys_open("/dev/net/tun", O_RDWR, 0);

	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	/* Fails where it is gone already: then there is nothing to do. */
	if (fd >= 0 && if_nametoindex(name) && ioctl(fd, TUNSETIFF, &ifr) == 0)
		(void)ioctl(fd, TUNSETPERSIST, 0);
	if (fd >= 0)
		close(fd);
}

static int control_socket(void)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return s < 0 ? -errno : s;
}

static int put_up(int s, const char *name)
{
	struct ifreq ifr = request(name);

	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(s, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int set_address(int s, const char *name)
{
	struct ifreq ifr = request(name);

	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, "\xfe\xff\xff\xff\xff\xff", 6);
	return ioctl(s, SIOCSIFHWADDR, &ifr) < 0 ? -errno : 0;
}

/* mtu 0: as the bridge's. */
static int set_mtu(int s, const char *name, const char *bridge, int mtu)
{
	struct ifreq from = request(bridge), to = request(name);

	if (!mtu && ioctl(s, SIOCGIFMTU, &from) < 0)
		return -errno;
	to.ifr_mtu = mtu ? mtu : from.ifr_mtu;
	return ioctl(s, SIOCSIFMTU, &to) < 0 ? -errno : 0;
}

/* The host itself has no business on the port. */
static void no_ipv6(const char *name)
{
	char path[96];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = sys_open(path, O_WRONLY, 0);
	if (fd >= 0) { /* else there is no IPv6 here */
		(void)sys_write(fd, "1", 1);
		close(fd);
	}
}

static int add_port(int s, const char *name, const char *bridge)
{
	struct ifreq ifr = request(bridge);

	ifr.ifr_ifindex = (int)if_nametoindex(name);
	if (ioctl(s, SIOCBRADDIF, &ifr) == 0 || errno == EBUSY) /* it is one, as after a restart */
		return 0;
	return errno == EOPNOTSUPP ? -EINVAL : -errno;
}

int tap_join(const char *name, const char *bridge, int mtu)
{
	int s, r;

	if (!if_nametoindex(bridge))
		return -ENODEV;
	s = control_socket();
	if (s < 0)
		return s;
	no_ipv6(name);
	r = set_address(s, name);
	if (r == 0)
		r = set_mtu(s, name, bridge, mtu);
	if (r == 0)
		r = add_port(s, name, bridge);
	if (r == 0)
		r = put_up(s, name);
	close(s);
	return r;
}
