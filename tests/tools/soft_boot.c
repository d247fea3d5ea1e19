/* tests/tools/soft_boot.c - boots one kernel in this process, without a host.
 *
 *   soft_boot [-m MiB] [-c vcpus] [-t seconds] [-u text] [-e engine] kernel [ramdisk [cmdline]]
 *
 * The guest's console goes to stdout, the domain's log and a summary to stderr.
 * There is no XenStore.  Ends when the guest shuts down (status 0 for poweroff),
 * when -u's text was printed (0), or after -t seconds (3).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/io/console.h>

#include "daemons/clock.h"
#include "daemons/sys.h"
#include "hv/domain/domain.h"

#define NS_PER_S 1000000000ull

struct boot {
	struct domain *d;
	struct xencons_interface *ring;
	int notify, kick, down;
	const char *until;
	char tail[256]; /* of the output, to find until in */
	size_t tail_len;
	uint64_t t0;
};

static void on_shutdown(void *arg, unsigned reason)
{
	struct boot *b = arg;

	(void)eventfd_write(b->down, reason + 1); /* a fresh counter */
}

static void on_log(void *arg, const char *line)
{
	const struct boot *b = arg;

	fprintf(stderr, "[%7.3f] %s\n", (double)(clock_mono_ns() - b->t0) / 1e9, line);
}

/* The text may come in pieces: look for it in the last bytes printed. */
static bool seen(struct boot *b, const char *p, size_t n)
{
	if (!b->until)
		return false;
	for (; n; n--, p++) {
		if (b->tail_len == sizeof(b->tail) - 1) {
			memmove(b->tail, b->tail + 1, --b->tail_len);
		}
		b->tail[b->tail_len++] = *p;
		b->tail[b->tail_len] = '\0';
		if (*p == b->until[strlen(b->until) - 1] && strstr(b->tail, b->until))
			return true;
	}
	return false;
}

static bool drain(struct boot *b)
{
	uint32_t cons = b->ring->out_cons,
		 prod = __atomic_load_n(&b->ring->out_prod, __ATOMIC_ACQUIRE);
	char buf[sizeof(b->ring->out)];
	size_t n = 0;

	if (prod - cons > sizeof(buf))
		return false;
	while (cons != prod)
		buf[n++] = b->ring->out[MASK_XENCONS_IDX(cons++, b->ring->out)];
	__atomic_store_n(&b->ring->out_cons, cons, __ATOMIC_RELEASE);
	if (!n)
		return false;
	(void)eventfd_write(b->kick, 1);
	fwrite(buf, 1, n, stdout);
	fflush(stdout);
	return seen(b, buf, n);
}

static int open_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	return fd;
}

static int open_file(const char *path)
{
	return open_path(path, O_RDONLY);
}

static int open_device(const char *path)
{
	return open_path(path, O_RDWR);
}

static void summary(struct boot *b, const char *what)
{
	struct domain_stats s;

	domain_stats(b->d, &s);
	fprintf(stderr, "%s after %.3f s; cpu %.3f s; reason %u %s\n", what,
		(double)(clock_mono_ns() - b->t0) / 1e9, (double)s.cpu_ns / 1e9, s.shutdown_reason,
		s.crash_detail);
}

static int run(struct boot *b, unsigned seconds)
{
	struct pollfd p[2] = { { b->notify, POLLIN, 0 }, { b->down, POLLIN, 0 } };
	uint64_t end = clock_mono_ns() + seconds * NS_PER_S, now;
	eventfd_t n;

	while ((now = clock_mono_ns()) < end) {
		(void)poll(p, 2, (int)((end - now) / 1000000) + 1); /* a failed poll tries again */
		if (p[0].revents) {
			(void)eventfd_read(b->notify, &n);
			if (drain(b)) {
				summary(b, "text seen");
				return 0;
			}
		}
		if (p[1].revents) {
			(void)drain(b);
			(void)eventfd_read(b->down, &n);
			summary(b, "shut down");
			return n == 1 ? 0 : 1;
		}
	}
	summary(b, "time is up");
	return 3;
}

static void usage(void)
{
	fprintf(stderr, "usage: soft_boot [-m MiB] [-c vcpus] [-t seconds] [-u text] "
			"[-e engine] kernel [ramdisk [cmdline]]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	unsigned mib = 512, vcpus = 1, seconds = 120;
	struct boot b = { .t0 = clock_mono_ns() };
	const struct domain_events ev = { .shutdown = on_shutdown, .log = on_log, .arg = &b };
	struct domain_config cfg = {
		.domid = 1, .engine = "soft", .no_store = true, .ramdisk_fd = -1
	};
	char err[256] = "";
	int c, r, map_err;

	while ((c = getopt(argc, argv, "m:c:t:u:e:")) > 0)
		switch (c) {
		case 'm': mib = (unsigned)atoi(optarg); break;
		case 'c': vcpus = (unsigned)atoi(optarg); break;
		case 't': seconds = (unsigned)atoi(optarg); break;
		case 'e': cfg.engine = optarg; break;
		case 'u': b.until = optarg; break;
		default: usage();
		}
	if (optind >= argc)
		usage();
	if (!strcmp(cfg.engine, "kvm"))
		cfg.kvm_fd = open_device("/dev/kvm");
	cfg.kernel_fd = open_file(argv[optind]);
	if (optind + 1 < argc && argv[optind + 1][0])
		cfg.ramdisk_fd = open_file(argv[optind + 1]);
	cfg.cmdline = optind + 2 < argc ? argv[optind + 2] : "console=hvc0";
	cfg.mem_pages = cfg.populated = mib * 256ull;
	cfg.vcpus = cfg.max_vcpus = vcpus;
	cfg.ram_fd = sys_memfd("ram", cfg.mem_pages * 4096);
	cfg.special_fd = sys_memfd("special", SPECIAL_PAGES * 4096);
	cfg.gnttab_fd = sys_memfd("gnttab", GNTTAB_MAX_FRAMES * 4096);
	b.ring = sys_mmap_shared(cfg.special_fd, 4096, SPECIAL_PAGE_CONSOLE * 4096,
				 PROT_READ | PROT_WRITE, &map_err);
	b.notify = sys_eventfd();
	b.kick = sys_eventfd();
	b.down = sys_eventfd();
	if (!b.ring || b.down < 0) {
		fprintf(stderr, "out of memory or descriptors\n");
		return 2;
	}
	r = domain_new(&cfg, &ev, &b.d, err, sizeof(err));
	if (r >= 0)
		r = domain_build(b.d, err, sizeof(err));
	if (r >= 0)
		r = domain_bind_dom0(b.d, DOMAIN_PORT_CONSOLE, dup(b.notify), dup(b.kick));
	if (r < 0) {
		fprintf(stderr, "%s (%s)\n", err, strerror(-r));
		return 2;
	}
	domain_unpause(b.d);
	r = run(&b, seconds);
	domain_free(b.d);
	return r;
}
