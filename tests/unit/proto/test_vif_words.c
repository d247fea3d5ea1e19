/* tests/unit/proto/test_vif_words.c - what a vif's words may be. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/vif_words.h"

static void a_mac_is_that_of_one_interface(void **state)
{
	static const char *const bad[] = { "",
					   "00:16:3e:12:34",
					   "00:16:3e:12:34:5",
					   "00:16:3e:12:34:567",
					   "00-16-3e-12-34-56",
					   "00:16:3e:12:34:5g",
					   "01:16:3e:12:34:56",
					   "ff:ff:ff:ff:ff:ff",
					   "00:00:00:00:00:00",
					   "00:16:3e:12:34:56 " };
	char mac[MAC_LEN + 1] = "kept";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vif_mac_parse(bad[i], mac), -EINVAL);
	assert_string_equal(mac, "kept");
	assert_int_equal(vif_mac_parse("00:16:3E:aB:34:56", mac), 0);
	assert_string_equal(mac, "00:16:3e:ab:34:56");
}

static void what_is_allowed_goes_to_bits_and_back(void **state)
{
	static const char *const bad[] = {
		"x", "mac+", "+mac", "mac++ip", "mac,ip", "MAC", "mac "
	};
	unsigned bits = 99;
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vif_allow_parse(bad[i], &bits), -EINVAL);
	assert_int_equal(bits, 99);
	for (unsigned want = 0; want <= VIF_ALLOW_ALL; want++) {
		vif_allow_text(want, text);
		assert_int_equal(vif_allow_parse(text, &bits), 0);
		assert_int_equal(bits, want);
	}
}

static void a_name_is_what_linux_and_a_shell_take(void **state)
{
	static const char *const good[] = {
		"vif1.0", "xenbr0", "a", "fifteen-letters", "...", "_x"
	};
	static const char *const bad[] = {
		"",    ".",   "..",  "a/b", "-x", "a b", "a\n",
		"a:b", "a;b", "a\"", "a*",  "$a", "{",	 "sixteen-letters0"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(vif_is_ifname(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(vif_is_ifname(bad[i], strlen(bad[i])));
	assert_true(vif_is_ifname("br0:10", 3));
}

static void addresses_come_with_or_without_their_prefix(void **state)
{
	static const char *const bad[] = {
		"",  "10.0.0.256", "10.0.0.1/33", "10.0.0.1/",	   "fd00::/129", "10.0.0.1/-1",
		"x", "10.0.0",	   "10.0.0.1/1x", "10.0.0.1/0001", "::g"
	};
	char text[VIF_ADDR_TEXT];
	struct vif_addr a = { .prefix = 77 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vif_addr_parse(bad[i], &a), -EINVAL);
	assert_int_equal(a.prefix, 77);
	assert_int_equal(vif_addr_parse("10.0.0.2/24", &a), 0);
	assert_int_equal(a.prefix, 24);
	vif_addr_text(&a, text);
	assert_string_equal(text, "10.0.0.2");
	assert_int_equal(vif_addr_parse("FD00:0::2", &a), 0);
	assert_true(a.six);
	assert_int_equal(a.prefix, 128);
	vif_addr_text(&a, text);
	assert_string_equal(text, "fd00::2");
}

static void a_list_has_at_most_sixteen_addresses_and_names_a_bad_one(void **state)
{
	struct vif_addr v[VIF_ADDRS_MAX];
	char word[VIF_ADDR_TEXT] = "", text[400] = "";

	(void)state;
	assert_int_equal(vif_addrs_parse("", v, word), 0);
	assert_int_equal(vif_addrs_parse("  10.0.0.1\t fd00::1  ", v, word), 2);
	assert_int_equal(vif_addrs_parse("10.0.0.1 }drop 10.0.0.2", v, word), -EINVAL);
	assert_string_equal(word, "}drop");
	memset(text, '1', 399);
	assert_int_equal(vif_addrs_parse(text, v, word), -EINVAL);
	assert_int_equal(strlen(word), VIF_ADDR_TEXT - 1);
	text[0] = '\0';
	for (int i = 0; i < 16; i++)
		strcat(text, " 1.1.1.1");
	assert_int_equal(vif_addrs_parse(text, v, word), 16);
	strcat(text, " 1.1.1.1");
	assert_int_equal(vif_addrs_parse(text, v, word), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mac_is_that_of_one_interface),
		cmocka_unit_test(what_is_allowed_goes_to_bits_and_back),
		cmocka_unit_test(a_name_is_what_linux_and_a_shell_take),
		cmocka_unit_test(addresses_come_with_or_without_their_prefix),
		cmocka_unit_test(a_list_has_at_most_sixteen_addresses_and_names_a_bad_one),
	};

	return cmocka_run_group_tests_name("proto/vif_words", tests, NULL, NULL);
}
