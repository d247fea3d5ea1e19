/* daemons/xs_client.h - asynchronous XenStore client over the daemon's socket.
 *
 * One connection, driven by a libevent base; requests are pipelined and
 * answered in order.  If the server goes away every pending request is
 * answered with -ECONNRESET and the client reconnects by itself (with backoff)
 * and re-registers every watch; each watch then fires once, as it does when it
 * is first set, so a user that re-reads on every event misses nothing.
 * Transactions are not carried over: a txn started before fails with -EAGAIN.
 *
 * The blocking calls (xs_sync_*) run a private connection and need no base;
 * they are for tools, tests and worker threads.
 */
#ifndef DAEMONS_XS_CLIENT_H
#define DAEMONS_XS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct xs_client;
struct xs_watch;

/* r: 0, or a negative errno from the server or the transport.  body is
 * borrowed until the callback returns, NUL-terminated one byte past len.  The
 * callback may issue new requests and may free watches, but not the client. */
typedef void xs_reply_cb(void *arg, int r, const uint8_t *body, size_t len);
/* path: what changed, as the server reports it; token is the watch's own. */
typedef void xs_watch_cb(void *arg, const char *path);
/* up: true after each (re)connect, before any watch fires. */
typedef void xs_state_cb(void *arg, bool up);

/* Starts connecting at once; path NULL means path_xenstored_sock().  base and
 * path are borrowed / copied.  Succeeds even if the server isn't there yet. */
int xs_client_new(struct event_base *base, const char *path, xs_state_cb *state, void *arg,
		  struct xs_client **ret);
/* Pending callbacks get -ECANCELED; watches that were not freed yet go too. */
struct xs_client *xs_client_free(struct xs_client *c);
bool xs_client_up(const struct xs_client *c);

/* Queue one request: type is enum xs_op, body is copied (parts joined by the
 * caller, NULs included).  cb may be NULL.  0 or a negative errno (then cb is
 * not called): -ENOTCONN while the server is away, -EAGAIN for a transaction
 * of a connection that is gone, -E2BIG, -ENOMEM. */
int xs_request(struct xs_client *c, uint32_t type, uint32_t tx_id, const void *body, size_t len,
	       xs_reply_cb *cb, void *arg);

int xs_read(struct xs_client *c, uint32_t tx, const char *path, xs_reply_cb *cb, void *arg);
int xs_write(struct xs_client *c, uint32_t tx, const char *path, const char *val, xs_reply_cb *cb,
	     void *arg);
int xs_rm(struct xs_client *c, uint32_t tx, const char *path, xs_reply_cb *cb, void *arg);

/* The watch lives until freed, before the client; owned by the caller.  May be
 * made while the server is away. */
int xs_watch_new(struct xs_client *c, const char *path, xs_watch_cb *cb, void *arg,
		 struct xs_watch **ret);
struct xs_watch *xs_watch_free(struct xs_watch *w);

/* ---- blocking ---- */
struct xs_sync;
int xs_sync_open(const char *path, struct xs_sync **ret);
struct xs_sync *xs_sync_close(struct xs_sync *s);
/* After a broken connection (-ECONNRESET, -ETIMEDOUT: the request may or may not
 * have been done) the next request connects anew.
 * *ret_body is malloc'ed, NUL-terminated one past *ret_len, owned by the
 * caller; either may be NULL. */
int xs_sync_request(struct xs_sync *s, uint32_t type, uint32_t tx_id, const void *body, size_t len,
		    char **ret_body, size_t *ret_len);
int xs_sync_read(struct xs_sync *s, uint32_t tx, const char *path, char **ret_val);
int xs_sync_write(struct xs_sync *s, uint32_t tx, const char *path, const char *val);
int xs_sync_mkdir(struct xs_sync *s, uint32_t tx, const char *path);
int xs_sync_rm(struct xs_sync *s, uint32_t tx, const char *path); /* missing is 0 */
/* perms: "n0", "r1", ... each NUL-free; n of them. */
int xs_sync_set_perms(struct xs_sync *s, uint32_t tx, const char *path, const char *const *perms,
		      size_t n);
int xs_sync_txn_start(struct xs_sync *s, uint32_t *ret_tx);
int xs_sync_txn_end(struct xs_sync *s, uint32_t tx, bool commit); /* -EAGAIN: start over */
/* Names in *ret_names, a malloc'ed block of NUL-terminated strings; *ret_len
 * bytes in all.  Falls back to DIRECTORY_PART for long lists. */
int xs_sync_directory(struct xs_sync *s, uint32_t tx, const char *path, char **ret_names,
		      size_t *ret_len);

#endif
