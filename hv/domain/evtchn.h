/* hv/domain/evtchn.h - event channels: the port table and delivery (2-level).
 *
 *   FREE --alloc_unbound--> UNBOUND --bind--> INTERDOMAIN (a port of ours, or dom0)
 *   FREE --bind_virq--> VIRQ, FREE --bind_ipi--> IPI; close: any --> FREE
 *
 * Peers are this domain itself or dom0, reached by a pair of eventfds.  All
 * functions take the evt lock themselves; errors are Xen's as negative errno.
 * Source: <xen/event_channel.h>.
 */
#ifndef HV_DOMAIN_EVTCHN_H
#define HV_DOMAIN_EVTCHN_H

#include <stdint.h>

#include <xen/xen.h>
#include <xen/event_channel.h>

struct domain;
struct mvcpu;

int evt_init(struct domain *d);
void evt_fini(struct domain *d); /* closes descriptors */

int evt_alloc_unbound(struct domain *d, domid_t remote, uint32_t *ret_port);
int evt_bind_interdomain(struct domain *d, domid_t remote, uint32_t remote_port,
			 uint32_t *ret_port);
int evt_bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, uint32_t *ret_port);
int evt_bind_ipi(struct domain *d, uint32_t vcpu, uint32_t *ret_port);
int evt_close(struct domain *d, uint32_t port);
int evt_send(struct domain *d, uint32_t port);
int evt_status(struct domain *d, struct evtchn_status *st); /* st->port in, the rest out */
int evt_bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu);
int evt_unmask(struct domain *d, uint32_t port);
void evt_reset(struct domain *d);

/* The vCPU's virtual interrupt; nothing happens if it is not bound. */
void evt_virq(struct mvcpu *v, uint32_t virq);
/* dom0's descriptor of port became readable. */
void evt_kicked(struct domain *d, uint32_t port);

int evt_bind_dom0(struct domain *d, uint32_t port, int notify_fd, int kick_fd);
int evt_unbind_dom0(struct domain *d, uint32_t port);

/* Move v's vcpu_info to host memory at to (8-aligned, lives as long as the
 * domain).  Once per vCPU until evt_forget_info(): -EINVAL. */
int evt_register_info(struct mvcpu *v, struct vcpu_info *to);

#endif
