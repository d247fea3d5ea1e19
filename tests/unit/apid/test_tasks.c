/* tests/unit/apid/test_tasks.c - tasks, domains and events in a real database
 * file: order, parking, waiting, and what a killed process leaves behind. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "apid/doms.h"
#include "apid/json.h"
#include "apid/tasks.h"

#define UUID_A "11111111-1111-4111-8111-111111111111"
#define UUID_B "22222222-2222-4222-8222-222222222222"

struct rig {
	char dir[32], path[64];
	struct db *db;
	struct events *ev;
	struct doms *doms;
	struct tasks *tasks;
	pthread_t thread;
	bool running;
};

static _Atomic int ran;
static _Atomic long wall_step_s; /* how far somebody has set the clock */

/* Instead of the C library's: the wall clock can be set. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += wall_step_s;
	return r;
}
static char order[64];

static int run_ok(struct task *t, struct worker *w, enum task_wake why)
{
	(void)w;
	strncat(order, json_str(t->args, "tag", "?"), 8);
	if (why == TASK_WAKE_RECOVERED)
		t->recovery = "resumed";
	ran++;
	return 0;
}

static int run_fail(struct task *t, struct worker *w, enum task_wake why)
{
	(void)w;
	(void)why;
	return problem_set(&t->prob, PROB_BAD_KERNEL, "as asked");
}

static int run_park(struct task *t, struct worker *w, enum task_wake why)
{
	(void)w;
	strncat(order, "p", 2);
	if (why == TASK_WAKE_DEADLINE)
		return problem_set(&t->prob, PROB_TIMEOUT, "too late");
	t->deadline_ms = uptime_ms() + json_int(t->args, "ms", 600000);
	ran++;
	return TASK_PARK;
}

static int run_die(struct task *t, struct worker *w, enum task_wake why)
{
	(void)t;
	(void)w;
	if (why != TASK_WAKE_RECOVERED)
		kill(getpid(), SIGKILL);
	t->recovery = "finished";
	return 0;
}

static const struct task_type types[] = {
	{ "ok", false, run_ok },
	{ "fail", false, run_fail },
	{ "park", true, run_park },
	{ "die", false, run_die },
};

static void *work(void *arg)
{
	tasks_work(arg, NULL, false);
	return NULL;
}

static void rig_open(struct rig *g)
{
	char err[256] = "";

	if (db_open(g->path, &g->db, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	assert_int_equal(events_new(g->db, &g->ev), 0);
	assert_int_equal(doms_new(g->db, g->ev, &g->doms), 0);
	assert_int_equal(tasks_new(g->db, g->ev, types, 4, &g->tasks), 0);
}

static void rig_start(struct rig *g)
{
	assert_int_equal(pthread_create(&g->thread, NULL, work, g->tasks), 0);
	g->running = true;
	tasks_open_gates(g->tasks);
}

static void rig_close(struct rig *g)
{
	if (g->running) {
		tasks_stop(g->tasks);
		pthread_join(g->thread, NULL);
	}
	g->running = false;
	g->tasks = tasks_free(g->tasks);
	g->doms = doms_free(g->doms);
	g->ev = events_free(g->ev);
	g->db = db_close(g->db);
}

static int setup(void **state)
{
	struct rig *g = calloc(1, sizeof(*g));

	strcpy(g->dir, "/tmp/apidXXXXXX");
	assert_non_null(mkdtemp(g->dir));
	snprintf(g->path, sizeof(g->path), "%s/apid.db", g->dir);
	rig_open(g);
	ran = 0;
	order[0] = '\0';
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct rig *g = *state;
	char cmd[64];

	rig_close(g);
	snprintf(cmd, sizeof(cmd), "rm -r %s", g->dir);
	assert_int_equal(system(cmd), 0);
	free(g);
	return 0;
}

static json_object *tag(const char *t)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "tag", json_object_new_string(t));
	return o;
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void on_done(void *arg)
{
	struct waiter *w = arg;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void wait_task(struct rig *g, const char *id)
{
	struct waiter w = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };

	if (tasks_wait(g->tasks, id, INT64_MAX, on_done, &w) == 1)
		return;
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
}

static enum problem_code outcome(struct rig *g, const char *id)
{
	struct problem p;

	wait_task(g, id);
	assert_true(tasks_outcome(g->tasks, id, &p));
	return p.code;
}

static json_object *task_json(struct rig *g, const char *id)
{
	struct jbuf b = { 0 };
	json_object *o = NULL;
	char err[64];

	assert_int_equal(tasks_json(g->tasks, id, &b), 0);
	assert_int_equal(json_parse(b.p, b.n, &o, err, sizeof(err)), 0);
	jb_fini(&b);
	return o;
}

static void nothing_runs_before_the_gates_are_open(void **state)
{
	struct rig *g = *state;
	char id[UUID_LEN + 1];
	struct problem p;

	assert_int_equal(pthread_create(&g->thread, NULL, work, g->tasks), 0);
	g->running = true;
	assert_int_equal(tasks_submit(g->tasks, "ok", UUID_A, "a", tag("1"), id, &p), 0);
	assert_false(tasks_outcome(g->tasks, id, &p));
	assert_int_equal(ran, 0);
	tasks_open_gates(g->tasks);
	assert_int_equal(outcome(g, id), PROB_NONE);
	assert_int_equal(ran, 1);
}

static void a_failure_keeps_its_reason_and_names_its_task(void **state)
{
	struct rig *g = *state;
	char id[UUID_LEN + 1];
	struct problem p;
	json_object *o;

	rig_start(g);
	assert_int_equal(tasks_submit(g->tasks, "fail", UUID_A, "a", NULL, id, &p), 0);
	assert_int_equal(outcome(g, id), PROB_BAD_KERNEL);
	o = task_json(g, id);
	assert_string_equal(json_str(o, "state", ""), "failed");
	assert_string_equal(json_str(json_get(o, "problem"), "detail", ""), "as asked");
	assert_string_equal(json_str(json_get(o, "problem"), "task", ""), id);
	json_object_put(o);
}

static void a_parked_task_is_in_nobodys_way(void **state)
{
	struct rig *g = *state;
	char park[UUID_LEN + 1], ok[UUID_LEN + 1];
	struct problem p;

	rig_start(g);
	assert_int_equal(tasks_submit(g->tasks, "park", UUID_A, "a", NULL, park, &p), 0);
	assert_int_equal(tasks_submit(g->tasks, "ok", UUID_A, "a", tag("1"), ok, &p), 0);
	assert_int_equal(outcome(g, ok), PROB_NONE);
	assert_string_equal(order, "p1");
	assert_false(tasks_outcome(g->tasks, park, &p));
	assert_true(tasks_has_open(g->tasks, UUID_A, "park"));
	assert_false(tasks_has_open(g->tasks, UUID_B, NULL));
}

static bool settle_all(struct task *t, void *arg)
{
	(void)t;
	(void)arg;
	return true;
}

static void a_parked_task_ends_when_it_is_settled_or_its_time_is_over(void **state)
{
	struct rig *g = *state;
	char id[UUID_LEN + 1], late[UUID_LEN + 1];
	json_object *args = json_object_new_object();
	struct problem p;

	rig_start(g);
	assert_int_equal(tasks_submit(g->tasks, "park", UUID_A, "a", NULL, id, &p), 0);
	while (ran == 0)
		usleep(1000);
	while (!tasks_outcome(g->tasks, id, &p)) /* until it is really parked */
		tasks_settle(g->tasks, UUID_A, settle_all, NULL);
	assert_int_equal(p.code, PROB_NONE);
	json_object_object_add(args, "ms", json_object_new_int(1));
	assert_int_equal(tasks_submit(g->tasks, "park", UUID_A, "a", args, late, &p), 0);
	while (!tasks_outcome(g->tasks, late, &p)) {
		(void)tasks_tick(g->tasks);
		usleep(1000);
	}
	assert_int_equal(p.code, PROB_TIMEOUT);
}

static void a_waiter_is_let_go_at_its_deadline(void **state)
{
	struct rig *g = *state;
	struct waiter w = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	char id[UUID_LEN + 1];
	struct problem p;

	assert_int_equal(tasks_submit(g->tasks, "ok", UUID_A, "a", tag("1"), id, &p), 0);
	assert_int_equal(tasks_wait(g->tasks, id, uptime_ms() - 1, on_done, &w), 0);
	assert_false(w.done);
	(void)tasks_tick(g->tasks);
	assert_true(w.done);
	assert_int_equal(tasks_wait(g->tasks, UUID_B, 0, on_done, &w), -ENOENT);
}

static void a_clock_that_is_set_ends_no_wait_and_prolongs_none(void **state)
{
	struct rig *g = *state;
	struct waiter w = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	char park[UUID_LEN + 1], ok[UUID_LEN + 1];
	json_object *args = json_object_new_object();
	struct problem p;
	int64_t wall = now_ms();

	rig_start(g);
	assert_int_equal(tasks_submit(g->tasks, "park", UUID_A, "a", NULL, park, &p), 0);
	while (ran == 0)
		usleep(1000);
	assert_int_equal(tasks_wait(g->tasks, park, uptime_ms() + 600000, on_done, &w), 0);
	wall_step_s = 10 * 365 * 86400; /* ten years on */
	assert_true(now_ms() - wall > 9 * 365 * 86400000ll);
	assert_true(tasks_tick(g->tasks) > 0);
	assert_false(tasks_outcome(g->tasks, park, &p));
	assert_false(w.done);
	wall_step_s = -10 * 365 * 86400; /* and back: what is due is due */
	json_object_object_add(args, "ms", json_object_new_int(1));
	assert_int_equal(tasks_submit(g->tasks, "park", UUID_B, "b", args, ok, &p), 0);
	while (!tasks_outcome(g->tasks, ok, &p)) {
		(void)tasks_tick(g->tasks);
		usleep(1000);
	}
	assert_int_equal(p.code, PROB_TIMEOUT);
	assert_false(w.done);
	wall_step_s = 0;
	while (!tasks_outcome(g->tasks, park, &p)) /* nobody waits for it any more */
		tasks_settle(g->tasks, UUID_A, settle_all, NULL);
	assert_true(w.done);
}

static void a_task_without_end_is_found_by_the_next_process(void **state)
{
	struct rig *g = *state;
	char id[2][UUID_LEN + 1];
	struct problem p;
	json_object *o;

	assert_int_equal(tasks_submit(g->tasks, "ok", UUID_A, "a", tag("x"), id[0], &p), 0);
	assert_int_equal(tasks_submit(g->tasks, "ok", UUID_B, "b", tag("y"), id[1], &p), 0);
	rig_close(g);
	rig_open(g);
	assert_int_equal(tasks_recover(g->tasks), 0);
	rig_start(g);
	assert_int_equal(outcome(g, id[0]), PROB_NONE);
	assert_int_equal(outcome(g, id[1]), PROB_NONE);
	assert_string_equal(order, "xy");
	o = task_json(g, id[0]); /* it had not begun: nothing was recovered */
	assert_null(json_str(o, "recovery", NULL));
	json_object_put(o);
}

static void a_process_killed_in_a_task_finishes_it_later_and_says_so(void **state)
{
	struct rig *g = *state;
	char id[UUID_LEN + 1] = "";
	struct problem p;
	int fd[2], status;
	json_object *o;
	pid_t pid;

	rig_close(g);
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		rig_open(g);
		if (tasks_submit(g->tasks, "die", UUID_A, "a", NULL, id, &p) < 0 ||
		    write(fd[1], id, sizeof(id)) != (ssize_t)sizeof(id))
			_exit(1);
		rig_start(g);
		pause();
	}
	assert_int_equal(read(fd[0], id, sizeof(id)), sizeof(id));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	close(fd[0]);
	close(fd[1]);
	rig_open(g);
	assert_int_equal(tasks_recover(g->tasks), 0);
	rig_start(g);
	assert_int_equal(outcome(g, id), PROB_NONE);
	o = task_json(g, id);
	assert_string_equal(json_str(o, "recovery", ""), "finished");
	json_object_put(o);
}

/* ---- domains and events in the same file ---- */

static struct dom *define(struct rig *g, const char *name, const char *uuid, bool persistent,
			  struct problem *p)
{
	char text[256], err[64];
	json_object *o = NULL;
	struct guestcfg cfg;
	struct dom *d = NULL;

	snprintf(text, sizeof(text), "{\"name\":\"%s\",\"kernel\":\"/k\",\"uuid\":\"%s\"}", name,
		 uuid);
	assert_int_equal(json_parse(text, strlen(text), &o, err, sizeof(err)), 0);
	assert_int_equal(guestcfg_parse(o, &cfg, p), 0);
	if (doms_define(g->doms, &cfg, text, persistent, &d, p) < 0)
		d = NULL;
	guestcfg_fini(&cfg);
	json_object_put(o);
	return d;
}

static void a_name_and_a_uuid_are_taken_once(void **state)
{
	struct rig *g = *state;
	struct problem p;

	assert_non_null(define(g, "a", UUID_A, true, &p));
	assert_null(define(g, "a", UUID_B, true, &p));
	assert_int_equal(p.code, PROB_NAME_TAKEN);
	assert_null(define(g, "b", UUID_A, true, &p));
	assert_int_equal(p.code, PROB_UUID_TAKEN);
	assert_int_equal(g->doms->n, 1);
	rig_close(g);
	rig_open(g);
	assert_int_equal(g->doms->n, 1);
	assert_string_equal(doms_find(g->doms, "a", &p)->uuid, UUID_A);
	assert_null(doms_find(g->doms, "b", &p));
}

static void a_run_is_known_after_a_restart(void **state)
{
	struct rig *g = *state;
	struct problem p;
	struct dom *d = define(g, "a", UUID_A, false, &p);

	assert_int_equal(doms_run_began(g->doms, d, 7, 123456789, 4096, &p), 0);
	assert_int_equal(doms_run_up(g->doms, d, false, false, &p), 0);
	rig_close(g);
	rig_open(g);
	d = doms_find(g->doms, "7", &p);
	assert_non_null(d);
	assert_true(d->running && d->created_ns == 123456789 && d->target_kib == 4096);
	assert_string_equal(dom_state(d), "running");
}

static void a_transient_domain_is_forgotten_unless_it_crashed(void **state)
{
	struct dom_end ok = { "poweroff", "", 1000 }, crash = { "crash", "it hurt", 2000 };
	struct rig *g = *state;
	struct problem p;
	struct dom *d = define(g, "a", UUID_A, false, &p);

	assert_int_equal(doms_run_began(g->doms, d, 7, 1, 1, &p), 0);
	assert_int_equal(doms_run_over(g->doms, d, &ok, false, &p), 0);
	assert_int_equal(g->doms->n, 0);
	d = define(g, "a", UUID_A, false, &p);
	assert_int_equal(doms_run_began(g->doms, d, 8, 1, 1, &p), 0);
	assert_int_equal(doms_run_over(g->doms, d, &crash, false, &p), 0);
	assert_string_equal(dom_state(d), "crashed");
	rig_close(g);
	rig_open(g);
	d = doms_find(g->doms, "a", &p);
	assert_string_equal(dom_state(d), "crashed");
	assert_string_equal(d->end.detail, "it hurt");
	assert_non_null(define(g, "a", UUID_B, true, &p)); /* the name is free */
	assert_null(doms_by_uuid(g->doms, UUID_A));
}

static void only_so_many_crashed_ones_are_kept(void **state)
{
	struct rig *g = *state;
	struct problem p;

	for (int i = 0; i < DOMS_REMNANTS_MAX + 5; i++) {
		struct dom_end crash = { "crash", "", 1000 + i };
		char name[16], uuid[UUID_LEN + 1];
		struct dom *d;

		snprintf(name, sizeof(name), "n%d", i);
		uuid_new(uuid);
		d = define(g, name, uuid, false, &p);
		assert_int_equal(doms_run_began(g->doms, d, 7, 1, 1, &p), 0);
		assert_int_equal(doms_run_over(g->doms, d, &crash, false, &p), 0);
	}
	assert_int_equal(g->doms->n, DOMS_REMNANTS_MAX);
	assert_null(doms_by_name(g->doms, "n0"));
	assert_non_null(doms_by_name(g->doms, "n68"));
}

static void event_ids_go_on_and_foreign_ones_are_gone(void **state)
{
	struct rig *g = *state;
	struct events_filter f = { NULL, NULL };
	struct jbuf b = { 0 };
	int64_t seq, first;
	struct problem p;
	char id[64];

	(void)define(g, "a", UUID_A, true, &p);
	first = events_last(g->ev);
	assert_true(first > 0);
	events_format_id(g->ev, first, id);
	rig_close(g);
	rig_open(g);
	assert_int_equal(events_parse_id(g->ev, id, &seq, &p), 0);
	assert_int_equal(seq, first);
	(void)define(g, "b", UUID_B, true, &p);
	assert_int_equal(events_read(g->ev, seq, 10, &f, true, &b), first + 1);
	assert_non_null(strstr(b.p, "event: domain.defined\n"));
	jb_fini(&b);
	id[0] = id[0] == 'a' ? 'b' : 'a';
	assert_int_equal(events_parse_id(g->ev, id, &seq, &p), -EINVAL);
	assert_int_equal(p.code, PROB_EVENTS_GONE);
	events_format_id(g->ev, first + 100, id);
	assert_int_equal(events_parse_id(g->ev, id, &seq, &p), -EINVAL);
	assert_int_equal(p.code, PROB_EVENTS_GONE);
	assert_int_equal(events_parse_id(g->ev, "x", &seq, &p), -EINVAL);
	assert_int_equal(p.code, PROB_BAD_REQUEST);
}

static void a_second_process_on_the_same_file_is_refused(void **state)
{
	struct rig *g = *state;
	struct db *db = NULL;
	char err[256];

	assert_true(db_open(g->path, &db, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "another apid"));
	assert_null(db);
}

static void an_inner_failure_undoes_the_whole_transaction(void **state)
{
	struct rig *g = *state;
	char *v = NULL;

	assert_int_equal(db_begin(g->db), 0);
	assert_int_equal(db_meta_set(g->db, "k", "v"), 0);
	assert_int_equal(db_begin(g->db), 0);
	db_rollback(g->db);
	assert_true(db_commit(g->db) < 0);
	assert_int_equal(db_meta_get(g->db, "k", &v), 0);
	assert_null(v);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(nothing_runs_before_the_gates_are_open),
		T(a_failure_keeps_its_reason_and_names_its_task),
		T(a_parked_task_is_in_nobodys_way),
		T(a_parked_task_ends_when_it_is_settled_or_its_time_is_over),
		T(a_waiter_is_let_go_at_its_deadline),
		T(a_clock_that_is_set_ends_no_wait_and_prolongs_none),
		T(a_task_without_end_is_found_by_the_next_process),
		T(a_process_killed_in_a_task_finishes_it_later_and_says_so),
		T(a_name_and_a_uuid_are_taken_once),
		T(a_run_is_known_after_a_restart),
		T(a_transient_domain_is_forgotten_unless_it_crashed),
		T(only_so_many_crashed_ones_are_kept),
		T(event_ids_go_on_and_foreign_ones_are_gone),
		T(a_second_process_on_the_same_file_is_refused),
		T(an_inner_failure_undoes_the_whole_transaction),
	};

	return cmocka_run_group_tests_name("apid/tasks", tests, NULL, NULL);
}
