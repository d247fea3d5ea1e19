/* apid/call.c - carrying out calls: checks, helper threads, waiting. */
#include "apid/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/json.h"
#include "daemons/sys.h"

#define SLOW_QUEUE_MAX 1024
#define HELPERS_MAX    16

struct helpers {
	struct apid *a;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct call *first, **last;
	unsigned queued, n;
	bool stop;
	pthread_t threads[HELPERS_MAX];
	struct worker workers[HELPERS_MAX];
};

static struct helpers *the_helpers(struct apid *a)
{
	return a->helpers;
}

static int enqueue(struct call *c)
{
	struct helpers *h = the_helpers(c->a);
	int r = 0;

	pthread_mutex_lock(&h->lock);
	if (h->stop || h->queued >= SLOW_QUEUE_MAX) {
		r = problem_set(&c->prob, PROB_TOO_MANY_REQUESTS,
				"too many requests wait already; try again later");
	} else {
		c->next = NULL;
		*h->last = c;
		h->last = &c->next;
		h->queued++;
		pthread_cond_signal(&h->work);
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

static void waited(void *arg)
{
	struct call *c = arg;

	c->after(c);
	c->done(c->arg);
}

/* After a handler: 0 if the answer is complete, CALL_WAIT if it will be. */
static int settle(struct call *c, int r)
{
	if (r != CALL_WAIT)
		return 0;
	r = c->wait_s > 0 ? tasks_wait(c->a->tasks, c->task,
				       uptime_ms() + (int64_t)(c->wait_s * 1000), waited, c)
			  : 1;
	if (r == 0)
		return CALL_WAIT;
	if (r < 0)
		(void)problem_errno(&c->prob, r, "waiting");
	else
		c->after(c);
	return 0;
}

static void *helper_loop(void *arg)
{
	struct worker *w = arg;
	struct helpers *h = the_helpers(w->a);

	pthread_mutex_lock(&h->lock);
	for (;;) {
		struct call *c = h->first;

		if (!c && h->stop)
			break;
		if (!c) {
			pthread_cond_wait(&h->work, &h->lock);
			continue;
		}
		h->first = c->next;
		if (!h->first)
			h->last = &h->first;
		h->queued--;
		pthread_mutex_unlock(&h->lock);
		c->w = w;
		if (settle(c, ((const struct operation *)c->route->handler)->run(c)) == 0)
			c->done(c->arg); /* c may be gone now */
		pthread_mutex_lock(&h->lock);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

int helpers_start(struct apid *a, unsigned n, struct helpers **ret)
{
	struct helpers *h = sys_zalloc(sizeof(*h));
	int r = 0;

	if (!h)
		return -ENOMEM;
	h->a = a;
	h->last = &h->first;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->work, NULL);
	a->helpers = h;
	for (unsigned i = 0; i < n && i < HELPERS_MAX && r == 0; i++) {
		h->workers[i].a = a;
		r = ts_init(&h->workers[i].ts);
		if (r == 0)
			r = -pthread_create(&h->threads[i], NULL, helper_loop, &h->workers[i]);
		if (r == 0)
			h->n++;
	}
	if (r < 0) {
		a->helpers = helpers_stop(h);
		return r;
	}
	*ret = h;
	return 0;
}

struct helpers *helpers_stop(struct helpers *h)
{
	if (!h)
		return NULL;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_broadcast(&h->work);
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < h->n; i++) {
		pthread_join(h->threads[i], NULL);
		ts_fini(&h->workers[i].ts);
	}
	pthread_cond_destroy(&h->work);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return NULL;
}

int call_defaults(struct call *c)
{
	for (size_t i = 0; i < c->route->nparams; i++) {
		const struct param *pa = &c->route->params[i];
		json_object *def = json_get(pa->schema, "default"), *copy = NULL;

		if (json_has(c->params, pa->name))
			continue;
		if (pa->required)
			return problem_set(&c->prob, PROB_BAD_REQUEST, "parameter '%s' is missing",
					   pa->name);
		if (!def)
			continue;
		/* The document is shared between threads and json-c counts without
		 * locks: take a copy. */
		if (json_object_deep_copy(def, &copy, NULL) < 0 ||
		    json_object_object_add(c->params, pa->name, copy) < 0)
			return problem_errno(&c->prob, -ENOMEM, "parameters");
	}
	return 0;
}

int call_start(struct call *c)
{
	const struct operation *op = c->route->handler;

	if (c->who.priv < c->route->priv) {
		(void)problem_set(&c->prob, PROB_FORBIDDEN,
				  "user %u may not do this; use root, or "
				  "join the group domzero",
				  c->who.uid);
		return 0;
	}
	if (c->route->body_required && !c->body) {
		(void)problem_set(&c->prob, PROB_BAD_REQUEST, "a JSON body is needed");
		return 0;
	}
	if (c->body && apidoc_body_check(&c->a->doc, c->route, c->body, &c->prob) < 0)
		return 0;
	if (call_defaults(c) < 0)
		return 0;
	c->status = 200;
	if (op->slow)
		return enqueue(c) == 0 ? CALL_WAIT : 0;
	return settle(c, op->run(c));
}

void call_fini(struct call *c)
{
	json_object_put(c->params);
	json_object_put(c->body);
	jb_fini(&c->out);
	c->params = c->body = NULL;
}
