/* backends/net/guard.h - what a guest may not say on the network: rules on its TAP,
 * by nftables at the netdev ingress hook, whatever the TAP is a port of. */
#ifndef BACKENDS_NET_GUARD_H
#define BACKENDS_NET_GUARD_H

#include <stddef.h>

#include "proto/vif_words.h"

struct guard {
	char mac[MAC_LEN + 1];
	unsigned allow;	 /* enum vif_allow */
	unsigned naddrs; /* 0: any address of the guest's own choice */
	struct vif_addr addr[VIF_ADDRS_MAX];
};

/* Rules for nft, of at most n bytes with NUL.  name passed vif_is_ifname().
 * They replace what stands there for this TAP.  -E2BIG. */
int guard_rules(const struct guard *g, const char *name, char *ret, size_t n);

/* Hand text to nft.  -ENOENT: there is no nft here; -EIO: it refused. */
int guard_apply(const char *text);
void guard_remove(const char *name); /* idempotent */

#endif
