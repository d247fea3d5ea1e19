/* tests/unit/cli/test_http.c - a server's framing, cut anywhere, and its lies. */
#include "tests/unit/cli/unit.h"

#include "cli/http.h"

static void a_head_is_complete_or_waited_for(void **state)
{
	static const char text[] = "HTTP/1.1 201 Created\r\nContent-Length: 12\r\n"
				   "location: /v1/tasks/1\r\nX: y\r\n\r\nbody";
	struct http_head h = { .status = 7 };

	for (size_t n = 0; n < sizeof(text) - 5; n++) {
		assert_int_equal(http_head_parse(text, n, &h), 0);
		assert_int_equal(h.status, 7); /* untouched until it is whole */
	}
	assert_int_equal(http_head_parse(text, sizeof(text) - 1, &h), sizeof(text) - 5);
	assert_int_equal(h.status, 201);
	assert_int_equal(h.length, 12);
	assert_false(h.chunked);
	assert_string_equal(h.location, "/v1/tasks/1");
}

static void lying_heads_are_refused(void **state)
{
	static const char *const bad[] = {
		"SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/1.1 abc\r\n\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: empty name\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
	};
	struct http_head h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (http_head_parse(bad[i], strlen(bad[i]), &h) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
}

static void an_endless_head_is_refused(void **state)
{
	char *text = malloc(HTTP_HEAD_MAX);
	struct http_head h;

	memset(text, 'a', HTTP_HEAD_MAX);
	memcpy(text, "HTTP/1.1 200 OK\r\nX: ", 20);
	assert_int_equal(http_head_parse(text, HTTP_HEAD_MAX - 1, &h), 0);
	assert_int_equal(http_head_parse(text, HTTP_HEAD_MAX, &h), -EBADMSG);
	free(text);
}

/* Feeds text in pieces of step bytes; returns 0 or the error. */
static ssize_t feed(const char *text, size_t n, size_t step, const struct http_head *h, char *out,
		    bool *ret_done)
{
	struct http_body b;
	size_t got = 0;

	http_body_init(&b, h);
	for (size_t at = 0; at < n; at += step) {
		char piece[4096];
		ssize_t r = http_body_feed(&b, text + at, n - at < step ? n - at : step, piece);

		if (r < 0)
			return r;
		memcpy(out + got, piece, (size_t)r);
		got += (size_t)r;
	}
	out[got] = '\0';
	*ret_done = http_body_done(&b, false);
	return (ssize_t)got;
}

static void chunks_cut_anywhere_make_the_same_body(void **state)
{
	static const char text[] =
		"5\r\nhello\r\n1;ext=1\r\n \r\nA\r\nworld more\r\n0\r\nT: x\r\n\r\n";
	struct http_head h = { .status = 200, .chunked = true, .length = -1 };
	char out[128];
	bool done;

	for (size_t step = 1; step < sizeof(text); step++) {
		assert_int_equal(feed(text, sizeof(text) - 1, step, &h, out, &done), 16);
		assert_string_equal(out, "hello world more");
		assert_true(done);
	}
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		assert_true(feed(text, n, 7, &h, out, &done) >= 0);
		assert_false(done); /* cut short is never taken for the end */
	}
}

static void broken_chunks_are_refused(void **state)
{
	static const char *const bad[] = { "\r\n",	    "g\r\n",	   "-1\r\n",
					   "123456789\r\n", "1\r\nab\r\n", "ffffffffff" };
	struct http_head h = { .status = 200, .chunked = true, .length = -1 };
	char out[128];
	bool done;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (feed(bad[i], strlen(bad[i]), 3, &h, out, &done) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
}

static void a_plain_body_ends_where_it_said(void **state)
{
	struct http_head h = { .status = 200, .length = 4 };
	char out[128];
	bool done;

	assert_int_equal(feed("bodymore", 8, 3, &h, out, &done), 4);
	assert_string_equal(out, "body");
	assert_true(done);
	h.length = -1;
	assert_int_equal(feed("bodymore", 8, 3, &h, out, &done), 8);
	assert_false(done); /* until the connection closes */
	h.status = 204;
	assert_int_equal(feed("", 0, 3, &h, out, &done), 0);
	assert_true(done);
}

static void names_are_escaped_for_a_path(void **state)
{
	char out[16] = "/";

	assert_int_equal(http_escape(out, sizeof(out), "a/b ?"), 0);
	assert_string_equal(out, "/a%2Fb%20%3F");
	assert_int_equal(http_escape(out, sizeof(out), "xyz1"), -ENAMETOOLONG);
}

static void nobody_listening_is_an_error(void **state)
{
	struct http_req q = { .method = "GET", .target = "/" };
	struct http_conn *c = NULL;

	assert_int_equal(http_open("/nonexistent/socket", &q, &c), -ENOENT);
	assert_int_equal(http_open("nowhere", &q, &c), -EINVAL);
	assert_int_equal(http_open("127.0.0.1:0", &q, &c), -EINVAL);
	assert_int_equal(http_open("example.org:80", &q, &c), -EINVAL);
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_complete_or_waited_for),
		cmocka_unit_test(lying_heads_are_refused),
		cmocka_unit_test(an_endless_head_is_refused),
		cmocka_unit_test(chunks_cut_anywhere_make_the_same_body),
		cmocka_unit_test(broken_chunks_are_refused),
		cmocka_unit_test(a_plain_body_ends_where_it_said),
		cmocka_unit_test(names_are_escaped_for_a_path),
		cmocka_unit_test(nobody_listening_is_an_error),
	};
	return cmocka_run_group_tests_name("cli/http", tests, NULL, NULL);
}
