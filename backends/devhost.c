/* backends/devhost.c - folders come and go, watches tell; each device is looked at. */
#include "backends/devhost.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/log.h"
#include "daemons/opts.h"
#include "daemons/sys.h"

#define DEVS_MAX 128

struct config {
	struct child_args child;
};

static const struct opt options[] = {
	CHILD_OPTS(struct config, child),
	{ NULL },
};

struct unit {
	void *dev; /* NULL: free */
	uint32_t devid;
	struct xs_watch *watch;
	bool seen;
};

struct devhost {
	const struct dev_ops *ops;
	struct config cfg;
	struct event_base *base;
	struct xs_client *watcher;
	struct xs_watch *watch;
	struct dev_host host;
	struct unit unit[DEVS_MAX];
	struct event *look, *second, *term, *intr;
	char folder[48];
	bool gone; /* the folder is */
};

/* Many events make one look. */
static void look_in(struct devhost *b, long ms)
{
	struct timeval tv = { 0, ms * 1000 };

	/* A failure for want of memory is mended by the next watch event. */
	if (!event_pending(b->look, EV_TIMEOUT, NULL))
		(void)event_add(b->look, &tv);
}

static void on_watch(void *arg, const char *path)
{
	look_in(arg, 1);
}

static void drop(struct devhost *b, struct unit *u, bool gone)
{
	u->watch = xs_watch_free(u->watch);
	b->ops->close(u->dev, gone);
	u->dev = NULL;
}

static void take(struct devhost *b, uint32_t devid)
{
	struct unit *u = NULL;
	int r;

	for (int i = 0; i < DEVS_MAX; i++) {
		if (b->unit[i].dev && b->unit[i].devid == devid) {
			b->unit[i].seen = true;
			return;
		}
		if (!b->unit[i].dev && !u)
			u = &b->unit[i];
	}
	r = u ? b->ops->open(&b->host, devid, &u->dev) : -ENOSPC;
	if (r < 0) {
		(void)log_err(r, "%s %u", b->ops->kind, devid);
		return;
	}
	u->seen = true;
	u->devid = devid;
	r = xs_watch_new(b->watcher, b->ops->watched(u->dev), on_watch, b, &u->watch);
	if (r < 0) {
		(void)log_err(r, "%s %u: watch", b->ops->kind, devid);
		drop(b, u, false);
	}
}

/* Which devices there are.  0, or a negative errno; -ENOENT: none any more. */
static int list(struct devhost *b)
{
	char *names = NULL, *end;
	size_t len = 0;
	int r = xs_sync_directory(b->host.xs, 0, b->folder, &names, &len);

	if (r < 0)
		return r;
	for (int i = 0; i < DEVS_MAX; i++)
		b->unit[i].seen = false;
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		unsigned long n = strtoul(names + at, &end, 10);

		if (end != names + at && !*end && n <= UINT32_MAX)
			take(b, (uint32_t)n);
	}
	free(names);
	for (int i = 0; i < DEVS_MAX; i++)
		if (b->unit[i].dev && !b->unit[i].seen)
			drop(b, &b->unit[i], true);
	return len ? 0 : -ENOENT;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct devhost *b = arg;
	int r = list(b);
	bool again = r < 0;

	if (r == -ENOENT) {
		b->gone = true;
		event_base_loopbreak(b->base);
		return;
	}
	for (int i = 0; r == 0 && i < DEVS_MAX; i++)
		if (b->unit[i].dev && b->ops->poll(b->unit[i].dev))
			again = true;
	if (again)
		look_in(b, 50);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct devhost *b = arg;

	for (int i = 0; i < DEVS_MAX; i++)
		if (b->unit[i].dev && b->ops->tick)
			b->ops->tick(b->unit[i].dev);
}

static void on_term(evutil_socket_t sig, short what, void *arg)
{
	event_base_loopbreak(((struct devhost *)arg)->base);
}

static int add_events(struct devhost *b)
{
	static const struct timeval second = { 1, 0 };

	b->look = event_new(b->base, -1, 0, on_look, b);
	b->second = event_new(b->base, -1, EV_PERSIST, on_second, b);
	b->term = evsignal_new(b->base, SIGTERM, on_term, b);
	b->intr = evsignal_new(b->base, SIGINT, on_term, b);
	if (!b->look || !b->second || !b->term || !b->intr || event_add(b->second, &second) < 0 ||
	    event_add(b->term, NULL) < 0 || event_add(b->intr, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static int start(struct devhost *b)
{
	const struct child_args *a = &b->cfg.child;
	char hv[128], xs[128], warden[128];
	int r;

	b->host.domid = (uint16_t)a->domid;
	snprintf(b->folder, sizeof(b->folder), "/local/domain/0/backend/%s/%u", b->ops->kind,
		 b->host.domid);
	b->base = event_base_new();
	r = b->base ? add_events(b) : -ENOMEM;
	if (r == 0)
		r = hvc_open(child_hv(a, hv), &b->host.hv);
	if (r == 0 && a->sockets)
		r = wardenc_open(child_warden(a, warden), &b->host.warden);
	if (r == 0)
		r = xs_sync_open(child_xs(a, xs), &b->host.xs);
	if (r == 0)
		r = xs_client_new(b->base, child_xs(a, xs), NULL, NULL, &b->watcher);
	if (r == 0)
		r = xs_watch_new(b->watcher, b->folder, on_watch, b, &b->watch);
	return r;
}

static void end(struct devhost *b)
{
	struct event *ev[] = { b->look, b->second, b->term, b->intr };

	for (int i = 0; i < DEVS_MAX; i++)
		if (b->unit[i].dev)
			drop(b, &b->unit[i], b->gone);
	if (b->watch)
		xs_watch_free(b->watch);
	if (b->watcher)
		xs_client_free(b->watcher);
	b->host.xs = b->host.xs ? xs_sync_close(b->host.xs) : NULL;
	b->host.warden = wardenc_close(b->host.warden);
	b->host.hv = hvc_close(b->host.hv);
	for (size_t i = 0; i < sizeof(ev) / sizeof(ev[0]); i++)
		if (ev[i])
			event_free(ev[i]);
	if (b->base)
		event_base_free(b->base);
	opts_fini(options, &b->cfg);
}

int devhost_main(const struct dev_ops *ops, int argc, char **argv)
{
	struct devhost *b = sys_zalloc(sizeof(*b));
	char err[256], usage[64];
	int r;

	log_init(ops->program, LOG_INFO_);
	if (!b)
		return log_err(-ENOMEM, "start") < 0;
	b->ops = ops;
	snprintf(usage, sizeof(usage), "%s --domid N", ops->program);
	r = opts_parse(options, usage, argc, argv, &b->cfg, err, sizeof(err));
	if (r < 0 || b->cfg.child.domid == 0) {
		if (r != -ECANCELED)
			fprintf(stderr, "%s: %s\n", ops->program,
				r < 0 ? err : "--domid is missing");
		opts_fini(options, &b->cfg);
		free(b);
		return r == -ECANCELED ? 0 : 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = child_enter(&b->cfg.child, ops->needs);
	if (r == 0)
		r = start(b);
	if (r < 0)
		(void)log_err(r, "guest %u: start", b->host.domid);
	else
		event_base_dispatch(b->base);
	end(b);
	free(b);
	return r < 0;
}
