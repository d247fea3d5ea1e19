/* hv/client/domctl.h - creating and steering domains; the toolstack's part of
 * the hypervisor interface (bundled provider only). */
#ifndef HV_CLIENT_DOMCTL_H
#define HV_CLIENT_DOMCTL_H

#include "hv/client/hvc.h"

struct hvc_create {
	uint8_t uuid[16];
	uint64_t mem_pages, max_pages; /* 4 KiB pages at boot, and at most */
	uint32_t vcpus, max_vcpus;
	const char *name;   /* for logs and process titles */
	const char *engine; /* "auto", "soft", "kvm" */
	const char *cmdline;
	int kernel_fd, ramdisk_fd; /* open for reading, borrowed; ramdisk -1: none */
};
struct hvc_created {
	uint16_t domid;
	uint64_t store_gfn, console_gfn;
	uint32_t store_port, console_port;
};

/* Builds the domain and leaves it paused.  May take a second (kernel image).
 * On failure nothing is left behind and err holds one line for the user.
 * -EINVAL bad image or numbers, -ENOMEM, -EMFILE, ... */
int hvc_create(struct hvc *h, const struct hvc_create *c, struct hvc_created *ret, char *err,
	       size_t errlen);
int hvc_pause(struct hvc *h, uint16_t domid);
int hvc_unpause(struct hvc *h, uint16_t domid);
/* Kills the process, frees memory and domid.  0 also if it was dead already. */
int hvc_destroy(struct hvc *h, uint16_t domid);
int hvc_set_max_pages(struct hvc *h, uint16_t domid, uint64_t pages);
int hvc_nmi(struct hvc *h, uint16_t domid, uint32_t vcpu);
int hvc_debug_virq(struct hvc *h, uint16_t domid);
int hvc_vcpu_times(struct hvc *h, uint16_t domid, uint64_t *ret_ns, size_t n); /* count */

struct hvc_hostinfo {
	uint32_t nr_cpus, threads_per_core, cores_per_socket, cpu_khz;
	uint64_t total_kib, free_kib;
	uint32_t xen_major, xen_minor; /* the ABI we show: 4.17 */
	char xen_extra[16], xen_caps[128], version[32];
	char engine[16];	 /* what "auto" means here */
	char engine_reason[256]; /* why */
	uint64_t boot_time_s;	 /* CLOCK_REALTIME hvd first started */
};
int hvc_hostinfo(struct hvc *h, struct hvc_hostinfo *ret);
/* The log ring as text, from byte offset off of all ever logged; *ret_next is
 * the offset to ask for next.  Returns bytes written. */
int hvc_dmesg(struct hvc *h, uint64_t off, char *buf, size_t n, uint64_t *ret_next);

#endif
