/* tests/unit/cli/unit.h - cmocka with the headers it wants before it. */
#ifndef TESTS_UNIT_CLI_UNIT_H
#define TESTS_UNIT_CLI_UNIT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The haystack is in the failure's text, where assert_true would hide it. */
#define assert_contains(haystack, needle)                                      \
	do {                                                                   \
		if (!strstr((haystack), (needle)))                             \
			fail_msg("'%s' is not in '%s'", (needle), (haystack)); \
	} while (0)

#endif
