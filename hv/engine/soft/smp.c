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
 * Writers outside (backends that fill a granted page, dom0 programs) are not
 * seen when they write.  But what they have changed can't be run before it is
 * mapped for execution again; then the page's sum tells.
 *
 * Whoever waits (for mail to be done, or for code_lock, which makes changes of
 * state one at a time) answers its own mail meanwhile, so nobody waits in vain.
 * B's store above goes through because A's next fetch from the frame has to wait
 * for B's block border again: each gets on by at least an instruction.
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
	cpu_call(to, ATTN_MAIL);
	return ticket;
}

void smp_mail(struct vcpu *c)
{
	struct mailbox *m = &c->mail;
	uint64_t gfn[MAIL_GFNS], asked;
	unsigned bits, n;

	c->mails++;
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

void smp_lock(struct vcpu *c, pthread_mutex_t *m)
{
	while (pthread_mutex_trylock(m)) {
		if (atomic_load(&c->attn) & ATTN_MAIL)
			smp_mail(c);
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

/* Eight chains keep the multiplier busy: about 150 ns a page. */
static uint64_t page_sum(const struct vcpu *c, uint64_t gfn)
{
	const any64 *p = p2m_lookup(c->vm->p2m, gfn, NULL);
	uint64_t h[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	if (!p)
		return 0;
	for (unsigned k = 0; k < 512; k += 8)
		for (unsigned j = 0; j < 8; j++)
			h[j] = (h[j] ^ p[k + j]) * 0x9e3779b97f4a7c15ull;
	for (unsigned j = 1; j < 8; j++)
		h[0] = (h[0] ^ h[j] >> 29) * 0x9e3779b97f4a7c15ull + h[j];
	return h[0];
}

bool code_can_enter(const struct vcpu *c, uint64_t gfn)
{
	return gfn < c->vm->code_gfns;
}

void code_enter(struct vcpu *c, uint64_t gfn)
{
	uint32_t me = 1u << c->id, old;

	if (atomic_load(&c->vm->code[gfn]) & me)
		return;
	smp_lock(c, &c->vm->code_lock);
	old = atomic_fetch_or(&c->vm->code[gfn], me);
	mmu_drop_write_gfn(c, gfn);
	if (!old) {
		mail_all(c->vm, c, ~0u, MAIL_WRITE_TLB, 0);
		c->vm->code_sum[gfn] = page_sum(c, gfn);
	}
	pthread_mutex_unlock(&c->vm->code_lock);
}

void code_check(struct vcpu *c, uint64_t gfn)
{
	if (c->vm->code_sum[gfn] != page_sum(c, gfn))
		code_leave(c, gfn);
}

void code_leave(struct vcpu *c, uint64_t gfn)
{
	uint32_t me = 1u << c->id, old;

	smp_lock(c, &c->vm->code_lock);
	old = atomic_exchange(&c->vm->code[gfn], 0);
	if (old & me) {
		blocks_drop_page(c, gfn);
		c->leave = 1;
	}
	if (old & ~me)
		mail_all(c->vm, c, old & ~me, MAIL_INVAL, gfn);
	pthread_mutex_unlock(&c->vm->code_lock);
}

void smp_flush(struct vm *vm, struct vcpu *self)
{
	if (self) {
		mmu_flush(self, false);
		blocks_drop_all(self);
	}
	mail_all(vm, self, ~0u, MAIL_FLUSH, 0);
}
