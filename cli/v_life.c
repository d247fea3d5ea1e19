/* cli/v_life.c - shutdown, reboot, pause, unpause, destroy. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/dz.h"

/* POST /v1/domains/<dom>/<verb>; the domain must exist, said in xl's words. */
static int act(struct dz *dz, const char *dom, const char *what, json_object *body, int timeout_s)
{
	char target[API_TARGET_MAX], rest[32];
	int r;

	snprintf(rest, sizeof(rest), "/%s", what);
	r = api_domain_target(dz, dom, rest, target);
	if (r == 0)
		r = api_task(dz, "POST", target, body, timeout_s, NULL);
	if (r == -ENOENT && strcmp(dz->code, "not-found") == 0)
		r = dz_set(dz, r,
			   "%s is an invalid domain identifier: there is no such domain "
			   "(dz list shows them)",
			   dom);
	return r;
}

static int run_simple(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	struct dz_args a;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	r = act(dz, a.operand[0], v->name, NULL, API_WAIT_S);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}

int verb_pause(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return run_simple(dz, v, argc, argv);
}

int verb_unpause(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return run_simple(dz, v, argc, argv);
}

int verb_destroy(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return run_simple(dz, v, argc, argv);
}

/* One domain; with a wait the request's own time limit is that long too. */
static int ask_one(struct dz *dz, const char *dom, const char *what, int wait_s, bool force)
{
	json_object *d = NULL, *body = json_object_new_object();
	int r;

	r = body ? api_domain(dz, dom, &d) : dz_set(dz, -ENOMEM, "out of memory");
	if (r == 0) {
		int64_t domid = api_int(d, "domid", -1);
		char who[64];

		/* The UUID, so that a domain that takes the name meanwhile is safe. */
		snprintf(who, sizeof(who), "%s", api_str(d, "uuid", ""));
		if (domid >= 0)
			printf("%s domain %lld\n", *what == 's' ? "Shutting down" : "Rebooting",
			       (long long)domid);
		(void)fflush(stdout); /* the wait may be long */
		json_object_object_add(body, "force", json_object_new_boolean(force));
		if (wait_s > 0)
			json_object_object_add(body, "timeout", json_object_new_int(wait_s));
		r = act(dz, who, what, body, wait_s);
	}
	json_object_put(d);
	json_object_put(body);
	return r;
}

static int run_ask(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	enum { WAIT, ALL, FALLBACK, TIMEOUT, FORCE };
	json_object *all = NULL;
	struct dz_args a;
	int r, failed = 0, wait_s;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	if ((a.val[ALL] != NULL) == (a.n == 1)) {
		fprintf(stderr, "dz %s: name one domain, or say -a for all\n", v->name);
		return 2;
	}
	wait_s = a.val[TIMEOUT] ? atoi(a.val[TIMEOUT]) : 86400;
	if (wait_s < 1 || wait_s > 86400) {
		fprintf(stderr, "dz %s: --timeout is from 1 to 86400 seconds\n", v->name);
		return 2;
	}
	if (!a.val[WAIT] && !a.val[TIMEOUT] && !a.val[FORCE])
		wait_s = 0; /* ask, and don't wait for the guest */
	else if (!a.val[TIMEOUT] && a.val[FORCE])
		wait_s = API_WAIT_S;
	if (!a.val[ALL]) {
		r = ask_one(dz, a.operand[0], v->name, wait_s, a.val[FORCE] != NULL);
		return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
	}
	r = api_domains(dz, "&state=running,paused&fields=uuid,domid", &all);
	if (r < 0)
		return dz_fail(dz);
	/* First ask them all, then wait: they go down side by side. */
	for (int pass = 0; pass < (wait_s ? 2 : 1); pass++)
		for (size_t i = 0; i < json_object_array_length(all); i++) {
			const char *uuid = api_str(json_object_array_get_idx(all, i), "uuid", "");
			json_object *d = NULL;

			if (pass == 0) {
				r = ask_one(dz, uuid, v->name, 0, a.val[FORCE] != NULL);
			} else {
				if (api_domain(dz, uuid, &d) < 0 || api_int(d, "domid", -1) < 0)
					r = 0; /* it has ended */
				else
					r = ask_one(dz, uuid, v->name, wait_s,
						    a.val[FORCE] != NULL);
				json_object_put(d);
			}
			if (r < 0) {
				failed = 1;
				(void)dz_fail(dz); /* and on with the others */
			}
		}
	json_object_put(all);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int verb_shutdown(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return run_ask(dz, v, argc, argv);
}

int verb_reboot(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	return run_ask(dz, v, argc, argv);
}
