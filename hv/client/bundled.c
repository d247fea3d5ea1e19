/* hv/client/bundled.c - requests to hvd: connect, ask, check the answer. */
#include "hv/client/bundled.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemons/listen.h"
#include "daemons/paths.h"
#include "daemons/sys.h"
#include "hv/client/grants.h"

static void disconnect(struct bundled *b)
{
	if (b->sock >= 0)
		close(b->sock);
	b->sock = -1;
}

static int connect_hvd(struct bundled *b)
{
	int r;

	if (b->sock >= 0)
		return 0;
	r = connect_unix(b->path, SOCK_SEQPACKET);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return -ENOTCONN;
	if (r < 0)
		return r;
	b->sock = r;
	while (b->owed) {
		struct owed_close *o = b->owed;
		struct hv_msg m = { .type = HV_PORT_CLOSE, .seq = ++b->seq };

		m.u.PORT_CLOSE = o->what;
		if (hv_link_send(b->sock, &m, NULL, 0) < 0)
			break; /* stays owed; the call that follows sees the error */
		b->owed = o->next;
		free(o);
	}
	return 0;
}

static int set_timeout(int sock, unsigned seconds)
{
	struct timeval tv = { .tv_sec = seconds };

	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	return 0;
}

static int send_request(struct bundled *b, const struct call *c)
{
	struct hv_msg *m = &b->reply; /* its room is free until the answer comes */
	int r = 0;

	*m = *c->req;
	m->seq = ++b->seq;
	/* A connection that an earlier hvd left behind fails here: once more. */
	for (int tries = 0; tries < 2; tries++) {
		r = connect_hvd(b);
		if (r < 0)
			return r;
		r = set_timeout(b->sock, c->timeout_s);
		if (r == 0)
			r = hv_link_send(b->sock, m, c->fds, c->nfds);
		if (r != -EPIPE && r != -ECONNRESET)
			break;
		disconnect(b);
		r = -ENOTCONN;
	}
	return r;
}

static int recv_reply(struct bundled *b, const struct call *c, int *ret_fds)
{
	int fds[FDPASS_MAX];
	size_t nfds = 0;
	int r;

	do {
		nfds = 0;
		r = hv_link_recv(b->sock, &b->buf, &b->reply, fds, &nfds);
		if (r <= 0)
			return r == 0 ? -ENOTCONN : r == -EAGAIN ? -ETIMEDOUT : r;
		if (b->reply.seq == b->seq)
			break;
		fdpass_close(fds, nfds); /* the answer to a PORT_CLOSE we did not wait for */
	} while (1);
	if (b->reply.type == HV_ERROR) {
		fdpass_close(fds, nfds);
		return b->reply.status < 0 ? b->reply.status : -EBADMSG;
	}
	if (b->reply.type != c->want || nfds != c->want_fds) {
		fdpass_close(fds, nfds);
		return -EBADMSG;
	}
	for (size_t i = 0; i < nfds; i++)
		ret_fds[i] = fds[i];
	return 0;
}

int bundled_call(struct bundled *b, const struct call *c, int *ret_fds)
{
	const char *text = NULL;
	int r;

	r = send_request(b, c);
	if (r == 0) {
		r = recv_reply(b, c, ret_fds);
		if (r < 0 && b->reply.type == HV_ERROR && b->reply.seq == b->seq) {
			text = b->reply.u.ERROR.text; /* the connection is fine */
		} else if (r < 0) {
			disconnect(b);
			text = r == -ENOTCONN ? "hvd ended the connection without an answer" : NULL;
		}
	} else if (b->sock >= 0 && r != -EMSGSIZE) {
		disconnect(b);
	}
	if (r == -ENOTCONN && !text)
		text = "hvd is not running";
	if (r < 0 && c->err)
		(void)snprintf(c->err, c->errlen, "%s",
			       text && *text ? text : strerror(-r)); /* cut */
	return r;
}

int bundled_simple(struct bundled *b, struct hv_msg *req, unsigned timeout_s)
{
	struct call c = { .req = req, .want = HV_OK, .timeout_s = timeout_s };

	return bundled_call(b, &c, NULL);
}

static void copy_info(struct hvc_dominfo *to, const struct hv_INFO *from)
{
	*to = (struct hvc_dominfo){
		.domid = from->domid,
		.flags = from->flags,
		.shutdown_reason = from->shutdown_reason,
		.pages = from->pages,
		.max_pages = from->max_pages,
		.vcpus_online = from->vcpus_online,
		.max_vcpus = from->max_vcpus,
		.cpu_ns = from->cpu_ns,
		.created_ns = from->created_ns,
	};
	memcpy(to->uuid, from->uuid, sizeof(to->uuid));
	memcpy(to->crash_detail, from->crash_detail, sizeof(to->crash_detail));
	memcpy(to->engine, from->engine, sizeof(to->engine));
}

static int bundled_dominfo(struct hvc *h, uint16_t domid, struct hvc_dominfo *ret)
{
	struct bundled *b = (struct bundled *)h;
	struct hv_msg m = { .type = HV_DOMINFO, .u.DOMINFO.domid = domid };
	struct call c = { .req = &m, .want = HV_DOMINFO_REPLY, .timeout_s = CALL_SHORT_S };
	int r = bundled_call(b, &c, NULL);

	if (r == 0)
		copy_info(ret, &b->reply.u.DOMINFO_REPLY.info);
	return r;
}

static int bundled_domlist(struct hvc *h, uint16_t first, struct hvc_dominfo *ret, size_t n)
{
	struct bundled *b = (struct bundled *)h;
	const struct hv_DOMLIST_REPLY *l = &b->reply.u.DOMLIST_REPLY;
	struct hv_msg m = { .type = HV_DOMLIST };
	struct call c = { .req = &m, .want = HV_DOMLIST_REPLY, .timeout_s = CALL_SHORT_S };
	uint32_t from = first;
	size_t got = 0;

	while (got < n && from < HVC_DOMID_FIRST_RESERVED) {
		size_t room = n - got;
		int r;

		m.u.DOMLIST.first = (uint16_t)from;
		m.u.DOMLIST.max = room < HV_INFOS_MAX ? (uint32_t)room : HV_INFOS_MAX;
		r = bundled_call(b, &c, NULL);
		if (r < 0)
			return r;
		if (l->items_n > m.u.DOMLIST.max)
			return -EBADMSG;
		for (uint32_t i = 0; i < l->items_n; i++)
			copy_info(&ret[got++], &l->items[i]);
		if (l->items_n < m.u.DOMLIST.max)
			break;
		from = l->items[l->items_n - 1].domid + 1u;
	}
	return (int)got;
}

static int bundled_map_page(struct hvc *h, uint16_t domid, uint64_t gfn, void **ret)
{
	struct bundled *b = (struct bundled *)h;
	struct hv_msg m = { .type = HV_MAP_PAGE, .u.MAP_PAGE = { .domid = domid, .gfn = gfn } };
	struct call c = {
		.req = &m, .want = HV_MAP_PAGE_REPLY, .want_fds = 1, .timeout_s = CALL_SHORT_S
	};
	int fd, r;
	void *p;

	r = bundled_call(b, &c, &fd);
	if (r < 0)
		return r;
	p = sys_mmap_shared(fd, P2M_PAGE_SIZE,
			    (off_t)b->reply.u.MAP_PAGE_REPLY.page * P2M_PAGE_SIZE,
			    PROT_READ | PROT_WRITE, &r);
	close(fd);
	if (!p)
		return r;
	*ret = p;
	return 0;
}

static void bundled_unmap_page(struct hvc *h, void *page)
{
	munmap(page, P2M_PAGE_SIZE);
}

static int bundled_guest_open(struct hvc *h, uint16_t domid, struct hvc_guest **ret)
{
	struct bundled *b = (struct bundled *)h;
	struct hv_msg m = { .type = HV_GUEST_OPEN, .u.GUEST_OPEN.domid = domid };
	struct call c = {
		.req = &m, .want = HV_GUEST_OPEN_REPLY, .want_fds = 2, .timeout_s = CALL_SHORT_S
	};
	int fds[FDPASS_MAX], r;

	r = bundled_call(b, &c, fds);
	if (r < 0)
		return r;
	r = grants_open(fds[0], b->reply.u.GUEST_OPEN_REPLY.ram_pages, fds[1],
			b->reply.u.GUEST_OPEN_REPLY.gnttab_frames, ret);
	fdpass_close(fds, 2);
	return r;
}

static struct hvc *bundled_close(struct hvc *h)
{
	struct bundled *b = (struct bundled *)h;
	int fds[] = { b->sock, b->ev_sock, b->timer_fd, b->ep_fd };

	fdpass_close(fds, sizeof(fds) / sizeof(fds[0]));
	while (b->owed) {
		struct owed_close *o = b->owed;

		b->owed = o->next;
		free(o);
	}
	free(b);
	return NULL;
}

static const struct hvc_ops bundled_ops = {
	.close = bundled_close,
	.dominfo = bundled_dominfo,
	.domlist = bundled_domlist,
	.event_fd = bundled_event_fd,
	.event_next = bundled_event_next,
	.map_page = bundled_map_page,
	.unmap_page = bundled_unmap_page,
	.guest_open = bundled_guest_open,
	.port_bind = bundled_port_bind,
};

struct bundled *bundled_of(struct hvc *h)
{
	return h->ops == &bundled_ops ? (struct bundled *)h : NULL;
}

int bundled_open(const char *path, struct hvc **ret)
{
	char def[108];
	struct bundled *b;

	if (!path)
		path = path_hvd_sock(def);
	if (!path || strlen(path) >= sizeof(b->path))
		return -ENAMETOOLONG;
	b = sys_zalloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->base.ops = &bundled_ops;
	memcpy(b->path, path, strlen(path) + 1);
	b->sock = b->ep_fd = b->ev_sock = b->timer_fd = -1;
	*ret = &b->base;
	return 0;
}
