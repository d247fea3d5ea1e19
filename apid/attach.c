/* apid/attach.c - a console over HTTP Upgrade: raw bytes both ways between the
 * client and consoled, with back-pressure and nothing kept in between. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apid/conlink.h"
#include "apid/http_int.h"
#include "apid/json.h"
#include "daemons/sys.h"

#define RELAY_BUF   16384
#define RELAY_STACK 131072

static enum con_mode mode_of(const char *s)
{
	return strcmp(s, "ro") == 0 ? CON_RO : strcmp(s, "force") == 0 ? CON_FORCE : CON_RW;
}

/* Slow: runs in a helper thread, and leaves the connected socket in the request. */
int op_attach(struct call *c)
{
	struct con_req cq = { .verb = CON_ATTACH };
	struct request *q = c->arg;
	const char *up = json_str(c->params, "Upgrade", "");
	char line[CON_LINE_MAX];
	struct dom *d;
	int fd;

	if (strcasecmp(up, "domzero-console") != 0) {
		(void)problem_set(&c->prob, PROB_UPGRADE_REQUIRED,
				  "send Connection: Upgrade and Upgrade: domzero-console");
		return 0;
	}
	doms_lock(c->a->doms);
	d = doms_find(c->a->doms, json_str(c->params, "id", ""), &c->prob);
	cq.domid = d ? d->domid : 0;
	if (d && !d->domid)
		(void)problem_set(&c->prob, PROB_WRONG_STATE,
				  "'%s' is not running; its log is at "
				  "/v1/domains/%s/console/log",
				  d->name, d->uuid);
	doms_unlock(c->a->doms);
	if (!cq.domid)
		return 0;
	cq.mode = mode_of(json_str(c->params, "mode", "rw"));
	cq.bytes = (uint32_t)json_int(c->params, "scrollback", 0);
	fd = conlink_open(&cq, line, sizeof(line));
	if (fd < 0) {
		(void)problem_set(&c->prob, PROB_CONSOLE_DOWN, "consoled: %s", strerror(-fd));
	} else if (strncmp(line, "OK ", 3) != 0) {
		(void)problem_set(&c->prob, PROB_CONFLICT, "console: %s",
				  strncmp(line, "ERR ", 4) == 0 ? line + 4 : "bad answer");
		close(fd);
	} else {
		q->con_fd = fd;
		q->con_mode = strcmp(line + 3, "rw") == 0 ? "rw" : "ro";
	}
	return 0;
}

struct pipe_dir {
	int from, to;
	size_t n, at;
	bool eof;
	char buf[RELAY_BUF];
};

struct relay {
	struct apid *a;
	struct MHD_UpgradeResponseHandle *urh;
	struct pipe_dir dir[2]; /* client to guest, guest to client */
};

/* Moves what can be moved; false when this direction is over. */
static bool pump(struct pipe_dir *d, short from, short to)
{
	ssize_t k;

	if (d->at == d->n && (from & (POLLIN | POLLHUP | POLLERR))) {
		k = recv(d->from, d->buf, sizeof(d->buf), MSG_DONTWAIT);
		if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		d->at = 0;
		d->n = k > 0 ? (size_t)k : 0;
		to |= POLLOUT;
	}
	if (d->at < d->n && (to & (POLLOUT | POLLHUP | POLLERR))) {
		k = send(d->to, d->buf + d->at, d->n - d->at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (k < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		d->at += k > 0 ? (size_t)k : 0;
	}
	return true;
}

static void *relay_loop(void *arg)
{
	struct relay *r = arg;
	bool alive = true;

	while (alive) {
		struct pollfd p[2] = { { .fd = r->dir[0].from }, { .fd = r->dir[1].from } };

		for (int i = 0; i < 2; i++) {
			struct pipe_dir *d = &r->dir[i];

			if (d->at < d->n)
				p[1 - i].events |= POLLOUT;
			else
				p[i].events |= POLLIN;
		}
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		alive = pump(&r->dir[0], p[0].revents, p[1].revents) &&
			pump(&r->dir[1], p[1].revents, p[0].revents);
	}
	close(r->dir[0].to);
	MHD_upgrade_action(r->urh, MHD_UPGRADE_ACTION_CLOSE);
	atomic_fetch_sub(&r->a->consoles, 1);
	free(r);
	return NULL;
}

static int start_thread(struct relay *r)
{
	pthread_attr_t at;
	pthread_t t;
	int rc;

	pthread_attr_init(&at);
	pthread_attr_setdetachstate(&at, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&at, RELAY_STACK);
	rc = -pthread_create(&t, &at, relay_loop, r);
	pthread_attr_destroy(&at);
	return rc;
}

/* The connection is ours now; what the client sent too early comes first. */
static void upgraded(void *cls, struct MHD_Connection *mhd, void *slot, const char *extra, size_t n,
		     MHD_socket sock, struct MHD_UpgradeResponseHandle *urh)
{
	struct relay *r = cls;

	(void)mhd;
	(void)slot;
	r->urh = urh;
	r->dir[0].from = r->dir[1].to = sock;
	r->dir[0].n = n < RELAY_BUF ? n : RELAY_BUF;
	memcpy(r->dir[0].buf, extra, r->dir[0].n);
	if (start_thread(r) < 0) {
		close(r->dir[0].to);
		atomic_fetch_sub(&r->a->consoles, 1);
		free(r);
		MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
	}
}

enum MHD_Result attach_answer(struct request *q)
{
	struct apid *a = q->h->a;
	struct MHD_Response *resp = NULL;
	enum MHD_Result ok;
	struct problem p;
	struct relay *r = sys_zalloc(sizeof(*r));

	if (atomic_fetch_add(&a->consoles, 1) >= HTTPD_CONSOLES_MAX)
		(void)problem_set(&p, PROB_TOO_MANY_REQUESTS, "%d consoles are attached already",
				  HTTPD_CONSOLES_MAX);
	else if (!r || !(resp = MHD_create_response_for_upgrade(upgraded, r)))
		(void)problem_errno(&p, -ENOMEM, "console");
	if (!resp) {
		atomic_fetch_sub(&a->consoles, 1);
		free(r);
		return request_problem(q, &p);
	}
	r->a = a;
	r->dir[0].to = r->dir[1].from = q->con_fd;
	q->con_fd = -1;
	q->conn->upgraded = true;
	(void)MHD_add_response_header(resp, MHD_HTTP_HEADER_UPGRADE, "domzero-console");
	(void)MHD_add_response_header(resp, "Console-Mode", q->con_mode);
	ok = MHD_queue_response(q->mhd, MHD_HTTP_SWITCHING_PROTOCOLS, resp);
	MHD_destroy_response(resp);
	return ok;
}
