/* kill -9 at any moment.  One process forks the server, kills it after a random
 * while and forks the next; this one plays three guests and a client on the
 * socket that check every answer: an acknowledged change is there, a request
 * gets exactly one answer, a transaction happens whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "daemons/clock.h"
#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/xs_client.h"
#include "tests/fake/xs_rig.h"
#include "xenstored/sock.h"

#define KILLS	    300
#define GUESTS	    3
#define PATIENCE_MS 20000

struct guest {
	struct rig_dom *d;
	uint32_t req_id;
	unsigned long n;     /* number written last */
	unsigned long pairs; /* transactions committed */
	bool watching;
	unsigned long events;
};

static volatile int *kills; /* shared: how often the server was killed */

static void run_server(struct rig *r, const char *sock)
{
	struct listener *l;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_init("test", LOG_ERR_);
	rig_start(r);
	unlink(sock);
	if (listener_new(&r->srv, listen_unix(sock, SOCK_STREAM, 0600, (gid_t)-1), &l) < 0)
		_exit(1);
	event_base_dispatch(r->base);
	_exit(0);
}

static void run_killer(struct rig *r, const char *sock)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned seed = 7;; seed = seed * 1103515245 + 12345) {
		pid_t pid = fork();

		if (pid == 0)
			run_server(r, sock);
		if (*kills < KILLS)
			usleep(1000 + (seed >> 8) % 9000);
		else
			pause();
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		++*kills;
	}
}

static void wait_for(struct guest *g)
{
	struct pollfd p = { .fd = g->d->to_guest, .events = POLLIN };
	uint64_t v;

	(void)poll(&p, 1, 2);
	(void)!read(g->d->to_guest, &v, sizeof(v));
}

static void get_bytes(struct guest *g, void *p, size_t n)
{
	uint64_t end = clock_mono_ns() + PATIENCE_MS * 1000000ull;
	size_t at = 0;

	while (at < n) {
		size_t k = guest_get(g->d, (char *)p + at, n - at);

		at += k;
		if (k)
			guest_kick(g->d);
		else if (clock_mono_ns() > end)
			fail_msg("no answer");
		else
			wait_for(g);
	}
}

static void put_bytes(struct guest *g, const void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		size_t k = n - at < 128 ? n - at : 128;

		if (guest_put(g->d, (const char *)p + at, k))
			at += k;
		else
			wait_for(g);
		guest_kick(g->d);
	}
}

/* One answer to one request: another id, type or a second one would be seen
 * here or by the next. */
static int ask(struct guest *g, uint32_t type, uint32_t tx, const void *body, size_t n, char *ret)
{
	uint32_t h[4] = { type, ++g->req_id, tx, (uint32_t)n };
	char b[XS_PAYLOAD_MAX + 1];

	put_bytes(g, h, sizeof(h));
	put_bytes(g, body, n);
	for (;;) {
		get_bytes(g, h, sizeof(h));
		assert_true(h[3] <= XS_PAYLOAD_MAX);
		get_bytes(g, b, h[3]);
		if (h[0] != XS_WATCH_EVENT)
			break;
		g->events++;
	}
	assert_int_equal(h[1], g->req_id);
	b[h[3]] = '\0';
	if (ret)
		memcpy(ret, b, h[3] + 1);
	if (h[0] == XS_ERROR)
		return -xs_errno_from_name(b);
	assert_int_equal(h[0], type);
	return 0;
}

static int put_value(struct guest *g, uint32_t tx, const char *path, unsigned long v, size_t pad)
{
	char body[XS_PAYLOAD_MAX];
	size_t n = (size_t)sprintf(body, "%s", path) + 1;

	n += (size_t)sprintf(body + n, "%lu", v);
	memset(body + n, ' ', pad);
	return ask(g, XS_WRITE, tx, body, n + pad, NULL);
}

static unsigned long get_value(struct guest *g, const char *path)
{
	char got[XS_PAYLOAD_MAX + 1];

	assert_int_equal(ask(g, XS_READ, 0, path, strlen(path) + 1, got), 0);
	return strtoul(got, NULL, 10);
}

/* Both or none, and never half: a and b always hold the same number. */
static void write_pair(struct guest *g)
{
	char id[XS_PAYLOAD_MAX + 1];
	uint32_t tx;
	int r;

	assert_int_equal(ask(g, XS_TRANSACTION_START, 0, "", 1, id), 0);
	tx = (uint32_t)strtoul(id, NULL, 10);
	assert_int_equal(put_value(g, tx, "a", g->pairs + 1, 0), 0);
	assert_int_equal(put_value(g, tx, "b", g->pairs + 1, 0), 0);
	r = ask(g, XS_TRANSACTION_END, tx, "T", 2, NULL);
	assert_true(r == 0 || r == -EAGAIN);
	g->pairs += r == 0;
	assert_int_equal(get_value(g, "a"), g->pairs);
	assert_int_equal(get_value(g, "b"), g->pairs);
}

static void guest_step(struct guest *g, unsigned i)
{
	if (!g->watching) {
		assert_int_equal(put_value(g, 0, "a", 0, 0), 0);
		assert_int_equal(put_value(g, 0, "b", 0, 0), 0);
		assert_int_equal(ask(g, XS_WATCH, 0, "n\0t", 4, NULL), 0);
		g->watching = true;
	}
	assert_int_equal(put_value(g, 0, "n", ++g->n, i % 3 ? 0 : 1500), 0);
	assert_int_equal(get_value(g, "n"), g->n);
	/* Not idempotent: a second execution would say EEXIST. */
	assert_int_equal(ask(g, XS_WATCH, 0, "m\0t", 4, NULL), 0);
	assert_int_equal(ask(g, XS_UNWATCH, 0, "m\0t", 4, NULL), 0);
	write_pair(g);
}

struct sock_load {
	struct xs_sync *c;
	unsigned long acked, tried;
};

static void sock_step(struct sock_load *s, const char *path)
{
	char v[32], *got;

	if (!s->c && xs_sync_open(path, &s->c) < 0)
		return;
	if (s->tried && xs_sync_read(s->c, 0, "/s/n", &got) == 0) {
		unsigned long n = strtoul(got, NULL, 10);

		free(got);
		assert_in_range(n, s->acked, s->tried);
	}
	snprintf(v, sizeof(v), "%lu", ++s->tried);
	if (xs_sync_write(s->c, 0, "/s/n", v) == 0)
		s->acked = s->tried;
}

static void introduce(struct rig *r, const char *sock)
{
	struct conn *c;

	rig_start(r);
	c = rig_conn(r, 0);
	for (char d = 1; d <= GUESTS; d++) {
		char intro[] = "1\00077\0003", dir[] = "/local/domain/1",
		     perms[] = "/local/domain/1\0n1";

		intro[0] = dir[14] = perms[14] = perms[17] = (char)('0' + d);
		assert_int_equal(rig_ask(c, XS_MKDIR, 0, dir, sizeof(dir), NULL, NULL), 0);
		assert_int_equal(rig_ask(c, XS_SET_PERMS, 0, perms, sizeof(perms), NULL, NULL), 0);
		assert_int_equal(rig_ask(c, XS_INTRODUCE, 0, intro, sizeof(intro), NULL, NULL), 0);
	}
	rig_conn_free(c);
	rig_stop(r);
	(void)sock;
}

static void nothing_acknowledged_is_lost_or_done_twice(void **state)
{
	struct guest g[GUESTS] = { 0 };
	struct sock_load s = { 0 };
	static struct rig r;
	unsigned long steps = 0;
	char sock[64], *why = NULL;
	pid_t killer;

	log_init("test", LOG_ERR_);
	rig_init(&r, true);
	snprintf(sock, sizeof(sock), "%s/socket", r.dir);
	introduce(&r, sock);
	kills = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	killer = fork();
	if (killer == 0)
		run_killer(&r, sock);
	for (int i = 0; i < GUESTS; i++)
		g[i].d = &r.dom[i + 1];
	for (; *kills < KILLS || steps % 16; steps++) {
		guest_step(&g[steps % GUESTS], (unsigned)steps);
		sock_step(&s, sock);
	}
	print_message(
		"# %lu steps over %d kills, %lu + %lu + %lu transactions, %lu writes by socket\n",
		steps, *kills, g[0].pairs, g[1].pairs, g[2].pairs, s.acked);
	xs_sync_close(s.c);
	kill(killer, SIGKILL); /* and with it the server */
	waitpid(killer, NULL, 0);
	assert_true(g[0].pairs && s.acked);
	assert_true(g[0].events >= g[0].n); /* each write of n was told, and restarts */

	/* Let the last one be gone, then look at what there is. */
	for (int i = 0; i < 200; i++) {
		bool old;
		struct store st;
		int e = store_open(&st, r.state, NULL, NULL, &old);

		if (e == 0) {
			store_close(&st);
			break;
		}
		usleep(10000);
	}
	rig_start(&r);
	assert_int_equal(server_check(&r.srv, &why), 0);
	if (why)
		fail_msg("%s", why);
	unlink(sock);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_acknowledged_is_lost_or_done_twice),
	};

	return cmocka_run_group_tests_name("xenstored/kill", tests, NULL, NULL);
}
