/* backends/net/vif.c - the life of a device, as its nodes tell it.
 *
 *   TAP there, features published      state 1 -> 2
 *   frontend 4: rings mapped              2 -> 4
 *   found at 4: a predecessor was killed; the rings go on, the guest sees nothing
 */
#include "backends/net/vif.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/devnode.h"
#include "backends/net/vifio.h"
#include "backends/wardenc.h"
#include "daemons/log.h"
#include "daemons/sys.h"

struct vif {
	const struct dev_host *host;
	struct devnode n;
	enum xb_state state;
	struct netport port; /* queues 0: not open yet, or failed */
	struct vifio *io;
	bool failed, told;
};

static void set_state(struct vif *v, enum xb_state to)
{
	struct node n = node("state", "%d", to);
	int r = devnode_publish(&v->n, &n, 1);

	if (r < 0 && r != -ENOENT)
		(void)log_warn(r, "vif %u: state %d", v->n.devid, to);
	v->state = to;
}

static int offer(struct vif *v)
{
	struct node n[] = {
		node("hotplug-status", "connected"),
		node("vifname", "%s", v->port.name),
		node("feature-sg", "1"),
		node("feature-gso-tcpv4", "1"),
		node("feature-gso-tcpv6", "1"),
		node("feature-ipv6-csum-offload", "1"),
		node("feature-rx-copy", "1"),
		node("feature-rx-flip", "0"),
		node("feature-multicast-control", "1"),
		node("feature-dynamic-multicast-control", "1"),
		node("feature-split-event-channels", "1"),
		node("multi-queue-max-queues", "%u", v->port.queues),
	};

	return devnode_publish(&v->n, n, sizeof(n) / sizeof(n[0]));
}

static void prepare(struct vif *v)
{
	struct wardenc_dev dev;
	char err[WARDEN_TEXT_MAX] = "";
	int r = wardenc_device(v->host->warden, v->n.devid, &dev, err, sizeof(err));

	if (r == -ENOTCONN || r == -EAGAIN)
		return; /* once more, soon */
	if (r == 0)
		r = netport_take(&dev, &v->port);
	if (r < 0) {
		struct node n[2] = { node("hotplug-error", "%.200s", err[0] ? err : strerror(-r)),
				     node("hotplug-status", "error") };

		v->failed = true;
		(void)log_err(0, "vif %u: %s", v->n.devid, n[0].val);
		(void)devnode_publish(&v->n, n, 2); /* for people; the log has it */
		return;
	}
	v->state = devnode_state(&v->n, v->n.back);
	if (!v->n.blind && v->state != XB_CONNECTED)
		r = offer(v);
	if (r < 0 || v->n.blind)
		netport_close(&v->port, false); /* and once more from the start */
}

/* ---- the guest's nodes ---- */

static bool guest_flag(struct vif *v, const char *name)
{
	uint32_t n = 0;

	return devnode_u32(&v->n, name, &n) == 0 && n == 1;
}

static int guest_queue(struct vif *v, const char *dir, struct vifio_queue *ret,
		       const char **ret_what)
{
	char tx[48], rx[48], port_tx[48], port_rx[48], port[48];
	int r;

	snprintf(tx, sizeof(tx), "%stx-ring-ref", dir);
	snprintf(rx, sizeof(rx), "%srx-ring-ref", dir);
	snprintf(port_tx, sizeof(port_tx), "%sevent-channel-tx", dir);
	snprintf(port_rx, sizeof(port_rx), "%sevent-channel-rx", dir);
	snprintf(port, sizeof(port), "%sevent-channel", dir);
	*ret_what = "tx-ring-ref";
	r = devnode_u32(&v->n, tx, &ret->tx_ref);
	if (r < 0)
		return r;
	*ret_what = "rx-ring-ref";
	r = devnode_u32(&v->n, rx, &ret->rx_ref);
	if (r < 0)
		return r;
	/* Both kinds written: the split ones count. */
	*ret_what = "event-channel";
	if (devnode_u32(&v->n, port_tx, &ret->tx_port) == 0 &&
	    devnode_u32(&v->n, port_rx, &ret->rx_port) == 0)
		return 0;
	r = devnode_u32(&v->n, port, &ret->tx_port);
	ret->rx_port = ret->tx_port;
	return r;
}

static int guest_choice(struct vif *v, struct vifio_conf *c, const char **ret_what)
{
	int r;

	*ret_what = "request-rx-copy";
	if (!guest_flag(v, "request-rx-copy"))
		return -EOPNOTSUPP;
	*ret_what = "multi-queue-num-queues";
	c->queues = 1;
	r = devnode_u32(&v->n, "multi-queue-num-queues", &c->queues);
	if ((r < 0 && r != -ENOENT) || c->queues == 0 || c->queues > v->port.queues)
		return -EINVAL;
	for (uint32_t i = 0; i < c->queues; i++) {
		char dir[20] = "";

		if (c->queues > 1)
			snprintf(dir, sizeof(dir), "queue-%u/", i);
		r = guest_queue(v, dir, &c->queue[i], ret_what);
		if (r < 0)
			return r;
	}
	c->sg = guest_flag(v, "feature-sg");
	c->gso4 = guest_flag(v, "feature-gso-tcpv4");
	c->gso6 = guest_flag(v, "feature-gso-tcpv6");
	c->csum4 = !guest_flag(v, "feature-no-csum-offload");
	c->csum6 = guest_flag(v, "feature-ipv6-csum-offload");
	c->rx_notify = guest_flag(v, "feature-rx-notify");
	c->mcast = guest_flag(v, "request-multicast-control");
	*ret_what = "the rings";
	return v->n.blind ? -EAGAIN : 0;
}

static struct credit_rate toolstack_rate(struct vif *v)
{
	struct credit_rate rate = { 0, 0 };
	char *s = devnode_read(&v->n, v->n.back, "rate");

	if (credit_parse(s, &rate) < 0)
		(void)log_warn(0, "vif %u: the rate \"%s\" is none: no limit", v->n.devid, s);
	free(s);
	return rate;
}

/* ---- connect ---- */

static int join(struct vif *v, bool resume)
{
	struct vifio_conf c = { .resume = resume, .port = &v->port, .devid = v->n.devid };
	const char *what;
	int r;

	c.rate = toolstack_rate(v);
	r = guest_choice(v, &c, &what);
	if (r == 0)
		r = vifio_start(v->host->hv, v->host->domid, &c, &v->io);
	if (r < 0) {
		struct node n = node("error", "%d %s of the frontend: %s", -r, what, strerror(-r));

		(void)log_warn(r, "vif %u: %s of the frontend", v->n.devid, what);
		(void)devnode_publish(&v->n, &n, 1); /* for people; the state says it too */
		return r;
	}
	v->told = false;
	log_info("vif %u: %s, %u queue%s", v->n.devid,
		 resume ? "taken over from a predecessor" : "connected", c.queues,
		 c.queues > 1 ? "s" : "");
	return 0;
}

static void part(struct vif *v, bool leave)
{
	struct net_counts c;

	if (!v->io)
		return;
	vifio_counts(v->io, &c);
	v->io = vifio_stop(v->io, leave);
	log_info("vif %u: sent %llu packets (%llu bad, %llu dropped), received %llu (%llu, %llu)",
		 v->n.devid, (unsigned long long)c.tx_packets, (unsigned long long)c.tx_errors,
		 (unsigned long long)c.tx_dropped, (unsigned long long)c.rx_packets,
		 (unsigned long long)c.rx_errors, (unsigned long long)c.rx_dropped);
}

static void follow(struct vif *v)
{
	struct credit_rate rate = toolstack_rate(v);
	bool mcast = guest_flag(v, "request-multicast-control");

	if (v->io && !v->n.blind) {
		vifio_rate(v->io, &rate);
		if (!mcast)
			vifio_mcast(v->io, false);
	}
}

bool vif_poll(struct vif *v)
{
	struct be_step st;
	enum xb_state peer;

	v->n.blind = false;
	if (v->failed)
		return false;
	if (!v->port.queues) {
		prepare(v);
		if (v->failed || !v->port.queues)
			return !v->failed;
		if (v->state == XB_CONNECTED && join(v, true) < 0)
			set_state(v, XB_CLOSING);
		else if (v->state < XB_INIT_WAIT || v->state == XB_INITIALISED)
			set_state(v, XB_INIT_WAIT);
	}
	peer = devnode_state(&v->n, v->n.front);
	st = devnode_online(&v->n) ? be_next(v->state, peer) : be_offline(v->state, peer);
	if (v->n.blind)
		return true;
	if (st.act == ACT_DISCONNECT)
		part(v, false);
	/* A guest that waits for us goes on without. */
	if (st.act == ACT_CONNECT && join(v, false) < 0)
		st.to = XB_CLOSING;
	if (st.to != v->state)
		set_state(v, st.to);
	follow(v);
	return v->n.blind;
}

void vif_tick(struct vif *v)
{
	const char *why = v->io && !v->told ? vifio_broken(v->io) : NULL;
	struct node n;

	if (!why)
		return;
	v->told = true;
	n = node("error", "%s", why);
	(void)log_warn(0, "vif %u: served no longer: %s", v->n.devid, why);
	(void)devnode_publish(&v->n, &n, 1); /* for people */
}

int vif_new(const struct dev_host *host, uint32_t devid, struct vif **ret)
{
	struct vif *v = sys_zalloc(sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->host = host;
	devnode_init(&v->n, host->xs, "vif", host->domid, devid);
	*ret = v;
	return 0;
}

struct vif *vif_free(struct vif *v, bool gone)
{
	if (v) {
		part(v, true);
		netport_close(&v->port, gone);
	}
	free(v);
	return NULL;
}

const char *vif_watched(const struct vif *v)
{
	return v->n.front;
}
