/* apid/ids.c - RFC 9562 UUIDs. */
#include "apid/ids.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "daemons/clock.h"

bool uuid_valid(const char *s)
{
	for (int i = 0; i < UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false; /* the terminating NUL ends here too */
	}
	return s[UUID_LEN] == '\0';
}

void uuid_lower(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

void uuid_new(char ret[UUID_LEN + 1])
{
	uint8_t b[16];

	/* 16 bytes come whole once the pool is ready; without it nothing is safe. */
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	uuid_text(b, ret);
}

int uuid_bytes(const char *s, uint8_t ret[16])
{
	uint8_t b[16];
	int n = 0;

	if (!uuid_valid(s))
		return -EINVAL;
	while (n < 16) {
		unsigned v;

		if (*s == '-')
			s++;
		if (sscanf(s, "%2x", &v) != 1)
			return -EINVAL;
		b[n++] = (uint8_t)v;
		s += 2;
	}
	memcpy(ret, b, sizeof(b));
	return 0;
}

void uuid_text(const uint8_t b[16], char ret[UUID_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	char *p = ret;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[b[i] >> 4];
		*p++ = hex[b[i] & 15];
	}
	*p = '\0';
}

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t uptime_ms(void)
{
	return (int64_t)(clock_mono_ns() / 1000000);
}
