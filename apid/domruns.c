/* apid/domruns.c - the runs of a domain in the registry: begun, up, ended,
 * kept, moved to another name. */
#include "apid/doms_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void end_extra(const struct dom_end *end, char *buf, size_t n)
{
	struct jbuf b = { 0 };

	jb_kstr(&b, "reason", end->reason);
	jb_kstr(&b, "detail", end->detail);
	snprintf(buf, n, "%s", b.p && !b.oom ? b.p : "\"reason\":\"unknown\"");
	jb_fini(&b);
}

int doms_run_began(struct doms *ds, struct dom *d, uint16_t domid, uint64_t created_ns,
		   uint64_t target_kib, struct problem *p)
{
	int64_t now = now_ms();
	int r;

	if (domid == 0 || domid >= HVC_DOMID_FIRST_RESERVED)
		return problem_set(p, PROB_INTERNAL, "the hypervisor gave domid %u", domid);
	r = doms_begin(ds, p);
	if (r < 0)
		return r;
	r = db_run(ds->db,
		   "UPDATE domains SET domid = ?, created_ns = ?, started_at = ?, running = 0, "
		   "target_kib = ? WHERE uuid = ?",
		   "iiiis", (int64_t)domid, (int64_t)created_ns, now, (int64_t)target_kib, d->uuid);
	r = doms_finish(ds, r, p);
	if (r < 0)
		return r;
	d->domid = domid;
	d->created_ns = created_ns;
	d->started_at = now;
	d->target_kib = target_kib;
	d->running = d->ending = d->info_ok = false;
	free(d->tty);
	d->tty = NULL;
	ds->by_domid[domid] = d;
	return 0;
}

int doms_run_up(struct doms *ds, struct dom *d, bool paused, bool restarted, struct problem *p)
{
	char extra[64];
	int r = doms_begin(ds, p);

	if (r < 0)
		return r;
	snprintf(extra, sizeof(extra), "\"paused\":%s,\"restarted\":%s", paused ? "true" : "false",
		 restarted ? "true" : "false");
	r = db_run(ds->db,
		   "UPDATE domains SET running = 1, end_reason = NULL, end_detail = NULL, "
		   "end_at = NULL, remnant = 0, quick_crashes = ? WHERE uuid = ?",
		   "is", (int64_t)(restarted ? d->quick_crashes : 0), d->uuid);
	if (r == 0)
		doms_event(ds, "domain.started", d, extra);
	r = doms_finish(ds, r, p);
	if (r == 0) {
		d->running = true;
		d->end = (struct dom_end){ 0 };
		if (!restarted)
			d->quick_crashes = 0;
	}
	return r;
}

static void clear_run(struct doms *ds, struct dom *d)
{
	if (d->domid && ds->by_domid[d->domid] == d)
		ds->by_domid[d->domid] = NULL;
	d->domid = 0;
	d->created_ns = 0;
	d->started_at = 0;
	d->running = d->ending = d->info_ok = false;
	free(d->tty);
	d->tty = NULL;
}

int doms_run_undone(struct doms *ds, struct dom *d, struct problem *p)
{
	int r = doms_begin(ds, p);

	if (r < 0)
		return r;
	r = db_run(ds->db,
		   "UPDATE domains SET domid = NULL, created_ns = NULL, started_at = NULL, "
		   "running = 0 WHERE uuid = ?",
		   "s", d->uuid);
	r = doms_finish(ds, r, p);
	if (r == 0)
		clear_run(ds, d);
	return r;
}

const char *const dom_end_names[DOM_ENDS] = { "poweroff", "reboot", "crash",
					      "watchdog", "killed", "destroyed" };

static void count_end(struct doms *ds, const char *reason)
{
	for (size_t i = 0; i < DOM_ENDS; i++)
		if (strcmp(dom_end_names[i], reason) == 0)
			ds->counter_ended[i]++;
}

int doms_run_kept(struct doms *ds, struct dom *d, const struct dom_end *end, struct problem *p)
{
	char extra[512];
	int r = doms_begin(ds, p);

	if (r < 0)
		return r;
	end_extra(end, extra, sizeof(extra));
	r = db_run(ds->db,
		   "UPDATE domains SET end_reason = ?, end_detail = ?, end_at = ? WHERE uuid = ?",
		   "ssis", end->reason, end->detail, end->at_ms, d->uuid);
	if (r == 0)
		doms_event(ds, dom_end_is_crash(end->reason) ? "domain.crashed" : "domain.shutdown",
			   d, extra);
	r = doms_finish(ds, r, p);
	if (r == 0) {
		d->end = *end;
		count_end(ds, end->reason);
	}
	return r;
}

/* The oldest remnants beyond the limit; inside a transaction. */
static int trim_remnants(struct doms *ds, const struct dom *but)
{
	struct dom *oldest = NULL;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < ds->n; i++) {
		struct dom *d = ds->v[i];

		if (!d->remnant || d == but)
			continue;
		n++;
		if (!oldest || d->end.at_ms < oldest->end.at_ms)
			oldest = d;
	}
	if (n < DOMS_REMNANTS_MAX)
		return 0;
	r = doms_delete_row(ds, oldest);
	if (r == 0)
		doms_forget(ds, oldest);
	return r;
}

int doms_run_over(struct doms *ds, struct dom *d, const struct dom_end *end, bool stay,
		  struct problem *p)
{
	bool crash = dom_end_is_crash(end->reason),
	     known = d->end.at_ms && d->end.at_ms == end->at_ms;
	bool drop = !stay && !d->persistent && !crash, remnant = !stay && !d->persistent && crash;
	char extra[512];
	int r = doms_begin(ds, p);

	if (r < 0)
		return r;
	end_extra(end, extra, sizeof(extra));
	r = db_run(ds->db,
		   "UPDATE domains SET domid = NULL, created_ns = NULL, started_at = NULL, "
		   "running = 0, end_reason = ?, end_detail = ?, end_at = ?, remnant = ? "
		   "WHERE uuid = ?",
		   "ssiis", end->reason, end->detail, end->at_ms, (int64_t)remnant, d->uuid);
	if (r == 0 && !known && crash)
		doms_event(ds, "domain.crashed", d, extra);
	if (r == 0)
		doms_event(ds, "domain.stopped", d, extra);
	if (r == 0 && drop)
		r = doms_delete_row(ds, d);
	if (r == 0 && remnant)
		r = trim_remnants(ds, d);
	r = doms_finish(ds, r, p);
	if (r < 0)
		return r;
	if (!known)
		count_end(ds, end->reason);
	clear_run(ds, d);
	d->end = *end;
	d->remnant = remnant;
	if (drop)
		doms_forget(ds, d);
	return 0;
}

int doms_retire(struct doms *ds, struct dom *d, const char *why, struct problem *p)
{
	struct dom_end end = d->end;
	size_t at = strlen(end.detail);
	int r;

	if (d->persistent || d->domid)
		return 0;
	snprintf(end.detail + at, sizeof(end.detail) - at, "%snot restarted: %s", at ? "; " : "",
		 why);
	r = doms_begin(ds, p);
	if (r < 0)
		return r;
	r = db_run(ds->db, "UPDATE domains SET end_detail = ?, remnant = 1 WHERE uuid = ?", "ss",
		   end.detail, d->uuid);
	if (r == 0)
		r = trim_remnants(ds, d);
	r = doms_finish(ds, r, p);
	if (r == 0) {
		d->end = end;
		d->remnant = true;
	}
	return r;
}

void doms_count_crashes(struct doms *ds, struct dom *d, unsigned n)
{
	d->quick_crashes = n;
	/* Unwritten, a restart of this process forgets it: a few more tries. */
	(void)db_run(ds->db, "UPDATE domains SET quick_crashes = ? WHERE uuid = ?", "is",
		     (int64_t)n, d->uuid);
}

int doms_split(struct doms *ds, struct dom *d, const char *new_uuid, const char *new_name,
	       struct problem *p)
{
	struct dom *kept = dom_new(new_uuid, new_name, d->config);
	uint16_t domid = d->domid;
	int r;

	if (!kept)
		return problem_errno(p, -ENOMEM, "domain");
	r = doms_begin(ds, p);
	if (r < 0) {
		dom_free(kept);
		return r;
	}
	r = db_run(
		ds->db,
		"INSERT INTO domains (uuid, name, config, persistent, revision, defined_at, domid, "
		"created_ns, started_at, running, target_kib, end_reason, end_detail, end_at) "
		"SELECT ?, ?, config, 0, 1, defined_at, domid, created_ns, started_at, running, "
		"target_kib, end_reason, end_detail, end_at FROM domains WHERE uuid = ?",
		"sss", new_uuid, new_name, d->uuid);
	if (r == 0)
		r = db_run(ds->db,
			   "UPDATE domains SET domid = NULL, created_ns = NULL, started_at = NULL, "
			   "running = 0 WHERE uuid = ?",
			   "s", d->uuid);
	if (r == 0)
		doms_event(ds, "domain.defined", kept, NULL);
	r = doms_finish(ds, r, p);
	if (r < 0) {
		dom_free(kept);
		return r;
	}
	kept->revision = 1;
	kept->defined_at = d->defined_at;
	kept->cfg_vcpus = d->cfg_vcpus;
	kept->cfg_maxvcpus = d->cfg_maxvcpus;
	kept->cfg_memory_mib = d->cfg_memory_mib;
	kept->cfg_maxmem_mib = d->cfg_maxmem_mib;
	kept->created_ns = d->created_ns;
	kept->started_at = d->started_at;
	kept->running = d->running;
	kept->target_kib = d->target_kib;
	kept->info = d->info;
	kept->info_ok = d->info_ok;
	kept->end = d->end;
	kept->ending = true;
	clear_run(ds, d);
	kept->domid = domid;
	if (doms_insert(ds, kept) < 0)
		dom_free(kept); /* the row is there: known again after a restart */
	return 0;
}

int doms_set_target(struct doms *ds, struct dom *d, uint64_t kib)
{
	int r = db_run(ds->db, "UPDATE domains SET target_kib = ? WHERE uuid = ?", "is",
		       (int64_t)kib, d->uuid);

	if (r == 0)
		d->target_kib = kib;
	return r;
}
