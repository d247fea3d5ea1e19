/* apid/host.c - GET /v1/host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "apid/call.h"
#include "apid/json.h"

static void cpu_model(char ret[128])
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");

	ret[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
			snprintf(ret, 128, "%s", strchr(line, ':') + 2);
			ret[strcspn(ret, "\n")] = '\0';
			break;
		}
	if (f)
		fclose(f);
}

/* What this host has used since its start: the control domain's time. */
static double host_cpu_seconds(void)
{
	unsigned long long u = 0, n = 0, s = 0;
	FILE *f = fopen("/proc/stat", "re");

	if (f) {
		if (fscanf(f, "cpu %llu %llu %llu", &u, &n, &s) != 3)
			u = n = s = 0;
		fclose(f);
	}
	return (double)(u + n + s) / (double)sysconf(_SC_CLK_TCK);
}

static void os_json(struct jbuf *b)
{
	struct utsname u;

	if (uname(&u) < 0)
		return;
	jb_kstr(b, "hostname", u.nodename);
	jb_key(b, "os");
	jb_obj(b);
	jb_kstr(b, "sysname", u.sysname);
	jb_kstr(b, "release", u.release);
	jb_kstr(b, "version", u.version);
	jb_kstr(b, "machine", u.machine);
	jb_obj_end(b);
}

static void cpu_json(struct jbuf *b, const struct hvc_hostinfo *hi)
{
	uint32_t per = hi->threads_per_core * hi->cores_per_socket;
	char model[128];

	cpu_model(model);
	jb_key(b, "cpu");
	jb_obj(b);
	jb_kstr(b, "model", model);
	jb_kint(b, "count", hi->nr_cpus);
	jb_kint(b, "sockets", per && hi->nr_cpus / per ? hi->nr_cpus / per : 1);
	jb_kint(b, "cores_per_socket", hi->cores_per_socket);
	jb_kint(b, "threads_per_core", hi->threads_per_core);
	jb_key(b, "mhz");
	jb_num(b, hi->cpu_khz / 1000.0);
	jb_obj_end(b);
	jb_key(b, "memory");
	jb_obj(b);
	jb_kint(b, "total_bytes", (int64_t)hi->total_kib * 1024);
	jb_kint(b, "free_bytes", (int64_t)hi->free_kib * 1024);
	jb_obj_end(b);
}

static void hv_json(struct jbuf *b, const struct hvc_hostinfo *hi)
{
	jb_key(b, "hypervisor");
	jb_obj(b);
	jb_kstr(b, "version", hi->version);
	jb_kint(b, "xen_major", hi->xen_major);
	jb_kint(b, "xen_minor", hi->xen_minor);
	jb_kstr(b, "xen_extra", hi->xen_extra);
	jb_kstr(b, "xen_caps", hi->xen_caps);
	jb_kstr(b, "engine", hi->engine);
	jb_kstr(b, "engine_reason", hi->engine_reason);
	jb_ktime(b, "started_at", (int64_t)hi->boot_time_s * 1000);
	jb_obj_end(b);
}

static void dom0_json(struct jbuf *b)
{
	jb_key(b, "control_domain");
	jb_obj(b);
	jb_kint(b, "domid", 0);
	jb_kstr(b, "name", "Domain-0");
	jb_kstr(b, "uuid", "00000000-0000-0000-0000-000000000000");
	jb_kint(b, "vcpus", sysconf(_SC_NPROCESSORS_ONLN));
	jb_kint(b, "memory_mib",
		(int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 1048576);
	jb_key(b, "cpu_seconds");
	jb_num(b, host_cpu_seconds());
	jb_obj_end(b);
}

void host_json(struct apid *a, struct jbuf *b)
{
	struct host_state s;

	pthread_mutex_lock(&a->host.lock);
	s = a->host;
	pthread_mutex_unlock(&a->host.lock);
	jb_obj(b);
	jb_kstr(b, "uuid", a->host_uuid);
	os_json(b);
	jb_kstr(b, "version", DZ_VERSION);
	jb_kstr(b, "api_version", "1");
	if (s.have_info) {
		cpu_json(b, &s.info);
		hv_json(b, &s.info);
	}
	dom0_json(b);
	jb_key(b, "parts");
	jb_obj(b);
	jb_kstr(b, "hvd", s.hv_up ? "up" : "down");
	jb_kstr(b, "xenstored", s.xs_up ? "up" : "down");
	jb_kstr(b, "consoled", s.con_up ? "up" : "down");
	jb_obj_end(b);
	jb_obj_end(b);
}
