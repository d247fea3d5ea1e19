/* backends/xenbus_fsm.c - the rules, as a table. */
#include "backends/xenbus_fsm.h"

#include <stddef.h>

static const struct rule {
	enum xb_state from, peer, to;
	enum be_act act;
} rules[] = {
	/* ours          frontend says    go to         first do */
	{ XB_INIT_WAIT, XB_INITIALISED, XB_CONNECTED, ACT_CONNECT },
	{ XB_INIT_WAIT, XB_CONNECTED, XB_CONNECTED, ACT_CONNECT },
	{ XB_INIT_WAIT, XB_CLOSING, XB_CLOSING, ACT_NONE },
	{ XB_INIT_WAIT, XB_CLOSED, XB_CLOSED, ACT_NONE },
	{ XB_CONNECTED, XB_CLOSING, XB_CLOSING, ACT_DISCONNECT },
	{ XB_CONNECTED, XB_CLOSED, XB_CLOSED, ACT_DISCONNECT },
	{ XB_CONNECTED, XB_UNKNOWN, XB_CLOSED, ACT_DISCONNECT },
	/* A guest that starts over (kexec, a crash kernel) holds no ring. */
	{ XB_CONNECTED, XB_INITIALISING, XB_INIT_WAIT, ACT_DISCONNECT },
	{ XB_CLOSING, XB_CLOSED, XB_CLOSED, ACT_NONE },
	{ XB_CLOSING, XB_UNKNOWN, XB_CLOSED, ACT_NONE },
	{ XB_CLOSING, XB_INITIALISING, XB_INIT_WAIT, ACT_NONE },
	{ XB_CLOSED, XB_INITIALISING, XB_INIT_WAIT, ACT_NONE }, /* reboot */
};

struct be_step be_next(enum xb_state from, enum xb_state peer)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].from == from && rules[i].peer == peer)
			return (struct be_step){ rules[i].to, rules[i].act };
	return (struct be_step){ from, ACT_NONE };
}

struct be_step be_offline(enum xb_state from, enum xb_state peer)
{
	bool over = peer == XB_CLOSED || peer == XB_UNKNOWN || from == XB_CLOSED;

	/* Until the guest has let go its I/O is still served. */
	if (from == XB_CONNECTED && !over && peer != XB_CLOSING)
		return (struct be_step){ from, ACT_NONE };
	return (struct be_step){ over ? XB_CLOSED : XB_CLOSING,
				 from == XB_CONNECTED ? ACT_DISCONNECT : ACT_NONE };
}

enum xb_state xb_state_parse(const char *s)
{
	return s && s[0] >= '1' && s[0] < '0' + XB_STATE_MAX && s[1] == '\0'
		       ? (enum xb_state)(s[0] - '0')
		       : XB_UNKNOWN;
}
