/* consoled/names.c - an injective, harmless spelling of any byte string.
 *
 *   web-1       guest-web-1.log
 *   a/b         guest-a%2Fb.log
 *   ../../x     guest-..%2F..%2Fx.log
 *   -rf         guest--rf.log
 *
 * '%', '@' and '~' are escaped in names, so what this file adds with them can't
 * be spelled by a name.
 */
#include "consoled/names.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define PREFIX	 "guest-"
#define STEM_MAX 180 /* escaped bytes of a name that is not cut */
#define STEM_CUT 150

static bool plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._+-", c));
}

/* Escapes whole bytes while they fit in max; returns how much it wrote and in
 * *ret_used how many input bytes that stands for. */
static size_t escape(char *out, size_t max, const char *name, size_t len, size_t *ret_used)
{
	size_t at = 0, i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];
		size_t need = plain(c) ? 1 : 3;

		if (need > max - at)
			break;
		if (need == 1) {
			out[at++] = (char)c;
		} else {
			static const char hex[] = "0123456789ABCDEF";

			out[at++] = '%';
			out[at++] = hex[c >> 4];
			out[at++] = hex[c & 15];
		}
	}
	*ret_used = i;
	return at;
}

void log_name(char out[LOG_NAME_MAX], const char *name, size_t len, uint16_t domid, uint32_t con)
{
	char stem[STEM_MAX + 1], tail[16] = "";
	size_t used, n;

	if (!name || !len) {
		n = (size_t)snprintf(stem, sizeof(stem), "@%u", domid);
	} else {
		n = escape(stem, STEM_MAX, name, len, &used);
		if (used < len) {
			unsigned char sum[SHA256_DIGEST_LENGTH];

			n = escape(stem, STEM_CUT, name, len, &used);
			SHA256((const unsigned char *)name, len, sum);
			stem[n++] = '~';
			for (int i = 0; i < 8; i++, n += 2)
				snprintf(stem + n, 3, "%02x", sum[i]);
		}
	}
	stem[n] = '\0';
	if (con)
		snprintf(tail, sizeof(tail), "@%u", con);
	snprintf(out, LOG_NAME_MAX, PREFIX "%s%s.log", stem, tail);
}

bool log_name_valid(const char *file)
{
	size_t n = strnlen(file, LOG_NAME_MAX);

	if (n == LOG_NAME_MAX || n < 5 || strcmp(file + n - 4, ".log") != 0)
		return false;
	if (strcmp(file, "hypervisor.log") == 0)
		return true;
	if (strncmp(file, PREFIX, strlen(PREFIX)) != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!plain((unsigned char)file[i]) && !strchr("%@~", file[i]))
			return false;
	return true;
}
