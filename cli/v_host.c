/* cli/v_host.c - info, dmesg, events. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/dz.h"
#include "cli/http.h"
#include "cli/show.h"

int verb_info(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	json_object *host = NULL;
	struct dz_args a;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	r = api_get(dz, "/v1/host", &host);
	if (r < 0)
		return dz_fail(dz);
	show_info(stdout, host);
	json_object_put(host);
	return EXIT_SUCCESS;
}

int verb_dmesg(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	struct dz_args a;
	int64_t at = 0;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	for (;;) {
		json_object *page = NULL;
		char target[96];
		int64_t next;
		bool more;

		snprintf(target, sizeof(target), "/v1/host/dmesg?offset=%lld", (long long)at);
		r = api_get(dz, target, &page);
		if (r < 0)
			return dz_fail(dz);
		next = api_int(page, "next_offset", at);
		more = *api_str(page, "text", "") && next > at;
		fputs(api_str(page, "text", ""), stdout);
		json_object_put(page);
		if (!more)
			return EXIT_SUCCESS;
		at = next;
	}
}

/* ---- events: a stream of server-sent events ---- */

struct stream {
	char line[65536];
	size_t n;
	bool json;
};

static void print_event(const char *data, bool json)
{
	json_object *e = json ? NULL : json_tokener_parse(data);
	json_object *more = api_sub(e, "data");

	if (json) {
		puts(data);
	} else if (e) {
		printf("%s %-22s %s %s\n", api_str(e, "time", "-"), api_str(e, "type", "?"),
		       api_str(e, "domain", "-"),
		       more ? json_object_to_json_string_ext(more, JSON_C_TO_STRING_PLAIN) : "");
	}
	json_object_put(e);
	(void)fflush(stdout); /* a reader of the pipe wants it now */
}

static void take_byte(struct stream *s, char c)
{
	if (c != '\n') {
		if (s->n < sizeof(s->line) - 1)
			s->line[s->n++] = c;
		return;
	}
	s->line[s->n] = '\0';
	if (strncmp(s->line, "data: ", 6) == 0)
		print_event(s->line + 6, s->json);
	s->n = 0;
}

int verb_events(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	struct http_req q = { .method = "GET", .headers = "Accept: text/event-stream\r\n" };
	char target[API_TARGET_MAX] = "/v1/events", buf[4096];
	struct stream *s = calloc(1, sizeof(*s));
	struct http_conn *c = NULL;
	json_object *d = NULL;
	struct dz_args a;
	ssize_t n;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0 || !s) {
		free(s);
		return r < 0 ? dz_args_exit(r) : EXIT_FAILURE;
	}
	s->json = a.val[0] != NULL;
	if (a.n) {
		r = api_domain(dz, a.operand[0], &d);
		if (r == 0)
			snprintf(target, sizeof(target), "/v1/events?domain=%.64s",
				 api_str(d, "uuid", ""));
		json_object_put(d);
	}
	q.target = target;
	if (r == 0) {
		r = http_open(dz->where, &q, &c);
		if (r < 0 || http_head(c)->status != 200)
			r = dz_set(dz, r < 0 ? r : -EINVAL, "no events from %s: %s", dz->where,
				   r < 0 ? strerror(-r) : "it refused");
	}
	while (r == 0 && (n = http_read(c, buf, sizeof(buf))) != 0) {
		if (n < 0)
			r = dz_set(dz, (int)n, "the stream from %s was cut: %s", dz->where,
				   strerror((int)-n));
		for (ssize_t i = 0; i < n; i++)
			take_byte(s, buf[i]);
	}
	http_close(c);
	free(s);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}
