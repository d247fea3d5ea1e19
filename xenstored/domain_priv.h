/* xenstored/domain_priv.h - a domain's inside, for domain.c (what happens to
 * domains) and domain_save.c (what a restart finds). */
#ifndef XENSTORED_DOMAIN_PRIV_H
#define XENSTORED_DOMAIN_PRIV_H

#include "xenstored/domain.h"
#include "xenstored/ring.h"
#include "xenstored/server.h"

#define DOMIDS 0x7ff0u /* real domains are below */

struct domain {
	struct domains *ds; /* borrowed */
	uint16_t domid;
	struct domain_record rec;
	struct conn *conn; /* owned; NULL: not connected */
	void *page, *port; /* owned; NULL: none */
	bool pending;	   /* of a former process; the hypervisor was away */
};

struct domains {
	struct server *srv;	  /* borrowed */
	struct hv hv;		  /* owned */
	struct domain **by_domid; /* owned; DOMIDS of them */
	uint8_t *slots;		  /* owned mapping, RING_SLOT_SIZE for each domid */
	int slots_fd;		  /* -1: private memory */
	struct event *ev_hv, *ev_retry;
};

struct domain *domain_get(struct domains *ds, uint16_t domid); /* made if missing; NULL */
void domain_free(struct domain *d);
int domain_save(struct domain *d);
struct ring_slot *domain_slot(struct domains *ds, uint16_t domid);
/* Map, bind and start the ring. */
int domain_connect(struct domain *d, bool fresh, uint32_t committed);
/* Our own kernel's ring, for the first time. */
int domains_introduce_own(struct domains *ds);
/* Everything of a domain that is no more, and @releaseDomain. */
void domain_gone(struct domains *ds, uint16_t domid);
/* Watches and transactions from meta to the connection. */
int domain_restore_conn(struct domain *d);
void domains_retry_later(struct domains *ds);

#endif
