/* apid/toolstack/devices.c - a device's three places. */
#include "apid/toolstack/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/toolstack/xstxn.h"

#define SCRIPTS	    "/etc/xen/scripts" /* where xl's are; here only their names count */
#define MTU_DEFAULT 1500u	       /* LIBXL_DEVICE_NIC_MTU_DEFAULT */

const char *device_class(const struct device *d)
{
	return d->disk ? "vbd" : "vif";
}

const char *device_name(const struct device *d)
{
	return d->disk ? d->disk->vdev : d->vif->mac;
}

/* ---- what each kind has ---- */

static void put_disk_back(struct put *p, const struct guest_disk *d)
{
	put(p, NULL, "params", "%s", d->target);
	put(p, NULL, "removable", "%d", d->cdrom);
	put(p, NULL, "bootable", "1");
	put(p, NULL, "dev", "%s", d->vdev);
	put(p, NULL, "type", "phy");
	put(p, NULL, "mode", "%s", d->readonly ? "r" : "w");
	/* A PVH guest ignores what is not a "disk". */
	put(p, NULL, "device-type", "disk");
	put(p, NULL, "media", "%s", d->cdrom ? "cdrom" : "disk");
	put(p, NULL, "discard-enable", "%d", d->discard);
	put(p, NULL, "direct-io-safe", "%d", d->direct_io_safe);
}

static void put_disk_front(struct put *p, const char *perms, const struct device *d)
{
	put(p, perms, "virtual-device", "%u", d->devid);
	put(p, perms, "device-type", "disk");
	put(p, perms, "trusted", "%d", d->disk->trusted);
}

static void put_limit(struct put *p, const char *rate, const char *burst, uint64_t r, uint64_t b)
{
	if (r)
		put(p, NULL, rate, "%llu", (unsigned long long)r);
	if (b)
		put(p, NULL, burst, "%llu", (unsigned long long)b);
}

static void put_vif_back(struct put *p, const struct guest_vif *v)
{
	char allow[32];

	put(p, NULL, "script", SCRIPTS "/%s", v->script);
	if (v->vifname[0])
		put(p, NULL, "vifname", "%s", v->vifname);
	put(p, NULL, "mac", "%s", v->mac);
	if (v->ip[0])
		put(p, NULL, "ip", "%s", v->ip);
	if (v->gatewaydev[0])
		put(p, NULL, "gatewaydev", "%s", v->gatewaydev);
	if (v->rate_bytes)
		put(p, NULL, "rate", "%llu,%u", (unsigned long long)v->rate_bytes, v->rate_usecs);
	if (v->mtu)
		put(p, NULL, "mtu", "%u", v->mtu);
	if (v->vlan[0])
		put(p, NULL, "vlan", "%s", v->vlan);
	put(p, NULL, "bridge", "%s", v->bridge);
	put(p, NULL, "handle", "%u", v->devid);
	put(p, NULL, "type", "vif");
	vif_allow_text(v->allow, allow);
	if (allow[0])
		put(p, NULL, "allow", "%s", allow);
	put_limit(p, "rx-rate", "rx-burst", v->rx_rate, v->rx_burst);
	put_limit(p, "tx-rate", "tx-burst", v->tx_rate, v->tx_burst);
	put(p, NULL, "hotplug-status", "%s", "");
}

static void put_vif_front(struct put *p, const char *own, const char *ro, const struct device *d)
{
	put(p, own, "handle", "%u", d->devid);
	put(p, own, "mac", "%s", d->vif->mac);
	put(p, ro, "mtu", "%u", d->vif->mtu ? d->vif->mtu : MTU_DEFAULT);
	put(p, own, "trusted", "%d", d->vif->trusted);
}

/* ---- the three places ---- */

static void put_device(struct put *p, uint16_t domid, const struct perms *pm,
		       const struct device *d)
{
	const char *cls = device_class(d);

	for (int i = 0; i < 2; i++) {
		if (i == 0)
			put_base(p, "/local/domain/0/backend/%s/%u/%u", cls, domid, d->devid);
		else
			put_base(p, "/libxl/%u/device/%s/%u", domid, cls, d->devid);
		put(p, i == 0 ? pm->ro : "n0", "", "%s", "");
		put(p, NULL, "frontend", "/local/domain/%u/device/%s/%u", domid, cls, d->devid);
		if (i == 1)
			put(p, NULL, "backend", "/local/domain/0/backend/%s/%u/%u", cls, domid,
			    d->devid);
		put(p, NULL, "frontend-id", "%u", domid);
		put(p, NULL, "online", "1");
		put(p, NULL, "state", "1");
		if (d->disk)
			put_disk_back(p, d->disk);
		else
			put_vif_back(p, d->vif);
	}
	put_base(p, "/local/domain/%u/device/%s/%u", domid, cls, d->devid);
	put(p, pm->own, "", "%s", "");
	put(p, pm->own, "backend", "/local/domain/0/backend/%s/%u/%u", cls, domid, d->devid);
	put(p, pm->own, "backend-id", "0");
	put(p, pm->own, "state", "1");
	if (d->disk)
		put_disk_front(p, pm->own, d);
	else
		put_vif_front(p, pm->own, pm->ro, d);
}

static void put_class(struct put *p, uint16_t domid, const struct perms *pm, const char *cls)
{
	put_base(p, "/local/domain/0/backend/%s", cls);
	put(p, "n0", "", "%s", "");
	put_base(p, "/local/domain/0/backend/%s/%u", cls, domid);
	put(p, "n0", "", "%s", "");
	put_base(p, "/local/domain/%u/device/%s", domid, cls);
	put(p, pm->ro, "", "%s", "");
	put_base(p, "/libxl/%u/device/%s", domid, cls);
	put(p, "n0", "", "%s", "");
}

void devices_put(struct put *p, uint16_t domid, const struct device *v, unsigned n)
{
	struct perms pm = perms_for(domid);
	bool disks = false, vifs = false;

	for (unsigned i = 0; i < n; i++) {
		bool *made = v[i].disk ? &disks : &vifs;

		if (!*made)
			put_class(p, domid, &pm, device_class(&v[i]));
		*made = true;
		put_device(p, domid, &pm, &v[i]);
	}
}

/* ---- what the backend says ---- */

static int read_back(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid,
		     const char *node, char **ret)
{
	char path[96];

	snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u/%u/%s", cls, domid, devid,
		 node);
	return xs_sync_read(xs, 0, path, ret);
}

int device_ready(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid,
		 char **ret_error)
{
	char *s = NULL;
	int r = read_back(xs, domid, cls, devid, "hotplug-status", &s);
	bool failed = r == 0 && strcmp(s, "error") == 0, none = r < 0 || !*s;

	free(s);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (failed) {
		r = read_back(xs, domid, cls, devid, "hotplug-error", ret_error);
		return r < 0 ? r : -EIO;
	}
	if (none)
		return 0;
	r = read_back(xs, domid, cls, devid, "state", &s);
	if (r < 0)
		return r;
	r = strcmp(s, "1") != 0;
	free(s);
	return r;
}

/* ---- in a running guest ---- */

struct place {
	uint16_t domid;
	const char *cls;
	uint32_t devid;
	const struct device *dev;
};

static int add_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	const struct place *d = arg;
	struct put p = { .xs = xs, .tx = tx };
	char path[96], *val;

	/* Nothing is written below a guest that has just gone. */
	snprintf(path, sizeof(path), "/local/domain/%u/vm", d->domid);
	p.r = xs_sync_read(xs, tx, path, &val);
	if (p.r < 0)
		return p.r;
	free(val);
	devices_put(&p, d->domid, d->dev, 1);
	return p.r;
}

int device_add(struct xs_sync *xs, uint16_t domid, const struct device *d)
{
	struct place at = { .domid = domid, .dev = d };

	return xstxn_run(xs, add_body, &at);
}

static int offline_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	const struct place *d = arg;
	struct put p = { .xs = xs, .tx = tx };
	char path[96], *val = NULL;

	snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u/%u/state", d->cls, d->domid,
		 d->devid);
	p.r = xs_sync_read(xs, tx, path, &val);
	if (p.r < 0)
		return p.r;
	put_base(&p, "/local/domain/0/backend/%s/%u/%u", d->cls, d->domid, d->devid);
	put(&p, NULL, "online", "0");
	if (strcmp(val, "6") != 0)
		put(&p, NULL, "state", "5");
	free(val);
	return p.r;
}

int device_offline(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid)
{
	struct place at = { .domid = domid, .cls = cls, .devid = devid };

	return xstxn_run(xs, offline_body, &at);
}

int device_closed(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid)
{
	char *s = NULL;
	int r = read_back(xs, domid, cls, devid, "state", &s);

	if (r == 0)
		r = strcmp(s, "6") == 0;
	else if (r == -ENOENT)
		r = 1;
	free(s);
	return r;
}

static int remove_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	const struct place *d = arg;
	char path[3][96], back[96];
	int r = 0;

	snprintf(path[0], sizeof(path[0]), "/local/domain/0/backend/%s/%u/%u", d->cls, d->domid,
		 d->devid);
	snprintf(path[1], sizeof(path[1]), "/local/domain/%u/device/%s/%u", d->domid, d->cls,
		 d->devid);
	snprintf(path[2], sizeof(path[2]), "/libxl/%u/device/%s/%u", d->domid, d->cls, d->devid);
	for (int i = 0; r == 0 && i < 3; i++)
		r = xs_gone(xs, tx, path[i]);
	snprintf(back, sizeof(back), "/local/domain/0/backend/%s/%u", d->cls, d->domid);
	if (r == 0)
		r = xs_gone_if_empty(xs, tx, back);
	snprintf(back, sizeof(back), "/local/domain/0/backend/%s", d->cls);
	return r == 0 ? xs_gone_if_empty(xs, tx, back) : r;
}

int device_remove(struct xs_sync *xs, uint16_t domid, const char *cls, uint32_t devid)
{
	struct place at = { .domid = domid, .cls = cls, .devid = devid };

	return xstxn_run(xs, remove_body, &at);
}
