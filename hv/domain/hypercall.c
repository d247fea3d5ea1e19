/* hv/domain/hypercall.c - from registers to a handler and back.
 *
 * Calling convention (<xen/arch-x86/xen-x86_64.h>): RAX number, arguments in
 * RDI RSI RDX R10 R8, result in RAX.  Only 64-bit kernels are served.
 */
#include "hv/domain/hypercall.h"

#include <assert.h>
#include <errno.h>

#include "hv/domain/machine.h"

#define HC_NR	    64u
#define HC_INSN_LEN 3u /* vmcall and vmmcall */
#define EFER_LMA    (1u << 10)
#define HC_AGAIN    INT64_MIN /* no handler returns it otherwise */

static hypercall_fn *const table[HC_NR] = {
	[__HYPERVISOR_memory_op] = hc_memory,
	[__HYPERVISOR_set_timer_op] = hc_set_timer,
	[__HYPERVISOR_xen_version] = hc_version,
	[__HYPERVISOR_console_io] = hc_console_io,
	[__HYPERVISOR_grant_table_op] = hc_gnttab,
	[__HYPERVISOR_vm_assist] = hc_vm_assist,
	[__HYPERVISOR_vcpu_op] = hc_vcpu,
	[__HYPERVISOR_sched_op] = hc_sched,
	[__HYPERVISOR_event_channel_op] = hc_evtchn,
	[__HYPERVISOR_hvm_op] = hc_hvm,
};

int guest_get(struct mvcpu *v, uint64_t va, void *buf, size_t n)
{
	if (n && va > UINT64_MAX - (n - 1))
		return -EFAULT;
	return n ? v->d->ops->vcpu_read_virt(v->hw, va, buf, n) : 0;
}

int guest_put(struct mvcpu *v, uint64_t va, const void *buf, size_t n)
{
	if (n && va > UINT64_MAX - (n - 1))
		return -EFAULT;
	return n ? v->d->ops->vcpu_write_virt(v->hw, va, buf, n) : 0;
}

int64_t hc_again(struct mvcpu *v, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct vcpu_state *st = v->d->ops->vcpu_regs(v->hw);

	st->r[R_RDI] = a0;
	st->r[R_RSI] = a1;
	st->r[R_RDX] = a2;
	st->rip -= HC_INSN_LEN;
	return HC_AGAIN;
}

int64_t hc_sub_run(struct mvcpu *v, const struct hc_sub *tab, size_t n, uint64_t op, uint64_t va)
{
	uint8_t arg[HC_SUB_MAX] __attribute__((aligned(8)));
	const struct hc_sub *s;
	int64_t r;

	if (op >= n || !tab[op].run)
		return -ENOSYS;
	s = &tab[op];
	assert(s->size <= sizeof(arg));
	r = guest_get(v, va, arg, s->size);
	if (r < 0)
		return r;
	r = s->run(v, arg);
	if (r >= 0 && s->out && guest_put(v, va, arg, s->size) < 0)
		return -EFAULT;
	return r;
}

static void log_unknown(struct domain *d, uint64_t nr)
{
	uint64_t bit = 1ull << nr % 64;
	bool fresh;

	/* Numbers past the table share one mark: a guest can't fill the log by counting. */
	pthread_mutex_lock(&d->log.lock);
	fresh = !(d->log.unknown[nr >= HC_NR] & (nr >= HC_NR ? ~0ull : bit));
	d->log.unknown[nr >= HC_NR] |= bit;
	pthread_mutex_unlock(&d->log.lock);
	if (fresh)
		domain_log(d, LOGK_HYPERCALL,
			   "the guest used hypercall %llu, which is not provided",
			   (unsigned long long)nr);
}

void hypercall_run(struct mvcpu *v)
{
	struct vcpu_state *st = v->d->ops->vcpu_regs(v->hw);
	const uint64_t arg[HC_ARGS] = { st->r[R_RDI], st->r[R_RSI], st->r[R_RDX], st->r[R_R10],
					st->r[R_R8] };
	uint64_t nr = st->r[R_RAX];
	int64_t r = -ENOSYS;

	if (SEG_DPL(st->s[S_SS].attr))
		r = -EPERM;
	else if (!(st->efer & EFER_LMA) || !(st->s[S_CS].attr & SEG_L))
		domain_log(v->d, LOGK_HYPERCALL, "the guest made a hypercall outside 64-bit mode");
	else if (nr < HC_NR && table[nr])
		r = table[nr](v, arg);
	else
		log_unknown(v->d, nr);
	if (r != HC_AGAIN)
		st->r[R_RAX] = (uint64_t)r;
}
