/* daemons/listen.h - sockets a daemon serves: made here, or handed over by a
 * service manager (sd_listen_fds(3) protocol). */
#ifndef DAEMONS_LISTEN_H
#define DAEMONS_LISTEN_H

#include <stdint.h>
#include <sys/types.h>

/* A listening unix socket (type SOCK_STREAM or SOCK_SEQPACKET), non-blocking,
 * close-on-exec.  A stale socket file is replaced; one that still answers is
 * -EADDRINUSE; a file that is no socket is -EEXIST.  The folder is made
 * (0755) if it is missing.  group: owner gid of the file, or (gid_t)-1. */
int listen_unix(const char *path, int type, mode_t mode, gid_t group);

/* addr is a numeric IPv4 or IPv6 address; SO_REUSEADDR, non-blocking. */
int listen_tcp(const char *addr, uint16_t port);

/* A connected, close-on-exec socket to a unix path; blocking. */
int connect_unix(const char *path, int type);

/* The descriptor the service manager passed under this name (FileDescriptorName=),
 * or -ENOENT. */
int listen_inherited(const char *name);

/* sd_notify(3) without the library: state like "READY=1".  0 if there is no
 * manager, 1 if told, or a negative errno. */
int notify_manager(const char *state);
/* Seconds between WATCHDOG=1 messages the manager wants, halved; 0 if none. */
double notify_watchdog_interval(void);

#endif
