/* xenstored/sock.h - clients on the unix socket: domain 0's processes. */
#ifndef XENSTORED_SOCK_H
#define XENSTORED_SOCK_H

#include <stddef.h>
#include <stdint.h>

struct conn;
struct server;
struct listener;

/* Serve a listening socket; lfd is owned from here on, also on failure. */
int listener_new(struct server *srv, int lfd, struct listener **ret);
struct listener *listener_free(struct listener *l);
int listener_fd(const struct listener *l); /* borrowed */

/* Serve one connected, non-blocking socket; fd is owned from here on. */
int sock_new(struct server *srv, int fd, struct conn **ret);
/* For a live update: its descriptor and the bytes that wait, borrowed. */
int sock_export(const struct conn *c, const uint8_t **ret_in, size_t *ret_len);
int sock_import(struct server *srv, int fd, const uint8_t *in, size_t len, struct conn **ret);
void sock_flush(struct conn *c);  /* send what is queued; frees c if it is doomed */
void sock_close(struct conn *c);  /* frees c */
void sock_resume(struct conn *c); /* c is no longer parked: handle what waits */

#endif
