/* daemons/sandbox.c - a seccomp filter from a list.  Unlike a jail's (jail.c) it
 * refuses instead of killing: a daemon that everything hangs on goes on without
 * what a library tried. */
#include "daemons/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/socket.h>

int sandbox_allow(const int *calls, size_t n)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = ctx ? 0 : -ENOMEM;

	/* Threads may exist already. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; i < n && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}
