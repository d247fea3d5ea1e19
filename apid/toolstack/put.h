/* apid/toolstack/put.h - writes many nodes below one folder at a time; the
 * first error is kept and stops what follows. */
#ifndef APID_TOOLSTACK_PUT_H
#define APID_TOOLSTACK_PUT_H

#include <stdint.h>

#include "daemons/xs_client.h"

struct put {
	struct xs_sync *xs;
	uint32_t tx;
	int r;
	char base[128];
};

/* node "": the folder itself.  perms as in xs_put; NULL: inherited. */
void put(struct put *p, const char *perms, const char *node, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void put_base(struct put *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct perms {
	char ro[24];  /* "n0,r5": the guest reads */
	char rw[24];  /* "n5": the guest owns */
	char own[24]; /* "n5,r0" */
};
struct perms perms_for(uint16_t domid);

#endif
