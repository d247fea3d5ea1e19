/* apid/toolstack/vdev.c - Xen's numbering of virtual block devices:
 *
 *   xvd  202<<8 | disk<<4 | partition, while both are below 16
 *        1<<28 | disk<<8 | partition, beyond
 *   hd   3<<8 and 22<<8 (two disks each) | disk<<6 | partition
 *   sd   8<<8 | disk<<4 | partition
 */
#include "apid/toolstack/vdev.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define DISKS_MAX (1u << 20)

/* "a" is 0, "z" 25, "aa" 26. */
static const char *letters(const char *s, uint32_t *ret)
{
	uint32_t n = 0;

	for (; *s >= 'a' && *s <= 'z'; s++) {
		n = n * 26 + (uint32_t)(*s - 'a') + 1;
		if (n > DISKS_MAX)
			return NULL;
	}
	if (n == 0)
		return NULL;
	*ret = n - 1;
	return s;
}

static const char *digits(const char *s, uint32_t *ret)
{
	uint32_t n = 0;

	if (*s == '0')
		return NULL; /* partitions count from 1 */
	for (; *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (uint32_t)(*s - '0');
		if (n > 255)
			return NULL;
	}
	*ret = n;
	return s;
}

int vdev_number(const char *name, uint32_t *ret)
{
	bool xvd = strncmp(name, "xvd", 3) == 0, hd = strncmp(name, "hd", 2) == 0;
	bool sd = strncmp(name, "sd", 2) == 0;
	uint32_t disk = 0, part = 0;
	const char *s = xvd || hd || sd ? letters(name + (xvd ? 3 : 2), &disk) : NULL;

	s = s ? digits(s, &part) : NULL;
	if (!s || *s)
		return -EINVAL;
	if (xvd && disk < 16 && part < 16)
		*ret = 202u << 8 | disk << 4 | part;
	else if (xvd)
		*ret = 1u << 28 | disk << 8 | part;
	else if (hd && disk < 4 && part < 64)
		*ret = (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part;
	else if (sd && disk < 16 && part < 16)
		*ret = 8u << 8 | disk << 4 | part;
	else
		return -EINVAL;
	return 0;
}
