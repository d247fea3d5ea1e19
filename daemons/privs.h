/* daemons/privs.h - giving up what a daemon does not need. */
#ifndef DAEMONS_PRIVS_H
#define DAEMONS_PRIVS_H

#include <sys/types.h>

/* Resolve names.  -ENOENT if there is no such user or group. */
int privs_lookup_user(const char *name, uid_t *ret_uid, gid_t *ret_gid);
int privs_lookup_group(const char *name, gid_t *ret_gid);

/* Become uid/gid with the one extra group (or (gid_t)-1), no capability, no
 * way back (PR_SET_NO_NEW_PRIVS).  0 or a negative errno; on failure the
 * process must end. */
int privs_drop(uid_t uid, gid_t gid, gid_t extra);

#endif
