/* consoled/journal.c - fields and sizes as systemd.journal-fields(7) and the
 * native protocol have them: "NAME=value\n", or for bytes that may hold
 * newlines "NAME\n", a little-endian length, the bytes, "\n". */
#include "consoled/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemons/sys.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct journal {
	int fd;
	struct sockaddr_un sa;
	uint64_t missed;
};

struct jline {
	size_t n;
	uint8_t buf[JOURNAL_LINE_MAX];
};

int journal_new(const char *path, struct journal **ret)
{
	struct journal *j = sys_zalloc(sizeof(*j));

	if (!j)
		return -ENOMEM;
	if (!path)
		path = getenv("DOMZERO_JOURNAL_SOCKET");
	if (!path || !*path)
		path = JOURNAL_SOCKET;
	j->sa.sun_family = AF_UNIX;
	j->fd = -1;
	if (strlen(path) >= sizeof(j->sa.sun_path)) {
		free(j);
		return -ENAMETOOLONG;
	}
	memcpy(j->sa.sun_path, path, strlen(path) + 1);
	j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (j->fd < 0) {
		int r = -errno;

		free(j);
		return r;
	}
	*ret = j;
	return 0;
}

struct journal *journal_free(struct journal *j)
{
	if (j)
		close(j->fd);
	free(j);
	return NULL;
}

static size_t put_bytes(uint8_t *out, const char *name, const void *p, uint64_t n)
{
	size_t at = (size_t)sprintf((char *)out, "%s\n", name);

	for (int i = 0; i < 8; i++)
		out[at++] = (uint8_t)(n >> (8 * i));
	memcpy(out + at, p, n);
	at += n;
	out[at++] = '\n';
	return at;
}

static void send_line(struct journal *j, const char *guest, uint16_t domid, uint32_t con,
		      const uint8_t *p, size_t n)
{
	uint8_t out[JOURNAL_LINE_MAX + 1024];
	size_t at, name = strnlen(guest, 255);

	if (n && p[n - 1] == '\r')
		n--;
	at = (size_t)snprintf((char *)out, 256,
			      "PRIORITY=6\nSYSLOG_IDENTIFIER=guest-console\n"
			      "CONSOLED_DOMID=%u\nCONSOLED_CONSOLE=%u\nCONSOLED_MISSED=%llu\n",
			      domid, con, (unsigned long long)j->missed);
	at += put_bytes(out + at, "CONSOLED_GUEST", guest, name);
	at += put_bytes(out + at, "MESSAGE", p, n);
	if (sendto(j->fd, out, at, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&j->sa,
		   sizeof(j->sa)) < 0)
		j->missed++;
	else
		j->missed = 0;
}

void journal_feed(struct journal *j, struct jline **line, const char *guest, uint16_t domid,
		  uint32_t con, const uint8_t *p, size_t n)
{
	struct jline *l = *line;

	if (!l)
		l = *line = sys_zalloc(sizeof(*l));
	if (!l) {
		j->missed++;
		return;
	}
	while (n) {
		const uint8_t *nl = memchr(p, '\n', n);
		size_t k = nl ? (size_t)(nl - p) : n;

		if (k > sizeof(l->buf) - l->n) {
			k = sizeof(l->buf) - l->n;
			nl = NULL;
		}
		memcpy(l->buf + l->n, p, k);
		l->n += k;
		p += k + (nl != NULL);
		n -= k + (nl != NULL);
		if (nl || l->n == sizeof(l->buf)) {
			send_line(j, guest, domid, con, l->buf, l->n);
			l->n = 0;
		}
	}
}

struct jline *journal_line_free(struct jline *line)
{
	free(line);
	return NULL;
}
