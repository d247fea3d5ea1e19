/* hv/domain/ctl.c - hvd's requests to machine model calls, one at a time. */
#include "hv/domain/ctl.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemons/hv_link.h"
#include "daemons/sys.h"

#define LINES_MAX 64 /* waiting for hvd; more are counted and dropped */

/* What a restarted hvd asks back: copies of a bound port's descriptors. */
struct bound_port {
	struct bound_port *next; /* ascending by number */
	uint32_t port;
	uint64_t cookie;
	int fds[2];
};

struct ctl {
	uint16_t domid;
	struct domain *d;
	int ep_fd, conn, listener, wake_fd;
	int memfds[3];
	struct bound_port *ports;
	uint32_t nr_ports;
	struct domain_events events;

	pthread_mutex_t lock; /* guards what is below; held for copies only */
	char lines[LINES_MAX][HV_TEXT_MAX];
	unsigned first, count, dropped;
	bool shut;
	unsigned reason;

	struct hv_link_buf buf;
	struct hv_msg in, out;
};

/* ---- any thread ---- */

static void wake(struct ctl *c)
{
	uint64_t one = 1;

	(void)!write(c->wake_fd, &one, sizeof(one)); /* full means awake already */
}

void ctl_log(struct ctl *c, const char *line)
{
	pthread_mutex_lock(&c->lock);
	if (c->count < LINES_MAX) {
		char *to = c->lines[(c->first + c->count++) % LINES_MAX];

		(void)snprintf(to, HV_TEXT_MAX, "%s", line); /* cut */
	} else {
		c->dropped++;
	}
	pthread_mutex_unlock(&c->lock);
	wake(c);
}

static void on_log(void *arg, const char *line)
{
	ctl_log(arg, line);
}

static void on_shutdown(void *arg, unsigned reason)
{
	struct ctl *c = arg;

	pthread_mutex_lock(&c->lock);
	c->shut = true;
	c->reason = reason;
	pthread_mutex_unlock(&c->lock);
	wake(c);
}

const struct domain_events *ctl_events(struct ctl *c)
{
	return &c->events;
}

/* ---- the control thread ---- */

static void drop_conn(struct ctl *c)
{
	if (c->conn >= 0)
		close(c->conn); /* leaves the epoll set with it */
	c->conn = -1;
}

static int watch(struct ctl *c, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(c->ep_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static void send_out(struct ctl *c, const int *fds, size_t nfds)
{
	if (c->conn >= 0 && hv_link_send(c->conn, &c->out, fds, nfds) < 0)
		drop_conn(c);
}

/* The next line to tell, or false.  Lines wait while no hvd is there. */
static bool next_line(struct ctl *c)
{
	bool got = false;

	pthread_mutex_lock(&c->lock);
	c->out = (struct hv_msg){ .type = HV_D_LOG };
	if (c->count) {
		memcpy(c->out.u.D_LOG.text, c->lines[c->first], HV_TEXT_MAX);
		c->first = (c->first + 1) % LINES_MAX;
		c->count--;
		got = true;
	} else if (c->dropped) {
		(void)snprintf(c->out.u.D_LOG.text, HV_TEXT_MAX, "%u lines were dropped",
			       c->dropped);
		c->dropped = 0;
		got = true;
	}
	pthread_mutex_unlock(&c->lock);
	return got;
}

static void tell_news(struct ctl *c)
{
	uint64_t n;
	bool shut;
	unsigned reason;

	(void)!read(c->wake_fd, &n, sizeof(n));
	while (c->conn >= 0 && next_line(c))
		send_out(c, NULL, 0);
	pthread_mutex_lock(&c->lock);
	shut = c->shut && c->conn >= 0;
	reason = c->reason;
	if (shut)
		c->shut = false; /* a later hvd sees it in D_STATS */
	pthread_mutex_unlock(&c->lock);
	if (shut) {
		c->out = (struct hv_msg){ .type = HV_D_SHUTDOWN, .u.D_SHUTDOWN.reason = reason };
		send_out(c, NULL, 0);
	}
}

/* ---- ports ---- */

static struct bound_port **find_port(struct ctl *c, uint32_t port)
{
	struct bound_port **at = &c->ports;

	while (*at && (*at)->port < port)
		at = &(*at)->next;
	return at;
}

static void forget_port(struct ctl *c, struct bound_port **at)
{
	struct bound_port *p = *at;

	*at = p->next;
	fdpass_close(p->fds, 2);
	free(p);
	c->nr_ports--;
}

static int do_bind(struct ctl *c, int *fds)
{
	const struct hv_D_BIND *m = &c->in.u.D_BIND;
	struct bound_port **at = find_port(c, m->port), *p;
	int r;

	p = *at && (*at)->port == m->port ? *at : NULL;
	if (!p && c->nr_ports >= DOM0_PORTS_MAX)
		return -ENOSPC;
	if (!p) {
		p = sys_zalloc(sizeof(*p));
		if (!p)
			return -ENOMEM;
		*p = (struct bound_port){ .next = *at, .port = m->port, .fds = { -1, -1 } };
		*at = p;
		c->nr_ports++;
	}
	fdpass_close(p->fds, 2);
	p->fds[0] = dup(fds[0]);
	p->fds[1] = dup(fds[1]);
	p->cookie = m->cookie;
	r = p->fds[0] < 0 || p->fds[1] < 0 ? -EMFILE : 0;
	if (r == 0)
		r = domain_bind_dom0(c->d, m->port, fds[0], fds[1]);
	if (r < 0) {
		forget_port(c, at);
		return r;
	}
	fds[0] = fds[1] = -1; /* consumed */
	return 0;
}

static int do_unbind(struct ctl *c, int *fds)
{
	uint32_t port = c->in.u.D_UNBIND.port;
	struct bound_port **at = find_port(c, port);

	if (*at && (*at)->port == port)
		forget_port(c, at);
	return domain_unbind_dom0(c->d, port);
}

static int do_port(struct ctl *c, int *fds)
{
	const struct bound_port *p = *find_port(c, c->in.u.D_PORT.from);

	if (!p)
		return -ENOENT;
	c->out.type = HV_D_PORT_REPLY;
	c->out.u.D_PORT_REPLY = (struct hv_D_PORT_REPLY){ .port = p->port, .cookie = p->cookie };
	send_out(c, p->fds, 2);
	return 1;
}

/* ---- the other requests ---- */

static int do_pause(struct ctl *c, int *fds)
{
	domain_pause(c->d);
	return 0;
}

static int do_unpause(struct ctl *c, int *fds)
{
	domain_unpause(c->d);
	return 0;
}

static int do_set_max_pages(struct ctl *c, int *fds)
{
	return domain_set_max_pages(c->d, c->in.u.D_SET_MAX_PAGES.pages);
}

static int do_nmi(struct ctl *c, int *fds)
{
	return domain_nmi(c->d, c->in.u.D_NMI.vcpu);
}

static int do_debug_virq(struct ctl *c, int *fds)
{
	domain_debug_virq(c->d);
	return 0;
}

static int do_adopt(struct ctl *c, int *fds)
{
	c->out.type = HV_D_ADOPT_REPLY;
	c->out.u.D_ADOPT_REPLY.domid = c->domid;
	send_out(c, c->memfds, 3);
	return 1;
}

_Static_assert((int)DOM_BUILDING == HV_DOM_BUILDING && (int)DOM_PAUSED == HV_DOM_PAUSED &&
		       (int)DOM_RUNNING == HV_DOM_RUNNING && (int)DOM_SHUTDOWN == HV_DOM_SHUTDOWN,
	       "the states on the wire are the model's");

static int do_stats(struct ctl *c, int *fds)
{
	struct hv_D_STATS_REPLY *m = &c->out.u.D_STATS_REPLY;
	struct domain_stats s;

	domain_stats(c->d, &s);
	c->out.type = HV_D_STATS_REPLY;
	*m = (struct hv_D_STATS_REPLY){
		.state = s.state,
		.shutdown_reason = s.shutdown_reason,
		.pages = s.pages,
		.max_pages = s.max_pages,
		.vcpus_online = s.vcpus_online,
		.max_vcpus = s.max_vcpus,
		.blocked = s.blocked,
		.cpu_ns = s.cpu_ns,
		.vcpu_ns_n = s.max_vcpus < DOMAIN_MAX_VCPUS ? s.max_vcpus : DOMAIN_MAX_VCPUS,
	};
	memcpy(m->crash_detail, s.crash_detail, sizeof(m->crash_detail));
	memcpy(m->vcpu_ns, s.vcpu_ns, sizeof(m->vcpu_ns));
	send_out(c, NULL, 0);
	return 1;
}

/* run: 0 is answered OK, 1 has answered, negative is answered ERROR.  It may
 * set fds to -1 to keep them. */
static const struct request {
	uint16_t type;
	uint8_t nfds;
	int (*run)(struct ctl *c, int *fds);
} requests[] = {
	{ HV_D_PAUSE, 0, do_pause },   { HV_D_UNPAUSE, 0, do_unpause },
	{ HV_D_STATS, 0, do_stats },   { HV_D_BIND, 2, do_bind },
	{ HV_D_UNBIND, 0, do_unbind }, { HV_D_SET_MAX_PAGES, 0, do_set_max_pages },
	{ HV_D_NMI, 0, do_nmi },       { HV_D_DEBUG_VIRQ, 0, do_debug_virq },
	{ HV_D_ADOPT, 0, do_adopt },   { HV_D_PORT, 0, do_port },
};

static void serve(struct ctl *c)
{
	int fds[FDPASS_MAX], r = -ENOSYS;
	size_t nfds = 0;

	if (hv_link_recv(c->conn, &c->buf, &c->in, fds, &nfds) <= 0) {
		drop_conn(c);
		return;
	}
	c->out = (struct hv_msg){ .type = HV_OK, .seq = c->in.seq };
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].type == c->in.type)
			r = nfds == requests[i].nfds ? requests[i].run(c, fds) : -EBADMSG;
	fdpass_close(fds, nfds);
	if (r < 0) {
		c->out = (struct hv_msg){ .type = HV_ERROR, .seq = c->in.seq, .status = r };
		(void)snprintf(c->out.u.ERROR.text, HV_TEXT_MAX, "%s", strerror(-r));
	}
	if (r <= 0)
		send_out(c, NULL, 0);
}

static void accept_hvd(struct ctl *c)
{
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	drop_conn(c);
	c->conn = fd;
	if (watch(c, fd) < 0)
		drop_conn(c);
}

int ctl_run(struct ctl *c, struct domain *d)
{
	c->d = d;
	while (1) {
		struct epoll_event e;
		int n = epoll_wait(c->ep_fd, &e, 1, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		if (e.data.fd == c->listener)
			accept_hvd(c);
		else if (e.data.fd == c->conn)
			serve(c);
		tell_news(c);
	}
}

int ctl_new(uint16_t domid, const struct ctl_fds *fds, struct ctl **ret)
{
	struct ctl *c = sys_zalloc(sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct ctl){ .domid = domid,
			   .ep_fd = -1,
			   .conn = fds->conn,
			   .listener = fds->listener,
			   .wake_fd = -1,
			   .memfds = { fds->ram_fd, fds->special_fd, fds->gnttab_fd } };
	c->events = (struct domain_events){ .shutdown = on_shutdown, .log = on_log, .arg = c };
	pthread_mutex_init(&c->lock, NULL);
	r = c->wake_fd = sys_eventfd();
	if (r >= 0) {
		c->ep_fd = epoll_create1(EPOLL_CLOEXEC);
		r = c->ep_fd < 0 ? -errno : 0;
	}
	if (r >= 0)
		r = watch(c, c->conn);
	if (r >= 0)
		r = watch(c, c->listener);
	if (r >= 0)
		r = watch(c, c->wake_fd);
	if (r < 0) {
		fdpass_close((int[]){ c->wake_fd, c->ep_fd }, 2);
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}
