/* apid/httpd.h - the HTTP side: libmicrohttpd on given listening sockets.
 *
 * Each listener has a pool of threads that use poll(2) (EPOLL and AUTO modes
 * with one thread stall with 128 and more keep-alive connections in 0.9.75).
 * Nothing that blocks runs in them: a connection whose answer isn't there yet
 * is suspended and resumed by whoever completes the answer.
 */
#ifndef APID_HTTPD_H
#define APID_HTTPD_H

#include "apid/apid.h"

#define HTTPD_BODY_MAX	   (1u << 20)
#define HTTPD_URI_MAX	   8192u
#define HTTPD_HEADER_MAX   32768u /* memory of one connection: all headers must fit */
#define HTTPD_REQUEST_S	   75u	  /* from connect, or the last answer, to a whole request */
#define HTTPD_STREAMS_MAX  256
#define HTTPD_CONSOLES_MAX 64

struct httpd_opts {
	unsigned threads;     /* of each listener's pool, at least 2 */
	unsigned connections; /* of each listener, at most */
	unsigned heartbeat_s; /* of idle event streams */
	unsigned request_s;   /* HTTPD_REQUEST_S */
	gid_t group;	      /* its members are as root; (gid_t)-1: none */
};

struct httpd;

/* listen_fd is consumed on success.  tcp: loopback rules (peer's uid, Host). */
int httpd_start(struct apid *a, int listen_fd, bool tcp, const struct httpd_opts *o,
		struct httpd **ret);
/* Takes no more connections; those that are open go on. */
void httpd_quiesce(struct httpd *h);
/* Ends every connection.  None may be waiting for an answer or a stream. */
struct httpd *httpd_stop(struct httpd *h);
/* The timer's work (every second): ends connections that take too long. */
void httpd_tick(struct httpd *h);

#endif
