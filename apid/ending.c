/* apid/ending.c - what happens when a guest ends, by itself or by force.
 *
 * The reason is saved in the task before the domain is destroyed, because
 * nobody knows it afterwards; so a restart of this process in the middle goes
 * on with the same decision.
 */
#include "apid/actions_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xen/sched.h>

#include "apid/call.h"
#include "apid/json.h"
#include "apid/toolstack/xstxn.h"
#include "daemons/log.h"

#define PANIC_TAIL  8192 /* bytes of the console's log that are looked through */
#define PANIC_TRIES 4
#define WAITING	    "waiting before the restart"

/* ---- leftovers ---- */

void leftovers_add(struct apid *a, uint16_t domid, const char *uuid, bool crashed)
{
	char key[64], val[64];

	log_warn(0, "XenStore is away: nodes of domain %u are removed later", domid);
	snprintf(key, sizeof(key), "leftover-%u", domid);
	snprintf(val, sizeof(val), "%s %d", uuid, crashed);
	(void)db_meta_set(a->db, key, val); /* add_body clears a reused domid as well */
}

struct leftover {
	unsigned domid;
	char uuid[UUID_LEN + 1];
	int crashed;
};

static int leftover_row(sqlite3_stmt *row, void *arg)
{
	struct leftover *l = arg;

	return sscanf(db_text(row, 0), "leftover-%u", &l->domid) == 1 &&
	       sscanf(db_text(row, 1), "%36s %d", l->uuid, &l->crashed) == 2;
}

static int report_row(sqlite3_stmt *row, void *arg)
{
	snprintf(arg, UUID_LEN + 1, "%s", db_text(row, 0));
	return 1;
}

/* Crash reports of domains that are forgotten. */
static void forget_reports(struct worker *w)
{
	char uuid[UUID_LEN + 1];

	do {
		uuid[0] = '\0';
		(void)db_query(w->a->db, "SELECT value FROM meta WHERE key LIKE 'report-%'",
			       report_row, uuid, "");
	} while (uuid[0] && layout_forget_crash(w->ts.xs, uuid) == 0 &&
		 db_run(w->a->db, "DELETE FROM meta WHERE key = 'report-' || ?", "s", uuid) == 0);
}

void leftovers_retry(struct worker *w)
{
	struct leftover l;

	forget_reports(w);

	for (;;) {
		l.domid = 0;
		(void)db_query(w->a->db, "SELECT key, value FROM meta WHERE key LIKE 'leftover-%'",
			       leftover_row, &l, "");
		if (!l.domid || layout_remove(w->ts.xs, (uint16_t)l.domid, l.uuid, l.crashed) < 0)
			return;
		if (db_run(w->a->db, "DELETE FROM meta WHERE key = 'leftover-' || ?", "i",
			   (int64_t)l.domid) < 0)
			return;
	}
}

/* ---- the end of a guest ---- */

static bool settle_ended(struct task *t, void *arg)
{
	const char *reason = arg;

	if (strcmp(t->type->name, "domain.reboot") != 0)
		return true; /* it wanted the guest to end, and it has */
	if (strcmp(reason, "reboot") == 0)
		return false; /* until it is up again */
	(void)problem_set(&t->prob, PROB_WRONG_STATE,
			  "the guest did not reboot: it ended with '%s'", reason);
	return true;
}

static bool settle_restarted(struct task *t, void *arg)
{
	const struct problem *p = arg;

	if (p->code != PROB_NONE)
		t->prob = *p;
	return true;
}

/* What the guest itself said last: Linux reports a crash from its panic
 * notifier, after the line on the console.  The text is the guest's: only
 * printable characters are taken.  consoled may still be reading. */
static void learn_panic(const char *name, struct dom_end *e)
{
	static const char mark[] = "Kernel panic - not syncing: ";
	const struct timespec pause = { 0, 30000000 };

	for (int i = 0; i < PANIC_TRIES; i++) {
		struct jbuf raw = { 0 };
		struct problem ignored;
		const char *at = NULL;

		if (i)
			nanosleep(&pause, NULL);
		if (conlog_read(name, PANIC_TAIL, 0, &raw, &ignored) == 0 && raw.n)
			for (const char *s = raw.p; (s = strstr(s, mark)); s += sizeof(mark) - 1)
				at = s;
		if (at) {
			size_t n = (size_t)snprintf(e->detail, sizeof(e->detail), "kernel panic: ");

			for (at += sizeof(mark) - 1; *at >= 0x20 && *at < 0x7f; at++)
				if (n + 1 < sizeof(e->detail))
					e->detail[n++] = *at;
			e->detail[n] = '\0';
		}
		jb_fini(&raw);
		if (at)
			return;
	}
}

/* Why it ended, as the hypervisor tells; kept in the task's args. */
static int learn_end(struct worker *w, struct task *t, const struct run *run, struct dom_end *ret)
{
	struct hvc_dominfo info;
	struct dom_end e = { .at_ms = now_ms() };
	int r;

	if (json_has(t->args, "reason")) {
		snprintf(e.reason, sizeof(e.reason), "%s", json_str(t->args, "reason", "unknown"));
		snprintf(e.detail, sizeof(e.detail), "%s", json_str(t->args, "detail", ""));
		e.at_ms = json_int(t->args, "at_ms", e.at_ms);
		*ret = e;
		return 0;
	}
	r = hvc_dominfo(w->ts.h, run->domid, &info);
	if (r < 0 && r != -ESRCH)
		return problem_errno(&t->prob, r, "hypervisor"), r;
	if (r == -ESRCH || info.created_ns != run->created_ns) {
		snprintf(e.reason, sizeof(e.reason), "unknown");
		snprintf(e.detail, sizeof(e.detail), "it was gone when looked for");
	} else if (info.flags & HVC_DOM_SHUTDOWN) {
		snprintf(e.reason, sizeof(e.reason), "%s", end_reason(info.shutdown_reason));
		snprintf(e.detail, sizeof(e.detail), "%s", info.crash_detail);
		if (info.shutdown_reason == SHUTDOWN_crash && !(info.flags & HVC_DOM_DYING) &&
		    strncmp(e.detail, "guest reported", 14) == 0)
			learn_panic(t->name, &e);
	} else if (info.flags & HVC_DOM_DYING) {
		snprintf(e.reason, sizeof(e.reason), "killed");
		snprintf(e.detail, sizeof(e.detail), "%s",
			 info.crash_detail[0] ? info.crash_detail : "its process died");
	} else {
		return -EAGAIN; /* alive after all */
	}
	json_object_object_add(t->args, "reason", json_object_new_string(e.reason));
	json_object_object_add(t->args, "detail", json_object_new_string(e.detail));
	json_object_object_add(t->args, "at_ms", json_object_new_int64(e.at_ms));
	task_save_args(w->a->tasks, t);
	*ret = e;
	return 0;
}

static void publish_crash(struct worker *w, const struct task *t, const struct dom_end *end)
{
	struct problem ignored;
	char text[192];

	snprintf(text, sizeof(text), "%s%s%s", end->reason, end->detail[0] ? ": " : "",
		 end->detail);
	if (ts_xs(&w->ts, &ignored) < 0 || layout_crash(w->ts.xs, t->uuid, text, end->at_ms) < 0)
		log_warn(0, "'%s': the crash reason can't be written to XenStore", t->name);
}

static int keep_guest(struct worker *w, struct task *t, const struct dom_end *end)
{
	struct dom *d;
	int r = 0;

	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d)
		r = doms_run_kept(w->a->doms, d, end, &t->prob);
	doms_unlock(w->a->doms);
	return r;
}

int act_clear(struct worker *w, struct task *t, const struct run *run, const struct dom_end *end,
	      bool restart)
{
	bool left = false, crash = dom_end_is_crash(end->reason);
	struct dom *d;
	int r = ts_destroy(&w->ts, run->domid, t->uuid, crash, &left, &t->prob);

	if (r < 0)
		return r;
	if (left)
		leftovers_add(w->a, run->domid, t->uuid, crash);
	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d && d->domid == run->domid)
		r = doms_run_over(w->a->doms, d, end, restart, &t->prob);
	doms_unlock(w->a->doms);
	return r;
}

/* The ended guest lives on under another name and UUID (as xl does). */
static int rename_away(struct worker *w, struct task *t, const struct run *run)
{
	char uuid[UUID_LEN + 1], name[GUEST_NAME_MAX * 4 + 32], stamp[24];
	time_t now = time(NULL);
	struct tm tm;
	struct dom *d;
	int r = ts_xs(&w->ts, &t->prob);

	if (r < 0)
		return r;
	uuid_new(uuid);
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(name, sizeof(name), "%.*s-%s", (int)guest_name_cut(t->name, GUEST_NAME_MAX - 17),
		 t->name, stamp);
	r = layout_reidentify(w->ts.xs, run->domid, t->uuid, uuid, name);
	if (r < 0)
		return problem_errno(&t->prob, r, "XenStore");
	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d && d->domid == run->domid)
		r = doms_split(w->a->doms, d, uuid, name, &t->prob);
	doms_unlock(w->a->doms);
	return r;
}

/* Once: an interrupted end goes on with what was decided. */
static enum end_action decide(struct worker *w, struct task *t, const struct run *run,
			      struct dom_end *end)
{
	enum end_action act = END_DESTROY;
	struct problem ignored;
	uint64_t pause_ms;
	struct guestcfg g;

	if (json_has(t->args, "action"))
		return (enum end_action)json_int(t->args, "action", END_DESTROY);
	if (act_cfg(w->a, t->uuid, &g, &ignored) == 0) {
		act = dom_action(&g, end->reason);
		guestcfg_fini(&g);
	}
	if (act == END_COREDUMP_DESTROY || act == END_COREDUMP_RESTART)
		log_warn(0, "'%s': no core dump is written: not available yet", t->name);
	act = restart_decide(w, t, run, act, end, &pause_ms);
	json_object_object_add(t->args, "detail", json_object_new_string(end->detail));
	json_object_object_add(t->args, "action", json_object_new_int(act));
	json_object_object_add(t->args, "restart", json_object_new_boolean(restart_wanted(act)));
	json_object_object_add(t->args, "pause_ms", json_object_new_int64((int64_t)pause_ms));
	task_save_args(w->a->tasks, t);
	return act;
}

static int end_old(struct worker *w, struct task *t, const struct run *run, bool *ret_restart)
{
	struct dom_end end;
	enum end_action act;
	int r = learn_end(w, t, run, &end);

	if (r < 0)
		return r;
	act = decide(w, t, run, &end);
	*ret_restart = restart_wanted(act);
	log_info("'%s' (domid %u) ended: %s%s%s", t->name, run->domid, end.reason,
		 end.detail[0] ? ": " : "", end.detail);
	if (dom_end_is_crash(end.reason))
		publish_crash(w, t, &end);
	r = keep_guest(w, t, &end); /* tells the event, whatever comes next */
	if (r == 0 && act == END_RENAME_RESTART)
		r = rename_away(w, t, run);
	else if (r == 0 && act != END_PRESERVE)
		r = act_clear(w, t, run, &end, *ret_restart);
	if (r == 0)
		tasks_settle(w->a->tasks, t->uuid, settle_ended,
			     *ret_restart ? (void *)end.reason : (void *)"an end without restart");
	return r;
}

/* True: the guest is to be started later than now. */
static bool park_restart(struct worker *w, struct task *t)
{
	int64_t pause_ms = json_int(t->args, "pause_ms", 0), latest = uptime_ms() + pause_ms;

	if (!pause_ms)
		return false;
	if (!t->deadline_ms || t->deadline_ms > latest)
		t->deadline_ms = latest;
	task_step(w->a->tasks, t, 50, WAITING);
	apid_watch_now(w->a);
	return true;
}

int run_end(struct task *t, struct worker *w, enum task_wake why)
{
	uint16_t domid = (uint16_t)json_int(t->args, "domid", 0);
	bool restart = json_flag(t->args, "restart", false);
	struct problem outcome;
	struct run run;
	int r = act_run(w->a, t->uuid, &run, &t->prob);

	if (r < 0 || (run.domid && run.domid != domid && why != TASK_WAKE_RECOVERED)) {
		t->prob = (struct problem){ 0 }; /* somebody ended it before us */
		return 0;
	}
	task_domid(w->a->tasks, t, domid);
	if (run.domid == domid) {
		task_step(w->a->tasks, t, 20, "end");
		r = end_old(w, t, &run, &restart);
		if (r == -EAGAIN) {
			doms_lock(w->a->doms);
			if (doms_by_uuid(w->a->doms, t->uuid))
				doms_by_uuid(w->a->doms, t->uuid)->ending = false;
			doms_unlock(w->a->doms);
			return 0;
		}
		if (why == TASK_WAKE_RECOVERED)
			t->recovery = "resumed";
	}
	if (r == 0 && restart) {
		if (why == TASK_WAKE_RECOVERED)
			t->recovery = "resumed";
		if ((why == TASK_WAKE_START || strcmp(t->step, WAITING) == 0) &&
		    why != TASK_WAKE_DEADLINE && park_restart(w, t))
			return TASK_PARK;
		task_step(w->a->tasks, t, 60, "restart");
		r = why == TASK_WAKE_RECOVERED ? act_resume_start(w, t, false, true)
					       : act_start(w, t, false, true);
		if (r < 0)
			restart_failed(w, t);
		outcome = t->prob;
		if (r == 0)
			outcome = (struct problem){ 0 };
		tasks_settle(w->a->tasks, t->uuid, settle_restarted, &outcome);
	}
	apid_watch_now(w->a);
	return r;
}

int action_end(struct apid *a, struct dom *d)
{
	json_object *args = json_object_new_object();
	char id[UUID_LEN + 1];
	struct problem p;
	int r;

	if (d->ending)
		return json_object_put(args), 0;
	json_object_object_add(args, "domid", json_object_new_int(d->domid));
	r = tasks_submit(a->tasks, "domain.end", d->uuid, d->name, args, id, &p);
	if (r < 0)
		return log_err(0, "'%s' ended, but: %s", d->name, p.detail), r;
	d->ending = true;
	return 0;
}

/* Between two runs: the next one does not come. */
static int cancel_restart(struct worker *w, struct task *t)
{
	struct problem ignored;
	struct dom *d;

	if (!tasks_has_open(w->a->tasks, t->uuid, "domain.end"))
		return problem_set(&t->prob, PROB_WRONG_STATE, "'%s' is not running", t->name);
	tasks_settle(w->a->tasks, t->uuid, restart_pending, NULL);
	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d && !d->persistent)
		(void)doms_undefine(w->a->doms, d, &ignored); /* or swept at the next start */
	doms_unlock(w->a->doms);
	if (ts_xs(&w->ts, &ignored) == 0)
		leftovers_retry(w); /* or the watcher does */
	return 0;
}

int run_destroy(struct task *t, struct worker *w, enum task_wake why)
{
	struct dom_end end = { .reason = "destroyed", .at_ms = now_ms() };
	struct run run;
	struct dom *d;
	int r = act_run(w->a, t->uuid, &run, &t->prob);

	if (why == TASK_WAKE_RECOVERED) {
		t->recovery = "finished";
		if (r < 0 || !run.domid) {
			t->prob = (struct problem){ 0 };
			return 0;
		}
	}
	if (r < 0)
		return r;
	if (!run.domid)
		return cancel_restart(w, t);
	task_domid(w->a->tasks, t, run.domid);
	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	if (d)
		d->ending = true; /* its death is no news */
	doms_unlock(w->a->doms);
	if (run.end.at_ms)
		end = run.end; /* a preserved guest: what it died of stays true */
	snprintf(end.reason, sizeof(end.reason), "destroyed");
	r = act_clear(w, t, &run, &end, false);
	if (r == 0)
		tasks_settle(w->a->tasks, t->uuid, settle_ended, "destroyed");
	return r;
}
