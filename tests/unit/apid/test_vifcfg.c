/* tests/unit/apid/test_vifcfg.c - words of a vif: rates, addresses, names. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apid/json.h"
#include "apid/vifcfg.h"

static int parse(const char *text, struct guest_vif *v, struct problem *p)
{
	json_object *o = NULL;
	char err[96];
	int r;

	assert_int_equal(json_parse(text, strlen(text), &o, err, sizeof(err)), 0);
	r = vifcfg_parse(o, 3, v, p);
	json_object_put(o);
	return r;
}

static void a_rate_is_bytes_in_each_interval_as_in_xl(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		uint32_t usecs;
	} good[] = {
		{ "1B/s@1s", 1, 1000000 },	{ "10Mb/s", 62500, 50000 },
		{ "1MB/s@20ms", 20000, 20000 }, { "8Kb/s@5", 5000, 5000000 },
		{ "1GB/s@30us", 30000, 30 },	{ "9000000000GB/s@1u", 9000000000000, 1 },
	};
	uint64_t bytes;
	uint32_t usecs;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(vifcfg_rate(good[i].text, &bytes, &usecs), 0);
		assert_int_equal(bytes, good[i].bytes);
		assert_int_equal(usecs, good[i].usecs);
	}
}

static void hostile_rates_are_refused_and_change_nothing(void **state)
{
	static const char *const form[] = { "",	     "-1",	"-1B/s",    "0,0",	"1,1",
					    "B/s",   "1",	"1B",	    "1B/",	"1b/s@",
					    "1TB/s", "1MB/s@x", "1MB/s@1h", " 1B/s",	"1 B/s",
					    "+1B/s", "0x1B/s",	"1.5MB/s",  "1MB/s@-1", "1mB/s" };
	static const char *const range[] = { "0B/s",
					     "1B/s", /* not one in 50 ms */
					     "7b/s@1s",
					     "99999999999999999999B/s",
					     "18446744073709551615B/s",
					     "18446744073709551616B/s",
					     "9223372036854775807KB/s",
					     "1GB/s@0",
					     "1GB/s@99999999999999999999s",
					     "1GB/s@4295s",
					     "9223372036GB/s@4000s" };
	uint64_t bytes = 77;
	uint32_t usecs = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(form) / sizeof(form[0]); i++)
		assert_int_equal(vifcfg_rate(form[i], &bytes, &usecs), -EINVAL);
	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++)
		assert_int_equal(vifcfg_rate(range[i], &bytes, &usecs), -ERANGE);
	assert_int_equal(bytes, 77);
	assert_int_equal(usecs, 77);
}

static void a_new_mac_is_one_of_xens(void **state)
{
	char mac[MAC_LEN + 1], again[MAC_LEN + 1];

	(void)state;
	for (int i = 0; i < 64; i++) {
		vifcfg_mac_new(mac);
		assert_int_equal(strncmp(mac, "00:16:3e:", 9), 0);
		assert_int_equal(vif_mac_parse(mac, again), 0);
		assert_string_equal(mac, again);
	}
}

static void the_defaults_are_those_of_xl(void **state)
{
	struct guest_vif v;
	struct problem p;

	(void)state;
	assert_int_equal(parse("{}", &v, &p), 0);
	assert_int_equal(v.devid, 3);
	assert_string_equal(v.bridge, "xenbr0");
	assert_string_equal(v.script, "vif-bridge");
	assert_true(v.trusted);
	assert_int_equal(v.rate_bytes, 0);
	assert_string_equal(v.mac, "");
}

static void all_words_are_taken(void **state)
{
	struct guest_vif v;
	struct problem p;

	(void)state;
	assert_int_equal(
		parse("{\"mac\":\"00:16:3E:00:00:01\",\"bridge\":\"ovsbr0.10:20:30\",\"script\":"
		      "\"/etc/xen/scripts/vif-openvswitch\",\"vifname\":\"web-0\",\"ip\":\" "
		      "10.0.0.2/24  "
		      "fd00::2 \",\"rate\":\"10Mb/s\",\"gatewaydev\":\"eth0\",\"mtu\":9000,"
		      "\"vlan\":\"10p/20\",\"allow\":\"ra+dhcp\",\"trusted\":false,\"devid\":7,"
		      "\"rx_bytes_sec\":1000000,\"rx_burst_bytes\":64000,\"tx_bytes_sec\":5}",
		      &v, &p),
		0);
	assert_string_equal(v.mac, "00:16:3e:00:00:01");
	assert_string_equal(v.bridge, "ovsbr0.10:20:30");
	assert_string_equal(v.script, "vif-openvswitch");
	assert_string_equal(v.ip, "10.0.0.2/24 fd00::2");
	assert_int_equal(v.allow, VIF_ALLOW_RA | VIF_ALLOW_DHCP);
	assert_int_equal(v.devid, 7);
	assert_int_equal(v.rx_burst, 64000);
	assert_false(v.trusted);
}

static void what_could_leave_its_place_is_refused_and_named(void **state)
{
	static const struct {
		const char *text, *pointer;
	} bad[] = {
		{ "{\"bridge\":\"br0; rm -rf\"}", "/vifs/3/bridge" },
		{ "{\"bridge\":\"../x\"}", "/vifs/3/bridge" },
		{ "{\"bridge\":\"-h\"}", "/vifs/3/bridge" },
		{ "{\"bridge\":\"..\"}", "/vifs/3/bridge" },
		{ "{\"bridge\":\"sixteen-letters0\"}", "/vifs/3/bridge" },
		{ "{\"bridge\":\"br0:x\"}", "/vifs/3/bridge" },
		{ "{\"vifname\":\"a/b\"}", "/vifs/3/vifname" },
		{ "{\"vifname\":\"a\\\"b\"}", "/vifs/3/vifname" },
		{ "{\"gatewaydev\":\"e th\"}", "/vifs/3/gatewaydev" },
		{ "{\"script\":\"/root/evil.sh\"}", "/vifs/3/script" },
		{ "{\"ip\":\"10.0.0.256\"}", "/vifs/3/ip" },
		{ "{\"ip\":\"10.0.0.1/33\"}", "/vifs/3/ip" },
		{ "{\"ip\":\"fd00::1/129\"}", "/vifs/3/ip" },
		{ "{\"ip\":\"10.0.0.1/\"}", "/vifs/3/ip" },
		{ "{\"ip\":\"} drop\"}", "/vifs/3/ip" },
		{ "{\"vlan\":\"x\"}", "/vifs/3/vlan" },
		{ "{\"rate\":\"0,0\"}", "/vifs/3/rate" },
		{ "{\"allow\":\"everything\"}", "/vifs/3/allow" },
		{ "{\"type\":\"ioemu\"}", "/vifs/3/type" },
		{ "{\"mac\":\"01:00:00:00:00:01\"}", "/vifs/3/mac" },
		{ "{\"rx_burst_bytes\":64000}", "/vifs/3/rx_burst_bytes" },
		{ "{\"tx_burst_bytes\":64000}", "/vifs/3/tx_burst_bytes" },
	};
	struct guest_vif v = { .devid = 77 };
	struct problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i].text, &v, &p), -EINVAL);
		assert_int_equal(p.code, PROB_INVALID_CONFIG);
		assert_string_equal(p.pointer, bad[i].pointer);
		assert_int_equal(v.devid, 77);
	}
}

static void seventeen_addresses_are_one_too_many(void **state)
{
	char text[400] = "{\"ip\":\"1.1.1.1";
	struct guest_vif v;
	struct problem p;

	(void)state;
	for (int i = 1; i < 16; i++)
		strcat(text, " 1.1.1.1");
	strcat(text, "\"}");
	assert_int_equal(parse(text, &v, &p), 0);
	strcpy(text + strlen(text) - 2, " 1.1.1.1\"}");
	assert_int_equal(parse(text, &v, &p), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_bytes_in_each_interval_as_in_xl),
		cmocka_unit_test(hostile_rates_are_refused_and_change_nothing),
		cmocka_unit_test(a_new_mac_is_one_of_xens),
		cmocka_unit_test(the_defaults_are_those_of_xl),
		cmocka_unit_test(all_words_are_taken),
		cmocka_unit_test(what_could_leave_its_place_is_refused_and_named),
		cmocka_unit_test(seventeen_addresses_are_one_too_many),
	};

	return cmocka_run_group_tests_name("apid/vifcfg", tests, NULL, NULL);
}
