/* apid/problem.h - what went wrong, as RFC 9457 and as a JSON-RPC error.
 *
 * The list is the only place a code is written: enum, name, HTTP status and
 * JSON-RPC number expand from it, and a test compares it with the document.
 */
#ifndef APID_PROBLEM_H
#define APID_PROBLEM_H

#include <stdbool.h>

#include "apid/jbuf.h"

/*        symbol               code                    HTTP  JSON-RPC  title */
#define PROBLEMS(X)                                                                             \
	X(BAD_REQUEST, "bad-request", 400, -32602, "The request is not valid")                  \
	X(BAD_JSON, "bad-json", 400, -32700, "The body is not valid JSON")                      \
	X(INVALID_CONFIG, "invalid-config", 422, -32602, "The configuration is not valid")      \
	X(UNAUTHORIZED, "unauthorized", 401, -32001, "Who are you?")                            \
	X(FORBIDDEN, "forbidden", 403, -32003, "Not allowed")                                   \
	X(NOT_FOUND, "not-found", 404, -32004, "There is no such thing")                        \
	X(METHOD_NOT_ALLOWED, "method-not-allowed", 405, -32601, "This can't be done here")     \
	X(NOT_ACCEPTABLE, "not-acceptable", 406, -32006, "Not in that form")                    \
	X(CONFLICT, "conflict", 409, -32009, "Something else is under way")                     \
	X(NAME_TAKEN, "name-taken", 409, -32010, "The name is taken")                           \
	X(UUID_TAKEN, "uuid-taken", 409, -32011, "The UUID is taken")                           \
	X(MAC_TAKEN, "mac-taken", 409, -32031, "The MAC address is taken")                      \
	X(WRONG_STATE, "wrong-state", 409, -32012, "Not in this state")                         \
	X(EVENTS_GONE, "events-gone", 410, -32013, "These events are gone")                     \
	X(PRECONDITION_FAILED, "precondition-failed", 412, -32014, "It has changed meanwhile")  \
	X(PAYLOAD_TOO_LARGE, "payload-too-large", 413, -32015, "The body is too large")         \
	X(URI_TOO_LONG, "uri-too-long", 414, -32016, "The address is too long")                 \
	X(UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", 415, -32017, "Not this media type") \
	X(IDEMPOTENCY_MISMATCH, "idempotency-mismatch", 422, -32018,                            \
	  "The Idempotency-Key was used for another request")                                   \
	X(NO_BACKEND, "no-backend", 422, -32019, "There is no backend for these devices yet")   \
	X(BAD_KERNEL, "bad-kernel", 422, -32020, "The guest can't be built from these files")   \
	X(OUT_OF_MEMORY, "out-of-memory", 507, -32021, "Not enough memory")                     \
	X(UPGRADE_REQUIRED, "upgrade-required", 426, -32022, "Needs an HTTP Upgrade")           \
	X(TOO_MANY_REQUESTS, "too-many-requests", 429, -32023, "Too many at once")              \
	X(INTERNAL, "internal", 500, -32603, "Something broke here")                            \
	X(DISK_FULL, "disk-full", 507, -32024, "The disk is full")                              \
	X(NOT_IMPLEMENTED, "not-implemented", 501, -32025, "Not available")                     \
	X(HYPERVISOR_DOWN, "hypervisor-down", 503, -32026, "The hypervisor does not answer")    \
	X(XENSTORE_DOWN, "xenstore-down", 503, -32027, "XenStore does not answer")              \
	X(CONSOLE_DOWN, "console-down", 503, -32028, "The console daemon does not answer")      \
	X(TIMEOUT, "timeout", 504, -32029, "It took too long")                                  \
	X(INTERRUPTED, "interrupted", 500, -32030, "The service was restarted in the middle")

enum problem_code {
	PROB_NONE,
#define X(sym, name, http, rpc, title) PROB_##sym,
	PROBLEMS(X)
#undef X
		PROB_MAX
};

struct problem {
	enum problem_code code; /* PROB_NONE: no problem */
	char detail[512];	/* one line that says what to do */
	char pointer[256];	/* "" or what is wrong in the body, or a parameter's name */
	char task[37];		/* "" or the task that failed */
};

/* Sets *p and returns -EINVAL, so that one can write: return problem(p, ...). */
int problem_set(struct problem *p, enum problem_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The problem that a negative errno means; what is the thing that failed. */
int problem_errno(struct problem *p, int r, const char *what);

int problem_status(enum problem_code code);	  /* HTTP */
int problem_rpc_code(enum problem_code code);	  /* JSON-RPC error.code */
const char *problem_name(enum problem_code code); /* "name-taken" */
const char *problem_title(enum problem_code code);
enum problem_code problem_from_name(const char *name); /* PROB_NONE if unknown */

/* As one JSON object; instance may be NULL. */
void problem_json(struct jbuf *b, const struct problem *p, const char *instance);
/* Back from problem_json's text (a task in the database); false if it isn't one. */
bool problem_parse(const char *text, struct problem *ret);

#endif
