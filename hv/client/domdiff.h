/* hv/client/domdiff.h - events of domains from two looks at their list, for
 * hypervisors that only say "something changed".  Pure. */
#ifndef HV_CLIENT_DOMDIFF_H
#define HV_CLIENT_DOMDIFF_H

#include "hv/client/hvc.h"

struct domdiff_seen {
	uint16_t domid;
	uint32_t flags;
	uint8_t uuid[16];
};

/* Both lists ascending by domid.  Writes at most 2 * old_n + 2 * now_n events
 * to ret (which must hold them); returns how many.  A domid whose uuid changed is
 * one domain destroyed and another created. */
size_t domdiff(const struct domdiff_seen *old, size_t old_n, const struct hvc_dominfo *now,
	       size_t now_n, struct hvc_event *ret);

#endif
