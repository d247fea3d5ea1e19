/* apid/actions.h - the kinds of tasks and what each does to a guest. */
#ifndef APID_ACTIONS_H
#define APID_ACTIONS_H

#include "apid/apid.h"

extern const struct task_type task_types[];
extern const size_t task_types_n;

/* Queue the handling of a guest's end, once per run.  doms lock held. */
int action_end(struct apid *a, struct dom *d);

/* Nodes that could not be removed because XenStore was away are remembered and
 * removed later by the watcher. */
void leftovers_add(struct apid *a, uint16_t domid, const char *uuid, bool crashed);
void leftovers_retry(struct worker *w);

/* Refresh what is known of one guest (after a pause, before the reply). */
void dom_refresh(struct worker *w, const char *uuid);

#endif
