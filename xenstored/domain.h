/* xenstored/domain.h - the domains the daemon knows, from the first time one is
 * named until it is gone.
 *
 *   named --INTRODUCE--> connected --shut down--> (told once, until RESUME)
 *     |                      |
 *     +--------gone or RELEASE: nodes, entries, watches, limits are removed
 */
#ifndef XENSTORED_DOMAIN_H
#define XENSTORED_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "xenstored/hv.h"

struct conn;
struct domain;
struct domains;
struct server;
struct watch;

#define FEATURE_RECONNECT 1u
#define FEATURE_ERROR	  2u
#define FEATURE_DEPTH	  4u
#define FEATURE_DOMID_ANY 8u
/* What GET_FEATURE says and SET_FEATURE may choose from (master says 14). */
#define FEATURES (FEATURE_ERROR | FEATURE_DEPTH | FEATURE_DOMID_ANY)

/* What is kept of a domain over a restart; written as it is, to our own file. */
struct domain_record {
	uint32_t version, port;
	uint64_t gfn, created_ns;
	uint32_t features, last_txn;
	uint16_t target, unused;
	uint8_t introduced, told_shutdown;
	uint16_t ntxns; /* their numbers follow, 32 bits each */
};
_Static_assert(sizeof(struct domain_record) == 40, "no padding in what is kept");

/* hv is taken over.  slots_path: where rings' half messages are kept, NULL:
 * nowhere. */
int domains_new(struct server *srv, const struct hv *hv, const char *slots_path,
		struct domains **ret);
struct domains *domains_free(struct domains *ds); /* leaves ports to a successor */
/* Take up what a former process left in the store. */
int domains_restore(struct domains *ds);

struct domain *domain_find(struct domains *ds, uint16_t domid); /* NULL */
bool domains_exist(struct domains *ds, uint16_t domid);
struct conn *domain_conn(const struct domain *d); /* NULL: not connected */
uint16_t domain_id(const struct domain *d);

/* The requests; 0 or a negative errno. */
int domain_introduce(struct domains *ds, uint16_t domid, uint64_t gfn, uint32_t port);
int domain_release(struct domains *ds, uint16_t domid);
int domain_resume(struct domains *ds, uint16_t domid);
int domain_set_target(struct domains *ds, uint16_t domid, uint16_t target);
int domain_features(struct domains *ds, uint16_t domid, uint32_t *ret);
int domain_set_features(struct domains *ds, uint16_t domid, uint32_t v);

/* A ring's state that a restart must find; part of the request's commit. */
int domain_save_txns(struct domain *d);
int domain_save_watch(struct domain *d, const struct watch *w);
int domain_forget_watch(struct domain *d, const struct watch *w);
int domain_forget_watches(struct domain *d);

#endif
