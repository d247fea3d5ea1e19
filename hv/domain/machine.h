/* hv/domain/machine.h - the insides of a domain, for hv/domain's own files.
 *
 * One thread per vCPU runs the guest; one service thread stands in for vCPUs
 * that are busy when a timer expires or dom0 kicks a port.
 *
 * Locks, in the order they may be taken (a thread holding one takes only those
 * below it; none is held across vcpu_run):
 *   1. life      state, parked vCPUs, shutdown reason
 *   2. mem       p2m changes, where shared_info and grant frames are, balloon
 *   3. evt       event-channel table, HVM params, vcpu_info registration
 *   4. gnt       grant map handles
 *   5. v->lock   one vCPU's LAPIC, timers, run state; never two at once
 *   6. clock     pvclock parameters; logs
 * engine calls that wait for other vCPUs (vm_flush) are made under mem at most:
 * no vCPU needs mem to leave guest code.
 */
#ifndef HV_DOMAIN_MACHINE_H
#define HV_DOMAIN_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/hvm/params.h>
#include <xen/vcpu.h>

#include "daemons/log.h"
#include "hv/domain/clock.h"
#include "hv/domain/domain.h"
#include "hv/domain/lapic.h"
#include "hv/engine/engine.h"

#define DOMAIN_CONSOLE_LINE 160u
#define DOMAIN_POLL_PORTS   128u
#define DOMAIN_WATCHDOGS    2u

/* Special pages behind the toolstack's two. */
#define SPECIAL_PAGE_ACPI 2u
#define ACPI_GFN	  0xfc000ull

enum vcpu_request {
	REQ_INIT = 1 << 0,
	REQ_SIPI = 1 << 1,
	REQ_NMI = 1 << 2,
	REQ_TIME = 1 << 3, /* pvclock parameters changed */
};

enum vcpu_mode {
	MODE_BUSY, /* in guest code, or about to look for work: kick */
	MODE_IDLE, /* waiting on epfd, or about to: write wakefd */
};

enum vcpu_block {
	BLOCK_NONE,
	BLOCK_EVENT, /* SCHEDOP_block */
	BLOCK_POLL,  /* SCHEDOP_poll */
};

enum vcpu_timer {
	TIMER_SINGLESHOT,
	TIMER_PERIODIC,
	TIMER_POLL,
	TIMER_LAPIC,
	TIMER_WATCHDOG, /* two of them, on vCPU 0 */
	TIMER_NR = TIMER_WATCHDOG + DOMAIN_WATCHDOGS
};

struct mvcpu {
	struct domain *d;
	unsigned id;
	struct vcpu *hw; /* the engine's; owned */
	pthread_t thread;
	bool started;
	int epfd, wakefd, timerfd;

	_Atomic unsigned mode;	  /* enum vcpu_mode */
	_Atomic unsigned req;	  /* enum vcpu_request */
	_Atomic bool up;	  /* false: offline, waits for INIT and SIPI */
	_Atomic bool initialised; /* has ever been started */
	_Atomic unsigned block;	  /* enum vcpu_block */
	_Atomic bool poll_timeout;
	_Atomic(struct vcpu_info *) info;
	_Atomic uint8_t upcall_vector;	       /* 0: none */
	_Atomic uint64_t runstate_va, time_va; /* 0: not registered */
	_Atomic uint8_t sipi_vector;
	bool info_registered; /* under evt */

	pthread_mutex_t lock;
	struct lapic lapic;
	bool upcall_owed; /* an upcall the LAPIC dropped: retry */
	uint64_t timer_at[TIMER_NR], timer_period[TIMER_NR]; /* guest ns; 0: off */
	uint64_t timer_armed;
	struct vcpu_runstate_info rs;
	uint64_t rs_cpu_ns;

	/* Only on the vCPU's own thread. */
	bool wait_sipi, window, halted;
	uint32_t poll_port[DOMAIN_POLL_PORTS];
	unsigned poll_nr;
	int64_t tsc_offset;
	uint32_t clock_seq;
	struct msr_state {
		uint64_t misc_enable, mtrr_def, mcg_status, tsc_adjust, hwcr;
	} msr;
};

enum port_state { PORT_FREE, PORT_RESERVED, PORT_UNBOUND, PORT_INTERDOMAIN, PORT_VIRQ, PORT_IPI };

struct port {
	uint8_t state;		/* enum port_state */
	uint8_t vcpu;		/* notified */
	uint16_t virq;		/* PORT_VIRQ */
	uint16_t remote;	/* domid, PORT_UNBOUND and PORT_INTERDOMAIN */
	uint32_t remote_port;	/* within this domain; 0 when the peer is dom0 */
	int notify_fd, kick_fd; /* PORT_INTERDOMAIN to dom0; owned; -1 */
};

#define EVT_NR_VIRQS 24u

struct evtchn {
	pthread_mutex_t lock;
	struct port port[DOMAIN_MAX_PORTS];
	uint32_t virq_port[DOMAIN_MAX_VCPUS][EVT_NR_VIRQS]; /* 0: not bound */
	_Atomic unsigned pollers;
	uint64_t param[HVM_NR_PARAMS];
	_Atomic uint8_t callback_vector; /* HVM_PARAM_CALLBACK_IRQ of vector type */
};

struct memory {
	pthread_mutex_t lock;
	struct p2m *p2m;
	uint8_t *ram;
	uint64_t ram_pages;
	uint8_t *special, *gnttab;
	int ram_fd;
	uint64_t released;   /* pages the guest gave back */
	uint64_t populated;  /* memory=: what it counts as until it has ballooned down to it */
	bool settled;	     /* it has */
	uint64_t max_pages;  /* populate may not go beyond */
	uint64_t shinfo_gfn; /* GFN_NONE: not mapped */
	uint64_t grant_gfn[GNTTAB_MAX_FRAMES];
	unsigned grant_frames; /* in use */
};
#define GFN_NONE UINT64_MAX

/* A grant of this domain mapped by itself. */
struct grant_map {
	uint32_t ref, flags;
	uint64_t gfn;
	bool used;
};
#define GRANT_MAPS_MAX 1024u

enum log_kind { LOGK_HYPERCALL, LOGK_CONSOLE, LOGK_MSR, LOGK_LIFE, LOGK_NR };

struct domain {
	uint16_t domid;
	uint8_t uuid[16];
	unsigned boot_vcpus, max_vcpus;
	bool no_store;
	char cmdline[DOMAIN_CMDLINE_MAX];
	int kernel_fd, ramdisk_fd; /* borrowed until built */
	struct domain_events ev;
	const struct engine_ops *ops;
	struct vm *vm;
	int kvm_fd;

	struct {
		pthread_mutex_t lock;
		pthread_cond_t cond;
		enum domain_state state;
		int active;	   /* vCPU threads outside the gate */
		_Atomic bool stop; /* to the gate, all */
		bool quit, reported;
		unsigned reason;
		char detail[128];
	} life;

	struct memory mem;
	struct evtchn evt;
	struct {
		pthread_mutex_t lock;
		struct grant_map map[GRANT_MAPS_MAX];
	} gnt;
	struct gclock clock;
	struct shared_info *shinfo; /* one page, private until the guest maps it */

	struct {
		pthread_t thread;
		bool started;
		int epfd, quitfd;
	} svc;

	struct {
		pthread_mutex_t lock;
		struct log_window window[LOGK_NR];
		unsigned burst[LOGK_NR];
		uint64_t unknown[2]; /* hypercall numbers already reported */
		char line[DOMAIN_CONSOLE_LINE];
		unsigned len;
	} log;
	_Atomic uint32_t vm_assist;

	struct mvcpu vcpu[DOMAIN_MAX_VCPUS];
};

/* domain.c */
void domain_shutdown(struct domain *d, unsigned reason, const char *detail);
__attribute__((format(printf, 3, 4))) void domain_log(struct domain *d, enum log_kind kind,
						      const char *fmt, ...);
/* Called by a vCPU's thread before it looks for work: parks it while the
 * domain is stopped.  False: the thread must end. */
bool domain_gate(struct domain *d);

/* build.c */
int build_guest(struct domain *d, char *err, size_t errlen);

/* vcpu.c */
int vcpu_init(struct domain *d, unsigned id); /* descriptors and state; no thread */
int vcpu_start(struct mvcpu *v);	      /* the thread; the domain is stopped */
void vcpu_fini(struct mvcpu *v);	      /* joins; idempotent */
/* Any thread: look for work again. */
void vcpu_notify(struct mvcpu *v);
void vcpu_request(struct mvcpu *v, unsigned req);
/* Any thread: the upcall line of v was raised. */
void vcpu_upcall(struct mvcpu *v);
/* Any thread: an interrupt message. */
void vcpu_irq(struct mvcpu *v, uint8_t vector);
void vcpu_take_down(struct mvcpu *v);
bool vcpu_poll_ready(const struct mvcpu *v);

/* msr.c: 0, or -EPERM for #GP */
int msr_read(struct mvcpu *v, uint32_t index, uint64_t *ret);
int msr_write(struct mvcpu *v, uint32_t index, uint64_t val);
void apic_write(struct mvcpu *v, uint32_t reg, uint64_t val, int *ret_err);
int apic_read(struct mvcpu *v, uint32_t reg, uint64_t *ret);

/* timer.c: times are guest system time, ns */
void timer_set(struct mvcpu *v, enum vcpu_timer t, uint64_t at, uint64_t period);
void timer_stop(struct mvcpu *v, enum vcpu_timer t);
uint64_t timer_at(struct mvcpu *v, enum vcpu_timer t);
void timer_expire(struct mvcpu *v); /* fires what is due */

/* runstate.c: on v's own thread */
void runstate_switch(struct mvcpu *v, int state);
void runstate_get(struct mvcpu *v, struct vcpu_runstate_info *ret); /* any thread */
void runstate_publish(struct mvcpu *v);
/* pvclock of v into its vcpu_info and its registered area. */
void time_publish(struct mvcpu *v);
void wallclock_publish(struct domain *d);

static inline uint64_t guest_now(struct domain *d)
{
	return gclock_now(&d->clock);
}

#endif
