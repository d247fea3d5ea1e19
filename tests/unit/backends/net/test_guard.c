/* tests/unit/backends/net/test_guard.c - the rules against forged frames, as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backends/net/guard.h"

static const struct guard plain = { .mac = "00:16:3e:01:02:03" };

static char *rules(const struct guard *g)
{
	static char text[4096];

	assert_int_equal(guard_rules(g, "vif1.0", text, sizeof(text)), 0);
	return text;
}

static void each_forgery_has_a_rule_and_each_leave_takes_it_away(void **state)
{
	static const struct {
		unsigned allow;
		const char *rule;
	} t[] = {
		{ VIF_ALLOW_MAC, "ether saddr != 00:16:3e:01:02:03 drop" },
		{ VIF_ALLOW_MAC, "arp saddr ether != 00:16:3e:01:02:03 drop" },
		{ VIF_ALLOW_BPDU, "01:80:c2:00:00:00 drop" },
		{ VIF_ALLOW_RA, "nd-router-advert" },
		{ VIF_ALLOW_DHCP, "sport 67 drop" },
		{ VIF_ALLOW_DHCP, "sport 547 drop" },
		{ VIF_ALLOW_VLAN, "0x8100" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct guard g = plain;

		assert_non_null(strstr(rules(&g), t[i].rule));
		g.allow = t[i].allow;
		assert_null(strstr(rules(&g), t[i].rule));
		g.allow = VIF_ALLOW_ALL & ~t[i].allow;
		assert_non_null(strstr(rules(&g), t[i].rule));
	}
}

static void addresses_are_kept_only_if_some_are_given(void **state)
{
	struct guard g = plain;
	char bad[VIF_ADDR_TEXT];

	assert_null(strstr(rules(&g), "ip saddr"));
	g.naddrs = (unsigned)vif_addrs_parse("10.0.0.2/24 fd00::2 10.0.0.3", g.addr, bad);
	assert_int_equal(g.naddrs, 3);
	assert_non_null(strstr(rules(&g), "ip saddr != { 0.0.0.0, 10.0.0.2, 10.0.0.3 } drop"));
	assert_non_null(strstr(rules(&g), "arp saddr ip != { 0.0.0.0, 10.0.0.2, 10.0.0.3 } drop"));
	assert_non_null(strstr(rules(&g), "ip6 saddr != { ::, fe80::/10, fd00::2 } drop"));
	g.allow = VIF_ALLOW_IP;
	assert_null(strstr(rules(&g), "ip saddr"));
}

static void rules_that_do_not_fit_are_refused_at_every_length(void **state)
{
	char text[4096];
	size_t need = strlen(rules(&plain));

	for (size_t n = 0; n <= need; n++)
		assert_int_equal(guard_rules(&plain, "vif1.0", text, n), -E2BIG);
	assert_int_equal(guard_rules(&plain, "vif1.0", text, need + 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_forgery_has_a_rule_and_each_leave_takes_it_away),
		cmocka_unit_test(addresses_are_kept_only_if_some_are_given),
		cmocka_unit_test(rules_that_do_not_fit_are_refused_at_every_length),
	};

	return cmocka_run_group_tests_name("backends/net/guard", tests, NULL, NULL);
}
