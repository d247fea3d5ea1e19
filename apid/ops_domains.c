/* apid/ops_domains.c - the handlers of domains: reading, defining, actions. */
#include "apid/ops_int.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/actions.h"
#include "apid/json.h"
#include "proto/hv_layout.h"
#include "apid/macs.h"

#define DEFINE_WAIT_S 30.0

/* ---- domains: reading ---- */

static void put_domain(struct call *c, const struct dom *d, uint32_t fields)
{
	struct jbuf ids = { 0 };

	if (fields & 1u << DF_tasks)
		tasks_open_ids(c->a->tasks, d->uuid, &ids);
	dom_json(&c->out, d, fields, ids.n ? ids.p : NULL);
	jb_fini(&ids);
}

int op_get_domain(struct call *c)
{
	struct dom *d;

	doms_lock(c->a->doms);
	d = doms_find(c->a->doms, call_param(c, "id"), &c->prob);
	if (d) {
		put_domain(c, d, DF_ALL);
		snprintf(c->etag, sizeof(c->etag), "\"%lld\"", (long long)d->revision);
	}
	doms_unlock(c->a->doms);
	return 0;
}

static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (; *list; list += strcspn(list, ","), list += *list == ',')
		if (strncmp(list, word, n) == 0 && (list[n] == ',' || !list[n]))
			return true;
	return false;
}

int op_list_domains(struct call *c)
{
	const char *name = call_param(c, "name"), *state = call_param(c, "state"),
		   *cursor = call_param(c, "cursor");
	const char *fields = call_param(c, "fields"), *last = NULL;
	int64_t limit = json_int(c->params, "limit", 1000), n = 0;
	struct doms *ds = c->a->doms;
	uint32_t mask = DF_ALL;
	bool more = false;

	if (fields && dom_fields_parse(fields, &mask, &c->prob) < 0)
		return 0;
	if (cursor && !uuid_valid(cursor)) {
		(void)problem_set(&c->prob, PROB_BAD_REQUEST, "this is no cursor of ours");
		return 0;
	}
	jb_obj(&c->out);
	jb_key(&c->out, "domains");
	jb_arr(&c->out);
	doms_lock(ds);
	for (size_t i = 0; i < ds->n && !more; i++) {
		const struct dom *d = ds->v[i];

		if ((cursor && strcmp(d->uuid, cursor) <= 0) ||
		    (name && fnmatch(name, d->name, 0) != 0) ||
		    (state && !list_has(state, dom_state(d))))
			continue;
		more = n == limit;
		if (!more) {
			put_domain(c, d, mask);
			last = d->uuid;
			n++;
		}
	}
	jb_arr_end(&c->out);
	jb_kstr(&c->out, "next_cursor", more ? last : NULL);
	doms_unlock(ds);
	jb_obj_end(&c->out);
	return 0;
}

/* Slow: the guest's own process is asked. */
int op_list_vcpus(struct call *c)
{
	uint64_t ns[DOMAIN_MAX_VCPUS];
	struct dom *d;
	uint16_t domid = 0;
	int n = 0;

	doms_lock(c->a->doms);
	d = doms_find(c->a->doms, call_param(c, "id"), &c->prob);
	if (d)
		domid = d->domid;
	doms_unlock(c->a->doms);
	if (!d)
		return 0;
	if (domid)
		n = hvc_vcpu_times(c->w->ts.h, domid, ns, DOMAIN_MAX_VCPUS);
	if (n < 0 && n != -ESRCH) { /* it ended just now: it has none */
		(void)problem_errno(&c->prob, n, "vCPU times");
		return 0;
	}
	jb_obj(&c->out);
	jb_key(&c->out, "vcpus");
	jb_arr(&c->out);
	for (int i = 0; i < n; i++) {
		jb_obj(&c->out);
		jb_kint(&c->out, "id", i);
		jb_key(&c->out, "cpu_seconds");
		jb_num(&c->out, (double)ns[i] / 1e9);
		jb_obj_end(&c->out);
	}
	jb_arr_end(&c->out);
	jb_obj_end(&c->out);
	return 0;
}

/* ---- domains: defining ---- */

/* The config with a UUID in lower case, as text.  *ret_text is owned. */
static int config_text(struct apid *a, json_object *cfg, struct guestcfg *g, char **ret_text,
		       struct problem *p)
{
	char uuid[UUID_LEN + 1];
	int r;

	if (json_get(cfg, "uuid")) {
		snprintf(uuid, sizeof(uuid), "%s", json_str(cfg, "uuid", ""));
		uuid_lower(uuid);
	} else {
		uuid_new(uuid);
	}
	if (json_object_object_add(cfg, "uuid", json_object_new_string(uuid)) < 0)
		return problem_errno(p, -ENOMEM, "domain");
	r = macs_complete(a->db, cfg, p);
	if (r == 0)
		r = guestcfg_parse(cfg, g, p);
	if (r < 0)
		return r;
	*ret_text = strdup(json_object_to_json_string_ext(
		cfg, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	if (*ret_text)
		return 0;
	guestcfg_fini(g);
	return problem_errno(p, -ENOMEM, "domain");
}

static void answer_domain(struct call *c, const char *uuid)
{
	struct dom *d;

	doms_lock(c->a->doms);
	d = doms_by_uuid(c->a->doms, uuid);
	if (d) {
		put_domain(c, d, DF_ALL);
		snprintf(c->etag, sizeof(c->etag), "\"%lld\"", (long long)d->revision);
	} else {
		(void)problem_set(&c->prob, PROB_NOT_FOUND, "the domain ended and is forgotten");
	}
	doms_unlock(c->a->doms);
}

static void answer_task(struct call *c, int status)
{
	c->status = status;
	snprintf(c->location, sizeof(c->location), "/v1/tasks/%s", c->task);
	if (tasks_json(c->a->tasks, c->task, &c->out) < 0)
		(void)problem_set(&c->prob, PROB_NOT_FOUND, "there is no task '%s'", c->task);
}

/* When the wait is over: the task's problem, 202, or 200. */
static void after_action(struct call *c)
{
	struct problem p;

	if (!tasks_outcome(c->a->tasks, c->task, &p))
		answer_task(c, 202);
	else if (p.code != PROB_NONE)
		c->prob = p;
	else
		answer_task(c, 200);
}

static void after_change(struct call *c)
{
	struct problem p;

	if (!tasks_outcome(c->a->tasks, c->task, &p)) {
		answer_task(c, 202);
		return;
	}
	if (p.code != PROB_NONE) {
		c->prob = p;
		return;
	}
	answer_domain(c, c->subject);
	if (strcmp(c->route->method, "POST") == 0) {
		c->status = 201;
		snprintf(c->location, sizeof(c->location), "/v1/domains/%s", c->subject);
	}
}

static int wait_for(struct call *c, const char *uuid, double def_s, void (*after)(struct call *c))
{
	snprintf(c->subject, sizeof(c->subject), "%s", uuid);
	c->wait_s = json_num(c->params, "wait", def_s);
	c->after = after;
	/* Should nobody live to answer: a repetition finds the task. */
	if (c->idem_key)
		(void)db_run(c->a->db,
			     "UPDATE idempotency SET task = ? WHERE caller = ? AND key = ?", "sis",
			     c->task, (int64_t)c->who.uid, c->idem_key);
	return CALL_WAIT;
}

static int define(struct call *c, const struct guestcfg *g, const char *text, bool persistent)
{
	struct dom *d;
	int r;

	doms_lock(c->a->doms);
	r = doms_define(c->a->doms, g, text, persistent, &d, &c->prob);
	doms_unlock(c->a->doms);
	return r;
}

static int create_started(struct call *c, const struct guestcfg *g, const char *text)
{
	json_object *args = json_object_new_object();
	struct problem ignored;
	struct dom *d;
	int r = define(c, g, text, json_flag(c->params, "persistent", false));

	if (r < 0) {
		json_object_put(args);
		return 0;
	}
	json_object_object_add(args, "paused",
			       json_object_new_boolean(json_flag(c->params, "paused", false)));
	r = tasks_submit(c->a->tasks, "domain.create", g->uuid, g->name, args, c->task, &c->prob);
	if (r == 0)
		return wait_for(c, g->uuid, 0, after_change);
	doms_lock(c->a->doms);
	d = doms_by_uuid(c->a->doms, g->uuid);
	if (d)
		(void)doms_undefine(c->a->doms, d, &ignored); /* swept at the next start */
	doms_unlock(c->a->doms);
	return 0;
}

int op_create_domain(struct call *c)
{
	bool start = json_flag(c->params, "start", false);
	struct guestcfg g;
	char *text = NULL;
	int r;

	if (!start &&
	    (json_flag(c->params, "paused", false) || !json_flag(c->params, "persistent", true))) {
		(void)problem_set(&c->prob, PROB_BAD_REQUEST,
				  "paused and persistent=false make sense only with start=true");
		return 0;
	}
	if (config_text(c->a, c->body, &g, &text, &c->prob) < 0)
		return 0;
	if (start) {
		r = ts_check(&g, &c->prob) == 0 ? create_started(c, &g, text) : 0;
	} else {
		r = define(c, &g, text, true);
		if (r == 0) {
			/* Done in one transaction: the task only tells of it. */
			(void)tasks_record(c->a->tasks, "domain.create", g.uuid, g.name);
			answer_domain(c, g.uuid);
			c->status = 201;
			snprintf(c->location, sizeof(c->location), "/v1/domains/%s", g.uuid);
		}
		r = 0;
	}
	guestcfg_fini(&g);
	free(text);
	return r;
}

static int check_if_match(struct call *c, const struct dom *d)
{
	const char *want = call_param(c, "If-Match");
	char have[32];

	if (!want || strcmp(want, "*") == 0)
		return 0;
	snprintf(have, sizeof(have), "\"%lld\"", (long long)d->revision);
	if (strcmp(want, have) == 0)
		return 0;
	return problem_set(&c->prob, PROB_PRECONDITION_FAILED,
			   "the domain is at revision %s now; read it again", have);
}

/* RFC 7396, one level: no member of DomainConfig is merged deeper but metadata. */
static int merge(json_object *into, json_object *patch, struct problem *p)
{
	json_object_object_foreach(patch, key, v)
	{
		json_object *copy = NULL, *old = json_get(into, key);
		int r = 0;

		if (!v) {
			json_object_object_del(into, key);
		} else if (json_object_is_type(v, json_type_object) &&
			   json_object_is_type(old, json_type_object)) {
			r = merge(old, v, p);
		} else if (json_object_deep_copy(v, &copy, NULL) < 0 ||
			   json_object_object_add(into, key, copy) < 0) {
			r = problem_errno(p, -ENOMEM, "domain");
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_live(const struct dom *d, const struct guestcfg *g, struct problem *p)
{
	if (!d->domid)
		return 0;
	if (g->maxvcpus != d->cfg_maxvcpus || g->maxmem_mib != d->cfg_maxmem_mib)
		return problem_set(p, PROB_WRONG_STATE,
				   "maxvcpus and maxmem_mib can't change while "
				   "'%s' runs; shut it down first",
				   d->name);
	return 0;
}

/* Makes the new definition under the lock.  *ret_args: what the running guest
 * must be told, or NULL. */
static int redefine(struct call *c, struct dom *d, json_object **ret_args)
{
	json_object *cfg = NULL, *args = NULL;
	struct guestcfg g = { 0 };
	char *text = NULL, err[96];
	int r = json_parse(d->config, strlen(d->config), &cfg, err, sizeof(err));

	if (r < 0) {
		(void)problem_set(&c->prob, PROB_INTERNAL, "stored configuration: %s", err);
		return r;
	}
	/* What was a default stays what it was while the guest runs. */
	if (!json_has(cfg, "maxvcpus"))
		json_object_object_add(cfg, "maxvcpus", json_object_new_int((int)d->cfg_maxvcpus));
	if (!json_has(cfg, "maxmem_mib"))
		json_object_object_add(cfg, "maxmem_mib",
				       json_object_new_int64((int64_t)d->cfg_maxmem_mib));
	r = merge(cfg, c->body, &c->prob);
	if (r == 0)
		r = config_text(c->a, cfg, &g, &text, &c->prob);
	if (r == 0)
		r = check_live(d, &g, &c->prob);
	if (r == 0 && d->domid) {
		args = json_object_new_object();
		json_object_object_add(args, "memory",
				       json_object_new_boolean(json_has(c->body, "memory_mib")));
		json_object_object_add(args, "vcpus",
				       json_object_new_boolean(json_has(c->body, "vcpus")));
		json_object_object_add(args, "name",
				       json_object_new_boolean(strcmp(g.name, d->name) != 0));
	}
	if (r == 0)
		r = doms_redefine(c->a->doms, d, &g, text, &c->prob);
	if (r < 0) {
		json_object_put(args);
		args = NULL;
	}
	*ret_args = args;
	guestcfg_fini(&g);
	free(text);
	json_object_put(cfg);
	return r;
}

int op_update_domain(struct call *c)
{
	char uuid[UUID_LEN + 1] = "", *name = NULL;
	json_object *args = NULL;
	struct dom *d;
	int r = -ENOENT;

	doms_lock(c->a->doms);
	d = doms_find(c->a->doms, call_param(c, "id"), &c->prob);
	if (d)
		r = check_if_match(c, d);
	if (r == 0)
		r = redefine(c, d, &args);
	if (r == 0) {
		snprintf(uuid, sizeof(uuid), "%s", d->uuid);
		name = strdup(d->name);
	}
	doms_unlock(c->a->doms);
	if (r == 0 && args) {
		r = tasks_submit(c->a->tasks, "domain.update", uuid, name, args, c->task, &c->prob);
		if (r == 0)
			r = wait_for(c, uuid, DEFINE_WAIT_S, after_change);
	} else if (r == 0) {
		(void)tasks_record(c->a->tasks, "domain.update", uuid, name);
		answer_domain(c, uuid);
	}
	free(name);
	return r == CALL_WAIT ? CALL_WAIT : 0;
}

/* Slow: a crash report in XenStore goes too. */
int op_delete_domain(struct call *c)
{
	char uuid[UUID_LEN + 1] = "", *name = NULL;
	struct problem ignored;
	bool crashed = false;
	struct dom *d;
	int r = -ENOENT;

	doms_lock(c->a->doms);
	d = doms_find(c->a->doms, call_param(c, "id"), &c->prob);
	if (d)
		r = check_if_match(c, d);
	if (r == 0 && (d->domid || tasks_has_open(c->a->tasks, d->uuid, NULL)))
		r = problem_set(&c->prob, PROB_WRONG_STATE,
				"'%s' is running or about to; destroy it first", d->name);
	if (r == 0) {
		snprintf(uuid, sizeof(uuid), "%s", d->uuid);
		name = strdup(d->name);
		crashed = dom_end_is_crash(d->end.reason);
		r = doms_undefine(c->a->doms, d, &c->prob);
	}
	doms_unlock(c->a->doms);
	if (r == 0) {
		(void)tasks_record(c->a->tasks, "domain.delete", uuid, name);
		if (crashed && ts_xs(&c->w->ts, &ignored) == 0)
			leftovers_retry(c->w); /* or the watcher does */
		c->status = 204;
	}
	free(name);
	return 0;
}

/* ---- domains: actions ---- */

/* Every POST /v1/domains/{id}/<verb>: a task of the JSON-RPC method's name with
 * the parameters and the body as its arguments. */
int op_action(struct call *c)
{
	char uuid[UUID_LEN + 1] = "", *name = NULL;
	json_object *args = NULL;
	struct dom *d;
	int r = 0;

	doms_lock(c->a->doms);
	d = doms_find(c->a->doms, call_param(c, "id"), &c->prob);
	if (d) {
		snprintf(uuid, sizeof(uuid), "%s", d->uuid);
		name = strdup(d->name);
		if (!d->domid && strcmp(c->route->rpc, "domain.start") != 0 &&
		    !tasks_has_open(c->a->tasks, d->uuid, NULL))
			r = problem_set(&c->prob, PROB_WRONG_STATE,
					strcmp(c->route->rpc, "domain.destroy") == 0
						? "'%s' is not running; undefine it to remove it"
						: "'%s' is not running; start it first",
					d->name);
	}
	doms_unlock(c->a->doms);
	if (!d || r < 0)
		goto out;
	args = c->body;
	c->body = NULL;
	if (!args)
		args = json_object_new_object();
	if (json_has(c->params, "paused"))
		json_object_object_add(
			args, "paused",
			json_object_new_boolean(json_flag(c->params, "paused", false)));
	r = tasks_submit(c->a->tasks, c->route->rpc, uuid, name, args, c->task, &c->prob);
	if (r == 0)
		r = wait_for(c, uuid, 0, after_action);
out:
	free(name);
	return r == CALL_WAIT ? CALL_WAIT : 0;
}

/* A start is refused at once when it can be told that it can't work. */
int op_start_domain(struct call *c)
{
	json_object *cfg = NULL;
	char *text = NULL, err[64];
	struct guestcfg g;
	struct dom *d;
	int r = -ENOENT;

	doms_lock(c->a->doms);
	d = doms_find(c->a->doms, call_param(c, "id"), &c->prob);
	if (d)
		text = strdup(d->config);
	doms_unlock(c->a->doms);
	if (!d || !text)
		return 0;
	if (json_parse(text, strlen(text), &cfg, err, sizeof(err)) == 0 &&
	    guestcfg_parse(cfg, &g, &c->prob) == 0) {
		r = ts_check(&g, &c->prob);
		guestcfg_fini(&g);
	}
	json_object_put(cfg);
	free(text);
	return r == 0 ? op_action(c) : 0;
}

/* ---- console ---- */

int op_console_log(struct call *c)
{
	size_t bytes = (size_t)json_int(c->params, "bytes", 65536);
	int64_t lines = json_int(c->params, "lines", 0);
	struct jbuf raw = { 0 };
	char *name = NULL;
	struct dom *d;

	doms_lock(c->a->doms);
	d = doms_find(c->a->doms, call_param(c, "id"), &c->prob);
	if (d)
		name = strdup(d->name);
	doms_unlock(c->a->doms);
	if (!name || conlog_read(name, bytes, lines, &raw, &c->prob) < 0)
		goto out;
	if (json_flag(c->params, "text", false)) { /* set by the HTTP side from Accept */
		c->ctype = "text/plain; charset=utf-8";
		jb_put(&c->out, raw.p ? raw.p : "", raw.n);
	} else {
		jb_obj(&c->out);
		jb_key(&c->out, "text");
		jb_strn(&c->out, raw.p ? raw.p : "", raw.n);
		jb_obj_end(&c->out);
	}
out:
	free(name);
	jb_fini(&raw);
	return 0;
}
