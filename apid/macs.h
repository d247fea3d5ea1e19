/* apid/macs.h - which guest holds which MAC address: a table of the database,
 * so that no two guests of this host ever answer to the same one.
 *
 * An address belongs to a definition, from its making to its end (a trigger of
 * the database); a guest that crashed and is only remembered gives way.
 */
#ifndef APID_MACS_H
#define APID_MACS_H

#include <json-c/json.h>

#include "apid/db.h"
#include "apid/guestcfg.h"

/* Gives every vif of a DomainConfig that has none a devid and a new address:
 * they are its name from then on. */
int macs_complete(struct db *db, json_object *cfg, struct problem *p);

/* Inside a transaction, after the domain's row: it holds exactly the addresses
 * of g.  -EADDRINUSE and *p that names who has one already. */
int macs_claim(struct db *db, const char *uuid, const struct guestcfg *g, struct problem *p);

#endif
