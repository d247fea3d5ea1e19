/* hv/domain/domain.c - the life of a domain: made, built, run, stopped, freed.
 *
 * Stopping: a flag, and a kick to every vCPU; each parks in domain_gate() with
 * nothing of the guest's half done.  The last one to park makes the stop true,
 * and only then is a shutdown reported.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <stdint.h>

#include <xen/sched.h>

#include "daemons/sys.h"
#include "hv/domain/evtchn.h"
#include "hv/domain/machine.h"
#include "hv/domain/service.h"

#define LOG_WINDOW_S  1u
#define RAM_MIN_PAGES 1024u /* 4 MiB: below that no kernel starts */

/* Lines of one kind in one window. */
static const unsigned log_burst[LOGK_NR] = {
	[LOGK_HYPERCALL] = 64,
	[LOGK_CONSOLE] = 200,
	[LOGK_MSR] = 8,
	[LOGK_LIFE] = 64,
};

__attribute__((format(printf, 4, 5))) static int refuse(char *err, size_t errlen, int r,
							const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err, errlen, fmt, ap); /* a cut message is still a message */
	va_end(ap);
	return r;
}

void domain_log(struct domain *d, enum log_kind kind, const char *fmt, ...)
{
	uint32_t suppressed = 0;
	char line[256];
	bool open, fresh;
	va_list ap;

	pthread_mutex_lock(&d->log.lock);
	fresh = log_window_open(&d->log.window[kind], LOG_WINDOW_S, &suppressed);
	if (fresh)
		d->log.burst[kind] = log_burst[kind];
	open = d->log.burst[kind] > 0;
	if (open)
		d->log.burst[kind]--;
	pthread_mutex_unlock(&d->log.lock);
	if (!open || !d->ev.log)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap); /* a cut line is still a line */
	va_end(ap);
	d->ev.log(d->ev.arg, line);
}

/* ---- new and free ---- */

static int check_config(const struct domain_config *cfg, char *err, size_t errlen)
{
	if (!cfg->max_vcpus || cfg->max_vcpus > DOMAIN_MAX_VCPUS)
		return refuse(err, errlen, -EINVAL, "%u vCPUs asked for; 1 to %u are possible",
			      cfg->max_vcpus, DOMAIN_MAX_VCPUS);
	if (!cfg->vcpus || cfg->vcpus > cfg->max_vcpus)
		return refuse(err, errlen, -EINVAL, "%u vCPUs at boot asked for, of %u", cfg->vcpus,
			      cfg->max_vcpus);
	if (cfg->mem_pages < RAM_MIN_PAGES)
		return refuse(
			err, errlen, -EINVAL,
			"%llu KiB of memory is too little for a guest: give it at least %u MiB",
			(unsigned long long)cfg->mem_pages * 4, RAM_MIN_PAGES / 256);
	if (!cfg->populated || cfg->populated > cfg->mem_pages)
		return refuse(err, errlen, -EINVAL,
			      "memory= must be above 0 and not above maxmem=");
	if (!cfg->cmdline || strlen(cfg->cmdline) >= DOMAIN_CMDLINE_MAX)
		return refuse(err, errlen, -EINVAL, "the command line is longer than %u bytes",
			      DOMAIN_CMDLINE_MAX - 1);
	if (!cfg->engine || !engine_find(cfg->engine))
		return refuse(err, errlen, -EINVAL, "there is no engine named '%.32s'",
			      cfg->engine ? cfg->engine : "");
	return 0;
}

static int map_memory(struct domain *d, const struct domain_config *cfg)
{
	struct memory *m = &d->mem;
	int r;

	pthread_mutex_init(&m->lock, NULL);
	m->ram_pages = m->max_pages = cfg->mem_pages;
	m->populated = cfg->populated;
	m->settled = cfg->populated == cfg->mem_pages;
	m->ram_fd = cfg->ram_fd;
	m->shinfo_gfn = GFN_NONE;
	for (unsigned i = 0; i < GNTTAB_MAX_FRAMES; i++)
		m->grant_gfn[i] = GFN_NONE;
	m->ram = sys_mmap_shared(cfg->ram_fd, cfg->mem_pages * P2M_PAGE_SIZE, 0,
				 PROT_READ | PROT_WRITE, &r);
	if (!m->ram)
		return r;
	m->special = sys_mmap_shared(cfg->special_fd, SPECIAL_PAGES * P2M_PAGE_SIZE, 0,
				     PROT_READ | PROT_WRITE, &r);
	if (!m->special)
		return r;
	m->gnttab = sys_mmap_shared(cfg->gnttab_fd, GNTTAB_MAX_FRAMES * P2M_PAGE_SIZE, 0,
				    PROT_READ | PROT_WRITE, &r);
	if (!m->gnttab)
		return r;
	return p2m_new(m->ram, m->ram_pages, &m->p2m);
}

static int init_parts(struct domain *d, const struct domain_config *cfg)
{
	int r;

	/* Shared: an engine may want to map it a second time. */
	d->shinfo = mmap(NULL, P2M_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	if (d->shinfo == MAP_FAILED) {
		d->shinfo = NULL;
		return -ENOMEM;
	}
	r = evt_init(d);
	if (r < 0)
		return r;
	r = map_memory(d, cfg);
	if (r < 0)
		return r;
	r = service_init(d);
	for (unsigned i = 0; r >= 0 && i < d->max_vcpus; i++)
		r = vcpu_init(d, i);
	return r;
}

int domain_new(const struct domain_config *cfg, const struct domain_events *ev, struct domain **ret,
	       char *err, size_t errlen)
{
	struct domain *d;
	int r;

	r = check_config(cfg, err, errlen);
	if (r < 0)
		return r;
	d = sys_zalloc(sizeof(*d));
	if (!d)
		return refuse(err, errlen, -ENOMEM, "out of memory");
	d->domid = cfg->domid;
	memcpy(d->uuid, cfg->uuid, sizeof(d->uuid));
	d->boot_vcpus = cfg->vcpus;
	d->max_vcpus = cfg->max_vcpus;
	d->no_store = cfg->no_store;
	memcpy(d->cmdline, cfg->cmdline, strlen(cfg->cmdline) + 1);
	d->kernel_fd = cfg->kernel_fd;
	d->ramdisk_fd = cfg->ramdisk_fd;
	d->ev = *ev;
	d->ops = engine_find(cfg->engine);
	d->kvm_fd = cfg->kvm_fd;
	d->svc.epfd = d->svc.quitfd = -1;
	d->life.state = DOM_BUILDING;
	atomic_store(&d->life.stop, true);
	pthread_mutex_init(&d->life.lock, NULL);
	pthread_cond_init(&d->life.cond, NULL);
	pthread_mutex_init(&d->gnt.lock, NULL);
	pthread_mutex_init(&d->log.lock, NULL);
	gclock_init(&d->clock);

	r = init_parts(d, cfg);
	if (r < 0) {
		domain_free(d);
		return refuse(err, errlen, r, "can't set up the domain: %s", strerror(-r));
	}
	*ret = d;
	return 0;
}

static void kick_all(struct domain *d)
{
	for (unsigned i = 0; i < d->max_vcpus; i++)
		if (d->vcpu[i].started)
			vcpu_notify(&d->vcpu[i]);
}

static void unmap(void *p, size_t n)
{
	if (p)
		(void)munmap(p, n);
}

struct domain *domain_free(struct domain *d)
{
	if (!d)
		return NULL;
	pthread_mutex_lock(&d->life.lock);
	d->life.quit = true;
	atomic_store(&d->life.stop, true);
	pthread_cond_broadcast(&d->life.cond);
	pthread_mutex_unlock(&d->life.lock);
	kick_all(d);
	/* The service thread may wait for nothing of a vCPU's: it goes first. */
	service_stop(d);
	for (unsigned i = 0; i < d->max_vcpus; i++)
		if (d->vcpu[i].started) {
			(void)pthread_join(d->vcpu[i].thread, NULL); /* ours, joined once */
			d->vcpu[i].started = false;
		}
	if (d->shinfo)
		evt_fini(d);
	for (unsigned i = 0; i < d->max_vcpus; i++)
		vcpu_fini(&d->vcpu[i]);
	if (d->vm)
		d->ops->vm_free(d->vm);
	service_fini(d);
	p2m_free(d->mem.p2m);
	unmap(d->mem.ram, d->mem.ram_pages * P2M_PAGE_SIZE);
	unmap(d->mem.special, SPECIAL_PAGES * P2M_PAGE_SIZE);
	unmap(d->mem.gnttab, GNTTAB_MAX_FRAMES * P2M_PAGE_SIZE);
	unmap(d->shinfo, P2M_PAGE_SIZE);
	gclock_fini(&d->clock);
	free(d);
	return NULL;
}

/* ---- life ---- */

static bool can_build(struct domain *d)
{
	bool yes;

	pthread_mutex_lock(&d->life.lock);
	yes = d->life.state == DOM_BUILDING;
	pthread_mutex_unlock(&d->life.lock);
	return yes;
}

int domain_build(struct domain *d, char *err, size_t errlen)
{
	int r;

	if (!can_build(d))
		return refuse(err, errlen, -EBUSY, "the domain is built already");
	r = build_guest(d, err, errlen);
	if (r < 0)
		return r;
	pthread_mutex_lock(&d->life.lock);
	d->life.state = DOM_PAUSED;
	pthread_mutex_unlock(&d->life.lock);
	return 0;
}

/* With the lock held: report a shutdown once nothing runs any more. */
static bool take_report(struct domain *d)
{
	if (d->life.state != DOM_SHUTDOWN || d->life.active || d->life.reported)
		return false;
	d->life.reported = true;
	return true;
}

static void report(struct domain *d)
{
	if (d->ev.shutdown)
		d->ev.shutdown(d->ev.arg, d->life.reason);
}

bool domain_gate(struct domain *d)
{
	bool run, tell;

	if (!atomic_load(&d->life.stop))
		return true;
	pthread_mutex_lock(&d->life.lock);
	d->life.active--;
	tell = take_report(d);
	pthread_cond_broadcast(&d->life.cond);
	if (tell) {
		pthread_mutex_unlock(&d->life.lock);
		report(d);
		pthread_mutex_lock(&d->life.lock);
	}
	while (atomic_load(&d->life.stop) && !d->life.quit)
		pthread_cond_wait(&d->life.cond, &d->life.lock);
	run = !d->life.quit;
	d->life.active++;
	pthread_mutex_unlock(&d->life.lock);
	return run;
}

void domain_shutdown(struct domain *d, unsigned reason, const char *detail)
{
	bool first, tell;

	pthread_mutex_lock(&d->life.lock);
	first = d->life.state != DOM_SHUTDOWN;
	if (first) {
		d->life.state = DOM_SHUTDOWN;
		d->life.reason = reason;
		(void)snprintf(d->life.detail, sizeof(d->life.detail), "%s",
			       detail); /* may be cut */
		atomic_store(&d->life.stop, true);
	}
	tell = take_report(d);
	pthread_mutex_unlock(&d->life.lock);
	if (!first)
		return;
	if (detail[0])
		domain_log(d, LOGK_LIFE, "%s", detail);
	kick_all(d);
	if (tell)
		report(d);
}

void domain_unpause(struct domain *d)
{
	pthread_mutex_lock(&d->life.lock);
	if (d->life.state == DOM_PAUSED) {
		d->life.state = DOM_RUNNING;
		atomic_store(&d->life.stop, false);
		pthread_cond_broadcast(&d->life.cond);
	}
	pthread_mutex_unlock(&d->life.lock);
}

void domain_pause(struct domain *d)
{
	pthread_mutex_lock(&d->life.lock);
	if (d->life.state == DOM_RUNNING) {
		d->life.state = DOM_PAUSED;
		atomic_store(&d->life.stop, true);
	}
	pthread_mutex_unlock(&d->life.lock);
	kick_all(d);
	pthread_mutex_lock(&d->life.lock);
	while (d->life.active && atomic_load(&d->life.stop))
		pthread_cond_wait(&d->life.cond, &d->life.lock);
	pthread_mutex_unlock(&d->life.lock);
}

/* ---- questions and small orders ---- */

static uint64_t thread_cpu_ns(const struct mvcpu *v)
{
	struct timespec ts;
	clockid_t clk;

	if (!v->started || pthread_getcpuclockid(v->thread, &clk) || clock_gettime(clk, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void domain_stats(struct domain *d, struct domain_stats *ret)
{
	struct domain_stats s = { .max_vcpus = d->max_vcpus, .blocked = true };
	uint64_t present;

	pthread_mutex_lock(&d->life.lock);
	s.state = d->life.state;
	s.shutdown_reason = d->life.reason;
	memcpy(s.crash_detail, d->life.detail, sizeof(s.crash_detail));
	pthread_mutex_unlock(&d->life.lock);

	/* memory= below maxmem=: the guest sees maxmem and gives back the rest
	 * itself.  Until it has, it counts as what it was given. */
	pthread_mutex_lock(&d->mem.lock);
	present = d->mem.ram_pages - d->mem.released;
	s.max_pages = d->mem.max_pages;
	s.pages = d->mem.settled ? present : d->mem.populated;
	pthread_mutex_unlock(&d->mem.lock);

	for (unsigned i = 0; i < d->max_vcpus; i++) {
		struct mvcpu *v = &d->vcpu[i];

		s.vcpu_ns[i] = thread_cpu_ns(v);
		s.cpu_ns += s.vcpu_ns[i];
		if (!atomic_load(&v->up))
			continue;
		s.vcpus_online++;
		if (atomic_load(&v->mode) != MODE_IDLE)
			s.blocked = false;
	}
	if (s.state != DOM_RUNNING)
		s.blocked = false;
	*ret = s;
}

int domain_bind_dom0(struct domain *d, uint32_t port, int notify_fd, int kick_fd)
{
	return evt_bind_dom0(d, port, notify_fd, kick_fd);
}

int domain_unbind_dom0(struct domain *d, uint32_t port)
{
	return evt_unbind_dom0(d, port);
}

int domain_set_max_pages(struct domain *d, uint64_t pages)
{
	if (!pages || pages > d->mem.ram_pages)
		return -EINVAL;
	pthread_mutex_lock(&d->mem.lock);
	d->mem.max_pages = pages;
	pthread_mutex_unlock(&d->mem.lock);
	return 0;
}

void domain_debug_virq(struct domain *d)
{
	for (unsigned i = 0; i < d->max_vcpus; i++)
		evt_virq(&d->vcpu[i], VIRQ_DEBUG);
}

int domain_nmi(struct domain *d, unsigned vcpu)
{
	if (vcpu >= d->max_vcpus)
		return -ENOENT;
	vcpu_request(&d->vcpu[vcpu], REQ_NMI);
	return 0;
}
