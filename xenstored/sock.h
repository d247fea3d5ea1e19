/* xenstored/sock.h - clients on the unix socket: domain 0's processes. */
#ifndef XENSTORED_SOCK_H
#define XENSTORED_SOCK_H

struct conn;
struct server;
struct listener;

/* Serve a listening socket; lfd is owned from here on, also on failure. */
int listener_new(struct server *srv, int lfd, struct listener **ret);
struct listener *listener_free(struct listener *l);

/* Serve one connected, non-blocking socket; fd is owned from here on. */
int sock_new(struct server *srv, int fd);
void sock_flush(struct conn *c);  /* send what is queued; frees c if it is doomed */
void sock_close(struct conn *c);  /* frees c */
void sock_resume(struct conn *c); /* c is no longer parked: handle what waits */

#endif
