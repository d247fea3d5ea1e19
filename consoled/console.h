/* consoled/console.h - one guest console: ring page in, log and viewers out.
 *
 *   OPEN ----> LIVE ----> ENDED ----> CLOSING ----> gone
 *   no page    ring       drained,    page and port given back,
 *   yet        is read    marked      log and viewers finish
 *
 * ENDED: the domain has shut down or died but still exists.
 */
#ifndef CONSOLED_CONSOLE_H
#define CONSOLED_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "consoled/conf.h"
#include "consoled/runq.h"
#include "consoled/state.h"
#include "consoled/viewers.h"

struct console;
struct hvc_port;
struct journal;
struct logdir;
struct ptys;

struct conset { /* what all consoles share; everything is borrowed */
	struct event_base *base;
	const struct conf *conf;
	struct state *state;
	struct logdir *logs; /* NULL: guests aren't logged */
	struct ptys *ptys;   /* NULL: no terminals */
	struct journal *journal;
	struct runq runq;
	TAILQ_HEAD(, console) all;
};

void conset_init(struct conset *cs, struct event_base *base);
void conset_fini(struct conset *cs);

struct con_link { /* how a page and a port come to the console, and go */
	void *page;
	struct hvc_port *port;			/* owned by the console */
	void (*release)(void *arg, void *page); /* called once */
	void *arg;
};

/* name: the guest's, any bytes (NUL-terminated, copied). */
int console_new(struct conset *cs, const struct slot_id *id, const char *name,
		struct console **ret);
/* Take l (consumed, also on failure) as the ring from now on; what is left in
 * an earlier one is read first. */
int console_connect(struct console *con, const struct con_link *l);
/* Read what is left in the ring and give it back; the console stays. */
void console_disconnect(struct console *con);
bool console_connected(const struct console *con);
void console_rename(struct console *con, const char *name);

/* The domain ended: read what is left, then write this mark, once per domain
 * (also over restarts of the daemon). */
void console_ended(struct console *con, const char *mark);
void console_resumed(struct console *con); /* it runs on (after a suspend) */
/* The domain is gone.  con frees itself when everyone has seen its end. */
void console_close(struct console *con);
/* Frees now; ports stay bound and spools kept for a successor. */
void console_drop(struct console *con);

struct slot_id console_id(const struct console *con);
struct viewers *console_viewers(struct console *con);
const char *console_tty(const struct console *con); /* NULL: it has no terminal */
struct console *conset_find(struct conset *cs, uint16_t domid, uint32_t con);

#endif
