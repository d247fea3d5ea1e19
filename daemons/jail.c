/* hv/domain/jail.c - closes the jail, in the one order that works: what needs
 * root first (namespaces, root folder), then the identity, then the rights,
 * and the system call filter last, since it forbids all of the above. */
#include "daemons/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemons/privs.h"

/* ---- namespaces ---- */

static const struct {
	int flag;
	const char *name;
} namespaces[] = {
	{ CLONE_NEWNS, "mount" },
	{ CLONE_NEWNET, "network" },
	{ CLONE_NEWIPC, "ipc" },
	{ CLONE_NEWUTS, "uts" },
};

static void note(char *list, size_t n, const char *what)
{
	size_t at = strlen(list);

	(void)snprintf(list + at, n - at, "%s%s", at ? " " : "", what); /* cut */
}

static void enter_namespaces(int *ret_got, char *missing, size_t n)
{
	*ret_got = 0;
	if (getpid() != 1)
		note(missing, n, "pid");
	for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++) {
		if (unshare(namespaces[i].flag) == 0)
			*ret_got |= namespaces[i].flag;
		else
			note(missing, n, namespaces[i].name);
	}
}

/* An empty tmpfs becomes the root and the old tree is let go: nothing of the
 * host has a name any more. */
static int enter_empty_tmpfs(const char *root)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,nr_inodes=1,mode=0555") < 0 ||
	    chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  NULL) < 0)
		return -errno;
	return 0;
}

/* The folder becomes the root.  It stays the host's: what the owner puts there
 * later is seen. */
static int enter_folder(const char *root)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(root, root, NULL, MS_BIND, NULL) < 0 || chdir(root) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0 ||
	    mount(NULL, "/", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return -errno;
	return 0;
}

static int enter_root(const struct jail_config *cfg, int got)
{
	if (got & CLONE_NEWNS)
		return cfg->covered ? enter_empty_tmpfs(cfg->root) : enter_folder(cfg->root);
	return chroot(cfg->root) < 0 || chdir("/") < 0 ? -errno : 0;
}

/* ---- rights ---- */

/* A new user namespace brings a full bounding set with it. */
static int drop_bounding(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	return 0;
}

static int drop_rights(const struct jail_config *cfg, char *missing, size_t n)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	int r = drop_bounding(); /* needs CAP_SETPCAP, so it goes before the uid */

	if (r < 0)
		return r;
	r = privs_drop(cfg->uid, cfg->uid, (gid_t)-1);
	if (r < 0)
		return r;
	/* A user namespace without a mapping: even this uid means nothing in it.
	 * It comes with all capabilities in itself, so they are dropped after. */
	if (unshare(CLONE_NEWUSER) < 0)
		note(missing, n, "user");
	else
		r = drop_bounding();
	if (r < 0)
		return r;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &head, none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

static int set_limits(const struct jail_config *cfg)
{
	const struct {
		int what;
		uint64_t max;
	} limits[] = {
		{ RLIMIT_CORE, 0 }, /* a core file would hold the guest's memory */
		{ RLIMIT_MEMLOCK, cfg->memlock_max },
		{ RLIMIT_MSGQUEUE, 0 },
		{ RLIMIT_RTPRIO, 0 },
		{ RLIMIT_DATA, cfg->data_max ? cfg->data_max : RLIM_INFINITY },
		{ RLIMIT_FSIZE, cfg->file_max ? cfg->file_max : RLIM_INFINITY },
		{ RLIMIT_NOFILE, cfg->files },
		{ RLIMIT_NPROC, cfg->threads },
#ifndef __SANITIZE_ADDRESS__ /* its shadow takes 2^44 bytes of address space */
		{ RLIMIT_AS, cfg->address_space ? cfg->address_space : RLIM_INFINITY },
#endif
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit l;

		if (getrlimit((__rlimit_resource_t)limits[i].what, &l) < 0)
			return -errno;
		if (l.rlim_max > limits[i].max)
			l.rlim_max = limits[i].max; /* else it is lower already: keep it */
		l.rlim_cur = l.rlim_max;
		if (setrlimit((__rlimit_resource_t)limits[i].what, &l) < 0)
			return -errno;
	}
	return 0;
}

/* ---- system calls ---- */

#define THREAD_FLAGS ((uint64_t)(CLONE_VM | CLONE_THREAD | CLONE_SIGHAND))
#define NS_FLAGS                                                                               \
	((uint64_t)(CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | \
		    CLONE_NEWUTS | CLONE_NEWCGROUP))

static const struct jail_rule base[] = {
	/* descriptors it has, and events on them */
	{ SCMP_SYS(read) },
	{ SCMP_SYS(write) },
	{ SCMP_SYS(readv) },
	{ SCMP_SYS(writev) },
	{ SCMP_SYS(newfstatat) },
	{ SCMP_SYS(fstat) },
	{ SCMP_SYS(close) },
	{ SCMP_SYS(sendmsg) },
	{ SCMP_SYS(recvmsg) },
	{ SCMP_SYS(poll) },
	{ SCMP_SYS(ppoll) },
	{ SCMP_SYS(epoll_create1) },
	{ SCMP_SYS(epoll_ctl) },
	{ SCMP_SYS(epoll_wait) },
	{ SCMP_SYS(epoll_pwait) },
	{ SCMP_SYS(eventfd2) },
	{ SCMP_SYS(timerfd_create) },
	{ SCMP_SYS(timerfd_settime) },
	/* memory */
	{ SCMP_SYS(brk) },
	{ SCMP_SYS(mmap) },
	{ SCMP_SYS(munmap) },
	{ SCMP_SYS(mremap) },
	{ SCMP_SYS(mprotect) },
	{ SCMP_SYS(madvise) },
	/* threads */
	{ SCMP_SYS(clone), 0, THREAD_FLAGS | NS_FLAGS, THREAD_FLAGS },
	{ SCMP_SYS(prctl), 0, ~0ull, PR_SET_NAME },
	{ SCMP_SYS(futex) },
	{ SCMP_SYS(set_robust_list) },
	{ SCMP_SYS(rseq) },
	{ SCMP_SYS(gettid) },
	{ SCMP_SYS(getpid) },
	{ SCMP_SYS(sched_yield) },
	{ SCMP_SYS(sched_getaffinity) },
	{ SCMP_SYS(membarrier) },
	{ SCMP_SYS(rt_sigaction) },
	{ SCMP_SYS(rt_sigprocmask) },
	{ SCMP_SYS(rt_sigreturn) },
	{ SCMP_SYS(sigaltstack) },
	{ SCMP_SYS(restart_syscall) },
	{ SCMP_SYS(exit) },
	{ SCMP_SYS(exit_group) },
	/* time, randomness */
	{ SCMP_SYS(clock_gettime) },
	{ SCMP_SYS(clock_getres) },
	{ SCMP_SYS(clock_nanosleep) },
	{ SCMP_SYS(gettimeofday) },
	{ SCMP_SYS(getrandom) },
	{ SCMP_SYS(getrusage) },
};

/* Asked for by the C library on its own account: refused, but not deadly. */
static const struct {
	int call, err;
} refused[] = {
	{ SCMP_SYS(open), EACCES },	{ SCMP_SYS(openat), EACCES }, { SCMP_SYS(access), EACCES },
	{ SCMP_SYS(readlink), EACCES }, { SCMP_SYS(ioctl), ENOTTY }, /* isatty() */
	{ SCMP_SYS(clone3), ENOSYS },	/* its flags can't be seen here: clone is tried next */
	{ SCMP_SYS(prlimit64), EPERM }, /* stack size of a thread: the default is taken */
};

static int allow(scmp_filter_ctx f, const struct jail_rule *rules, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct jail_rule *k = &rules[i];

		if (k->mask)
			r = seccomp_rule_add(
				f, SCMP_ACT_ALLOW, k->call, 1,
				SCMP_CMP(k->arg, SCMP_CMP_MASKED_EQ, k->mask, k->value));
		else
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, k->call, 0);
	}
	return r;
}

/* A call that is refused to most may be among the rules of one: those win. */
static bool has_rule(const struct jail_config *cfg, int call)
{
	for (size_t i = 0; i < cfg->nrules; i++)
		if (cfg->rules[i].call == call)
			return true;
	return false;
}

static int refuse(scmp_filter_ctx f, const struct jail_config *cfg)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(refused) / sizeof(refused[0]); i++)
		if (!has_rule(cfg, refused[i].call))
			r = seccomp_rule_add(f, SCMP_ACT_ERRNO((unsigned)refused[i].err),
					     refused[i].call, 0);
	return r;
}

#define OWN_CALLS 1u /* tgkill */

size_t jail_base_calls(void)
{
	return sizeof(base) / sizeof(base[0]) + OWN_CALLS;
}

static int close_system_calls(const struct jail_config *cfg)
{
	const struct jail_rule self = { SCMP_SYS(tgkill), 0, ~0ull, (uint64_t)getpid() };
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = f ? 0 : -ENOMEM;

	if (r == 0)
		r = allow(f, base, sizeof(base) / sizeof(base[0]));
	if (r == 0)
		r = allow(f, &self, OWN_CALLS);
	if (r == 0)
		r = allow(f, cfg->rules, cfg->nrules);
	if (r == 0)
		r = refuse(f, cfg);
	if (r == 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
	if (r == 0)
		r = seccomp_load(f);
	if (f)
		seccomp_release(f);
	return r;
}

int jail_enter(const struct jail_config *cfg, char *ret_missing, size_t missing_len, char *err,
	       size_t errlen)
{
	const char *step = "the empty root";
	int got, r;

	ret_missing[0] = '\0';
	enter_namespaces(&got, ret_missing, missing_len);
	r = enter_root(cfg, got);
	if (r == 0) {
		step = "capabilities and uid";
		r = drop_rights(cfg, ret_missing, missing_len);
	}
	if (r == 0) {
		step = "resource limits";
		r = set_limits(cfg);
	}
	if (r == 0) {
		step = "the system call filter";
		r = close_system_calls(cfg);
	}
	if (r < 0)
		(void)snprintf(err, errlen, "the jail could not be closed: %s: %s", step,
			       strerror(-r));
	return r;
}
