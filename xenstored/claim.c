/* xenstored/claim.c - hot nodes, claims, and the connections that wait. */
#include "xenstored/claim.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "daemons/clock.h"
#include "daemons/sys.h"
#include "xenstored/ring.h"
#include "xenstored/server.h"
#include "xenstored/siphash.h"
#include "xenstored/sock.h"

#define NHOT 64u /* slots by hash of path: paths that share one share its turns */

struct hot {
	uint64_t until_ns; /* hot as long as now is before */
	struct txn *owner; /* borrowed; NULL: nobody */
	uint64_t owned_until_ns;
};

struct claims {
	struct server *srv;
	struct event *timer;
	struct hot hot[NHOT];
};

static void on_timer(evutil_socket_t fd, short what, void *arg);

struct claims *claims_new(struct server *srv)
{
	struct claims *cl = sys_zalloc(sizeof(*cl));

	if (!cl)
		return NULL;
	cl->srv = srv;
	cl->timer = evtimer_new(srv->base, on_timer, cl);
	return cl->timer ? cl : claims_free(cl);
}

struct claims *claims_free(struct claims *cl)
{
	if (cl && cl->timer)
		event_free(cl->timer);
	free(cl);
	return NULL;
}

static struct hot *slot(struct claims *cl, const char *path)
{
	return &cl->hot[siphash(cl->srv->store.key, path, strlen(path)) % NHOT];
}

void claim_heat(struct claims *cl, const char *path)
{
	slot(cl, path)->until_ns = clock_mono_ns() + HOT_NS;
}

/* Unparking only schedules; the connection's request is tried again later. */
static void go_on(struct conn *c)
{
	c->parked = false;
	TAILQ_REMOVE(&c->srv->parked, c, park_link);
	if (c->sock)
		sock_resume(c);
	else
		ring_resume(c);
}

void claim_unpark(struct claims *cl, struct conn *c)
{
	(void)cl;
	if (!c->parked)
		return;
	c->parked = false;
	TAILQ_REMOVE(&c->srv->parked, c, park_link);
}

static void arm(struct claims *cl)
{
	const struct conn *c = TAILQ_FIRST(&cl->srv->parked);
	uint64_t now = clock_mono_ns(), left;
	struct timeval tv = { 0 };

	if (!c) {
		(void)event_del(cl->timer);
		return;
	}
	left = c->park_until_ns > now ? c->park_until_ns - now : 0;
	tv.tv_usec = (suseconds_t)(left / 1000 + 1);
	(void)event_add(cl->timer, &tv);
}

bool claim_try(struct claims *cl, struct txn *t, const char *path, struct conn *c)
{
	struct hot *h = slot(cl, path);
	uint64_t now;

	if (h->until_ns == 0 || t->lost)
		return true;
	now = clock_mono_ns();
	if (now >= h->until_ns && !h->owner) {
		h->until_ns = 0;
		return true;
	}
	if (!h->owner || h->owned_until_ns <= now) {
		h->owner = t;
		h->owned_until_ns = now + CLAIM_NS;
		return true;
	}
	if (h->owner == t ||
	    (!h->owner->conn->who.privileged && h->owner->conn->who.domid != c->who.domid))
		return true;
	c->parked = true;
	c->park_until_ns = h->owned_until_ns;
	c->park_txn = t;
	c->park_slot = (unsigned)(h - cl->hot);
	TAILQ_INSERT_TAIL(&cl->srv->parked, c, park_link);
	if (TAILQ_FIRST(&cl->srv->parked) == c)
		arm(cl);
	return false;
}

/* The claim passes to the first that waits for it, so that nobody overtakes. */
static void hand_over(struct claims *cl, unsigned i)
{
	struct hot *h = &cl->hot[i];
	struct conn *c;

	h->owner = NULL;
	TAILQ_FOREACH(c, &cl->srv->parked, park_link)
	if (c->park_slot == i)
		break;
	if (!c)
		return;
	h->owner = c->park_txn;
	h->owned_until_ns = clock_mono_ns() + CLAIM_NS;
	go_on(c);
	arm(cl);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct claims *cl = arg;
	const struct conn *c = TAILQ_FIRST(&cl->srv->parked);

	(void)fd;
	(void)what;
	if (c && c->park_until_ns <= clock_mono_ns())
		hand_over(cl, c->park_slot); /* the owner had its time */
	arm(cl);
}

void claim_over(struct claims *cl, struct txn *t)
{
	for (unsigned i = 0; i < NHOT; i++)
		if (cl->hot[i].owner == t)
			hand_over(cl, i);
}
