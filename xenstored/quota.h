/* xenstored/quota.h - what each domain uses, may use, and was refused.
 *
 * A limit of N allows N; 0 is unlimited.  Domain 0 and other privileged callers
 * are counted but never refused.  Each refusal is counted, and logged once per
 * domain, kind and window.
 */
#ifndef XENSTORED_QUOTA_H
#define XENSTORED_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "daemons/log.h"
#include "xenstored/perms.h"

/* X(symbol, name on the wire, default, help) */
#define QUOTAS(X)                                                                      \
	X(NODES, "nodes", 1000, "nodes a domain owns")                                 \
	X(WATCHES, "watches", 128, "watches of a connection's domain")                 \
	X(TRANSACTIONS, "transactions", 10, "open transactions")                       \
	X(OUTSTANDING, "outstanding", 20, "requests whose replies wait for the guest") \
	X(MEMORY, "memory", 2621440, "bytes held for a domain")                        \
	X(TXN_NODES, "transaction-nodes", 1024, "nodes one transaction touches")       \
	X(NODE_PERMS, "node-permissions", 5, "entries in a node's permission list")    \
	X(PATH_MAX, "path-max", 2048, "bytes in a path below /local/domain/N/")        \
	X(NODE_SIZE, "node-size", 2048, "bytes in a node: header, permissions, value, names")

enum quota_kind {
#define X(sym, name, def, help) Q_##sym,
	QUOTAS(X)
#undef X
		Q_KINDS,
	REFUSED_ACCESS = Q_KINDS, /* refusals that are no quota */
	REFUSED_RATE,
	REFUSED_EVENTS,
	REFUSED_KINDS
};

#define QUOTA_INHERIT UINT32_MAX

struct usage {
	uint16_t domid;
	uint32_t used[Q_KINDS], peak[Q_KINDS];
	uint32_t hard[Q_KINDS], soft[Q_KINDS]; /* QUOTA_INHERIT: the global one */
	uint64_t refused[REFUSED_KINDS];
	struct log_window window[REFUSED_KINDS], soft_window;
};

struct quotas {
	uint32_t hard[Q_KINDS], soft[Q_KINDS];
	uint64_t bytes;		 /* charged as memory, of all domains together */
	struct usage **by_domid; /* owned; 65536 of them, mostly NULL */
};

int quota_init(struct quotas *q);
void quota_fini(struct quotas *q);
const char *quota_name(enum quota_kind k);
/* By wire name, which may start with "soft-".  -EINVAL. */
int quota_parse(const char *name, enum quota_kind *ret_kind, bool *ret_soft);

/* Made at first use; NULL: no memory. */
struct usage *quota_usage(struct quotas *q, uint16_t domid);
/* Forget a dead domain's own limits and counters, not what it still uses. */
void quota_forget(struct quotas *q, uint16_t domid);
uint32_t quota_limit(const struct quotas *q, uint16_t domid, enum quota_kind k, bool soft);

/* May w have value of k?  Counts and logs a refusal. */
bool quota_allows(struct quotas *q, const struct who *w, enum quota_kind k, uint64_t value);
/* quota_allows() for one that is charged to another than who asks. */
bool quota_allows_owner(struct quotas *q, const struct who *w, uint16_t owner, enum quota_kind k,
			uint64_t value);
void quota_refused(struct quotas *q, uint16_t domid, unsigned kind, const char *what);
/* Charge (or, negative, release). */
void quota_charge(struct quotas *q, uint16_t domid, enum quota_kind k, int64_t by);

#endif
