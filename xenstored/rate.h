/* xenstored/rate.h - how often a guest may disturb others' transactions
 * (XSA-206): each write of a guest that another connection's open transaction
 * may conflict with costs a credit; without credit it waits.
 */
#ifndef XENSTORED_RATE_H
#define XENSTORED_RATE_H

#include <stdint.h>

#define RATE_PER_S     200u
#define RATE_BURST     10u
#define RATE_NEW_TIMES 5u /* a new domain starts with that many bursts */

struct conn;
struct server;

struct rate {
	uint64_t at_ns; /* when credit was right; 0: new */
	double credit;
};

/* Milliseconds until the request may be done; 0: now, and it is charged. */
unsigned rate_wait_ms(struct rate *r, struct server *srv, const struct conn *c, uint32_t type);

#endif
