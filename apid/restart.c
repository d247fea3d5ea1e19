/* apid/restart.c - whether a guest that ended is started again, and when.
 *
 * A guest that crashes within QUICK_CRASH_MS of its start crashes again, as a
 * rule.  It is started again after a pause that doubles each time, and after
 * RESTARTS_MAX such crashes in a row it is left alone and says so.  A run that
 * lasts longer, or a start that somebody asks for, makes it forget.
 */
#include <stdio.h>
#include <string.h>

#include "apid/actions_int.h"
#include "apid/json.h"
#include "daemons/log.h"

#define QUICK_CRASH_MS 60000
#define RESTARTS_MAX   5u

bool restart_wanted(enum end_action act)
{
	return act == END_RESTART || act == END_RENAME_RESTART || act == END_COREDUMP_RESTART;
}

static enum end_action without_restart(enum end_action act)
{
	return act == END_COREDUMP_RESTART ? END_COREDUMP_DESTROY : END_DESTROY;
}

/* Counts this crash; how many quick ones there are in a row now. */
static unsigned count_crash(struct worker *w, const char *uuid, bool quick)
{
	struct dom *d;
	unsigned n = 0;

	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, uuid);
	if (d) {
		n = quick ? d->quick_crashes + 1 : 0;
		doms_count_crashes(w->a->doms, d, n);
	}
	doms_unlock(w->a->doms);
	return n;
}

enum end_action restart_decide(struct worker *w, struct task *t, const struct run *run,
			       enum end_action act, struct dom_end *end, uint64_t *ret_pause_ms)
{
	bool quick = end->at_ms - run->started_at < QUICK_CRASH_MS;
	size_t at = strlen(end->detail);
	unsigned n;

	*ret_pause_ms = 0;
	if (!restart_wanted(act) || !dom_end_is_crash(end->reason))
		return act;
	n = count_crash(w, t->uuid, quick);
	if (n == 0)
		return act;
	if (n > RESTARTS_MAX) {
		snprintf(end->detail + at, sizeof(end->detail) - at,
			 "%snot restarted: %u crashes in a row, each within %d s of a start",
			 at ? "; " : "", n, QUICK_CRASH_MS / 1000);
		log_warn(0,
			 "'%s' is not restarted: it crashed %u times, each within %d s of a "
			 "start",
			 t->name, n, QUICK_CRASH_MS / 1000);
		return without_restart(act);
	}
	*ret_pause_ms = w->a->restart_pause_ms << (n - 1);
	log_info("'%s' crashed within %d s of its start: restarted in %.1f s (%u of %u)", t->name,
		 QUICK_CRASH_MS / 1000, (double)*ret_pause_ms / 1000, n, RESTARTS_MAX);
	return act;
}

bool restart_pending(struct task *t, void *arg)
{
	(void)arg;
	return strcmp(t->type->name, "domain.end") == 0;
}

void restart_failed(struct worker *w, struct task *t)
{
	struct problem ignored;
	struct dom *d;

	doms_lock(w->a->doms);
	d = doms_by_uuid(w->a->doms, t->uuid);
	/* On failure it is swept when apid starts the next time. */
	if (d && !d->domid)
		(void)doms_retire(w->a->doms, d, t->prob.detail, &ignored);
	doms_unlock(w->a->doms);
}
