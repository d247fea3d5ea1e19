/* hv/domain/jail.c - what a domain process needs beside what every jailed process
 * has: its control socket, its guest's memory, its engine's code. */
#include "hv/domain/jail.h"

#include <fcntl.h>
#include <seccomp.h>

#include "daemons/jail.h"

#define AS_BASE	      (4ull << 30)   /* code, tables of the engine, libraries */
#define AS_PER_THREAD (256ull << 20) /* stack, allocator arena, translation cache */
#define FILE_MAX      (1ull << 30)   /* largest memfd the engine may make for its code */
#define FD_MAX	      4096u

static const struct jail_rule rules[] = {
	{ SCMP_SYS(accept4) },
	{ SCMP_SYS(dup) },
	{ SCMP_SYS(pread64) },
	{ SCMP_SYS(lseek) },
	/* the balloon's holes, the engine's code */
	{ SCMP_SYS(fallocate) },
	{ SCMP_SYS(memfd_create) },
	{ SCMP_SYS(ftruncate) },
	/* memfds are sealed; no other flag of a shared descriptor may be touched */
	{ SCMP_SYS(fcntl), 1, ~0ull, F_ADD_SEALS },
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

size_t domain_jail_calls(void)
{
	return jail_base_calls() + RULES;
}

int domain_jail_enter(const struct domain_jail *cfg, char *ret_missing, size_t missing_len,
		      char *err, size_t errlen)
{
	struct jail_config c = {
		.uid = cfg->uid,
		.root = cfg->root,
		.covered = true,
		.threads = cfg->threads,
		.files = FD_MAX,
		.file_max = FILE_MAX,
		.address_space = cfg->ram_bytes + AS_BASE + cfg->threads * AS_PER_THREAD,
		.rules = rules,
		.nrules = RULES,
	};

	return jail_enter(&c, ret_missing, missing_len, err, errlen);
}
