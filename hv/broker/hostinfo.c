/* hv/broker/hostinfo.c - what `dz info` tells of the machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hv/broker/hvd.h"

static void read_cpuinfo(struct hv_HOSTINFO_REPLY *ret)
{
	unsigned siblings = 0, cores = 0, v;
	char line[512];
	double mhz;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		if (!colon)
			continue;
		if (strncmp(line, "siblings", 8) == 0 && sscanf(colon, ": %u", &v) == 1)
			siblings = v;
		else if (strncmp(line, "cpu cores", 9) == 0 && sscanf(colon, ": %u", &v) == 1)
			cores = v;
		else if (strncmp(line, "cpu MHz", 7) == 0 && sscanf(colon, ": %lf", &mhz) == 1)
			ret->cpu_khz = (uint32_t)(mhz * 1000);
	}
	if (f)
		fclose(f);
	ret->cores_per_socket = cores ? cores : 1;
	ret->threads_per_core = cores && siblings > cores ? siblings / cores : 1;
}

/* "MemTotal" in KiB, or 0. */
static uint64_t meminfo(const char *field)
{
	unsigned long long kib = 0;
	size_t n = strlen(field);
	char line[256];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, field, n) == 0 && line[n] == ':' &&
		    sscanf(line + n + 1, "%llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

uint64_t host_free_kib(const struct hvd *h)
{
	uint64_t avail = meminfo("MemAvailable"), promised = 0;

	for (unsigned i = 0; i < DOMIDS; i++) {
		const struct dom *d = h->doms[i];
		uint64_t want, have;
		struct stat st;

		if (!d || d->ram_fd < 0 || fstat(d->ram_fd, &st) < 0)
			continue;
		want = d->id.mem_pages * (P2M_PAGE_SIZE / 1024);
		have = (uint64_t)st.st_blocks / 2; /* 512-byte blocks that exist */
		promised += want > have ? want - have : 0;
	}
	return avail > promised ? avail - promised : 0;
}

void hostinfo(struct hvd *h, struct hv_HOSTINFO_REPLY *ret)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	*ret = (struct hv_HOSTINFO_REPLY){
		.nr_cpus = cpus > 0 ? (uint32_t)cpus : 1,
		.total_kib = meminfo("MemTotal"),
		.free_kib = host_free_kib(h),
		.xen_major = 4,
		.xen_minor = 17, /* the ABI that guests are shown */
		.xen_extra = "-domzero",
		.xen_caps = "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64",
		.version = DZ_VERSION,
		.boot_time_s = h->boot_time_s,
	};
	(void)snprintf(ret->engine, sizeof(ret->engine), "%s", engine_auto(h));
	(void)snprintf(ret->engine_reason, sizeof(ret->engine_reason), "%s", h->engine_reason);
	read_cpuinfo(ret);
}
