/* hv/domain/domain.h - one guest: memory, vCPUs, interrupt state, hypercalls.
 *
 * Lives in the domain process, after the jail is closed: uses nothing but
 * descriptors it was given, memory and threads.  hv/domain/main.c owns the
 * process (jail, control socket) and calls this; hypercalls, event channels,
 * grants, LAPIC, timers are behind it.
 *
 * Sources: Xen's public headers (libxen-dev), SDM 3A ch. 10 (APIC).
 *
 *   BUILDING --domain_build--> PAUSED <--unpause/pause--> RUNNING
 *   RUNNING --SCHEDOP_shutdown, triple fault, our bug--> SHUTDOWN (vCPUs stopped,
 *   memory kept) --domain_free--> gone
 */
#ifndef HV_DOMAIN_DOMAIN_H
#define HV_DOMAIN_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/hv_layout.h" /* SPECIAL_*, GNTTAB_MAX_FRAMES, DOMAIN_* */

struct domain_config {
	uint16_t domid;
	uint8_t uuid[16];
	uint64_t mem_pages;  /* size of the RAM memfd: the maximum */
	uint64_t populated;  /* memory=: the guest is shown mem_pages and balloons down to this
			      * itself; until then its pages are counted as this many */
	unsigned vcpus;	     /* online at boot */
	unsigned max_vcpus;  /* 1..DOMAIN_MAX_VCPUS */
	const char *engine;  /* "soft", "kvm" */
	int kvm_fd;	     /* engine kvm: /dev/kvm, borrowed for the domain's life */
	const char *cmdline; /* borrowed during domain_new; < DOMAIN_CMDLINE_MAX */
	bool no_store;	     /* tell the kernel there is no XenStore (tests of the engine) */
	int ram_fd, special_fd, gnttab_fd; /* borrowed for the domain's life */
	int kernel_fd;			   /* borrowed until domain_build returns */
	int ramdisk_fd;			   /* likewise, or -1 */
};

enum domain_state { DOM_BUILDING, DOM_PAUSED, DOM_RUNNING, DOM_SHUTDOWN };

struct domain_stats {
	enum domain_state state;
	unsigned shutdown_reason; /* SHUTDOWN_* of <xen/sched.h>, when state is DOM_SHUTDOWN */
	char crash_detail[128];	  /* why, in words, when the reason is crash; else "" */
	uint64_t pages;		  /* populated now */
	uint64_t max_pages;
	unsigned vcpus_online, max_vcpus;
	bool blocked;	 /* every online vCPU is idle */
	uint64_t cpu_ns; /* host CPU time of all vCPUs */
	uint64_t vcpu_ns[DOMAIN_MAX_VCPUS];
};

/* Callbacks come from any of the domain's threads and must not block. */
struct domain_events {
	/* The domain reached DOM_SHUTDOWN.  Once. */
	void (*shutdown)(void *arg, unsigned reason);
	/* One line for hvd's log ring (dz dmesg); already rate limited per kind. */
	void (*log)(void *arg, const char *line);
	void *arg;
};

struct domain;

/* Errors are a negative errno and one line in err that says what to do. */
int domain_new(const struct domain_config *cfg, const struct domain_events *ev, struct domain **ret,
	       char *err, size_t errlen);
/* Load kernel and ramdisk (hostile files), lay out start_info and ACPI, set up
 * the boot vCPU.  BUILDING -> PAUSED, or an error that leaves it BUILDING. */
int domain_build(struct domain *d, char *err, size_t errlen);
void domain_unpause(struct domain *d);
void domain_pause(struct domain *d); /* returns when no vCPU runs */
void domain_stats(struct domain *d, struct domain_stats *ret);
/* Stops the vCPUs and their threads; idempotent with NULL. */
struct domain *domain_free(struct domain *d);

/* Connect port to dom0.  The domain signals notify_fd (eventfd) when the guest
 * sends, and raises the port when kick_fd (eventfd) is signalled.  Both are
 * non-blocking, and consumed on success.  The port must be unbound for dom0, or already bound to
 * dom0 (a restarted daemon: the old descriptors are replaced): else -EINVAL,
 * -ENOENT for no such port. */
int domain_bind_dom0(struct domain *d, uint32_t port, int notify_fd, int kick_fd);
/* Back to unbound for dom0. */
int domain_unbind_dom0(struct domain *d, uint32_t port);

/* Memory target in pages for the balloon is XenStore's; this caps populate. */
int domain_set_max_pages(struct domain *d, uint64_t pages);
/* ACPI/PVH vCPU hot-plug is the guest's through XenStore cpu/N/availability. */
/* Raise VIRQ_DEBUG on every vCPU (xl debug-keys, trigger). */
void domain_debug_virq(struct domain *d);
/* Trigger an NMI on a vCPU (xl trigger nmi). */
int domain_nmi(struct domain *d, unsigned vcpu);

#endif
