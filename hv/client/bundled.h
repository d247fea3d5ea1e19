/* hv/client/bundled.h - the handle on hvd's socket.  Private to hv/client. */
#ifndef HV_CLIENT_BUNDLED_H
#define HV_CLIENT_BUNDLED_H

#include "daemons/hv_link.h"
#include "hv/client/provider.h"

/* A close that hvd was not there to hear; said again when it is back.  The
 * cookie makes a stale one harmless. */
struct owed_close {
	struct owed_close *next;
	struct hv_PORT_CLOSE what;
};

struct bundled {
	struct hvc base;
	char path[108];
	int sock; /* requests; -1: not connected */
	uint32_t seq;
	struct owed_close *owed;

	/* Events have a connection of their own, so that a reply never waits
	 * behind them.  ep_fd is what the user polls: ev_sock and timer_fd. */
	int ep_fd, ev_sock, timer_fd;
	bool resync_due; /* a RESYNC is owed once the subscription stands */

	struct hv_link_buf buf;
	struct hv_msg reply; /* of the last call; BLOBs point into buf */
};

/* One request and its reply of type want (in b->reply).  fds is an array of
 * FDPASS_MAX; exactly want_fds come back in it, owned by the caller.  err may be
 * NULL; it gets hvd's line of text, or one of ours. */
struct call {
	const struct hv_msg *req;
	const int *fds;
	size_t nfds;
	uint16_t want;
	size_t want_fds;
	unsigned timeout_s;
	char *err;
	size_t errlen;
};
int bundled_call(struct bundled *b, const struct call *c, int *ret_fds);

/* A request about one domain, answered OK. */
int bundled_simple(struct bundled *b, struct hv_msg *req, unsigned timeout_s);

/* NULL if h is of another provider. */
struct bundled *bundled_of(struct hvc *h);

int bundled_event_fd(struct hvc *h);
int bundled_event_next(struct hvc *h, struct hvc_event *ret);
int bundled_port_bind(struct hvc *h, uint16_t domid, uint32_t port, struct hvc_port **ret);

enum { CALL_SHORT_S = 10, CALL_DESTROY_S = 60, CALL_CREATE_S = 300 };

#endif
