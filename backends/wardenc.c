/* backends/wardenc.c - a backend's way into its jail, and its requests there. */
#include "backends/wardenc.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemons/fdpass.h"
#include "daemons/listen.h"
#include "daemons/log.h"
#include "daemons/sys.h"

#define FILES_MAX 4096u
#define RULES_MAX 128u

struct wardenc {
	char path[108];
	int fd; /* -1: not connected */
	uint32_t seq;
};

/* ---- the jail ---- */

/* Unix sockets are the only kind; which there are to connect to is the root's
 * matter. */
static const struct jail_rule rules[] = {
	{ SCMP_SYS(socket), 0, ~0ull, AF_UNIX },
	{ SCMP_SYS(connect) },
	/* libevent asks who it is, and talks to itself of signals */
	{ SCMP_SYS(getuid) },
	{ SCMP_SYS(geteuid) },
	{ SCMP_SYS(getgid) },
	{ SCMP_SYS(getegid) },
	{ SCMP_SYS(pipe2) },
	{ SCMP_SYS(socketpair), 0, ~0ull, AF_UNIX },
	{ SCMP_SYS(sendto) },
	{ SCMP_SYS(recvfrom) },
	{ SCMP_SYS(setsockopt), 1, ~0ull, SOL_SOCKET },
	{ SCMP_SYS(getsockopt), 1, ~0ull, SOL_SOCKET },
	{ SCMP_SYS(fcntl), 1, ~0ull, F_GETFL },
	{ SCMP_SYS(fcntl), 1, ~0ull, F_SETFL },
	{ SCMP_SYS(fcntl), 1, ~0ull, F_SETFD },
	{ SCMP_SYS(fcntl), 1, ~0ull, F_GETFD },
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

size_t child_calls(void)
{
	return jail_base_calls() + RULES;
}

int child_enter(const struct child_args *a, const struct child_needs *n)
{
	struct jail_rule all[RULES_MAX];
	char missing[128], err[256], title[16];
	struct jail_config c = {
		.uid = (uid_t)a->uid,
		.root = a->sockets,
		.threads = n->threads,
		.files = FILES_MAX,
		.data_max = n->data_max,
		.memlock_max = n->memlock_max,
		.rules = all,
		.nrules = RULES + n->nrules,
	};
	int r;

	if (a->uid == 0)
		return 0;
	/* Nothing of the host is seen from now on. */
	if (!a->sockets)
		return log_err(-EINVAL, "--uid needs --sockets");
	log_with_levels();
	if (c.nrules > RULES_MAX)
		return log_err(-E2BIG, "the rules of the jail");
	memcpy(all, rules, sizeof(rules));
	if (n->nrules)
		memcpy(all + RULES, n->rules, n->nrules * sizeof(*n->rules));
	snprintf(title, sizeof(title), "%.8s-%u", n->name, (unsigned)a->domid);
	(void)prctl(PR_SET_NAME, title, 0, 0, 0); /* only for ps */
	r = jail_enter(&c, missing, sizeof(missing), err, sizeof(err));
	if (r < 0)
		return log_err(0, "%s", err), r;
	if (missing[0])
		(void)log_warn(0, "jail: this host allows no new namespace of: %s", missing);
	return 0;
}

static const char *place(const struct child_args *a, const char *before, const char *name,
			 char buf[128])
{
	if (!a->sockets)
		return NULL;
	snprintf(buf, 128, "%s%.100s/%s", before, a->uid ? "" : a->sockets, name);
	return buf;
}

const char *child_hv(const struct child_args *a, char buf[128])
{
	return hvc_is_xen(NULL) ? NULL : place(a, "bundled:", "hv", buf);
}

const char *child_xs(const struct child_args *a, char buf[128])
{
	return place(a, "", "xs", buf);
}

const char *child_warden(const struct child_args *a, char buf[128])
{
	return place(a, "", "open", buf);
}

/* ---- requests ---- */

int wardenc_open(const char *path, struct wardenc **ret)
{
	struct wardenc *w;

	if (!path)
		return -EINVAL;
	if (strlen(path) >= sizeof(w->path))
		return -ENAMETOOLONG;
	w = sys_zalloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	memcpy(w->path, path, strlen(path) + 1);
	w->fd = -1;
	*ret = w;
	return 0;
}

static void hang_up(struct wardenc *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

struct wardenc *wardenc_close(struct wardenc *w)
{
	if (w)
		hang_up(w);
	free(w);
	return NULL;
}

static int transact(struct wardenc *w, const struct warden_req *q, struct warden_rep *rep,
		    int fds[FDPASS_MAX], size_t *ret_nfds)
{
	ssize_t n;
	int r;

	if (w->fd < 0) {
		r = connect_unix(w->path, SOCK_SEQPACKET);
		if (r < 0)
			return -ENOTCONN;
		w->fd = r;
	}
	r = fdpass_send(w->fd, q, sizeof(*q), NULL, 0);
	if (r < 0)
		return -ENOTCONN;
	n = fdpass_recv(w->fd, rep, sizeof(*rep), fds, ret_nfds);
	if (n != sizeof(*rep) || rep->seq != q->seq || rep->blob_len > sizeof(rep->blob) ||
	    rep->status > 0) {
		if (n > 0)
			fdpass_close(fds, *ret_nfds);
		return -ENOTCONN;
	}
	rep->text[sizeof(rep->text) - 1] = '\0';
	return rep->status;
}

/* One request; on success exactly want_fds descriptors (-1: any number). */
static int ask(struct wardenc *w, struct warden_req *q, int want_fds, struct warden_rep *rep,
	       int fds[FDPASS_MAX], size_t *ret_nfds)
{
	int r;

	*ret_nfds = 0;
	rep->text[0] = '\0';
	q->seq = ++w->seq;
	r = transact(w, q, rep, fds, ret_nfds);
	if (r == -ENOTCONN) { /* one that a former warden left behind: once more */
		hang_up(w);
		r = transact(w, q, rep, fds, ret_nfds);
		if (r == -ENOTCONN)
			hang_up(w);
	}
	if (r == 0 && want_fds >= 0 && *ret_nfds != (size_t)want_fds) {
		fdpass_close(fds, *ret_nfds);
		r = -EBADMSG;
	}
	return r;
}

int wardenc_device(struct wardenc *w, uint32_t devid, struct wardenc_dev *ret, char *err,
		   size_t errlen)
{
	struct warden_req q = { .type = WARDEN_OPEN, .devid = devid };
	struct warden_rep rep;
	int fds[FDPASS_MAX];
	size_t nfds;
	int r = ask(w, &q, -1, &rep, fds, &nfds);

	if (r < 0) {
		if (err)
			(void)snprintf(err, errlen, "%s", rep.text[0] ? rep.text : strerror(-r));
		return r;
	}
	ret->nfds = nfds;
	memcpy(ret->fds, fds, nfds * sizeof(fds[0]));
	ret->blob_len = rep.blob_len;
	memcpy(ret->blob, rep.blob, rep.blob_len);
	return 0;
}

int wardenc_release(struct wardenc *w, uint32_t devid)
{
	struct warden_req q = { .type = WARDEN_CLOSE, .devid = devid };
	struct warden_rep rep;
	int fds[FDPASS_MAX];
	size_t nfds;

	return ask(w, &q, 0, &rep, fds, &nfds);
}

int wardenc_journal(struct wardenc *w, uint32_t devid, uint32_t index, uint32_t size, int *ret_fd,
		    bool *ret_fresh)
{
	struct warden_req q = {
		.type = WARDEN_JOURNAL, .devid = devid, .index = index, .size = size
	};
	struct warden_rep rep;
	int fds[FDPASS_MAX];
	size_t nfds;
	int r = ask(w, &q, 1, &rep, fds, &nfds);

	if (r < 0)
		return r;
	*ret_fd = fds[0];
	*ret_fresh = rep.fresh != 0;
	return 0;
}
