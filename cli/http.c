/* cli/http.c - HTTP/1.1 as a client needs it (RFC 9112); nothing of JSON. */
#include "cli/http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemons/listen.h"

struct http_conn {
	int fd;
	struct http_head head;
	struct http_body body;
	char buf[HTTP_HEAD_MAX]; /* read, not yet taken: from at to end */
	size_t at, end;
	bool eof;
};

/* ---- head ---- */

static void copy_value(char *out, size_t n, const char *v, size_t len)
{
	if (len >= n)
		len = 0; /* too long to be one of ours: as if it were not there */
	memcpy(out, v, len);
	out[len] = '\0';
}

static int take_length(const char *v, size_t len, struct http_head *h)
{
	int64_t n = 0;

	if (!len || len > 18)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)v[i]))
			return -EBADMSG;
		n = n * 10 + (v[i] - '0');
	}
	if (h->length >= 0 && h->length != n)
		return -EBADMSG;
	h->length = n;
	return 0;
}

static int take_field(const char *line, size_t len, struct http_head *h)
{
	const char *colon = memchr(line, ':', len), *v;
	size_t name, n;

	if (!colon || colon == line)
		return -EBADMSG;
	name = (size_t)(colon - line);
	v = colon + 1;
	n = len - name - 1;
	while (n && (*v == ' ' || *v == '\t')) {
		v++;
		n--;
	}
	while (n && (v[n - 1] == ' ' || v[n - 1] == '\t'))
		n--;
#define IS(text) (name == sizeof(text) - 1 && strncasecmp(line, text, name) == 0)
	if (IS("Content-Length"))
		return take_length(v, n, h);
	if (IS("Transfer-Encoding")) {
		if (n != 7 || strncasecmp(v, "chunked", 7) != 0)
			return -EBADMSG;
		h->chunked = true;
	} else if (IS("Location")) {
		copy_value(h->location, sizeof(h->location), v, n);
	} else if (IS("Content-Type")) {
		copy_value(h->content_type, sizeof(h->content_type), v, n);
	} else if (IS("Console-Mode")) {
		copy_value(h->console_mode, sizeof(h->console_mode), v, n);
	}
#undef IS
	return 0;
}

ssize_t http_head_parse(const char *buf, size_t n, struct http_head *ret)
{
	struct http_head h = { .length = -1 };
	size_t at = 0;

	for (unsigned lines = 0;; lines++) {
		const char *line = buf + at, *nl = memchr(line, '\n', n - at);
		size_t len;
		int r;

		if (!nl)
			return n >= HTTP_HEAD_MAX ? -EBADMSG : 0;
		len = (size_t)(nl - line);
		at += len + 1;
		if (len && line[len - 1] == '\r')
			len--;
		if (lines == 0) {
			if (len < 12 || strncmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
			    !isdigit((unsigned char)line[9]) || !isdigit((unsigned char)line[10]) ||
			    !isdigit((unsigned char)line[11]))
				return -EBADMSG;
			h.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0';
			continue;
		}
		if (len == 0)
			break;
		r = take_field(line, len, &h);
		if (r < 0)
			return r;
	}
	if (h.chunked && h.length >= 0)
		return -EBADMSG; /* RFC 9112 6.3: both is an attack or a bug */
	*ret = h;
	return (ssize_t)at;
}

/* ---- body ---- */

void http_body_init(struct http_body *b, const struct http_head *h)
{
	memset(b, 0, sizeof(*b));
	if (h->status == 204 || h->status == 304 || h->length == 0) {
		b->state = HTTP_DONE;
	} else if (h->chunked) {
		b->state = HTTP_CHUNK_SIZE;
	} else if (h->length > 0) {
		b->state = HTTP_PLAIN;
		b->left = (uint64_t)h->length;
	} else {
		b->state = HTTP_UNTIL_CLOSE;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

/* One byte of a chunk's framing. */
static int feed_framing(struct http_body *b, char c)
{
	switch (b->state) {
	case HTTP_CHUNK_SIZE:
		if (c == '\n') {
			if (!b->digits)
				return -EBADMSG;
			b->state = b->left ? HTTP_CHUNK_DATA : HTTP_TRAILER;
			b->digits = b->line = 0;
			b->skipping = false;
		} else if (b->skipping) {
			break;
		} else if (hex_digit(c) >= 0) {
			if (++b->digits > 8)
				return -EBADMSG;
			b->left = b->left * 16 + (uint64_t)hex_digit(c);
		} else if (c == ';' || c == '\r' || c == ' ') {
			b->skipping = true;
		} else {
			return -EBADMSG;
		}
		break;
	case HTTP_CHUNK_END:
		if (c == '\n')
			b->state = HTTP_CHUNK_SIZE;
		else if (c != '\r')
			return -EBADMSG;
		break;
	default: /* HTTP_TRAILER: an empty line ends it */
		if (c == '\n' && !b->line)
			b->state = HTTP_DONE;
		else if (c == '\n')
			b->line = 0;
		else if (c != '\r' && ++b->line > HTTP_HEAD_MAX)
			return -EBADMSG;
		break;
	}
	return 0;
}

ssize_t http_body_feed(struct http_body *b, const char *in, size_t n, char *out)
{
	size_t got = 0;

	while (n && b->state != HTTP_DONE) {
		size_t take = n;

		if (b->state != HTTP_PLAIN && b->state != HTTP_CHUNK_DATA &&
		    b->state != HTTP_UNTIL_CLOSE) {
			int r = feed_framing(b, *in);

			if (r < 0)
				return r;
			in++;
			n--;
			continue;
		}
		if (b->state != HTTP_UNTIL_CLOSE && take > b->left)
			take = (size_t)b->left;
		memcpy(out + got, in, take);
		got += take;
		in += take;
		n -= take;
		if (b->state == HTTP_UNTIL_CLOSE)
			continue;
		b->left -= take;
		if (!b->left)
			b->state = b->state == HTTP_PLAIN ? HTTP_DONE : HTTP_CHUNK_END;
	}
	return (ssize_t)got;
}

bool http_body_done(const struct http_body *b, bool eof)
{
	return b->state == HTTP_DONE || (eof && b->state == HTTP_UNTIL_CLOSE);
}

/* ---- connection ---- */

static int connect_tcp(const char *where)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	const char *colon = strrchr(where, ':');
	char host[64];
	bool v4, v6;
	long port;
	int fd, r, one = 1;

	if (!colon || (size_t)(colon - where) >= sizeof(host))
		return -EINVAL;
	port = strtol(colon + 1, NULL, 10);
	if (port < 1 || port > 65535)
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		memmove(host, host + 1, strlen(host));
	}
	v4 = inet_pton(AF_INET, host, &a4.sin_addr) == 1;
	v6 = !v4 && inet_pton(AF_INET6, host, &a6.sin6_addr) == 1;
	if (!v4 && !v6)
		return -EINVAL;
	a4.sin_port = a6.sin6_port = htons((uint16_t)port);
	fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = v4 ? connect(fd, (struct sockaddr *)&a4, sizeof(a4))
	       : connect(fd, (struct sockaddr *)&a6, sizeof(a6));
	if (r < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only speed */
	return fd;
}

static int send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

static int send_request(int fd, const struct http_req *q)
{
	char *text = NULL;
	int n, r;

	n = asprintf(&text,
		     "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s"
		     "%sContent-Length: %zu\r\n\r\n%s",
		     q->method, q->target,
		     q->headers && strstr(q->headers, "Upgrade:") ? "" : "Connection: close\r\n",
		     q->headers ? q->headers : "",
		     q->body ? "Content-Type: application/json\r\n" : "",
		     q->body ? strlen(q->body) : 0, q->body ? q->body : "");
	if (n < 0)
		return -ENOMEM;
	r = send_all(fd, text, (size_t)n);
	free(text);
	return r;
}

/* More bytes into buf.  1, 0 at the end, or a negative errno. */
static int fill(struct http_conn *c)
{
	ssize_t r;

	if (c->at == c->end)
		c->at = c->end = 0;
	do
		r = read(c->fd, c->buf + c->end, sizeof(c->buf) - c->end);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	c->eof = r == 0;
	c->end += (size_t)r;
	return r > 0;
}

static int read_head(struct http_conn *c)
{
	for (;;) {
		ssize_t n = http_head_parse(c->buf + c->at, c->end - c->at, &c->head);
		int r;

		if (n < 0)
			return (int)n;
		if (n > 0) {
			c->at += (size_t)n;
			/* 100 Continue and its like announce another head. */
			if (c->head.status >= 200 || c->head.status == 101)
				break;
			continue;
		}
		if (c->at && c->at < c->end)
			memmove(c->buf, c->buf + c->at, c->end - c->at);
		c->end -= c->at;
		c->at = 0;
		r = fill(c);
		if (r <= 0)
			return r < 0 ? r : -EPIPE;
	}
	http_body_init(&c->body, &c->head);
	return 0;
}

int http_open(const char *where, const struct http_req *q, struct http_conn **ret)
{
	struct http_conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->fd = where[0] == '/' ? connect_unix(where, SOCK_STREAM) : connect_tcp(where);
	r = c->fd < 0 ? c->fd : send_request(c->fd, q);
	if (r >= 0 || r == -EPIPE) /* it may have answered and closed before it read all */
		r = c->fd < 0 ? r : read_head(c);
	if (r < 0) {
		http_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

const struct http_head *http_head(const struct http_conn *c)
{
	return &c->head;
}

ssize_t http_read(struct http_conn *c, char *buf, size_t n)
{
	for (;;) {
		size_t have = c->end - c->at;
		ssize_t got;
		int r;

		if (have > n)
			have = n;
		got = http_body_feed(&c->body, c->buf + c->at, have, buf);
		if (got < 0)
			return got;
		c->at += have;
		if (got > 0)
			return got;
		if (http_body_done(&c->body, c->eof))
			return 0;
		if (c->eof)
			return -EPIPE; /* cut short */
		if (c->at == c->end) {
			r = fill(c);
			if (r < 0)
				return r;
		}
	}
}

int http_read_all(struct http_conn *c, char **ret, size_t *ret_len)
{
	size_t n = 0, room = 0;
	char *text = NULL;

	for (;;) {
		ssize_t r;

		if (room - n < 4096) {
			char *p;

			room = room ? room * 2 : 16384;
			p = room > 2 * (size_t)HTTP_BODY_MAX ? NULL : realloc(text, room);
			if (!p) {
				free(text);
				return room > HTTP_BODY_MAX ? -EMSGSIZE : -ENOMEM;
			}
			text = p;
		}
		r = http_read(c, text + n, room - n - 1);
		if (r < 0 || n + (size_t)(r > 0 ? r : 0) > HTTP_BODY_MAX) {
			free(text);
			return r < 0 ? (int)r : -EMSGSIZE;
		}
		if (r == 0)
			break;
		n += (size_t)r;
	}
	text[n] = '\0';
	*ret = text;
	*ret_len = n;
	return 0;
}

int http_take(struct http_conn *c, char **ret_early, size_t *ret_n)
{
	size_t n = c->end - c->at;
	char *early = malloc(n + 1);
	int fd = c->fd;

	if (!early) {
		http_close(c);
		return -ENOMEM;
	}
	memcpy(early, c->buf + c->at, n);
	*ret_early = early;
	*ret_n = n;
	free(c);
	return fd;
}

struct http_conn *http_close(struct http_conn *c)
{
	if (c) {
		if (c->fd >= 0)
			close(c->fd);
		free(c);
	}
	return NULL;
}

int http_escape(char *out, size_t n, const char *text)
{
	size_t at = strlen(out);

	for (; *text; text++) {
		bool plain = isalnum((unsigned char)*text) || strchr("-._~", *text);

		if (at + (plain ? 2 : 4) > n)
			return -ENAMETOOLONG;
		if (plain)
			out[at++] = *text;
		else
			at += (size_t)sprintf(out + at, "%%%02X", (unsigned char)*text);
	}
	out[at] = '\0';
	return 0;
}
