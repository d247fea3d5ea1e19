/* tests/unit/cli/test_devspec.c - disk and vif strings, old and new and odd. */
#include "tests/unit/cli/unit.h"

#include <json-c/json.h>

#include "cli/devspec.h"

static void disks_become_what_the_manual_says(void **state)
{
	static const struct {
		const char *spec, *json;
	} good[] = {
		{ "/dev/vg/guest,raw,xvda,rw",
		  "{\"target\":\"/dev/vg/"
		  "guest\",\"format\":\"raw\",\"vdev\":\"xvda\",\"access\":\"w\"}" },
		{ "/dev/vg/guest,,hda", "{\"target\":\"/dev/vg/guest\",\"vdev\":\"hda\"}" },
		{ "format=qcow2, vdev=xvdb, access=ro, target=/a b,c=d",
		  "{\"format\":\"qcow2\",\"vdev\":\"xvdb\",\"access\":\"r\",\"target\":\"/a "
		  "b,c=d\"}" },
		{ ",,hdc,,cdrom", "{\"vdev\":\"hdc\",\"devtype\":\"cdrom\"}" },
		{ "file:/x.img,hda,w",
		  "{\"format\":\"raw\",\"target\":\"/x.img\",\"vdev\":\"hda\",\"access\":\"w\"}" },
		{ "phy:/dev/sda1,xvda1,r", "{\"backendtype\":\"phy\",\"target\":\"/dev/"
					   "sda1\",\"vdev\":\"xvda1\",\"access\":\"r\"}" },
		{ "tap:aio:/x,hda:disk,w",
		  "{\"format\":\"raw\",\"target\":\"/x\",\"vdev\":\"hda\",\"access\":\"w\"}" },
		{ "tap2:qcow2:/x,hdc:cdrom,r",
		  "{\"format\":\"qcow2\",\"target\":\"/"
		  "x\",\"devtype\":\"cdrom\",\"vdev\":\"hdc\",\"access\":\"r\"}" },
		{ "/x=y,raw,xvda,rw,discard,backend=storage",
		  "{\"target\":\"/"
		  "x=y\",\"format\":\"raw\",\"vdev\":\"xvda\",\"access\":\"w\",\"discard\":true,"
		  "\"backend\":\"storage\"}" },
	};
	char err[256];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		json_object *o = NULL;

		if (devspec_disk(good[i].spec, &o, err, sizeof(err)) != 0)
			fail_msg("%s: %s", good[i].spec, err);
		assert_string_equal(
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE),
			good[i].json);
		json_object_put(o);
	}
}

static void odd_disks_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"/x",
		"/x,raw",
		"/x,cow,xvda,rw",
		"/x,raw,xvda,x",
		"/x,raw,xvda,rw,more",
		"/x,raw,:cdrom",
		"/x,raw,hda:tape",
		"/x,raw,xvda,wibble=1",
		"/x,raw,xvda,rw,format=zip",
		"=,=,=",
		"access=q,vdev=xvda",
		"/x,raw,abcdefghijklmnopqrstuvwxyz0123456789,rw",
		"backendtype=floppy,vdev=xvda",
	};
	char err[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object *o = NULL;

		err[0] = '\0';
		if (devspec_disk(bad[i], &o, err, sizeof(err)) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(err[0] != '\0');
		assert_null(o);
	}
}

static void vifs_become_what_the_manual_says(void **state)
{
	json_object *o = NULL;
	char err[256];

	assert_int_equal(
		devspec_vif("mac=00:16:3e:01:02:Ff, bridge=br0,vifname=v0,mtu=1400, untrusted", &o,
			    err, sizeof(err)),
		0);
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			    "{\"mac\":\"00:16:3e:01:02:Ff\",\"bridge\":\"br0\",\"vifname\":\"v0\","
			    "\"mtu\":1400,\"trusted\":false}");
	json_object_put(o);
	assert_int_equal(devspec_vif("", &o, err, sizeof(err)), 0);
	assert_int_equal(json_object_object_length(o), 0);
	json_object_put(o);
}

static void odd_vifs_are_refused(void **state)
{
	static const char *const bad[] = {
		"mac=00:16:3e:01:02",
		"mac=00-16-3e-01-02-03",
		"mac=00:16:3e:01:02:0g",
		"bridge=",
		"mtu=67",
		"mtu=65536",
		"mtu=x",
		"devid=-1",
		"type=sriov",
		"bridge",
		"colour=blue",
		"vifname=0123456789abcdef",
	};
	char err[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object *o = NULL;

		if (devspec_vif(bad[i], &o, err, sizeof(err)) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_null(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks_become_what_the_manual_says),
		cmocka_unit_test(odd_disks_are_refused),
		cmocka_unit_test(vifs_become_what_the_manual_says),
		cmocka_unit_test(odd_vifs_are_refused),
	};
	return cmocka_run_group_tests_name("cli/devspec", tests, NULL, NULL);
}
