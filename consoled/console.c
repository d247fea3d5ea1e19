/* consoled/console.c - the life of a console, and who wakes it.
 *
 * Everything that may have changed something (the guest's event, room in the
 * spool, a viewer that caught up, a timer, the end of the domain) only puts
 * the console into the run queue; one turn then does what can be done.
 */
#include "consoled/console.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consoled/console_priv.h"
#include "consoled/journal.h"
#include "consoled/logfile.h"
#include "consoled/pty.h"
#include "consoled/ring.h"
#include "daemons/clock.h"
#include "daemons/sys.h"
#include "hv/client/hvc.h"

#define WAKES_RATE  2000u /* wake-ups a second that bring next to nothing */
#define WAKES_BURST 2000u
#define QUIET_MS    10

static void wake(struct console *con)
{
	runq_add(&con->cs->runq, &con->run);
}

/* ---- what wakes a console ---- */

static void on_port(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval later = { 0, QUIET_MS * 1000 };
	struct console *con = arg;

	hvc_port_ack(con->link.port);
	wake(con);
	if (con->in_wait && ring_in_room(con->link.page) != 0) {
		con->in_wait = false;
		viewers_resume(&con->viewers);
	}
	/* A storm of events without bytes: look at the ring now and then instead. */
	if (budget_left(&con->wakes, clock_mono_ns()) == 0 &&
	    evtimer_add(&con->timer, &later) == 0) {
		con->port_quiet = true;
		event_del(&con->port_ev);
	}
	budget_spend(&con->wakes, 1);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct console *con = arg;

	if (con->port_quiet && con->link.page && !con->cut && event_add(&con->port_ev, NULL) == 0)
		con->port_quiet = false;
	wake(con);
}

static void on_room(void *arg)
{
	wake(arg);
}

static int input_room(void *arg)
{
	struct console *con = arg;
	int r;

	if (!con->link.page || con->cut || con->ended)
		return -ENOTCONN;
	r = ring_in_room(con->link.page);
	if (r < 0)
		console_cut(con);
	if (r == 0)
		con->in_wait = true; /* the guest tells us when it has taken some */
	return r;
}

static void input(void *arg, const uint8_t *p, size_t n)
{
	struct console *con = arg;

	if (!con->link.page || con->cut)
		return;
	if (ring_in_put(con->link.page, p, n) < 0)
		console_cut(con);
	else
		hvc_port_notify(con->link.port);
}

static void viewer_moved(void *arg)
{
	wake(arg);
}

/* ---- the end ---- */

static void console_free(struct console *con)
{
	runq_del(&con->run);
	evtimer_del(&con->timer);
	TAILQ_REMOVE(&con->cs->all, con, all);
	viewers_drop(&con->viewers);
	pty_free(con->pty);
	scroll_fini(&con->scroll);
	journal_line_free(con->jline);
	free(con->name);
	free(con);
}

static void maybe_free(struct console *con)
{
	if (con->closing && con->log_gone && con->viewers_gone)
		console_free(con);
}

static void on_log_gone(void *arg)
{
	struct console *con = arg;

	con->log = NULL;
	state_del(con->cs->state, con->slot);
	con->slot = NULL;
	con->log_gone = true;
	maybe_free(con);
}

static void on_viewers_empty(void *arg)
{
	struct console *con = arg;

	con->viewers_gone = true;
	maybe_free(con);
}

static void disconnect(struct console *con, bool leave)
{
	if (!con->link.page)
		return;
	event_del(&con->port_ev);
	if (leave)
		hvc_port_leave(con->link.port);
	else
		hvc_port_close(con->link.port);
	con->link.release(con->link.arg, con->link.page);
	con->link = (struct con_link){ 0 };
	con->port_quiet = false;
}

/* The ring is drained and the mark written: let go of everything. */
static void finish(struct console *con)
{
	disconnect(con, false);
	evtimer_del(&con->timer);
	if (con->log)
		logsrc_close(con->log, on_log_gone, con);
	else
		con->log_gone = true;
	viewers_end(&con->viewers);
}

/* The log follows the guest's name as soon as the old one has got all. */
static void try_rename(struct console *con)
{
	char file[LOG_NAME_MAX];

	con->rename_due = false;
	if (!con->log)
		return;
	log_name(file, con->name, strlen(con->name), con->id.domid, con->id.con);
	con->rename_due = logsrc_rename(con->log, file) == -EAGAIN;
}

static bool turn(struct runq_item *it)
{
	struct console *con = (struct console *)((char *)it - offsetof(struct console, run));
	bool was_closing = con->closing && con->viewers.ended;
	enum pump r = PUMP_IDLE;

	if (was_closing)
		return false;
	if (con->link.page && !con->cut)
		r = console_pump(con);
	if (con->rename_due)
		try_rename(con);
	if (r == PUMP_IDLE && console_settle(con) && con->closing)
		finish(con);
	return r == PUMP_MORE;
}

/* ---- set-up ---- */

static const struct viewers_ops viewers_ops = {
	.room = input_room,
	.input = input,
	.moved = viewer_moved,
	.empty = on_viewers_empty,
};

static void on_pty(void *arg, bool open)
{
	struct console *con = arg;

	viewer_pty_open(con->pty_viewer, open);
}

/* A console without a terminal is a console still. */
static void open_pty(struct console *con)
{
	int r = pty_new(con->cs->ptys, on_pty, con, &con->pty);

	if (r == 0)
		r = viewers_add_pty(&con->viewers, pty_fd(con->pty), &con->pty_viewer);
	if (r < 0) {
		con->pty = pty_free(con->pty);
		(void)log_warn(r, "domain %u (%s): no terminal for console %u", con->id.domid,
			       con->name, con->id.con);
	}
}

/* Without a log the viewers still work. */
static void open_log(struct console *con)
{
	struct conset *cs = con->cs;
	char file[LOG_NAME_MAX];
	bool adopt = true; /* a slot of ours from before */
	int r = 0;

	con->slot = state_find(cs->state, &con->id);
	if (!con->slot) {
		adopt = false;
		log_name(file, con->name, strlen(con->name), con->id.domid, con->id.con);
		r = state_add(cs->state, &con->id, file, &con->slot);
	}
	if (r == 0)
		r = logsrc_new(cs->logs, con->slot, adopt, on_room, con, &con->log);
	if (r < 0)
		(void)log_err(r, "domain %u (%s): console %u is not logged", con->id.domid,
			      con->name, con->id.con);
	if (r < 0 && con->slot && !adopt) {
		state_del(cs->state, con->slot);
		con->slot = NULL;
	}
	con->adopted = adopt;
	con->rename_due = adopt; /* it may have been renamed while nobody looked */
}

int console_new(struct conset *cs, const struct slot_id *id, const char *name, struct console **ret)
{
	uint64_t now = clock_mono_ns();
	struct console *con = sys_zalloc(sizeof(*con));

	if (!con)
		return -ENOMEM;
	con->cs = cs;
	con->id = *id;
	con->name = strdup(name);
	if (!con->name) {
		free(con);
		return -ENOMEM;
	}
	budget_init(&con->bytes, cs->conf->log_rate, cs->conf->log_burst, now);
	budget_init(&con->wakes, WAKES_RATE, WAKES_BURST, now);
	(void)evtimer_assign(&con->timer, cs->base, on_timer, con);
	scroll_init(&con->scroll, cs->conf->scrollback);
	viewers_init(&con->viewers, cs->base, &con->scroll, &viewers_ops, con);
	TAILQ_INSERT_TAIL(&cs->all, con, all);
	if (cs->ptys)
		open_pty(con);
	if (cs->logs)
		open_log(con);
	*ret = con;
	return 0;
}

void console_disconnect(struct console *con)
{
	bool ended = con->ended;

	if (!con->link.page)
		return;
	con->ended = true; /* no budget holds back the last ring-full */
	if (!con->cut)
		(void)console_pump(con);
	con->ended = ended;
	disconnect(con, false);
	con->cut = false;
}

int console_connect(struct console *con, const struct con_link *l)
{
	console_disconnect(con);
	con->link = *l;
	(void)event_assign(&con->port_ev, con->cs->base, hvc_port_fd(l->port), EV_READ | EV_PERSIST,
			   on_port, con);
	if (event_add(&con->port_ev, NULL) < 0) {
		disconnect(con, false);
		return -ENOMEM;
	}
	if (con->slot && con->adopted)
		console_reconcile(con);
	con->adopted = false;
	ring_connect(l->page);
	hvc_port_notify(l->port); /* it may wait for room since before we came */
	viewers_resume(&con->viewers);
	wake(con);
	return 0;
}

bool console_connected(const struct console *con)
{
	return con->link.page != NULL;
}

void console_rename(struct console *con, const char *name)
{
	char *copy;

	if (strcmp(con->name, name) == 0)
		return;
	copy = strdup(name);
	if (!copy)
		return; /* the old name goes on */
	free(con->name);
	con->name = copy;
	try_rename(con);
}

void console_ended(struct console *con, const char *mark)
{
	if (con->ended)
		return;
	con->ended = true;
	snprintf(con->mark, sizeof(con->mark), "%s", mark);
	wake(con);
}

void console_resumed(struct console *con)
{
	struct slot_in in;

	con->ended = false;
	con->mark[0] = '\0';
	if (con->slot && slot_in(con->slot)->mark != MARK_NONE) {
		in = *slot_in(con->slot);
		in.mark = MARK_NONE;
		slot_put(con->slot, NULL, 0, &in);
	}
	viewers_resume(&con->viewers);
	wake(con);
}

void console_close(struct console *con)
{
	con->closing = true;
	con->ended = true;
	wake(con);
}

void console_drop(struct console *con)
{
	disconnect(con, true);
	con->log = logsrc_drop(con->log);
	console_free(con);
}

struct slot_id console_id(const struct console *con)
{
	return con->id;
}

struct viewers *console_viewers(struct console *con)
{
	return &con->viewers;
}

const char *console_tty(const struct console *con)
{
	return con->pty ? pty_path(con->pty) : NULL;
}

/* ---- the set ---- */

void conset_init(struct conset *cs, struct event_base *base)
{
	*cs = (struct conset){ .base = base };
	TAILQ_INIT(&cs->all);
	runq_init(&cs->runq, base, turn);
}

void conset_fini(struct conset *cs)
{
	while (!TAILQ_EMPTY(&cs->all))
		console_drop(TAILQ_FIRST(&cs->all));
	runq_fini(&cs->runq);
}

struct console *conset_find(struct conset *cs, uint16_t domid, uint32_t num)
{
	struct console *con;

	TAILQ_FOREACH(con, &cs->all, all)
	if (con->id.domid == domid && con->id.con == num && !con->closing)
		return con;
	return NULL;
}
