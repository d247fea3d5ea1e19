/* apid/toolstack/vdev.c against numbers worked out by hand. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apid/toolstack/vdev.h"

static void names_have_xens_numbers(void **state)
{
	static const struct {
		const char *name;
		uint32_t number;
	} t[] = { { "xvda", 51712 },	  { "xvdb", 51728 },	 { "xvda1", 51713 },
		  { "xvdp15", 51967 },	  { "xvdq", 268439552 }, { "xvda16", 268435472 },
		  { "xvdaa", 268442112 }, { "hda", 768 },	 { "hdb2", 834 },
		  { "hdc", 5632 },	  { "hdd", 5696 },	 { "sda", 2048 },
		  { "sdb3", 2067 } };

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint32_t n = 0;

		assert_int_equal(vdev_number(t[i].name, &n), 0);
		assert_int_equal(n, t[i].number);
	}
}

static void other_names_have_none(void **state)
{
	static const char *const bad[] = { "",	    "xvd",     "xvd1", "xvdA",
					   "xvda0", "xvda256", "hde",  "hda64",
					   "sdq",   "sda16",   "vda",  "xvda1x",
					   "xvda-", "floppy",  "d0p0", "xvdzzzzzzzzzzzzzzz" };
	uint32_t n = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vdev_number(bad[i], &n), -EINVAL);
	assert_int_equal(n, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_have_xens_numbers),
		cmocka_unit_test(other_names_have_none),
	};

	return cmocka_run_group_tests_name("vdev", tests, NULL, NULL);
}
