/* tests/unit/hv/broker/test_restart.c - hvd is killed at any time and comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemons/hv_link.h"
#include "proto/hv_layout.h"
#include "tests/unit/hv/broker/world.h"

/* ---- kill -9 of hvd ---- */

static void a_restarted_hvd_finds_its_domains_again(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo info, before;
	struct hvc_hostinfo hi, hi2;
	struct hvc_event ev;
	struct hvc_port *p, *q;
	void *page;
	pid_t pid;

	assert_int_equal(hvc_hostinfo(w->h, &hi), 0);
	assert_int_equal(must_create(w, ""), 1);
	assert_int_equal(must_create(w, ""), 2);
	assert_int_equal(must_create(w, ""), 3);
	assert_int_equal(hvc_unpause(w->h, 1), 0);
	assert_int_equal(hvc_dominfo(w->h, 1, &before), 0);
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &p), 0);
	assert_int_equal(hvc_port_bind(w->h, 3, 3, &q), 0);
	assert_int_equal(hvc_map_page(w->h, 1, SPECIAL_GFN_CONSOLE, &page), 0);
	strcpy(page, "still here");
	hvc_unmap_page(w->h, page);
	pid = domain_pid(w, 2);
	assert_true(hvc_event_fd(w->h) >= 0);

	kill_hvd(w, SIGKILL);
	assert_int_equal(hvc_dominfo(w->h, 1, &info), -ENOTCONN);
	hvc_port_notify(p); /* needs no hvd */
	assert_true(readable(hvc_port_fd(p)));
	hvc_port_notify(q); /* domain 3 shuts down meanwhile */
	assert_true(readable(hvc_port_fd(q)));
	kill(pid, SIGKILL);
	assert_true(process_gone(pid));
	start_hvd(w);

	assert_true(wait_event(w, HVC_EV_RESYNC, &ev));
	assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
	assert_int_equal(info.flags, HVC_DOM_RUNNING);
	assert_int_equal(info.created_ns, before.created_ns);
	assert_memory_equal(info.uuid, before.uuid, 16);
	assert_int_equal(hvc_dominfo(w->h, 2, &info), 0);
	assert_int_equal(info.flags, HVC_DOM_DYING | HVC_DOM_SHUTDOWN);
	/* Dead a moment before hvd looked, or a moment after. */
	assert_non_null(strstr(info.crash_detail, "gone"));
	assert_int_equal(hvc_dominfo(w->h, 3, &info), 0);
	assert_int_equal(info.flags, HVC_DOM_SHUTDOWN);
	assert_int_equal(info.shutdown_reason, 0);
	assert_int_equal(hvc_map_page(w->h, 1, SPECIAL_GFN_CONSOLE, &page), 0);
	assert_string_equal(page, "still here");
	hvc_unmap_page(w->h, page);
	/* The port is the same one: what was pending still is. */
	hvc_port_leave(p);
	hvc_port_leave(q);
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &p), 0);
	assert_true(readable(hvc_port_fd(p)));
	hvc_port_ack(p);
	hvc_port_notify(p);
	assert_true(readable(hvc_port_fd(p)));
	hvc_port_close(p);
	assert_int_equal(must_create(w, ""), 4); /* numbering goes on */
	assert_int_equal(hvc_hostinfo(w->h, &hi2), 0);
	assert_int_equal(hi2.boot_time_s, hi.boot_time_s);
	/* Deaths are seen by the new hvd as well. */
	assert_int_equal(kill(domain_pid(w, 1), SIGKILL), 0);
	assert_true(wait_event(w, HVC_EV_DYING, &ev));
	assert_int_equal(ev.domid, 1);
}

static void a_close_that_hvd_missed_is_said_again(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo info;
	struct hvc_port *p;
	unsigned fds;

	assert_int_equal(must_create(w, ""), 1);
	fds = hvd_fds(w);
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &p), 0);
	kill_hvd(w, SIGKILL);
	hvc_port_close(p);
	start_hvd(w);
	assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
	assert_int_equal(hvd_fds(w), fds);
}

static void a_build_that_hvd_did_not_live_to_see_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo info;
	char spec[160];
	char stale[128];
	pid_t pid, dom;

	pid = fork();
	if (pid == 0) {
		struct hvc_created c;
		char err[256];

		snprintf(spec, sizeof(spec), "bundled:%s", w->sock);
		if (hvc_open(spec, &w->h) == 0)
			_exit(create(w, "sleep 60000", &c, err) == -ENOTCONN ? 0 : 1);
		_exit(2);
	}
	while (dom_files(w) < 2)
		nap(5);
	dom = domain_pid(w, 1);
	kill_hvd(w, SIGKILL);
	snprintf(stale, sizeof(stale), "%s/dom/77.sock", w->run); /* of one killed even earlier */
	close(open(stale, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(waitpid(pid, &(int){ 0 }, 0), pid);
	start_hvd(w);
	assert_true(process_gone(dom));
	assert_int_equal(hvc_domlist(w->h, 0, &info, 1), 0);
	assert_int_equal(dom_files(w), 0);
}

static void a_pid_that_is_another_process_now_is_left_alone(void **state)
{
	struct world *w = *state;
	uint8_t bytes[4096];
	struct hv_msg *m = malloc(sizeof(*m));
	struct hvc_dominfo info;
	char path[128];
	pid_t stranger, old;
	ssize_t n;
	int fd;

	assert_int_equal(must_create(w, ""), 1);
	old = domain_pid(w, 1);
	kill_hvd(w, SIGKILL);
	kill(old, SIGKILL);
	nap(50); /* a start time is counted in hundredths of a second */
	stranger = fork();
	if (stranger == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "%s/dom/1.state", w->run);
	fd = open(path, O_RDWR);
	n = read(fd, bytes, sizeof(bytes));
	assert_int_equal(hv_msg_decode(bytes, (size_t)n, m), 0);
	m->u.STATE_DOM.pid = (uint32_t)stranger; /* as if the number had come round */
	n = hv_msg_encode(m, bytes, sizeof(bytes));
	assert_int_equal(pwrite(fd, bytes, (size_t)n, 0), n);
	close(fd);
	free(m);
	start_hvd(w);
	assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
	assert_int_equal(info.flags, HVC_DOM_DYING | HVC_DOM_SHUTDOWN);
	assert_int_equal(hvc_destroy(w->h, 1), 0);
	assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0); /* alive */
	kill(stranger, SIGKILL);
	waitpid(stranger, NULL, 0);
}

static void destroy_all_ends_what_a_stopped_hvd_left(void **state)
{
	struct world *w = *state;
	int status;
	pid_t dom, pid;

	assert_int_equal(must_create(w, ""), 1);
	dom = domain_pid(w, 1);
	kill_hvd(w, SIGTERM);
	assert_int_equal(kill(dom, 0), 0); /* a stopped hvd leaves guests alone */
	pid = fork();
	if (pid == 0) {
		setenv("DOMZERO_RUN_DIR", w->run, 1);
		dup2(open("/dev/null", O_RDWR), 2);
		execl(hvd_path, "hvd", "--destroy-all", "--domain-binary", domain_path,
		      (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(process_gone(dom));
	assert_int_equal(dom_files(w), 0);
}

/* The run folder becomes a file system of 600 KiB, for this process tree only. */
static void a_full_run_folder_refuses_new_domains_and_hurts_no_old_one(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo info;
	struct hvc_created c;
	struct hvc_event ev;
	char fill[128], err[256], block[4096] = { 1 };
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		print_message("# SKIP this host allows no mount namespace\n");
		skip();
	}
	kill_hvd(w, SIGTERM);
	assert_int_equal(mount("tmpfs", w->run, "tmpfs", 0, "size=600k"), 0);
	start_hvd(w);
	assert_true(hvc_event_fd(w->h) >= 0);
	assert_int_equal(must_create(w, ""), 1);
	snprintf(fill, sizeof(fill), "%s/fill", w->run);
	fd = open(fill, O_CREAT | O_WRONLY, 0600);
	while (write(fd, block, sizeof(block)) == sizeof(block))
		;
	close(fd);
	assert_int_equal(create(w, "", &c, err), -ENOSPC);
	assert_non_null(strstr(err, "No space left"));
	assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
	assert_int_equal(hvc_unpause(w->h, 1), 0);
	for (int i = 0; i < 3000; i++) /* a log that goes round needs no space */
		assert_int_equal(hvc_debug_virq(w->h, 1), 0);
	assert_int_equal(kill(domain_pid(w, 1), SIGKILL), 0);
	assert_true(wait_event(w, HVC_EV_DYING, &ev));
	assert_int_equal(hvc_destroy(w->h, 1), 0);
	assert_int_equal(dom_files(w), 0);
	unlink(fill);
	assert_int_equal(hvc_destroy(w->h, must_create(w, "")), 0);
	kill_hvd(w, SIGTERM);
	assert_int_equal(umount(w->run), 0);
	start_hvd(w);
}

static void the_log_goes_on_over_restarts_and_shows_no_control_character(void **state)
{
	struct world *w = *state;
	char text[8192];
	uint64_t next, last;
	int n;

	assert_int_equal(must_create(w, ""), 1);
	for (int i = 0; i < 500; i++) { /* the guest's line may come after its creation */
		n = hvc_dmesg(w->h, 0, text, sizeof(text) - 1, &next);
		assert_true(n > 0);
		text[n] = '\0';
		assert_int_equal(next, n);
		if (strstr(text, "fake guest"))
			break;
		nap(10);
	}
	assert_non_null(strstr(text, "(XEN) ["));
	assert_non_null(strstr(text, "] d1 fake guest \\x1b[31mbuilt\n"));
	kill_hvd(w, SIGKILL);
	start_hvd(w);
	n = hvc_dmesg(w->h, next, text, sizeof(text) - 1, &last);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "d1 adopted"));
	assert_null(strstr(text, "fake guest"));
	assert_int_equal(hvc_dmesg(w->h, last, text, sizeof(text), &next), 0);
	assert_int_equal(next, last);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_restarted_hvd_finds_its_domains_again),
		T(a_close_that_hvd_missed_is_said_again),
		T(a_build_that_hvd_did_not_live_to_see_leaves_nothing),
		T(a_pid_that_is_another_process_now_is_left_alone),
		T(destroy_all_ends_what_a_stopped_hvd_left),
		T(a_full_run_folder_refuses_new_domains_and_hurts_no_old_one),
		T(the_log_goes_on_over_restarts_and_shows_no_control_character),
	};

	if (argc != 3 || geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return argc == 3 ? 0 : 1;
	}
	hvd_path = argv[1];
	domain_path = argv[2];
	return cmocka_run_group_tests_name("hvd_restart", tests, NULL, NULL);
}
