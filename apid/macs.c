/* apid/macs.c - the registry of MAC addresses. */
#include "apid/macs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apid/json.h"

#define NEW_TRIES 64 /* 2^23 addresses: as good as never more than two */

struct holder {
	char uuid[UUID_LEN + 1];
	char name[GUEST_NAME_MAX * 4 + 1];
	bool found, remnant;
};

static int holder_row(sqlite3_stmt *row, void *arg)
{
	struct holder *h = arg;

	h->found = true;
	snprintf(h->uuid, sizeof(h->uuid), "%s", db_text(row, 0));
	snprintf(h->name, sizeof(h->name), "%s", db_text(row, 1));
	h->remnant = db_int(row, 2);
	return 1;
}

static int find_holder(struct db *db, const char *mac, const char *but, struct holder *ret)
{
	*ret = (struct holder){ 0 };
	return db_query(db,
			"SELECT d.uuid, d.name, d.remnant FROM macs m JOIN domains d "
			"ON d.uuid = m.domain WHERE m.mac = ? AND m.domain <> ?",
			holder_row, ret, "ss", mac, but);
}

static int new_mac(struct db *db, char ret[MAC_LEN + 1], struct problem *p)
{
	struct holder h = { .found = true };

	for (int i = 0; i < NEW_TRIES && h.found; i++) {
		int r;

		vifcfg_mac_new(ret);
		r = find_holder(db, ret, "", &h);
		if (r < 0)
			return problem_errno(p, r, "state database");
	}
	return h.found ? problem_set(p, PROB_TOO_MANY_REQUESTS,
				     "no free MAC address was found; set mac= by hand")
		       : 0;
}

static bool devid_taken(json_object *list, int64_t devid)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (json_int(json_object_array_get_idx(list, i), "devid", -1) == devid)
			return true;
	return false;
}

int macs_complete(struct db *db, json_object *cfg, struct problem *p)
{
	json_object *list = json_get(cfg, "vifs");
	size_t n = json_len(cfg, "vifs");

	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(list, i);
		char mac[MAC_LEN + 1];
		int64_t devid = 0;
		int r = 0;

		if (!json_get(o, "devid")) {
			while (devid_taken(list, devid))
				devid++;
			r = json_object_object_add(o, "devid", json_object_new_int64(devid));
		}
		if (r == 0 && !json_get(o, "mac")) {
			r = new_mac(db, mac, p);
			if (r < 0)
				return r;
			r = json_object_object_add(o, "mac", json_object_new_string(mac));
		}
		if (r < 0)
			return problem_errno(p, -ENOMEM, "configuration");
	}
	return 0;
}

static int claim_one(struct db *db, const char *uuid, const struct guest_vif *v, struct problem *p)
{
	struct holder h;
	int r = find_holder(db, v->mac, uuid, &h);

	if (r == 0 && h.found && !h.remnant) {
		(void)problem_set(p, PROB_MAC_TAKEN,
				  "the MAC address %s belongs to '%s' (%s); leave mac out to get "
				  "a new one",
				  v->mac, h.name, h.uuid);
		snprintf(p->pointer, sizeof(p->pointer), "/vifs");
		return -EADDRINUSE;
	}
	/* Of a remnant, or of a definition that is no more. */
	if (r == 0)
		r = db_run(db, "DELETE FROM macs WHERE mac = ?", "s", v->mac);
	if (r == 0)
		r = db_run(db, "INSERT INTO macs (mac, domain, devid) VALUES (?, ?, ?)", "ssi",
			   v->mac, uuid, (int64_t)v->devid);
	return r;
}

int macs_claim(struct db *db, const char *uuid, const struct guestcfg *g, struct problem *p)
{
	int r = db_run(db, "DELETE FROM macs WHERE domain = ?", "s", uuid);

	for (unsigned i = 0; r == 0 && i < g->nvifs; i++)
		if (g->vifs[i].mac[0])
			r = claim_one(db, uuid, &g->vifs[i], p);
	return r;
}
