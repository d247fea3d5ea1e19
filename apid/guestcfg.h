/* apid/guestcfg.h - a DomainConfig as a struct, with the checks a schema can't
 * express. */
#ifndef APID_GUESTCFG_H
#define APID_GUESTCFG_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "apid/ids.h"
#include "apid/problem.h"
#include "apid/vifcfg.h"

#define GUEST_NAME_MAX	   64 /* characters */
#define GUEST_VCPUS_MAX	   32
#define GUEST_METADATA_MAX 65536

enum end_action {
	END_DESTROY,
	END_RESTART,
	END_RENAME_RESTART,
	END_PRESERVE,
	END_COREDUMP_DESTROY,
	END_COREDUMP_RESTART
};

struct guest_disk {
	char vdev[33];
	char *target; /* owned; NULL: none given */
	bool raw, readonly, cdrom, discard, direct_io_safe, trusted;
	bool elsewhere; /* asks for a script or another domain's backend */
};

struct guestcfg {
	char uuid[UUID_LEN + 1];
	char name[GUEST_NAME_MAX * 4 + 1];
	unsigned vcpus, maxvcpus;
	uint64_t memory_mib, maxmem_mib;
	char *kernel, *ramdisk, *cmdline; /* owned; the latter two may be NULL */
	char engine[8];
	enum end_action on_poweroff, on_reboot, on_crash, on_watchdog;
	unsigned ndisks, nvifs;
	struct guest_disk *disks; /* owned, ndisks of them */
	struct guest_vif *vifs;	  /* owned, nvifs of them */
	bool ignore_devices, autostart;
};

/* cfg fits the schema already and has a uuid.  0, -ENOMEM, or -EINVAL and *p. */
int guestcfg_parse(json_object *cfg, struct guestcfg *ret, struct problem *p);
void guestcfg_fini(struct guestcfg *g);

/* 1..64 characters, no '/', no control character, not all digits, no UUID. */
int guest_name_check(const char *name, struct problem *p);
/* Bytes of the longest beginning of whole characters that has at most max bytes. */
size_t guest_name_cut(const char *name, size_t max);

#endif
