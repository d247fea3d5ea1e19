/* tests/unit/hv/broker/test_hvd.c - domains built, failed, killed and refused;
 * nothing may be left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemons/hv_link.h"
#include "daemons/listen.h"
#include "proto/hv_layout.h"
#include "tests/unit/hv/broker/world.h"

/* ---- creation and its failures ---- */

static void a_domain_is_built_paused_and_destroyed_without_a_trace(void **state)
{
	struct world *w = *state;
	struct hvc_created c;
	struct hvc_dominfo info;
	struct hvc_event ev;
	uint64_t ns[4];
	char err[256];
	pid_t pid;

	assert_true(hvc_event_fd(w->h) >= 0);
	assert_int_equal(create(w, "", &c, err), 0);
	assert_int_equal(c.domid, 1);
	assert_int_equal(c.store_gfn, SPECIAL_GFN_STORE);
	assert_int_equal(c.console_port, DOMAIN_PORT_CONSOLE);
	assert_true(wait_event(w, HVC_EV_CREATED, &ev));
	assert_int_equal(ev.domid, 1);
	assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
	assert_int_equal(info.flags, HVC_DOM_PAUSED);
	assert_int_equal(info.uuid[2], 3);
	assert_int_equal(info.max_vcpus, 2);
	assert_int_equal(info.cpu_ns, 42);
	assert_string_equal(info.engine, "soft");
	assert_int_equal(hvc_unpause(w->h, 1), 0);
	assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
	assert_int_equal(info.flags, HVC_DOM_RUNNING);
	assert_int_equal(hvc_pause(w->h, 1), 0);
	assert_int_equal(hvc_nmi(w->h, 1, 1), 0);
	assert_int_equal(hvc_nmi(w->h, 1, 2), -EINVAL);
	assert_int_equal(hvc_set_max_pages(w->h, 1, 300), 0);
	assert_int_equal(hvc_set_max_pages(w->h, 1, 1), -EINVAL);
	assert_int_equal(hvc_vcpu_times(w->h, 1, ns, 4), 2);
	assert_int_equal(ns[1], 2);
	pid = domain_pid(w, 1);
	assert_int_equal(hvc_destroy(w->h, 1), 0);
	assert_true(process_gone(pid));
	assert_true(wait_event(w, HVC_EV_DESTROYED, &ev));
	assert_int_equal(hvc_dominfo(w->h, 1, &info), -ESRCH);
	assert_int_equal(hvc_destroy(w->h, 1), -ESRCH);
	assert_int_equal(dom_files(w), 0);
	assert_int_equal(must_create(w, ""), 2); /* no reuse yet */
}

static void a_failed_build_says_why_and_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo info;
	struct hvc_created c;
	unsigned fds = hvd_fds(w);
	char err[256];

	assert_int_equal(create(w, "fail this is no kernel: line 7", &c, err), -EINVAL);
	assert_string_equal(err, "this is no kernel: line 7");
	assert_int_equal(create(w, "abort", &c, err), -EIO);
#ifndef __SANITIZE_ADDRESS__ /* it turns the signal into an exit */
	assert_non_null(strstr(err, "domain process was killed by signal"));
#endif
	assert_int_equal(hvc_domlist(w->h, 0, &info, 1), 0);
	assert_int_equal(dom_files(w), 0);
	assert_int_equal(hvd_fds(w), fds);
}

static void numbers_out_of_range_are_refused_with_a_reason(void **state)
{
	struct world *w = *state;
	const struct hvc_create good = { .mem_pages = 256,
					 .max_pages = 256,
					 .vcpus = 1,
					 .max_vcpus = 1,
					 .kernel_fd = w->kernel,
					 .ramdisk_fd = -1 };
	char long_name[HVC_NAME_MAX + 1];
	int pipefd[2];
	struct {
		struct hvc_create c;
		int r;
		const char *says;
	} cases[] = {
		{ good, -EINVAL, "memory" },	     { good, -EINVAL, "memory" },
		{ good, -EINVAL, "vcpus" },	     { good, -EINVAL, "vcpus" },
		{ good, -EINVAL, "vcpus" },	     { good, -EINVAL, "name" },
		{ good, -EINVAL, "name" },	     { good, -EOPNOTSUPP, "kvm" },
		{ good, -EINVAL, "engine" },	     { good, -ENOMEM, "MiB free" },
		{ good, -EINVAL, "kernel must be" }, { good, -EINVAL, "1 TiB" },
	};

	memset(long_name, 'x', HVC_NAME_MAX);
	long_name[HVC_NAME_MAX] = '\0';
	assert_int_equal(pipe(pipefd), 0);
	cases[0].c.mem_pages = 0;
	cases[1].c.mem_pages = 257;
	cases[2].c.vcpus = 0;
	cases[3].c.vcpus = 2;
	cases[4].c.max_vcpus = 33;
	cases[5].c.name = long_name;
	cases[6].c.name = "a\nb";
	cases[7].c.engine = "kvm";
	cases[8].c.engine = "qemu";
	cases[9].c.mem_pages = cases[9].c.max_pages = 1ull << 28;
	cases[10].c.kernel_fd = pipefd[0];
	cases[11].c.max_pages = (1ull << 28) + 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvc_created c;
		char err[256];

		assert_int_equal(hvc_create(w->h, &cases[i].c, &c, err, sizeof(err)), cases[i].r);
		if (!strstr(err, cases[i].says))
			fail_msg("case %zu says '%s'", i, err);
	}
	close(pipefd[0]);
	close(pipefd[1]);
	assert_int_equal(dom_files(w), 0);
}

static void a_long_build_keeps_nobody_waiting(void **state)
{
	struct world *w = *state;
	struct hvc_hostinfo hi;
	struct hvc *h2;
	char spec[160];
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		struct hvc_created c;
		char err[256];

		snprintf(spec, sizeof(spec), "bundled:%s", w->sock);
		if (hvc_open(spec, &w->h) < 0)
			_exit(1);
		_exit(create(w, "sleep 1500", &c, err) == 0 ? 0 : 2);
	}
	while (dom_files(w) == 0)
		nap(5);
	snprintf(spec, sizeof(spec), "bundled:%s", w->sock);
	assert_int_equal(hvc_open(spec, &h2), 0);
	assert_int_equal(hvc_hostinfo(h2, &hi), 0);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* still building */
	hvc_close(h2);
	assert_int_equal(must_create(w, ""), 2);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_creator_that_dies_takes_its_half_built_domain_along(void **state)
{
	struct world *w = *state;
	char spec[160];
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		struct hvc_created c;
		char err[256];

		snprintf(spec, sizeof(spec), "bundled:%s", w->sock);
		if (hvc_open(spec, &w->h) == 0)
			(void)create(w, "sleep 60000", &c, err);
		_exit(0);
	}
	while (dom_files(w) == 0)
		nap(5);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 500 && dom_files(w); i++)
		nap(10);
	assert_int_equal(dom_files(w), 0);
}

/* hvd may have one more descriptor, then two, three ... until a domain can be
 * built: each point at which it can run out is met once. */
static void running_out_of_descriptors_leaves_nothing_at_any_point(void **state)
{
	struct world *w = *state;
	unsigned fds = hvd_fds(w), room;
	struct hvc_hostinfo hi;
	struct rlimit old;
	int r = -1;

	assert_int_equal(prlimit(w->hvd, RLIMIT_NOFILE, NULL, &old), 0);
	for (room = 0; r < 0; room++) {
		struct rlimit few = { .rlim_cur = fds + room, .rlim_max = old.rlim_max };
		struct hvc_created c;
		char err[256];

		assert_true(room < 40);
		assert_int_equal(prlimit(w->hvd, RLIMIT_NOFILE, &few, NULL), 0);
		r = create(w, "", &c, err);
		if (r == 0)
			break;
		assert_true(err[0] != '\0');
		/* Without room for the kernel's descriptor hvd hangs up; we come back. */
		assert_int_equal(prlimit(w->hvd, RLIMIT_NOFILE, &old, NULL), 0);
		assert_int_equal(hvc_hostinfo(w->h, &hi), 0);
		assert_int_equal(dom_files(w), 0);
		assert_int_equal(hvd_fds(w), fds);
	}
	assert_true(room > 5); /* three memfds, listener, socket, pidfd */
	assert_int_equal(prlimit(w->hvd, RLIMIT_NOFILE, &old, NULL), 0);
}

static void two_hundred_domains_come_and_go_without_a_leak(void **state)
{
	struct world *w = *state;
	unsigned fds = 0;
	long rss = 0;

	for (int i = 0; i < 200; i++) {
		uint16_t id = must_create(w, "");

		assert_int_equal(hvc_destroy(w->h, id), 0);
		if (i == 19) {
			fds = hvd_fds(w);
			rss = hvd_rss_kib(w);
		}
	}
	assert_int_equal(hvd_fds(w), fds);
#ifndef __SANITIZE_ADDRESS__ /* it keeps what is freed in quarantine */
	assert_true(hvd_rss_kib(w) - rss < 512);
#endif
	assert_int_equal(dom_files(w), 0);
}

/* ---- death ---- */

static void a_killed_process_makes_exactly_its_domain_dying(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo info;
	struct hvc_event ev;
	void *page;

	assert_true(hvc_event_fd(w->h) >= 0);
	assert_int_equal(must_create(w, ""), 1);
	assert_int_equal(must_create(w, ""), 2);
	assert_int_equal(hvc_map_page(w->h, 1, SPECIAL_GFN_STORE, &page), 0);
	strcpy(page, "last words");
	hvc_unmap_page(w->h, page);
	assert_int_equal(kill(domain_pid(w, 1), SIGKILL), 0);
	assert_true(wait_event(w, HVC_EV_DYING, &ev));
	assert_int_equal(ev.domid, 1);
	assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
	assert_int_equal(info.flags, HVC_DOM_DYING | HVC_DOM_SHUTDOWN);
	assert_int_equal(info.shutdown_reason, 3);
	assert_string_equal(info.crash_detail, "domain process was killed by signal 9");
	assert_int_equal(hvc_dominfo(w->h, 2, &info), 0);
	assert_int_equal(info.flags, HVC_DOM_PAUSED);
	/* What it left in memory can still be read until it is destroyed. */
	assert_int_equal(hvc_map_page(w->h, 1, SPECIAL_GFN_STORE, &page), 0);
	assert_string_equal(page, "last words");
	hvc_unmap_page(w->h, page);
	assert_int_equal(hvc_unpause(w->h, 1), -ESRCH);
	assert_int_equal(hvc_destroy(w->h, 1), 0);
	assert_int_equal(hvc_dominfo(w->h, 1, &info), -ESRCH);
}

static void a_forbidden_system_call_ends_the_domain(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo info;
	struct hvc_event ev;

	assert_true(hvc_event_fd(w->h) >= 0);
	assert_int_equal(must_create(w, "syscall"), 1);
	assert_int_equal(hvc_unpause(w->h, 1), -ESRCH);
	assert_true(wait_event(w, HVC_EV_DYING, &ev));
	assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
	assert_string_equal(info.crash_detail, "domain process was killed by signal 31");
}

static void a_process_that_stops_answering_delays_nobody_but_its_own(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo info[3];
	pid_t pid;

	assert_int_equal(must_create(w, ""), 1);
	assert_int_equal(must_create(w, ""), 2);
	pid = domain_pid(w, 1);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(hvc_domlist(w->h, 0, info, 3), 2); /* after a second, from the cache */
	assert_int_equal(hvc_dominfo(w->h, 1, &info[0]), 0);
	assert_int_equal(hvc_unpause(w->h, 2), 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(hvc_unpause(w->h, 1), 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(hvc_destroy(w->h, 1), 0);
}

static void a_process_that_breaks_the_protocol_is_ended_and_said_so(void **state)
{
	static const struct {
		const char *cmdline, *detail;
	} cases[] = {
		{ "junk", "its process sent what is no message" },
		{ "unasked", "its process sent what nobody asked for" },
		{ "lies", "its process answered what was not asked" },
		{ "hangup", "its process closed the control socket" },
	};
	struct world *w = *state;
	struct hvc_dominfo info;
	struct hvc_event ev;
	unsigned fds;

	assert_true(hvc_event_fd(w->h) >= 0);
	must_create(w, "");
	fds = hvd_fds(w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t id = must_create(w, cases[i].cmdline);

		(void)hvc_unpause(w->h, id); /* answered or not, as it came out */
		assert_true(wait_event(w, HVC_EV_DYING, &ev));
		assert_int_equal(ev.domid, id);
		assert_int_equal(hvc_dominfo(w->h, id, &info), 0);
		assert_string_equal(info.crash_detail, cases[i].detail);
		assert_int_equal(hvc_destroy(w->h, id), 0);
		assert_int_equal(hvc_dominfo(w->h, 1, &info), 0);
		assert_int_equal(info.flags, HVC_DOM_PAUSED);
	}
	assert_int_equal(hvd_fds(w), fds);
}

static void a_flood_of_log_lines_is_rationed(void **state)
{
	struct world *w = *state;
	static char text[400000];
	uint64_t next = 0;
	unsigned lines = 0, fds;
	int n;

	must_create(w, "");
	assert_int_equal(must_create(w, "flood"), 2);
	fds = hvd_fds(w);
	assert_int_equal(hvc_unpause(w->h, 2), 0); /* behind 5000 lines */
	while ((n = hvc_dmesg(w->h, next, text, sizeof(text) - 1, &next)) > 0) {
		text[n] = '\0';
		for (const char *p = text; (p = strstr(p, "d2 flood")); p++)
			lines++;
	}
	assert_in_range(lines, 900, 2500); /* 1000 at once, and 50 for each second it took */
	assert_int_equal(hvd_fds(w), fds);
	assert_int_equal(hvc_unpause(w->h, 1), 0);
}

/* ---- ports ---- */

static void a_notification_goes_to_the_guest_and_back(void **state)
{
	struct world *w = *state;
	struct hvc_port *p;

	assert_int_equal(must_create(w, ""), 1);
	assert_int_equal(hvc_port_bind(w->h, 1, 99, &p), -ENOENT);
	assert_int_equal(hvc_port_bind(w->h, 1, DOMAIN_MAX_PORTS, &p), -EINVAL);
	assert_int_equal(hvc_port_bind(w->h, 7, 1, &p), -ESRCH);
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &p), 0);
	hvc_port_notify(p);
	assert_true(readable(hvc_port_fd(p)));
	hvc_port_ack(p);
	hvc_port_close(p);
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &p), 0);
	hvc_port_close(p);
}

static void a_successor_takes_over_what_was_pending(void **state)
{
	struct world *w = *state;
	struct hvc_port *old, *new;

	assert_int_equal(must_create(w, ""), 1);
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &old), 0);
	hvc_port_notify(old);
	assert_true(readable(hvc_port_fd(old)));
	hvc_port_leave(old); /* as a killed daemon leaves it */
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &new), 0);
	assert_true(readable(hvc_port_fd(new)));
	hvc_port_ack(new);
	hvc_port_notify(new);
	assert_true(readable(hvc_port_fd(new)));
	hvc_port_close(new);
}

static void a_late_close_does_not_take_the_port_from_its_successor(void **state)
{
	struct world *w = *state;
	struct hvc_port *old, *new;

	assert_int_equal(must_create(w, ""), 1);
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &old), 0);
	assert_int_equal(hvc_port_bind(w->h, 1, 1, &new), 0);
	hvc_port_close(old);
	hvc_port_ack(new);
	hvc_port_notify(new);
	assert_true(readable(hvc_port_fd(new)));
	hvc_port_close(new);
}

/* ---- who may talk, and how ---- */

static void a_peer_without_rights_is_refused(void **state)
{
	struct world *w = *state;
	int status;
	pid_t pid;

	assert_int_equal(chmod(w->run, 0755), 0);
	assert_int_equal(chmod(w->sock, 0666), 0); /* so that only hvd's own check is left */
	pid = fork();
	if (pid == 0) {
		struct hvc_hostinfo hi;
		char spec[160];
		int r;

		snprintf(spec, sizeof(spec), "bundled:%s", w->sock);
		if (setgid(54321) < 0 || setuid(54321) < 0 || hvc_open(spec, &w->h) < 0)
			_exit(100);
		r = hvc_hostinfo(w->h, &hi);
		_exit(r < 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void noise_on_the_socket_hurts_only_its_sender(void **state)
{
	struct world *w = *state;
	struct hvc_hostinfo hi;
	uint8_t noise[256];
	unsigned fds = hvd_fds(w);

	memset(noise, 0xa5, sizeof(noise));
	for (unsigned i = 0; i < 50; i++) {
		int s = connect_unix(w->sock, SOCK_SEQPACKET), many[FDPASS_MAX];

		assert_true(s >= 0);
		for (int j = 0; j < FDPASS_MAX; j++)
			many[j] = w->kernel;
		(void)fdpass_send(s, noise, 1 + i * 5 % sizeof(noise), many, FDPASS_MAX);
		close(s);
	}
	for (uint32_t type = 0; type < HV_MSG_TYPES + 4u; type++) {
		struct hv_msg *m = calloc(1, sizeof(*m));
		int s = connect_unix(w->sock, SOCK_SEQPACKET);

		/* Every message there is, at a domain that is not there, with descriptors
		 * that nobody asked for. */
		m->type = (uint16_t)type;
		m->seq = 1;
		(void)hv_link_send(s, m, &w->kernel, 1);
		(void)hv_link_send(s, m, NULL, 0);
		close(s);
		free(m);
	}
	assert_int_equal(hvc_hostinfo(w->h, &hi), 0);
	for (int i = 0; i < 300 && hvd_fds(w) != fds; i++)
		nap(10);
	assert_int_equal(hvd_fds(w), fds);
}

/* Starts one more hvd in this world; its exit status. */
static int second_hvd(struct world *w)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("DOMZERO_RUN_DIR", w->run, 1);
		dup2(open("/dev/null", O_RDWR), 2);
		execl(hvd_path, "hvd", "--domain-binary", domain_path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void folders_that_are_not_roots_are_not_used(void **state)
{
	struct world *w = *state;
	char dom[128], victim[128];
	struct stat st;

	kill_hvd(w, SIGTERM);
	snprintf(dom, sizeof(dom), "%s/dom", w->run);
	snprintf(victim, sizeof(victim), "%s/victim", w->run);
	assert_int_equal(rmdir(dom), 0);
	assert_int_equal(mkdir(victim, 0755), 0);
	assert_int_equal(symlink(victim, dom), 0);
	assert_int_equal(second_hvd(w), 1);
	assert_int_equal(stat(victim, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755); /* untouched */
	assert_int_equal(unlink(dom), 0);
	assert_int_equal(rename(victim, dom), 0);
	assert_int_equal(chown(dom, 54321, 54321), 0);
	assert_int_equal(second_hvd(w), 1);
	assert_int_equal(rmdir(dom), 0);
	start_hvd(w);
}

static void a_second_hvd_in_the_same_folder_does_not_start(void **state)
{
	struct world *w = *state;
	struct hvc_hostinfo hi;

	assert_int_equal(second_hvd(w), 1);
	assert_int_equal(hvc_hostinfo(w->h, &hi), 0);
}

/* ---- information ---- */

static void the_host_is_described(void **state)
{
	struct world *w = *state;
	struct hvc_hostinfo hi;

	assert_int_equal(hvc_hostinfo(w->h, &hi), 0);
	assert_int_equal(hi.nr_cpus, sysconf(_SC_NPROCESSORS_ONLN));
	assert_true(hi.total_kib > 65536 && hi.free_kib < hi.total_kib);
	assert_int_equal(hi.xen_major, 4);
	assert_int_equal(hi.xen_minor, 17);
	assert_string_equal(hi.engine, "soft");
	assert_true(hi.engine_reason[0] != '\0');
}

static void the_list_is_complete_and_ascending(void **state)
{
	struct world *w = *state;
	struct hvc_dominfo all[100];
	int n;

	for (int i = 0; i < 70; i++) /* more than one reply holds */
		must_create(w, "");
	n = hvc_domlist(w->h, 0, all, 100);
	assert_int_equal(n, 70);
	for (int i = 0; i < n; i++)
		assert_int_equal(all[i].domid, i + 1);
	assert_int_equal(hvc_domlist(w->h, 69, all, 100), 2);
	assert_int_equal(hvc_domlist(w->h, 0, all, 3), 3);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_domain_is_built_paused_and_destroyed_without_a_trace),
		T(a_failed_build_says_why_and_leaves_nothing),
		T(numbers_out_of_range_are_refused_with_a_reason),
		T(a_long_build_keeps_nobody_waiting),
		T(a_creator_that_dies_takes_its_half_built_domain_along),
		T(running_out_of_descriptors_leaves_nothing_at_any_point),
		T(two_hundred_domains_come_and_go_without_a_leak),
		T(a_killed_process_makes_exactly_its_domain_dying),
		T(a_forbidden_system_call_ends_the_domain),
		T(a_process_that_stops_answering_delays_nobody_but_its_own),
		T(a_process_that_breaks_the_protocol_is_ended_and_said_so),
		T(a_flood_of_log_lines_is_rationed),
		T(a_notification_goes_to_the_guest_and_back),
		T(a_successor_takes_over_what_was_pending),
		T(a_late_close_does_not_take_the_port_from_its_successor),
		T(a_peer_without_rights_is_refused),
		T(noise_on_the_socket_hurts_only_its_sender),
		T(folders_that_are_not_roots_are_not_used),
		T(a_second_hvd_in_the_same_folder_does_not_start),
		T(the_host_is_described),
		T(the_list_is_complete_and_ascending),
	};

	if (argc != 3 || geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return argc == 3 ? 0 : 1;
	}
	hvd_path = argv[1];
	domain_path = argv[2];
	return cmocka_run_group_tests_name("hvd", tests, NULL, NULL);
}
