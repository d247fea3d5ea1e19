/* hv/broker/adopt.c - a restarted hvd finds its domains again.
 *
 * For each domain of the state files: is its process still that process (pid
 * and start time, held by a pidfd)?  Then connect, ask for the memfds, for each
 * port in turn, for the statistics.  The process may have been broken into in
 * the meantime, so what it hands back is checked against the state file, and a
 * process that fails is killed.  Nobody is served before all have answered.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemons/listen.h"
#include "daemons/process.h"
#include "hv/broker/hvd.h"

#define ADOPT_MS 5000

void adopt_finished(struct hvd *h, struct dom *d)
{
	if (--h->adopting == 0)
		h->adopted(h);
}

static int ask(struct dom *d, uint16_t type, uint32_t from, uint16_t want, size_t want_fds,
	       dlink_cb *cb)
{
	struct dlink_req req = {
		.want = want, .want_fds = want_fds, .timeout_ms = ADOPT_MS, .cb = cb
	};
	struct hv_msg *m = &d->h->out;

	*m = (struct hv_msg){ .type = type };
	if (type == HV_D_PORT)
		m->u.D_PORT.from = from;
	return dlink_call(d, m, NULL, 0, &req);
}

static void give_up(struct dom *d, int r)
{
	char why[HV_TEXT_MAX];

	(void)snprintf(why, sizeof(why), "domain process could not be adopted: %s", strerror(-r));
	dom_condemn(d, r, why);
}

static void on_stats(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		     uint64_t arg)
{
	if (r < 0) {
		if (m || r == -ETIMEDOUT)
			give_up(d, r);
		return; /* else it died, which is told elsewhere */
	}
	d->stats = m->u.D_STATS_REPLY;
	d->phase = DOM_ALIVE;
	hvd_log(d->h, d->id.domid, "adopted, %u ports", d->nr_ports);
	adopt_finished(d->h, d);
}

static bool is_eventfd(int fd)
{
	char path[64], to[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, to, sizeof(to) - 1);
	if (n < 0)
		return false;
	to[n] = '\0';
	return strcmp(to, "anon_inode:[eventfd]") == 0;
}

static void on_port(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		    uint64_t arg)
{
	uint32_t number;

	if (r == -ENOENT && m) {
		r = ask(d, HV_D_STATS, 0, HV_D_STATS_REPLY, 0, on_stats);
	} else if (r == 0) {
		number = m->u.D_PORT_REPLY.port;
		/* Ever higher, or the process could keep us asking. */
		r = number < arg || !is_eventfd(fds[0]) || !is_eventfd(fds[1]) ? -EBADMSG : 0;
		if (r == 0)
			r = port_adopt(d, number, m->u.D_PORT_REPLY.cookie, fds);
		if (r == 0)
			r = ask(d, HV_D_PORT, number + 1, HV_D_PORT_REPLY, 2, on_port);
	} else if (!m && r != -ETIMEDOUT) {
		return;
	}
	if (r < 0)
		give_up(d, r);
}

/* The very files we made, by number and size; their seals can't be undone. */
static bool same_file(int fd, uint64_t ino, uint64_t pages)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino == ino &&
	       (uint64_t)st.st_size == pages * P2M_PAGE_SIZE;
}

static void on_memory(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		      uint64_t arg)
{
	if (r == 0) {
		if (m->u.D_ADOPT_REPLY.domid == d->id.domid &&
		    same_file(fds[0], d->id.ram_ino, d->id.max_pages) &&
		    same_file(fds[1], d->id.special_ino, SPECIAL_PAGES) &&
		    same_file(fds[2], d->id.gnttab_ino, GNTTAB_MAX_FRAMES)) {
			d->ram_fd = fds[0];
			d->special_fd = fds[1];
			d->gnttab_fd = fds[2];
			fds[0] = fds[1] = fds[2] = -1;
			r = ask(d, HV_D_PORT, 0, HV_D_PORT_REPLY, 2, on_port);
		} else {
			r = -EBADMSG;
		}
	} else if (!m && r != -ETIMEDOUT) {
		return;
	}
	if (r < 0)
		give_up(d, r);
}

static int reach(struct dom *d)
{
	char path[108];
	int r;

	r = dom_sock_path(d->h, d->id.domid, path) ? connect_unix(path, SOCK_SEQPACKET)
						   : -ENAMETOOLONG;
	if (r >= 0)
		r = dlink_open(d, r);
	return r < 0 ? r : ask(d, HV_D_ADOPT, 0, HV_D_ADOPT_REPLY, 3, on_memory);
}

static void adopt_one(struct dom *d)
{
	int pidfd = d->id.dying ? -ESRCH : process_find((pid_t)d->id.pid, d->id.start_ticks), r;

	if (!d->id.built) {
		/* Its creator was told that hvd had gone: nothing must be left. */
		if (pidfd >= 0) {
			(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
			close(pidfd);
		}
		d->phase = DOM_BUILDING;
		dom_release(d);
	} else if (d->id.dying) {
		d->phase = DOM_DYING;
		d->stats.state = HV_DOM_SHUTDOWN;
		d->stats.shutdown_reason = SHUTDOWN_CRASH;
		memcpy(d->stats.crash_detail, d->id.crash_detail, sizeof(d->id.crash_detail));
	} else if (pidfd < 0) {
		dom_mark_dead(d, "domain process was gone when hvd came back");
	} else {
		d->h->adopting++;
		r = dom_watch_process(d, pidfd, false);
		if (r == 0)
			r = reach(d);
		if (r < 0)
			give_up(d, r);
	}
}

void adopt_all(struct hvd *h, void (*done)(struct hvd *h))
{
	h->adopted = done;
	h->adopting = 1; /* ours, so that it ends once, and after the loop */
	for (unsigned i = 0; i < DOMIDS; i++)
		if (h->doms[i] && h->doms[i]->phase == DOM_ADOPTING)
			adopt_one(h->doms[i]);
	adopt_finished(h, NULL);
}
