/* hv/broker/dom.c - the domain table, and how a domain begins and ends. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemons/clock.h"
#include "daemons/listen.h"
#include "daemons/process.h"
#include "daemons/sys.h"
#include "hv/broker/hvd.h"

#define PAGES_MAX   (1ull << 28) /* 1 TiB */
#define LOG_BURST   1000	 /* lines of one domain at once ... */
#define LOG_LINE_NS 20000000ull	 /* ... and one more every 20 ms */

struct dom *dom_find(struct hvd *h, uint16_t domid)
{
	struct dom *d = domid < DOMIDS ? h->doms[domid] : NULL;

	return d && (d->phase == DOM_ALIVE || d->phase == DOM_DYING) ? d : NULL;
}

int dom_alive(struct hvd *h, uint16_t domid, struct dom **ret)
{
	struct dom *d = dom_find(h, domid);

	if (!d || d->phase != DOM_ALIVE)
		return -ESRCH;
	*ret = d;
	return 0;
}

void dom_info(const struct dom *d, struct hv_INFO *ret)
{
	const struct hv_D_STATS_REPLY *s = &d->stats;

	*ret = (struct hv_INFO){ .domid = d->id.domid,
				 .pages = s->pages,
				 .max_pages = s->max_pages,
				 .vcpus_online = s->vcpus_online,
				 .max_vcpus = d->id.max_vcpus,
				 .cpu_ns = s->cpu_ns,
				 .created_ns = d->id.created_ns };
	memcpy(ret->uuid, d->id.uuid, sizeof(ret->uuid));
	memcpy(ret->engine, d->id.engine, sizeof(ret->engine));
	memcpy(ret->crash_detail, s->crash_detail, sizeof(ret->crash_detail));
	if (s->state == HV_DOM_SHUTDOWN) {
		ret->flags = INFO_SHUTDOWN;
		ret->shutdown_reason = s->shutdown_reason;
	} else if (s->state == HV_DOM_RUNNING) {
		ret->flags = s->blocked ? INFO_BLOCKED : INFO_RUNNING;
	} else {
		ret->flags = INFO_PAUSED;
	}
	if (d->phase == DOM_DYING)
		ret->flags |= INFO_DYING;
}

/* ---- table ---- */

/* Upwards, round the whole range before one is used again. */
static int pick_domid(struct hvd *h, uint16_t *ret)
{
	uint32_t id = h->last_domid;

	for (uint32_t i = 1; i < DOMIDS; i++) {
		id = id + 1 < DOMIDS ? id + 1 : 1;
		if (!h->doms[id]) {
			*ret = (uint16_t)id;
			return 0;
		}
	}
	return -EMFILE;
}

int dom_add(struct hvd *h, const struct hv_STATE_DOM *id, struct dom **ret)
{
	struct dom *d;

	if (id->domid == 0 || id->domid >= DOMIDS || h->doms[id->domid])
		return -EINVAL;
	d = sys_zalloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->h = h;
	d->id = *id;
	d->pidfd = d->sock = d->ram_fd = d->special_fd = d->gnttab_fd = -1;
	d->stats = (struct hv_D_STATS_REPLY){ .state = HV_DOM_PAUSED,
					      .pages = id->mem_pages,
					      .max_pages = id->max_pages,
					      .max_vcpus = id->max_vcpus };
	h->doms[id->domid] = d;
	h->nr_doms++;
	*ret = d;
	return 0;
}

static void dom_free(struct dom *d)
{
	int fds[] = { d->pidfd, d->ram_fd, d->special_fd, d->gnttab_fd };

	dlink_close(d);
	ports_free(d);
	if (d->pid_ev)
		event_free(d->pid_ev);
	fdpass_close(fds, sizeof(fds) / sizeof(fds[0]));
	while (d->waiters) {
		struct waiter *w = d->waiters;

		d->waiters = w->next;
		free(w);
	}
	d->h->doms[d->id.domid] = NULL;
	d->h->nr_doms--;
	free(d);
}

void dom_forget_all(struct hvd *h)
{
	for (unsigned i = 0; i < DOMIDS; i++)
		if (h->doms[i])
			dom_free(h->doms[i]);
}

void dom_release(struct dom *d)
{
	struct hvd *h = d->h;
	bool seen = d->phase == DOM_ALIVE || d->phase == DOM_DYING;
	uint16_t domid = d->id.domid;
	struct waiter *w;
	char path[108];

	dlink_close(d);
	state_remove_dom(h, domid);
	if (dom_sock_path(h, domid, path))
		(void)unlink(path); /* gone already when the process has died before */
	w = d->waiters;
	d->waiters = NULL;
	dom_free(d);
	if (seen) {
		hvd_log(h, domid, "destroyed");
		send_event(h, EV_DESTROYED, domid, 0);
	}
	while (w) { /* last: now nothing is left of it */
		struct waiter *next = w->next;

		reply_ok(h, w->token);
		free(w);
		w = next;
	}
}

/* ---- the end ---- */

void dom_mark_dead(struct dom *d, const char *why)
{
	struct hvd *h = d->h;

	d->phase = DOM_DYING;
	d->id.dying = 1;
	if (d->stats.state != HV_DOM_SHUTDOWN) {
		d->stats.state = HV_DOM_SHUTDOWN;
		d->stats.shutdown_reason = SHUTDOWN_CRASH;
		(void)snprintf(d->stats.crash_detail, sizeof(d->stats.crash_detail), "%s", why);
	}
	memcpy(d->id.crash_detail, d->stats.crash_detail, sizeof(d->id.crash_detail));
	dlink_close(d);
	ports_free(d);
	hvd_log(h, d->id.domid, "%s", why);
	if (state_save_dom(d) < 0)
		hvd_log(h, d->id.domid, "its end could not be written to the state file");
	send_event(h, EV_DYING, d->id.domid, d->stats.shutdown_reason);
}

static void how_it_died(struct dom *d, char *why, size_t n)
{
	siginfo_t si = { 0 };

	if (d->child)
		(void)waitid(P_PIDFD, (id_t)d->pidfd, &si, WEXITED | WNOHANG);
	if (d->condemned && d->fail_text[0])
		(void)snprintf(why, n, "%s", d->fail_text);
	else if (si.si_code == CLD_EXITED)
		(void)snprintf(why, n, "domain process exited with status %d", si.si_status);
	else if (si.si_code == CLD_KILLED || si.si_code == CLD_DUMPED)
		(void)snprintf(why, n, "domain process was killed by signal %d", si.si_status);
	else
		(void)snprintf(why, n,
			       "domain process is gone (how is not known: hvd was restarted"
			       " in between)");
}

static void on_process_died(evutil_socket_t fd, short what, void *arg)
{
	struct dom *d = arg;
	struct hvd *h = d->h;
	char why[HV_TEXT_MAX];

	event_del(d->pid_ev);
	dlink_drain(d);
	how_it_died(d, why, sizeof(why));
	if (d->phase == DOM_BUILDING) {
		struct token t = d->creator;
		int r = d->fail_r < 0 ? d->fail_r : -EIO;

		hvd_log(h, d->id.domid, "not built: %s", why);
		dom_release(d);
		reply_error(h, t, r, why); /* last: now nothing is left of it */
	} else if (d->phase == DOM_ADOPTING) {
		dom_mark_dead(d, why);
		adopt_finished(h, d);
	} else if (d->waiters) {
		dom_release(d);
	} else {
		dom_mark_dead(d, why);
	}
}

int dom_watch_process(struct dom *d, int pidfd, bool child)
{
	d->pidfd = pidfd;
	d->child = child;
	d->pid_ev = event_new(d->h->base, pidfd, EV_READ | EV_PERSIST, on_process_died, d);
	return d->pid_ev && event_add(d->pid_ev, NULL) == 0 ? 0 : -ENOMEM;
}

void dom_condemn(struct dom *d, int r, const char *text)
{
	if (d->condemned || d->pidfd < 0)
		return;
	d->condemned = true;
	d->fail_r = r;
	(void)snprintf(d->fail_text, sizeof(d->fail_text), "%s", text);
	if (d->sock_ev)
		event_del(d->sock_ev);
	(void)pidfd_send_signal(d->pidfd, SIGKILL, NULL, 0); /* ESRCH: as good */
}

int dom_destroy(struct hvd *h, struct token t, uint16_t domid)
{
	struct dom *d = domid < DOMIDS ? h->doms[domid] : NULL;
	struct waiter *w;

	if (!d || d->phase == DOM_ADOPTING)
		return -ESRCH;
	w = sys_zalloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct waiter){ .next = d->waiters, .token = t };
	d->waiters = w;
	if (d->phase == DOM_DYING)
		dom_release(d);
	else
		dom_condemn(d, -ECANCELED,
			    d->phase == DOM_BUILDING ? "destroyed while being built" : "");
	return 0;
}

void dom_client_gone(struct hvd *h, uint64_t client)
{
	for (unsigned i = 0; h->nr_doms && i < DOMIDS; i++) {
		struct dom *d = h->doms[i];

		if (d && d->phase == DOM_BUILDING && d->creator.client == client)
			dom_condemn(d, -ECANCELED, "whoever asked for it has gone");
	}
}

/* ---- what a domain process tells unasked ---- */

/* A boot's worth of lines at once, a few each second after that. */
static void log_line(struct dom *d, const char *text)
{
	uint64_t now = clock_mono_ns(), fill = (now - d->log_filled_ns) / LOG_LINE_NS;

	if (fill) {
		d->log_filled_ns = now;
		d->log_tokens = fill < LOG_BURST - d->log_tokens ? d->log_tokens + (unsigned)fill
								 : LOG_BURST;
	}
	if (d->log_tokens == 0) {
		d->log_dropped++;
		return;
	}
	d->log_tokens--;
	if (d->log_dropped)
		hvd_log(d->h, d->id.domid, "%u lines were dropped", d->log_dropped);
	d->log_dropped = 0;
	hvd_log(d->h, d->id.domid, "%s", text);
}

static void keep_stats(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		       uint64_t arg)
{
	if (r == 0)
		d->stats = m->u.D_STATS_REPLY;
}

void on_domain_event(struct dom *d, const struct hv_msg *m)
{
	struct dlink_req req = { .want = HV_D_STATS_REPLY,
				 .timeout_ms = DLINK_STATS_MS,
				 .cb = keep_stats };
	uint32_t reason = m->type == HV_D_SHUTDOWN ? m->u.D_SHUTDOWN.reason : 0;

	if (m->type == HV_D_LOG) {
		log_line(d, m->u.D_LOG.text);
		return;
	}
	if (m->type != HV_D_SHUTDOWN) {
		dom_condemn(d, -EBADMSG, "its process sent what nobody asked for");
		return;
	}
	if (d->stats.state == HV_DOM_SHUTDOWN || d->phase != DOM_ALIVE)
		return; /* once is enough */
	d->stats.state = HV_DOM_SHUTDOWN;
	d->stats.shutdown_reason = reason;
	hvd_log(d->h, d->id.domid, "shut down, reason %u", reason);
	d->h->out = (struct hv_msg){ .type = HV_D_STATS };
	(void)dlink_call(d, &d->h->out, NULL, 0, &req); /* for crash_detail, should it die now */
	send_event(d->h, EV_SHUTDOWN, d->id.domid, reason);
}

/* ---- the beginning ---- */

static int check_file(int fd, const char *what, char *err, size_t errlen)
{
	struct stat st;
	int fl = fcntl(fd, F_GETFL);

	if (fl < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (fl & O_ACCMODE) != O_RDONLY) {
		(void)snprintf(err, errlen, "the %s must be a regular file, opened for reading",
			       what);
		return -EINVAL;
	}
	return 0;
}

static int check_create(const struct hvd *h, const struct hv_CREATE *m, const int *fds, char *err,
			size_t errlen)
{
	uint64_t want_kib, free_kib;

	if (m->mem_pages == 0 || m->mem_pages > m->max_pages || m->max_pages > PAGES_MAX) {
		(void)snprintf(
			err, errlen,
			"memory must be at least a page, at most its maximum (%llu MiB here),"
			" and that at most 1 TiB",
			(unsigned long long)m->max_pages >> 8);
		return -EINVAL;
	}
	if (m->vcpus == 0 || m->vcpus > m->max_vcpus || m->max_vcpus > DOMAIN_MAX_VCPUS) {
		(void)snprintf(err, errlen, "vcpus must be 1 to maxvcpus, and that at most %u",
			       DOMAIN_MAX_VCPUS);
		return -EINVAL;
	}
	for (const char *p = m->name; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			(void)snprintf(err, errlen, "the name has a control character");
			return -EINVAL;
		}
	want_kib = m->mem_pages * (P2M_PAGE_SIZE / 1024);
	free_kib = host_free_kib(h);
	if (want_kib > free_kib && !h->cfg.overcommit) {
		(void)snprintf(
			err, errlen, "the guest wants %llu MiB and the host has %llu MiB free",
			(unsigned long long)want_kib >> 10, (unsigned long long)free_kib >> 10);
		return -ENOMEM;
	}
	if (check_file(fds[0], "kernel", err, errlen) < 0)
		return -EINVAL;
	return m->has_ramdisk ? check_file(fds[1], "ramdisk", err, errlen) : 0;
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_ino;
}

static int make_memory(struct dom *d)
{
	int r;

	r = d->ram_fd = sys_memfd("ram", d->id.max_pages * P2M_PAGE_SIZE);
	if (r >= 0)
		r = d->special_fd = sys_memfd("special", SPECIAL_PAGES * P2M_PAGE_SIZE);
	if (r >= 0)
		r = d->gnttab_fd = sys_memfd("gnttab", GNTTAB_MAX_FRAMES * P2M_PAGE_SIZE);
	if (r < 0)
		return r;
	d->id.ram_ino = inode_of(d->ram_fd);
	d->id.special_ino = inode_of(d->special_fd);
	d->id.gnttab_ino = inode_of(d->gnttab_fd);
	return 0;
}

/* On success the process waits for its first message on d's link. */
static int start_process(struct dom *d)
{
	char number[8], *argv[] = { d->h->binary, number, d->id.name, NULL };
	struct process_start p = { .binary = d->h->binary, .argv = argv, .first = 3, .nfds = 1 };
	int pair[2] = { -1, -1 }, pidfd, r;
	pid_t pid;

	(void)snprintf(number, sizeof(number), "%u", d->id.domid);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	p.fds = &pair[1];
	r = process_start(&p, &pid, &pidfd);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	d->id.pid = (uint32_t)pid;
	d->id.start_ticks = process_ticks(pid);
	r = dom_watch_process(d, pidfd, true);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	return dlink_open(d, pair[0]);
}

static void on_built(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		     uint64_t arg)
{
	struct hvd *h = d->h;

	if (r == -ESRCH && !m)
		return; /* it died: on_process_died() tells */
	if (r == 0) {
		d->id.built = 1;
		r = state_save_dom(d);
		if (r < 0)
			dom_condemn(d, r, "hvd can't write its state file");
	} else {
		dom_condemn(d, r, m ? m->u.ERROR.text : "building it took too long");
	}
	if (r < 0)
		return; /* the answer goes out when nothing is left of it */
	d->phase = DOM_ALIVE;
	hvd_log(h, d->id.domid, "built: \"%s\", %llu MiB, %u vCPUs, engine %s", d->id.name,
		(unsigned long long)d->id.mem_pages >> 8, d->id.max_vcpus, d->id.engine);
	send_event(h, EV_CREATED, d->id.domid, 0);
	h->out = (struct hv_msg){ .type = HV_CREATE_REPLY,
				  .u.CREATE_REPLY = { .domid = d->id.domid,
						      .store_gfn = SPECIAL_GFN_STORE,
						      .console_gfn = SPECIAL_GFN_CONSOLE,
						      .store_port = DOMAIN_PORT_STORE,
						      .console_port = DOMAIN_PORT_CONSOLE } };
	reply_out(h, t, NULL, 0);
}

static int send_spawn(struct dom *d, const struct hv_CREATE *m, int listener, const int *files)
{
	struct dlink_req req = {
		.want = HV_OK, .timeout_ms = DLINK_BUILD_MS, .cb = on_built, .token = d->creator
	};
	int fds[FDPASS_MAX] = { d->ram_fd, d->special_fd, d->gnttab_fd, listener, files[0] };
	size_t nfds = 5;
	struct hv_msg *out = &d->h->out;
	struct hv_D_SPAWN *s = &out->u.D_SPAWN;

	*out = (struct hv_msg){ .type = HV_D_SPAWN };
	s->domid = d->id.domid;
	s->mem_pages = m->mem_pages;
	s->max_pages = m->max_pages;
	s->vcpus = m->vcpus;
	s->max_vcpus = m->max_vcpus;
	s->has_ramdisk = m->has_ramdisk != 0;
	if (s->has_ramdisk)
		fds[nfds++] = files[1];
	s->has_kvm = strcmp(d->id.engine, "kvm") == 0;
	if (s->has_kvm)
		fds[nfds++] = d->h->kvm_fd;
	s->uid = (uint32_t)d->h->cfg.uid_base + d->id.domid;
	memcpy(s->uuid, m->uuid, sizeof(s->uuid));
	memcpy(s->name, m->name, sizeof(s->name));
	memcpy(s->engine, d->id.engine, sizeof(s->engine));
	memcpy(s->cmdline, m->cmdline, sizeof(s->cmdline));
	(void)snprintf(s->root, sizeof(s->root), "%s", d->h->root_dir);
	return dlink_call(d, out, fds, nfds, &req);
}

static int start(struct dom *d, const struct hv_CREATE *m, const int *files)
{
	char path[108];
	int listener, r;

	r = make_memory(d);
	if (r < 0)
		return r;
	if (!dom_sock_path(d->h, d->id.domid, path))
		return -ENAMETOOLONG;
	r = listener = listen_unix(path, SOCK_SEQPACKET, 0600, (gid_t)-1);
	if (r < 0)
		return r;
	/* The process's end blocks: only its control thread waits on it. */
	r = fcntl(listener, F_SETFL, 0) < 0 ? -errno : 0;
	if (r == 0)
		r = start_process(d);
	if (r == 0)
		r = state_save_dom(d);
	if (r == 0)
		r = state_save(d->h);
	if (r == 0)
		r = send_spawn(d, m, listener, files);
	close(listener);
	return r;
}

int dom_create(struct hvd *h, struct token t, const struct hv_CREATE *m, int *fds, char *err,
	       size_t errlen)
{
	struct hv_STATE_DOM id = { .mem_pages = m->mem_pages,
				   .max_pages = m->max_pages,
				   .max_vcpus = m->max_vcpus };
	struct timespec ts;
	struct dom *d;
	int r;

	r = check_create(h, m, fds, err, errlen);
	if (r == 0)
		r = engine_pick(h, m->engine, id.engine, err, errlen);
	if (r == 0)
		r = pick_domid(h, &id.domid);
	if (r < 0)
		return r;
	clock_gettime(CLOCK_REALTIME, &ts);
	id.created_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	memcpy(id.uuid, m->uuid, sizeof(id.uuid));
	memcpy(id.name, m->name, sizeof(id.name));
	r = dom_add(h, &id, &d);
	if (r < 0)
		return r;
	h->last_domid = id.domid;
	d->creator = t;
	r = start(d, m, fds);
	if (r == 0)
		return 0;
	(void)snprintf(err, errlen, "the domain's process could not be started: %s", strerror(-r));
	if (d->pid_ev) {
		dom_condemn(d, r, err);
		return 0; /* answered when it is dead */
	}
	dom_release(d);
	return r;
}
