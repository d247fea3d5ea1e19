/* xenstored/perms.h - who may do what with a node. */
#ifndef XENSTORED_PERMS_H
#define XENSTORED_PERMS_H

#include "xenstored/node.h"

#define XS_DOMID_ANY   0x7ff5u /* 32757: every domain (specials' default) */
#define XS_DOMID_SELF  0x7ff0u
#define XS_DOMID_LIMIT 0x7ff0u /* first that can't be a real domain */
#define XS_DOMID_NONE  0xffffu
#define PERMS_MAX      1024u /* in one list; a payload holds about that many */

/* Who asks: target is the domain it stands in for (SET_TARGET), or NONE. */
struct who {
	uint16_t domid, target;
	bool privileged;
};

/* Bits of PERM_READ, PERM_WRITE. */
unsigned perms_for(const struct perms *p, const struct who *w);
static inline uint16_t perms_owner(const struct perms *p)
{
	return p->p[0].domid;
}
bool perms_owns(const struct perms *p, const struct who *w);

/* "b5" NUL "n0" NUL ... as in SET_PERMS.  Returns how many, or -EINVAL. */
int perms_parse(const char *text, size_t n, struct perm *ret, size_t max);
/* The same text back; returns its length, or -E2BIG. */
int perms_format(const struct perm *p, size_t count, char *buf, size_t n);

#endif
