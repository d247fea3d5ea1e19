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

static int offer(struct vbd *v)
{
	struct node n[5] = { node("hotplug-status", "connected"),
			     node("feature-max-indirect-segments", "%u", BLK_SEGS_INDIRECT),
			     node("multi-queue-max-queues", "1"), node("max-ring-page-order", "0"),
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

/* What the guest chose; *ret_what names the node of an error. */
static int guest_choice(struct vbd *v, struct vbdio_conf *c, const char **ret_what)
{
	uint32_t order = 0, queues = 1;
	int r;

	*ret_what = "ring-page-order";
	r = devnode_u32(&v->n, "ring-page-order", &order);
	if ((r < 0 && r != -ENOENT) || order != 0)
		return -EINVAL;
	*ret_what = "multi-queue-num-queues";
	r = devnode_u32(&v->n, "multi-queue-num-queues", &queues);
	if ((r < 0 && r != -ENOENT) || queues != 1)
		return -EINVAL;
	*ret_what = "ring-ref";
	r = devnode_u32(&v->n, "ring-ref", &c->ring_ref);
	if (r == -ENOENT)
		r = devnode_u32(&v->n, "ring-ref0", &c->ring_ref);
	if (r < 0)
		return r;
	*ret_what = "event-channel";
	r = devnode_u32(&v->n, "event-channel", &c->port);
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
	struct node n[9] = {
		node("sectors", "%llu", (unsigned long long)v->geom.sectors),
		node("info", "%u", info),
		node("sector-size", "%u", v->geom.sector_size),
		node("physical-sector-size", "%u", v->info.physical_size),
		node("feature-flush-cache", "1"),
		node("state", "%d", XB_CONNECTED),
	};
	size_t count = 6;

	if (v->geom.discard) {
		n[count++] = node("feature-discard", "1");
		n[count++] = node("discard-granularity", "%u", v->info.physical_size);
		n[count++] = node("discard-secure", "0");
	}
	free(type);
	return devnode_publish(&v->n, n, count);
}

static int join_ring(struct vbd *v, bool resume)
{
	struct vbdio_conf c = { .resume = resume, .geom = v->geom, .image = v->image };
	const char *what;
	int r = guest_choice(v, &c, &what);

	if (r == 0) {
		snprintf(c.name, sizeof(c.name), "vbd%u", v->n.devid);
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
		log_info("vbd %u: connected, %llu sectors%s", v->n.devid,
			 (unsigned long long)v->geom.sectors,
			 v->geom.readonly ? ", read-only" : "");
	} else {
		v->io = vbdio_stop(v->io, false);
		set_state(v, XB_CLOSING); /* a guest that waits for us goes on without */
	}
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
		begin(v);
		if (v->n.blind)
			return true;
	}
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

	if (!v)
		return -ENOMEM;
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
	}
	free(v);
	return NULL;
}

const char *vbd_frontend_state(const struct vbd *v)
{
	return v->front_state;
}
