/* tests/unit/apid/test_macs.c - addresses belong to definitions: in a real
 * database file, over its end and its next start. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "apid/doms.h"
#include "apid/json.h"
#include "apid/macs.h"

#define MAC_1 "00:16:3e:00:00:01"
#define MAC_2 "00:16:3e:00:00:02"

struct rig {
	char dir[32], path[64];
	struct db *db;
	struct events *ev;
	struct doms *doms;
};

static void open_rig(struct rig *g)
{
	char err[256];

	assert_int_equal(db_open(g->path, &g->db, err, sizeof(err)), 0);
	assert_int_equal(events_new(g->db, &g->ev), 0);
	assert_int_equal(doms_new(g->db, g->ev, &g->doms), 0);
}

static void close_rig(struct rig *g)
{
	g->doms = doms_free(g->doms);
	g->ev = events_free(g->ev);
	g->db = db_close(g->db);
}

static int setup(void **state)
{
	struct rig *g = calloc(1, sizeof(*g));

	strcpy(g->dir, "/tmp/dz-macs.XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	snprintf(g->path, sizeof(g->path), "%s/apid.db", g->dir);
	open_rig(g);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct rig *g = *state;
	char cmd[64];

	close_rig(g);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", g->dir);
	assert_int_equal(system(cmd), 0);
	free(g);
	return 0;
}

/* Defines a guest with these vifs (JSON); its completed configuration. */
static int define(struct rig *g, const char *name, const char *vifs, json_object **ret_cfg,
		  struct dom **ret, struct problem *p)
{
	char text[1024], uuid[UUID_LEN + 1], err[96];
	json_object *o = NULL;
	struct guestcfg c;
	int r;

	uuid_new(uuid);
	snprintf(text, sizeof(text),
		 "{\"name\":\"%s\",\"kernel\":\"/k\",\"uuid\":\"%s\",\"vifs\":%s}", name, uuid,
		 vifs);
	assert_int_equal(json_parse(text, strlen(text), &o, err, sizeof(err)), 0);
	assert_int_equal(macs_complete(g->db, o, p), 0);
	assert_int_equal(guestcfg_parse(o, &c, p), 0);
	r = doms_define(g->doms, &c, json_object_to_json_string(o), true, ret, p);
	guestcfg_fini(&c);
	if (ret_cfg)
		*ret_cfg = o;
	else
		json_object_put(o);
	return r;
}

static void every_vif_gets_a_devid_and_an_address_of_its_own(void **state)
{
	struct rig *g = *state;
	json_object *cfg, *list, *a, *b, *c;
	struct problem p;
	struct dom *d;

	assert_int_equal(
		define(g, "a", "[{},{\"devid\":0,\"mac\":\"" MAC_1 "\"},{}]", &cfg, &d, &p), 0);
	list = json_get(cfg, "vifs");
	a = json_object_array_get_idx(list, 0);
	b = json_object_array_get_idx(list, 1);
	c = json_object_array_get_idx(list, 2);
	assert_int_equal(json_int(b, "devid", -1), 0);
	assert_string_equal(json_str(b, "mac", ""), MAC_1);
	assert_int_equal(json_int(a, "devid", -1), 1);
	assert_int_equal(json_int(c, "devid", -1), 2);
	assert_string_not_equal(json_str(a, "mac", ""), json_str(c, "mac", ""));
	json_object_put(cfg);
}

static void an_address_that_is_held_is_refused_and_its_holder_named(void **state)
{
	struct rig *g = *state;
	struct problem p;
	struct dom *d, *e;

	assert_int_equal(define(g, "first", "[{\"mac\":\"" MAC_1 "\"}]", NULL, &d, &p), 0);
	assert_true(define(g, "second", "[{\"mac\":\"" MAC_1 "\"}]", NULL, &e, &p) < 0);
	assert_int_equal(p.code, PROB_MAC_TAKEN);
	assert_non_null(strstr(p.detail, "'first'"));
	assert_null(doms_by_name(g->doms, "second"));
	assert_int_equal(define(g, "second", "[{\"mac\":\"" MAC_2 "\"}]", NULL, &e, &p), 0);
	/* Over a restart of the process too. */
	close_rig(g);
	open_rig(g);
	assert_true(define(g, "third", "[{\"mac\":\"" MAC_1 "\"}]", NULL, &e, &p) < 0);
	assert_int_equal(p.code, PROB_MAC_TAKEN);
}

static void an_address_is_free_again_when_its_definition_is_gone(void **state)
{
	struct rig *g = *state;
	struct problem p;
	struct dom *d;

	assert_int_equal(define(g, "one", "[{\"mac\":\"" MAC_1 "\"}]", NULL, &d, &p), 0);
	assert_int_equal(doms_undefine(g->doms, d, &p), 0);
	assert_int_equal(define(g, "two", "[{\"mac\":\"" MAC_1 "\"}]", NULL, &d, &p), 0);
}

static void a_changed_definition_lets_go_of_what_it_does_not_name(void **state)
{
	struct rig *g = *state;
	struct problem p;
	struct guestcfg c;
	struct dom *d, *e;
	json_object *cfg, *none = json_object_new_array();

	assert_int_equal(define(g, "one", "[{\"mac\":\"" MAC_1 "\"}]", &cfg, &d, &p), 0);
	json_object_object_add(cfg, "vifs", none);
	assert_int_equal(guestcfg_parse(cfg, &c, &p), 0);
	assert_int_equal(doms_redefine(g->doms, d, &c, json_object_to_json_string(cfg), &p), 0);
	guestcfg_fini(&c);
	json_object_put(cfg);
	assert_int_equal(define(g, "two", "[{\"mac\":\"" MAC_1 "\"}]", NULL, &e, &p), 0);
}

static void a_guest_remembered_for_its_crash_gives_way(void **state)
{
	struct dom_end end = { .reason = "crash", .at_ms = 5 };
	struct rig *g = *state;
	struct guestcfg c;
	struct problem p;
	struct dom *d, *e;
	json_object *cfg;

	assert_int_equal(define(g, "one", "[{\"mac\":\"" MAC_1 "\"}]", &cfg, &d, &p), 0);
	d->persistent = false;
	assert_int_equal(doms_run_over(g->doms, d, &end, false, &p), 0);
	assert_true(d->remnant);
	assert_int_equal(define(g, "two", "[{\"mac\":\"" MAC_1 "\"}]", NULL, &e, &p), 0);
	/* And can't take it back. */
	assert_int_equal(guestcfg_parse(cfg, &c, &p), 0);
	assert_true(doms_claim(g->doms, d, &c, &p) < 0);
	assert_int_equal(p.code, PROB_MAC_TAKEN);
	guestcfg_fini(&c);
	json_object_put(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(every_vif_gets_a_devid_and_an_address_of_its_own),
		T(an_address_that_is_held_is_refused_and_its_holder_named),
		T(an_address_is_free_again_when_its_definition_is_gone),
		T(a_changed_definition_lets_go_of_what_it_does_not_name),
		T(a_guest_remembered_for_its_crash_gives_way),
#undef T
	};

	return cmocka_run_group_tests_name("apid/macs", tests, NULL, NULL);
}
