/* hv/engine/kvm/kvm.h - the engine that lets the processor's virtualisation run
 * the guest, by Linux's /dev/kvm. */
#ifndef HV_ENGINE_KVM_KVM_H
#define HV_ENGINE_KVM_KVM_H

#include "hv/engine/engine.h"

extern const struct engine_ops engine_kvm;

#endif
