/* apid/toolstack/layout.c - a guest's nodes, in the order libxl makes them.
 *
 * The node lists are tables; %-less strings with "<...>" placeholders would
 * hide the types, so each list is a short run of put() calls instead, which
 * stops at the first error (latched in the writer).
 */
#include "apid/toolstack/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/toolstack/put.h"
#include "apid/toolstack/xstxn.h"
#include "proto/xs_wire.h"

static int host_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	static const struct {
		const char *path, *val;
	} nodes[] = {
		{ "/local", "" },
		{ "/local/domain", "" },
		{ "/local/domain/0", "" },
		{ "/local/domain/0/control", "" },
		{ "/local/domain/0/control/feature-poweroff", "1" },
		{ "/local/domain/0/control/feature-reboot", "1" },
		{ "/local/domain/0/control/feature-suspend", "1" },
		{ "/local/domain/0/domid", "0" },
		{ "/local/domain/0/name", "Domain-0" },
		{ "/local/domain/0/backend", "" },
		{ "/local/pool", "" },
		{ "/local/pool/0", "" },
		{ "/local/pool/0/name", "Pool-0" },
		{ "/vm", "" },
		{ "/libxl", "" },
	};
	char *val;
	int r;

	(void)arg;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		r = xs_sync_read(xs, tx, nodes[i].path, &val);
		if (r == 0) {
			free(val);
			continue;
		}
		if (r != -ENOENT)
			return r;
		r = xs_put(xs, tx, nodes[i].path, nodes[i].val, "n0");
		if (r < 0)
			return r;
	}
	return 0;
}

int layout_host(struct xs_sync *xs)
{
	return xstxn_run(xs, host_body, NULL);
}

static void add_vm(struct put *p, const struct layout *l, const struct perms *pm)
{
	put_base(p, "/vm/%s", l->uuid);
	put(p, pm->ro, "", "%s", "");
	put(p, pm->ro, "name", "%s", l->name);
	put(p, pm->ro, "uuid", "%s", l->uuid);
	put(p, pm->ro, "start_time", "%lld.%02d", (long long)(l->start_ms / 1000),
	    (int)(l->start_ms % 1000 / 10));
}

static void add_domain(struct put *p, const struct layout *l, const struct perms *pm)
{
	static const char *const guest_owned[] = { "device/suspend/event-channel",
						   "control/shutdown",
						   "control/feature-poweroff",
						   "control/feature-reboot",
						   "control/feature-suspend",
						   "control/sysrq",
						   "data",
						   "drivers",
						   "feature",
						   "attr",
						   "error" };
	char node[48];

	put_base(p, "/local/domain/%u", l->domid);
	put(p, pm->ro, "", "%s", "");
	put(p, pm->ro, "vm", "/vm/%s", l->uuid);
	put(p, pm->ro, "name", "%s", l->name);
	put(p, pm->ro, "cpu", "%s", "");
	for (unsigned i = 0; i < l->max_vcpus; i++) {
		snprintf(node, sizeof(node), "cpu/%u", i);
		put(p, pm->ro, node, "%s", "");
		snprintf(node, sizeof(node), "cpu/%u/availability", i);
		put(p, pm->ro, node, "%s", i < l->vcpus ? "online" : "offline");
	}
	put(p, pm->ro, "memory", "%s", "");
	put(p, pm->ro, "memory/static-max", "%llu", (unsigned long long)l->static_max_kib);
	put(p, pm->ro, "memory/target", "%llu", (unsigned long long)l->target_kib);
	put(p, pm->ro, "memory/videoram", "0");
	put(p, pm->ro, "device", "%s", "");
	put(p, pm->ro, "device/suspend", "%s", "");
	put(p, pm->ro, "control", "%s", "");
	for (size_t i = 0; i < sizeof(guest_owned) / sizeof(guest_owned[0]); i++)
		put(p, pm->rw, guest_owned[i], "%s", "");
	put(p, pm->ro, "control/platform-feature-multiprocessor-suspend", "1");
	put(p, pm->ro, "control/platform-feature-xs_reset_watches", "1");
	put(p, pm->ro, "domid", "%u", l->domid);
	put(p, pm->ro, "store", "%s", "");
	put(p, pm->ro, "store/port", "%u", l->store_port);
	put(p, pm->ro, "store/ring-ref", "%llu", (unsigned long long)l->store_gfn);
}

/* The primary console's three places: frontend, backend, toolstack's copy. */
static void add_console(struct put *p, const struct layout *l, const struct perms *pm)
{
	const char *both[] = { pm->ro, "n0" };

	put_base(p, "/local/domain/0/backend/console");
	put(p, "n0", "", "%s", "");
	put_base(p, "/local/domain/0/backend/console/%u", l->domid);
	put(p, "n0", "", "%s", "");
	for (int i = 0; i < 2; i++) {
		if (i == 0) {
			put_base(p, "/local/domain/0/backend/console/%u/0", l->domid);
			put(p, both[i], "", "%s", "");
		} else {
			put_base(p, "/libxl/%u/device/console/0", l->domid);
			put(p, both[i], "", "%s", "");
		}
		put(p, both[i], "frontend", "/local/domain/%u/console", l->domid);
		if (i == 1)
			put(p, both[i], "backend", "/local/domain/0/backend/console/%u/0",
			    l->domid);
		put(p, both[i], "frontend-id", "%u", l->domid);
		put(p, both[i], "online", "1");
		put(p, both[i], "state", "1");
		put(p, both[i], "protocol", "vt100");
	}
	put_base(p, "/local/domain/%u/console", l->domid);
	put(p, pm->ro, "", "%s", "");
	put(p, pm->ro, "backend", "/local/domain/0/backend/console/%u/0", l->domid);
	put(p, pm->own, "backend-id", "0");
	put(p, pm->ro, "limit", "1048576");
	put(p, pm->ro, "type", "xenconsoled");
	put(p, pm->ro, "output", "pty");
	put(p, pm->ro, "tty", "%s", "");
	put(p, pm->ro, "port", "%u", l->console_port);
	put(p, pm->ro, "ring-ref", "%llu", (unsigned long long)l->console_gfn);
}

static void add_libxl(struct put *p, const struct layout *l)
{
	put_base(p, "/libxl/%u", l->domid);
	put(p, "n0", "", "%s", "");
	put(p, "n0", "device", "%s", "");
	put(p, "n0", "device/console", "%s", "");
	put(p, "n0", "type", "pvh");
	put(p, "n0", "dm-version", "qemu_xen");
}

static int add_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	const struct layout *l = arg;
	struct perms pm = perms_for(l->domid);
	struct put p = { .xs = xs, .tx = tx };
	char path[80];

	/* A domid is reused after a wrap; nothing of its last owner may remain. */
	snprintf(path, sizeof(path), "/local/domain/%u", l->domid);
	p.r = xs_sync_rm(xs, tx, path);
	snprintf(path, sizeof(path), "/vm/%s", l->uuid);
	if (p.r == 0)
		p.r = xs_sync_rm(xs, tx, path);
	snprintf(path, sizeof(path), "/libxl/%u", l->domid);
	if (p.r == 0)
		p.r = xs_sync_rm(xs, tx, path);
	add_vm(&p, l, &pm);
	add_domain(&p, l, &pm);
	add_libxl(&p, l);
	add_console(&p, l, &pm);
	devices_put(&p, l->domid, l->devs, l->ndevs);
	return p.r;
}

static int introduce(struct xs_sync *xs, const struct layout *l)
{
	char body[64];
	int n = snprintf(body, sizeof(body), "%u%c%llu%c%u", l->domid, '\0',
			 (unsigned long long)l->store_gfn, '\0', l->store_port);

	return xs_sync_request(xs, XS_INTRODUCE, 0, body, (size_t)n + 1, NULL, NULL);
}

int layout_add(struct xs_sync *xs, const struct layout *l)
{
	int r = layout_host(xs);

	if (r == 0)
		r = xstxn_run(xs, add_body, (void *)l);
	return r == 0 ? introduce(xs, l) : r;
}

struct gone {
	uint16_t domid;
	const char *uuid;
	bool crashed;
};

/* Every backend folder of dom0 may have one of the guest's devices. */
static int remove_backends(struct xs_sync *xs, uint32_t tx, uint16_t domid)
{
	static const char *const classes[] = { "/local/domain/0/backend/vbd",
					       "/local/domain/0/backend/vif" };
	char *names = NULL, path[192];
	size_t len = 0;
	int r = xs_sync_directory(xs, tx, "/local/domain/0/backend", &names, &len);

	if (r == -ENOENT)
		return 0;
	for (size_t at = 0; r == 0 && at < len; at += strlen(names + at) + 1) {
		snprintf(path, sizeof(path), "/local/domain/0/backend/%.64s/%u", names + at, domid);
		r = xs_gone(xs, tx, path);
	}
	free(names);
	for (int i = 0; r == 0 && i < 2; i++)
		r = xs_gone_if_empty(xs, tx, classes[i]);
	return r;
}

static int reduce_vm(struct xs_sync *xs, uint32_t tx, const char *vm)
{
	char *names = NULL, path[192];
	size_t len = 0;
	int r = xs_sync_directory(xs, tx, vm, &names, &len);

	if (r == -ENOENT)
		return 0;
	for (size_t at = 0; r == 0 && at < len; at += strlen(names + at) + 1) {
		const char *name = names + at;

		if (strcmp(name, "name") == 0 || strcmp(name, "uuid") == 0 ||
		    strncmp(name, "crash-", 6) == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%.64s", vm, name);
		r = xs_gone(xs, tx, path);
	}
	free(names);
	return r;
}

static int remove_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	const struct gone *g = arg;
	char path[80], vm[80], *owner = NULL;
	bool ours;
	int r;

	snprintf(vm, sizeof(vm), "/vm/%s", g->uuid);
	snprintf(path, sizeof(path), "/local/domain/%u/vm", g->domid);
	r = xs_sync_read(xs, tx, path, &owner);
	if (r < 0 && r != -ENOENT)
		return r;
	ours = r == -ENOENT || strcmp(owner, vm) == 0;
	free(owner);
	r = 0;
	if (ours) {
		r = remove_backends(xs, tx, g->domid);
		snprintf(path, sizeof(path), "/local/domain/%u", g->domid);
		if (r == 0)
			r = xs_gone(xs, tx, path);
		snprintf(path, sizeof(path), "/libxl/%u", g->domid);
		if (r == 0)
			r = xs_gone(xs, tx, path);
	}
	if (r == 0)
		r = g->crashed ? reduce_vm(xs, tx, vm) : xs_gone(xs, tx, vm);
	return r;
}

int layout_remove(struct xs_sync *xs, uint16_t domid, const char *uuid, bool crashed)
{
	struct gone g = { domid, uuid, crashed };

	return xstxn_run(xs, remove_body, &g);
}

/* Crash reports of guests that are not running, at most LAYOUT_CRASHES_MAX. */
static int trim_crashes(struct xs_sync *xs, uint32_t tx)
{
	char *names = NULL, *val, path[192], oldest[80] = "";
	long long least = 0;
	unsigned count = 0;
	size_t len = 0;
	int r = xs_sync_directory(xs, tx, "/vm", &names, &len);

	for (size_t at = 0; r == 0 && at < len; at += strlen(names + at) + 1) {
		snprintf(path, sizeof(path), "/vm/%.64s/start_time", names + at);
		if (xs_sync_read(xs, tx, path, &val) == 0) {
			free(val);
			continue;
		}
		snprintf(path, sizeof(path), "/vm/%.64s/crash-time", names + at);
		if (xs_sync_read(xs, tx, path, &val) < 0)
			continue;
		if (count++ == 0 || atoll(val) < least) {
			least = atoll(val);
			snprintf(oldest, sizeof(oldest), "/vm/%.64s", names + at);
		}
		free(val);
	}
	free(names);
	return r == 0 && count >= LAYOUT_CRASHES_MAX ? xs_gone(xs, tx, oldest) : r;
}

struct crash {
	const char *uuid, *reason;
	int64_t at_ms;
};

static int crash_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	const struct crash *c = arg;
	struct put p = { .xs = xs, .tx = tx };

	p.r = trim_crashes(xs, tx);
	put_base(&p, "/vm/%s", c->uuid);
	put(&p, NULL, "crash-reason", "%s", c->reason);
	put(&p, NULL, "crash-time", "%lld", (long long)(c->at_ms / 1000));
	return p.r;
}

int layout_crash(struct xs_sync *xs, const char *uuid, const char *reason, int64_t at_ms)
{
	struct crash c = { uuid, reason, at_ms };

	return xstxn_run(xs, crash_body, &c);
}

/* A guest that runs under this UUID again has a start_time: its nodes stay. */
static int forget_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	char path[80], *val = NULL;
	int r;

	snprintf(path, sizeof(path), "/vm/%s/start_time", (const char *)arg);
	r = xs_sync_read(xs, tx, path, &val);
	free(val);
	if (r != -ENOENT)
		return r;
	snprintf(path, sizeof(path), "/vm/%s", (const char *)arg);
	return xs_gone(xs, tx, path);
}

int layout_forget_crash(struct xs_sync *xs, const char *uuid)
{
	return xstxn_run(xs, forget_body, (void *)uuid);
}

struct rename_arg {
	uint16_t domid;
	const char *uuid, *new_uuid, *name;
};

static int rename_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	const struct rename_arg *a = arg;
	struct put p = { .xs = xs, .tx = tx };

	put_base(&p, "/vm/%s", a->uuid);
	put(&p, NULL, "name", "%s", a->name);
	put_base(&p, "/local/domain/%u", a->domid);
	put(&p, NULL, "name", "%s", a->name);
	return p.r;
}

int layout_rename(struct xs_sync *xs, uint16_t domid, const char *uuid, const char *name)
{
	struct rename_arg a = { domid, uuid, NULL, name };

	return xstxn_run(xs, rename_body, &a);
}

static int reidentify_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	static const char *const kept[] = { "start_time", "crash-reason", "crash-time" };
	const struct rename_arg *a = arg;
	struct perms pm = perms_for(a->domid);
	struct put p = { .xs = xs, .tx = tx };
	char path[80], *val;

	put_base(&p, "/vm/%s", a->new_uuid);
	put(&p, pm.ro, "", "%s", "");
	put(&p, pm.ro, "name", "%s", a->name);
	put(&p, pm.ro, "uuid", "%s", a->new_uuid);
	for (size_t i = 0; p.r == 0 && i < sizeof(kept) / sizeof(kept[0]); i++) {
		snprintf(path, sizeof(path), "/vm/%s/%s", a->uuid, kept[i]);
		if (xs_sync_read(xs, tx, path, &val) == 0) {
			put(&p, pm.ro, kept[i], "%s", val);
			free(val);
		}
	}
	put_base(&p, "/local/domain/%u", a->domid);
	put(&p, NULL, "vm", "/vm/%s", a->new_uuid);
	put(&p, NULL, "name", "%s", a->name);
	snprintf(path, sizeof(path), "/vm/%s", a->uuid);
	return p.r == 0 ? xs_gone(xs, tx, path) : p.r;
}

int layout_reidentify(struct xs_sync *xs, uint16_t domid, const char *uuid, const char *new_uuid,
		      const char *new_name)
{
	struct rename_arg a = { domid, uuid, new_uuid, new_name };

	return xstxn_run(xs, reidentify_body, &a);
}

int layout_target(struct xs_sync *xs, uint16_t domid, uint64_t kib)
{
	char val[24];

	snprintf(val, sizeof(val), "%llu", (unsigned long long)kib);
	return xs_putf(xs, 0, NULL, val, "/local/domain/%u/memory/target", domid);
}

int layout_vcpus(struct xs_sync *xs, uint16_t domid, unsigned online, unsigned max)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < max; i++)
		r = xs_putf(xs, 0, NULL, i < online ? "online" : "offline",
			    "/local/domain/%u/cpu/%u/availability", domid, i);
	return r;
}

struct request {
	uint16_t domid;
	const char *what;
};

static int shutdown_body(struct xs_sync *xs, uint32_t tx, void *arg)
{
	const struct request *q = arg;
	char path[80], *val;
	bool busy;
	int r;

	/* Writing below a removed domain would bring its folder back. */
	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", q->domid);
	r = xs_sync_read(xs, tx, path, &val);
	if (r < 0)
		return r;
	busy = *val && strcmp(val, q->what) != 0;
	free(val);
	return busy ? -EBUSY : xs_sync_write(xs, tx, path, q->what);
}

int layout_shutdown(struct xs_sync *xs, uint16_t domid, const char *request)
{
	struct request q = { domid, request };

	return xstxn_run(xs, shutdown_body, &q);
}

int layout_sysrq(struct xs_sync *xs, uint16_t domid, char key)
{
	char val[2] = { key, '\0' };

	return xs_putf(xs, 0, NULL, val, "/local/domain/%u/control/sysrq", domid);
}

int layout_tty(struct xs_sync *xs, uint16_t domid, char **ret)
{
	char path[80];

	snprintf(path, sizeof(path), "/local/domain/%u/console/tty", domid);
	return xs_sync_read(xs, 0, path, ret);
}
