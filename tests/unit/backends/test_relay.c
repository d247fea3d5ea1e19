/* tests/unit/backends/test_relay.c - a hostile backend at the relays: whatever it
 * sends, only what concerns its guest comes out at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/relay.h"
#include "daemons/hv_link.h"
#include "daemons/listen.h"
#include "proto/xs_wire.h"

#define BACK  "/local/domain/0/backend/vbd/5"
#define FRONT "/local/domain/5/device/vbd"

static const char *const writes[] = { "state", "queue-0/x", NULL };

struct rig {
	struct relay_host host;
	char dir[32], hv[64], xs[64];
	int listener, up, down; /* up: the daemon's end; down: the backend's */
	unsigned refused;
};

static bool has_device(void *arg, uint32_t devid)
{
	return devid == 51712;
}

static void refused(void *arg, const char *what)
{
	((struct rig *)arg)->refused++;
}

static void turn(struct rig *r)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(r->host.base, EVLOOP_NONBLOCK);
}

static struct rig *rig_new(bool hv)
{
	struct rig *r = calloc(1, sizeof(*r));
	int type = hv ? SOCK_SEQPACKET : SOCK_STREAM, pair[2];

	strcpy(r->dir, "/tmp/relayXXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->xs, sizeof(r->xs), "%s/up", r->dir);
	r->listener = listen_unix(r->xs, type, 0600, (gid_t)-1);
	assert_true(r->listener >= 0);
	r->host = (struct relay_host){ .base = event_base_new(),
				       .domid = 5,
				       .kind = "vbd",
				       .writes = writes,
				       .hv_path = r->xs,
				       .xs_path = r->xs,
				       .has_device = has_device,
				       .refused = refused,
				       .arg = r };
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(hv ? relay_hv_add(&r->host, pair[1]) : relay_xs_add(&r->host, pair[1]), 0);
	r->down = pair[0];
	r->up = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(r->up >= 0);
	return r;
}

static void rig_free(struct rig *r)
{
	relay_free_all(&r->host);
	event_base_free(r->host.base);
	close(r->listener);
	close(r->up);
	close(r->down);
	unlink(r->xs);
	rmdir(r->dir);
	free(r);
}

static void ask(struct rig *r, uint32_t type, uint32_t id, uint32_t tx, const void *body, size_t n)
{
	uint8_t buf[XS_HDR_SIZE + XS_PAYLOAD_MAX];

	xs_hdr_encode(buf, type, id, tx, (uint32_t)n);
	memcpy(buf + XS_HDR_SIZE, body, n);
	assert_int_equal(send(r->down, buf, XS_HDR_SIZE + n, 0), XS_HDR_SIZE + n);
	turn(r);
}

static void answer(struct rig *r, uint32_t type, uint32_t id, const char *body)
{
	uint8_t buf[XS_HDR_SIZE + 64];

	xs_hdr_encode(buf, type, id, 0, (uint32_t)strlen(body) + 1);
	strcpy((char *)buf + XS_HDR_SIZE, body);
	assert_true(send(r->up, buf, XS_HDR_SIZE + strlen(body) + 1, 0) > 0);
	turn(r);
}

/* One message at fd: its type, or -1 for nothing, -2 for the end. */
static int next(int fd, uint32_t *ret_id, char *body)
{
	uint8_t buf[XS_HDR_SIZE + XS_PAYLOAD_MAX];
	ssize_t n = recv(fd, buf, XS_HDR_SIZE, 0);
	uint32_t len;

	if (n <= 0)
		return n == 0 ? -2 : -1;
	memcpy(&len, buf + 12, 4);
	memcpy(ret_id, buf + 4, 4);
	assert_int_equal(len ? recv(fd, body, len, 0) : 0, len);
	return buf[0];
}

/* The errno's name a request gets from the relay, or "" if it passed. */
static const char *fate(struct rig *r, uint32_t type, uint32_t tx, const void *body, size_t n)
{
	static char text[XS_PAYLOAD_MAX];
	static uint32_t id;
	uint32_t got;

	ask(r, type, ++id, tx, body, n);
	if (next(r->up, &got, text) >= 0) {
		assert_int_equal(got, id);
		answer(r, type, id, "OK");
		assert_int_equal(next(r->down, &got, text), (int)type);
		return "";
	}
	assert_int_equal(next(r->down, &got, text), XS_ERROR);
	assert_int_equal(got, id);
	return text;
}

#define FATE(r, type, lit) fate(r, type, 0, lit, sizeof(lit))

static void a_backend_reads_its_own_folders_only(void **state)
{
	struct rig *r = rig_new(false);
	static char deep[3200] = BACK "/";

	assert_string_equal(FATE(r, XS_READ, BACK "/51712/params"), "");
	assert_string_equal(FATE(r, XS_DIRECTORY, BACK), "");
	assert_string_equal(FATE(r, XS_READ, FRONT "/51712/state"), "");
	assert_string_equal(FATE(r, XS_WATCH, BACK "\0token"), "");
	assert_string_equal(FATE(r, XS_READ, BACK "5/51712/params"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, "/local/domain/55/device/vbd/1/state"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, "/local/domain/5/device/vif/0/mac"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, "/local/domain/0/backend/vbd"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, BACK "/../6/51712/params"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, BACK "//51712"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, BACK "/51712/"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, "local/domain"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, ""), "EACCES");
	assert_string_equal(FATE(r, XS_WATCH, "@releaseDomain\0t"), "EACCES");
	assert_string_equal(FATE(r, XS_READ, BACK "/51712\0/x"), "EINVAL");
	assert_string_equal(fate(r, XS_READ, 0, BACK, strlen(BACK)), "EINVAL");
	memset(deep + strlen(BACK) + 1, 'a', sizeof(deep) - strlen(BACK) - 2);
	assert_string_equal(fate(r, XS_READ, 0, deep, sizeof(deep)), "EACCES");
	rig_free(r);
}

static void a_backend_writes_its_own_nodes_of_devices_that_are_there(void **state)
{
	static const char *const no[] = { "params", "mode",    "script", "frontend", "frontend-id",
					  "online", "state/x", "",	 "queue-0",  "queue-1/x" };
	struct rig *r = rig_new(false);
	char body[160];

	assert_string_equal(FATE(r, XS_WRITE,
				 BACK "/51712/state\0"
				      "4"),
			    "");
	assert_string_equal(FATE(r, XS_WRITE,
				 BACK "/51712/queue-0/x\0"
				      "4"),
			    "");
	assert_string_equal(FATE(r, XS_RM, BACK "/51712/state"), "");
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		snprintf(body, sizeof(body), BACK "/51712/%s", no[i]);
		assert_string_equal(fate(r, XS_WRITE, 0, body, strlen(body) + 1), "EACCES");
		assert_string_equal(fate(r, XS_RM, 0, body, strlen(body) + 1), "EACCES");
	}
	assert_string_equal(FATE(r, XS_WRITE,
				 BACK "/51728/state\0"
				      "4"),
			    "EACCES");
	assert_string_equal(FATE(r, XS_WRITE,
				 BACK "/051712/state\0"
				      "4"),
			    "EACCES");
	assert_string_equal(FATE(r, XS_WRITE,
				 BACK "/99999999999/state\0"
				      "4"),
			    "EACCES");
	assert_string_equal(FATE(r, XS_WRITE,
				 FRONT "/51712/state\0"
				       "6"),
			    "EACCES");
	assert_string_equal(FATE(r, XS_RM, BACK), "EACCES");
	rig_free(r);
}

static void requests_that_are_not_a_backends_are_refused(void **state)
{
	static const uint32_t no[] = { XS_CONTROL,   XS_INTRODUCE, XS_RELEASE,	   XS_SET_PERMS,
				       XS_MKDIR,     XS_RESUME,	   XS_SET_TARGET,  XS_RESTRICT,
				       XS_SET_QUOTA, XS_GET_PERMS, XS_WATCH_EVENT, 99,
				       UINT32_MAX };
	struct rig *r = rig_new(false);

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_string_equal(fate(r, no[i], 0, BACK, sizeof(BACK)), "EPERM");
	assert_int_equal(r->refused, sizeof(no) / sizeof(no[0]));
	rig_free(r);
}

static void only_transactions_of_the_same_connection_are_known(void **state)
{
	struct rig *r = rig_new(false);
	char body[64];
	uint32_t id;

	assert_string_equal(fate(r, XS_READ, 7, BACK, sizeof(BACK)), "ENOENT");
	ask(r, XS_TRANSACTION_START, 900, 0, "", 1);
	assert_int_equal(next(r->up, &id, body), XS_TRANSACTION_START);
	answer(r, XS_TRANSACTION_START, 900, "7");
	assert_int_equal(next(r->down, &id, body), XS_TRANSACTION_START);
	assert_string_equal(fate(r, XS_READ, 7, BACK, sizeof(BACK)), "");
	assert_string_equal(fate(r, XS_READ, 8, BACK, sizeof(BACK)), "ENOENT");
	assert_string_equal(fate(r, XS_TRANSACTION_END, 7, "X", 2), "EINVAL");
	assert_string_equal(fate(r, XS_TRANSACTION_END, 7, "T", 2), "");
	assert_string_equal(fate(r, XS_TRANSACTION_END, 7, "T", 2), "ENOENT");
	rig_free(r);
}

static void a_refusal_keeps_its_place_among_the_answers(void **state)
{
	struct rig *r = rig_new(false);
	char body[XS_PAYLOAD_MAX];
	uint32_t id;

	ask(r, XS_READ, 1, 0, BACK, sizeof(BACK));
	ask(r, XS_MKDIR, 2, 0, BACK, sizeof(BACK));
	ask(r, XS_READ, 3, 0, BACK, sizeof(BACK));
	assert_int_equal(next(r->down, &id, body), -1);
	answer(r, XS_READ, 1, "a");
	assert_int_equal(next(r->down, &id, body), XS_READ);
	assert_int_equal(id, 1);
	assert_int_equal(next(r->down, &id, body), XS_ERROR);
	assert_int_equal(id, 2);
	assert_int_equal(next(r->down, &id, body), -1);
	answer(r, XS_READ, 3, "b");
	assert_int_equal(next(r->down, &id, body), XS_READ);
	rig_free(r);
}

static void a_request_may_come_byte_by_byte_and_a_mad_length_ends_it(void **state)
{
	struct rig *r = rig_new(false);
	uint8_t buf[XS_HDR_SIZE + sizeof(BACK)];
	char body[XS_PAYLOAD_MAX];
	uint32_t id;

	xs_hdr_encode(buf, XS_READ, 1, 0, sizeof(BACK));
	memcpy(buf + XS_HDR_SIZE, BACK, sizeof(BACK));
	for (size_t i = 0; i < sizeof(buf); i++) {
		assert_int_equal(next(r->up, &id, body), -1);
		assert_int_equal(send(r->down, buf + i, 1, 0), 1);
		turn(r);
	}
	assert_int_equal(next(r->up, &id, body), XS_READ);
	xs_hdr_encode(buf, XS_READ, 2, 0, XS_PAYLOAD_MAX + 1);
	assert_int_equal(send(r->down, buf, XS_HDR_SIZE, 0), XS_HDR_SIZE);
	turn(r);
	assert_null(r->host.first);
	assert_int_equal(next(r->up, &id, body), -2);
	rig_free(r);
}

static void hvd_hears_of_the_own_guest_only(void **state)
{
	static const uint16_t no[] = { HV_DESTROY, HV_PAUSE, HV_DOMLIST, HV_SUBSCRIBE,
				       HV_MAP_PAGE };
	struct rig *r = rig_new(true);
	static struct hv_link_buf buf;
	static struct hv_msg m, got;
	int fds[FDPASS_MAX];
	size_t nfds;

	m = (struct hv_msg){ .type = HV_GUEST_OPEN, .seq = 1, .u.GUEST_OPEN.domid = 5 };
	assert_int_equal(hv_link_send(r->down, &m, NULL, 0), 0);
	turn(r);
	assert_int_equal(hv_link_recv(r->up, &buf, &got, fds, &nfds), 1);
	assert_int_equal(got.type, HV_GUEST_OPEN);
	m.u.GUEST_OPEN.domid = 55;
	assert_int_equal(hv_link_send(r->down, &m, NULL, 0), 0);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		m = (struct hv_msg){ .type = no[i], .seq = 1, .u.DESTROY.domid = 5 };
		assert_int_equal(hv_link_send(r->down, &m, NULL, 0), 0);
	}
	turn(r);
	assert_int_equal(hv_link_recv(r->up, &buf, &got, fds, &nfds), -EAGAIN);
	for (size_t i = 0; i < 1 + sizeof(no) / sizeof(no[0]); i++) {
		assert_int_equal(hv_link_recv(r->down, &buf, &got, fds, &nfds), 1);
		assert_int_equal(got.type, HV_ERROR);
		assert_int_equal(got.status, -EPERM);
	}
	rig_free(r);
}

static void descriptors_come_down_and_never_go_up(void **state)
{
	struct rig *r = rig_new(true);
	static struct hv_link_buf buf;
	static struct hv_msg m, got;
	int fds[FDPASS_MAX], two[2];
	size_t nfds;

	assert_int_equal(pipe(two), 0);
	m = (struct hv_msg){ .type = HV_GUEST_OPEN, .seq = 1, .u.GUEST_OPEN.domid = 5 };
	assert_int_equal(hv_link_send(r->down, &m, two, 2), 0);
	turn(r);
	assert_int_equal(hv_link_recv(r->up, &buf, &got, fds, &nfds), -EAGAIN);
	assert_int_equal(hv_link_recv(r->down, &buf, &got, fds, &nfds), 1);
	assert_int_equal(got.status, -EPERM);
	m = (struct hv_msg){ .type = HV_GUEST_OPEN_REPLY, .seq = 1 };
	assert_int_equal(hv_link_send(r->up, &m, two, 2), 0);
	turn(r);
	assert_int_equal(hv_link_recv(r->down, &buf, &got, fds, &nfds), 1);
	assert_int_equal(nfds, 2);
	fdpass_close(fds, nfds);
	fdpass_close(two, 2);
	assert_int_equal(send(r->down, "junk", 4, 0), 4);
	turn(r);
	assert_null(r->host.first);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend_reads_its_own_folders_only),
		cmocka_unit_test(a_backend_writes_its_own_nodes_of_devices_that_are_there),
		cmocka_unit_test(requests_that_are_not_a_backends_are_refused),
		cmocka_unit_test(only_transactions_of_the_same_connection_are_known),
		cmocka_unit_test(a_refusal_keeps_its_place_among_the_answers),
		cmocka_unit_test(a_request_may_come_byte_by_byte_and_a_mad_length_ends_it),
		cmocka_unit_test(hvd_hears_of_the_own_guest_only),
		cmocka_unit_test(descriptors_come_down_and_never_go_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
