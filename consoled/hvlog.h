/* consoled/hvlog.h - the hypervisor's own messages into hypervisor.log. */
#ifndef CONSOLED_HVLOG_H
#define CONSOLED_HVLOG_H

struct conset;
struct hvc;
struct hvlog;
struct logdir;

/* logs: not cs->logs, which is NULL when only guests are not logged. */
int hvlog_new(struct conset *cs, struct logdir *logs, struct hvc *h, struct hvlog **ret);
/* Something happened there: look now rather than at the next second. */
void hvlog_poke(struct hvlog *l);
struct hvlog *hvlog_free(struct hvlog *l); /* the spool is kept; NULL ok */

#endif
