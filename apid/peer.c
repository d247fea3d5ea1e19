/* apid/peer.c - SO_PEERCRED and sock_diag. */
#include "apid/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct diag_req {
	struct nlmsghdr nh;
	struct inet_diag_req_v2 q;
};

static void fill_id(struct inet_diag_sockid *id, const struct sockaddr_storage *src,
		    const struct sockaddr_storage *dst)
{
	if (src->ss_family == AF_INET) {
		const struct sockaddr_in *s = (const void *)src, *d = (const void *)dst;

		id->idiag_src[0] = s->sin_addr.s_addr;
		id->idiag_dst[0] = d->sin_addr.s_addr;
		id->idiag_sport = s->sin_port;
		id->idiag_dport = d->sin_port;
	} else {
		const struct sockaddr_in6 *s = (const void *)src, *d = (const void *)dst;

		memcpy(id->idiag_src, &s->sin6_addr, 16);
		memcpy(id->idiag_dst, &d->sin6_addr, 16);
		id->idiag_sport = s->sin6_port;
		id->idiag_dport = d->sin6_port;
	}
	id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* Owner of the socket whose own address is src and whose peer is dst. */
static int tcp_owner(const struct sockaddr_storage *src, const struct sockaddr_storage *dst,
		     uid_t *ret)
{
	struct diag_req q = { .nh = { .nlmsg_len = sizeof(q),
				      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				      .nlmsg_flags = NLM_F_REQUEST },
			      .q = { .sdiag_family = (uint8_t)src->ss_family,
				     .sdiag_protocol = IPPROTO_TCP,
				     .idiag_states = ~0u } };
	struct {
		struct nlmsghdr nh;
		char body[8192];
	} a;
	const struct inet_diag_msg *m = (const void *)a.body;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), r = -ENOENT;
	ssize_t n;

	if (fd < 0)
		return -errno;
	fill_id(&q.q.id, src, dst);
	if (send(fd, &q, sizeof(q), 0) == (ssize_t)sizeof(q)) {
		n = recv(fd, &a, sizeof(a), 0);
		if (n >= (ssize_t)(sizeof(a.nh) + sizeof(*m)) &&
		    a.nh.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
			*ret = m->idiag_uid;
			r = 0;
		}
	}
	close(fd);
	return r;
}

static bool in_group(uid_t uid, gid_t group)
{
	gid_t groups[256];
	struct passwd pw, *found = NULL;
	char buf[4096];
	int n = 256;

	if (group == (gid_t)-1 || getpwuid_r(uid, &pw, buf, sizeof(buf), &found) != 0 || !found)
		return false;
	if (getgrouplist(pw.pw_name, pw.pw_gid, groups, &n) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (groups[i] == group)
			return true;
	return false;
}

void peer_identify(int fd, gid_t group, struct caller *ret)
{
	struct sockaddr_storage us, them;
	socklen_t nus = sizeof(us), nthem = sizeof(them);
	struct ucred cred;
	socklen_t ncred = sizeof(cred);

	*ret = (struct caller){ .uid = (uid_t)-1, .priv = PRIV_NONE };
	if (getsockname(fd, (struct sockaddr *)&us, &nus) < 0)
		return;
	if (us.ss_family == AF_UNIX) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &ncred) == 0)
			*ret = (struct caller){ .uid = cred.uid, .priv = PRIV_ADMIN };
		return;
	}
	if (getpeername(fd, (struct sockaddr *)&them, &nthem) < 0 ||
	    tcp_owner(&them, &us, &ret->uid) < 0)
		return;
	if (ret->uid == 0 || ret->uid == geteuid() || in_group(ret->uid, group))
		ret->priv = PRIV_ADMIN;
}
