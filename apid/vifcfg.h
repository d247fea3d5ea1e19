/* apid/vifcfg.h - a network interface of a guest, checked: xl's keys, and what
 * this host adds to them (allow, rx_* and tx_*).
 *
 * What passes here is safe to stand in a XenStore node, an interface's name or
 * a rule; netd looks at it once more all the same.
 */
#ifndef APID_VIFCFG_H
#define APID_VIFCFG_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "apid/problem.h"
#include "proto/vif_words.h"

#define VIFS_MAX      64 /* the schema's */
#define VIF_DEVID_MAX 255
#define VIF_TEXT_MAX  255

struct guest_vif {
	uint32_t devid;
	char mac[MAC_LEN + 1]; /* lower case; "": none yet */
	char bridge[65];
	char script[32]; /* vif-bridge, vif-openvswitch, vif-route or vif-nat */
	char vifname[VIF_NAME_MAX + 1], gatewaydev[VIF_NAME_MAX + 1];
	char ip[VIF_TEXT_MAX + 1]; /* addresses, one space between; "" */
	char vlan[VIF_TEXT_MAX + 1];
	uint64_t rate_bytes; /* in each interval; 0: no limit */
	uint32_t rate_usecs;
	uint32_t mtu; /* 0: the bridge's */
	unsigned allow;
	bool trusted;
	/* As the guest sees it; bytes a second and bytes at once, 0: no limit. */
	uint64_t rx_rate, rx_burst, tx_rate, tx_burst;
	bool elsewhere; /* another domain's backend */
};

/* o fits the schema's Vif.  at: its place in the list, for p->pointer and for
 * devid where none is given.  0, or -EINVAL and *p. */
int vifcfg_parse(json_object *o, unsigned at, struct guest_vif *ret, struct problem *p);

/* xl's rate: "10Mb/s", "1GB/s@30ms" to bytes in each interval.  -EINVAL: not of
 * this form; -ERANGE: too large, or less than one byte in an interval. */
int vifcfg_rate(const char *s, uint64_t *ret_bytes, uint32_t *ret_usecs);

void vifcfg_mac_new(char ret[MAC_LEN + 1]); /* 00:16:3e and random bits, as libxl */

#endif
