/* cli/http.h - a small HTTP/1.1 client: one request, one response, then close.
 *
 * Over a unix socket or loopback TCP; the server is not trusted to be sane:
 * heads and bodies are bounded, and every length is checked.
 */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HTTP_HEAD_MAX 16384u
#define HTTP_BODY_MAX (64u << 20)

/* ---- the response's framing, without I/O ---- */

struct http_head {
	int status;
	bool chunked;
	int64_t length; /* Content-Length, or -1: chunked, or until the end */
	char location[256], content_type[64], console_mode[8];
};
/* Parses a head in buf.  Returns the bytes it takes, 0 if it is not complete,
 * or -EBADMSG.  *ret is written only when the result is positive. */
ssize_t http_head_parse(const char *buf, size_t n, struct http_head *ret);

/* A body as it arrives.  Zeroed and then set from the head by http_body_init. */
struct http_body {
	enum {
		HTTP_CHUNK_SIZE,
		HTTP_CHUNK_DATA,
		HTTP_CHUNK_END,
		HTTP_TRAILER,
		HTTP_PLAIN,
		HTTP_UNTIL_CLOSE,
		HTTP_DONE
	} state;
	uint64_t left;	 /* of the chunk or of the body */
	unsigned digits; /* of a chunk's size so far */
	bool skipping;	 /* past the digits, up to the end of the line */
	unsigned line;	 /* bytes of this trailer line */
};
void http_body_init(struct http_body *b, const struct http_head *h);
/* Takes n bytes, copies what belongs to the body to out (room for n).  Returns
 * the bytes copied, or -EBADMSG. */
ssize_t http_body_feed(struct http_body *b, const char *in, size_t n, char *out);
/* True when the body is complete (at the connection's end if eof). */
bool http_body_done(const struct http_body *b, bool eof);

/* ---- requests ---- */

struct http_conn; /* one request and its response */

struct http_req {
	const char *method, *target; /* target begins with / and is escaped */
	const char *body;	     /* NULL: none; JSON otherwise */
	const char *headers;	     /* more lines, each with \r\n; NULL: none */
};

/* where: a path that begins with / (unix socket), or ADDRESS:PORT (numeric).
 * Connects, sends, reads the head.  *ret is owned by the caller.  A negative
 * errno (-ENOENT, -ECONNREFUSED: nobody serves; -EBADMSG; -EPIPE: it closed). */
int http_open(const char *where, const struct http_req *q, struct http_conn **ret);
const struct http_head *http_head(const struct http_conn *c); /* borrowed */
/* The next bytes of the body, blocking.  0 at its end; a negative errno. */
ssize_t http_read(struct http_conn *c, char *buf, size_t n);
/* The whole body, NUL-terminated; owned.  -EMSGSIZE above HTTP_BODY_MAX. */
int http_read_all(struct http_conn *c, char **ret, size_t *ret_len);
/* After status 101: the connection is the caller's (*ret_early, owned, are
 * bytes that came with the head); c is consumed. */
int http_take(struct http_conn *c, char **ret_early, size_t *ret_n);
struct http_conn *http_close(struct http_conn *c); /* NULL ok */

/* Appends text to out (room n) escaped for one path segment or query value;
 * -ENAMETOOLONG. */
int http_escape(char *out, size_t n, const char *text);

#endif
