/* apid/problem.c - problem codes and their two outward forms. */
#include "apid/problem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apid/json.h"

static const struct {
	const char *name, *title;
	int http, rpc;
} problems[PROB_MAX] = {
#define X(sym, name, http, rpc, title) [PROB_##sym] = { name, title, http, rpc },
	PROBLEMS(X)
#undef X
};

int problem_set(struct problem *p, enum problem_code code, const char *fmt, ...)
{
	va_list ap;

	*p = (struct problem){ .code = code };
	va_start(ap, fmt);
	vsnprintf(p->detail, sizeof(p->detail), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int problem_errno(struct problem *p, int r, const char *what)
{
	switch (-r) {
	case ENOMEM:
		return problem_set(p, PROB_OUT_OF_MEMORY,
				   "%s: not enough memory; stop a guest or give less memory", what);
	case ENOSPC:
	case EDQUOT:
		return problem_set(p, PROB_DISK_FULL, "%s: no space left; free some and try again",
				   what);
	case ENOTCONN: return problem_set(p, PROB_HYPERVISOR_DOWN, "%s: is hvd running?", what);
	default: return problem_set(p, PROB_INTERNAL, "%s: %s", what, strerror(-r));
	}
}

int problem_status(enum problem_code code)
{
	return problems[code].http;
}

int problem_rpc_code(enum problem_code code)
{
	return problems[code].rpc;
}

const char *problem_name(enum problem_code code)
{
	return problems[code].name;
}

const char *problem_title(enum problem_code code)
{
	return problems[code].title;
}

enum problem_code problem_from_name(const char *name)
{
	for (int i = 1; i < PROB_MAX; i++)
		if (strcmp(problems[i].name, name) == 0)
			return (enum problem_code)i;
	return PROB_NONE;
}

void problem_json(struct jbuf *b, const struct problem *p, const char *instance)
{
	char type[96];

	snprintf(type, sizeof(type), "urn:domzero:problem:%s", problems[p->code].name);
	jb_obj(b);
	jb_kstr(b, "type", type);
	jb_kstr(b, "title", problems[p->code].title);
	jb_kint(b, "status", problems[p->code].http);
	jb_kstr(b, "code", problems[p->code].name);
	if (p->detail[0])
		jb_kstr(b, "detail", p->detail);
	if (p->pointer[0])
		jb_kstr(b, "pointer", p->pointer);
	if (p->task[0])
		jb_kstr(b, "task", p->task);
	if (instance)
		jb_kstr(b, "instance", instance);
	jb_obj_end(b);
}

bool problem_parse(const char *text, struct problem *ret)
{
	json_object *o = NULL;
	enum problem_code code;
	char err[64];

	if (!text || json_parse(text, strlen(text), &o, err, sizeof(err)) < 0)
		return false;
	code = problem_from_name(json_str(o, "code", ""));
	if (code != PROB_NONE) {
		*ret = (struct problem){ .code = code };
		snprintf(ret->detail, sizeof(ret->detail), "%s", json_str(o, "detail", ""));
		snprintf(ret->pointer, sizeof(ret->pointer), "%s", json_str(o, "pointer", ""));
		snprintf(ret->task, sizeof(ret->task), "%s", json_str(o, "task", ""));
	}
	json_object_put(o);
	return code != PROB_NONE;
}
