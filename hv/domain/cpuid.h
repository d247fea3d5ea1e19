/* hv/domain/cpuid.h - the processor a guest sees.
 *
 * The host's leaves, masked by what the engine can execute and by what this
 * machine can offer, plus Xen's leaves.  What is unsure is hidden.
 * Sources: SDM 2A CPUID, AMD APM 3 app. E, <xen/arch-x86/cpuid.h>.
 */
#ifndef HV_DOMAIN_CPUID_H
#define HV_DOMAIN_CPUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hv/engine/engine.h"

#define CPUID_LEAVES_MAX 64u

struct cpuid_cfg {
	const struct engine_ops *ops;
	unsigned vcpu, max_vcpus;
	uint16_t domid;
	uint32_t tsc_khz, tsc_mul; /* mul and shift as pvclock has them */
	int8_t tsc_shift;
};

/* Fill leaves (room for CPUID_LEAVES_MAX); returns how many. */
size_t cpuid_build(const struct cpuid_cfg *cfg, struct cpuid_leaf *leaves);

/* The kernel picks vmmcall on AMD and Hygon, vmcall elsewhere. */
bool cpuid_host_is_amd(void);

#endif
