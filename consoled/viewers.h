/* consoled/viewers.h - everybody who looks at one console, and who may type.
 *
 * A viewer is a descriptor and a place in the scrollback: however many there
 * are and however slow, they cost no memory and hold nobody up.  One that falls
 * too far behind is told how many bytes it missed.  At most one viewer has the
 * pen; its input is read only as far as the guest has room, so nothing typed
 * or pasted is lost.  The guest's terminal (PTY) is a viewer too: it takes the
 * pen with the first key if nobody has it.
 */
#ifndef CONSOLED_VIEWERS_H
#define CONSOLED_VIEWERS_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "consoled/scroll.h"
#include "proto/con_wire.h"

#define VIEWERS_MAX 64u /* per console */

struct viewer;

struct viewers_ops {
	int (*room)(void *arg); /* bytes of input the guest can take; negative: never again */
	void (*input)(void *arg, const uint8_t *p, size_t n); /* n fits */
	void (*moved)(void *arg); /* the pen's holder caught up, or there is none now */
	void (*empty)(void *arg); /* after viewers_end(): the last one left; may free all */
};

struct viewers {
	TAILQ_HEAD(, viewer) list;
	struct viewer *pen;
	unsigned n; /* without the terminal */
	struct event_base *base;
	const struct scroll *scroll;
	const struct viewers_ops *ops;
	void *arg;
	bool ended;
	struct event linger;
};

void viewers_init(struct viewers *vs, struct event_base *base, const struct scroll *scroll,
		  const struct viewers_ops *ops, void *arg);

/* fd is consumed, also on failure; it gets the OK line first.  -EMFILE: too many. */
int viewers_add(struct viewers *vs, int fd, enum con_mode mode, size_t scrollback);
/* The PTY's master; fd is borrowed.  Starts closed; lives until viewers_drop(). */
int viewers_add_pty(struct viewers *vs, int fd, struct viewer **ret);
/* Somebody opened the terminal, or the last one closed it. */
void viewer_pty_open(struct viewer *v, bool open);

void viewers_wake(struct viewers *vs);	 /* there is more in the scrollback */
void viewers_resume(struct viewers *vs); /* the guest took input */
/* The pen's holder is half a scrollback behind, but did take something in the
 * last second: worth holding the guest back for. */
bool viewers_lag(struct viewers *vs);

/* No more output will come: each viewer is closed when it has seen all, or
 * after five seconds.  ops->empty() is called later, never from here. */
void viewers_end(struct viewers *vs);
void viewers_drop(struct viewers *vs); /* close all at once, call nobody */

#endif
