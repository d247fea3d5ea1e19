/* hv/domain/evtchn.c - see evtchn.h.
 *
 * Pending, mask and selector words lie in memory the guest writes at the same
 * time: each is changed by one atomic instruction, as Xen does, and nothing
 * read from them is trusted for anything but delivery.
 */
#include "hv/domain/evtchn.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hv/domain/machine.h"
#include "hv/domain/service.h"

#define WORD_BITS 64u

/* ---- delivery; the evt lock is held ---- */

static void mark_pending(struct mvcpu *v)
{
	struct vcpu_info *info = atomic_load(&v->info);

	if (!__atomic_exchange_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST))
		vcpu_upcall(v);
}

static void mark_selected(struct domain *d, uint32_t port, struct mvcpu *v)
{
	struct vcpu_info *info = atomic_load(&v->info);
	uint64_t word = 1ull << port / WORD_BITS;

	if (!(__atomic_fetch_or(&info->evtchn_pending_sel, word, __ATOMIC_SEQ_CST) & word))
		mark_pending(v);
}

static void wake_pollers(struct domain *d)
{
	if (!atomic_load(&d->evt.pollers))
		return;
	for (unsigned i = 0; i < d->max_vcpus; i++)
		if (atomic_load(&d->vcpu[i].block) == BLOCK_POLL)
			vcpu_notify(&d->vcpu[i]);
}

static void set_pending(struct domain *d, uint32_t port)
{
	uint64_t bit = 1ull << port % WORD_BITS;
	unsigned w = port / WORD_BITS;

	if (__atomic_fetch_or(&d->shinfo->evtchn_pending[w], bit, __ATOMIC_SEQ_CST) & bit)
		return;
	if (!(__atomic_load_n(&d->shinfo->evtchn_mask[w], __ATOMIC_SEQ_CST) & bit))
		mark_selected(d, port, &d->vcpu[d->evt.port[port].vcpu]);
	wake_pollers(d);
}

/* ---- the table ---- */

static struct port *get_port(struct domain *d, uint32_t port)
{
	if (!port || port >= DOMAIN_MAX_PORTS)
		return NULL;
	return &d->evt.port[port];
}

static int alloc_port(struct domain *d)
{
	for (uint32_t i = 1; i < DOMAIN_MAX_PORTS; i++)
		if (d->evt.port[i].state == PORT_FREE) {
			d->evt.port[i] = (struct port){ .notify_fd = -1, .kick_fd = -1 };
			return (int)i;
		}
	return -ENOSPC;
}

static void drop_fds(struct domain *d, struct port *p)
{
	if (p->kick_fd >= 0) {
		service_unwatch(&d->vcpu[p->vcpu], p->kick_fd);
		close(p->kick_fd);
	}
	if (p->notify_fd >= 0)
		close(p->notify_fd);
	p->kick_fd = p->notify_fd = -1;
}

static void close_port(struct domain *d, uint32_t port)
{
	struct port *p = &d->evt.port[port], *peer;

	if (p->state == PORT_VIRQ)
		for (unsigned i = 0; i < d->max_vcpus; i++)
			if (d->evt.virq_port[i][p->virq] == port)
				d->evt.virq_port[i][p->virq] = 0;
	if (p->state == PORT_INTERDOMAIN && p->remote_port && p->remote_port != port) {
		peer = &d->evt.port[p->remote_port];
		peer->state = PORT_UNBOUND;
		peer->remote = d->domid;
		peer->remote_port = 0;
	}
	drop_fds(d, p);
	*p = (struct port){ .notify_fd = -1, .kick_fd = -1 };
	/* A port that is bound anew must not start with an old event. */
	__atomic_fetch_and(&d->shinfo->evtchn_pending[port / WORD_BITS],
			   ~(1ull << port % WORD_BITS), __ATOMIC_SEQ_CST);
}

int evt_init(struct domain *d)
{
	pthread_mutex_init(&d->evt.lock, NULL);
	for (unsigned i = 0; i < DOMAIN_MAX_PORTS; i++)
		d->evt.port[i] = (struct port){ .notify_fd = -1, .kick_fd = -1 };
	d->evt.port[0].state = PORT_RESERVED;
	return 0;
}

void evt_fini(struct domain *d)
{
	for (unsigned i = 1; i < DOMAIN_MAX_PORTS; i++)
		drop_fds(d, &d->evt.port[i]);
	pthread_mutex_destroy(&d->evt.lock);
}

int evt_alloc_unbound(struct domain *d, domid_t remote, uint32_t *ret_port)
{
	int r;

	pthread_mutex_lock(&d->evt.lock);
	r = alloc_port(d);
	if (r > 0) {
		d->evt.port[r].state = PORT_UNBOUND;
		d->evt.port[r].remote = remote == DOMID_SELF ? d->domid : remote;
		*ret_port = (uint32_t)r;
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r < 0 ? r : 0;
}

int evt_bind_interdomain(struct domain *d, domid_t remote, uint32_t remote_port, uint32_t *ret_port)
{
	struct port *peer, *p;
	int r;

	/* dom0's ports are descriptors that hvd wires: none can be named here. */
	if (remote != DOMID_SELF && remote != d->domid)
		return remote ? -ESRCH : -EINVAL;
	pthread_mutex_lock(&d->evt.lock);
	peer = get_port(d, remote_port);
	r = -EINVAL;
	if (!peer || peer->state != PORT_UNBOUND || peer->remote != d->domid)
		goto out;
	r = alloc_port(d);
	if (r < 0)
		goto out;
	p = &d->evt.port[r];
	p->state = peer->state = PORT_INTERDOMAIN;
	p->remote = d->domid;
	p->remote_port = remote_port;
	peer->remote_port = (uint32_t)r;
	*ret_port = (uint32_t)r;
	/* An event sent before the binding was not seen: the binder looks once. */
	set_pending(d, (uint32_t)r);
	r = 0;
out:
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}

static bool virq_is_per_vcpu(uint32_t virq)
{
	return virq == VIRQ_TIMER || virq == VIRQ_DEBUG || virq == VIRQ_XENOPROF ||
	       virq == VIRQ_XENPMU;
}

int evt_bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, uint32_t *ret_port)
{
	int r;

	if (virq >= EVT_NR_VIRQS)
		return -EINVAL;
	if (vcpu >= d->max_vcpus)
		return -ENOENT;
	if (vcpu && !virq_is_per_vcpu(virq))
		return -EINVAL;
	pthread_mutex_lock(&d->evt.lock);
	r = d->evt.virq_port[vcpu][virq] ? -EEXIST : alloc_port(d);
	if (r > 0) {
		d->evt.port[r].state = PORT_VIRQ;
		d->evt.port[r].vcpu = (uint8_t)vcpu;
		d->evt.port[r].virq = (uint16_t)virq;
		d->evt.virq_port[vcpu][virq] = (uint32_t)r;
		*ret_port = (uint32_t)r;
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r < 0 ? r : 0;
}

int evt_bind_ipi(struct domain *d, uint32_t vcpu, uint32_t *ret_port)
{
	int r;

	if (vcpu >= d->max_vcpus)
		return -ENOENT;
	pthread_mutex_lock(&d->evt.lock);
	r = alloc_port(d);
	if (r > 0) {
		d->evt.port[r].state = PORT_IPI;
		d->evt.port[r].vcpu = (uint8_t)vcpu;
		*ret_port = (uint32_t)r;
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r < 0 ? r : 0;
}

int evt_close(struct domain *d, uint32_t port)
{
	struct port *p;
	int r = -EINVAL;

	pthread_mutex_lock(&d->evt.lock);
	p = get_port(d, port);
	if (p && p->state > PORT_RESERVED) {
		close_port(d, port);
		r = 0;
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}

int evt_send(struct domain *d, uint32_t port)
{
	struct port *p;
	int r = 0;

	pthread_mutex_lock(&d->evt.lock);
	p = get_port(d, port);
	switch (p ? p->state : PORT_FREE) {
	case PORT_IPI: set_pending(d, port); break;
	case PORT_INTERDOMAIN:
		if (p->remote_port)
			set_pending(d, p->remote_port);
		else
			(void)eventfd_write(p->notify_fd, 1); /* full: it is signalled already */
		break;
	case PORT_UNBOUND: break; /* nobody to tell: dropped */
	default: r = -EINVAL; break;
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}

int evt_status(struct domain *d, struct evtchn_status *st)
{
	struct port *p;
	int r = 0;

	pthread_mutex_lock(&d->evt.lock);
	p = get_port(d, st->port);
	memset(&st->u, 0, sizeof(st->u));
	switch (p ? p->state : PORT_RESERVED) {
	case PORT_RESERVED: r = -EINVAL; break;
	case PORT_FREE: st->status = EVTCHNSTAT_closed; break;
	case PORT_UNBOUND:
		st->status = EVTCHNSTAT_unbound;
		st->u.unbound.dom = p->remote;
		break;
	case PORT_INTERDOMAIN:
		st->status = EVTCHNSTAT_interdomain;
		st->u.interdomain.dom = p->remote;
		st->u.interdomain.port = p->remote_port;
		break;
	case PORT_VIRQ:
		st->status = EVTCHNSTAT_virq;
		st->u.virq = p->virq;
		break;
	case PORT_IPI: st->status = EVTCHNSTAT_ipi; break;
	}
	if (!r)
		st->vcpu = p->vcpu;
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}

int evt_bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu)
{
	struct port *p;
	int r = -EINVAL;

	if (vcpu >= d->max_vcpus)
		return -ENOENT;
	pthread_mutex_lock(&d->evt.lock);
	p = get_port(d, port);
	if (p && (p->state == PORT_UNBOUND || p->state == PORT_INTERDOMAIN ||
		  (p->state == PORT_VIRQ && !virq_is_per_vcpu(p->virq)))) {
		r = 0;
		if (p->kick_fd >= 0 && p->vcpu != vcpu) {
			service_unwatch(&d->vcpu[p->vcpu], p->kick_fd);
			r = service_watch(&d->vcpu[vcpu], p->kick_fd, port);
		}
		p->vcpu = (uint8_t)vcpu;
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}

int evt_unmask(struct domain *d, uint32_t port)
{
	uint64_t bit = 1ull << port % WORD_BITS;
	unsigned w = port / WORD_BITS;
	struct port *p;
	int r = -EINVAL;

	pthread_mutex_lock(&d->evt.lock);
	p = get_port(d, port);
	if (p && p->state != PORT_FREE) {
		r = 0;
		if ((__atomic_fetch_and(&d->shinfo->evtchn_mask[w], ~bit, __ATOMIC_SEQ_CST) &
		     bit) &&
		    (__atomic_load_n(&d->shinfo->evtchn_pending[w], __ATOMIC_SEQ_CST) & bit))
			mark_selected(d, port, &d->vcpu[p->vcpu]);
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}

void evt_reset(struct domain *d)
{
	pthread_mutex_lock(&d->evt.lock);
	for (uint32_t i = 1; i < DOMAIN_MAX_PORTS; i++)
		if (d->evt.port[i].state > PORT_RESERVED)
			close_port(d, i);
	pthread_mutex_unlock(&d->evt.lock);
}

void evt_virq(struct mvcpu *v, uint32_t virq)
{
	struct domain *d = v->d;
	uint32_t port;

	pthread_mutex_lock(&d->evt.lock);
	port = d->evt.virq_port[v->id][virq];
	if (port)
		set_pending(d, port);
	pthread_mutex_unlock(&d->evt.lock);
}

void evt_kicked(struct domain *d, uint32_t port)
{
	struct port *p;
	eventfd_t n;

	pthread_mutex_lock(&d->evt.lock);
	p = get_port(d, port);
	/* The port may have been closed, or the count taken, since the wait. */
	if (p && p->kick_fd >= 0 && eventfd_read(p->kick_fd, &n) == 0)
		set_pending(d, port);
	pthread_mutex_unlock(&d->evt.lock);
}

int evt_bind_dom0(struct domain *d, uint32_t port, int notify_fd, int kick_fd)
{
	struct port *p;
	int r;

	pthread_mutex_lock(&d->evt.lock);
	p = get_port(d, port);
	r = -ENOENT;
	if (!p || p->state == PORT_FREE)
		goto out;
	r = -EINVAL;
	if ((p->state != PORT_UNBOUND && p->state != PORT_INTERDOMAIN) || p->remote != 0 ||
	    p->remote_port)
		goto out;
	r = service_watch(&d->vcpu[p->vcpu], kick_fd, port);
	if (r < 0)
		goto out;
	drop_fds(d, p);
	p->state = PORT_INTERDOMAIN;
	p->notify_fd = notify_fd;
	p->kick_fd = kick_fd;
	/* What the guest sent while nobody listened: dom0 looks once. */
	(void)eventfd_write(notify_fd, 1);
out:
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}

int evt_unbind_dom0(struct domain *d, uint32_t port)
{
	struct port *p;
	int r = -ENOENT;

	pthread_mutex_lock(&d->evt.lock);
	p = get_port(d, port);
	if (p && p->state != PORT_FREE) {
		r = -EINVAL;
		if (p->state == PORT_INTERDOMAIN && !p->remote && !p->remote_port) {
			drop_fds(d, p);
			p->state = PORT_UNBOUND;
			r = 0;
		}
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}

int evt_register_info(struct mvcpu *v, struct vcpu_info *to)
{
	struct domain *d = v->d;
	struct vcpu_info copy;
	int r = -EINVAL;

	pthread_mutex_lock(&d->evt.lock);
	if (!v->info_registered) {
		memcpy(&copy, atomic_load(&v->info), sizeof(copy));
		/* All selectors: an event between the copy and the switch is found too. */
		copy.evtchn_pending_sel = ~(xen_ulong_t)0;
		copy.evtchn_upcall_pending = 1;
		memcpy(to, &copy, sizeof(copy));
		v->info_registered = true;
		atomic_store(&v->info, to);
		vcpu_upcall(v);
		r = 0;
	}
	pthread_mutex_unlock(&d->evt.lock);
	return r;
}
