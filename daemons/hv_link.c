/* daemons/hv_link.c - encode and send, receive and decode. */
#include "daemons/hv_link.h"

#include <errno.h>
#include <stdio.h>

int hv_link_send(int sock, const struct hv_msg *m, const int *fds, size_t nfds)
{
	unsigned char buf[HV_MSG_MAX];
	int n = hv_msg_encode(m, buf, sizeof(buf));

	return n < 0 ? n : fdpass_send(sock, buf, (size_t)n, fds, nfds);
}

int hv_link_recv(int sock, struct hv_link_buf *buf, struct hv_msg *ret, int fds[FDPASS_MAX],
		 size_t *ret_nfds)
{
	size_t nfds = 0;
	ssize_t n = fdpass_recv(sock, buf->bytes, sizeof(buf->bytes), fds, &nfds);
	int r;

	/* A peer that died with something unread: the kernel tells that first, and
	 * then what the peer had still said. */
	if (n == -ECONNRESET)
		n = fdpass_recv(sock, buf->bytes, sizeof(buf->bytes), fds, &nfds);
	if (n < 0)
		return n == -ECONNRESET ? 0 : (int)n;
	if (n == 0) {
		fdpass_close(fds, nfds); /* an empty datagram may carry some */
		return 0;
	}
	r = hv_msg_decode(buf->bytes, (size_t)n, ret);
	if (r < 0) {
		fdpass_close(fds, nfds);
		return r;
	}
	*ret_nfds = nfds;
	return 1;
}

int hv_link_send_error(int sock, uint32_t seq, int err, const char *text)
{
	struct hv_msg m = { .type = HV_ERROR, .seq = seq, .status = err };

	(void)snprintf(m.u.ERROR.text, sizeof(m.u.ERROR.text), "%s", text ? text : ""); /* cut */
	return hv_link_send(sock, &m, NULL, 0);
}
