/* cli/show.c - tables in xl's columns, so that scripts that read xl read us. */
#include "cli/show.h"

#include <json-c/json.h>
#include <string.h>
#include <time.h>

#include "cli/api.h"

void show_list_head(FILE *out, unsigned flags)
{
	fputs("Name                                        ID   Mem VCPUs\tState\tTime(s)", out);
	if (flags & SHOW_VERBOSE)
		fputs("   UUID                            Reason-Code\tSecurity Label", out);
	fputc('\n', out);
}

char *show_state(json_object *d, char buf[7])
{
	static const struct {
		const char *flag;
		char letter;
	} letters[6] = { { "running", 'r' },  { "blocked", 'b' }, { "paused", 'p' },
			 { "shutdown", 's' }, { "crashed", 'c' }, { "dying", 'd' } };
	json_object *flags = api_sub(d, "flags");

	memcpy(buf, "------", 7);
	if (!json_object_is_type(flags, json_type_array))
		return buf;
	for (size_t i = 0; i < json_object_array_length(flags); i++)
		for (int k = 0; k < 6; k++) {
			const char *f = json_object_get_string(json_object_array_get_idx(flags, i));

			if (f && strcmp(f, letters[k].flag) == 0)
				buf[k] = letters[k].letter;
		}
	return buf;
}

static void list_row(FILE *out, const char *name, int64_t id, int64_t mem, int64_t vcpus,
		     const char *state, double seconds)
{
	if (id >= 0)
		fprintf(out, "%-40s %5lld", name, (long long)id);
	else
		fprintf(out, "%-40s     -", name);
	fprintf(out, " %5lld %5lld     %s  %8.1f", (long long)mem, (long long)vcpus, state,
		seconds);
}

/* SHUTDOWN_* of <xen/sched.h>, or '-' while it runs. */
static const char *reason_code(json_object *d)
{
	const char *state = api_str(d, "state", "");

	if (strcmp(state, "crashed") == 0)
		return "3";
	return strcmp(state, "shutdown") == 0 ? "0" : "-";
}

void show_list_row(FILE *out, json_object *d, unsigned flags)
{
	char state[7];

	list_row(out, api_str(d, "name", "?"), api_int(d, "domid", -1), api_int(d, "memory_mib", 0),
		 api_int(d, "vcpus", 0), show_state(d, state), api_num(d, "cpu_seconds", 0));
	if (flags & SHOW_VERBOSE)
		fprintf(out, " %s %8s %16s", api_str(d, "uuid", ""), reason_code(d), "-");
	fputc('\n', out);
}

void show_list_host(FILE *out, json_object *host, unsigned flags)
{
	json_object *c = api_sub(host, "control_domain");

	list_row(out, api_str(c, "name", "Domain-0"), api_int(c, "domid", 0),
		 api_int(c, "memory_mib", 0), api_int(c, "vcpus", 0), "r-----",
		 api_num(c, "cpu_seconds", 0));
	if (flags & SHOW_VERBOSE)
		fprintf(out, " %s %8s %16s",
			api_str(c, "uuid", "00000000-0000-0000-0000-000000000000"), "-", "-");
	fputc('\n', out);
}

static void add(json_object *o, const char *key, json_object *v)
{
	json_object_object_add(o, key, v);
}

static void add_str(json_object *o, const char *key, const char *v)
{
	if (v)
		add(o, key, json_object_new_string(v));
}

/* libxl prints what differs from its defaults: destroy is one. */
static void add_action(json_object *o, json_object *config, const char *key, const char *def)
{
	const char *v = api_str(config, key, def);

	if (strcmp(v, "destroy") != 0)
		add_str(o, key, v);
}

json_object *show_long(json_object *d)
{
	json_object *config = api_sub(d, "config"), *o = json_object_new_object();
	json_object *c = json_object_new_object(), *ci = json_object_new_object(),
		    *bi = json_object_new_object(), *online = json_object_new_array();
	int64_t vcpus = api_int(d, "vcpus", 1);

	add_str(ci, "type", api_str(d, "type", "pvh"));
	add_str(ci, "name", api_str(d, "name", ""));
	add(ci, "domid", json_object_new_int64(4294967295)); /* libxl: chosen at creation */
	add_str(ci, "uuid", api_str(d, "uuid", ""));
	add_str(ci, "run_hotplug_scripts", "True");
	add(bi, "max_vcpus", json_object_new_int64(api_int(d, "max_vcpus", vcpus)));
	for (int64_t i = 0; i < vcpus && i < 4096; i++)
		json_object_array_add(online, json_object_new_int64(i));
	add(bi, "avail_vcpus", online);
	add(bi, "max_memkb", json_object_new_int64(api_int(d, "max_memory_mib", 0) * 1024));
	add(bi, "target_memkb",
	    json_object_new_int64(api_int(d, "target_memory_mib", api_int(d, "memory_mib", 0)) *
				  1024));
	add_str(bi, "kernel", api_str(config, "kernel", NULL));
	add_str(bi, "cmdline", api_str(config, "cmdline", NULL));
	add_str(bi, "ramdisk", api_str(config, "ramdisk", NULL));
	add(bi, "type.pvh", json_object_new_object());
	add(c, "c_info", ci);
	add(c, "b_info", bi);
	if (api_sub(config, "disks"))
		add(c, "disks", json_object_get(api_sub(config, "disks")));
	if (api_sub(config, "vifs"))
		add(c, "nics", json_object_get(api_sub(config, "vifs")));
	add_action(c, config, "on_poweroff", "destroy");
	add_action(c, config, "on_reboot", "restart");
	add_action(c, config, "on_crash", "destroy");
	add_str(c, "on_soft_reset", "soft_reset");
	add(o, "domid", json_object_new_int64(api_int(d, "domid", -1)));
	add(o, "config", c);
	return o;
}

void show_vcpu_head(FILE *out)
{
	fprintf(out, "%-32s %5s %5s %5s %5s %9s %s\n", "Name", "ID", "VCPU", "CPU", "State",
		"Time(s)", "Affinity (Hard / Soft)");
}

static void vcpu_row(FILE *out, const char *name, int64_t id, int64_t vcpu, const char *state,
		     double seconds)
{
	/* Which CPU it is on is the host scheduler's business of the moment. */
	fprintf(out, "%-32s %5lld %5lld %5s   %s %9.1f  %s\n", name, (long long)id, (long long)vcpu,
		"-", state, seconds, "all / all");
}

void show_vcpu_rows(FILE *out, json_object *d, json_object *host)
{
	json_object *times = api_sub(d, "vcpu_seconds"), *c = api_sub(host, "control_domain");
	int64_t n = d ? api_int(d, "max_vcpus", 0) : api_int(c, "vcpus", 0);
	int64_t online = d ? api_int(d, "vcpus", 0) : n;
	char flags[7], state[4];

	if (d)
		show_state(d, flags);
	for (int64_t i = 0; i < n && i < 4096; i++) {
		double t = (d ? api_num(d, "cpu_seconds", 0) : api_num(c, "cpu_seconds", 0)) /
			   (double)(online > 0 ? online : 1);

		if (json_object_is_type(times, json_type_array) &&
		    (size_t)i < json_object_array_length(times))
			t = json_object_get_double(json_object_array_get_idx(times, (size_t)i));
		if (i >= online)
			strcpy(state, "--p");
		else
			snprintf(state, sizeof(state), "%.3s", d ? flags : "r--");
		vcpu_row(out, d ? api_str(d, "name", "?") : api_str(c, "name", "Domain-0"),
			 d ? api_int(d, "domid", -1) : 0, i, state, t);
	}
}

static void info_str(FILE *out, const char *key, const char *v)
{
	fprintf(out, "%-23s: %s\n", key, v);
}

static void info_int(FILE *out, const char *key, int64_t v)
{
	fprintf(out, "%-23s: %lld\n", key, (long long)v);
}

void show_info(FILE *out, json_object *host)
{
	json_object *os = api_sub(host, "os"), *cpu = api_sub(host, "cpu");
	json_object *mem = api_sub(host, "memory"), *hv = api_sub(host, "hypervisor");
	json_object *parts = api_sub(host, "parts");
	int64_t major = api_int(hv, "xen_major", 0), minor = api_int(hv, "xen_minor", 0);
	const char *extra = api_str(hv, "xen_extra", "");

	info_str(out, "host", api_str(host, "hostname", "(none)"));
	info_str(out, "release", api_str(os, "release", ""));
	info_str(out, "version", api_str(os, "version", ""));
	info_str(out, "machine", api_str(os, "machine", ""));
	info_int(out, "nr_cpus", api_int(cpu, "count", 0));
	info_int(out, "max_cpu_id", api_int(cpu, "count", 1) - 1);
	info_int(out, "nr_nodes", 1);
	info_int(out, "cores_per_socket", api_int(cpu, "cores_per_socket", 0));
	info_int(out, "threads_per_core", api_int(cpu, "threads_per_core", 0));
	fprintf(out, "%-23s: %.3f\n", "cpu_mhz", api_num(cpu, "mhz", 0));
	info_int(out, "total_memory", api_int(mem, "total_bytes", 0) >> 20);
	info_int(out, "free_memory", api_int(mem, "free_bytes", 0) >> 20);
	if (hv) {
		info_int(out, "xen_major", major);
		info_int(out, "xen_minor", minor);
		info_str(out, "xen_extra", extra);
		fprintf(out, "%-23s: %lld.%lld%s\n", "xen_version", (long long)major,
			(long long)minor, extra);
		info_str(out, "xen_caps", api_str(hv, "xen_caps", ""));
		info_int(out, "xen_pagesize", 4096);
		info_str(out, "engine", api_str(hv, "engine", ""));
		info_str(out, "engine_reason", api_str(hv, "engine_reason", ""));
	}
	info_str(out, "domzero_version", api_str(host, "version", ""));
	if (json_object_is_type(parts, json_type_object)) {
		json_object_object_foreach(parts, name, state)
			fprintf(out, "%-23s: %s\n", name, json_object_get_string(state));
	}
	info_int(out, "xend_config_format", 4);
}

int64_t show_time(const char *text)
{
	struct tm tm = { 0 };

	return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : -1;
}

char *show_uptime(int64_t seconds, char buf[32])
{
	int64_t days = seconds / 86400;
	int h = (int)(seconds / 3600 % 24), m = (int)(seconds / 60 % 60), s = (int)(seconds % 60);

	if (days > 99999999)
		days = 99999999; /* a clock that was set; keep to the buffer */
	if (days > 0)
		snprintf(buf, 32, "%lld day%s, %2d:%02d:%02d", (long long)days, days > 1 ? "s" : "",
			 h, m, s);
	else
		snprintf(buf, 32, "%d:%02d:%02d", h, m, s);
	return buf;
}
