/* apid/actions_int.h - shared by start.c, ending.c and actions.c. */
#ifndef APID_ACTIONS_INT_H
#define APID_ACTIONS_INT_H

#include "apid/actions.h"

/* A copy of what a step needs, taken under the registry's lock. */
struct run {
	uint16_t domid;
	uint64_t created_ns;
	int64_t started_at;
	bool running, persistent;
	struct dom_end end;
};

int act_run(struct apid *a, const char *uuid, struct run *ret, struct problem *p);
int act_cfg(struct apid *a, const char *uuid, struct guestcfg *ret, struct problem *p);

/* From nothing to a running guest; on failure nothing is left. */
int act_start(struct worker *w, struct task *t, bool paused, bool restarted);
/* What an earlier process had begun: finish it, or clear it away and start. */
int act_resume_start(struct worker *w, struct task *t, bool paused, bool restarted);
/* Ends the guest, removes its nodes and its run. */
int act_clear(struct worker *w, struct task *t, const struct run *run, const struct dom_end *end,
	      bool restart);

/* What the configured action becomes for a guest that keeps crashing, and how
 * long to wait before it is started again. end's detail tells of it. */
enum end_action restart_decide(struct worker *w, struct task *t, const struct run *run,
			       enum end_action act, struct dom_end *end, uint64_t *ret_pause_ms);
bool restart_wanted(enum end_action act);
/* For tasks_settle: the parked end of a guest that waits to be started again. */
bool restart_pending(struct task *t, void *arg);
/* t->prob says why; a transient domain becomes a remnant. */
void restart_failed(struct worker *w, struct task *t);

int run_create(struct task *t, struct worker *w, enum task_wake why);
int run_start(struct task *t, struct worker *w, enum task_wake why);
int run_end(struct task *t, struct worker *w, enum task_wake why);
int run_attach(struct task *t, struct worker *w, enum task_wake why); /* hotplug.c */
int run_detach(struct task *t, struct worker *w, enum task_wake why);
int run_destroy(struct task *t, struct worker *w, enum task_wake why);

#endif
