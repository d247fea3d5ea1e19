/* hv/domain/service.h - what wakes a domain: dom0's kicks and timers. */
#ifndef HV_DOMAIN_SERVICE_H
#define HV_DOMAIN_SERVICE_H

#include <stdint.h>

struct domain;
struct mvcpu;

/* Tags of an epoll event: a port, a vCPU's timer, or the waiter's own wake-up. */
#define SERVICE_TIMER(vcpu) (0x10000ull + (vcpu))
#define SERVICE_WAKE	    UINT64_MAX

/* Descriptors only; start runs the thread; stop joins it; all idempotent at
 * the end.  Negative errno. */
int service_init(struct domain *d);
int service_start(struct domain *d);
void service_stop(struct domain *d);
void service_fini(struct domain *d);

/* Watch fd for v: its timer, or the kick descriptor of port. */
int service_watch(struct mvcpu *v, int fd, uint32_t port);
void service_unwatch(struct mvcpu *v, int fd);

/* What a waiter on an epoll set does with a tag it got. */
void service_event(struct domain *d, uint64_t tag);

#endif
