/* tests/fake/xs_rig.h - xenstored in the test's process, on a hypervisor that
 * is an array: guests are ring pages and eventfds the test plays with.
 */
#ifndef TESTS_FAKE_XS_RIG_H
#define TESTS_FAKE_XS_RIG_H

#include "xenstored/domain.h"
#include "xenstored/ring_page.h"
#include "xenstored/server.h"

#define RIG_DOMS 16u

struct rig_dom {
	bool exists, shutdown, dying, no_page;
	uint64_t created_ns;
	struct ring_page *page;	 /* shared with forked children */
	int to_daemon, to_guest; /* eventfds */
};

struct rig {
	struct rig_dom dom[RIG_DOMS]; /* [0]: our own kernel, if own_ring */
	struct rig_news {
		uint32_t head, tail;
		struct {
			enum hv_event ev;
			uint16_t domid;
		} q[64];
	} * news; /* shared */
	int news_fd;
	bool own_ring; /* as on a real Xen; from the next start on */
	bool away;     /* the hypervisor can't be asked */
	struct event_base *base;
	struct server srv;
	char dir[32], state[64], slots[64];
	bool on_disk;
};

/* on_disk: state in files, so that rig_restart() finds it. */
void rig_init(struct rig *r, bool on_disk);
void rig_fini(struct rig *r);
/* Start the server (also after rig_stop()). */
void rig_start(struct rig *r);
void rig_stop(struct rig *r);
void rig_news(struct rig *r, enum hv_event ev, uint16_t domid);
void rig_turn(struct rig *r); /* let the server handle what there is */

/* One request as if decoded from a connection; the reply's type and body, in a
 * buffer of 4097 bytes.  Works on conns of rig_conn() only. */
struct conn *rig_conn(struct rig *r, uint16_t domid);
void rig_conn_free(struct conn *c);
int rig_ask(struct conn *c, uint32_t type, uint32_t tx, const void *body, size_t n, char *ret,
	    size_t *ret_n); /* 0 or negative errno as told */
#define RIG_ASK(c, type, tx, body) rig_ask(c, type, tx, body, sizeof(body) - 1, NULL, NULL)

/* The guest's side of a ring. */
bool guest_put(struct rig_dom *d, const void *p, size_t n); /* false: no room */
size_t guest_get(struct rig_dom *d, void *p, size_t n);
void guest_kick(struct rig_dom *d);
/* Send a message and wait for its answer; events on the way are dropped.
 * 0 or the negative errno it tells; -ETIMEDOUT. */
int guest_ask(struct rig *r, uint16_t domid, uint32_t type, uint32_t tx, const void *body, size_t n,
	      char *ret, size_t *ret_n);
/* One whole message, events included; false: none came. */
bool guest_msg(struct rig *r, uint16_t domid, uint32_t hdr[4], char *body);

#endif
