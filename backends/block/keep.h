/* backends/block/keep.h - grants of requests: mapped for one request, or kept mapped
 * for the next one that names them (feature-persistent).
 *
 * What is kept is bounded; the longest unused goes first, and what nobody used
 * for a minute is let go.  The list of what is kept is in the ring's journal, so
 * that a successor lets it go in its turn.  One thread.
 */
#ifndef BACKENDS_BLOCK_KEEP_H
#define BACKENDS_BLOCK_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/block/journal.h"
#include "hv/client/hvc.h"

#define KEEP_MAX     JOURNAL_KEPT
#define KEEP_IDLE_NS 60000000000ull

struct keep;

/* A grant in use. */
struct hold {
	void *page; /* 4096 bytes */
	uint32_t gref;
	uint16_t kept; /* 0: mapped for this request only */
	bool write;
};

/* persistent: the guest said it reuses its grants.  kept may be NULL (nothing
 * outlives us); else adopt: map what a predecessor kept.  guest and kept are
 * borrowed. */
struct keep_conf {
	struct hvc_guest *guest;
	uint32_t *kept;
	bool persistent, adopt;
};
int keep_new(const struct keep_conf *c, uint64_t now_ns, struct keep **ret);
/* Lets go of everything; leave: only forgets, for a successor to adopt. */
struct keep *keep_free(struct keep *k, bool leave);

/* Errors are hvc_grant_map's. */
int keep_map(struct keep *k, uint32_t gref, bool write, uint64_t now_ns, struct hold *ret);
void keep_unmap(struct keep *k, const struct hold *h);

/* Let go of what is idle.  When to be called next; UINT64_MAX: nothing is kept. */
uint64_t keep_idle(struct keep *k, uint64_t now_ns);
unsigned keep_count(const struct keep *k);

#endif
