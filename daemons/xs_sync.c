/* daemons/xs_sync.c - the blocking half of the XenStore client.
 *
 * One request at a time over a private connection.  A connection that broke is
 * made anew by the next request outside a transaction; what was under way is
 * reported, never repeated, because the server may have done it.
 */
#include "daemons/xs_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemons/listen.h"
#include "daemons/paths.h"
#include "daemons/sys.h"
#include "daemons/xs_txmap.h"
#include "proto/xs_wire.h"

#define XS_SYNC_TIMEOUT_S 60

struct xs_sync {
	char path[108];
	int fd; /* -1: broken */
	uint32_t req_id;
	struct xs_txmap tx;
	uint8_t in[XS_HDR_SIZE + XS_PAYLOAD_MAX];
};

static int sync_connect(struct xs_sync *s)
{
	struct timeval tv = { .tv_sec = XS_SYNC_TIMEOUT_S };
	int fd = connect_unix(s->path, SOCK_STREAM);

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)); /* only a safety net */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	s->fd = fd;
	return 0;
}

int xs_sync_open(const char *path, struct xs_sync **ret)
{
	struct xs_sync *s;
	int r;

	s = sys_zalloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = -1;
	if (path && strlen(path) >= sizeof(s->path))
		r = -ENAMETOOLONG;
	else if (path)
		r = (strcpy(s->path, path), 0);
	else
		r = path_xenstored_sock(s->path) ? 0 : -ENAMETOOLONG;
	if (r == 0)
		r = sync_connect(s);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void sync_break(struct xs_sync *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	xs_txmap_clear(&s->tx);
}

struct xs_sync *xs_sync_close(struct xs_sync *s)
{
	if (s)
		sync_break(s);
	free(s);
	return NULL;
}

static int send_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -ECONNRESET;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int recv_all(int fd, uint8_t *p, size_t n)
{
	while (n) {
		ssize_t k = recv(fd, p, n, 0);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			return -ETIMEDOUT;
		if (k <= 0)
			return -ECONNRESET;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* The next message into s->in.  Only -EBADMSG leaves the stream readable. */
static int recv_msg(struct xs_sync *s, struct xs_msg *ret)
{
	struct xs_msg m;
	uint32_t len;
	int r;

	r = recv_all(s->fd, s->in, XS_HDR_SIZE);
	if (r < 0)
		return r;
	memcpy(&len, s->in + 12, sizeof(len));
	if (len > XS_PAYLOAD_MAX)
		return -EBADMSG;
	r = recv_all(s->fd, s->in + XS_HDR_SIZE, len);
	if (r < 0)
		return r;
	r = xs_msg_decode(s->in, XS_HDR_SIZE + len, &m);
	if (r <= 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

static int transact(struct xs_sync *s, uint32_t type, uint32_t tx, const void *body, size_t len,
		    struct xs_msg *ret)
{
	uint8_t out[XS_HDR_SIZE + XS_PAYLOAD_MAX];
	struct xs_msg m;
	int r;

	xs_hdr_encode(out, type, ++s->req_id, tx, (uint32_t)len);
	if (len)
		memcpy(out + XS_HDR_SIZE, body, len);
	r = send_all(s->fd, out, XS_HDR_SIZE + len);
	while (r == 0) {
		r = recv_msg(s, &m);
		if (r == 0 && m.type != XS_WATCH_EVENT)
			break;
	}
	if (r == 0 && (m.req_id != s->req_id || (m.type != type && m.type != XS_ERROR)))
		r = -EBADMSG;
	if (r == 0)
		*ret = m;
	return r;
}

int xs_sync_request(struct xs_sync *s, uint32_t type, uint32_t tx_id, const void *body, size_t len,
		    char **ret_body, size_t *ret_len)
{
	char name[32] = "";
	struct xs_msg m;
	uint32_t tx;
	char *copy;
	int r;

	if (len > XS_PAYLOAD_MAX)
		return -E2BIG;
	r = xs_txmap_find(&s->tx, tx_id, &tx);
	if (r < 0)
		return r;
	if (s->fd < 0) {
		r = sync_connect(s);
		if (r < 0)
			return r;
	}
	r = transact(s, type, tx, body, len, &m);
	if (r < 0) {
		sync_break(s);
		return r;
	}
	if (type == XS_TRANSACTION_END)
		xs_txmap_del(&s->tx, tx_id);
	if (m.type == XS_ERROR) {
		memcpy(name, m.body, m.len < sizeof(name) ? m.len : sizeof(name) - 1);
		return -xs_errno_from_name(name);
	}
	if (ret_body) {
		copy = sys_zalloc(m.len + 1);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, m.body, m.len);
		*ret_body = copy;
	}
	if (ret_len)
		*ret_len = m.len;
	return 0;
}

/* path and its NUL, then n raw bytes. */
static int request_path(struct xs_sync *s, uint32_t type, uint32_t tx, const char *path,
			const void *more, size_t n, char **ret_body, size_t *ret_len)
{
	char body[XS_PAYLOAD_MAX];
	size_t at = strlen(path) + 1;

	if (at > sizeof(body) || n > sizeof(body) - at)
		return -E2BIG;
	memcpy(body, path, at);
	if (n)
		memcpy(body + at, more, n);
	return xs_sync_request(s, type, tx, body, at + n, ret_body, ret_len);
}

int xs_sync_read(struct xs_sync *s, uint32_t tx, const char *path, char **ret_val)
{
	return request_path(s, XS_READ, tx, path, NULL, 0, ret_val, NULL);
}

int xs_sync_write(struct xs_sync *s, uint32_t tx, const char *path, const char *val)
{
	return request_path(s, XS_WRITE, tx, path, val, strlen(val), NULL, NULL);
}

int xs_sync_mkdir(struct xs_sync *s, uint32_t tx, const char *path)
{
	return request_path(s, XS_MKDIR, tx, path, NULL, 0, NULL, NULL);
}

int xs_sync_rm(struct xs_sync *s, uint32_t tx, const char *path)
{
	int r = request_path(s, XS_RM, tx, path, NULL, 0, NULL, NULL);

	return r == -ENOENT ? 0 : r;
}

int xs_sync_set_perms(struct xs_sync *s, uint32_t tx, const char *path, const char *const *perms,
		      size_t n)
{
	char more[XS_PAYLOAD_MAX];
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = strlen(perms[i]) + 1;

		if (k > sizeof(more) - at)
			return -E2BIG;
		memcpy(more + at, perms[i], k);
		at += k;
	}
	return request_path(s, XS_SET_PERMS, tx, path, more, at, NULL, NULL);
}

int xs_sync_txn_start(struct xs_sync *s, uint32_t *ret_tx)
{
	char *id = NULL;
	int r;

	r = xs_sync_request(s, XS_TRANSACTION_START, 0, "", 1, &id, NULL);
	if (r < 0)
		return r;
	r = xs_txmap_add(&s->tx, (uint32_t)strtoul(id, NULL, 10), ret_tx);
	free(id);
	return r;
}

int xs_sync_txn_end(struct xs_sync *s, uint32_t tx, bool commit)
{
	return xs_sync_request(s, XS_TRANSACTION_END, tx, commit ? "T" : "F", 2, NULL, NULL);
}

/* A list over one payload comes in parts: "generation\0" and a piece of the
 * list each; a part that ends in an empty name is the last (xenstore.txt). */
static bool parts_done(const char *names, size_t len)
{
	return len >= 1 && names[len - 1] == '\0' && (len == 1 || names[len - 2] == '\0');
}

static int directory_parts(struct xs_sync *s, uint32_t tx, const char *path, char **ret_names,
			   size_t *ret_len)
{
	char *names = NULL, *part = NULL, *bigger, off[24], gen[32] = "";
	size_t len = 0, n, g;
	int r;

	for (;;) {
		snprintf(off, sizeof(off), "%zu", len);
		r = request_path(s, XS_DIRECTORY_PART, tx, path, off, strlen(off) + 1, &part, &n);
		if (r < 0)
			break;
		g = strnlen(part, n) + 1;
		if (g > n || g > sizeof(gen)) {
			r = -EBADMSG;
			break;
		}
		if (len && strcmp(gen, part) != 0) {
			len = 0; /* the list changed under us: from the start */
		} else {
			bigger = sys_realloc(names, len + n - g + 1);
			if (!bigger) {
				r = -ENOMEM;
				break;
			}
			names = bigger;
			memcpy(names + len, part + g, n - g);
			len += n - g;
			if (n == g || parts_done(names, len)) {
				free(part);
				*ret_names = names;
				*ret_len = len ? len - 1 : 0;
				return 0;
			}
		}
		strcpy(gen, part);
		free(part);
		part = NULL;
	}
	free(part);
	free(names);
	return r;
}

int xs_sync_directory(struct xs_sync *s, uint32_t tx, const char *path, char **ret_names,
		      size_t *ret_len)
{
	int r = request_path(s, XS_DIRECTORY, tx, path, NULL, 0, ret_names, ret_len);

	return r == -E2BIG ? directory_parts(s, tx, path, ret_names, ret_len) : r;
}
