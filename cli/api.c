/* cli/api.c - from apid's answers to results and one-line errors. */
#include "cli/api.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cli/http.h"
#include "daemons/clock.h"

#define RETRY_MS    200
#define RETRIES_MAX 50 /* an apid that ended is back, or isn't coming */
#define REFUSED_MAX 5  /* its socket is there and nobody listens: it may be starting */

struct json_object *api_sub(json_object *o, const char *key)
{
	json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object))
		return NULL;
	json_object_object_get_ex(o, key, &v);
	return v;
}

const char *api_str(json_object *o, const char *key, const char *def)
{
	json_object *v = api_sub(o, key);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : def;
}

int64_t api_int(json_object *o, const char *key, int64_t def)
{
	json_object *v = api_sub(o, key);

	return json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : def;
}

double api_num(json_object *o, const char *key, double def)
{
	json_object *v = api_sub(o, key);

	return json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double)
		       ? json_object_get_double(v)
		       : def;
}

int api_domain_target(struct dz *dz, const char *dom, const char *rest, char *buf)
{
	int r;

	strcpy(buf, "/v1/domains/");
	r = *dom && strlen(dom) <= 256 ? http_escape(buf, API_TARGET_MAX - 256, dom) : -EINVAL;
	if (r < 0 || strlen(rest) >= 256)
		return dz_set(dz, -EINVAL, "'%.64s' can't be a domain's name, domid or UUID", dom);
	strcat(buf, rest); /* 256 bytes were kept for it */
	return 0;
}

/* A status that says no, to an errno for whom it matters. */
static int errno_of(int status)
{
	switch (status) {
	case 404: return -ENOENT;
	case 409: return -EEXIST;
	case 401:
	case 403: return -EACCES;
	case 412: return -EAGAIN;
	case 507: return -ENOSPC;
	case 501: return -ENOSYS;
	case 503: return -EHOSTDOWN;
	default: return -EINVAL;
	}
}

static int set_problem(struct dz *dz, int status, json_object *problem)
{
	const char *title = api_str(problem, "title", NULL);
	const char *detail = api_str(problem, "detail", NULL);
	const char *pointer = api_str(problem, "pointer", NULL);

	snprintf(dz->code, sizeof(dz->code), "%s", api_str(problem, "code", ""));
	if (!title && !detail)
		return dz_set(dz, errno_of(status), "apid answered with status %d and no reason",
			      status);
	return dz_set(dz, errno_of(status), "%s%s%s", detail ? detail : title,
		      pointer ? " at " : "", pointer ? pointer : "");
}

static int set_unreachable(struct dz *dz, int r)
{
	if (r == -ENOENT || r == -ECONNREFUSED)
		return dz_set(dz, r,
			      "nobody serves the API at %s: start the daemons "
			      "(systemctl start domzero.target, or scripts/quickstart)",
			      dz->where);
	if (r == -EACCES)
		return dz_set(dz, r, "%s: %s; be root or a member of its group", dz->where,
			      strerror(EACCES));
	if (r == -EBADMSG)
		return dz_set(dz, r, "what serves %s is not apid", dz->where);
	if (r == -EPIPE || r == -ECONNRESET)
		return dz_set(dz, r,
			      "apid ended before it answered (%s); it may have done it: "
			      "look with dz list and try again",
			      dz->where);
	return dz_set(dz, r, "%s: %s", dz->where, strerror(-r));
}

/* Whether to ask again after r, the tries-th failure.  What an apid that ended
 * may have begun carries a key, with which it is not done twice. */
static bool ask_again(int r, unsigned tries, bool *ended)
{
	if (r == -EPIPE || r == -ECONNRESET)
		*ended = true;
	else if (r != -ECONNREFUSED && !(r == -ENOENT && *ended))
		return false;
	return tries < (*ended ? RETRIES_MAX : REFUSED_MAX);
}

/* One exchange; text is owned by the caller. */
static int exchange(struct dz *dz, const struct http_req *q, struct http_head *ret, char **ret_text,
		    size_t *ret_len)
{
	const struct timespec pause = { 0, RETRY_MS * 1000000 };
	bool ended = false;

	for (unsigned tries = 0;; tries++) {
		struct http_conn *c = NULL;
		int r = http_open(dz->where, q, &c);

		if (r == 0)
			r = http_read_all(c, ret_text, ret_len);
		if (r == 0)
			*ret = *http_head(c);
		http_close(c);
		if (r == 0 || !ask_again(r, tries, &ended))
			return r;
		nanosleep(&pause, NULL);
	}
}

/* 128 random bits and the end of the line. */
static void add_random(char *line)
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort(); /* 16 bytes come whole once the pool is ready */
	for (size_t i = 0; i < sizeof(b); i++)
		sprintf(line + strlen(line), "%02x", b[i]);
	strcat(line, "\r\n");
}

int api_call(struct dz *dz, const char *method, const char *target, json_object *body,
	     json_object **ret, int *ret_status)
{
	char key[64] = "Idempotency-Key: ";
	struct http_req q = { .method = method, .target = target };
	struct http_head head = { 0 };
	json_object *answer = NULL;
	char *text = NULL;
	size_t n = 0;
	int r, status;

	dz->code[0] = '\0';
	if (strcmp(method, "GET") != 0) {
		add_random(key);
		q.headers = key;
	}
	if (body)
		q.body = json_object_to_json_string_ext(
			body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	r = exchange(dz, &q, &head, &text, &n);
	if (r < 0)
		return set_unreachable(dz, r);
	status = head.status;
	if (n) {
		answer = json_tokener_parse(text);
		if (!answer && status < 400)
			r = dz_set(dz, -EBADMSG, "%s answered something that is not JSON",
				   dz->where);
	}
	free(text);
	if (r == 0 && status >= 400)
		r = set_problem(dz, status, answer);
	if (r < 0 || !ret)
		json_object_put(answer);
	else
		*ret = answer;
	if (r == 0 && ret_status)
		*ret_status = status;
	return r;
}

int api_get(struct dz *dz, const char *target, json_object **ret)
{
	return api_call(dz, "GET", target, NULL, ret, NULL);
}

int api_domain(struct dz *dz, const char *dom, json_object **ret)
{
	char target[API_TARGET_MAX];
	int r;

	r = api_domain_target(dz, dom, "", target);
	if (r == 0)
		r = api_get(dz, target, ret);
	if (r == -ENOENT && strcmp(dz->code, "not-found") == 0)
		r = dz_set(dz, -ENOENT,
			   "%s is an invalid domain identifier: there is no such domain "
			   "(dz list shows them)",
			   dom);
	return r;
}

int api_domains(struct dz *dz, const char *query, json_object **ret)
{
	json_object *all = json_object_new_array(), *page;
	char target[API_TARGET_MAX], cursor[400] = "";
	int r = all ? 0 : dz_set(dz, -ENOMEM, "out of memory");

	while (r == 0) {
		json_object *list;
		const char *next;

		snprintf(target, sizeof(target), "/v1/domains?limit=1000%s%s", query, cursor);
		page = NULL;
		r = api_get(dz, target, &page);
		if (r < 0)
			break;
		list = api_sub(page, "domains");
		for (size_t i = 0; list && i < json_object_array_length(list); i++)
			json_object_array_add(all,
					      json_object_get(json_object_array_get_idx(list, i)));
		next = api_str(page, "next_cursor", NULL);
		strcpy(cursor, "&cursor=");
		if (!next || http_escape(cursor, sizeof(cursor), next) < 0) {
			json_object_put(page);
			break;
		}
		json_object_put(page);
	}
	if (r < 0)
		json_object_put(all);
	else
		*ret = all;
	return r;
}

static bool is_task(json_object *o)
{
	return api_sub(o, "progress") || (api_sub(o, "id") && api_sub(o, "state"));
}

static int64_t mono_s(void)
{
	return (int64_t)(clock_mono_ns() / 1000000000u);
}

/* Waits for the task to end; *task is replaced by its last state. */
static int wait_task(struct dz *dz, json_object **task, int timeout_s)
{
	int64_t end = mono_s() + timeout_s;

	for (;;) {
		const char *state = api_str(*task, "state", "");
		long left = timeout_s < 0 ? 60 : (long)(end - mono_s());
		char target[API_TARGET_MAX];
		json_object *next = NULL;
		int r;

		if (strcmp(state, "succeeded") == 0)
			return 0;
		if (strcmp(state, "failed") == 0)
			return set_problem(dz, 500, api_sub(*task, "problem"));
		if (left <= 0)
			return dz_set(dz, -ETIMEDOUT,
				      "it is not done after %d s (%s); task %s goes on", timeout_s,
				      api_str(*task, "step", "waiting"), api_str(*task, "id", "?"));
		snprintf(target, sizeof(target), "/v1/tasks/%.64s/wait?timeout=%ld",
			 api_str(*task, "id", ""), left > 60 ? 60 : left);
		r = api_get(dz, target, &next);
		if (r < 0)
			return r;
		json_object_put(*task);
		*task = next;
	}
}

int api_task(struct dz *dz, const char *method, const char *target, json_object *body,
	     int timeout_s, json_object **ret)
{
	char full[API_TARGET_MAX + 32];
	json_object *answer = NULL;
	int r, status = 0;

	snprintf(full, sizeof(full), "%s%cwait=%d", target, strchr(target, '?') ? '&' : '?',
		 timeout_s < 0 || timeout_s > 60 ? 60 : timeout_s);
	r = api_call(dz, method, full, body, &answer, &status);
	if (r == 0 && is_task(answer) && (status == 202 || timeout_s != 0) && timeout_s != 0)
		r = wait_task(dz, &answer, timeout_s);
	if (r < 0 || !ret)
		json_object_put(answer);
	else
		*ret = answer;
	return r;
}
