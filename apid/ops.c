/* apid/ops.c - the handlers of tasks, events and the host, and the table that
 * ties every operation of the document to its handler. */
#include "apid/ops_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/json.h"

const char *call_param(struct call *c, const char *name)
{
	return json_str(c->params, name, NULL);
}

static int op_get_task(struct call *c)
{
	if (tasks_json(c->a->tasks, call_param(c, "task"), &c->out) < 0)
		(void)problem_set(&c->prob, PROB_NOT_FOUND, "there is no task '%s'",
				  call_param(c, "task"));
	return 0;
}

static void after_wait(struct call *c)
{
	(void)op_get_task(c);
}

static int op_wait_task(struct call *c)
{
	snprintf(c->task, sizeof(c->task), "%s", call_param(c, "task"));
	c->wait_s = json_num(c->params, "timeout", 30);
	c->after = after_wait;
	return CALL_WAIT;
}

static int op_list_tasks(struct call *c)
{
	const char *cursor = call_param(c, "cursor");
	int64_t next = 0, from = 0;
	char *end, text[24];
	int r;

	if (cursor) {
		errno = 0;
		from = strtoll(cursor, &end, 10);
		if (errno || *end || from < 1) {
			(void)problem_set(&c->prob, PROB_BAD_REQUEST, "this is no cursor of ours");
			return 0;
		}
	}
	jb_obj(&c->out);
	jb_key(&c->out, "tasks");
	jb_arr(&c->out);
	r = tasks_list(c->a->tasks, call_param(c, "domain"), call_param(c, "state"), from,
		       (int)json_int(c->params, "limit", 1000), &c->out, &next);
	jb_arr_end(&c->out);
	snprintf(text, sizeof(text), "%lld", (long long)next);
	jb_kstr(&c->out, "next_cursor", next ? text : NULL);
	jb_obj_end(&c->out);
	if (r < 0)
		(void)problem_errno(&c->prob, r, "state database");
	return 0;
}

static int op_get_events(struct call *c)
{
	struct events_filter f = { call_param(c, "type"), call_param(c, "domain") };
	const char *after = call_param(c, "after");
	int64_t seq = 0;
	char id[64];

	if (!after)
		after = call_param(c, "Last-Event-ID");
	if (after && events_parse_id(c->a->ev, after, &seq, &c->prob) < 0)
		return 0;
	jb_obj(&c->out);
	jb_key(&c->out, "events");
	jb_arr(&c->out);
	seq = events_read(c->a->ev, seq, (unsigned)json_int(c->params, "limit", 1000), &f, false,
			  &c->out);
	jb_arr_end(&c->out);
	events_format_id(c->a->ev, seq, id);
	jb_kstr(&c->out, "last_id", id);
	jb_obj_end(&c->out);
	return 0;
}

static int op_get_host(struct call *c)
{
	host_json(c->a, &c->out);
	return 0;
}

static int op_get_dmesg(struct call *c)
{
	uint64_t off = (uint64_t)json_int(c->params, "offset", 0), next = off;
	struct jbuf all = { 0 };
	char buf[16384];
	int n;

	/* At most one ring's worth: the ring may grow while it is read. */
	for (int i = 0; i < 64; i++) {
		n = hvc_dmesg(c->w->ts.h, off, buf, sizeof(buf), &next);
		if (n <= 0)
			break;
		jb_put(&all, buf, (size_t)n);
		off = next;
	}
	if (n < 0) {
		(void)problem_errno(&c->prob, n, "message ring");
	} else {
		jb_obj(&c->out);
		jb_key(&c->out, "text");
		jb_strn(&c->out, all.p ? all.p : "", all.n);
		jb_kint(&c->out, "next_offset", (int64_t)next);
		jb_obj_end(&c->out);
	}
	jb_fini(&all);
	return 0;
}

static int op_get_metrics(struct call *c)
{
	c->ctype = "text/plain; version=0.0.4; charset=utf-8";
	metrics_text(c->a, &c->out);
	return 0;
}

static int op_get_openapi(struct call *c)
{
	jb_put(&c->out, (const char *)apidoc_text, apidoc_text_len);
	return 0;
}

/* Has its own way through HTTP (apid/request.c). */
static int op_http_only(struct call *c)
{
	(void)problem_set(&c->prob, PROB_INTERNAL, "%s is not called like this", c->route->op_id);
	return 0;
}

const struct operation operations[] = {
	{ "getHost", op_get_host, false },	    { "getHostDmesg", op_get_dmesg, true },
	{ "listDomains", op_list_domains, false },  { "createDomain", op_create_domain, true },
	{ "getDomain", op_get_domain, false },	    { "updateDomain", op_update_domain, false },
	{ "deleteDomain", op_delete_domain, true }, { "startDomain", op_start_domain, true },
	{ "shutdownDomain", op_action, false },	    { "rebootDomain", op_action, false },
	{ "pauseDomain", op_action, false },	    { "unpauseDomain", op_action, false },
	{ "destroyDomain", op_action, false },	    { "sysrqDomain", op_action, false },
	{ "triggerDomain", op_action, false },	    { "attachDisk", op_action, false },
	{ "detachDisk", op_action, false },	    { "attachVif", op_action, false },
	{ "detachVif", op_action, false },	    { "attachConsole", op_attach, true },
	{ "getConsoleLog", op_console_log, true },  { "listTasks", op_list_tasks, false },
	{ "getTask", op_get_task, false },	    { "waitTask", op_wait_task, false },
	{ "getEvents", op_get_events, false },	    { "jsonRpc", op_http_only, false },
	{ "getMetrics", op_get_metrics, false },    { "getOpenapi", op_get_openapi, false },
	{ "listVcpus", op_list_vcpus, true },
};
const size_t operations_n = sizeof(operations) / sizeof(operations[0]);

int operations_bind(struct apidoc *d, char err[256])
{
	for (size_t i = 0; i < operations_n; i++) {
		size_t hits = 0;

		for (size_t k = 0; k < d->nroutes; k++)
			if (strcmp(d->routes[k].op_id, operations[i].op_id) == 0) {
				d->routes[k].handler = &operations[i];
				hits++;
			}
		if (hits != 1) {
			snprintf(err, 256, "operation %s is %s the document", operations[i].op_id,
				 hits ? "more than once in" : "not in");
			return -EINVAL;
		}
	}
	for (size_t k = 0; k < d->nroutes; k++)
		if (!d->routes[k].handler) {
			snprintf(err, 256, "operation %s has no handler", d->routes[k].op_id);
			return -EINVAL;
		}
	return 0;
}
