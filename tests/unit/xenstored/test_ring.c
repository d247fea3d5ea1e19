/* Guests' rings: what they may do, what they may not, and what a restart of the
 * daemon means to them.  The X cases are those of the hostile-input list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "daemons/log.h"
#include "tests/fake/xs_rig.h"

#define ASK(r, dom, type, tx, body) guest_ask(r, dom, type, tx, body, sizeof(body) - 1, NULL, NULL)

static int setup_on(void **state, bool on_disk)
{
	struct rig *r = malloc(sizeof(*r));
	struct conn *c;

	log_init("test", LOG_ERR_); /* refusals are expected here, and counted */
	rig_init(r, on_disk);
	rig_start(r);
	c = rig_conn(r, 0);
	for (char d = 1; d < 4; d++) {
		char intro[] = "1\00077\0003", dir[] = "/local/domain/1",
		     perms[] = "/local/domain/1\0n1";

		intro[0] = dir[14] = perms[14] = perms[17] = (char)('0' + d);
		assert_int_equal(rig_ask(c, XS_MKDIR, 0, dir, sizeof(dir), NULL, NULL), 0);
		assert_int_equal(rig_ask(c, XS_SET_PERMS, 0, perms, sizeof(perms), NULL, NULL), 0);
		assert_int_equal(rig_ask(c, XS_INTRODUCE, 0, intro, sizeof(intro), NULL, NULL), 0);
	}
	rig_conn_free(c);
	rig_turn(r);
	*state = r;
	return 0;
}

static int setup(void **state)
{
	return setup_on(state, false);
}
static int setup_disk(void **state)
{
	return setup_on(state, true);
}

static int teardown(void **state)
{
	struct rig *r = *state;
	char *why = NULL;

	/* After whatever was done: the daemon lives, its books are right, and a
	 * guest that took no part is served. */
	assert_int_equal(server_check(&r->srv, &why), 0);
	if (why)
		fail_msg("%s", why);
	assert_int_equal(ASK(r, 3, XS_WRITE, 0, "alive\0yes"), 0);
	rig_fini(r);
	free(r);
	return 0;
}

static const struct usage *usage(struct rig *r, uint16_t domid)
{
	return quota_usage(&r->srv.quotas, domid);
}

static void a_guest_reads_and_writes_below_its_own_path(void **state)
{
	struct rig *r = *state;
	char b[5000];
	size_t n;

	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "data/x\0hello"), 0);
	assert_int_equal(guest_ask(r, 1, XS_READ, 0, "/local/domain/1/data/x", 23, b, &n), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(b, "hello", 5);
	assert_int_equal(guest_ask(r, 1, XS_GET_PERMS, 0, "data", 5, b, &n), 0);
	assert_string_equal(b, "n1");
	assert_int_equal(guest_ask(r, 1, XS_GET_DOMAIN_PATH, 0, "7", 2, b, &n), 0);
	assert_string_equal(b, "/local/domain/7");
	assert_int_equal(r->dom[1].page->server_features, 15);
}

static void x12_a_guest_may_not_write_outside(void **state)
{
	struct rig *r = *state;

	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "/libxl/x\0y"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "/vm\0y"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_MKDIR, 0, "/tool/z\0"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "/local/domain/2/x\0y"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_READ, 0, "/local/domain/2/x\0"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_RM, 0, "/local/domain/2\0"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_INTRODUCE, 0, "9\00077\0003\0"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_CONTROL, 0, "check\0"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_SET_TARGET, 0, "1\0002\0"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_GET_FEATURE, 0, "1\0"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_GET_FEATURE, 0, ""), 0);
	assert_true(usage(r, 1)->refused[REFUSED_ACCESS] >= 9);
}

static void x1_a_quota_of_n_allows_n(void **state)
{
	struct rig *r = *state;
	char body[64], id[32];
	size_t n;

	/* Thirty in each group: a list of names counts against node-size. */
	for (unsigned i = 0; usage(r, 1)->used[Q_NODES] < 998; i++) {
		n = (size_t)sprintf(body, "g%u/%u", i / 30, i % 30) + 1;
		assert_int_equal(guest_ask(r, 1, XS_MKDIR, 0, body, n, NULL, NULL), 0);
	}
	while (usage(r, 1)->used[Q_NODES] < 1000) {
		n = (size_t)sprintf(body, "last%u", usage(r, 1)->used[Q_NODES]) + 1;
		assert_int_equal(guest_ask(r, 1, XS_MKDIR, 0, body, n, NULL, NULL), 0);
	}
	assert_int_equal(ASK(r, 1, XS_MKDIR, 0, "more\0"), -ENOSPC);
	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "more\0x"), -ENOSPC);
	for (int i = 0; i < 128; i++) {
		n = (size_t)sprintf(body, "w%c%d", 0, i) + 1;
		assert_int_equal(guest_ask(r, 1, XS_WATCH, 0, body, n, NULL, NULL), 0);
	}
	assert_int_equal(ASK(r, 1, XS_WATCH, 0, "w\0one more\0"), -ENOSPC);
	for (int i = 0; i < 10; i++)
		assert_int_equal(guest_ask(r, 1, XS_TRANSACTION_START, 0, "", 1, id, &n), 0);
	assert_int_equal(guest_ask(r, 1, XS_TRANSACTION_START, 0, "", 1, id, &n), -ENOSPC);
	assert_int_equal(ASK(r, 1, XS_RESET_WATCHES, 0, "\0"), 0);
	assert_int_equal(usage(r, 1)->used[Q_WATCHES], 0);
	assert_int_equal(usage(r, 1)->used[Q_TRANSACTIONS], 0);
}

static void the_node_quota_holds_inside_transactions(void **state)
{
	struct rig *r = *state;
	uint32_t own = usage(r, 1)->used[Q_NODES], tx;
	char id[32], body[32];
	size_t n;

	r->srv.quotas.hard[Q_NODES] = own + 3;
	assert_int_equal(guest_ask(r, 1, XS_TRANSACTION_START, 0, "", 1, id, &n), 0);
	tx = (uint32_t)atoi(id);
	for (unsigned i = 0; i < 3; i++) {
		n = (size_t)sprintf(body, "q%u", i) + 1;
		assert_int_equal(guest_ask(r, 1, XS_MKDIR, tx, body, n, NULL, NULL), 0);
	}
	assert_int_equal(ASK(r, 1, XS_MKDIR, tx, "q4\0"), -ENOSPC);
	assert_int_equal(ASK(r, 1, XS_TRANSACTION_END, tx, "T\0"), -ENOMEM);
	assert_int_equal(usage(r, 1)->used[Q_NODES], own);
	/* Two that fit alone, but not together: the second finds out at its end. */
	assert_int_equal(guest_ask(r, 1, XS_TRANSACTION_START, 0, "", 1, id, &n), 0);
	tx = (uint32_t)atoi(id);
	assert_int_equal(ASK(r, 1, XS_WRITE, tx, "a/b\0c"), 0);
	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "d/e\0f"), 0);
	assert_int_equal(ASK(r, 1, XS_TRANSACTION_END, tx, "T\0"), -ENOSPC);
	assert_int_equal(ASK(r, 1, XS_READ, 0, "a\0"), -ENOENT);
	assert_int_equal(usage(r, 1)->used[Q_NODES], own + 2);
	assert_int_equal(ASK(r, 1, XS_RM, 0, "d\0"), 0);
	assert_int_equal(usage(r, 1)->used[Q_NODES], own);
}

static void x4_reset_watches_inside_a_transaction(void **state)
{
	struct rig *r = *state;
	char id[32];
	size_t n;

	assert_int_equal(ASK(r, 1, XS_WATCH, 0, "a\0t\0"), 0);
	assert_int_equal(guest_ask(r, 1, XS_TRANSACTION_START, 0, "", 1, id, &n), 0);
	assert_int_equal(ASK(r, 1, XS_WRITE, (uint32_t)atoi(id), "a\0b"), 0);
	assert_int_equal(guest_ask(r, 1, XS_RESET_WATCHES, (uint32_t)atoi(id), "", 1, NULL, NULL),
			 0);
	assert_int_equal(ASK(r, 1, XS_TRANSACTION_END, (uint32_t)atoi(id), "T\0"), -ENOENT);
	assert_int_equal(ASK(r, 1, XS_READ, 0, "a\0"), -ENOENT);
	assert_int_equal(ASK(r, 1, XS_UNWATCH, 0, "a\0t\0"), -ENOENT);
}

static void x5_odd_paths_are_refused(void **state)
{
	static const char *const bad[] = {
		"/local/domain/",   "//",    "/a//b", "..", "a b", "", "/x/",
		"@introduceDomain", "/a\x80"
	};
	struct rig *r = *state;
	char big[4000];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			guest_ask(r, 1, XS_READ, 0, bad[i], strlen(bad[i]) + 1, NULL, NULL),
			-EINVAL);
	assert_int_equal(ASK(r, 1, XS_READ, 0, "a\0b\0"), -EINVAL);
	assert_int_equal(ASK(r, 1, XS_READ, 0, "a"), -EINVAL);
	memset(big, 'a', sizeof(big));
	big[0] = '/';
	big[3072] = '\0';
	assert_int_equal(guest_ask(r, 1, XS_READ, 0, big, 3073, NULL, NULL),
			 -EINVAL); /* its quota */
	big[2048] = '\0';
	assert_int_equal(guest_ask(r, 1, XS_READ, 0, big, 2049, NULL, NULL), -EACCES);
	big[0] = 'b';
	assert_int_equal(guest_ask(r, 1, XS_READ, 0, big, 2049, NULL, NULL), -ENOENT);
}

static void x6_a_message_over_4096_bytes_ends_the_ring(void **state)
{
	struct rig *r = *state;
	uint32_t h[4] = { XS_READ, 1, 0, 4097 };
	char body[4096] = "w\0";

	memset(body + 2, 'x', sizeof(body) - 2);
	assert_int_equal(guest_ask(r, 1, XS_WRITE, 0, body, sizeof(body), NULL, NULL), -ENOSPC);
	guest_put(&r->dom[1], h, sizeof(h));
	guest_kick(&r->dom[1]);
	rig_turn(r);
	assert_int_equal(r->dom[1].page->error, RING_ERROR_PROTO);
	assert_int_equal(ASK(r, 1, XS_READ, 0, "w\0"), -ETIMEDOUT);
}

static void x6_a_half_message_waits_and_hurts_nobody(void **state)
{
	struct rig *r = *state;
	uint32_t h[4] = { XS_WRITE, 1, 0, 300 };
	uint32_t hdr[4];
	char body[300] = "w\0", got[5000];

	guest_put(&r->dom[1], h, sizeof(h));
	guest_put(&r->dom[1], body, 100);
	guest_kick(&r->dom[1]);
	rig_turn(r);
	assert_int_equal(ASK(r, 2, XS_WRITE, 0, "other\0x"), 0);
	guest_put(&r->dom[1], body + 100, 200);
	guest_kick(&r->dom[1]);
	assert_true(guest_msg(r, 1, hdr, got));
	assert_int_equal(hdr[0], XS_WRITE);
}

static void x7_impossible_indexes_end_the_ring(void **state)
{
	struct rig *r = *state;

	r->dom[1].page->req_prod = r->dom[1].page->req_cons + 1025;
	guest_kick(&r->dom[1]);
	rig_turn(r);
	assert_int_equal(r->dom[1].page->error, RING_ERROR_RINGIDX);
	r->dom[2].page->rsp_cons = r->dom[2].page->rsp_prod + 1;
	guest_put(&r->dom[2], "\2\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0x", 18); /* READ x */
	guest_kick(&r->dom[2]);
	rig_turn(r);
	assert_int_equal(r->dom[2].page->error, RING_ERROR_RINGIDX);
}

static void a_scribbled_consumer_index_is_not_believed(void **state)
{
	struct rig *r = *state;

	r->dom[1].page->req_cons += 5;
	r->dom[1].page->rsp_prod += 9;
	r->dom[1].page->req_cons -= 5; /* the guest's own code must still work */
	r->dom[1].page->rsp_prod -= 9;
	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "x\0y"), 0);
}

static void a_reader_that_never_drains_is_bounded(void **state) /* X8 */
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);
	char body[64];
	uint32_t before = r->dom[1].page->rsp_prod;

	assert_int_equal(ASK(r, 1, XS_WATCH, 0, "/hot\0t\0"), 0);
	assert_int_equal(RIG_ASK(c, XS_MKDIR, 0, "/hot\0"), 0);
	assert_int_equal(RIG_ASK(c, XS_SET_PERMS, 0, "/hot\0r0\0"), 0);
	for (int i = 0; i < 60000; i++) {
		size_t n = (size_t)sprintf(body, "/hot/n%d", i % 20000) + 1;

		assert_int_equal(rig_ask(c, XS_WRITE, 0, body, n, NULL, NULL), 0);
	}
	rig_turn(r);
	assert_true(r->dom[1].page->rsp_prod - before <= 2 * RING_BYTES);
	assert_true(usage(r, 1)->refused[REFUSED_EVENTS] > 0);
	assert_true(domain_conn(domain_find(r->srv.domains, 1))->out.len < 2621440);
	rig_conn_free(c);
}

static void x9_a_reused_domid_inherits_nothing(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);

	assert_int_equal(RIG_ASK(c, XS_WRITE, 0, "/secret\0x"), 0);
	assert_int_equal(RIG_ASK(c, XS_SET_PERMS, 0, "/secret\0n0\0r1\0r2\0"), 0);
	assert_int_equal(ASK(r, 1, XS_READ, 0, "/secret\0"), 0);
	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "mine\0x"), 0);
	r->dom[1].dying = true;
	rig_news(r, HV_GONE, 1);
	rig_turn(r);
	assert_int_equal(RIG_ASK(c, XS_READ, 0, "/local/domain/1/mine\0"), -ENOENT);
	r->dom[1] = (struct rig_dom){ .exists = true,
				      .created_ns = 5,
				      .page = r->dom[1].page,
				      .to_daemon = r->dom[1].to_daemon,
				      .to_guest = r->dom[1].to_guest };
	memset(r->dom[1].page, 0, 4096);
	assert_int_equal(RIG_ASK(c, XS_INTRODUCE, 0, "1\00077\0003\0"), 0);
	rig_turn(r);
	assert_int_equal(ASK(r, 1, XS_READ, 0, "/secret\0"), -EACCES);
	assert_int_equal(ASK(r, 2, XS_READ, 0, "/secret\0"), 0);
	assert_int_equal(usage(r, 1)->used[Q_NODES], 0);
	rig_conn_free(c);
}

static void x10_the_deepest_tree_is_removed(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);
	char path[3073];
	size_t n = 0, live = r->srv.store.a.live;

	while (n + 2 < sizeof(path)) {
		path[n++] = '/';
		path[n++] = 'd';
	}
	path[n] = '\0';
	assert_int_equal(rig_ask(c, XS_MKDIR, 0, path, n + 1, NULL, NULL), 0);
	assert_int_equal(rig_ask(c, XS_READ, 0, path, n + 1, NULL, NULL), 0);
	assert_int_equal(RIG_ASK(c, XS_RM, 0, "/d\0"), 0);
	while (node_reap(&r->srv.store.a, 1000))
		;
	/* A map may keep room for the child it lost. */
	assert_in_range(r->srv.store.a.live, live, live + 16);
	rig_conn_free(c);
}

static void only_the_owner_sets_permissions_and_only_dom0_changes_it(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);

	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "p\0x"), 0);
	assert_int_equal(ASK(r, 1, XS_SET_PERMS, 0, "p\0n1\0b2\0"), 0);
	assert_int_equal(ASK(r, 2, XS_WRITE, 0, "/local/domain/1/p\0y"), 0);
	assert_int_equal(ASK(r, 2, XS_SET_PERMS, 0, "/local/domain/1/p\0n2\0"), -EACCES);
	assert_int_equal(ASK(r, 1, XS_SET_PERMS, 0, "p\0n2\0"), -EPERM);
	assert_int_equal(ASK(r, 1, XS_SET_PERMS, 0, "p\0n1\0n2\0n3\0n4\0n5\0n6\0"), -ENOSPC);
	assert_int_equal(ASK(r, 1, XS_SET_PERMS, 0, "p\0x1\0"), -EINVAL);
	assert_int_equal(RIG_ASK(c, XS_SET_PERMS, 0, "/local/domain/1/p\0n99\0"), -ENOENT);
	assert_int_equal(RIG_ASK(c, XS_SET_PERMS, 0, "/local/domain/1/p\0n2\0"), 0);
	assert_int_equal(usage(r, 2)->used[Q_NODES], 2);
	rig_conn_free(c);
}

static void a_domain_stands_in_for_its_target_until_that_is_gone(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);

	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "p\0x"), 0);
	assert_int_equal(ASK(r, 2, XS_READ, 0, "/local/domain/1/p\0"), -EACCES);
	assert_int_equal(RIG_ASK(c, XS_SET_TARGET, 0, "2\0001\0"), 0);
	assert_int_equal(ASK(r, 2, XS_READ, 0, "/local/domain/1/p\0"), 0);
	assert_int_equal(RIG_ASK(c, XS_SET_TARGET, 0, "2\0009\0"), -ENOENT);
	rig_news(r, HV_GONE, 1);
	rig_turn(r);
	rig_news(r, HV_GONE, 2);
	rig_turn(r);
	rig_conn_free(c);
}

static void watchers_hear_of_introduction_shutdown_and_death(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);
	char got[64];
	size_t n;

	assert_int_equal(RIG_ASK(c, XS_WATCH, 0, "@releaseDomain\0tok\0001\0"), 0);
	outbuf_drop(&c->out, c->out.len);
	r->dom[2].shutdown = true;
	rig_news(r, HV_SHUTDOWN, 2);
	rig_news(r, HV_SHUTDOWN, 2); /* told once */
	rig_turn(r);
	n = c->out.len;
	assert_int_equal(n, 16 + 16 + 1 + 4);
	assert_string_equal((char *)c->out.p + c->out.head + 16, "@releaseDomain/2");
	outbuf_drop(&c->out, n);
	assert_int_equal(RIG_ASK(c, XS_RESUME, 0, "2\0"), 0);
	rig_news(r, HV_SHUTDOWN, 2);
	rig_turn(r);
	assert_int_equal(c->out.len, n);
	outbuf_drop(&c->out, n);
	assert_int_equal(RIG_ASK(c, XS_RELEASE, 0, "2\0"), 0);
	assert_int_equal(c->out.len, n);
	outbuf_drop(&c->out, n);
	assert_int_equal(RIG_ASK(c, XS_RELEASE, 0, "2\0"), -ENOENT);
	assert_int_equal(rig_ask(c, XS_IS_DOMAIN_INTRODUCED, 0, "2", 2, got, &n), 0);
	assert_string_equal(got, "F");
	rig_conn_free(c);
}

static void a_relative_watch_reports_relative_paths_and_only_what_may_be_read(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);
	uint32_t h[4];
	char body[5000];

	assert_int_equal(ASK(r, 1, XS_WATCH, 0, "data\0tk\0"), 0);
	assert_true(guest_msg(r, 1, h, body)); /* at once */
	assert_string_equal(body, "data");
	assert_int_equal(RIG_ASK(c, XS_WRITE, 0, "/local/domain/1/data/z\0v"), 0);
	rig_turn(r);
	assert_true(guest_msg(r, 1, h, body));
	assert_string_equal(body, "data/z");
	assert_string_equal(body + 7, "tk");
	assert_int_equal(ASK(r, 1, XS_WATCH, 0, "/local\0abs\0"), 0);
	assert_true(guest_msg(r, 1, h, body));
	assert_int_equal(RIG_ASK(c, XS_WRITE, 0, "/local/domain/2/hidden\0v"), 0);
	rig_turn(r);
	assert_false(guest_msg(r, 1, h, body));
	rig_conn_free(c);
}

static void a_ring_goes_on_over_a_restart(void **state)
{
	struct rig *r = *state;
	uint32_t h[4], tx, half[4] = { XS_WRITE, 3, 0, 10 };
	char id[32], body[5000];
	size_t n;

	assert_int_equal(ASK(r, 1, XS_WATCH, 0, "a\0t\0"), 0);
	assert_true(guest_msg(r, 1, h, body));
	assert_int_equal(guest_ask(r, 1, XS_TRANSACTION_START, 0, "", 1, id, &n), 0);
	tx = (uint32_t)atoi(id);
	assert_int_equal(ASK(r, 1, XS_WRITE, tx, "a\0b"), 0);
	guest_put(&r->dom[2], half, sizeof(half)); /* half a request of domain 2 */
	guest_put(&r->dom[2], "h\0x", 3);
	guest_kick(&r->dom[2]);
	rig_turn(r);
	rig_stop(r);
	rig_start(r);
	guest_put(&r->dom[2], "1234567", 7);
	guest_kick(&r->dom[2]);
	assert_true(guest_msg(r, 2, h, body));
	assert_int_equal(h[0], XS_WRITE);
	assert_int_equal(guest_ask(r, 2, XS_READ, 0, "h", 2, body, &n), 0);
	assert_memory_equal(body, "x1234567", 8);
	assert_true(guest_msg(r, 1, h, body)); /* the watch fires once more */
	assert_string_equal(body, "a");
	assert_int_equal(ASK(r, 1, XS_WRITE, tx, "a\0c"), 0);
	assert_int_equal(ASK(r, 1, XS_TRANSACTION_END, tx, "T\0"), -EAGAIN);
	assert_int_equal(ASK(r, 1, XS_TRANSACTION_END, tx, "T\0"), -ENOENT);
	assert_int_equal(ASK(r, 1, XS_UNWATCH, 0, "a\0t\0"), 0);
}

static void a_domain_that_died_meanwhile_is_cleaned_up(void **state)
{
	struct rig *r = *state;

	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "p\0x"), 0);
	assert_int_equal(ASK(r, 2, XS_WRITE, 0, "p\0x"), 0);
	rig_stop(r);
	r->dom[1].exists = false;
	r->dom[2].created_ns = 4711; /* another one with its number */
	rig_start(r);
	assert_int_equal(usage(r, 1)->used[Q_NODES], 0);
	assert_int_equal(usage(r, 2)->used[Q_NODES], 0);
}

static void rings_wait_for_a_hypervisor_that_is_away(void **state)
{
	struct rig *r = *state;

	rig_stop(r);
	r->away = true;
	rig_start(r);
	assert_null(domain_conn(domain_find(r->srv.domains, 3)));
	r->away = false;
	for (int i = 0; i < 100 && !domain_conn(domain_find(r->srv.domains, 3)); i++) {
		struct timeval tv = { .tv_usec = 20000 };

		event_base_loopexit(r->base, &tv);
		event_base_dispatch(r->base);
	}
	assert_non_null(domain_conn(domain_find(r->srv.domains, 3)));
}

static void a_guest_reconnects(void **state)
{
	struct rig *r = *state;
	struct ring_page *p = r->dom[1].page;

	assert_int_equal(ASK(r, 1, XS_WATCH, 0, "a\0t\0"), 0);
	p->connection = RING_RECONNECT;
	guest_kick(&r->dom[1]);
	rig_turn(r);
	assert_int_equal(p->connection, RING_CONNECTED);
	assert_int_equal(p->req_prod | p->req_cons | p->rsp_prod | p->rsp_cons, 0);
	assert_int_equal(ASK(r, 1, XS_UNWATCH, 0, "a\0t\0"), -ENOENT);
	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "a\0t"), 0);
}

static void x2_old_transactions_do_not_hold_memory_without_bound(void **state)
{
	struct rig *r = *state;
	struct conn *c = rig_conn(r, 0);
	char id[32], body[2048];
	uint32_t first = 0, tx;
	struct txn *t;
	size_t n;

	memset(body, 'x', sizeof(body));
	assert_int_equal(RIG_ASK(c, XS_WRITE, 0, "/v\0x"), 0);
	for (int round = 0; round < 30; round++) { /* each holds a version of its own */
		assert_int_equal(rig_ask(c, XS_TRANSACTION_START, 0, "", 1, id, &n), 0);
		tx = (uint32_t)atoi(id);
		first = first ? first : tx;
		assert_int_equal(RIG_ASK(c, XS_READ, tx, "/v\0"), 0);
		assert_int_equal(RIG_ASK(c, XS_WRITE, tx, "/w\0x"), 0);
		t = conn_txn(c, tx);
		t->started_ns = 0; /* long ago */
		for (int i = 0; i < 500; i++) {
			n = (size_t)sprintf(body, "/big/%d/%d", i % 20, i) + 1;
			assert_int_equal(rig_ask(c, XS_WRITE, 0, body, sizeof(body), NULL, NULL),
					 0);
		}
	}
	assert_in_range(r->srv.store.a.live, 0, 14u << 20); /* 30 MiB if all were kept */
	assert_int_equal(RIG_ASK(c, XS_READ, first, "/v\0"), 0);
	assert_int_equal(RIG_ASK(c, XS_TRANSACTION_END, first, "T\0"), -EAGAIN);
	assert_int_equal(RIG_ASK(c, XS_TRANSACTION_END, tx, "T\0"), 0); /* the youngest is whole */
	rig_conn_free(c);
}

static void dom0s_kernel_has_a_ring_that_survives_a_restart(void **state)
{
	struct rig *r = *state;
	uint32_t hdr[4];
	uint64_t n;
	char b[5000];

	rig_stop(r);
	r->own_ring = true;
	rig_start(r);
	rig_turn(r);
	/* The kernel waits for a first notification before it asks anything. */
	assert_int_equal(read(r->dom[0].to_guest, &n, sizeof(n)), sizeof(n));
	assert_int_equal(ASK(r, 0, XS_WRITE, 0, "/libxl/x\0y"), 0);
	assert_int_equal(ASK(r, 0, XS_WATCH, 0, "/libxl\0t\0"), 0);
	assert_true(guest_msg(r, 0, hdr, b));
	rig_stop(r);
	rig_start(r);
	rig_turn(r);
	assert_true(guest_msg(r, 0, hdr, b));
	assert_int_equal(hdr[0], XS_WATCH_EVENT);
	assert_int_equal(ASK(r, 0, XS_UNWATCH, 0, "/libxl\0t\0"), 0);
	assert_int_equal(ASK(r, 1, XS_WRITE, 0, "/libxl/x\0z"), -EACCES);
	/* Nobody can make it a guest's. */
	assert_int_equal(ASK(r, 0, XS_INTRODUCE, 0, "0\00077\0003\0"), -EINVAL);
	assert_int_equal(ASK(r, 0, XS_RELEASE, 0, "0\0"), -EINVAL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define D(f) cmocka_unit_test_setup_teardown(f, setup_disk, teardown)
	const struct CMUnitTest tests[] = {
		T(a_guest_reads_and_writes_below_its_own_path),
		T(x12_a_guest_may_not_write_outside),
		T(x1_a_quota_of_n_allows_n),
		T(the_node_quota_holds_inside_transactions),
		T(x4_reset_watches_inside_a_transaction),
		T(x5_odd_paths_are_refused),
		T(x6_a_message_over_4096_bytes_ends_the_ring),
		T(x6_a_half_message_waits_and_hurts_nobody),
		T(x7_impossible_indexes_end_the_ring),
		T(a_scribbled_consumer_index_is_not_believed),
		T(a_reader_that_never_drains_is_bounded),
		T(x9_a_reused_domid_inherits_nothing),
		T(x10_the_deepest_tree_is_removed),
		T(only_the_owner_sets_permissions_and_only_dom0_changes_it),
		T(a_domain_stands_in_for_its_target_until_that_is_gone),
		T(watchers_hear_of_introduction_shutdown_and_death),
		T(a_relative_watch_reports_relative_paths_and_only_what_may_be_read),
		D(a_ring_goes_on_over_a_restart),
		D(a_domain_that_died_meanwhile_is_cleaned_up),
		D(rings_wait_for_a_hypervisor_that_is_away),
		D(dom0s_kernel_has_a_ring_that_survives_a_restart),
		T(a_guest_reconnects),
		T(x2_old_transactions_do_not_hold_memory_without_bound),
	};
#undef T
#undef D
	return cmocka_run_group_tests_name("xenstored/ring", tests, NULL, NULL);
}
