/* apid/metrics.c - GET /metrics, from what is cached; base units, and one
 * sample per domain and family. */
#include <stdio.h>
#include <string.h>

#include "apid/call.h"

static void family(struct jbuf *b, const char *name, const char *type, const char *help)
{
	jb_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Label values escape backslash, quote and newline (exposition format 0.0.4). */
static void label(struct jbuf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '\\' || *s == '"')
			jb_put(b, "\\", 1);
		if (*s == '\n')
			jb_put(b, "\\n", 2);
		else
			jb_put(b, s, 1);
	}
}

static void sample(struct jbuf *b, const char *name, const struct dom *d, double v)
{
	jb_printf(b, "%s{domid=\"%u\",uuid=\"%s\",name=\"", name, d->domid, d->uuid);
	label(b, d->name);
	jb_printf(b, "\"} %.15g\n", v);
}

static double m_cpu(const struct dom *d)
{
	return (double)d->info.cpu_ns / 1e9;
}

static double m_memory(const struct dom *d)
{
	return (double)d->info.pages * 4096;
}

static double m_max_memory(const struct dom *d)
{
	return (double)d->info.max_pages * 4096;
}

static double m_target(const struct dom *d)
{
	return (double)d->target_kib * 1024;
}

static double m_vcpus(const struct dom *d)
{
	return d->info.vcpus_online;
}

static double m_max_vcpus(const struct dom *d)
{
	return d->info.max_vcpus;
}

static double m_start(const struct dom *d)
{
	return (double)d->started_at / 1000;
}

static const struct {
	const char *name, *type, *help;
	double (*value)(const struct dom *d);
} per_domain[] = {
	{ "xen_domain_cpu_seconds_total", "counter", "CPU time of all vCPUs.", m_cpu },
	{ "xen_domain_memory_bytes", "gauge", "Memory in use.", m_memory },
	{ "xen_domain_memory_max_bytes", "gauge", "Memory the domain may use.", m_max_memory },
	{ "xen_domain_memory_target_bytes", "gauge", "Target of the balloon.", m_target },
	{ "xen_domain_vcpus", "gauge", "vCPUs online.", m_vcpus },
	{ "xen_domain_vcpus_max", "gauge", "vCPUs the domain may have.", m_max_vcpus },
	{ "xen_domain_start_time_seconds", "gauge", "When the run began, since the epoch.",
	  m_start },
};

static void domains(struct jbuf *b, struct doms *ds)
{
	static const char *const states[] = { "shutoff",  "running", "paused",
					      "shutdown", "crashed", "dying" };
	size_t count[6] = { 0 };

	for (size_t k = 0; k < sizeof(per_domain) / sizeof(per_domain[0]); k++) {
		family(b, per_domain[k].name, per_domain[k].type, per_domain[k].help);
		for (size_t i = 0; i < ds->n; i++)
			if (ds->v[i]->domid && ds->v[i]->info_ok)
				sample(b, per_domain[k].name, ds->v[i],
				       per_domain[k].value(ds->v[i]));
	}
	family(b, "xen_domain_info", "gauge", "What a running domain is; always 1.");
	for (size_t i = 0; i < ds->n; i++) {
		const struct dom *d = ds->v[i];

		for (size_t k = 0; k < 6; k++)
			count[k] += strcmp(states[k], dom_state(d)) == 0;
		if (!d->domid)
			continue;
		jb_printf(b, "xen_domain_info{domid=\"%u\",uuid=\"%s\",name=\"", d->domid, d->uuid);
		label(b, d->name);
		jb_printf(b, "\",type=\"pvh\",engine=\"%s\",state=\"%s\"} 1\n",
			  d->info_ok ? d->info.engine : "", dom_state(d));
	}
	family(b, "xen_domains", "gauge", "Domains by state.");
	for (size_t k = 0; k < 6; k++)
		jb_printf(b, "xen_domains{state=\"%s\"} %zu\n", states[k], count[k]);
	family(b, "xen_domain_ends_total", "counter", "Guests that ended, by reason.");
	for (size_t k = 0; k < DOM_ENDS; k++)
		jb_printf(b, "xen_domain_ends_total{reason=\"%s\"} %llu\n", dom_end_names[k],
			  (unsigned long long)ds->counter_ended[k]);
}

static void host(struct jbuf *b, struct apid *a)
{
	struct host_state s;

	pthread_mutex_lock(&a->host.lock);
	s = a->host;
	pthread_mutex_unlock(&a->host.lock);
	family(b, "xen_host_info", "gauge", "What this host is; always 1.");
	jb_printf(b, "xen_host_info{uuid=\"%s\",version=\"%s\",engine=\"%s\"} 1\n", a->host_uuid,
		  DZ_VERSION, s.have_info ? s.info.engine : "");
	family(b, "xen_host_part_up", "gauge", "1 if the daemon answers.");
	jb_printf(b, "xen_host_part_up{part=\"hvd\"} %d\n", s.hv_up);
	jb_printf(b, "xen_host_part_up{part=\"xenstored\"} %d\n", s.xs_up);
	jb_printf(b, "xen_host_part_up{part=\"consoled\"} %d\n", s.con_up);
	if (s.have_info) {
		family(b, "xen_host_memory_bytes", "gauge", "Memory of the host.");
		jb_printf(b, "xen_host_memory_bytes %llu\n",
			  (unsigned long long)s.info.total_kib * 1024);
		family(b, "xen_host_memory_free_bytes", "gauge", "Memory free for guests.");
		jb_printf(b, "xen_host_memory_free_bytes %llu\n",
			  (unsigned long long)s.info.free_kib * 1024);
		family(b, "xen_host_cpus", "gauge", "CPUs of the host.");
		jb_printf(b, "xen_host_cpus %u\n", s.info.nr_cpus);
	}
}

static void service(struct jbuf *b, struct apid *a)
{
	family(b, "xen_api_requests_total", "counter", "HTTP requests answered.");
	jb_printf(b, "xen_api_requests_total %llu\n", (unsigned long long)a->requests);
	family(b, "xen_api_rpc_calls_total", "counter", "JSON-RPC calls.");
	jb_printf(b, "xen_api_rpc_calls_total %llu\n", (unsigned long long)a->rpc_calls);
	family(b, "xen_api_event_streams", "gauge", "Event streams open.");
	jb_printf(b, "xen_api_event_streams %llu\n", (unsigned long long)a->sse_streams);
	family(b, "xen_api_consoles", "gauge", "Consoles attached.");
	jb_printf(b, "xen_api_consoles %llu\n", (unsigned long long)a->consoles);
	family(b, "xen_api_tasks_open", "gauge", "Tasks that are not finished.");
	jb_printf(b, "xen_api_tasks_open %zu\n", tasks_open_count(a->tasks));
	family(b, "xen_api_start_time_seconds", "gauge", "When apid started, since the epoch.");
	jb_printf(b, "xen_api_start_time_seconds %.3f\n", (double)a->started_ms / 1000);
}

void metrics_text(struct apid *a, struct jbuf *b)
{
	host(b, a);
	doms_lock(a->doms);
	domains(b, a->doms);
	doms_unlock(a->doms);
	service(b, a);
}
