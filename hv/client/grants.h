/* hv/client/grants.h - a guest's RAM and its grant table, mapped once.
 * Private to hv/client. */
#ifndef HV_CLIENT_GRANTS_H
#define HV_CLIENT_GRANTS_H

#include "hv/client/hvc.h"

/* The descriptors are borrowed during the call.  -EINVAL: a memfd is smaller
 * than the numbers say. */
int grants_open(int ram_fd, uint64_t ram_pages, int gnttab_fd, uint32_t frames,
		struct hvc_guest **ret);

#endif
