/* tests/unit/hv/broker/fake_domain.c - a machine model without a machine, for
 * tests of the processes around it.  Linked with the real main, ctl and jail;
 * the guest's command line says how to behave:
 *
 *   fail TEXT   domain_build fails with TEXT
 *   sleep N     domain_build takes N milliseconds
 *   abort       crashes while building
 *   hang        domain_pause never returns
 *   echo        every kick is answered by a notify (the default)
 *   syscall     makes a call that the jail forbids when it is unpaused
 *
 *   kvm         builds only if it was given what may be a /dev/kvm
 *
 * and, as if a guest had taken it over, when it is unpaused
 *
 *   junk        sends hvd what is no message
 *   unasked     sends hvd a message that nobody asked for
 *   lies        answers with the wrong type
 *   flood       sends 5000 log lines, each with descriptors
 *   hangup      closes its control socket
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemons/hv_link.h"
#include "daemons/sys.h"
#include "hv/domain/domain.h"
#include "hv/engine/probe.h"

#define PORTS 16

struct domain {
	struct domain_events ev;
	char cmdline[DOMAIN_CMDLINE_MAX];
	enum domain_state state;
	unsigned max_vcpus;
	uint64_t pages, max_pages;
	int notify[PORTS], kick[PORTS], wake; /* wake: the ports are others now */
	pthread_mutex_t lock;
	pthread_t thread;
};

/* Stands for a guest: echoes kicks of dom0.  Port 3: shuts down instead. */
static void *guest(void *arg)
{
	struct domain *d = arg;

	while (1) {
		struct pollfd p[PORTS + 1];
		uint64_t n;

		pthread_mutex_lock(&d->lock);
		for (int i = 0; i < PORTS; i++)
			p[i] = (struct pollfd){ .fd = d->kick[i], .events = POLLIN };
		pthread_mutex_unlock(&d->lock);
		p[PORTS] = (struct pollfd){ .fd = d->wake, .events = POLLIN };
		if (poll(p, PORTS + 1, -1) <= 0)
			continue;
		(void)!read(d->wake, &n, sizeof(n));
		pthread_mutex_lock(&d->lock);
		for (int i = 0; i < PORTS; i++) {
			if (!p[i].revents || d->kick[i] != p[i].fd ||
			    read(p[i].fd, &n, sizeof(n)) != sizeof(n))
				continue;
			if (i == 3) {
				d->state = DOM_SHUTDOWN;
				d->ev.shutdown(d->ev.arg, 0);
			}
			n = 1;
			(void)!write(d->notify[i], &n, sizeof(n));
		}
		pthread_mutex_unlock(&d->lock);
	}
	return NULL;
}

int domain_new(const struct domain_config *cfg, const struct domain_events *ev, struct domain **ret,
	       char *err, size_t errlen)
{
	struct domain *d = calloc(1, sizeof(*d));
	struct stat st;

	if (!d)
		return -ENOMEM;
	if (strcmp(cfg->cmdline, "kvm") == 0 &&
	    (strcmp(cfg->engine, "kvm") != 0 || fstat(cfg->kvm_fd, &st) < 0)) {
		snprintf(err, errlen, "engine %s, descriptor %d", cfg->engine, cfg->kvm_fd);
		free(d);
		return -EINVAL;
	}
	d->ev = *ev;
	d->max_vcpus = cfg->max_vcpus;
	d->pages = cfg->populated;
	d->max_pages = cfg->mem_pages;
	snprintf(d->cmdline, sizeof(d->cmdline), "%s", cfg->cmdline);
	for (int i = 0; i < PORTS; i++)
		d->notify[i] = d->kick[i] = -1;
	d->wake = sys_eventfd();
	pthread_mutex_init(&d->lock, NULL);
	*ret = d;
	return 0;
}

/* FAKE_KVM: how fast this host's KVM is; "hang": it never answers. */
int engine_probe(const char *engine, int kvm_fd, uint64_t *ret_rate, char *why, size_t n)
{
	const char *rate = getenv("FAKE_KVM");

	if (rate && strcmp(rate, "hang") == 0)
		for (;;)
			pause();
	*ret_rate = rate ? strtoull(rate, NULL, 10) : 0;
	snprintf(why, n, "none in this test");
	return rate ? 0 : -ENODEV;
}

int domain_build(struct domain *d, char *err, size_t errlen)
{
	if (strncmp(d->cmdline, "fail ", 5) == 0) {
		snprintf(err, errlen, "%s", d->cmdline + 5);
		return -EINVAL;
	}
	if (strncmp(d->cmdline, "sleep ", 6) == 0) {
		long ms = atol(d->cmdline + 6);
		struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	}
	if (strcmp(d->cmdline, "abort") == 0)
		abort();
	d->ev.log(d->ev.arg, "fake guest \033[31mbuilt");
	d->state = DOM_PAUSED;
	return pthread_create(&d->thread, NULL, guest, d) ? -EAGAIN : 0;
}

#define CONTROL 3 /* main.c: SPAWN_FD */

static void send_type(uint16_t type, uint32_t seq, const int *fds, size_t nfds)
{
	static struct hv_msg m;

	m = (struct hv_msg){ .type = type, .seq = seq };
	if (type == HV_D_LOG)
		snprintf(m.u.D_LOG.text, sizeof(m.u.D_LOG.text), "flood");
	(void)hv_link_send(CONTROL, &m, fds, nfds);
}

static void misbehave(const struct domain *d)
{
	int fds[FDPASS_MAX];

	for (int i = 0; i < FDPASS_MAX; i++)
		fds[i] = d->wake;
	if (strcmp(d->cmdline, "junk") == 0)
		(void)!write(CONTROL, "rubbish", 7);
	else if (strcmp(d->cmdline, "unasked") == 0)
		send_type(HV_D_STATS, 0, NULL, 0);
	else if (strcmp(d->cmdline, "lies") == 0)
		for (uint32_t seq = 1; seq < 100; seq++)
			send_type(HV_D_ADOPT_REPLY, seq, fds, 3);
	else if (strcmp(d->cmdline, "hangup") == 0)
		close(CONTROL);
	for (int i = 0; i < 5000 && strcmp(d->cmdline, "flood") == 0; i++)
		send_type(HV_D_LOG, 0, fds, FDPASS_MAX);
}

void domain_unpause(struct domain *d)
{
	misbehave(d);
	if (strcmp(d->cmdline, "syscall") == 0)
		(void)socket(AF_INET, SOCK_STREAM, 0);
	if (d->state == DOM_PAUSED)
		d->state = DOM_RUNNING;
}

void domain_pause(struct domain *d)
{
	while (strcmp(d->cmdline, "hang") == 0)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_sec = 1 }, NULL);
	if (d->state == DOM_RUNNING)
		d->state = DOM_PAUSED;
}

void domain_stats(struct domain *d, struct domain_stats *ret)
{
	*ret = (struct domain_stats){ .state = d->state,
				      .pages = d->pages,
				      .max_pages = d->max_pages,
				      .vcpus_online = 1,
				      .max_vcpus = d->max_vcpus,
				      .cpu_ns = 42,
				      .vcpu_ns = { 40, 2 } };
}

struct domain *domain_free(struct domain *d)
{
	free(d);
	return NULL;
}

int domain_bind_dom0(struct domain *d, uint32_t port, int notify_fd, int kick_fd)
{
	if (port >= PORTS)
		return -ENOENT;
	pthread_mutex_lock(&d->lock);
	if (d->notify[port] >= 0) {
		close(d->notify[port]);
		close(d->kick[port]);
	}
	d->notify[port] = notify_fd;
	d->kick[port] = kick_fd;
	pthread_mutex_unlock(&d->lock);
	(void)!write(d->wake, &(uint64_t){ 1 }, 8);
	return 0;
}

int domain_unbind_dom0(struct domain *d, uint32_t port)
{
	int r = -ENOENT;

	pthread_mutex_lock(&d->lock);
	if (port < PORTS && d->notify[port] >= 0) {
		close(d->notify[port]);
		close(d->kick[port]);
		d->notify[port] = d->kick[port] = -1;
		r = 0;
	}
	pthread_mutex_unlock(&d->lock);
	(void)!write(d->wake, &(uint64_t){ 1 }, 8);
	return r;
}

int domain_set_max_pages(struct domain *d, uint64_t pages)
{
	if (pages < d->pages)
		return -EINVAL;
	d->max_pages = pages;
	return 0;
}

void domain_debug_virq(struct domain *d)
{
	d->ev.log(d->ev.arg, "debug virq");
}

int domain_nmi(struct domain *d, unsigned vcpu)
{
	return vcpu < d->max_vcpus ? 0 : -EINVAL;
}
