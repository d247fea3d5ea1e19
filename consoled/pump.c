/* consoled/pump.c - from the ring to the spool and the scrollback, exactly once.
 *
 * The order is what makes a kill harmless (see state.h): format into the spool
 * beyond its head, commit the record, move the ring's index, wake the guest.
 * Whoever is slow is bounded:
 *   the guest   a budget of bytes and of wake-ups per second
 *   the disk    the spool; when it is full the guest waits, but not for a disk
 *               that fails: then bytes are counted as lost and told later
 *   a viewer    only the pen's holder holds the guest back, and only while it reads
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "consoled/console_priv.h"
#include "consoled/journal.h"
#include "consoled/logfile.h"
#include "consoled/ring.h"
#include "daemons/clock.h"
#include "hv/client/hvc.h"

#define TURN_CHUNKS 4 /* ring-fulls per turn */
#define OUT_MAX	    8192u
#define WAIT_MS	    5

static struct fmt_ctx fmt_ctx(const struct console *con)
{
	struct fmt_ctx c = { .conf = &con->cs->conf->fmt_guest,
			     .guest = con->name,
			     .domid = con->id.domid,
			     .con = con->id.con };

	if (c.conf->stamps || c.conf->kind == FMT_JSON)
		clock_gettime(CLOCK_REALTIME, &c.now);
	return c;
}

static void wait_ms(struct console *con, unsigned ms)
{
	struct timeval tv = { 0, (suseconds_t)ms * 1000 };

	if (!evtimer_pending(&con->timer, NULL))
		(void)evtimer_add(&con->timer, &tv); /* else the guest's next event wakes us */
}

/* Put a line of ours.  False if the spool has no room for one now. */
static bool put_mark(struct console *con, struct slot_in *in, const char *text)
{
	struct fmt_ctx c = fmt_ctx(con);
	uint8_t out[FMT_ROOM];
	size_t n;

	if (logsrc_room(con->log) < FMT_ROOM)
		return false;
	n = fmt_mark(&c, &in->fmt, text, out, sizeof(out));
	in->cons_before = in->cons_after; /* no byte of the ring goes with it */
	slot_put(con->slot, out, n, in);
	logsrc_kick(con->log);
	return true;
}

/* Tell in the log how many bytes are missing here. */
static bool tell_lost(struct console *con)
{
	struct slot_in in = *slot_in(con->slot);
	char text[96];

	if (!in.lost)
		return true;
	snprintf(text, sizeof(text), "%llu bytes not logged: %s", (unsigned long long)in.lost,
		 in.lost_why == -EDQUOT ? "over the budget" : strerror(-in.lost_why));
	in.lost = 0;
	return put_mark(con, &in, text);
}

static void count_lost(struct console *con, size_t n, uint32_t cons, int why)
{
	struct slot_in in = *slot_in(con->slot);

	in.lost += n;
	in.lost_why = why;
	in.cons_before = cons;
	in.cons_after = cons + (uint32_t)n;
	slot_put(con->slot, NULL, 0, &in);
}

/* Once over, a good part of the budget must be back: few long gaps in a log
 * are better than many short ones. */
static bool over_budget(struct console *con, size_t n)
{
	uint64_t left = budget_left(&con->bytes, clock_mono_ns());

	con->over = left < (con->over ? con->bytes.burst / 4 : n);
	return con->over;
}

/* Log up to n bytes that stand at cons in the ring.  Returns how many of them
 * are dealt with; 0: the spool has no room, wait for it. */
static size_t log_bytes(struct console *con, const uint8_t *p, size_t n, uint32_t cons)
{
	struct fmt_ctx c = fmt_ctx(con);
	uint8_t out[OUT_MAX];
	struct slot_in in;
	size_t used = 0, put, room;
	int err;

	if (con->cs->conf->discard && over_budget(con, n)) {
		count_lost(con, n, cons, -EDQUOT);
		return n;
	}
	room = logsrc_room(con->log);
	if (tell_lost(con) && (room = logsrc_room(con->log)) > 0) {
		in = *slot_in(con->slot);
		put = fmt_run(&c, &in.fmt, p, n, &used, out, room < OUT_MAX ? room : OUT_MAX);
		if (used) {
			in.cons_before = cons;
			in.cons_after = cons + (uint32_t)used;
			slot_put(con->slot, out, put, &in);
			logsrc_kick(con->log);
			return used;
		}
	}
	err = logsrc_error(con->log);
	if (!err)
		return 0;
	count_lost(con, n, cons, err);
	return n;
}

/* How many bytes may be taken now; 0: come back later (arranged). */
static size_t allowance(struct console *con, uint64_t now)
{
	uint64_t left;

	if (con->ended)
		return RING_OUT_SIZE;
	if (!con->cs->conf->discard && con->log) {
		left = budget_left(&con->bytes, now);
		if (left < RING_OUT_SIZE) {
			wait_ms(con, WAIT_MS);
			return 0;
		}
	}
	if (!con->cs->conf->discard && viewers_lag(&con->viewers)) {
		wait_ms(con, 50); /* or sooner, when the viewer has caught up */
		return 0;
	}
	return RING_OUT_SIZE;
}

static enum pump pump_chunk(struct console *con, size_t *ret_took)
{
	struct xencons_interface *ring = con->link.page;
	uint8_t buf[RING_OUT_SIZE];
	size_t max, took;
	uint32_t cons;
	int n;

	max = allowance(con, clock_mono_ns());
	n = ring_peek(ring, buf, max ? max : 1, &cons);
	if (n < 0) {
		console_cut(con);
		return PUMP_IDLE;
	}
	if (n == 0)
		return PUMP_IDLE;
	if (!max)
		return PUMP_WAIT;
	took = con->log ? log_bytes(con, buf, (size_t)n, cons) : (size_t)n;
	if (!took)
		return PUMP_WAIT;
	ring_consume(ring, cons + (uint32_t)took);
	if (con->log)
		slot_set_done(con->slot);
	budget_spend(&con->bytes, took);
	scroll_put(&con->scroll, buf, took);
	if (con->cs->journal)
		journal_feed(con->cs->journal, &con->jline, con->name, con->id.domid, con->id.con,
			     buf, took);
	*ret_took += took;
	return PUMP_MORE;
}

enum pump console_pump(struct console *con)
{
	enum pump r = PUMP_MORE;
	size_t took = 0;

	for (int i = 0; i < TURN_CHUNKS && r == PUMP_MORE; i++)
		r = pump_chunk(con, &took);
	if (took) {
		hvc_port_notify(con->link.port);
		viewers_wake(&con->viewers);
		/* A wake-up that brought much was worth it. */
		if (con->wakes.rate && took >= RING_OUT_SIZE / 2 &&
		    con->wakes.tokens < con->wakes.burst)
			con->wakes.tokens++;
	}
	return r;
}

bool console_settle(struct console *con)
{
	struct slot_in in;

	if (!con->log)
		goto done;
	if (slot_in(con->slot)->lost && !con->ended && con->over && over_budget(con, 0)) {
		wait_ms(con, 100);
		return false;
	}
	/* A disk that fails must not keep a console of a guest that is gone. */
	if (logsrc_error(con->log))
		return con->closing;
	if (!tell_lost(con))
		return false;
	in = *slot_in(con->slot);
	if (con->mark[0] && in.mark != MARK_ENDED) {
		in.mark = MARK_ENDED;
		if (!put_mark(con, &in, con->mark))
			return false;
	}
done:
	con->mark[0] = '\0';
	return true;
}

void console_reconcile(struct console *con)
{
	const struct slot_in *in = slot_in(con->slot);
	struct xencons_interface *ring = con->link.page;

	if (!slot_is_done(con->slot) && ring_out_cons(ring) == in->cons_before &&
	    ring_out_holds(ring, in->cons_after - in->cons_before))
		ring_consume(ring, in->cons_after);
}

void console_cut(struct console *con)
{
	struct slot_in in;

	if (con->cut)
		return;
	con->cut = true;
	event_del(&con->port_ev);
	(void)log_warn(0, "domain %u (%s): console %u's ring indexes are broken: cut off",
		       con->id.domid, con->name, con->id.con);
	if (con->log) {
		in = *slot_in(con->slot);
		(void)put_mark(con, &in, "console ring broken by the guest: cut off");
	}
}
