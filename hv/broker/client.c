/* hv/broker/client.c - who may talk to hvd, and what goes back to them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/paths.h"
#include "daemons/sys.h"
#include "hv/broker/hvd.h"

#define ACCEPT_REST_US 200000

struct client {
	struct client *next;
	struct hvd *h;
	uint64_t id;
	int fd;
	bool root;
	struct event *read_ev, *write_ev;
	bool subscribed;
	bool lagging; /* events were lost: a RESYNC goes out when there is room */
	unsigned pending;
};

static void client_free(struct client *cl)
{
	struct hvd *h = cl->h;
	struct client **at = &h->clients;

	while (*at != cl)
		at = &(*at)->next;
	*at = cl->next;
	h->nr_clients--;
	dom_client_gone(h, cl->id);
	if (cl->read_ev)
		event_free(cl->read_ev);
	if (cl->write_ev)
		event_free(cl->write_ev);
	close(cl->fd);
	free(cl);
}

static struct client *client_find(struct hvd *h, uint64_t id)
{
	struct client *cl = h->clients;

	while (cl && cl->id != id)
		cl = cl->next;
	return cl;
}

/* ---- replies ---- */

void reply_out(struct hvd *h, struct token t, const int *fds, size_t nfds)
{
	struct client *cl = t.client ? client_find(h, t.client) : NULL;

	if (!cl)
		return;
	if (cl->pending)
		cl->pending--;
	h->out.seq = t.seq;
	/* A client that asks and does not read is cut off at its next wake-up. */
	if (hv_link_send(cl->fd, &h->out, fds, nfds) < 0)
		(void)shutdown(cl->fd, SHUT_RDWR);
}

void reply_ok(struct hvd *h, struct token t)
{
	h->out = (struct hv_msg){ .type = HV_OK };
	reply_out(h, t, NULL, 0);
}

void reply_error(struct hvd *h, struct token t, int r, const char *text)
{
	h->out = (struct hv_msg){ .type = HV_ERROR, .status = r };
	(void)snprintf(h->out.u.ERROR.text, HV_TEXT_MAX, "%s", text ? text : strerror(-r));
	reply_out(h, t, NULL, 0);
}

static void tell(struct client *cl, uint32_t kind, uint16_t domid, uint32_t reason)
{
	struct hv_msg *m = &cl->h->out;

	if (cl->lagging)
		return; /* the RESYNC to come covers it */
	*m = (struct hv_msg){ .type = HV_EVENT,
			      .u.EVENT = { .kind = kind, .domid = domid, .reason = reason } };
	if (hv_link_send(cl->fd, m, NULL, 0) == -EAGAIN) {
		cl->lagging = true;
		(void)event_add(cl->write_ev, NULL); /* fails only without memory: then no RESYNC */
	}
}

void send_event(struct hvd *h, uint32_t kind, uint16_t domid, uint32_t reason)
{
	for (struct client *cl = h->clients; cl; cl = cl->next)
		if (cl->subscribed)
			tell(cl, kind, domid, reason);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;

	cl->lagging = false;
	tell(cl, EV_RESYNC, 0, 0);
}

/* ---- requests ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;
	struct hvd *h = cl->h;
	struct token t = { .client = cl->id };
	int fds[FDPASS_MAX], r;
	size_t nfds = 0;

	r = hv_link_recv(cl->fd, &h->buf, &h->in, fds, &nfds);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		client_free(cl);
		return;
	}
	t.seq = h->in.seq;
	if (h->in.type == HV_SUBSCRIBE) {
		cl->subscribed = true;
		reply_ok(h, t);
	} else if (cl->pending >= PENDING_MAX) {
		reply_error(h, t, -EBUSY, "too many requests of this connection are under way");
	} else {
		cl->pending++;
		h->text[0] = '\0';
		r = request_run(h, t, cl->root, &h->in, fds, nfds);
		fdpass_close(fds, nfds); /* before the answer: a failure leaves nothing */
		if (r < 0)
			reply_error(h, t, r, h->text[0] ? h->text : NULL);
	}
	fdpass_close(fds, nfds);
}

static bool in_group(int fd, gid_t primary, gid_t wanted)
{
	gid_t groups[256];
	socklen_t len = sizeof(groups);

	if (primary == wanted)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false; /* more groups than that: the primary one must do */
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (groups[i] == wanted)
			return true;
	return false;
}

static bool allowed(const struct hvd *h, int fd, bool *ret_root)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return false;
	*ret_root = who.uid == 0;
	return *ret_root || (h->have_group && in_group(fd, who.gid, h->group));
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct hvd *h = arg;

	(void)event_add(h->listen_ev, NULL); /* it was there before: needs no memory */
}

/* Without descriptors a waiting peer would wake us again and again for nothing. */
static void rest(struct hvd *h)
{
	struct timeval tv = { .tv_usec = ACCEPT_REST_US };

	if (event_base_once(h->base, -1, EV_TIMEOUT, on_rested, h, &tv) == 0)
		(void)event_del(h->listen_ev);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct hvd *h = arg;
	struct client *cl;
	bool root;
	int fd;

	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			rest(h);
		return;
	}
	cl = h->nr_clients < CLIENTS_MAX && allowed(h, fd, &root) ? sys_zalloc(sizeof(*cl)) : NULL;
	if (!cl) {
		(void)hv_link_send_error(fd, 0, -EACCES,
					 "only root and the socket's group may talk to hvd");
		close(fd);
		return;
	}
	*cl = (struct client){
		.next = h->clients, .h = h, .id = ++h->last_client, .fd = fd, .root = root
	};
	h->clients = cl;
	h->nr_clients++;
	cl->read_ev = event_new(h->base, fd, EV_READ | EV_PERSIST, on_readable, cl);
	cl->write_ev = event_new(h->base, fd, EV_WRITE, on_writable, cl);
	if (!cl->read_ev || !cl->write_ev || event_add(cl->read_ev, NULL) < 0)
		client_free(cl);
}

int clients_listen(struct hvd *h)
{
	char path[108];
	int fd = listen_inherited("hvd");

	if (fd == -ENOENT) {
		if (!path_hvd_sock(path))
			return -ENAMETOOLONG;
		fd = listen_unix(path, SOCK_SEQPACKET, 0660, h->have_group ? h->group : (gid_t)-1);
	}
	if (fd < 0)
		return fd;
	h->listen_fd = fd;
	h->listen_ev = event_new(h->base, fd, EV_READ | EV_PERSIST, on_accept, h);
	if (!h->listen_ev || event_add(h->listen_ev, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void clients_fini(struct hvd *h)
{
	while (h->clients)
		client_free(h->clients);
	if (h->listen_ev)
		event_free(h->listen_ev);
	if (h->listen_fd >= 0)
		close(h->listen_fd);
	h->listen_ev = NULL;
	h->listen_fd = -1;
}
