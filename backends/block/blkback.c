/* backends/block/blkback.c - the block backend of one guest: as many devices as the
 * toolstack has made folders for, each with a thread of its own.
 *
 * Ends by itself when the guest's last folder is gone.  May be killed at any
 * time: its successor goes on with the same rings.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/block/vbd.h"
#include "daemons/log.h"
#include "daemons/opts.h"

#define VBDS_MAX 128

struct config {
	uint64_t domid;
};

static const struct opt options[] = {
	{ "domid", 'd', OPT_U64, "0", 0, HVC_DOMID_FIRST_RESERVED - 1,
	  offsetof(struct config, domid), "the guest to serve" },
	{ NULL },
};

struct unit {
	struct vbd *vbd; /* NULL: free */
	struct xs_watch *watch;
	bool seen;
};

struct blkback {
	struct config cfg;
	struct event_base *base;
	struct xs_client *watcher;
	struct xs_watch *watch;
	struct vbd_host host;
	struct unit unit[VBDS_MAX];
	struct event *look, *size, *term, *intr;
	char folder[48];
};

/* Many events make one look. */
static void look_in(struct blkback *b, long ms)
{
	struct timeval tv = { 0, ms * 1000 };

	if (!event_pending(b->look, EV_TIMEOUT, NULL))
		(void)event_add(b->look,
				&tv); /* fails for want of memory: the size timer looks too */
}

static void on_watch(void *arg, const char *path)
{
	look_in(arg, 1);
}

static void drop(struct unit *u)
{
	u->watch = xs_watch_free(u->watch);
	u->vbd = vbd_free(u->vbd);
}

static void take(struct blkback *b, uint32_t devid)
{
	struct unit *u = NULL;
	int r;

	for (int i = 0; i < VBDS_MAX; i++) {
		if (b->unit[i].vbd && vbd_devid(b->unit[i].vbd) == devid) {
			b->unit[i].seen = true;
			return;
		}
		if (!b->unit[i].vbd && !u)
			u = &b->unit[i];
	}
	r = u ? vbd_new(&b->host, devid, &u->vbd) : -ENOSPC;
	if (r < 0) {
		(void)log_err(r, "vbd %u", devid);
		return;
	}
	u->seen = true;
	r = xs_watch_new(b->watcher, vbd_frontend_state(u->vbd), on_watch, b, &u->watch);
	if (r < 0) {
		(void)log_err(r, "vbd %u: watch", devid);
		drop(u);
	}
}

/* Which devices there are.  0, or a negative errno; -ENOENT: none any more. */
static int list(struct blkback *b)
{
	char *names = NULL, *end;
	size_t len = 0;
	int r = xs_sync_directory(b->host.xs, 0, b->folder, &names, &len);

	if (r < 0)
		return r;
	for (int i = 0; i < VBDS_MAX; i++)
		b->unit[i].seen = false;
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		unsigned long n = strtoul(names + at, &end, 10);

		if (end != names + at && !*end && n <= UINT32_MAX)
			take(b, (uint32_t)n);
	}
	free(names);
	for (int i = 0; i < VBDS_MAX; i++)
		if (b->unit[i].vbd && !b->unit[i].seen)
			drop(&b->unit[i]);
	return len ? 0 : -ENOENT;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct blkback *b = arg;
	int r = list(b);
	bool again = r < 0;

	if (r == -ENOENT) {
		event_base_loopbreak(b->base);
		return;
	}
	for (int i = 0; r == 0 && i < VBDS_MAX; i++)
		if (b->unit[i].vbd && vbd_poll(b->unit[i].vbd))
			again = true;
	if (again)
		look_in(b, 50);
}

static void on_size(evutil_socket_t fd, short what, void *arg)
{
	struct blkback *b = arg;

	for (int i = 0; i < VBDS_MAX; i++)
		if (b->unit[i].vbd)
			vbd_check_size(b->unit[i].vbd);
}

static void on_term(evutil_socket_t sig, short what, void *arg)
{
	event_base_loopbreak(((struct blkback *)arg)->base);
}

static int add_events(struct blkback *b)
{
	static const struct timeval second = { 1, 0 };

	b->look = event_new(b->base, -1, 0, on_look, b);
	b->size = event_new(b->base, -1, EV_PERSIST, on_size, b);
	b->term = evsignal_new(b->base, SIGTERM, on_term, b);
	b->intr = evsignal_new(b->base, SIGINT, on_term, b);
	if (!b->look || !b->size || !b->term || !b->intr || event_add(b->size, &second) < 0 ||
	    event_add(b->term, NULL) < 0 || event_add(b->intr, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static int start(struct blkback *b)
{
	int r;

	b->host.domid = (uint16_t)b->cfg.domid;
	snprintf(b->folder, sizeof(b->folder), "/local/domain/0/backend/vbd/%u", b->host.domid);
	b->base = event_base_new();
	r = b->base ? add_events(b) : -ENOMEM;
	if (r == 0)
		r = hvc_open(NULL, &b->host.hv);
	if (r == 0)
		r = xs_sync_open(NULL, &b->host.xs);
	if (r == 0)
		r = xs_client_new(b->base, NULL, NULL, NULL, &b->watcher);
	if (r == 0)
		r = xs_watch_new(b->watcher, b->folder, on_watch, b, &b->watch);
	return r;
}

static void end(struct blkback *b)
{
	struct event *ev[] = { b->look, b->size, b->term, b->intr };

	for (int i = 0; i < VBDS_MAX; i++)
		if (b->unit[i].vbd)
			drop(&b->unit[i]);
	if (b->watch)
		xs_watch_free(b->watch);
	if (b->watcher)
		xs_client_free(b->watcher);
	b->host.xs = b->host.xs ? xs_sync_close(b->host.xs) : NULL;
	b->host.hv = hvc_close(b->host.hv);
	for (size_t i = 0; i < sizeof(ev) / sizeof(ev[0]); i++)
		if (ev[i])
			event_free(ev[i]);
	if (b->base)
		event_base_free(b->base);
	opts_fini(options, &b->cfg);
}

int main(int argc, char **argv)
{
	static struct blkback b; /* too large for a stack */
	char err[256];
	int r;

	log_init("blkback", LOG_INFO_);
	r = opts_parse(options, "blkback --domid N", argc, argv, &b.cfg, err, sizeof(err));
	if (r < 0) {
		if (r != -ECANCELED)
			fprintf(stderr, "blkback: %s\n", err);
		return r == -ECANCELED ? 0 : 2;
	}
	if (b.cfg.domid == 0) {
		fprintf(stderr, "blkback: --domid is missing\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = start(&b);
	if (r < 0)
		(void)log_err(r, "guest %u: start", b.host.domid);
	else
		event_base_dispatch(b.base);
	end(&b);
	return r < 0;
}
