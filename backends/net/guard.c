/* backends/net/guard.c - the rules as text, and nft. */
#include "backends/net/guard.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemons/sys.h"

#define TABLE "domzero_%s" /* one of its own for each TAP: goes in one piece */

struct text {
	char *buf;
	size_t n, at;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = t->at < t->n ? vsnprintf(t->buf + t->at, t->n - t->at, fmt, ap) : 0;
	va_end(ap);
	t->at += r > 0 ? (size_t)r : 0;
}

/* "{ 10.0.0.2, 10.0.0.3 }" of one family, led by what a guest without an address uses. */
static void add_set(struct text *t, const struct guard *g, bool six)
{
	char a[VIF_ADDR_TEXT];

	add(t, "{ %s", six ? "::, fe80::/10" : "0.0.0.0");
	for (unsigned i = 0; i < g->naddrs; i++)
		if (g->addr[i].six == six) {
			vif_addr_text(&g->addr[i], a);
			add(t, ", %s", a);
		}
	add(t, " }");
}

static void add_addresses(struct text *t, const struct guard *g)
{
	add(t, "    ip saddr != ");
	add_set(t, g, false);
	add(t, " drop\n    arp saddr ip != ");
	add_set(t, g, false);
	add(t, " drop\n    ip6 saddr != ");
	add_set(t, g, true);
	add(t, " drop\n");
}

int guard_rules(const struct guard *g, const char *name, char *ret, size_t n)
{
	struct text t = { .buf = ret, .n = n };

	add(&t, "table netdev " TABLE "\ndelete table netdev " TABLE "\n", name, name);
	add(&t, "table netdev " TABLE " {\n  chain in {\n", name);
	add(&t, "    type filter hook ingress device \"%s\" priority 0; policy accept;\n", name);
	if (!(g->allow & VIF_ALLOW_VLAN)) /* else what is inside would not be looked at */
		add(&t, "    ether type { 0x8100, 0x88a8, 0x9100 } drop\n");
	if (!(g->allow & VIF_ALLOW_MAC)) {
		add(&t, "    ether saddr != %s drop\n", g->mac);
		add(&t, "    arp saddr ether != %s drop\n", g->mac);
	}
	if (!(g->allow & VIF_ALLOW_BPDU)) /* IEEE 802.1D 7.12.6: link-local groups */
		add(&t, "    ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop\n");
	if (!(g->allow & VIF_ALLOW_RA))
		add(&t, "    icmpv6 type { nd-router-advert, nd-redirect } drop\n");
	if (!(g->allow & VIF_ALLOW_DHCP))
		add(&t, "    ip protocol udp udp sport 67 drop\n"
			"    ip6 nexthdr udp udp sport 547 drop\n");
	if (g->naddrs && !(g->allow & VIF_ALLOW_IP))
		add_addresses(&t, g);
	add(&t, "  }\n}\n");
	return t.at < n ? 0 : -E2BIG;
}

int guard_apply(const char *text)
{
	static char *const argv[] = { "nft", "-f", "-", NULL };
	static char *const env[] = { "PATH=/usr/sbin:/sbin:/usr/bin:/bin", NULL };
	posix_spawn_file_actions_t fa;
	int in[2], status, r;
	pid_t pid;

	if (pipe(in) < 0)
		return -errno;
	r = -posix_spawn_file_actions_init(&fa);
	if (r == 0) {
		(void)posix_spawn_file_actions_adddup2(&fa, in[0], 0); /* fails in the child, too */
		(void)posix_spawn_file_actions_addclose(&fa, in[1]);
		r = -posix_spawnp(&pid, argv[0], &fa, NULL, argv, env);
		posix_spawn_file_actions_destroy(&fa);
	}
	close(in[0]);
	if (r == 0 && sys_write(in[1], text, strlen(text)) < 0)
		r = -EIO;
	close(in[1]);
	if (r < 0)
		return r;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return -EIO;
	return 0;
}

void guard_remove(const char *name)
{
	char text[128];

	(void)snprintf(text, sizeof(text),
		       "table netdev " TABLE "\ndelete table netdev " TABLE "\n", name, name);
	(void)guard_apply(text); /* without nft there is nothing to remove */
}
