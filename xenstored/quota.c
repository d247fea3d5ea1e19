/* xenstored/quota.c - the counters; who is charged for what is decided where
 * the thing is made. */
#include "xenstored/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/sys.h"

#define LOG_WINDOW_S 60u
#define SOFT_MEMORY  2097152u

static const struct {
	const char *name;
	uint32_t def;
} kinds[Q_KINDS] = {
#define X(sym, name, def, help) [Q_##sym] = { name, def },
	QUOTAS(X)
#undef X
};

static const char *const refusal_names[REFUSED_KINDS - Q_KINDS] = { "permission", "write rate",
								    "events" };

const char *quota_name(enum quota_kind k)
{
	return kinds[k].name;
}

int quota_init(struct quotas *q)
{
	q->by_domid = sys_zalloc(65536 * sizeof(*q->by_domid));
	if (!q->by_domid)
		return -ENOMEM;
	for (unsigned k = 0; k < Q_KINDS; k++) {
		q->hard[k] = kinds[k].def;
		q->soft[k] = 0;
	}
	q->soft[Q_MEMORY] = SOFT_MEMORY;
	return 0;
}

void quota_fini(struct quotas *q)
{
	for (unsigned i = 0; q->by_domid && i < 65536; i++)
		free(q->by_domid[i]);
	free(q->by_domid);
	q->by_domid = NULL;
}

int quota_parse(const char *name, enum quota_kind *ret_kind, bool *ret_soft)
{
	bool soft = strncmp(name, "soft-", 5) == 0;

	for (unsigned k = 0; k < Q_KINDS; k++)
		if (strcmp(kinds[k].name, name + (soft ? 5 : 0)) == 0) {
			*ret_kind = k;
			*ret_soft = soft;
			return 0;
		}
	return -EINVAL;
}

struct usage *quota_usage(struct quotas *q, uint16_t domid)
{
	struct usage *u = q->by_domid[domid];

	if (u)
		return u;
	u = sys_zalloc(sizeof(*u));
	if (!u)
		return NULL;
	u->domid = domid;
	for (unsigned k = 0; k < Q_KINDS; k++)
		u->hard[k] = u->soft[k] = QUOTA_INHERIT;
	q->by_domid[domid] = u;
	return u;
}

void quota_forget(struct quotas *q, uint16_t domid)
{
	struct usage *u = q->by_domid[domid];

	if (!u)
		return;
	for (unsigned k = 0; k < Q_KINDS; k++) {
		u->hard[k] = u->soft[k] = QUOTA_INHERIT;
		u->peak[k] = u->used[k];
	}
	memset(u->refused, 0, sizeof(u->refused));
	memset(u->window, 0, sizeof(u->window));
	u->soft_window = (struct log_window){ 0 };
}

uint32_t quota_limit(const struct quotas *q, uint16_t domid, enum quota_kind k, bool soft)
{
	const struct usage *u = q->by_domid[domid];
	uint32_t own = !u ? QUOTA_INHERIT : soft ? u->soft[k] : u->hard[k];

	return own != QUOTA_INHERIT ? own : soft ? q->soft[k] : q->hard[k];
}

void quota_refused(struct quotas *q, uint16_t domid, unsigned kind, const char *what)
{
	struct usage *u = quota_usage(q, domid);
	uint32_t more = 0;

	if (!u)
		return;
	u->refused[kind]++;
	if (!log_window_open(&u->window[kind], LOG_WINDOW_S, &more))
		return;
	(void)log_warn(0, "domain %u: refused, %s%s%s%s (%u more since the last line)", domid,
		       kind < Q_KINDS ? "quota " : "",
		       kind < Q_KINDS ? kinds[kind].name : refusal_names[kind - Q_KINDS],
		       what ? ": " : "", what ? what : "", more);
}

bool quota_allows_owner(struct quotas *q, const struct who *w, uint16_t owner, enum quota_kind k,
			uint64_t value)
{
	uint32_t limit;

	if (w->privileged)
		return true;
	limit = quota_limit(q, owner, k, false);
	if (!limit || value <= limit)
		return true;
	quota_refused(q, owner, k, NULL);
	return false;
}

bool quota_allows(struct quotas *q, const struct who *w, enum quota_kind k, uint64_t value)
{
	return quota_allows_owner(q, w, w->domid, k, value);
}

void quota_charge(struct quotas *q, uint16_t domid, enum quota_kind k, int64_t by)
{
	struct usage *u = quota_usage(q, domid);
	uint32_t soft;

	if (!u)
		return;
	u->used[k] = (uint32_t)((int64_t)u->used[k] + by);
	if (k == Q_MEMORY)
		q->bytes = (uint64_t)((int64_t)q->bytes + by);
	if (u->used[k] > u->peak[k])
		u->peak[k] = u->used[k];
	soft = by > 0 ? quota_limit(q, domid, k, true) : 0;
	if (soft && domid != 0 && u->used[k] > soft &&
	    log_window_open(&u->soft_window, LOG_WINDOW_S, NULL))
		(void)log_warn(0, "domain %u: over its soft quota %s (%u of %u)", domid,
			       kinds[k].name, u->used[k], soft);
}
