/* apid/watch.h - the thread that looks at the hypervisor.
 *
 * Events are only hints to look: every look compares the whole list with the
 * registry, so a lost event, a restart of hvd or one of ours changes nothing.
 */
#ifndef APID_WATCH_H
#define APID_WATCH_H

#include "apid/apid.h"

struct watch;

/* Starts the thread.  The first successful look also recovers what an earlier
 * process left behind and then lets the tasks run. */
int watch_start(struct apid *a, struct watch **ret);
struct watch *watch_stop(struct watch *w);

#endif
