/* xenstored/ring_page.h - the page shared with a guest: struct
 * xenstore_domain_interface of <xen/io/xs_wire.h>.  That header names requests
 * as proto/xs_wire.h does, so the two can't be included together; a test holds
 * this one against it.  evtchn_port is newer than Debian 12's copy of it.
 */
#ifndef XENSTORED_RING_PAGE_H
#define XENSTORED_RING_PAGE_H

#include <stdint.h>

#define RING_BYTES 1024u

struct ring_page {
	uint8_t req[RING_BYTES], rsp[RING_BYTES];
	uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
	uint32_t server_features, connection, error, evtchn_port;
};

enum { RING_CONNECTED = 0, RING_RECONNECT = 1 };
enum { RING_ERROR_NONE = 0, RING_ERROR_COMM = 1, RING_ERROR_RINGIDX = 2, RING_ERROR_PROTO = 3 };

#endif
