/* consoled/extra.c - a small backend for further consoles.
 *
 *   frontend            backend (us)
 *   1 Initialising      2 InitWait: the page and port may come
 *   3 Initialised       map the grant, bind the port -> 4 Connected
 *   4 Connected         (as 3, when we were restarted meanwhile)
 *   5, 6 Closing        unmap, unbind -> 6 Closed
 *
 * Whatever a guest writes, and however often, costs one look per RETRY_MS.
 */
#include "consoled/extra.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/io/xenbus.h>

#include "consoled/console.h"
#include "daemons/log.h"
#include "daemons/sys.h"
#include "daemons/xs_client.h"
#include "hv/client/hvc.h"
#include "proto/xs_wire.h"

#define LOOK_MS	  50 /* at most one look per this time */
#define VALUE_MAX 64

enum { V_STATE, V_TYPE, V_RING, V_PORT, V_OURS, V_COUNT };

struct extra {
	struct extras *x;
	unsigned num; /* 1 ... EXTRAS_MAX */
	struct console *con;
	unsigned told; /* the state we wrote last; 0 none */
};

struct extras {
	struct extras_of of;
	char *name; /* owned */
	struct xs_watch *watch;
	struct event timer;
	bool dirty, ended;
	struct round *round; /* reads under way, or NULL */
	struct extra e[EXTRAS_MAX];
	struct log_window told;
};

/* One look at all of them; outlives its extras if they go meanwhile. */
struct round {
	struct extras *x;
	unsigned left;
	unsigned there; /* bit i: device/console/<i + 1> exists */
	bool broken;
	struct value {
		struct round *r;
		char text[VALUE_MAX]; /* "" if there is no such node */
	} v[EXTRAS_MAX][V_COUNT];
};

static int number(const char *s, uint32_t max, uint32_t *ret)
{
	unsigned long v;
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(s, &end, 10);
	if (errno || *end || v > max)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

/* ---- the backend's end ---- */

static void tell_state(struct extra *e, unsigned state)
{
	char path[96], text[4];

	if (e->told == state)
		return;
	snprintf(path, sizeof(path), "/local/domain/0/backend/console/%u/%u/state", e->x->of.domid,
		 e->num);
	snprintf(text, sizeof(text), "%u", state);
	if (xs_write(e->x->of.xs, 0, path, text, NULL, NULL) == 0)
		e->told = state;
}

static void tell_tty(struct extra *e)
{
	char path[96];

	if (!console_tty(e->con))
		return;
	snprintf(path, sizeof(path), "/local/domain/%u/device/console/%u/tty", e->x->of.domid,
		 e->num);
	(void)xs_write(e->x->of.xs, 0, path, console_tty(e->con), NULL, NULL);
}

struct mapped { /* how a granted page goes back */
	struct hvc_guest *guest;
	uint32_t ref;
};

static void release_grant(void *arg, void *page)
{
	struct mapped *m = arg;

	hvc_grant_unmap(m->guest, m->ref, true, page);
	hvc_guest_close(m->guest);
	free(m);
}

static int map_and_bind(struct extra *e, uint32_t ref, uint32_t port)
{
	struct mapped *m = sys_zalloc(sizeof(*m));
	struct con_link l = { .release = release_grant, .arg = m };
	int r;

	if (!m)
		return -ENOMEM;
	r = hvc_guest_open(e->x->of.h, e->x->of.domid, &m->guest);
	if (r < 0) {
		free(m);
		return r;
	}
	m->ref = ref;
	r = hvc_grant_map(m->guest, ref, true, &l.page);
	if (r < 0) {
		hvc_guest_close(m->guest);
		free(m);
		return r;
	}
	r = hvc_port_bind(e->x->of.h, e->x->of.domid, port, &l.port);
	if (r < 0) {
		release_grant(m, l.page);
		return r;
	}
	return console_connect(e->con, &l);
}

static void connect_extra(struct extra *e, const struct value *v)
{
	const struct slot_id id = { .domid = e->x->of.domid,
				    .con = e->num,
				    .born_ns = e->x->of.born_ns };
	uint32_t ref, port;
	int r = 0;

	if (e->con && console_connected(e->con))
		return;
	if (number(v[V_RING].text, UINT32_MAX, &ref) < 0 ||
	    number(v[V_PORT].text, UINT32_MAX, &port) < 0 || !port)
		return; /* it has not said yet */
	if (!e->con)
		r = console_new(e->x->of.cs, &id, e->x->name, &e->con);
	if (r == 0)
		r = map_and_bind(e, ref, port);
	if (r < 0) {
		if (log_window_open(&e->x->told, 60, NULL))
			(void)log_warn(r, "domain %u: further console %u, grant %u port %u",
				       e->x->of.domid, e->num, ref, port);
		return;
	}
	tell_tty(e);
	tell_state(e, XenbusStateConnected);
	e->x->of.added(e->x->of.arg);
}

/* The console, its log and its viewers stay until the domain is gone. */
static void disconnect_extra(struct extra *e)
{
	if (e->con)
		console_disconnect(e->con);
}

static void apply_one(struct extra *e, const struct value *v)
{
	uint32_t state = 0, owner;

	/* backend/console/D/N/frontend-id: written by the toolstack alone */
	if (number(v[V_OURS].text, 0xffff, &owner) < 0 || owner != e->x->of.domid ||
	    strcmp(v[V_TYPE].text, "xenconsoled") != 0) {
		disconnect_extra(e);
		e->told = 0;
		return;
	}
	(void)number(v[V_STATE].text, XenbusStateReconfigured, &state);
	switch (state) {
	case XenbusStateInitialising:
		disconnect_extra(e);
		tell_state(e, XenbusStateInitWait);
		break;
	case XenbusStateInitialised:
	case XenbusStateConnected: connect_extra(e, v); break;
	case XenbusStateClosing:
	case XenbusStateClosed:
		disconnect_extra(e);
		tell_state(e, XenbusStateClosed);
		break;
	default: break;
	}
}

/* ---- looking ---- */

static void look_later(struct extras *x)
{
	static const struct timeval tv = { 0, LOOK_MS * 1000 };

	x->dirty = true;
	if (!x->round && !evtimer_pending(&x->timer, NULL))
		(void)evtimer_add(&x->timer, &tv); /* else the next change asks again */
}

static void round_done(struct round *r)
{
	struct extras *x = r->x;

	if (x) {
		x->round = NULL;
		for (unsigned i = 0; i < EXTRAS_MAX && !r->broken && !x->ended; i++)
			apply_one(&x->e[i], r->v[i]);
		if (x->dirty)
			look_later(x);
	}
	free(r);
}

static void on_value(void *arg, int err, const uint8_t *body, size_t len)
{
	struct value *v = arg;
	struct round *r = v->r;

	if (err == 0 && len < sizeof(v->text) && !memchr(body, '\0', len))
		memcpy(v->text, body, len);
	else if (err < 0 && err != -ENOENT)
		r->broken = true;
	if (--r->left == 0)
		round_done(r);
}

static void read_one(struct round *r, unsigned i)
{
	static const char *const names[V_COUNT] = {
		[V_STATE] = "state", [V_TYPE] = "type", [V_RING] = "ring-ref", [V_PORT] = "port"
	};
	const struct extras *x = r->x;
	char path[96];

	for (unsigned k = 0; k < V_COUNT; k++) {
		r->v[i][k].r = r;
		if (k == V_OURS)
			snprintf(path, sizeof(path),
				 "/local/domain/0/backend/console/%u/%u/frontend-id", x->of.domid,
				 i + 1);
		else
			snprintf(path, sizeof(path), "/local/domain/%u/device/console/%u/%s",
				 x->of.domid, i + 1, names[k]);
		if (xs_read(x->of.xs, 0, path, on_value, &r->v[i][k]) == 0)
			r->left++;
		else
			r->broken = true;
	}
}

/* Names that are no numbers of ours are nobody's business. */
static void on_dir(void *arg, int err, const uint8_t *body, size_t len)
{
	struct round *r = arg;
	uint32_t num;

	if (err < 0 && err != -ENOENT)
		r->broken = true;
	if (err == 0 && r->x)
		for (size_t at = 0; at < len; at += strnlen((const char *)body + at, len - at) + 1)
			if (number((const char *)body + at, EXTRAS_MAX, &num) == 0 && num)
				r->there |= 1u << (num - 1);
	for (unsigned i = 0; i < EXTRAS_MAX; i++)
		if (r->there & (1u << i))
			read_one(r, i);
	if (--r->left == 0)
		round_done(r);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct extras *x = arg;
	struct round *r = sys_zalloc(sizeof(*r));
	char path[96];
	int n;

	x->dirty = false;
	if (!r)
		return; /* until something changes again */
	x->round = r;
	r->x = x;
	r->left = 1;
	n = snprintf(path, sizeof(path), "/local/domain/%u/device/console", x->of.domid);
	if (xs_request(x->of.xs, XS_DIRECTORY, 0, path, (size_t)n + 1, on_dir, r) < 0) {
		r->broken = true;
		round_done(r);
	}
}

static void on_watch(void *arg, const char *path)
{
	look_later(arg);
}

int extras_new(const struct extras_of *of, struct extras **ret)
{
	struct extras *x = sys_zalloc(sizeof(*x));
	char path[64];
	int r;

	if (!x)
		return -ENOMEM;
	x->of = *of;
	x->name = strdup(of->name);
	for (unsigned i = 0; i < EXTRAS_MAX; i++)
		x->e[i] = (struct extra){ .x = x, .num = i + 1 };
	(void)evtimer_assign(&x->timer, of->cs->base, on_look, x);
	snprintf(path, sizeof(path), "/local/domain/%u/device/console", of->domid);
	r = x->name ? xs_watch_new(of->xs, path, on_watch, x, &x->watch) : -ENOMEM;
	if (r < 0) {
		extras_free(x, 0);
		return r;
	}
	*ret = x;
	return 0;
}

void extras_rename(struct extras *x, const char *name)
{
	char *copy = x && strcmp(x->name, name) != 0 ? strdup(name) : NULL;

	if (!copy)
		return;
	free(x->name);
	x->name = copy;
	for (unsigned i = 0; i < EXTRAS_MAX; i++)
		if (x->e[i].con)
			console_rename(x->e[i].con, name);
}

void extras_ended(struct extras *x, const char *mark)
{
	if (!x)
		return;
	x->ended = true;
	for (unsigned i = 0; i < EXTRAS_MAX; i++)
		if (x->e[i].con)
			console_ended(x->e[i].con, mark);
}

void extras_resumed(struct extras *x)
{
	if (!x)
		return;
	x->ended = false;
	for (unsigned i = 0; i < EXTRAS_MAX; i++)
		if (x->e[i].con)
			console_resumed(x->e[i].con);
	look_later(x);
}

struct extras *extras_free(struct extras *x, int close)
{
	if (!x)
		return NULL;
	for (unsigned i = 0; i < EXTRAS_MAX && close; i++)
		if (x->e[i].con)
			console_close(x->e[i].con);
	if (x->round)
		x->round->x = NULL;
	xs_watch_free(x->watch);
	evtimer_del(&x->timer);
	free(x->name);
	free(x);
	return NULL;
}
