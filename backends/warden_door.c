/* backends/warden_door.c - the three sockets in a backend's root, who may come in
 * there, and the requests at "open". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/warden_int.h"
#include "daemons/fdpass.h"
#include "daemons/listen.h"
#include "daemons/sys.h"

#define VISITORS_MAX 4u
#define SAY_EVERY_S  10u

static const struct {
	const char *name;
	int type;
} names[DOORS] = {
	[DOOR_HV] = { "hv", SOCK_SEQPACKET },
	[DOOR_XS] = { "xs", SOCK_STREAM },
	[DOOR_OPEN] = { "open", SOCK_SEQPACKET },
};

/* ---- "open" ---- */

static void visitor_free(struct visitor *v)
{
	struct visitor **at = &v->g->visitors;

	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	v->g->nr_visitors--;
	if (v->ev)
		event_free(v->ev);
	close(v->fd);
	free(v);
}

static int serve(struct visitor *v)
{
	struct warden_rep rep = { 0 };
	struct warden_req rq;
	const int *out = NULL;
	int fds[FDPASS_MAX], own = -1, r;
	size_t nfds = 0, nout = 0;
	ssize_t n = fdpass_recv(v->fd, &rq, sizeof(rq), fds, &nfds);

	if (n == -EAGAIN)
		return 0;
	if (n > 0)
		fdpass_close(fds, nfds);
	if (n != sizeof(rq))
		return -ECONNRESET;
	rep.seq = rq.seq;
	dev_answer(v->g, &rq, &rep, &out, &nout, &own);
	r = fdpass_send(v->fd, &rep, sizeof(rep), out, nout);
	if (own >= 0)
		close(own);
	return r;
}

static void on_visitor(evutil_socket_t fd, short what, void *arg)
{
	if (serve(arg) < 0)
		visitor_free(arg);
}

static int visitor_add(struct guest *g, int fd)
{
	struct visitor *v = g->nr_visitors < VISITORS_MAX ? sys_zalloc(sizeof(*v)) : NULL;

	if (!v) {
		close(fd);
		return -EBUSY;
	}
	*v = (struct visitor){ .next = g->visitors, .g = g, .fd = fd };
	g->visitors = v;
	g->nr_visitors++;
	v->ev = event_new(g->w->base, fd, EV_READ | EV_PERSIST, on_visitor, v);
	if (!v->ev || event_add(v->ev, NULL) < 0) {
		visitor_free(v);
		return -ENOMEM;
	}
	return 0;
}

/* ---- all three ---- */

static bool has_device(void *arg, uint32_t devid)
{
	return dev_find(arg, devid) != NULL;
}

static void on_refused(void *arg, const char *what)
{
	struct guest *g = arg;
	uint32_t more;

	if (log_window_open(&g->refused_quota, SAY_EVERY_S, &more))
		(void)log_warn(0, "%s of guest %u was refused: %s (and %u before)",
			       g->w->kind->program, g->domid, what, more);
}

/* Only the jailed process itself, or root. */
static bool is_him(const struct guest *g, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       (who.uid == g->uid || who.uid == 0);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct door *d = arg;
	struct guest *g = d->g;
	int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;

	if (c < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR &&
		    log_window_open(&g->slow_quota, SAY_EVERY_S, NULL))
			(void)log_warn(-errno, "guest %u: accept", g->domid);
		return;
	}
	if (!is_him(g, c)) {
		close(c);
		return;
	}
	if (d->which == DOOR_OPEN)
		r = visitor_add(g, c);
	else
		r = d->which == DOOR_HV ? relay_hv_add(&g->relays, c) : relay_xs_add(&g->relays, c);
	/* hvd or xenstored may be away: the backend tries again. */
	if (r < 0 && log_window_open(&g->slow_quota, SAY_EVERY_S, NULL))
		(void)log_warn(r, "guest %u: no connection to %s", g->domid, names[d->which].name);
}

static int open_one(struct guest *g, unsigned which)
{
	struct door *d = &g->doors[which];
	char path[128];
	int r;

	snprintf(path, sizeof(path), "%s/root/%s", g->dir, names[which].name);
	r = d->fd = listen_unix(path, names[which].type, 0600, (gid_t)-1);
	if (r < 0)
		return r;
	if (g->w->jailed && chown(path, g->uid, (gid_t)-1) < 0)
		return -errno;
	d->ev = event_new(g->w->base, d->fd, EV_READ | EV_PERSIST, on_accept, d);
	return !d->ev || event_add(d->ev, NULL) < 0 ? -ENOMEM : 0;
}

int doors_open(struct guest *g)
{
	char root[128];
	int r = 0;

	g->relays = (struct relay_host){
		.base = g->w->base,
		.domid = g->domid,
		.kind = g->w->kind->kind,
		.writes = g->w->kind->writes,
		.hv_path = g->w->hv_path,
		.xs_path = g->w->xs_path,
		.has_device = has_device,
		.refused = on_refused,
		.arg = g,
	};
	for (unsigned i = 0; i < DOORS; i++)
		g->doors[i] = (struct door){ .g = g, .which = i, .fd = -1 };
	snprintf(root, sizeof(root), "%s/root", g->dir);
	if ((mkdir(g->dir, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(root, 0755) < 0 && errno != EEXIST))
		return -errno;
	for (unsigned i = 0; r >= 0 && i < DOORS; i++)
		r = open_one(g, i);
	return r;
}

void doors_close(struct guest *g)
{
	while (g->visitors)
		visitor_free(g->visitors);
	relay_free_all(&g->relays);
	for (unsigned i = 0; i < DOORS; i++) {
		if (g->doors[i].ev)
			event_free(g->doors[i].ev);
		if (g->doors[i].fd >= 0)
			close(g->doors[i].fd);
		g->doors[i] = (struct door){ .g = g, .which = i, .fd = -1 };
	}
}
