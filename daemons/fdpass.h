/* daemons/fdpass.h - datagrams with descriptors over a unix socket.
 *
 * Made for SOCK_SEQPACKET: one call is one message.  Received descriptors are
 * close-on-exec.
 */
#ifndef DAEMONS_FDPASS_H
#define DAEMONS_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#define FDPASS_MAX 8

/* fds are borrowed.  0, or a negative errno (-EAGAIN: would block). */
int fdpass_send(int sock, const void *buf, size_t n, const int *fds, size_t nfds);

/* Returns the message's length (0: the peer closed), or a negative errno.
 * -EMSGSIZE if the message or its descriptors did not fit; nothing leaks.
 * fds must hold FDPASS_MAX; the caller owns the *ret_nfds it gets. */
ssize_t fdpass_recv(int sock, void *buf, size_t n, int fds[FDPASS_MAX], size_t *ret_nfds);

/* Closes and resets to -1 every descriptor of the array that is >= 0. */
void fdpass_close(int *fds, size_t n);

#endif
