/* tests/unit/cli/test_cfg_domain.c - what settings become, and what is refused. */
#include "tests/unit/cli/unit.h"

#include <json-c/json.h>

#include "cli/cfg_domain.h"

struct warnings {
	unsigned n;
	char text[4096];
};

static void keep(void *arg, const char *text)
{
	struct warnings *w = arg;

	w->n++;
	strncat(w->text, text, sizeof(w->text) - strlen(w->text) - 2);
	strcat(w->text, "\n");
}

static int convert(const char *text, json_object **ret, struct warnings *w, char err[512])
{
	struct cfg c = { 0 };
	int r = cfg_parse(&c, "t.cfg", text, strlen(text), err, 512);

	if (r == 0)
		r = cfg_to_domain(&c, "/srv", w ? keep : NULL, w, ret, err, 512);
	cfg_fini(&c);
	return r;
}

static const char *str(json_object *o, const char *key)
{
	json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v ? json_object_get_string(v) : "(missing)";
}

static json_object *first(json_object *o, const char *list)
{
	json_object *v = NULL;

	json_object_object_get_ex(o, list, &v);
	assert_non_null(v);
	return json_object_array_get_idx(v, 0);
}

static void the_file_of_the_manual_is_accepted_as_it_stands(void **state)
{
	static const char text[] =
		"name = \"domu1\"\n"
		"memory = 1024  # 1 GB of memory for DomU\n"
		"vcpus = 2  # 2 virtual CPUs\n"
		"disk = ['file:/var/lib/xen/images/domu1.img,hda,w']  # Virtual disk image\n"
		"vif = ['bridge=xenbr0']  # Network interface\n"
		"kernel = \"/boot/vmlinuz-xen\"  # Paravirtualized kernel (for PV guests)\n"
		"ramdisk = \"/boot/initrd.img\"  # Initial RAM disk for PV guests\n";
	struct warnings w = { 0 };
	json_object *o = NULL;
	char err[512];

	assert_int_equal(convert(text, &o, &w, err), 0);
	assert_int_equal(w.n, 0);
	assert_string_equal(str(o, "name"), "domu1");
	assert_string_equal(str(o, "memory_mib"), "1024");
	assert_string_equal(str(o, "vcpus"), "2");
	assert_string_equal(str(o, "kernel"), "/boot/vmlinuz-xen");
	assert_string_equal(str(o, "ramdisk"), "/boot/initrd.img");
	assert_string_equal(str(first(o, "disks"), "target"), "/var/lib/xen/images/domu1.img");
	assert_string_equal(str(first(o, "disks"), "vdev"), "hda");
	assert_string_equal(str(first(o, "disks"), "access"), "w");
	assert_string_equal(str(first(o, "disks"), "format"), "raw");
	assert_string_equal(str(first(o, "vifs"), "bridge"), "xenbr0");
	json_object_put(o);
}

static void relative_paths_start_from_the_current_folder(void **state)
{
	json_object *o = NULL;
	char err[512];

	assert_int_equal(convert("name='a'\nkernel='vmlinuz'\nramdisk='/r'", &o, NULL, err), 0);
	assert_string_equal(str(o, "kernel"), "/srv/vmlinuz");
	assert_string_equal(str(o, "ramdisk"), "/r");
	json_object_put(o);
}

static void cmdline_stands_alone_and_root_and_extra_make_one(void **state)
{
	json_object *o = NULL;
	char err[512];

	assert_int_equal(convert("name='a'\nkernel='/k'\nroot='/dev/xvda1 ro'\nextra='quiet'", &o,
				 NULL, err),
			 0);
	assert_string_equal(str(o, "cmdline"), "root=/dev/xvda1 ro quiet");
	json_object_put(o);
	assert_int_equal(convert("name='a'\nkernel='/k'\nextra='quiet'", &o, NULL, err), 0);
	assert_string_equal(str(o, "cmdline"), "quiet");
	json_object_put(o);
	assert_int_equal(convert("name='a'\nkernel='/k'\nextra='x'\ncmdline='y'", &o, NULL, err),
			 0);
	assert_string_equal(str(o, "cmdline"), "y");
	json_object_put(o);
}

static void a_command_line_is_measured(void **state)
{
	char text[2200], err[512];
	json_object *o = NULL;

	sprintf(text, "name='a'\nkernel='/k'\ncmdline='%02047d'", 0);
	assert_int_equal(convert(text, &o, NULL, err), 0);
	json_object_put(o);
	sprintf(text, "name='a'\nkernel='/k'\ncmdline='%02048d'", 0);
	assert_int_equal(convert(text, &o, NULL, err), -EINVAL);
	assert_contains(err, "t.cfg:3:");
	assert_contains(err, "2047");
}

static void wrong_values_are_refused_with_line_and_remedy(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "kernel='/k'", "no name" },
		{ "name=''\nkernel='/k'", "t.cfg:1: the guest's name is empty" },
		{ "name='a'", "no kernel" },
		{ "name='a'\nbootloader='pygrub'", "t.cfg:2: bootloader is not supported" },
		{ "name='a'\nkernel=''", "t.cfg:2: kernel is empty" },
		{ "name='a'\nkernel='/k'\nmemory=0", "t.cfg:3: memory = 0: not a number from 1" },
		{ "name='a'\nkernel='/k'\nmemory='lots'", "t.cfg:3: memory = lots" },
		{ "name='a'\nkernel='/k'\nmemory=99999999999999999999", "t.cfg:3:" },
		{ "name='a'\nkernel='/k'\nvcpus=33",
		  "t.cfg:3: vcpus = 33: not a number from 1 to 32" },
		{ "name='a'\nkernel='/k'\nvcpus=[1]", "not a list" },
		{ "name='a'\nkernel='/k'\non_crash='explode'", "rename-restart" },
		{ "name='a'\nkernel='/k'\ntype='hvm'", "only PVH" },
		{ "name='a'\nkernel='/k'\ntype='vax'", "no such guest type" },
		{ "name='a'\nkernel='/k'\nbuilder='hvm'", "only PVH" },
		{ "name='a'\nkernel='/k'\nuuid='1234'", "no UUID" },
		{ "name='a'\nkernel='/k'\nuuid='3275dd86-e589-11f1-a47b-5144a2dc3c4g'", "no UUID" },
		{ "name='a'\nkernel='/k'\ndisk='x'", "disk is a list" },
		{ "name='a'\nkernel='/k'\ndisk=['/img']",
		  "t.cfg:3: disk '/img': it names no device" },
		{ "name='a'\nkernel='/k'\ndisk=[\n'/img,raw,xvda,rw',\n'/img,floppy,xvdb,rw']",
		  "t.cfg:5:" },
		{ "name='a'\nkernel='/k'\nvif=['mac=12']", "no MAC address" },
		{ "name='a'\nkernel='/k'\nvif=[['x']]", "entry 1 is a list" },
	};
	char err[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object *o = NULL;

		err[0] = '\0';
		if (convert(bad[i].text, &o, NULL, err) != -EINVAL)
			fail_msg("accepted: %s", bad[i].text);
		assert_contains(err, bad[i].says);
		assert_null(o);
	}
}

static void settings_without_effect_are_said_and_ignored(void **state)
{
	struct warnings w = { 0 };
	json_object *o = NULL;
	char err[512];

	assert_int_equal(convert("name='a'\nkernel='/k'\nmemroy=5\nvnc=1\n", &o, &w, err), 0);
	assert_int_equal(w.n, 2);
	assert_contains(w.text, "t.cfg:3: warning: 'memroy' is not a setting of xl.cfg");
	assert_contains(w.text, "t.cfg:4: warning: 'vnc' has no effect");
	json_object_put(o);
}

static void warnings_are_bounded(void **state)
{
	char text[4096] = "name='a'\nkernel='/k'\n", err[512];
	struct warnings w = { 0 };
	json_object *o = NULL;

	for (int i = 0; i < 100; i++)
		sprintf(text + strlen(text), "x%d=1\n", i);
	assert_int_equal(convert(text, &o, &w, err), 0);
	assert_int_equal(w.n, 21);
	assert_contains(w.text, "80 more");
	json_object_put(o);
}

static void uuids_are_taken_with_and_without_hyphens(void **state)
{
	json_object *o = NULL;
	char err[512];

	assert_int_equal(convert("name='a'\nkernel='/k'\nuuid='3275dd86e58911f1a47b5144a2dc3c46'",
				 &o, NULL, err),
			 0);
	assert_string_equal(str(o, "uuid"), "3275dd86-e589-11f1-a47b-5144a2dc3c46");
	json_object_put(o);
	assert_int_equal(
		convert("name='a'\nkernel='/k'\nuuid='3275dd86-e589-11f1-a47b-5144a2dc3c46'", &o,
			NULL, err),
		0);
	assert_string_equal(str(o, "uuid"), "3275dd86-e589-11f1-a47b-5144a2dc3c46");
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_of_the_manual_is_accepted_as_it_stands),
		cmocka_unit_test(relative_paths_start_from_the_current_folder),
		cmocka_unit_test(cmdline_stands_alone_and_root_and_extra_make_one),
		cmocka_unit_test(a_command_line_is_measured),
		cmocka_unit_test(wrong_values_are_refused_with_line_and_remedy),
		cmocka_unit_test(settings_without_effect_are_said_and_ignored),
		cmocka_unit_test(warnings_are_bounded),
		cmocka_unit_test(uuids_are_taken_with_and_without_hyphens),
	};
	return cmocka_run_group_tests_name("cli/cfg_domain", tests, NULL, NULL);
}
