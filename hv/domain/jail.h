/* hv/domain/jail.h - the walls around a domain process (daemons/jail.h). */
#ifndef HV_DOMAIN_JAIL_H
#define HV_DOMAIN_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct domain_jail {
	uid_t uid;	    /* also the gid */
	const char *root;   /* an empty folder; borrowed */
	uint64_t ram_bytes; /* of the guest: part of the address space limit */
	unsigned threads;   /* at most */
	bool kvm;	    /* engine kvm: its requests to /dev/kvm are allowed */
};

/* As jail_enter(). */
int domain_jail_enter(const struct domain_jail *cfg, char *ret_missing, size_t missing_len,
		      char *err, size_t errlen);

/* How many system calls are allowed, ioctl of engine kvm aside; for the documentation and its test.
 */
size_t domain_jail_calls(void);

#endif
