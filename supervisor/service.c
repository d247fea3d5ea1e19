/* supervisor/service.c - the table's syntax and the rules of a service's life. */
#include "supervisor/service.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct rule {
	enum svc_state from;
	enum svc_event ev;
	enum svc_state to;
} rules[] = {
	{ SVC_STOPPED, SVC_EV_START, SVC_STARTING },   { SVC_BACKOFF, SVC_EV_START, SVC_STARTING },
	{ SVC_STARTING, SVC_EV_READY, SVC_READY },     { SVC_STARTING, SVC_EV_EXIT, SVC_BACKOFF },
	{ SVC_STARTING, SVC_EV_TIMEOUT, SVC_BACKOFF }, { SVC_READY, SVC_EV_EXIT, SVC_BACKOFF },
	{ SVC_STARTING, SVC_EV_STOP, SVC_STOPPING },   { SVC_READY, SVC_EV_STOP, SVC_STOPPING },
	{ SVC_BACKOFF, SVC_EV_STOP, SVC_STOPPED },     { SVC_STOPPING, SVC_EV_EXIT, SVC_STOPPED },
	{ SVC_FAILED, SVC_EV_STOP, SVC_STOPPED },
};

enum svc_state svc_next(enum svc_state s, enum svc_event ev, bool was_ready)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].from == s && rules[i].ev == ev)
			/* A daemon that never came up is misconfigured: say so
			 * instead of trying for ever. */
			return rules[i].to == SVC_BACKOFF && !was_ready ? SVC_FAILED : rules[i].to;
	return s;
}

unsigned svc_backoff(unsigned last_ms, uint64_t ran_ms)
{
	if (ran_ms >= SVC_STEADY_MS || last_ms == 0)
		return SVC_BACKOFF_MIN_MS;
	return last_ms >= SVC_BACKOFF_MAX_MS / 2 ? SVC_BACKOFF_MAX_MS : last_ms * 2;
}

void svc_fini(struct service *s)
{
	free(s->name);
	for (int i = 0; i < SVC_ARGS_MAX; i++)
		free(s->argv[i]);
	memset(s, 0, sizeof(*s));
}

/* The next word of a line at *at: malloc'ed; NULL at the line's end or with
 * *ret_err set. */
static char *next_word(const char **at, const char *end, int *ret_err)
{
	const char *p = *at;
	bool quoted = false;
	char *word, *out;

	while (p < end && isblank((unsigned char)*p))
		p++;
	*at = p;
	if (p == end || *p == '#')
		return NULL;
	out = word = malloc((size_t)(end - p) + 1);
	if (!word) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	for (; p < end && (quoted || !isblank((unsigned char)*p)); p++) {
		if (*p == '"')
			quoted = !quoted;
		else
			*out++ = *p;
	}
	*out = '\0';
	*at = p;
	if (quoted) {
		free(word);
		*ret_err = -EINVAL;
		return NULL;
	}
	return word;
}

/* 1: a service, 0: an empty line, or a negative errno. */
static int parse_line(const char *line, const char *end, struct service *ret)
{
	int r = 0, n = 0;
	char *word;

	memset(ret, 0, sizeof(*ret));
	ret->name = next_word(&line, end, &r);
	if (!ret->name)
		return r;
	while ((word = next_word(&line, end, &r)) != NULL) {
		if (n == SVC_ARGS_MAX) {
			free(word);
			return -E2BIG;
		}
		ret->argv[n++] = word;
	}
	if (r == 0 && (n == 0 || strchr(ret->name, '/')))
		r = -EINVAL;
	return r < 0 ? r : 1;
}

int svc_parse(const char *text, struct service ret[SVC_MAX], char *err, size_t errlen)
{
	unsigned line = 0;
	int n = 0, r = 0;

	while (*text && r >= 0) {
		const char *end = strchrnul(text, '\n');
		struct service s;

		line++;
		r = parse_line(text, end, &s);
		if (r == 1 && n == SVC_MAX)
			r = -E2BIG;
		if (r == 1)
			ret[n++] = s;
		else
			svc_fini(&s);
		text = *end ? end + 1 : end;
	}
	if (r >= 0)
		return n;
	while (n > 0)
		svc_fini(&ret[--n]);
	snprintf(err, errlen, "line %u: %s", line,
		 r == -E2BIG ? "too many words or services"
			     : "expected a name (no slash) and a command, quotes closed");
	return r;
}
