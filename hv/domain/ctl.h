/* hv/domain/ctl.h - the control thread of a domain process: answers hvd, tells
 * it of shutdowns and log lines, and keeps what a restarted hvd needs back.
 *
 * Runs inside the jail.  Speaks to one hvd at a time: a new connection on the
 * listening socket replaces the old one.
 */
#ifndef HV_DOMAIN_CTL_H
#define HV_DOMAIN_CTL_H

#include "hv/domain/domain.h"

struct ctl;

struct ctl_fds {
	int conn, listener;		   /* consumed by ctl_new on success */
	int ram_fd, special_fd, gnttab_fd; /* borrowed for the process's life */
};

int ctl_new(uint16_t domid, const struct ctl_fds *fds, struct ctl **ret);

/* The callbacks for domain_new(); valid as long as c. */
const struct domain_events *ctl_events(struct ctl *c);

/* One line to hvd's log from this thread or any other; never blocks. */
void ctl_log(struct ctl *c, const char *line);

/* Serves for ever.  d is borrowed.  Returns a negative errno if waiting fails. */
int ctl_run(struct ctl *c, struct domain *d);

#endif
