/* apid/peer.h - who is at the other end of a connection.
 *
 * A unix socket's peer is told by SO_PEERCRED, and only members of its group
 * can connect at all.  A loopback TCP connection has both its ends on this
 * host, so the kernel knows the owner of the other socket too: sock_diag(7)
 * tells it.  So another local user can't reach the API through the TCP port.
 */
#ifndef APID_PEER_H
#define APID_PEER_H

#include <sys/types.h>

#include "apid/call.h"

/* group: members are as root here; (gid_t)-1 for none.  An unknown peer gets
 * PRIV_NONE. */
void peer_identify(int fd, gid_t group, struct caller *ret);

#endif
