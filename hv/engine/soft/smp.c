/* hv/engine/soft/smp.c - what vCPUs do to each other's caches.
 *
 * A frame is either *written* (write entries in TLBs) or *code* (blocks decoded
 * from it; code[gfn] says by whom), never both.  To change its state a vCPU
 * mails every other running one and waits until it has dropped its side; so a
 * store is seen by every later fetch on any vCPU, as on hardware.
 *
 *   A fetches from a written frame     B
 *   code[g] |= A; mail "drop writes"   at its next block border: drops, done
 *   waits for done, decodes            B's next store finds no entry, and
 *                                      code[g] != 0: B moves it to written
 *
 * Whoever waits answers its own mail meanwhile, so two can wait for each other.
 * A vCPU that is not running answers before it runs again.
 */
#include <sched.h>

#include "hv/engine/soft/block.h"
#include "hv/engine/soft/mem.h"

static uint64_t post(struct vcpu *to, unsigned bits, uint64_t gfn)
{
	struct mailbox *m = &to->mail;
	uint64_t ticket;

	pthread_mutex_lock(&m->lock);
	if (bits & MAIL_INVAL) {
		if (m->ngfns < MAIL_GFNS)
			m->gfn[m->ngfns++] = gfn;
		else
			bits |= MAIL_FLUSH;
	}
	m->bits |= bits;
	ticket = ++m->asked;
	pthread_mutex_unlock(&m->lock);
	atomic_fetch_or(&to->attn, ATTN_MAIL);
	return ticket;
}

void smp_mail(struct vcpu *c)
{
	struct mailbox *m = &c->mail;
	uint64_t gfn[MAIL_GFNS], asked;
	unsigned bits, n;

	atomic_fetch_and(&c->attn, ~(uint32_t)ATTN_MAIL);
	pthread_mutex_lock(&m->lock);
	bits = m->bits;
	n = m->ngfns;
	memcpy(gfn, m->gfn, n * sizeof(gfn[0]));
	asked = m->asked;
	m->bits = m->ngfns = 0;
	pthread_mutex_unlock(&m->lock);
	if (bits & MAIL_WRITE_TLB)
		mmu_drop_writes(c);
	if (bits & MAIL_FLUSH) {
		mmu_flush(c, false);
		blocks_drop_all(c);
	} else {
		for (unsigned k = 0; k < n; k++)
			blocks_drop_page(c, gfn[k]);
	}
	if (bits)
		c->leave = 1;
	atomic_store(&m->done, asked);
}

static void wait_for(struct vcpu *self, struct vcpu *v, uint64_t ticket)
{
	while (atomic_load(&v->mail.done) < ticket && atomic_load(&v->running)) {
		if (self && atomic_load(&self->attn) & ATTN_MAIL)
			smp_mail(self);
		sched_yield();
	}
}

/* Every vCPU of mask but self does what bits say before this returns.  The table
 * of vCPUs is complete before the first one runs and stays until the last ends. */
static void mail_all(struct vm *vm, struct vcpu *self, uint32_t mask, unsigned bits, uint64_t gfn)
{
	uint64_t ticket[32];

	for (unsigned k = 0; k < vm->max_vcpus; k++) {
		struct vcpu *v = atomic_load(&vm->v[k]);

		ticket[k] = v && v != self && mask & 1u << k ? post(v, bits, gfn) : 0;
	}
	for (unsigned k = 0; k < vm->max_vcpus; k++)
		if (ticket[k])
			wait_for(self, atomic_load(&vm->v[k]), ticket[k]);
}

bool code_can_enter(const struct vcpu *c, uint64_t gfn)
{
	return gfn < c->vm->code_gfns;
}

void code_enter(struct vcpu *c, uint64_t gfn)
{
	uint32_t me = 1u << c->id, old = atomic_fetch_or(&c->vm->code[gfn], me);

	if (old & me)
		return;
	mmu_drop_write_gfn(c, gfn);
	if (!old)
		mail_all(c->vm, c, ~0u, MAIL_WRITE_TLB, 0);
}

void code_leave(struct vcpu *c, uint64_t gfn)
{
	uint32_t me = 1u << c->id, old;

	while ((old = atomic_exchange(&c->vm->code[gfn], 0))) {
		if (old & me) {
			blocks_drop_page(c, gfn);
			c->leave = 1;
		}
		if (old & ~me)
			mail_all(c->vm, c, old & ~me, MAIL_INVAL, gfn);
	}
}

void smp_flush(struct vm *vm, struct vcpu *self)
{
	if (self) {
		mmu_flush(self, false);
		blocks_drop_all(self);
	}
	mail_all(vm, self, ~0u, MAIL_FLUSH, 0);
}
