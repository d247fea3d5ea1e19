/* consoled/ttynote.c - telling a guest's terminal in XenStore, asynchronously.
 *
 *   start -> read -> write -> end, from the start again if somebody else was
 *   faster; given up if the node, and so the guest, is gone.
 */
#include "consoled/ttynote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemons/sys.h"
#include "proto/xs_wire.h"

struct tty_note {
	struct xs_client *xs;
	uint32_t tx;
	unsigned tries;
	char path[64], tty[64];
};

#define TTY_TRIES 16

static void tty_start(struct tty_note *n);

static void tty_ended(void *arg, int r, const uint8_t *body, size_t len)
{
	struct tty_note *n = arg;

	if (r == -EAGAIN && n->tries++ < TTY_TRIES)
		tty_start(n);
	else
		free(n);
}

static void tty_read(void *arg, int r, const uint8_t *body, size_t len)
{
	struct tty_note *n = arg;

	if (r == 0)
		r = xs_write(n->xs, n->tx, n->path, n->tty, NULL, NULL);
	if (xs_request(n->xs, XS_TRANSACTION_END, n->tx, r == 0 ? "T" : "F", 2, tty_ended, n) < 0)
		free(n);
}

static void tty_started(void *arg, int r, const uint8_t *body, size_t len)
{
	struct tty_note *n = arg;

	if (r == 0)
		n->tx = (uint32_t)strtoul((const char *)body, NULL, 10);
	if (r < 0 || xs_read(n->xs, n->tx, n->path, tty_read, n) < 0)
		free(n);
}

static void tty_start(struct tty_note *n)
{
	if (xs_request(n->xs, XS_TRANSACTION_START, 0, "", 1, tty_started, n) < 0)
		free(n);
}

void tty_note(struct xs_client *xs, uint16_t domid, const char *tty)
{
	struct tty_note *n = sys_zalloc(sizeof(*n));

	if (!n)
		return; /* told again after the next reading */
	n->xs = xs;
	snprintf(n->path, sizeof(n->path), "/local/domain/%u/console/tty", domid);
	snprintf(n->tty, sizeof(n->tty), "%s", tty);
	tty_start(n);
}
