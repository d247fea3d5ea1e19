/* apid/domview.c - a domain as its readers see it: states, actions, JSON. */
#include "apid/doms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/sched.h>

#include "daemons/paths.h"

bool dom_end_is_crash(const char *reason)
{
	return strcmp(reason, "crash") == 0 || strcmp(reason, "watchdog") == 0 ||
	       strcmp(reason, "killed") == 0;
}

const char *end_reason(unsigned shutdown_code)
{
	static const char *const names[] = {
		[SHUTDOWN_poweroff] = "poweroff", [SHUTDOWN_reboot] = "reboot",
		[SHUTDOWN_suspend] = "suspend",	  [SHUTDOWN_crash] = "crash",
		[SHUTDOWN_watchdog] = "watchdog", [SHUTDOWN_soft_reset] = "soft-reset",
	};

	return shutdown_code < sizeof(names) / sizeof(names[0]) ? names[shutdown_code] : "unknown";
}

enum end_action dom_action(const struct guestcfg *g, const char *reason)
{
	if (strcmp(reason, "poweroff") == 0)
		return g->on_poweroff;
	if (strcmp(reason, "reboot") == 0)
		return g->on_reboot;
	if (strcmp(reason, "watchdog") == 0)
		return g->on_watchdog;
	if (dom_end_is_crash(reason))
		return g->on_crash;
	return END_DESTROY;
}

static bool run_crashed(const struct dom *d)
{
	if (d->info_ok && (d->info.flags & HVC_DOM_SHUTDOWN))
		return dom_end_is_crash(end_reason(d->info.shutdown_reason));
	return dom_end_is_crash(d->end.reason);
}

const char *dom_state(const struct dom *d)
{
	uint32_t f = d->info_ok ? d->info.flags : 0;

	if (!d->domid)
		return d->end.reason[0] && dom_end_is_crash(d->end.reason) ? "crashed" : "shutoff";
	if (f & HVC_DOM_SHUTDOWN)
		return run_crashed(d) ? "crashed" : "shutdown";
	if (f & HVC_DOM_DYING)
		return "dying";
	if (f & HVC_DOM_PAUSED)
		return "paused";
	return "running";
}

static void flags_json(struct jbuf *b, const struct dom *d)
{
	uint32_t f = d->domid && d->info_ok ? d->info.flags : 0;

	jb_arr(b);
	if (f & HVC_DOM_RUNNING && !(f & (HVC_DOM_BLOCKED | HVC_DOM_PAUSED | HVC_DOM_SHUTDOWN)))
		jb_str(b, "running");
	if (f & HVC_DOM_BLOCKED)
		jb_str(b, "blocked");
	if (f & HVC_DOM_PAUSED)
		jb_str(b, "paused");
	if (f & HVC_DOM_SHUTDOWN)
		jb_str(b, "shutdown");
	if (f && run_crashed(d) && (f & (HVC_DOM_SHUTDOWN | HVC_DOM_DYING)))
		jb_str(b, "crashed");
	if (f & HVC_DOM_DYING)
		jb_str(b, "dying");
	jb_arr_end(b);
}

static void end_json(struct jbuf *b, const struct dom_end *e)
{
	if (!e->reason[0]) {
		jb_null(b);
		return;
	}
	jb_obj(b);
	jb_kstr(b, "reason", e->reason);
	jb_kstr(b, "detail", e->detail);
	jb_ktime(b, "time", e->at_ms);
	jb_obj_end(b);
}

static void console_json(struct jbuf *b, const struct dom *d)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/guest-%s.log", path_console_log(), d->name);
	jb_obj(b);
	jb_kstr(b, "log", path);
	jb_kstr(b, "tty", d->domid ? d->tty : NULL);
	jb_obj_end(b);
}

static void field_json(struct jbuf *b, const struct dom *d, enum dom_field f, const char *tasks)
{
	bool live = d->domid && d->info_ok;

	switch (f) {
	case DF_uuid: jb_str(b, d->uuid); break;
	case DF_name: jb_str(b, d->name); break;
	case DF_domid:
		if (d->domid)
			jb_int(b, d->domid);
		else
			jb_null(b);
		break;
	case DF_type: jb_str(b, "pvh"); break;
	case DF_state: jb_str(b, dom_state(d)); break;
	case DF_flags: flags_json(b, d); break;
	case DF_persistent: jb_bool(b, d->persistent); break;
	case DF_autostart: jb_bool(b, d->autostart); break;
	case DF_vcpus: jb_int(b, live ? d->info.vcpus_online : d->cfg_vcpus); break;
	case DF_max_vcpus: jb_int(b, live ? d->info.max_vcpus : d->cfg_maxvcpus); break;
	case DF_memory_mib:
		jb_int(b, (int64_t)(live ? d->info.pages / 256 : d->cfg_memory_mib));
		break;
	case DF_max_memory_mib: jb_int(b, (int64_t)d->cfg_maxmem_mib); break;
	case DF_target_memory_mib:
		jb_int(b, (int64_t)(d->domid ? d->target_kib / 1024 : d->cfg_memory_mib));
		break;
	case DF_cpu_seconds: jb_num(b, live ? (double)d->info.cpu_ns / 1e9 : 0); break;
	case DF_engine: jb_str(b, live ? d->info.engine : ""); break;
	case DF_started_at: jb_time(b, d->started_at); break;
	case DF_defined_at: jb_time(b, d->defined_at); break;
	case DF_last_end: end_json(b, &d->end); break;
	case DF_console: console_json(b, d); break;
	case DF_tasks: jb_json(b, tasks ? tasks : "[]"); break;
	case DF_revision: jb_int(b, d->revision); break;
	case DF_config: jb_json(b, d->config); break;
	case DF_MAX: break;
	}
}

static const char *const field_names[] = {
#define X(name) #name,
	DOM_FIELDS(X)
#undef X
};

void dom_json(struct jbuf *b, const struct dom *d, uint32_t fields, const char *tasks)
{
	jb_obj(b);
	for (int f = 0; f < DF_MAX; f++) {
		if (!(fields & 1u << f))
			continue;
		jb_key(b, field_names[f]);
		field_json(b, d, (enum dom_field)f, tasks);
	}
	jb_obj_end(b);
}

int dom_fields_parse(const char *list, uint32_t *ret, struct problem *p)
{
	uint32_t mask = 1u << DF_uuid;

	while (*list) {
		size_t n = strcspn(list, ",");
		int f;

		for (f = 0; f < DF_MAX; f++)
			if (strlen(field_names[f]) == n && strncmp(field_names[f], list, n) == 0)
				break;
		if (f == DF_MAX) {
			(void)problem_set(p, PROB_BAD_REQUEST,
					  "fields: a domain has no member '%.*s'",
					  (int)(n > 40 ? 40 : n), list);
			snprintf(p->pointer, sizeof(p->pointer), "fields");
			return -EINVAL;
		}
		mask |= 1u << f;
		list += n + (list[n] == ',');
	}
	*ret = mask;
	return 0;
}
