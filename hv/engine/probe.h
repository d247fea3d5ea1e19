/* hv/engine/probe.h - whether an engine is worth using on this host. */
#ifndef HV_ENGINE_PROBE_H
#define HV_ENGINE_PROBE_H

#include <stddef.h>
#include <stdint.h>

/* A /dev/kvm that emulates ring 0 runs some 1.5 million iterations a second of
 * the probe's loop, one on hardware thousands of millions; so do the emulated
 * processors that scripts/test-kvm uses. */
#define PROBE_ENOUGH 50000000u /* iterations a second */

/* Runs a small 64-bit guest on the engine for PROBE_MS, then lets it make a
 * hypercall.  *ret_rate: iterations of a three-instruction loop a second.  0, or
 * a negative errno and what failed in why.  An engine on a broken host may hang
 * in here: call it in a process that can be killed. */
#define PROBE_MS 10u
int engine_probe(const char *engine, int kvm_fd, uint64_t *ret_rate, char *why, size_t n);

#endif
