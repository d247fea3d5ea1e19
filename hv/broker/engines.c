/* hv/broker/engines.c - which engine a domain gets that asks for "auto".
 *
 * /dev/kvm may be there and be useless (nested in an emulator, without hardware
 * paging), or hang whoever tries it; so a child tries it, once per boot of the
 * host, and hvd remembers what it said.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemons/clock.h"
#include "daemons/log.h"
#include "daemons/sys.h"
#include "hv/broker/hvd.h"

#define PROBE_WAIT_MS 3000u
#define BOOT_ID	      "/proc/sys/kernel/random/boot_id"

extern char **environ;

static ssize_t read_file(const char *path, char *buf, size_t n)
{
	int fd = sys_open(path, O_RDONLY | O_NOFOLLOW, 0);
	ssize_t got;

	if (fd < 0)
		return fd;
	got = read(fd, buf, n - 1);
	close(fd);
	if (got < 0)
		return -EIO;
	buf[got] = '\0';
	return got;
}

static void one_line(char *s)
{
	s[strcspn(s, "\n")] = '\0';
}

/* Reads until the end, at most PROBE_WAIT_MS.  False: that was too long. */
static bool hear(int fd, char *buf, size_t n)
{
	uint64_t end = clock_mono_ns() + PROBE_WAIT_MS * 1000000ull, now;
	size_t have = 0;

	while ((now = clock_mono_ns()) < end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char rest[256];
		bool full = have == n - 1;
		ssize_t got;

		if (poll(&p, 1, (int)((end - now) / 1000000u) + 1) <= 0)
			continue;
		got = read(fd, full ? rest : buf + have, full ? sizeof(rest) : n - 1 - have);
		if (got == 0) {
			buf[have] = '\0';
			return true;
		}
		if (got > 0 && !full)
			have += (size_t)got;
	}
	return false;
}

/* A child that KVM holds in the kernel may take its time to die. */
static int reap(pid_t pid)
{
	int status;

	for (int i = 0; i < 100; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		(void)usleep(10000);
	}
	return -1;
}

static int start_probe(struct hvd *h, int out, pid_t *ret)
{
	char *argv[] = { h->binary, "--probe-kvm", h->cfg.kvm_device, NULL };
	posix_spawn_file_actions_t fa;
	int r = -posix_spawn_file_actions_init(&fa);

	if (r < 0)
		return r;
	r = -posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (r == 0)
		r = -posix_spawn(ret, h->binary, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return r;
}

/* True: usable; why says how good it is, or what is wrong with it. */
static bool probe(struct hvd *h, char *why, size_t n)
{
	int fds[2], status = -1, r;
	bool told = false;
	pid_t pid;

	(void)snprintf(why, n, "the probe of %s could not be started", h->cfg.kvm_device);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	r = start_probe(h, fds[1], &pid);
	close(fds[1]);
	if (r == 0) {
		told = hear(fds[0], why, n);
		if (!told)
			(void)kill(pid, SIGKILL); /* ours and not reaped: it is there */
		status = reap(pid);
	}
	close(fds[0]);
	one_line(why);
	if (r == 0 && !told)
		(void)snprintf(why, n, "%s: a small guest did not answer within %u s",
			       h->cfg.kvm_device, PROBE_WAIT_MS / 1000);
	return told && status == 0;
}

/* The file: boot id, device, 0 or 1, reason; a line each. */
static bool recall(struct hvd *h, const char *path, const char *boot)
{
	char buf[512], want[256], *p;
	size_t n = (size_t)snprintf(want, sizeof(want), "%s\n%s\n", boot, h->cfg.kvm_device);

	if (n >= sizeof(want) || read_file(path, buf, sizeof(buf)) < 0 || strncmp(buf, want, n) ||
	    (buf[n] != '0' && buf[n] != '1') || buf[n + 1] != '\n')
		return false;
	h->kvm_usable = buf[n] == '1';
	p = buf + n + 2;
	one_line(p);
	(void)snprintf(h->engine_reason, sizeof(h->engine_reason), "%s", p);
	return true;
}

static void remember(struct hvd *h, const char *path, const char *boot)
{
	char buf[512];
	int n = snprintf(buf, sizeof(buf), "%s\n%s\n%d\n%s\n", boot, h->cfg.kvm_device,
			 h->kvm_usable, h->engine_reason);
	int fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);

	/* Lost or half written: the next hvd asks anew. */
	if (fd >= 0) {
		if (n < (int)sizeof(buf))
			(void)sys_write(fd, buf, (size_t)n);
		close(fd);
	}
}

void engines_choose(struct hvd *h)
{
	char path[128], boot[64] = "";

	(void)snprintf(path, sizeof(path), "%s/engine", h->own_dir); /* own_dir is shorter */
	if (read_file(BOOT_ID, boot, sizeof(boot)) < 0)
		boot[0] = '\0';
	one_line(boot);
	if (!boot[0] || !recall(h, path, boot)) {
		h->kvm_usable = probe(h, h->engine_reason, sizeof(h->engine_reason));
		if (boot[0])
			remember(h, path, boot);
	}
	if (h->kvm_usable) {
		h->kvm_fd = sys_open(h->cfg.kvm_device, O_RDWR, 0);
		if (h->kvm_fd < 0) {
			(void)snprintf(h->engine_reason, sizeof(h->engine_reason), "%s: %s",
				       h->cfg.kvm_device, strerror(-h->kvm_fd));
			h->kvm_usable = false;
		}
	}
	hvd_log(h, -1, "engine auto means %s: %s", engine_auto(h), h->engine_reason);
}

const char *engine_auto(const struct hvd *h)
{
	return h->kvm_usable ? "kvm" : "soft";
}

int engine_pick(const struct hvd *h, const char *wish, char ret[HV_ENGINE_MAX], char *err,
		size_t errlen)
{
	static const char *const names[] = { "soft", "soft-ref", "kvm" };

	if (strcmp(wish, "auto") == 0)
		wish = engine_auto(h);
	if (strcmp(wish, "kvm") == 0 && !h->kvm_usable) {
		(void)snprintf(err, errlen, "engine kvm can't be used here: %.200s",
			       h->engine_reason);
		return -EOPNOTSUPP;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(wish, names[i]) == 0) {
			(void)snprintf(ret, HV_ENGINE_MAX, "%s", names[i]);
			return 0;
		}
	(void)snprintf(err, errlen, "no such engine: use auto, soft, soft-ref or kvm");
	return -EINVAL;
}
