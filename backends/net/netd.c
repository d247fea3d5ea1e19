/* backends/net/netd.c - the warden of network interfaces: makes a TAP for each, puts
 * it on its bridge and guards it, for one jailed netback per guest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/net/guard.h"
#include "backends/net/tap.h"
#include "backends/warden.h"
#include "daemons/fdpass.h"
#include "daemons/paths.h"
#include "daemons/sys.h"
#include "daemons/xs_client.h"

#define RULES_MAX 4096u

/* Publications of vif.c; what the toolstack writes is not among them. */
static const char *const writes[] = {
	"state",
	"error",
	"hotplug-status",
	"hotplug-error",
	"vifname",
	"multi-queue-max-queues",
	"feature-sg",
	"feature-gso-tcpv4",
	"feature-gso-tcpv6",
	"feature-ipv6-csum-offload",
	"feature-rx-copy",
	"feature-rx-flip",
	"feature-multicast-control",
	"feature-dynamic-multicast-control",
	"feature-split-event-channels",
	NULL,
};

/* An interface that was made, to be removed under the name it had. */
struct made {
	struct made *next;
	uint16_t domid;
	uint32_t devid;
	char name[VIF_NAME_MAX + 1];
};

struct netd {
	struct made *made;
};

/* ---- a device's nodes ---- */

struct settings {
	char name[VIF_NAME_MAX + 1], bridge[VIF_NAME_MAX + 1];
	int mtu;
	struct guard guard;
};

static int refuse(char *err, size_t n, const char *what, const char *val)
{
	snprintf(err, n, "%s '%.60s' can't be used", what, val);
	return -EINVAL;
}

/* "" where there is none. */
static int read_node(const struct warden_ask *ask, const char *name, char *ret, size_t n)
{
	char path[128], *val = NULL;
	int r;

	snprintf(path, sizeof(path), "%s/%s", ask->back, name);
	r = xs_sync_read(ask->xs, 0, path, &val);
	if (r == -ENOENT)
		r = 0;
	else if (r == 0 && snprintf(ret, n, "%s", val) >= (int)n)
		r = -EINVAL;
	if (!val)
		ret[0] = '\0';
	free(val);
	return r;
}

static int read_guard(const struct warden_ask *ask, struct guard *ret, char *err, size_t n)
{
	char val[256], bad[VIF_ADDR_TEXT];
	int r = read_node(ask, "mac", val, sizeof(val));

	if (r < 0 || vif_mac_parse(val, ret->mac) < 0)
		return r < 0 ? r : refuse(err, n, "mac", val);
	r = read_node(ask, "allow", val, sizeof(val));
	if (r < 0 || (val[0] && vif_allow_parse(val, &ret->allow) < 0))
		return r < 0 ? r : refuse(err, n, "allow", val);
	r = read_node(ask, "ip", val, sizeof(val));
	if (r == 0 && val[0]) {
		r = vif_addrs_parse(val, ret->addr, bad);
		if (r < 0)
			return refuse(err, n, "ip", val);
		ret->naddrs = (unsigned)r;
		r = 0;
	}
	return r;
}

static int read_settings(const struct warden_ask *ask, struct settings *ret, char *err, size_t n)
{
	static const char *const not_yet[] = { "vlan", "rx-rate", "tx-rate", "gatewaydev" };
	char val[128];
	const char *base;
	int r;

	for (size_t i = 0; i < sizeof(not_yet) / sizeof(not_yet[0]); i++) {
		r = read_node(ask, not_yet[i], val, sizeof(val));
		if (r < 0 || val[0])
			return r < 0 ? r : refuse(err, n, not_yet[i], val);
	}
	r = read_node(ask, "script", val, sizeof(val));
	base = strrchr(val, '/') ? strrchr(val, '/') + 1 : val;
	if (r < 0 || (base[0] && strcmp(base, "vif-bridge") != 0))
		return r < 0 ? r : refuse(err, n, "script (netd knows vif-bridge)", base);
	r = read_node(ask, "vifname", ret->name, sizeof(ret->name));
	if (r == 0 && !ret->name[0] &&
	    snprintf(ret->name, sizeof(ret->name), "vif%u.%u", ask->domid, ask->devid) >=
		    (int)sizeof(ret->name))
		r = -ENAMETOOLONG;
	if (r < 0 || !vif_is_ifname(ret->name, strlen(ret->name)))
		return r < 0 ? r : refuse(err, n, "vifname", ret->name);
	r = read_node(ask, "bridge", ret->bridge, sizeof(ret->bridge));
	if (r < 0 || !vif_is_ifname(ret->bridge, strlen(ret->bridge)))
		return r < 0 ? r : refuse(err, n, "bridge", ret->bridge);
	r = read_node(ask, "mtu", val, sizeof(val));
	ret->mtu = r == 0 ? atoi(val) : 0; /* Linux refuses what is no MTU */
	return r < 0 ? r : read_guard(ask, &ret->guard, err, n);
}

/* ---- the interface ---- */

static int put_guard(const struct settings *s, char *err, size_t n)
{
	char rules[RULES_MAX];
	int r;

	if (s->guard.allow == VIF_ALLOW_ALL) {
		guard_remove(s->name);
		return 0;
	}
	r = guard_rules(&s->guard, s->name, rules, sizeof(rules));
	if (r == 0)
		r = guard_apply(rules);
	if (r == -ENOENT)
		snprintf(err, n,
			 "%s can't be guarded against forged frames: nft is missing;"
			 " run apt-get install nftables, or say allow=all",
			 s->name);
	else if (r < 0)
		snprintf(err, n, "%s can't be guarded against forged frames: nft refused the rules",
			 s->name);
	return r;
}

static int join(const struct settings *s, char *err, size_t n)
{
	int r = tap_join(s->name, s->bridge, s->mtu);

	if (r == -ENODEV)
		snprintf(err, n,
			 "there is no bridge %s; to make one: ip link add %s type bridge &&"
			 " ip link set %s up",
			 s->bridge, s->bridge, s->bridge);
	else if (r == -EINVAL)
		snprintf(err, n, "%s is not a Linux bridge, or %s not an MTU it takes", s->bridge,
			 s->mtu ? "mtu" : "its own is");
	else if (r < 0)
		snprintf(err, n, "%s: %s", s->name, strerror(-r));
	return r;
}

static int remember(struct netd *d, const struct warden_ask *ask, const char *name)
{
	struct made *m = sys_zalloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->domid = ask->domid;
	m->devid = ask->devid;
	memcpy(m->name, name, strlen(name) + 1);
	m->next = d->made;
	d->made = m;
	return 0;
}

static void take_away(const char *name)
{
	guard_remove(name);
	tap_remove(name);
}

static int open_vif(void *arg, const struct warden_ask *ask, struct warden_dev *ret, char *err,
		    size_t errlen)
{
	struct settings s = { 0 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = cpus < 1 ? 1 : cpus > WARDEN_FDS_MAX ? WARDEN_FDS_MAX : (size_t)cpus;
	int r;

	err[0] = '\0';
	r = read_settings(ask, &s, err, errlen);
	if (r == 0)
		r = tap_open(s.name, ret->fds, n);
	if (r < 0) {
		if (!err[0])
			snprintf(err, errlen, "%s: %s", s.name[0] ? s.name : "vif", strerror(-r));
		return r;
	}
	/* Guarded before it is on the bridge. */
	r = put_guard(&s, err, errlen);
	if (r == 0)
		r = join(&s, err, errlen);
	if (r == 0)
		r = remember(arg, ask, s.name);
	if (r < 0) {
		fdpass_close(ret->fds, n);
		take_away(s.name);
		return r;
	}
	ret->nfds = n;
	ret->blob_len = strlen(s.name);
	memcpy(ret->blob, s.name, ret->blob_len);
	return 0;
}

static void close_vif(void *arg, uint16_t domid, uint32_t devid)
{
	struct netd *d = arg;

	for (struct made **p = &d->made; *p; p = &(*p)->next) {
		struct made *m = *p;

		if (m->domid != domid || m->devid != devid)
			continue;
		take_away(m->name);
		*p = m->next;
		free(m);
		return;
	}
}

static int start(struct event_base *base, void **ret_arg)
{
	*ret_arg = sys_zalloc(sizeof(struct netd));
	return *ret_arg ? 0 : -ENOMEM;
}

/* The interfaces stay: backends use them on. */
static void stop(void *arg)
{
	struct netd *d = arg;

	for (struct made *m = d ? d->made : NULL, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	free(d);
}

static const struct warden_kind vif = {
	.kind = "vif",
	.daemon = "netd",
	.program = "netback",
	.uid_base = 280000, /* above blkback's */
	.writes = writes,
	.door = path_netd_sock,
	.start = start,
	.stop = stop,
	.open = open_vif,
	.close = close_vif,
};

int main(int argc, char **argv)
{
	return warden_main(argc, argv, &vif);
}
