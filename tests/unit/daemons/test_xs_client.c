/* The client against a scripted server: one thread that answers by the path it
 * is asked for, so that refusals, broken streams and restarts can be had at
 * will.  The real server is met in tests/e2e. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "daemons/listen.h"
#include "daemons/xs_client.h"
#include "proto/xs_wire.h"

struct server {
	char dir[32], path[64];
	int lfd;
	pthread_t thread;
	unsigned accepted;
};

static bool get(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

static void put(int fd, uint32_t type, uint32_t id, const void *body, uint32_t len)
{
	uint8_t b[XS_HDR_SIZE + XS_PAYLOAD_MAX];

	xs_hdr_encode(b, type, id, 0, len);
	memcpy(b + XS_HDR_SIZE, body, len);
	(void)send(fd, b, XS_HDR_SIZE + len, MSG_NOSIGNAL);
}

/* 700 names of 8 bytes: two parts. */
static void put_part(int fd, uint32_t id, size_t off)
{
	char list[700 * 8 + 1], b[XS_PAYLOAD_MAX];
	size_t n = sizeof(list) - off;

	for (int i = 0; i < 700; i++)
		snprintf(list + i * 8, 9, "name%03d", i);
	list[sizeof(list) - 1] = '\0';
	if (n > 4000)
		n = 4000;
	memcpy(b, "7", 2);
	memcpy(b + 2, list + off, n);
	put(fd, XS_DIRECTORY_PART, id, b, (uint32_t)(n + 2));
}

/* False: hang up. */
static bool answer(int fd, unsigned nth)
{
	uint32_t h[4];
	char b[XS_PAYLOAD_MAX + 1], ev[XS_PAYLOAD_MAX];
	size_t n;

	if (!get(fd, h, sizeof(h)) || h[3] > XS_PAYLOAD_MAX || (h[3] && !get(fd, b, h[3])))
		return false;
	b[h[3]] = '\0';
	if (strcmp(b, "/drop") == 0)
		return false;
	if (strcmp(b, "/garbage") == 0) {
		put(fd, XS_READ, h[1] + 77, "x", 1);
		return true;
	}
	if (strcmp(b, "/missing") == 0) {
		put(fd, XS_ERROR, h[1], "ENOENT", 7);
	} else if (h[0] == XS_TRANSACTION_START) {
		put(fd, h[0], h[1], "5", 2);
	} else if (h[0] == XS_DIRECTORY) {
		put(fd, XS_ERROR, h[1], "E2BIG", 6);
	} else if (h[0] == XS_DIRECTORY_PART) {
		put_part(fd, h[1], strtoul(b + strlen(b) + 1, NULL, 10));
	} else if (h[0] == XS_READ) {
		put(fd, XS_WATCH_EVENT, 0, "/stray\0nobody", 14);
		n = (size_t)snprintf(ev, sizeof(ev), "%s@%u t%u", b, nth, h[2]);
		put(fd, h[0], h[1], ev, (uint32_t)n);
	} else {
		put(fd, h[0], h[1], "OK", 3);
		if (h[0] == XS_WATCH)
			put(fd, XS_WATCH_EVENT, 0, b, h[3]);
	}
	return true;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->lfd, NULL, NULL)) >= 0) {
		s->accepted++;
		while (answer(fd, s->accepted))
			;
		close(fd);
	}
	return NULL;
}

static int setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	int fd;

	strcpy(s->dir, "/tmp/xscXXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/socket", s->dir);
	fd = listen_unix(s->path, SOCK_STREAM, 0600, (gid_t)-1);
	assert_true(fd >= 0);
	s->lfd = dup(fd); /* a blocking one for the thread */
	close(fd);
	assert_int_equal(fcntl(s->lfd, F_SETFL, 0), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct server *s = *state;

	shutdown(s->lfd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->lfd);
	unlink(s->path);
	rmdir(s->dir);
	free(s);
	return 0;
}

static void a_blocking_read_skips_events_and_maps_errors(void **state)
{
	struct server *s = *state;
	struct xs_sync *c;
	char *v;

	assert_int_equal(xs_sync_open(s->path, &c), 0);
	assert_int_equal(xs_sync_read(c, 0, "/a", &v), 0);
	assert_string_equal(v, "/a@1 t0");
	free(v);
	assert_int_equal(xs_sync_read(c, 0, "/missing", &v), -ENOENT);
	assert_int_equal(xs_sync_rm(c, 0, "/missing"), 0);
	xs_sync_close(c);
}

static void a_blocking_client_reconnects_but_not_inside_a_transaction(void **state)
{
	struct server *s = *state;
	uint32_t old, now;
	struct xs_sync *c;
	char *v;

	assert_int_equal(xs_sync_open(s->path, &c), 0);
	assert_int_equal(xs_sync_txn_start(c, &old), 0);
	assert_int_equal(xs_sync_read(c, old, "/a", &v), 0);
	assert_string_equal(v, "/a@1 t5");
	free(v);
	assert_int_equal(xs_sync_read(c, 0, "/drop", &v), -ECONNRESET);
	assert_int_equal(xs_sync_read(c, old, "/a", &v), -EAGAIN);
	assert_int_equal(xs_sync_txn_start(c, &now), 0);
	assert_int_not_equal(now, old); /* though the server said 5 again */
	assert_int_equal(xs_sync_txn_end(c, old, true), -EAGAIN);
	assert_int_equal(xs_sync_txn_end(c, now, true), 0);
	assert_int_equal(s->accepted, 2);
	xs_sync_close(c);
}

static void a_reply_to_another_request_breaks_the_connection(void **state)
{
	struct server *s = *state;
	struct xs_sync *c;
	char *v;

	assert_int_equal(xs_sync_open(s->path, &c), 0);
	assert_int_equal(xs_sync_read(c, 0, "/garbage", &v), -EBADMSG);
	assert_int_equal(xs_sync_read(c, 0, "/a", &v), 0);
	assert_string_equal(v, "/a@2 t0");
	free(v);
	xs_sync_close(c);
}

static void a_long_directory_is_fetched_in_parts(void **state)
{
	struct server *s = *state;
	struct xs_sync *c;
	char *names;
	size_t len, n = 0;

	assert_int_equal(xs_sync_open(s->path, &c), 0);
	assert_int_equal(xs_sync_directory(c, 0, "/d", &names, &len), 0);
	assert_int_equal(len, 5600);
	for (char *p = names; p < names + len; p += strlen(p) + 1)
		n++;
	assert_int_equal(n, 700);
	assert_string_equal(names + 699 * 8, "name699");
	free(names);
	xs_sync_close(c);
}

struct seen {
	struct event_base *base;
	struct xs_client *c;
	char log[512];
};

static void note(struct seen *s, const char *what, const char *text)
{
	strcat(strcat(strcat(s->log, what), text), " ");
	if (strlen(s->log) > 400)
		event_base_loopbreak(s->base);
}

static void on_reply(void *arg, int r, const uint8_t *body, size_t len)
{
	struct seen *s = arg;

	assert_int_equal(body[len], 0);
	note(s, "R:", r < 0 ? strerrorname_np(-r) : (const char *)body);
	if (strstr(s->log, "/last"))
		event_base_loopbreak(s->base);
}

static void on_event(void *arg, const char *path)
{
	note(arg, "W:", path);
}

static void on_state(void *arg, bool up)
{
	struct seen *s = arg;

	note(s, up ? "up" : "down", "");
	if (!up || strstr(s->log, "down")) {
		if (up)
			assert_int_equal(xs_read(s->c, 0, "/last", on_reply, s), 0);
		return;
	}
	assert_int_equal(xs_read(s->c, 0, "/a", on_reply, s), 0);
	assert_int_equal(xs_read(s->c, 0, "/drop", on_reply, s), 0);
	assert_int_equal(xs_read(s->c, 0, "/never", on_reply, s), 0);
}

static void an_asynchronous_client_comes_back_with_its_watches(void **state)
{
	struct server *s = *state;
	struct seen seen = { .base = event_base_new() };
	struct xs_watch *w, *gone;

	assert_int_equal(xs_client_new(seen.base, s->path, on_state, &seen, &seen.c), 0);
	assert_int_equal(xs_read(seen.c, 0, "/early", on_reply, &seen), -ENOTCONN);
	assert_int_equal(xs_watch_new(seen.c, "/w", on_event, &seen, &w), 0);
	assert_int_equal(xs_watch_new(seen.c, "/gone", on_event, &seen, &gone), 0);
	xs_watch_free(gone);
	event_base_dispatch(seen.base);
	assert_string_equal(seen.log, "up W:/w R:/a@1 t0 R:ECONNRESET R:ECONNRESET down "
				      "up W:/w R:/last@2 t0 ");
	xs_watch_free(w);
	xs_client_free(seen.c);
	event_base_free(seen.base);
}

static void freeing_the_client_cancels_what_is_pending(void **state)
{
	struct server *s = *state;
	struct seen seen = { .base = event_base_new() };

	assert_int_equal(xs_client_new(seen.base, s->path, NULL, NULL, &seen.c), 0);
	while (!xs_client_up(seen.c))
		event_base_loop(seen.base, EVLOOP_ONCE);
	assert_int_equal(xs_write(seen.c, 0, "/x", "1", on_reply, &seen), 0);
	xs_client_free(seen.c);
	assert_string_equal(seen.log, "R:ECANCELED ");
	event_base_free(seen.base);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_blocking_read_skips_events_and_maps_errors),
		T(a_blocking_client_reconnects_but_not_inside_a_transaction),
		T(a_reply_to_another_request_breaks_the_connection),
		T(a_long_directory_is_fetched_in_parts),
		T(an_asynchronous_client_comes_back_with_its_watches),
		T(freeing_the_client_cancels_what_is_pending),
	};
#undef T
	return cmocka_run_group_tests_name("daemons/xs_client", tests, NULL, NULL);
}
