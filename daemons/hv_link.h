/* daemons/hv_link.h - hv messages over a SOCK_SEQPACKET socket.
 *
 * The one place where struct hv_msg meets a descriptor; hvd, its clients and
 * the domain processes all use it.  Blocks only if the socket does.
 */
#ifndef DAEMONS_HV_LINK_H
#define DAEMONS_HV_LINK_H

#include <stddef.h>

#include "daemons/fdpass.h"
#include "proto/hv_msg.h"

/* fds are borrowed.  0, or a negative errno (-EAGAIN: would block). */
int hv_link_send(int sock, const struct hv_msg *m, const int *fds, size_t nfds);

/* A buffer for one datagram; BLOB fields of a received message point into it. */
struct hv_link_buf {
	unsigned char bytes[HV_MSG_MAX];
};

/* 1 and *ret, 0 if the peer has gone, or a negative errno (-EBADMSG: the peer
 * is broken).  The caller owns *ret_nfds descriptors in fds. */
int hv_link_recv(int sock, struct hv_link_buf *buf, struct hv_msg *ret, int fds[FDPASS_MAX],
		 size_t *ret_nfds);

/* An ERROR answering seq; err is a negative errno. */
int hv_link_send_error(int sock, uint32_t seq, int err, const char *text);

#endif
