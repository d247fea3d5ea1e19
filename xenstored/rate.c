/* xenstored/rate.c - a token bucket per ring. */
#include "xenstored/rate.h"

#include <stdbool.h>

#include "daemons/clock.h"
#include "xenstored/server.h"

static bool can_conflict(const struct server *srv, const struct conn *c, uint32_t type)
{
	const struct txn *t;

	if (type != XS_WRITE && type != XS_MKDIR && type != XS_RM && type != XS_SET_PERMS &&
	    type != XS_TRANSACTION_END)
		return false;
	TAILQ_FOREACH(t, &srv->txns, of_server)
	if (t->conn != c)
		return true;
	return false;
}

unsigned rate_wait_ms(struct rate *r, struct server *srv, const struct conn *c, uint32_t type)
{
	uint64_t now;

	if (c->who.privileged || !can_conflict(srv, c, type))
		return 0;
	now = clock_mono_ns();
	if (r->at_ns == 0) {
		r->credit = RATE_BURST * RATE_NEW_TIMES;
	} else if (r->credit < RATE_BURST) {
		r->credit += (double)(now - r->at_ns) * RATE_PER_S / 1e9;
		if (r->credit > RATE_BURST)
			r->credit = RATE_BURST;
	}
	r->at_ns = now;
	if (r->credit >= 1) {
		r->credit -= 1;
		return 0;
	}
	quota_refused(&srv->quotas, c->who.domid, REFUSED_RATE, "its writes are slowed down");
	return (unsigned)((1 - r->credit) * 1000 / RATE_PER_S) + 1;
}
