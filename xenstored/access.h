/* xenstored/access.h - the operations on nodes as a domain may do them: what is
 * permitted, what it costs, what others must be told.
 *
 * The same functions work on the committed version, on a transaction's own and
 * on the trial version of a commit; they neither commit nor send anything.
 */
#ifndef XENSTORED_ACCESS_H
#define XENSTORED_ACCESS_H

#include "xenstored/path.h"
#include "xenstored/perms.h"
#include "xenstored/quota.h"
#include "xenstored/store.h"

struct watches;

/* What happened to the tree, for the watches. */
struct change {
	char *path; /* owned, NUL-terminated */
	uint32_t len;
	bool exact; /* only watches on exactly this path: deep below an RM */
	bool gone;
	aref perms; /* a reference to what they were before; 0: it is new */
};
struct changes {
	struct change *c; /* owned */
	size_t n, cap;
};

/* Nodes and bytes per owner, not yet charged. */
struct ledger {
	struct ledger_line {
		uint16_t domid;
		int32_t nodes;
		int64_t bytes;
	} * l; /* owned */
	size_t n, cap;
};

struct access {
	const struct store *st;
	struct tree t;
	struct who who;
	struct quotas *q;
	struct ledger *led;
	struct changes *ch;	   /* NULL: nobody will be told */
	const struct watches *wat; /* to find watches below an RM; NULL like ch */
	/* Does this domain exist?  An entry for one that doesn't is void. */
	bool (*exists)(void *arg, uint16_t domid);
	void *exists_arg;
};

/* 0 and *ret (borrowed until the next edit) if who has all bits of need. */
int access_get(const struct access *x, const struct path *p, unsigned need, aref *ret);

/* type is XS_WRITE, XS_MKDIR, XS_RM or XS_SET_PERMS; data what follows the path.
 * 0 or a negative errno, and then nothing has changed. */
int access_apply(struct access *x, uint32_t type, const struct path *p, const void *data, size_t n);
/* Count the entries and check them; shared with the special nodes. */
int access_parse_perms(struct access *x, const void *data, size_t n, struct perm *ret, size_t max);

/* Charge what the ledger says, and empty it. */
void ledger_settle(struct ledger *l, struct quotas *q);
/* -ENOSPC if who's changes would exceed an unprivileged owner's quota. */
int ledger_check(const struct ledger *l, struct quotas *q, const struct who *w);
void ledger_clear(struct ledger *l);
void ledger_fini(struct ledger *l);

void changes_clear(struct changes *c, struct arena *a);
void changes_fini(struct changes *c, struct arena *a);

/* Take everything from a dead domain: its nodes with what is below them, and
 * its entries in permission lists. */
int access_purge(struct access *x, uint16_t domid);

/* What one node costs its owner. */
size_t access_node_bytes(const struct node *n);

#endif
