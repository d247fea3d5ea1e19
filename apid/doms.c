/* apid/doms.c - the registry: database first, memory second. */
#include "apid/doms_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/json.h"
#include "apid/macs.h"
#include "daemons/sys.h"

static int at_uuid(const struct doms *ds, const char *uuid, size_t *ret)
{
	size_t lo = 0, hi = ds->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(ds->v[mid]->uuid, uuid);

		if (c == 0) {
			*ret = mid;
			return 0;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = lo;
	return -ENOENT;
}

struct dom *dom_free(struct dom *d)
{
	if (!d)
		return NULL;
	free(d->name);
	free(d->config);
	free(d->tty);
	free(d);
	return NULL;
}

int doms_insert(struct doms *ds, struct dom *d)
{
	size_t at;

	if (at_uuid(ds, d->uuid, &at) == 0)
		return -EEXIST;
	if (ds->n == ds->cap) {
		size_t cap = ds->cap ? ds->cap * 2 : 64;
		struct dom **v = sys_realloc(ds->v, cap * sizeof(struct dom *));

		if (!v)
			return -ENOMEM;
		ds->v = v;
		ds->cap = cap;
	}
	memmove(&ds->v[at + 1], &ds->v[at], (ds->n - at) * sizeof(struct dom *));
	ds->v[at] = d;
	ds->n++;
	if (d->domid)
		ds->by_domid[d->domid] = d;
	return 0;
}

void doms_forget(struct doms *ds, struct dom *d)
{
	size_t at;

	if (at_uuid(ds, d->uuid, &at) == 0) {
		ds->n--;
		memmove(&ds->v[at], &ds->v[at + 1], (ds->n - at) * sizeof(struct dom *));
	}
	if (d->domid && ds->by_domid[d->domid] == d)
		ds->by_domid[d->domid] = NULL;
	dom_free(d);
}

static void apply_cfg(struct dom *d, const struct guestcfg *g)
{
	d->autostart = g->autostart;
	d->cfg_vcpus = g->vcpus;
	d->cfg_maxvcpus = g->maxvcpus;
	d->cfg_memory_mib = g->memory_mib;
	d->cfg_maxmem_mib = g->maxmem_mib;
}

struct dom *dom_new(const char *uuid, const char *name, const char *config)
{
	struct dom *d = sys_zalloc(sizeof(*d));

	if (!d)
		return NULL;
	snprintf(d->uuid, sizeof(d->uuid), "%s", uuid);
	d->name = strdup(name);
	d->config = strdup(config);
	return d->name && d->config ? d : dom_free(d);
}

static int parse_config(const char *config, struct guestcfg *ret)
{
	struct problem p;
	json_object *o = NULL;
	char err[64];
	int r = json_parse(config, strlen(config), &o, err, sizeof(err));

	if (r == 0)
		r = guestcfg_parse(o, ret, &p);
	json_object_put(o);
	return r;
}

static int load_row(sqlite3_stmt *row, void *arg)
{
	struct doms *ds = arg;
	struct dom *d = dom_new(db_text(row, 0), db_text(row, 1), db_text(row, 2));
	struct guestcfg g;

	if (!d || parse_config(d->config, &g) < 0) {
		dom_free(d);
		return 0;
	}
	apply_cfg(d, &g);
	guestcfg_fini(&g);
	d->persistent = db_int(row, 3);
	d->revision = db_int(row, 4);
	d->defined_at = db_int(row, 5);
	d->domid = (uint16_t)db_int(row, 6);
	d->created_ns = (uint64_t)db_int(row, 7);
	d->started_at = db_int(row, 8);
	d->running = db_int(row, 9);
	d->target_kib = (uint64_t)db_int(row, 10);
	if (db_text(row, 11))
		snprintf(d->end.reason, sizeof(d->end.reason), "%s", db_text(row, 11));
	if (db_text(row, 12))
		snprintf(d->end.detail, sizeof(d->end.detail), "%s", db_text(row, 12));
	d->end.at_ms = db_int(row, 13);
	d->remnant = db_int(row, 14);
	d->quick_crashes = (unsigned)db_int(row, 15);
	if (d->domid >= HVC_DOMID_FIRST_RESERVED)
		d->domid = 0;
	if (doms_insert(ds, d) < 0)
		dom_free(d);
	return 0;
}

int doms_new(struct db *db, struct events *ev, struct doms **ret)
{
	struct doms *ds = sys_zalloc(sizeof(*ds));
	int r;

	if (!ds)
		return -ENOMEM;
	ds->db = db;
	ds->ev = ev;
	pthread_mutex_init(&ds->lock, NULL);
	r = db_query(
		db,
		"SELECT uuid, name, config, persistent, revision, defined_at, domid, created_ns, "
		"started_at, running, target_kib, end_reason, end_detail, end_at, remnant, "
		"quick_crashes "
		"FROM domains",
		load_row, ds, "");
	if (r < 0) {
		doms_free(ds);
		return r;
	}
	*ret = ds;
	return 0;
}

struct doms *doms_free(struct doms *ds)
{
	if (!ds)
		return NULL;
	while (ds->n)
		dom_free(ds->v[--ds->n]);
	free(ds->v);
	pthread_mutex_destroy(&ds->lock);
	free(ds);
	return NULL;
}

void doms_lock(struct doms *ds)
{
	pthread_mutex_lock(&ds->lock);
}

void doms_unlock(struct doms *ds)
{
	pthread_mutex_unlock(&ds->lock);
}

struct dom *doms_by_uuid(struct doms *ds, const char *uuid)
{
	char low[UUID_LEN + 1];
	size_t at;

	snprintf(low, sizeof(low), "%s", uuid);
	uuid_lower(low);
	return at_uuid(ds, low, &at) == 0 ? ds->v[at] : NULL;
}

struct dom *doms_by_name(struct doms *ds, const char *name)
{
	for (size_t i = 0; i < ds->n; i++)
		if (strcmp(ds->v[i]->name, name) == 0)
			return ds->v[i];
	return NULL;
}

struct dom *doms_find(struct doms *ds, const char *id, struct problem *p)
{
	struct dom *d = NULL;
	char *end;

	if (uuid_valid(id)) {
		d = doms_by_uuid(ds, id);
	} else if (id[0] >= '0' && id[0] <= '9') {
		unsigned long n = strtoul(id, &end, 10);

		if (!*end && n < HVC_DOMID_FIRST_RESERVED)
			d = ds->by_domid[n];
	}
	if (!d)
		d = doms_by_name(ds, id);
	if (!d)
		problem_set(p, PROB_NOT_FOUND, "there is no domain '%.80s'", id);
	return d;
}

void doms_event(struct doms *ds, const char *type, const struct dom *d, const char *extra)
{
	struct jbuf b = { 0 };

	jb_obj(&b);
	jb_kstr(&b, "name", d->name);
	if (d->domid)
		jb_kint(&b, "domid", d->domid);
	if (extra && *extra) {
		jb_put(&b, ",", 1);
		jb_puts(&b, extra);
	}
	jb_obj_end(&b);
	/* A lost event is told by the caller's transaction failing as a whole. */
	(void)events_add(ds->ev, type, d->uuid, b.oom ? "{}" : b.p);
	jb_fini(&b);
}

/* Ends the transaction that do_it ran in; *p on failure. */
int doms_finish(struct doms *ds, int r, struct problem *p)
{
	if (r == 0)
		r = db_commit(ds->db);
	else
		db_rollback(ds->db);
	if (r == -EADDRINUSE)
		return r; /* somebody's MAC address: *p names whose */
	if (r < 0)
		(void)problem_errno(p, r, "state database");
	else
		events_kick(ds->ev);
	return r;
}

int doms_begin(struct doms *ds, struct problem *p)
{
	int r = db_begin(ds->db);

	if (r < 0)
		(void)problem_errno(p, r, "state database");
	return r;
}

int doms_delete_row(struct doms *ds, const struct dom *d)
{
	int r = db_run(ds->db, "DELETE FROM domains WHERE uuid = ?", "s", d->uuid);

	/* Its report in XenStore is removed by leftovers_retry(). */
	if (r == 0 && dom_end_is_crash(d->end.reason))
		r = db_run(ds->db,
			   "INSERT OR REPLACE INTO meta (key, value) VALUES ('report-' || ?1, ?1)",
			   "s", d->uuid);
	if (r == 0)
		doms_event(ds, "domain.undefined", d, NULL);
	return r;
}

static int check_free(struct doms *ds, const struct guestcfg *g, const struct dom *self,
		      struct dom *ret_remnants[2], struct problem *p)
{
	struct dom *same[2] = { doms_by_name(ds, g->name), doms_by_uuid(ds, g->uuid) };

	for (int i = 0; i < 2; i++) {
		ret_remnants[i] = NULL;
		if (!same[i] || same[i] == self)
			continue;
		if (same[i]->remnant) {
			ret_remnants[i] = i && same[1] == ret_remnants[0] ? NULL : same[i];
			continue;
		}
		if (i == 0)
			(void)problem_set(
				p, PROB_NAME_TAKEN,
				"there is a domain named '%s' already (%s); choose another "
				"name, or delete that one first",
				g->name, same[i]->uuid);
		else
			(void)problem_set(p, PROB_UUID_TAKEN, "domain '%s' has the UUID %s already",
					  same[i]->name, g->uuid);
		snprintf(p->pointer, sizeof(p->pointer), i ? "/uuid" : "/name");
		return -EEXIST;
	}
	return 0;
}

int doms_define(struct doms *ds, const struct guestcfg *g, const char *config, bool persistent,
		struct dom **ret, struct problem *p)
{
	struct dom *old[2], *d;
	int r = check_free(ds, g, NULL, old, p);

	if (r < 0)
		return r;
	if (ds->n >= DOMS_MAX)
		return problem_set(p, PROB_TOO_MANY_REQUESTS, "there are %d domains; no more fit",
				   DOMS_MAX);
	d = dom_new(g->uuid, g->name, config);
	if (!d)
		return problem_errno(p, -ENOMEM, "domain");
	d->persistent = persistent;
	d->revision = 1;
	d->defined_at = now_ms();
	apply_cfg(d, g);
	r = doms_begin(ds, p);
	if (r < 0) {
		dom_free(d);
		return r;
	}
	for (int i = 0; i < 2 && r == 0; i++)
		if (old[i])
			r = doms_delete_row(ds, old[i]);
	if (r == 0)
		r = db_run(ds->db,
			   "INSERT INTO domains (uuid, name, config, persistent, revision, "
			   "defined_at) "
			   "VALUES (?, ?, ?, ?, ?, ?)",
			   "sssiii", d->uuid, d->name, d->config, (int64_t)persistent, d->revision,
			   d->defined_at);
	if (r == 0)
		r = macs_claim(ds->db, d->uuid, g, p);
	if (r == 0) /* a report under this UUID is this domain's own from now on */
		r = db_run(ds->db, "DELETE FROM meta WHERE key = 'report-' || ?", "s", d->uuid);
	if (r == 0)
		doms_event(ds, "domain.defined", d, NULL);
	r = doms_finish(ds, r, p);
	if (r < 0) {
		dom_free(d);
		return r;
	}
	for (int i = 0; i < 2; i++)
		if (old[i])
			doms_forget(ds, old[i]);
	r = doms_insert(ds, d);
	if (r < 0) {
		(void)db_run(ds->db, "DELETE FROM domains WHERE uuid = ?", "s", d->uuid);
		dom_free(d);
		return problem_errno(p, r, "domain");
	}
	*ret = d;
	return 0;
}

int doms_undefine(struct doms *ds, struct dom *d, struct problem *p)
{
	int r = doms_begin(ds, p);

	if (r < 0)
		return r;
	r = doms_finish(ds, doms_delete_row(ds, d), p);
	if (r == 0)
		doms_forget(ds, d);
	return r;
}

int doms_redefine(struct doms *ds, struct dom *d, const struct guestcfg *g, const char *config,
		  struct problem *p)
{
	struct dom *old[2];
	char *name, *text;
	int r = check_free(ds, g, d, old, p);

	if (r < 0)
		return r;
	name = strdup(g->name);
	text = strdup(config);
	r = name && text ? doms_begin(ds, p) : problem_errno(p, -ENOMEM, "domain");
	if (r < 0)
		goto out;
	if (old[0])
		r = doms_delete_row(ds, old[0]);
	if (r == 0)
		r = db_run(ds->db,
			   "UPDATE domains SET name = ?, config = ?, revision = revision + 1 "
			   "WHERE uuid = ?",
			   "sss", g->name, config, d->uuid);
	if (r == 0)
		r = macs_claim(ds->db, d->uuid, g, p);
	if (r == 0)
		doms_event(ds, "domain.updated", d, NULL);
	r = doms_finish(ds, r, p);
	if (r < 0)
		goto out;
	if (old[0])
		doms_forget(ds, old[0]);
	free(d->name);
	free(d->config);
	d->name = name;
	d->config = text;
	name = text = NULL;
	d->revision++;
	apply_cfg(d, g);
out:
	free(name);
	free(text);
	return r;
}

int doms_claim(struct doms *ds, const struct dom *d, const struct guestcfg *g, struct problem *p)
{
	int r = doms_begin(ds, p);

	return r < 0 ? r : doms_finish(ds, macs_claim(ds->db, d->uuid, g, p), p);
}
