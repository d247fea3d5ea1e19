/* proto/con_wire.c - the one-line requests of the console socket.
 *
 * Fields are separated by exactly one space; numbers are plain decimal.  A
 * guest's name may hold spaces, so TAIL takes its last word as the number.
 */
#include "proto/con_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const mode_names[] = { [CON_RO] = "ro", [CON_RW] = "rw", [CON_FORCE] = "force" };

/* Decimal digits up to the end char, at most max.  Returns what follows the
 * end char, or NULL. */
static const char *number(const char *p, char end, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return NULL;
	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > max)
			return NULL;
	}
	if (*p != end)
		return NULL;
	*ret = v;
	return end ? p + 1 : p;
}

static int parse_attach(const char *p, struct con_req *q)
{
	uint64_t domid, con, bytes;
	const char *word;
	size_t m;

	p = number(p, ' ', 0xffff, &domid);
	p = p ? number(p, ' ', 0xffffffff, &con) : NULL;
	if (!p)
		return -EINVAL;
	word = p;
	p = strchr(p, ' ');
	if (!p || !number(p + 1, '\0', CON_SCROLLBACK_MAX, &bytes))
		return -EINVAL;
	for (m = 0; m < sizeof(mode_names) / sizeof(mode_names[0]); m++)
		if (strlen(mode_names[m]) == (size_t)(p - word) &&
		    memcmp(mode_names[m], word, (size_t)(p - word)) == 0)
			break;
	if (m == sizeof(mode_names) / sizeof(mode_names[0]))
		return -EINVAL;
	*q = (struct con_req){ .verb = CON_ATTACH,
			       .domid = (uint16_t)domid,
			       .console = (uint32_t)con,
			       .mode = (enum con_mode)m,
			       .bytes = (uint32_t)bytes };
	return 0;
}

static int parse_tail(const char *p, struct con_req *q)
{
	const char *sp = strrchr(p, ' ');
	uint64_t bytes;

	if (!sp || sp == p || (size_t)(sp - p) >= sizeof(q->name) ||
	    !number(sp + 1, '\0', CON_TAIL_MAX, &bytes))
		return -EINVAL;
	*q = (struct con_req){ .verb = CON_TAIL, .bytes = (uint32_t)bytes };
	memcpy(q->name, p, (size_t)(sp - p));
	return 0;
}

int con_req_parse(const char *line, struct con_req *ret)
{
	if (strncmp(line, "ATTACH ", 7) == 0)
		return parse_attach(line + 7, ret);
	if (strncmp(line, "TAIL ", 5) == 0)
		return parse_tail(line + 5, ret);
	return -EINVAL;
}

int con_req_format(const struct con_req *q, char *buf, size_t n)
{
	int len;

	if (q->verb == CON_TAIL)
		len = snprintf(buf, n, "TAIL %s %u\n", q->name, q->bytes);
	else
		len = snprintf(buf, n, "ATTACH %u %u %s %u\n", q->domid, q->console,
			       mode_names[q->mode], q->bytes);
	return len < 0 || (size_t)len >= n ? -EMSGSIZE : len;
}
