/* hv/domain/main.c - the process around one guest.
 *
 * hvd starts it with a socket as descriptor 3; the first message there says
 * what to be and brings every descriptor it will ever have.  Then the jail
 * closes, and only after that is a byte of the kernel image looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemons/hv_link.h"
#include "hv/domain/ctl.h"
#include "hv/domain/jail.h"
#include "hv/engine/probe.h"

#define SPAWN_FD      3
#define EXTRA_THREADS 8u /* beside the vCPUs: control, timers, one spare each */

/* In the order of D_SPAWN's; the last two are -1 where it has none. */
enum { FD_RAM, FD_SPECIAL, FD_GNTTAB, FD_LISTENER, FD_KERNEL, FD_RAMDISK, FD_KVM, FD_COUNT };

struct start {
	struct hv_D_SPAWN cfg;
	uint32_t seq;
	int fds[FDPASS_MAX];
};

static int receive(struct start *s)
{
	static struct hv_link_buf buf;
	static struct hv_msg m;
	size_t nfds = 0;
	int r = hv_link_recv(SPAWN_FD, &buf, &m, s->fds, &nfds);

	if (r <= 0)
		return r == 0 ? -ECONNRESET : r;
	if (m.type != HV_D_SPAWN ||
	    nfds != FD_KERNEL + 1u + !!m.u.D_SPAWN.has_ramdisk + !!m.u.D_SPAWN.has_kvm)
		return -EBADMSG;
	s->fds[FD_KVM] = m.u.D_SPAWN.has_kvm ? s->fds[nfds - 1] : -1;
	if (!m.u.D_SPAWN.has_ramdisk)
		s->fds[FD_RAMDISK] = -1;
	s->cfg = m.u.D_SPAWN;
	s->seq = m.seq;
	return 0;
}

/* The host's terminal or log file is not for a guest to write to. */
static int close_stdio(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < 3; i++)
		if (dup2(fd, i) < 0)
			return -errno;
	if (fd > 2)
		close(fd);
	return fd < 0 ? -errno : 0;
}

static int enter(const struct start *s, struct ctl *c, char *err, size_t errlen)
{
	struct domain_jail j = { .uid = s->cfg.uid,
				 .root = s->cfg.root,
				 .ram_bytes = s->cfg.max_pages * P2M_PAGE_SIZE,
				 .kvm = s->cfg.has_kvm != 0,
				 .threads = s->cfg.max_vcpus + EXTRA_THREADS };
	char missing[128], line[256], title[16];
	int r;

	(void)snprintf(title, sizeof(title), "dz-domain-%u", s->cfg.domid);
	(void)prctl(PR_SET_NAME, title, 0, 0, 0); /* only for ps */
	r = close_stdio();
	if (r < 0) {
		(void)snprintf(err, errlen, "/dev/null: %s", strerror(-r));
		return r;
	}
	r = domain_jail_enter(&j, missing, sizeof(missing), err, errlen);
	if (r == 0 && missing[0]) {
		(void)snprintf(line, sizeof(line), "jail: this host allows no new namespace of: %s",
			       missing);
		ctl_log(c, line);
	}
	return r;
}

static int build(const struct start *s, struct ctl *c, struct domain **ret, char *err,
		 size_t errlen)
{
	struct domain_config cfg = {
		.domid = s->cfg.domid,
		.mem_pages = s->cfg.max_pages,
		.populated = s->cfg.mem_pages,
		.vcpus = s->cfg.vcpus,
		.max_vcpus = s->cfg.max_vcpus,
		.engine = s->cfg.engine,
		.cmdline = s->cfg.cmdline,
		.ram_fd = s->fds[FD_RAM],
		.special_fd = s->fds[FD_SPECIAL],
		.gnttab_fd = s->fds[FD_GNTTAB],
		.kernel_fd = s->fds[FD_KERNEL],
		.ramdisk_fd = s->fds[FD_RAMDISK],
		.kvm_fd = s->fds[FD_KVM],
	};
	struct domain *d;
	int r;

	memcpy(cfg.uuid, s->cfg.uuid, sizeof(cfg.uuid));
	r = domain_new(&cfg, ctl_events(c), &d, err, errlen);
	if (r < 0)
		return r;
	r = domain_build(d, err, errlen);
	if (r < 0) {
		(void)domain_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

static int fail(uint32_t seq, int r, const char *text)
{
	(void)hv_link_send_error(SPAWN_FD, seq, r, text); /* nobody to tell if it fails */
	return EXIT_FAILURE;
}

/* For hvd, which must not hang with a /dev/kvm that does: one line, and the
 * exit status says whether engine kvm is worth using. */
static int probe_kvm(const char *device)
{
	int fd = open(device, O_RDWR | O_CLOEXEC), r;
	char why[200] = "";
	uint64_t rate = 0;

	if (fd < 0) {
		printf("%s: %s\n", device, strerror(errno));
		return EXIT_FAILURE;
	}
	r = engine_probe("kvm", fd, &rate, why, sizeof(why));
	close(fd);
	if (r < 0)
		printf("%s: %s\n", device, why);
	else
		printf("%s runs %.1f million iterations of a loop a second%s\n", device,
		       (double)rate / 1e6, rate < PROBE_ENOUGH ? ": it only emulates" : "");
	return r == 0 && rate >= PROBE_ENOUGH ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static struct start s;
	struct hv_msg ok = { .type = HV_OK };
	char err[HV_TEXT_MAX] = "";
	struct domain *d = NULL;
	struct ctl *c;
	int r;

	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("domzero %s\n", DZ_VERSION) < 0;
	if (argc == 3 && strcmp(argv[1], "--probe-kvm") == 0)
		return probe_kvm(argv[2]);
	(void)signal(SIGPIPE, SIG_IGN);
	r = receive(&s);
	if (r < 0) {
		fprintf(stderr, "dz-domain: started by hvd, not by hand\n");
		return EXIT_FAILURE;
	}
	r = ctl_new(s.cfg.domid,
		    &(struct ctl_fds){ .conn = SPAWN_FD,
				       .listener = s.fds[FD_LISTENER],
				       .ram_fd = s.fds[FD_RAM],
				       .special_fd = s.fds[FD_SPECIAL],
				       .gnttab_fd = s.fds[FD_GNTTAB] },
		    &c);
	if (r < 0)
		return fail(s.seq, r, strerror(-r));
	r = enter(&s, c, err, sizeof(err));
	if (r == 0)
		r = build(&s, c, &d, err, sizeof(err));
	if (r < 0)
		return fail(s.seq, r, err);
	fdpass_close(&s.fds[FD_KERNEL], 2);
	ok.seq = s.seq;
	if (hv_link_send(SPAWN_FD, &ok, NULL, 0) < 0)
		return EXIT_FAILURE; /* hvd is gone and never heard of us as built */
	r = ctl_run(c, d);
	domain_free(d);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
