/* hv/engine/soft/run.h - vcpu_run and vcpu_complete of the software engine. */
#ifndef HV_ENGINE_SOFT_RUN_H
#define HV_ENGINE_SOFT_RUN_H

#include "hv/engine/soft/cpu.h"

int run_vcpu(struct vcpu *c, struct vm_exit *ret);
void run_complete(struct vcpu *c, const struct vm_exit *x);

#endif
