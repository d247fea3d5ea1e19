/* hv/client/domdiff.c - a merge of two ascending lists. */
#include "hv/client/domdiff.h"

#include <string.h>

static size_t put(struct hvc_event *ret, size_t n, enum hvc_event_kind kind, uint16_t domid,
		  uint32_t reason)
{
	ret[n] = (struct hvc_event){ .kind = kind, .domid = domid, .reason = reason };
	return n + 1;
}

/* What happened to a domain between flags `was` and now. */
static size_t changes(uint32_t was, const struct hvc_dominfo *d, struct hvc_event *ret, size_t n)
{
	uint32_t came = d->flags & ~was;

	if (came & HVC_DOM_SHUTDOWN)
		n = put(ret, n, HVC_EV_SHUTDOWN, d->domid, d->shutdown_reason);
	if (came & HVC_DOM_DYING)
		n = put(ret, n, HVC_EV_DYING, d->domid, d->shutdown_reason);
	return n;
}

size_t domdiff(const struct domdiff_seen *old, size_t old_n, const struct hvc_dominfo *now,
	       size_t now_n, struct hvc_event *ret)
{
	size_t i = 0, j = 0, n = 0;

	while (i < old_n || j < now_n) {
		bool has_old = i < old_n && (j == now_n || old[i].domid <= now[j].domid);
		bool has_now = j < now_n && (i == old_n || now[j].domid <= old[i].domid);

		if (has_old && has_now && memcmp(old[i].uuid, now[j].uuid, 16) == 0) {
			n = changes(old[i++].flags, &now[j++], ret, n);
			continue;
		}
		if (has_old)
			n = put(ret, n, HVC_EV_DESTROYED, old[i++].domid, 0);
		if (has_now) {
			n = put(ret, n, HVC_EV_CREATED, now[j].domid, 0);
			n = changes(0, &now[j++], ret, n);
		}
	}
	return n;
}
