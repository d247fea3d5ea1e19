/* tests/unit/hv/domain/world.h - a domain on an engine that tests play.
 *
 * The engine executes nothing: a vCPU's thread waits in vcpu_run until the test
 * makes it exit.  So each hypercall runs on the real threads with the real
 * locks, through domain.h, with arguments the test put in guest memory.
 * Guest-virtual is guest-physical.  Waits end after seconds, as failures.
 */
#ifndef TESTS_HV_DOMAIN_WORLD_H
#define TESTS_HV_DOMAIN_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/domain/domain.h"
#include "hv/engine/engine.h"

#define WORLD_PAGES  4096u /* 16 MiB */
#define WORLD_ENTRY  0x100040u
#define ARG	     0x200000ull /* where tests put arguments */
#define UNMAPPED     0xe0000000ull
#define WORLD_VECTOR 0xf3

struct world {
	struct domain *d;
	struct domain_config cfg;
	uint8_t *ram, *special, *gnttab; /* the test's own mappings */
	unsigned shutdowns, reason, lines;
	char line[256]; /* the last one logged */
};

/* A built and running domain; NULL with err filled if it could not be. */
void world_init(struct world *w, unsigned vcpus);
void world_init_at(struct world *w, unsigned vcpus, uint64_t populated);
int world_try(struct world *w, unsigned vcpus, uint64_t populated, char *err, size_t errlen);
void world_fini(struct world *w);

/* Make vCPU exit with x; returns when the machine model is done with it. */
void world_exit(struct world *w, unsigned vcpu, struct vm_exit *x);
int64_t world_call(struct world *w, unsigned vcpu, uint64_t nr, uint64_t a0, uint64_t a1,
		   uint64_t a2);
/* The same with its structure: copied to ARG and back. */
int64_t world_op(struct world *w, unsigned vcpu, uint64_t nr, uint64_t op, void *arg, size_t n);

int world_rdmsr(struct world *w, unsigned vcpu, uint32_t index, uint64_t *ret);
int world_wrmsr(struct world *w, unsigned vcpu, uint32_t index, uint64_t val);

/* HLT; returns at once, the thread idles. */
void world_halt(struct world *w, unsigned vcpu);
/* Wait for the next interrupt injected into vcpu: its vector, or -1. */
int world_wait_irq(struct world *w, unsigned vcpu);
/* Is one there already?  Lets the vCPU's loop turn once first. */
int world_irq_now(struct world *w, unsigned vcpu);
void world_set_if(struct world *w, unsigned vcpu, bool on);
struct vcpu_state *world_regs(struct world *w, unsigned vcpu);
bool world_wait_shutdown(struct world *w);
/* Host address of what the guest sees at gfn, or NULL. */
void *world_page(struct world *w, uint64_t gfn);
/* cond becomes true within seconds. */
bool world_wait(bool (*cond)(struct world *w), struct world *w);
unsigned world_nmis(struct world *w, unsigned vcpu);

#endif
