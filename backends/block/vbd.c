/* backends/block/vbd.c - the life of a device, as its nodes tell it.
 *
 *   image opened, features published   state 1 -> 2
 *   frontend 3: ring mapped, properties   2 -> 4
 *   found at 4: a predecessor was killed; the ring goes on, the guest sees nothing
 */
#include "backends/block/vbd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backends/block/image.h"
#include "backends/block/vbdio.h"
#include "backends/devnode.h"
#include "backends/wardenc.h"
#include "daemons/clock.h"
#include "daemons/fdpass.h"
#include "daemons/log.h"
#include "daemons/sys.h"

#define LOCK_WAIT_S 15u /* for a predecessor or a guest's former life to let go */

struct vbd {
	const struct dev_host *host;
	struct devnode n;
	char front_state[72];
	enum xb_state state;
	struct image *image; /* NULL: not open yet, or failed */
	struct image_info info;
	struct blk_geom geom;
	struct vbdio *io;
	struct limits *all_limits;
	struct limit_group *limit;
	char limits[VBD_LIMITS_TEXT]; /* the node as last seen */
	struct vbd_stats told;
	unsigned ticks;
	uint64_t give_up_ns;
	bool failed; /* said so in the nodes; stays as it is */
};

static void set_state(struct vbd *v, enum xb_state to)
{
	struct node n = node("state", "%d", to);
	int r = devnode_publish(&v->n, &n, 1);

	if (r < 0 && r != -ENOENT)
		(void)log_warn(r, "vbd %u: state %d", v->n.devid, to);
	v->state = to;
}

/* ---- the image ---- */

static void fail_image(struct vbd *v, const char *path, int r)
{
	struct node n[2] = { node("hotplug-error", "%.180s: %s", path,
				  r == -EAGAIN	 ? "in use by another guest or program"
				  : r == -EINVAL ? "not a file or a block device of a usable size"
						 : strerror(-r)),
			     node("hotplug-status", "error") };

	v->failed = true;
	(void)log_err(0, "vbd %u: %s", v->n.devid, n[0].val);
	r = devnode_publish(&v->n, n, 2);
	if (r < 0 && r != -ENOENT)
		(void)log_warn(r, "vbd %u: hotplug-error", v->n.devid);
}

static unsigned queues_max(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus < (long)VBDIO_QUEUES ? (unsigned)cpus : VBDIO_QUEUES;
}

static int offer(struct vbd *v)
{
	struct node n[5] = { node("hotplug-status", "connected"),
			     node("feature-max-indirect-segments", "%u", BLK_SEGS_INDIRECT),
			     node("multi-queue-max-queues", "%u", queues_max()),
			     node("max-ring-page-order", "%u", RING_ORDER_MAX),
			     node("physical-device", "%x:%x", major(v->info.rdev),
				  minor(v->info.rdev)) };

	return devnode_publish(&v->n, n, v->info.block_device ? 5 : 4);
}

static int find_image(struct vbd *v, const char *path, bool writable, struct image **ret)
{
	struct wardenc_dev dev;
	int r;

	if (!v->host->warden)
		return image_open(path, writable, ret);
	r = wardenc_device(v->host->warden, v->n.devid, &dev, NULL, 0);
	if (r == -ENOTCONN) {
		v->n.blind = true; /* the warden comes back; nothing is known until then */
		return -EAGAIN;
	}
	if (r == 0 && dev.nfds != 1) {
		fdpass_close(dev.fds, dev.nfds);
		r = -EBADMSG;
	}
	return r < 0 ? r : image_from_fd(dev.fds[0], ret);
}

/* 0 with the image open, or a negative errno; -EAGAIN: worth another try. */
static int open_image(struct vbd *v, const char *params, const char *mode, const char *discard)
{
	bool writable = strcmp(mode, "w") == 0;
	struct image *img;
	int r = find_image(v, params, writable, &img);

	if (r < 0)
		return r;
	r = image_info(img, &v->info);
	if (r == 0 && v->info.bytes < v->info.sector_size)
		r = -EINVAL;
	if (r < 0) {
		image_free(img);
		return r;
	}
	v->image = img;
	v->geom = (struct blk_geom){
		.sectors = v->info.bytes / v->info.sector_size * (v->info.sector_size / BLK_SECTOR),
		.sector_size = v->info.sector_size,
		.readonly = !writable,
		.discard = v->info.discard && writable && !(discard && strcmp(discard, "0") == 0),
	};
	v->geom.secure_discard = v->geom.discard && v->info.secure_discard;
	return 0;
}

/* True: again soon. */
static bool prepare(struct vbd *v)
{
	char *params = devnode_read(&v->n, v->n.back, "params"),
	     *mode = devnode_read(&v->n, v->n.back, "mode");
	char *discard = devnode_read(&v->n, v->n.back, "discard-enable");
	bool again = false;
	int r = v->n.blind	 ? -EAGAIN
		: params && mode ? open_image(v, params, mode, discard)
				 : -ENOENT;

	if (r == -EAGAIN && (v->n.blind || clock_mono_ns() < v->give_up_ns))
		again = true;
	else if (r == 0)
		r = offer(v);
	if (r < 0 && !again && params)
		fail_image(v, params, r);
	free(params);
	free(mode);
	free(discard);
	return again;
}

/* ---- the guest's nodes ---- */

static int guest_abi(struct vbd *v, enum blk_abi *ret)
{
	char *s = devnode_read(&v->n, v->n.front, "protocol");
	int r = 0;

	if (!s || strcmp(s, "x86_64-abi") == 0)
		*ret = BLK_ABI_64;
	else if (strcmp(s, "x86_32-abi") == 0)
		*ret = BLK_ABI_32;
	else
		r = -EPROTONOSUPPORT;
	free(s);
	return r;
}

/* One queue's nodes in dir; *ret_what names the node of an error. */
static int queue_choice(struct vbd *v, const char *dir, struct vbdio_conf *c, unsigned n,
			const char **ret_what)
{
	char name[48];
	int r = 0;

	*ret_what = "ring-ref";
	for (unsigned i = 0; r == 0 && i < 1u << c->order; i++) {
		snprintf(name, sizeof(name), "%sring-ref%u", dir, i);
		r = devnode_u32(&v->n, name, &c->queue[n].ring_ref[i]);
		if (r == -ENOENT && c->order == 0) {
			snprintf(name, sizeof(name), "%sring-ref", dir);
			r = devnode_u32(&v->n, name, &c->queue[n].ring_ref[0]);
		}
	}
	if (r < 0)
		return r;
	*ret_what = "event-channel";
	snprintf(name, sizeof(name), "%sevent-channel", dir);
	return devnode_u32(&v->n, name, &c->queue[n].port);
}

/* What the guest chose; *ret_what names the node of an error. */
static int guest_choice(struct vbd *v, struct vbdio_conf *c, const char **ret_what)
{
	uint32_t order = 0, queues = 1;
	char dir[24] = "";
	int r;

	*ret_what = "ring-page-order";
	r = devnode_u32(&v->n, "ring-page-order", &order);
	if ((r < 0 && r != -ENOENT) || order > RING_ORDER_MAX)
		return -EINVAL;
	/* As many as any host may have offered: a predecessor may have run on
	 * more processors. */
	*ret_what = "multi-queue-num-queues";
	r = devnode_u32(&v->n, "multi-queue-num-queues", &queues);
	if ((r < 0 && r != -ENOENT) || queues < 1 ||
	    queues > (c->resume ? VBDIO_QUEUES : queues_max()))
		return -EINVAL;
	c->order = order;
	c->queues = queues;
	r = 0;
	for (unsigned i = 0; r == 0 && i < queues; i++) {
		if (queues > 1)
			snprintf(dir, sizeof(dir), "queue-%u/", i);
		r = queue_choice(v, dir, c, i, ret_what);
	}
	if (r < 0)
		return r;
	*ret_what = "protocol";
	r = guest_abi(v, &c->abi);
	*ret_what = "the ring";
	return r;
}

static int publish_disk(struct vbd *v)
{
	char *type = devnode_read(&v->n, v->n.back, "device-type");
	unsigned info = (v->geom.readonly ? 4u : 0) | (type && strcmp(type, "cdrom") == 0 ? 1u : 0);
	struct node n[10] = {
		node("sectors", "%llu", (unsigned long long)v->geom.sectors),
		node("info", "%u", info),
		node("sector-size", "%u", v->geom.sector_size),
		node("physical-sector-size", "%u", v->info.physical_size),
		node("feature-flush-cache", "1"),
		node("feature-barrier", "1"),
		node("state", "%d", XB_CONNECTED),
	};
	size_t count = 7;

	if (v->geom.discard) {
		n[count++] = node("feature-discard", "1");
		n[count++] = node("discard-granularity", "%u", v->info.physical_size);
		n[count++] = node("discard-secure", "%d", v->geom.secure_discard);
	}
	free(type);
	return devnode_publish(&v->n, n, count);
}

static int join_ring(struct vbd *v, bool resume)
{
	struct vbdio_conf c = {
		.resume = resume, .geom = v->geom, .image = v->image, .limit = v->limit
	};
	const char *what;
	int r = guest_choice(v, &c, &what);

	if (r == 0) {
		snprintf(c.name, sizeof(c.name), "vbd%u", v->n.devid % 100000000);
		r = vbdio_start(v->host->hv, v->host->domid, &c, &v->io);
	}
	if (v->n.blind || r == -ENOTCONN || r == -ETIMEDOUT) {
		v->n.blind = true; /* XenStore or hvd is away: the guest's ring waits */
		return r < 0 ? r : -ENOTCONN;
	}
	if (r < 0) {
		struct node n = node("error", "%d %s of the frontend: %s", -r, what, strerror(-r));

		(void)log_warn(r, "vbd %u: %s of the frontend", v->n.devid, what);
		(void)devnode_publish(&v->n, &n, 1); /* for people; the state says it too */
	}
	return r;
}

static void connect_ring(struct vbd *v)
{
	int r = join_ring(v, false);

	if (v->n.blind) {
		v->io = vbdio_stop(v->io, true);
		return;
	}
	if (r == 0)
		r = publish_disk(v);
	if (r == 0) {
		v->state = XB_CONNECTED;
		log_info("vbd %u: connected, %llu sectors%s, %s, %s", v->n.devid,
			 (unsigned long long)v->geom.sectors, v->geom.readonly ? ", read-only" : "",
			 vbdio_engine(v->io),
			 v->info.direct ? "direct" : "through the host's cache");
	} else {
		v->io = vbdio_stop(v->io, false);
		set_state(v, XB_CLOSING); /* a guest that waits for us goes on without */
	}
}

/* What can't be read leaves the limits as they are. */
static void look_at_limits(struct vbd *v)
{
	char *s = devnode_read(&v->n, v->n.back, VBD_NODE_LIMITS), err[128];
	const char *text = s ? s : "";
	struct vbd_limits l;

	if (!v->n.blind && strcmp(text, v->limits) != 0) {
		snprintf(v->limits, sizeof(v->limits), "%s", text);
		if (vbd_limits_parse(text, &l, err, sizeof(err)) < 0) {
			(void)log_warn(0, "vbd %u: limits: %s", v->n.devid, err);
		} else {
			limit_set(v->limit, &l, clock_mono_ns());
			log_info("vbd %u: limits: %s", v->n.devid, text[0] ? text : "none");
			if (v->io)
				vbdio_kick(v->io);
		}
	}
	free(s);
}

static void tell_stats(struct vbd *v)
{
	char text[VBD_STATS_TEXT];
	struct vbd_stats now;
	struct node n;

	if (!v->io || v->ticks++ % 2)
		return;
	vbdio_stats(v->io, &now);
	if (memcmp(&now, &v->told, sizeof(now)) == 0)
		return;
	n = node(VBD_NODE_STATS, "%s", vbd_stats_format(&now, text));
	if (devnode_publish(&v->n, &n, 1) == 0) /* else at the next tick */
		v->told = now;
}

/* The first look at a device whose image is open. */
static void begin(struct vbd *v)
{
	v->state = devnode_state(&v->n, v->n.back);
	if (!v->n.blind && v->state == XB_CONNECTED) {
		if (join_ring(v, true) == 0)
			log_info("vbd %u: taken over from a predecessor", v->n.devid);
		else if (!v->n.blind)
			set_state(v, XB_CLOSING);
	} else if (!v->n.blind && (v->state < XB_INIT_WAIT || v->state == XB_INITIALISED)) {
		set_state(v, XB_INIT_WAIT);
	}
	if (v->n.blind) { /* and once more from the start */
		v->io = vbdio_stop(v->io, true);
		v->image = image_free(v->image);
	}
}

bool vbd_poll(struct vbd *v)
{
	struct be_step st;
	enum xb_state peer;

	v->n.blind = false;
	if (v->failed)
		return false;
	if (!v->image) {
		if (prepare(v))
			return true;
		if (v->failed || !v->image)
			return v->n.blind;
		look_at_limits(v);
		begin(v);
		if (v->n.blind)
			return true;
	}
	look_at_limits(v);
	peer = devnode_state(&v->n, v->n.front);
	st = devnode_online(&v->n) ? be_next(v->state, peer) : be_offline(v->state, peer);
	if (v->n.blind)
		return true;
	if (st.act == ACT_CONNECT) {
		connect_ring(v);
		return v->n.blind;
	}
	if (st.act == ACT_DISCONNECT)
		v->io = vbdio_stop(v->io, false);
	if (st.to != v->state)
		set_state(v, st.to);
	return false;
}

void vbd_check_size(struct vbd *v)
{
	struct image_info now;
	uint64_t sectors;
	struct node n[2];

	tell_stats(v);
	if (!v->io || image_info(v->image, &now) < 0)
		return;
	sectors = now.bytes / v->geom.sector_size * (v->geom.sector_size / BLK_SECTOR);
	if (sectors == v->geom.sectors)
		return;
	log_info("vbd %u: %llu sectors now, were %llu", v->n.devid, (unsigned long long)sectors,
		 (unsigned long long)v->geom.sectors);
	v->geom.sectors = sectors;
	v->info = now;
	vbdio_resize(v->io, sectors);
	n[0] = node("sectors", "%llu", (unsigned long long)sectors);
	n[1] = node("state", "%d", XB_CONNECTED); /* written again: the guest looks */
	if (devnode_publish(&v->n, n, 2) < 0)
		(void)log_warn(0, "vbd %u: the guest was not told of its new size", v->n.devid);
}

int vbd_new(const struct dev_host *host, uint32_t devid, struct vbd **ret)
{
	struct vbd *v = sys_zalloc(sizeof(*v));
	int r = v ? limits_new(&v->all_limits) : -ENOMEM;

	if (r == 0)
		r = limit_get(v->all_limits, "", &v->limit);
	if (r < 0) {
		vbd_free(v);
		return r;
	}
	v->host = host;
	v->give_up_ns = clock_mono_ns() + LOCK_WAIT_S * 1000000000ull;
	devnode_init(&v->n, host->xs, "vbd", host->domid, devid);
	snprintf(v->front_state, sizeof(v->front_state), "%s/state", v->n.front);
	*ret = v;
	return 0;
}

struct vbd *vbd_free(struct vbd *v)
{
	if (v) {
		v->io = vbdio_stop(v->io, true);
		v->image = image_free(v->image);
		v->limit = limit_put(v->limit);
		v->all_limits = limits_free(v->all_limits);
	}
	free(v);
	return NULL;
}

const char *vbd_frontend_state(const struct vbd *v)
{
	return v->front_state;
}
