/* consoled/console_priv.h - the inside of a console, shared by console.c (its
 * life) and pump.c (its bytes). */
#ifndef CONSOLED_CONSOLE_PRIV_H
#define CONSOLED_CONSOLE_PRIV_H

#include <event2/event_struct.h>

#include "consoled/budget.h"
#include "consoled/console.h"
#include "daemons/log.h"

#define MARK_MAX 192u

struct console {
	TAILQ_ENTRY(console) all;
	struct runq_item run; /* queued: the ring is to be looked at */
	struct conset *cs;
	struct slot_id id;
	char *name; /* owned */

	struct con_link link; /* page NULL: not connected */
	struct event port_ev, timer;
	bool port_quiet; /* the port woke us for nothing too often: not listened to */
	bool cut;	 /* the guest broke its ring: never looked at again */
	bool in_wait;	 /* somebody's input waits for room in the ring */
	bool adopted;	 /* the slot is a predecessor's: its last step may lack its end */
	bool over;	 /* overflow-data=discard: over the budget until it recovered */
	bool rename_due; /* the log changes when the spool is empty */
	bool ended, closing, log_gone, viewers_gone;
	char mark[MARK_MAX]; /* to be written when the ring is drained; "" none */

	struct budget bytes, wakes;
	struct scroll scroll;
	struct viewers viewers;
	struct pty *pty;
	struct viewer *pty_viewer;

	struct slot *slot; /* NULL: not logged */
	struct logsrc *log;
	struct log_window told;
	struct jline *jline;
};

enum pump {
	PUMP_IDLE, /* the ring is empty */
	PUMP_MORE, /* a turn's worth was done */
	PUMP_WAIT  /* something will queue the console again: room, time, a viewer */
};

/* One turn on the ring of a connected console. */
enum pump console_pump(struct console *con);
/* The ring is empty: write what is owed (bytes lost, con->mark) if the spool
 * takes it.  True if there is nothing more to write. */
bool console_settle(struct console *con);
/* After a restart: the ring's index as the slot says it must be. */
void console_reconcile(struct console *con);
/* The ring lies: stop looking at it, say so once. */
void console_cut(struct console *con);

#endif
