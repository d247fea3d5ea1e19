/* apid/hotplug.c - devices that come to a running guest and leave it.
 *
 * attach   definition, then nodes (one transaction), then the backend's word;
 *          what fails is taken back, in reverse order
 * detach   online=0 and state 5, the guest closes, nodes, then definition
 *
 * Each step finds what an earlier process has done already, so that a task
 * which a kill -9 has met is simply carried out again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "apid/actions_int.h"
#include "apid/json.h"
#include "apid/macs.h"
#include "apid/toolstack/vdev.h"
#include "daemons/clock.h"

#define CLOSE_WAIT_S 10u /* as libxl */

/* The list of the definition that a task is about. */
static const char *list_of(const struct task *t)
{
	return strncmp(t->type->name, "domain.disk", 11) == 0 ? "disks" : "vifs";
}

/* Same vdev, same address or same devid: whatever want names. */
static bool same_device(json_object *o, json_object *want)
{
	const char *vdev = json_str(want, "vdev", NULL), *mac = json_str(want, "mac", NULL);

	if (vdev)
		return strcmp(json_str(o, "vdev", ""), vdev) == 0;
	if (mac)
		return strcasecmp(json_str(o, "mac", ""), mac) == 0;
	return json_get(want, "devid") && json_int(o, "devid", -1) == json_int(want, "devid", -2);
}

static int find_in(json_object *cfg, const struct task *t)
{
	json_object *list = json_get(cfg, list_of(t));
	size_t n = json_len(cfg, list_of(t));

	for (size_t i = 0; i < n; i++)
		if (same_device(json_object_array_get_idx(list, i), t->args))
			return (int)i;
	return -ENOENT;
}

static int read_cfg(struct dom *d, json_object **ret, struct problem *p)
{
	char err[96];
	int r = json_parse(d->config, strlen(d->config), ret, err, sizeof(err));

	if (r < 0)
		(void)problem_set(p, PROB_INTERNAL, "stored configuration: %s", err);
	return r;
}

static int append(struct worker *w, struct task *t, json_object *cfg)
{
	json_object *list = json_get(cfg, list_of(t)), *copy = NULL;

	if (!list) {
		list = json_object_new_array();
		if (json_object_object_add(cfg, list_of(t), list) < 0)
			return problem_errno(&t->prob, -ENOMEM, "configuration");
	}
	if (json_object_deep_copy(t->args, &copy, NULL) < 0)
		return problem_errno(&t->prob, -ENOMEM, "configuration");
	json_object_object_del(copy, "force");
	json_object_array_add(list, copy);
	if (macs_complete(w->a->db, cfg, &t->prob) < 0)
		return -EINVAL;
	/* What was filled in is the device's name when this is done again. */
	if (json_get(copy, "mac")) {
		json_object_object_add(t->args, "mac",
				       json_object_new_string(json_str(copy, "mac", "")));
		json_object_object_add(t->args, "devid",
				       json_object_new_int64(json_int(copy, "devid", 0)));
		task_save_args(w->a->tasks, t);
	}
	return 0;
}

/* The definition with or without the device.  0, or 1: it was so already. */
static int change_cfg(struct worker *w, struct task *t, bool add)
{
	struct guestcfg g = { 0 };
	json_object *cfg = NULL;
	struct dom *d;
	int at, r;

	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	r = d ? read_cfg(d, &cfg, &t->prob)
	      : problem_set(&t->prob, PROB_NOT_FOUND, "the domain is not defined any more");
	at = r == 0 ? find_in(cfg, t) : r;
	if (r == 0 && (at >= 0) == add) {
		r = 1;
	} else if (r == 0) {
		if (add)
			r = append(w, t, cfg);
		else
			json_object_array_del_idx(json_get(cfg, list_of(t)), (size_t)at, 1);
		if (r == 0)
			r = guestcfg_parse(cfg, &g, &t->prob);
		if (r == 0 && add)
			r = ts_check_devices(&g, &t->prob);
		if (r == 0)
			r = doms_redefine(w->a->doms, d, &g,
					  json_object_to_json_string_ext(
						  cfg, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE),
					  &t->prob);
		guestcfg_fini(&g);
	}
	doms_unlock(w->a->doms);
	json_object_put(cfg);
	return r;
}

/* The device of the definition as the toolstack knows it; g is the caller's. */
static int find_device(struct worker *w, struct task *t, struct guestcfg *g, struct device *ret)
{
	const char *vdev = json_str(t->args, "vdev", NULL), *mac = json_str(t->args, "mac", NULL);
	int64_t devid = json_int(t->args, "devid", -1);
	struct device d = { 0 };
	int r = act_cfg(w->a, t->uuid, g, &t->prob);

	if (r < 0)
		return r;
	for (unsigned i = 0; vdev && i < g->ndisks; i++)
		if (strcmp(g->disks[i].vdev, vdev) == 0 && vdev_number(vdev, &d.devid) == 0)
			d.disk = &g->disks[i];
	for (unsigned i = 0; !vdev && i < g->nvifs; i++)
		if (mac ? strcasecmp(g->vifs[i].mac, mac) == 0 : g->vifs[i].devid == devid)
			d = (struct device){ .devid = g->vifs[i].devid, .vif = &g->vifs[i] };
	if (!d.disk && !d.vif)
		return problem_set(&t->prob, PROB_NOT_FOUND, "'%s' has no such %s", t->name,
				   vdev ? "disk" : "network interface");
	*ret = d;
	return 0;
}

static int begin(struct worker *w, struct task *t, enum task_wake why, uint16_t *ret_domid)
{
	struct run run;
	int r = act_run(w->a, t->uuid, &run, &t->prob);

	if (r == 0 && !run.domid)
		r = problem_set(&t->prob, PROB_WRONG_STATE, "'%s' is not running", t->name);
	if (r == 0)
		r = ts_xs(&w->ts, &t->prob);
	if (r < 0)
		return r;
	if (why == TASK_WAKE_RECOVERED)
		t->recovery = "resumed";
	task_domid(w->a->tasks, t, run.domid);
	*ret_domid = run.domid;
	return 0;
}

int run_attach(struct task *t, struct worker *w, enum task_wake why)
{
	struct problem prob;
	struct guestcfg g = { 0 };
	struct device d = { 0 };
	uint16_t domid = 0;
	int r = begin(w, t, why, &domid);

	if (r < 0)
		return r;
	r = change_cfg(w, t, true);
	if (r == 1 && why != TASK_WAKE_RECOVERED)
		r = problem_set(&t->prob, PROB_CONFLICT, "'%s' has this device already", t->name);
	if (r < 0)
		return r;
	r = find_device(w, t, &g, &d);
	if (r == 0 && device_closed(w->ts.xs, domid, device_class(&d), d.devid) == 1) {
		r = device_add(w->ts.xs, domid, &d);
		if (r < 0)
			(void)problem_errno(&t->prob, r, "XenStore");
	}
	if (r == 0)
		r = ts_wait_device(&w->ts, domid, &d, &t->prob);
	if (r < 0) {
		prob = t->prob; /* what is told; taking it back may fail as well */
		if (d.disk || d.vif)
			(void)device_remove(w->ts.xs, domid, device_class(&d), d.devid);
		(void)change_cfg(w, t, false);
		t->prob = prob;
	}
	guestcfg_fini(&g);
	return r;
}

static int wait_closed(struct worker *w, uint16_t domid, const struct device *d)
{
	uint64_t end = clock_mono_ns() + CLOSE_WAIT_S * 1000000000ull;
	int r = 0;

	while ((r = device_closed(w->ts.xs, domid, device_class(d), d->devid)) == 0 &&
	       clock_mono_ns() < end)
		usleep(20000);
	return r;
}

int run_detach(struct task *t, struct worker *w, enum task_wake why)
{
	bool force = json_flag(t->args, "force", false);
	struct guestcfg g = { 0 };
	struct device d = { 0 };
	uint16_t domid = 0;
	int r = begin(w, t, why, &domid);

	if (r == 0)
		r = find_device(w, t, &g, &d);
	if (r < 0) {
		guestcfg_fini(&g);
		return r;
	}
	r = device_offline(w->ts.xs, domid, device_class(&d), d.devid);
	if (r == 0)
		r = wait_closed(w, domid, &d);
	else if (r == -ENOENT)
		r = 1;
	if (r == 0 && !force) {
		r = problem_set(&t->prob, PROB_TIMEOUT,
				"the guest did not let go of %s within %u s; it may be in use "
				"there: try again when it is not, or use force",
				device_name(&d), CLOSE_WAIT_S);
		guestcfg_fini(&g);
		return r;
	}
	if (r >= 0)
		r = device_remove(w->ts.xs, domid, device_class(&d), d.devid);
	if (r < 0)
		(void)problem_errno(&t->prob, r, "XenStore");
	else
		r = change_cfg(w, t, false);
	guestcfg_fini(&g);
	return r < 0 ? r : 0;
}
