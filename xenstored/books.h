/* xenstored/books.h - limits over restarts; see books.c. */
#ifndef XENSTORED_BOOKS_H
#define XENSTORED_BOOKS_H

#include "xenstored/server.h"

int books_restore(struct server *s); /* set the limits that were set before */
/* A domain is gone: its own limits are no longer kept.  Part of the commit. */
int books_forget(struct server *s, uint16_t domid);

#endif
