/* xenstored/lu.c - the stream of records, and the exec. */
#include "xenstored/lu.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemons/log.h"
#include "daemons/sys.h"
#include "proto/cur.h"
#include "xenstored/server.h"
#include "xenstored/sock.h"

#define LU_VERSION    2u
#define LU_STREAM_MAX ((size_t)1 << 30)

enum { LU_END = 0, LU_GLOBAL = 1, LU_CONN = 2, LU_WATCH = 3, LU_WATCH_EXT = 8 };
enum { LU_CONN_SOCKET = 1 };

static const char ident[8] = { 'x', 'e', 'n', 's', 't', 'o', 'r', 'e' };

/* ---- writing: an outbuf grows as needed ---- */

static int put_record(struct outbuf *o, uint32_t type, const void *head, size_t hn,
		      const void *body, size_t bn, const void *tail, size_t tn)
{
	static const uint8_t zeros[8];
	uint32_t h[2] = { type, (uint32_t)(hn + bn + tn) };
	int r = outbuf_add(o, h, sizeof(h));

	if (r == 0)
		r = outbuf_add(o, head, hn);
	if (r == 0)
		r = outbuf_add(o, body, bn);
	if (r == 0)
		r = outbuf_add(o, tail, tn);
	return r == 0 ? outbuf_add(o, zeros, -(hn + bn + tn) & 7) : r;
}

static int put_watch(struct outbuf *o, const struct conn *c, const struct watch *w)
{
	const char *path = w->text + w->strip;
	size_t pn = w->path_len - w->strip + 1u, tn = strlen(watch_token(w)) + 1;
	uint8_t head[10];
	struct wcur wc = { .p = head, .left = sizeof(head) };

	wcur_le32(&wc, (uint32_t)c->id);
	wcur_le16(&wc, (uint16_t)pn);
	wcur_le16(&wc, (uint16_t)tn);
	wcur_le16(&wc, (uint16_t)w->depth);
	return put_record(o, w->depth < 0 ? LU_WATCH : LU_WATCH_EXT, head, w->depth < 0 ? 8 : 10,
			  path, pn, watch_token(w), tn);
}

static int put_conn(struct outbuf *o, const struct conn *c)
{
	const uint8_t *in;
	size_t in_len;
	uint8_t head[28];
	struct wcur wc = { .p = head, .left = sizeof(head) };
	struct watch *w;
	int fd = sock_export(c, &in, &in_len), r;

	wcur_le32(&wc, (uint32_t)c->id);
	wcur_le16(&wc, LU_CONN_SOCKET);
	wcur_le16(&wc, 0);
	wcur_le32(&wc, (uint32_t)fd);
	wcur_le32(&wc, 0); /* the ring's half of the union is longer */
	wcur_le32(&wc, (uint32_t)in_len);
	wcur_le32(&wc, 0); /* where a partial answer ends: bytes go out as they are */
	wcur_le32(&wc, (uint32_t)c->out.len);
	r = put_record(o, LU_CONN, head, sizeof(head), in, in_len, c->out.p + c->out.head,
		       c->out.len);
	TAILQ_FOREACH(w, &c->watches, of_conn)
	r = r < 0 ? r : put_watch(o, c, w);
	return r;
}

int lu_dump(struct server *s, int lfd, uint8_t **ret, size_t *ret_n)
{
	uint32_t head[2] = { htobe32(LU_VERSION), 0 };
	int32_t global[2] = { lfd, -1 };
	struct outbuf o = { 0 };
	struct conn *c;
	int r;

	r = outbuf_add(&o, ident, sizeof(ident));
	if (r == 0)
		r = outbuf_add(&o, head, sizeof(head));
	if (r == 0)
		r = put_record(&o, LU_GLOBAL, global, sizeof(global), NULL, 0, NULL, 0);
	TAILQ_FOREACH(c, &s->conns, link)
	if (r == 0 && c->sock)
		r = put_conn(&o, c);
	if (r == 0)
		r = put_record(&o, LU_END, NULL, 0, NULL, 0, NULL, 0);
	if (r < 0) {
		outbuf_fini(&o);
		return r;
	}
	*ret = o.p; /* nothing was taken out: head is 0 */
	*ret_n = o.len;
	return 0;
}

/* ---- reading ---- */

struct loading {
	struct server *s;
	int lfd;
	struct conn *c; /* of the last CONN record */
	uint32_t id;	/* its number in the stream */
	bool end;
};

/* Only a socket may be taken over, whatever number the stream says. */
static int take_socket(int fd)
{
	struct stat st;

	if (fd < 3 || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -EBADMSG;
	return 0;
}

static int load_conn(struct loading *l, struct cur *c)
{
	uint32_t id = cur_le32(c), type = cur_le16(c), in_len, out_len;
	const uint8_t *in, *out;
	int fd, r;

	(void)cur_le16(c);
	fd = (int)cur_le32(c);
	(void)cur_le32(c);
	in_len = cur_le32(c);
	(void)cur_le32(c);
	out_len = cur_le32(c);
	in = cur_take(c, in_len);
	out = cur_take(c, out_len);
	if (c->err || type != LU_CONN_SOCKET || take_socket(fd) < 0)
		return -EBADMSG;
	r = sock_import(l->s, fd, in, in_len, &l->c);
	if (r == 0)
		r = outbuf_add(&l->c->out, out, out_len);
	if (r == 0)
		sock_resume(l->c);
	l->id = id;
	return r;
}

static int load_watch(struct loading *l, struct cur *c, bool ext)
{
	uint32_t id = cur_le32(c), pn = cur_le16(c), tn = cur_le16(c);
	int32_t depth = ext ? cur_le16(c) : -1;
	const char *path = (const char *)cur_take(c, pn), *token = (const char *)cur_take(c, tn);
	struct watch *w;
	struct path p;
	int r;

	if (c->err || !l->c || id != l->id || pn < 2 || tn < 1 || path[pn - 1] || token[tn - 1] ||
	    strlen(path) != pn - 1 || strlen(token) != tn - 1)
		return -EBADMSG;
	r = path_parse(path, pn - 1, l->c->who.domid, true, 0, &p);
	if (r < 0)
		return -EBADMSG;
	return conn_watch_add(l->c, p.s, p.len, token, depth, p.relative ? p.len - (pn - 1) : 0,
			      &w);
}

static int load_record(struct loading *l, uint32_t type, struct cur *c)
{
	switch (type) {
	case LU_END: l->end = true; return 0;
	case LU_GLOBAL: l->lfd = (int)cur_le32(c); return c->err ? -EBADMSG : take_socket(l->lfd);
	case LU_CONN: return load_conn(l, c);
	case LU_WATCH: return load_watch(l, c, false);
	case LU_WATCH_EXT: return load_watch(l, c, true);
	default: return 0; /* what we don't keep this way */
	}
}

int lu_load(struct server *s, const uint8_t *p, size_t n, int *ret_lfd)
{
	struct cur c = { .p = p, .left = n };
	struct loading l = { .s = s, .lfd = -1 };
	const uint8_t *id = cur_take(&c, sizeof(ident));
	uint32_t version = be32toh(cur_le32(&c)), flags = cur_le32(&c);
	int r = 0;

	if (c.err || memcmp(id, ident, sizeof(ident)) != 0 || version < 1 || version > LU_VERSION ||
	    flags)
		return -EBADMSG;
	while (r == 0 && !l.end) {
		uint32_t type = cur_le32(&c), len = cur_le32(&c);
		struct cur body = { .p = cur_take(&c, len), .left = len };

		(void)cur_take(&c, -(size_t)len & 7);
		r = c.err ? -EBADMSG : load_record(&l, type, &body);
	}
	if (r == 0 && l.lfd < 0)
		r = -EBADMSG;
	if (r == 0)
		*ret_lfd = l.lfd;
	return r;
}

/* ---- changing places ---- */

static void keep_over_exec(const struct server *s, int lfd, bool on)
{
	const struct conn *c;
	const uint8_t *in;
	size_t n;
	int flags = on ? 0 : FD_CLOEXEC;

	(void)fcntl(lfd, F_SETFD, flags); /* can't fail on what is open */
	TAILQ_FOREACH(c, &s->conns, link)
	if (c->sock)
		(void)fcntl(sock_export(c, &in, &n), F_SETFD, flags);
}

static char **new_argv(char **argv, int fd)
{
	size_t n = 0, out = 0;
	char **v;

	while (argv[n])
		n++;
	v = calloc(n + 2, sizeof(*v));
	if (!v)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strncmp(argv[i], "--live-update=", 14) != 0 && strcmp(argv[i], "--fresh") != 0)
			v[out++] = argv[i];
	if (asprintf(&v[out], "--live-update=%d", fd) < 0) {
		free(v);
		return NULL;
	}
	return v;
}

int lu_exec(struct server *s, const struct live_update *lu)
{
	const char *binary = lu->binary ? lu->binary : "/proc/self/exe";
	uint8_t *stream = NULL;
	char **argv = NULL;
	size_t n = 0;
	int fd, r;

	fd = memfd_create("live-update", 0);
	if (fd < 0)
		return -errno;
	r = lu_dump(s, lu->lfd, &stream, &n);
	if (r == 0 && write(fd, stream, n) != (ssize_t)n)
		r = -EIO;
	argv = r == 0 ? new_argv(lu->argv, fd) : NULL;
	if (argv) {
		keep_over_exec(s, lu->lfd, true);
		execv(binary, argv);
		r = -errno;
		keep_over_exec(s, lu->lfd, false);
		for (size_t i = 0; argv[i]; i++)
			if (!argv[i + 1])
				free(argv[i]); /* the last is ours */
	}
	free(argv);
	free(stream);
	close(fd);
	return r < 0 ? r : -ENOMEM;
}

int lu_resume(struct server *s, int fd, int *ret_lfd)
{
	struct stat st;
	void *p;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size <= 0 || (size_t)st.st_size > LU_STREAM_MAX)
		return -EBADMSG;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	r = lu_load(s, p, (size_t)st.st_size, ret_lfd);
	munmap(p, (size_t)st.st_size);
	close(fd);
	return r;
}
