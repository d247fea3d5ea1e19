/* apid/start.c - starting guests, step by step, and going on with a start that
 * a kill -9 has met:
 *
 *   build      the domain exists in hvd, the database doesn't know its domid:
 *              found again by its UUID and destroyed, then built anew
 *   recorded   the database knows domid and created_ns
 *   publish    XenStore nodes may be half there (one transaction: all or none)
 *   unpause    the guest may run: if it does the task is finished, else it is
 *              destroyed and built anew
 */
#include "apid/actions_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/json.h"
#include "daemons/log.h"

/* ---- helpers over the registry ---- */

int act_run(struct apid *a, const char *uuid, struct run *ret, struct problem *p)
{
	struct dom *d;
	int r = 0;

	doms_lock(a->doms);
	d = doms_by_uuid(a->doms, uuid);
	if (d)
		*ret = (struct run){ d->domid,	 d->created_ns, d->started_at,
				     d->running, d->persistent, d->end };
	else
		r = problem_set(p, PROB_NOT_FOUND, "the domain is not defined any more");
	doms_unlock(a->doms);
	return r;
}

int act_cfg(struct apid *a, const char *uuid, struct guestcfg *ret, struct problem *p)
{
	json_object *o = NULL;
	char *text = NULL, err[96];
	struct dom *d;
	int r = 0;

	doms_lock(a->doms);
	d = doms_by_uuid(a->doms, uuid);
	if (d)
		text = strdup(d->config);
	doms_unlock(a->doms);
	if (!d)
		return problem_set(p, PROB_NOT_FOUND, "the domain is not defined any more");
	if (!text)
		return problem_errno(p, -ENOMEM, "domain");
	r = json_parse(text, strlen(text), &o, err, sizeof(err));
	if (r < 0)
		(void)problem_set(p, PROB_INTERNAL, "stored configuration: %s", err);
	else
		r = guestcfg_parse(o, ret, p);
	json_object_put(o);
	free(text);
	return r;
}

void dom_refresh(struct worker *w, const char *uuid)
{
	struct hvc_dominfo info;
	struct dom *d;
	uint16_t domid;

	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, uuid);
	domid = d ? d->domid : 0;
	doms_unlock(w->a->doms);
	if (!domid || hvc_dominfo(w->ts.h, domid, &info) < 0)
		return;
	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, uuid);
	if (d && d->domid == domid && d->created_ns == info.created_ns) {
		d->info = info;
		d->info_ok = true;
	}
	doms_unlock(w->a->doms);
}

/* ---- start ---- */

static void undo_start(struct worker *w, struct task *t, uint16_t domid)
{
	struct problem ignored;
	bool left = false;
	struct dom *d;

	if (ts_destroy(&w->ts, domid, t->uuid, false, &left, &ignored) < 0)
		log_warn(0, "domain %u: %s", domid, ignored.detail);
	else if (left)
		leftovers_add(w->a, domid, t->uuid, false);
	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d)
		(void)doms_run_undone(w->a->doms, d, &ignored); /* recovery will see it is gone */
	doms_unlock(w->a->doms);
}

static int record_run(struct worker *w, struct task *t, const struct guestcfg *g,
		      const struct ts_guest *b)
{
	struct dom *d;
	int r;

	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d)
		r = doms_run_began(w->a->doms, d, b->domid, b->created_ns, g->memory_mib * 1024,
				   &t->prob);
	else
		r = problem_set(&t->prob, PROB_NOT_FOUND, "the domain was deleted meanwhile");
	doms_unlock(w->a->doms);
	task_domid(w->a->tasks, t, b->domid);
	return r;
}

static int claim(struct worker *w, struct task *t, const struct guestcfg *g)
{
	struct dom *d;
	int r;

	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d)
		r = doms_claim(w->a->doms, d, g, &t->prob);
	else
		r = problem_set(&t->prob, PROB_NOT_FOUND, "the domain was deleted meanwhile");
	doms_unlock(w->a->doms);
	return r;
}

static int record_up(struct worker *w, struct task *t, bool paused, bool restarted)
{
	struct dom *d;
	int r = 0;

	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d)
		r = doms_run_up(w->a->doms, d, paused, restarted, &t->prob);
	doms_unlock(w->a->doms);
	return r;
}

/* From nothing to a running guest. */
int act_start(struct worker *w, struct task *t, bool paused, bool restarted)
{
	struct apid *a = w->a;
	struct guestcfg g = { 0 };
	struct ts_guest b;
	bool built = false;
	int r = act_cfg(a, t->uuid, &g, &t->prob);

	if (r == 0)
		r = ts_check(&g, &t->prob);
	if (r == 0)
		r = ts_xs(&w->ts, &t->prob);
	if (r < 0)
		goto out;
	if (g.nvifs)
		r = claim(w, t, &g);
	if (r < 0)
		goto out;
	task_step(a->tasks, t, 10, "build");
	r = ts_build(&w->ts, &g, &b, &t->prob);
	if (r < 0)
		goto out;
	built = true;
	r = record_run(w, t, &g, &b);
	if (r < 0)
		goto out;
	task_step(a->tasks, t, 60, "publish");
	r = ts_publish(&w->ts, &g, &b, &t->prob);
	if (r < 0)
		goto out;
	task_step(a->tasks, t, 90, "unpause");
	r = paused ? 0 : hvc_unpause(w->ts.h, b.domid);
	if (r < 0) {
		(void)problem_errno(&t->prob, r, "unpause");
		goto out;
	}
	r = record_up(w, t, paused, restarted);
	dom_refresh(w, t->uuid);
	apid_watch_now(a);
out:
	if (r < 0 && built)
		undo_start(w, t, b.domid);
	guestcfg_fini(&g);
	return r;
}

/* The domain in the hypervisor that an interrupted start may have made. */
static bool find_by_uuid(struct worker *w, const char *uuid, struct hvc_dominfo *ret)
{
	struct hvc_dominfo v[64];
	uint16_t first = 1;
	uint8_t b[16];
	int n;

	if (uuid_bytes(uuid, b) < 0)
		return false;
	do {
		n = hvc_domlist(w->ts.h, first, v, 64);
		for (int i = 0; i < n; i++) {
			if (memcmp(v[i].uuid, b, 16) == 0) {
				*ret = v[i];
				return true;
			}
			first = (uint16_t)(v[i].domid + 1);
		}
	} while (n == 64);
	return false;
}

/* What an earlier process had begun: finish it, or clear it away. */
int act_resume_start(struct worker *w, struct task *t, bool paused, bool restarted)
{
	struct hvc_dominfo info;
	struct run run;
	int r = act_run(w->a, t->uuid, &run, &t->prob);

	if (r < 0)
		return r;
	if (find_by_uuid(w, t->uuid, &info)) {
		bool published = strcmp(t->step, "unpause") == 0;

		if (run.domid == info.domid && run.created_ns == info.created_ns &&
		    !(info.flags & HVC_DOM_DYING) &&
		    (run.running || !(info.flags & HVC_DOM_PAUSED) || (published && paused))) {
			t->recovery = "finished";
			r = run.running ? 0 : record_up(w, t, paused, restarted);
			dom_refresh(w, t->uuid);
			return r;
		}
		undo_start(w, t, info.domid);
	} else if (run.domid) {
		undo_start(w, t, run.domid);
	}
	t->recovery = "resumed";
	return act_start(w, t, paused, restarted);
}

int run_start(struct task *t, struct worker *w, enum task_wake why)
{
	bool paused = json_flag(t->args, "paused", false);
	struct run run;
	int r;

	if (why == TASK_WAKE_RECOVERED)
		return act_resume_start(w, t, paused, false);
	r = act_run(w->a, t->uuid, &run, &t->prob);
	if (r < 0)
		return r;
	if (run.domid)
		return problem_set(&t->prob, PROB_WRONG_STATE, "'%s' is running already (domid %u)",
				   t->name, run.domid);
	tasks_settle(w->a->tasks, t->uuid, restart_pending, NULL); /* this is the restart */
	return act_start(w, t, paused, false);
}

/* Define and start: what can't be started isn't defined. */
int run_create(struct task *t, struct worker *w, enum task_wake why)
{
	struct problem ignored;
	struct dom *d;
	int r = run_start(t, w, why);

	if (r >= 0)
		return r;
	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d && !d->domid)
		(void)doms_undefine(w->a->doms, d, &ignored); /* swept at the next start of apid */
	doms_unlock(w->a->doms);
	if (t->recovery)
		t->recovery = "rolled-back";
	return r;
}
