/* consoled/pool.c - one thread per lane, an eventfd back to the loop. */
#include "consoled/pool.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemons/sys.h"

struct queue {
	struct job *first, **last;
};

struct lane {
	struct pool *pool;
	pthread_t thread;
	bool started;
	pthread_cond_t wake;
	struct queue todo;
};

struct pool {
	struct lane lanes[LANES];
	pthread_mutex_t lock; /* queues and stop */
	struct queue done;
	bool stop, threads;
	int fd; /* eventfd: done isn't empty */
	struct event *ev;
};

static void push(struct queue *q, struct job *j)
{
	j->next = NULL;
	*q->last = j;
	q->last = &j->next;
}

static struct job *pop(struct queue *q)
{
	struct job *j = q->first;

	if (j) {
		q->first = j->next;
		if (!q->first)
			q->last = &q->first;
	}
	return j;
}

static void wake_loop(struct pool *p)
{
	uint64_t one = 1;

	(void)!write(p->fd, &one, sizeof(one)); /* full means it is readable */
}

static void *lane_main(void *arg)
{
	struct lane *l = arg;
	struct pool *p = l->pool;
	struct job *j;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		bool first;

		while (!(j = pop(&l->todo)) && !p->stop)
			pthread_cond_wait(&l->wake, &p->lock);
		if (!j)
			break;
		pthread_mutex_unlock(&p->lock);
		j->run(j);
		pthread_mutex_lock(&p->lock);
		first = !p->done.first;
		push(&p->done, j);
		if (first)
			wake_loop(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Takes the whole list at once: jobs finished by a done() wait for the next
 * round, so a busy disk can't keep the loop here. */
static void on_done(evutil_socket_t fd, short what, void *arg)
{
	struct pool *p = arg;
	struct job *j, *next;
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
	pthread_mutex_lock(&p->lock);
	j = p->done.first;
	p->done = (struct queue){ .last = &p->done.first };
	pthread_mutex_unlock(&p->lock);
	for (; j; j = next) {
		next = j->next;
		j->done(j);
	}
}

/* Signals belong to the loop's thread. */
static int lane_start(struct lane *l)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&l->thread, NULL, lane_main, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	l->started = r == 0;
	return -r;
}

int pool_new(struct event_base *base, bool threads, struct pool **ret)
{
	struct pool *p = sys_zalloc(sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	p->threads = threads;
	p->done.last = &p->done.first;
	for (int i = 0; i < LANES; i++) {
		p->lanes[i].pool = p;
		p->lanes[i].todo.last = &p->lanes[i].todo.first;
		pthread_cond_init(&p->lanes[i].wake, NULL);
	}
	p->fd = sys_eventfd();
	if (p->fd < 0)
		r = p->fd;
	if (r == 0) {
		p->ev = event_new(base, p->fd, EV_READ | EV_PERSIST, on_done, p);
		if (!p->ev || event_add(p->ev, NULL) < 0)
			r = -ENOMEM;
	}
	for (int i = 0; i < LANES && threads && r == 0; i++)
		r = lane_start(&p->lanes[i]);
	if (r < 0) {
		pool_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct pool *pool_free(struct pool *p)
{
	if (!p)
		return NULL;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	for (int i = 0; i < LANES; i++)
		pthread_cond_signal(&p->lanes[i].wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < LANES; i++) {
		if (p->lanes[i].started)
			pthread_join(p->lanes[i].thread, NULL);
		pthread_cond_destroy(&p->lanes[i].wake);
	}
	if (p->ev)
		event_free(p->ev);
	if (p->fd >= 0)
		close(p->fd);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

void pool_submit(struct pool *p, enum pool_lane lane, struct job *j)
{
	if (!p->threads) {
		bool first = !p->done.first;

		j->run(j);
		push(&p->done, j);
		if (first)
			wake_loop(p);
		return;
	}
	pthread_mutex_lock(&p->lock);
	push(&p->lanes[lane].todo, j);
	pthread_cond_signal(&p->lanes[lane].wake);
	pthread_mutex_unlock(&p->lock);
}
