/* backends/block/vbd.c - the life of a device, as its nodes tell it.
 *
 *   image opened, features published   state 1 -> 2
 *   frontend 3: ring mapped, properties   2 -> 4
 *   found at 4: a predecessor was killed; the ring goes on, the guest sees nothing
 *
 * The backend's folder is the toolstack's: nothing is written to one that is
 * gone.  The guest's own nodes are text from a stranger.
 */
#include "backends/block/vbd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "backends/block/image.h"
#include "backends/block/vbdio.h"
#include "backends/xenbus_fsm.h"
#include "daemons/clock.h"
#include "daemons/log.h"
#include "daemons/sys.h"

#define LOCK_WAIT_S 15u /* for a predecessor or a guest's former life to let go */
#define TXN_TRIES   64

struct vbd {
	const struct vbd_host *host;
	uint32_t devid;
	char back[64], front[64], front_state[72];
	enum xb_state state;
	struct image *image; /* NULL: not open yet, or failed */
	struct image_info info;
	struct blk_geom geom;
	struct vbdio *io;
	uint64_t give_up_ns;
	bool failed; /* said so in the nodes; stays as it is */
	bool blind;  /* XenStore did not answer: what was read says nothing */
};

struct node {
	const char *name;
	char val[256];
};

static char *read_node(struct vbd *v, const char *dir, const char *name)
{
	char path[128], *val = NULL;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	r = xs_sync_read(v->host->xs, 0, path, &val);
	if (r < 0 && r != -ENOENT)
		v->blind = true;
	return r == 0 ? val : NULL;
}

static enum xb_state read_state(struct vbd *v, const char *dir)
{
	char *s = read_node(v, dir, "state");
	enum xb_state st = xb_state_parse(s);

	free(s);
	return st;
}

static int write_in(struct vbd *v, uint32_t tx, const struct node *n, size_t count)
{
	char path[128], *val = NULL;
	int r;

	snprintf(path, sizeof(path), "%s/frontend", v->back);
	r = xs_sync_read(v->host->xs, tx, path, &val); /* the toolstack's; gone: so is all */
	free(val);
	for (size_t i = 0; r == 0 && i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", v->back, n[i].name);
		r = xs_sync_write(v->host->xs, tx, path, n[i].val);
	}
	return r;
}

/* All of them or none. */
static int publish(struct vbd *v, const struct node *n, size_t count)
{
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < TXN_TRIES; i++) {
		uint32_t tx;

		r = xs_sync_txn_start(v->host->xs, &tx);
		if (r < 0)
			break;
		r = write_in(v, tx, n, count);
		if (r == 0)
			r = xs_sync_txn_end(v->host->xs, tx, true);
		else
			(void)xs_sync_txn_end(v->host->xs, tx, false); /* r is the news */
	}
	return r;
}

static struct node node(const char *name, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static struct node node(const char *name, const char *fmt, ...)
{
	struct node n = { .name = name };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(n.val, sizeof(n.val), fmt, ap);
	va_end(ap);
	return n;
}

static void set_state(struct vbd *v, enum xb_state to)
{
	struct node n = node("state", "%d", to);
	int r = publish(v, &n, 1);

	if (r < 0 && r != -ENOENT)
		(void)log_warn(r, "vbd %u: state %d", v->devid, to);
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
	(void)log_err(0, "vbd %u: %s", v->devid, n[0].val);
	r = publish(v, n, 2);
	if (r < 0 && r != -ENOENT)
		(void)log_warn(r, "vbd %u: hotplug-error", v->devid);
}

static int offer(struct vbd *v)
{
	struct node n[5] = { node("hotplug-status", "connected"),
			     node("feature-max-indirect-segments", "%u", BLK_SEGS_INDIRECT),
			     node("multi-queue-max-queues", "1"), node("max-ring-page-order", "0"),
			     node("physical-device", "%x:%x", major(v->info.rdev),
				  minor(v->info.rdev)) };

	return publish(v, n, v->info.block_device ? 5 : 4);
}

/* 0 with the image open, or a negative errno; -EAGAIN: worth another try. */
static int open_image(struct vbd *v, const char *params, const char *mode, const char *discard)
{
	bool writable = strcmp(mode, "w") == 0;
	struct image *img;
	int r = image_open(params, writable, &img);

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
	char *params = read_node(v, v->back, "params"), *mode = read_node(v, v->back, "mode");
	char *discard = read_node(v, v->back, "discard-enable");
	bool again = false;
	int r = v->blind	 ? -EAGAIN
		: params && mode ? open_image(v, params, mode, discard)
				 : -ENOENT;

	if (r == -EAGAIN && clock_mono_ns() < v->give_up_ns)
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

static int guest_u32(struct vbd *v, const char *name, uint32_t *ret)
{
	char *s = read_node(v, v->front, name), *end;
	unsigned long long n;
	int r = -ENOENT;

	if (s) {
		n = strtoull(s, &end, 10);
		r = s[0] >= '0' && s[0] <= '9' && !*end && n <= UINT32_MAX ? 0 : -EINVAL;
		if (r == 0)
			*ret = (uint32_t)n;
	}
	free(s);
	return r;
}

static int guest_abi(struct vbd *v, enum blk_abi *ret)
{
	char *s = read_node(v, v->front, "protocol");
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
	r = guest_u32(v, "ring-page-order", &order);
	if ((r < 0 && r != -ENOENT) || order != 0)
		return -EINVAL;
	*ret_what = "multi-queue-num-queues";
	r = guest_u32(v, "multi-queue-num-queues", &queues);
	if ((r < 0 && r != -ENOENT) || queues != 1)
		return -EINVAL;
	*ret_what = "ring-ref";
	r = guest_u32(v, "ring-ref", &c->ring_ref);
	if (r == -ENOENT)
		r = guest_u32(v, "ring-ref0", &c->ring_ref);
	if (r < 0)
		return r;
	*ret_what = "event-channel";
	r = guest_u32(v, "event-channel", &c->port);
	if (r < 0)
		return r;
	*ret_what = "protocol";
	r = guest_abi(v, &c->abi);
	*ret_what = "the ring";
	return r;
}

static int publish_disk(struct vbd *v)
{
	char *type = read_node(v, v->back, "device-type");
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
	return publish(v, n, count);
}

static int join_ring(struct vbd *v, bool resume)
{
	struct vbdio_conf c = { .resume = resume, .geom = v->geom, .image = v->image };
	const char *what;
	int r = guest_choice(v, &c, &what);

	if (r == 0) {
		snprintf(c.name, sizeof(c.name), "vbd%u", v->devid);
		r = vbdio_start(v->host->hv, v->host->domid, &c, &v->io);
	}
	if (r < 0) {
		struct node n = node("error", "%d %s of the frontend: %s", -r, what, strerror(-r));

		(void)log_warn(r, "vbd %u: %s of the frontend", v->devid, what);
		(void)publish(v, &n, 1); /* for people; the state says it too */
	}
	return r;
}

static void connect_ring(struct vbd *v)
{
	int r = join_ring(v, false);

	if (r == 0)
		r = publish_disk(v);
	if (r == 0) {
		v->state = XB_CONNECTED;
		log_info("vbd %u: connected, %llu sectors%s", v->devid,
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
	v->state = read_state(v, v->back);
	if (v->blind)
		v->image = image_free(v->image); /* and once more from the start */
	else if (v->state == XB_CONNECTED) {
		if (join_ring(v, true) == 0)
			log_info("vbd %u: taken over from a predecessor", v->devid);
		else
			set_state(v, XB_CLOSING);
	} else if (v->state < XB_INIT_WAIT || v->state == XB_INITIALISED) {
		set_state(v, XB_INIT_WAIT);
	}
}

static bool is_online(struct vbd *v)
{
	char *s = read_node(v, v->back, "online");
	bool on = s && strcmp(s, "1") == 0;

	free(s);
	return on;
}

bool vbd_poll(struct vbd *v)
{
	struct be_step st;
	enum xb_state peer;

	v->blind = false;
	if (v->failed)
		return false;
	if (!v->image) {
		if (prepare(v))
			return true;
		if (v->failed || !v->image)
			return v->blind;
		begin(v);
	}
	peer = read_state(v, v->front);
	st = is_online(v) ? be_next(v->state, peer) : be_offline(v->state, peer);
	if (v->blind)
		return true;
	if (st.act == ACT_CONNECT) {
		connect_ring(v);
		return false;
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
	log_info("vbd %u: %llu sectors now, were %llu", v->devid, (unsigned long long)sectors,
		 (unsigned long long)v->geom.sectors);
	v->geom.sectors = sectors;
	v->info = now;
	vbdio_resize(v->io, sectors);
	n[0] = node("sectors", "%llu", (unsigned long long)sectors);
	n[1] = node("state", "%d", XB_CONNECTED); /* written again: the guest looks */
	if (publish(v, n, 2) < 0)
		(void)log_warn(0, "vbd %u: the guest was not told of its new size", v->devid);
}

int vbd_new(const struct vbd_host *host, uint32_t devid, struct vbd **ret)
{
	struct vbd *v = sys_zalloc(sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->host = host;
	v->devid = devid;
	v->give_up_ns = clock_mono_ns() + LOCK_WAIT_S * 1000000000ull;
	snprintf(v->back, sizeof(v->back), "/local/domain/0/backend/vbd/%u/%u", host->domid, devid);
	snprintf(v->front, sizeof(v->front), "/local/domain/%u/device/vbd/%u", host->domid, devid);
	snprintf(v->front_state, sizeof(v->front_state), "%s/state", v->front);
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

uint32_t vbd_devid(const struct vbd *v)
{
	return v->devid;
}

const char *vbd_frontend_state(const struct vbd *v)
{
	return v->front_state;
}
