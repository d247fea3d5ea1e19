/* xenstored/control.c - the CONTROL request: what xenstore-control sends. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemons/log.h"
#include "xenstored/domain.h"
#include "xenstored/lu.h"
#include "xenstored/ops.h"

static int control_check(struct req *q)
{
	char *why = NULL;
	int r = server_check(q->srv, &why);

	if (r < 0)
		return r;
	r = why ? req_reply_text(q, "%s", why) : 0;
	free(why);
	return r;
}

static int control_log(struct req *q)
{
	if (q->nargs < 2)
		return req_reply_text(q, "trace: %s", q->srv->trace ? "on" : "off");
	if (strcmp(q->arg[1], "on") == 0 || strcmp(q->arg[1], "+io") == 0)
		return q->srv->trace_path ? server_trace_open(q->srv, q->srv->trace_path) : -EINVAL;
	if (strcmp(q->arg[1], "off") == 0 || strcmp(q->arg[1], "-io") == 0)
		return server_trace_open(q->srv, NULL);
	return -EINVAL;
}

static int control_logfile(struct req *q)
{
	return q->nargs < 2 ? -EINVAL : server_trace_open(q->srv, q->arg[1]);
}

static int control_memreport(struct req *q)
{
	const struct server *s = q->srv;

	return req_reply_text(q,
			      "nodes: %zu bytes in use, %zu bytes held\n"
			      "watched paths: %zu\nconnections: %u\n"
			      "commits: %" PRIu64 ", conflicts: %" PRIu64 "\n"
			      "events: %" PRIu64 ", dropped: %" PRIu64 "\n",
			      s->store.a.live, (size_t)s->store.a.npages * ARENA_PAGE,
			      s->watches.count, s->nconns, s->metrics.commits, s->metrics.conflicts,
			      s->metrics.events, s->metrics.events_dropped);
}

static int control_print(struct req *q)
{
	log_info("%s", q->nargs > 1 ? q->arg[1] : "");
	return 0;
}

static int print_quotas(struct req *q, bool soft)
{
	const struct quotas *qs = &q->srv->quotas;
	size_t at = 0;

	for (unsigned k = 0; k < Q_KINDS; k++)
		at += (size_t)snprintf(q->reply_buf + at, sizeof(q->reply_buf) - at, "%-18s: %8u\n",
				       quota_name(k), soft ? qs->soft[k] : qs->hard[k]);
	q->reply = q->reply_buf;
	q->reply_len = at + 1;
	return 0;
}

static int print_domain(struct req *q, const char *text)
{
	const struct usage *u;
	size_t at;
	uint16_t domid;

	if (req_domid(text, &domid) < 0)
		return -EINVAL;
	u = q->srv->quotas.by_domid[domid];
	if (!u)
		return domains_exist(q->srv->domains, domid) ? 0 : -ENOENT;
	at = (size_t)snprintf(q->reply_buf, sizeof(q->reply_buf), "Domain %u:\n", domid);
	for (unsigned k = 0; k < Q_KINDS; k++)
		at += (size_t)snprintf(q->reply_buf + at, sizeof(q->reply_buf) - at,
				       "%-18s: %8u (max %8u, refused %" PRIu64 ")\n", quota_name(k),
				       u->used[k], u->peak[k], u->refused[k]);
	at += (size_t)snprintf(
		q->reply_buf + at, sizeof(q->reply_buf) - at,
		"refused: permission %" PRIu64 ", rate %" PRIu64 ", events %" PRIu64 "\n",
		u->refused[REFUSED_ACCESS], u->refused[REFUSED_RATE], u->refused[REFUSED_EVENTS]);
	q->reply = q->reply_buf;
	q->reply_len = at + 1;
	return 0;
}

static int print_max(struct req *q, bool reset)
{
	uint32_t max[Q_KINDS] = { 0 };
	size_t at = 0;

	for (unsigned d = 1; d < 65536; d++) {
		struct usage *u = q->srv->quotas.by_domid[d];

		for (unsigned k = 0; u && k < Q_KINDS; k++) {
			max[k] = u->peak[k] > max[k] ? u->peak[k] : max[k];
			if (reset)
				u->peak[k] = u->used[k];
		}
	}
	for (unsigned k = 0; k < Q_KINDS; k++)
		at += (size_t)snprintf(q->reply_buf + at, sizeof(q->reply_buf) - at, "%-18s: %8u\n",
				       quota_name(k), max[k]);
	q->reply = q->reply_buf;
	q->reply_len = at + 1;
	return 0;
}

static int quota_command(struct req *q, bool soft)
{
	enum quota_kind kind;
	bool s;
	char *end;
	unsigned long v;

	if (q->nargs == 1)
		return print_quotas(q, soft);
	if (strcmp(q->arg[1], "set") == 0) {
		if (q->nargs != 4 || quota_parse(q->arg[2], &kind, &s) < 0)
			return -EINVAL;
		v = strtoul(q->arg[3], &end, 10);
		if (*end || end == q->arg[3] || v >= QUOTA_INHERIT)
			return -EINVAL;
		return server_set_quota(q->srv, false, 0, kind, soft || s, (uint32_t)v);
	}
	if (strcmp(q->arg[1], "max") == 0)
		return print_max(q, q->nargs > 2 && strcmp(q->arg[2], "-r") == 0);
	return print_domain(q, q->arg[1]);
}

static int control_quota(struct req *q)
{
	return quota_command(q, false);
}

static int control_quota_soft(struct req *q)
{
	return quota_command(q, true);
}

/* ---- live update: -f <file>, -c <arguments>, -a, -s [-t <s>] [-F] [-v <n>] ---- */

static void leave_loop(struct req *q)
{
	q->srv->lu->wanted = true;
	event_base_loopbreak(q->srv->base); /* the answer is sent before the loop ends */
}

static int lu_start(struct req *q)
{
	const struct txn *t;
	bool force = false;

	for (unsigned i = 2; i < q->nargs && i < REQ_ARGS_MAX; i++)
		force |= strcmp(q->arg[i], "-F") == 0;
	/* Open transactions would be lost: the caller tries again or insists. */
	TAILQ_FOREACH(t, &q->srv->txns, of_server)
	if (!t->lost && !force)
		return req_reply_text(q, "BUSY");
	q->after = leave_loop;
	return 0;
}

static int lu_file(struct req *q)
{
	struct live_update *lu = q->srv->lu;
	char *copy;

	if (q->nargs != 3 || q->arg[2][0] != '/' || access(q->arg[2], X_OK) < 0)
		return req_reply_text(q, "not a program that can be started");
	copy = strdup(q->arg[2]);
	if (!copy)
		return -ENOMEM;
	free(lu->binary);
	lu->binary = copy;
	return 0;
}

static int control_live_update(struct req *q)
{
	if (!q->srv->lu)
		return -ENOSYS;
	if (q->nargs < 2)
		return -EINVAL;
	if (strcmp(q->arg[1], "-f") == 0)
		return lu_file(q);
	if (strcmp(q->arg[1], "-s") == 0)
		return lu_start(q);
	if (strcmp(q->arg[1], "-c") == 0)
		return req_reply_text(q, "the arguments stay as they are");
	if (strcmp(q->arg[1], "-a") != 0)
		return -EINVAL;
	free(q->srv->lu->binary);
	q->srv->lu->binary = NULL;
	return 0;
}

static int control_help(struct req *q);

static const struct command {
	const char *name;
	int (*run)(struct req *q);
	const char *args;
} commands[] = {
	{ "check", control_check, "" },
	{ "log", control_log, "[on|off|+<switch>|-<switch>]" },
	{ "logfile", control_logfile, "<file>" },
	{ "memreport", control_memreport, "[<file>]" },
	{ "live-update", control_live_update, "-f <file>|-a|-s [-t <s>] [-F]" },
	{ "print", control_print, "<string>" },
	{ "quota", control_quota, "[set <name> <val>|<domid>|max [-r]]" },
	{ "quota-soft", control_quota_soft, "[set <name> <val>]" },
	{ "help", control_help, "" },
};

static int control_help(struct req *q)
{
	size_t at = 0;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		at += (size_t)snprintf(q->reply_buf + at, sizeof(q->reply_buf) - at, "%s%s%s\n",
				       commands[i].name, *commands[i].args ? "\t" : "",
				       commands[i].args);
	q->reply = q->reply_buf;
	q->reply_len = at + 1;
	return 0;
}

int op_control(struct req *q)
{
	if (q->nargs == 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, q->arg[0]) == 0)
			return commands[i].run(q);
	return -EINVAL;
}
