/* apid/actions.c - the table of task types, and the small ones among them:
 * requests to the guest, pause, keys, live changes. */
#include "apid/actions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "apid/actions_int.h"
#include "apid/json.h"

void apid_watch_now(struct apid *a)
{
	(void)eventfd_write(a->watch_fd, 1); /* it is set already: as good */
}

/* The guest must be up; *ret_domid. */
static int need_run(struct apid *a, struct task *t, uint16_t *ret_domid)
{
	struct run run;
	int r = act_run(a, t->uuid, &run, &t->prob);

	if (r == 0 && !run.domid)
		r = problem_set(&t->prob, PROB_WRONG_STATE, "'%s' is not running; start it first",
				t->name);
	if (r == 0) {
		*ret_domid = run.domid;
		task_domid(a->tasks, t, run.domid);
	}
	return r;
}

/* ---- asking the guest ---- */

static int ask(struct worker *w, struct task *t, const char *what)
{
	uint16_t domid;
	int r = need_run(w->a, t, &domid);

	if (r == 0)
		r = ts_xs(&w->ts, &t->prob);
	if (r < 0)
		return r;
	r = layout_shutdown(w->ts.xs, domid, what);
	if (r == -EBUSY)
		return problem_set(
			&t->prob, PROB_CONFLICT,
			"the guest has not yet read an earlier request; wait or destroy it");
	if (r < 0)
		return problem_set(&t->prob, PROB_XENSTORE_DOWN, "control/shutdown: %s",
				   strerror(-r));
	return 0;
}

static int ask_and_wait(struct task *t, struct worker *w, enum task_wake why, const char *what)
{
	int64_t limit = uptime_ms() + (int64_t)(json_num(t->args, "timeout", 60) * 1000);
	struct run run;
	int r = 0;

	if (why == TASK_WAKE_RECOVERED) {
		t->recovery = "resumed";
		if (act_run(w->a, t->uuid, &run, &t->prob) < 0 || !run.domid) {
			t->prob = (struct problem){ 0 }; /* it ended while we were away */
			t->recovery = "finished";
			return 0;
		}
	}
	r = ask(w, t, what);
	if (r < 0)
		return r;
	/* A deadline of before the host's last start means nothing. */
	if (why == TASK_WAKE_START || !t->deadline_ms || t->deadline_ms > limit)
		t->deadline_ms = limit;
	task_step(w->a->tasks, t, 50, "waiting for the guest");
	return TASK_PARK;
}

static int out_of_time(struct task *t, const char *what)
{
	return problem_set(
		&t->prob, PROB_TIMEOUT,
		"the guest did not %s within %.0f s; it may ignore such requests: try again, "
		"use force, or destroy it",
		what, json_num(t->args, "timeout", 60));
}

static int run_shutdown(struct task *t, struct worker *w, enum task_wake why)
{
	struct run run;

	if (why != TASK_WAKE_DEADLINE)
		return ask_and_wait(t, w, why, "poweroff");
	if (!json_flag(t->args, "force", false))
		return out_of_time(t, "power off");
	if (act_run(w->a, t->uuid, &run, &t->prob) < 0 || !run.domid) {
		t->prob = (struct problem){ 0 }; /* it went just now */
		return 0;
	}
	return run_destroy(t, w, TASK_WAKE_START);
}

static int run_reboot(struct task *t, struct worker *w, enum task_wake why)
{
	struct dom_end end = { .reason = "destroyed",
			       .detail = "reboot by force",
			       .at_ms = now_ms() };
	struct run run;
	int r;

	if (why != TASK_WAKE_DEADLINE)
		return ask_and_wait(t, w, why, "reboot");
	if (!json_flag(t->args, "force", false))
		return out_of_time(t, "reboot");
	r = act_run(w->a, t->uuid, &run, &t->prob);
	if (r == 0 && run.domid)
		r = act_clear(w, t, &run, &end, true);
	return r == 0 ? act_start(w, t, false, true) : r;
}

/* ---- small ones ---- */

static int run_pause(struct task *t, struct worker *w, enum task_wake why)
{
	bool pause = strcmp(t->type->name, "domain.pause") == 0;
	uint16_t domid;
	struct dom *d;
	int r = need_run(w->a, t, &domid);

	if (r < 0)
		return r;
	if (why == TASK_WAKE_RECOVERED)
		t->recovery = "finished"; /* doing it twice does no harm */
	r = pause ? hvc_pause(w->ts.h, domid) : hvc_unpause(w->ts.h, domid);
	if (r < 0)
		return problem_errno(&t->prob, r, t->type->name);
	dom_refresh(w, t->uuid);
	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d && db_begin(w->a->db) == 0) {
		doms_event(w->a->doms, pause ? "domain.paused" : "domain.unpaused", d, NULL);
		if (db_commit(w->a->db) == 0)
			events_kick(w->a->ev);
	}
	doms_unlock(w->a->doms);
	return 0;
}

static int run_sysrq(struct task *t, struct worker *w, enum task_wake why)
{
	uint16_t domid;
	int r;

	if (why == TASK_WAKE_RECOVERED) {
		t->recovery = "rolled-back";
		return problem_set(
			&t->prob, PROB_INTERRUPTED,
			"the service was restarted in the middle; the key may have been sent");
	}
	r = need_run(w->a, t, &domid);
	if (r == 0)
		r = ts_xs(&w->ts, &t->prob);
	if (r == 0) {
		r = layout_sysrq(w->ts.xs, domid, json_str(t->args, "key", "h")[0]);
		if (r < 0)
			return problem_set(&t->prob, PROB_XENSTORE_DOWN, "control/sysrq: %s",
					   strerror(-r));
	}
	return r;
}

static int run_trigger(struct task *t, struct worker *w, enum task_wake why)
{
	bool nmi = strcmp(json_str(t->args, "trigger", ""), "nmi") == 0;
	uint16_t domid;
	int r;

	if (why == TASK_WAKE_RECOVERED) {
		t->recovery = "rolled-back";
		return problem_set(
			&t->prob, PROB_INTERRUPTED,
			"the service was restarted in the middle; it may have been sent");
	}
	r = need_run(w->a, t, &domid);
	if (r < 0)
		return r;
	r = nmi ? hvc_nmi(w->ts.h, domid, (uint32_t)json_int(t->args, "vcpu", 0))
		: hvc_debug_virq(w->ts.h, domid);
	if (r == -EINVAL || r == -ENOENT)
		return problem_set(&t->prob, PROB_BAD_REQUEST, "the guest has no vCPU %lld",
				   (long long)json_int(t->args, "vcpu", 0));
	return r < 0 ? problem_errno(&t->prob, r, "trigger") : 0;
}

/* The definition is changed already; this brings the running guest in line. */
static int run_update(struct task *t, struct worker *w, enum task_wake why)
{
	bool memory = json_flag(t->args, "memory", false),
	     vcpus = json_flag(t->args, "vcpus", false);
	struct guestcfg g = { 0 };
	struct problem p = { 0 };
	struct run run;
	struct dom *d;
	int r = act_run(w->a, t->uuid, &run, &t->prob);

	if (r == 0)
		r = act_cfg(w->a, t->uuid, &g, &t->prob);
	if (r < 0 || !run.domid)
		goto out;
	if (why == TASK_WAKE_RECOVERED)
		t->recovery = "finished";
	task_domid(w->a->tasks, t, run.domid);
	r = ts_xs(&w->ts, &t->prob);
	if (r < 0)
		goto out;
	if (memory) {
		/* One MiB of slack above the target, as libxl leaves. */
		r = layout_target(w->ts.xs, run.domid, g.memory_mib * 1024);
		if (r == 0)
			r = hvc_set_max_pages(w->ts.h, run.domid, (g.memory_mib + 1) * 256);
		doms_lock(w->a->doms);
		d = doms_by_uuid(w->a->doms, t->uuid);
		if (r == 0 && d)
			r = doms_set_target(w->a->doms, d, g.memory_mib * 1024);
		doms_unlock(w->a->doms);
	}
	if (r == 0 && vcpus)
		r = layout_vcpus(w->ts.xs, run.domid, g.vcpus, g.maxvcpus);
	if (r == 0 && json_flag(t->args, "name", false))
		r = layout_rename(w->ts.xs, run.domid, t->uuid, g.name);
	if (r < 0)
		(void)problem_errno(&p, r, "running guest");
	t->prob = p;
	dom_refresh(w, t->uuid);
out:
	guestcfg_fini(&g);
	return r;
}

const struct task_type task_types[] = {
	{ "domain.create", false, run_create },
	{ "domain.start", false, run_start },
	{ "domain.shutdown", true, run_shutdown },
	{ "domain.reboot", false, run_reboot },
	{ "domain.pause", true, run_pause },
	{ "domain.unpause", true, run_pause },
	{ "domain.destroy", true, run_destroy },
	{ "domain.sysrq", true, run_sysrq },
	{ "domain.trigger", true, run_trigger },
	{ "domain.update", true, run_update },
	{ "domain.disk-attach", false, run_attach },
	{ "domain.disk-detach", false, run_detach },
	{ "domain.vif-attach", false, run_attach },
	{ "domain.vif-detach", false, run_detach },
	{ "domain.end", false, run_end },
};
const size_t task_types_n = sizeof(task_types) / sizeof(task_types[0]);
