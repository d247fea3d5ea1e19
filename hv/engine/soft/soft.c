/* hv/engine/soft/soft.c - the software engine behind hv/engine/engine.h: making
 * and freeing VMs and vCPUs, state in and out, injection, kicks.
 */
#include "hv/engine/soft/soft.h"

#include <errno.h>
#include <stdlib.h>

#include "hv/engine/soft/block.h"
#include "hv/engine/soft/mem.h"
#include "hv/engine/soft/run.h"
#include "hv/engine/soft/jit.h"

#define MAX_VCPUS 32u

static void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	pthread_mutex_destroy(&vm->split_lock);
	pthread_mutex_destroy(&vm->code_lock);
	free(vm->code);
	free(vm->code_sum);
	free(vm->v);
	free(vm);
}

static int vm_new(const struct vm_config *cfg, struct vm **ret)
{
	uint64_t pages = p2m_ram_pages(cfg->p2m);
	struct vm *vm;

	if (!cfg->max_vcpus || cfg->max_vcpus > MAX_VCPUS)
		return -EINVAL;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->p2m = cfg->p2m;
	vm->max_vcpus = cfg->max_vcpus;
	vm->tsc_khz = cfg->tsc_khz;
	pthread_mutex_init(&vm->split_lock, NULL);
	pthread_mutex_init(&vm->code_lock, NULL);
	vm->code_gfns = pages ? p2m_ram_gfn(pages - 1) + 1 : 0;
	vm->code = calloc(vm->code_gfns + 1, sizeof(*vm->code));
	vm->code_sum = calloc(vm->code_gfns + 1, sizeof(*vm->code_sum));
	vm->v = calloc(cfg->max_vcpus, sizeof(*vm->v));
	if (!vm->code || !vm->code_sum || !vm->v) {
		vm_free(vm);
		return -ENOMEM;
	}
	*ret = vm;
	return 0;
}

static int vm_new_ref(const struct vm_config *cfg, struct vm **ret)
{
	int r = vm_new(cfg, ret);

	if (r == 0)
		(*ret)->reference = true;
	return r;
}

static void vcpu_free(struct vcpu *c)
{
	if (!c)
		return;
	if (atomic_load(&c->vm->v[c->id]) == c)
		atomic_store(&c->vm->v[c->id], NULL);
	pthread_mutex_destroy(&c->mail.lock);
	jit_free(c->jit);
	blocks_free(c->blocks);
	simd_cache_free(c->simd);
	free(c->leaves);
	free(c->tlb);
	free(c);
}

static struct tlb *tlb_new(void)
{
	struct tlb *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	for (unsigned k = 0; k < TM_NR * ACC_NR * TLB_SIZE; k++) {
		(&t->e[0][0][0])[k] = (struct tlb_entry){ TLB_NONE, 0 };
		(&t->side[0][0][0])[k] = (struct tlb_side){ ~0ull, false, 12 };
	}
	for (unsigned k = 0; k < TLB_SIZE; k++)
		t->none[k].tag = TLB_NONE;
	t->nlog = 0;
	return t;
}

static int vcpu_new(struct vm *vm, unsigned id, const struct cpuid_leaf *leaves, size_t n,
		    struct vcpu **ret)
{
	struct vcpu *c;
	int r = -ENOMEM;

	if (id >= vm->max_vcpus || atomic_load(&vm->v[id]))
		return -EINVAL;
	c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->vm = vm;
	c->id = id;
	pthread_mutex_init(&c->mail.lock, NULL);
	c->leaves = calloc(n + 1, sizeof(*leaves));
	c->tlb = tlb_new();
	if (!c->leaves || !c->tlb)
		goto fail;
	r = blocks_new(&c->blocks);
	if (!r)
		r = simd_cache_new(&c->simd);
	if (r)
		goto fail;
	memcpy(c->leaves, leaves, n * sizeof(*leaves));
	c->nleaves = n;
	c->jumps = blocks_jumps(c->blocks);
	c->fetch_gen = 1;
	c->simd_regs = (struct simd_regs){ c->st.r, &c->simd_flags, c->st.fx };
	cpu_reset(c);
	cpu_learn_cpuid(c);
	if (!vm->reference) {
		r = jit_new(c, &c->jit);
		if (r)
			goto fail;
		atomic_store(&c->attn, ATTN_BLOCK);
	}
	cpu_update_mode(c);
	atomic_store(&vm->v[id], c);
	*ret = c;
	return 0;
fail:
	vcpu_free(c);
	return r;
}

static struct vcpu_state *vcpu_regs(struct vcpu *c)
{
	return &c->st;
}

static int vcpu_save(struct vcpu *c, struct vcpu_state *ret)
{
	if (c->ev.type || c->exit_ready || c->nreplay || c->nmi)
		return -EAGAIN;
	*ret = c->st;
	return 0;
}

/* What no CPU could be in is refused, so that nothing below needs to ask. */
static int check_state(const struct vcpu *c, const struct vcpu_state *st)
{
	bool pg = st->cr0 & CR0_PG, lma = st->efer & EFER_LMA;

	if (st->cr4 & ~c->cr4_allowed || st->efer & ~(c->efer_allowed | EFER_LMA))
		return -EINVAL;
	if ((pg && !(st->cr0 & CR0_PE)) || lma != (pg && st->efer & EFER_LME))
		return -EINVAL;
	if (lma && !(st->cr4 & CR4_PAE))
		return -EINVAL;
	if (st->rflags & FL_VM || st->cr3 >> c->phys_bits || st->cr8 > 15)
		return -EINVAL;
	return 0;
}

static int vcpu_load(struct vcpu *c, const struct vcpu_state *st)
{
	int r = check_state(c, st);

	if (r)
		return r;
	c->st = *st;
	c->st.rflags |= 2;
	simd_fx_clean(c->st.fx);
	c->ev.type = EV_NONE;
	c->exit_ready = c->nmi = c->delivering = c->shadow = false;
	c->nreplay = c->ireplay = 0;
	c->db_pending = 0;
	cpu_load_flags(c);
	cpu_update_mode(c);
	mmu_flush(c, false);
	return 0;
}

static bool vcpu_can_inject(struct vcpu *c)
{
	return c->st.rflags & FL_IF && !c->st.intr_shadow && !c->ev.type && !c->exit_ready &&
	       !c->nreplay;
}

static void vcpu_inject(struct vcpu *c, uint8_t vector)
{
	c->ev = (struct event){ EV_EXT, vector, 0, 0 };
	c->st.halted = 0;
}

static void vcpu_inject_nmi(struct vcpu *c)
{
	c->nmi = true;
}

static void vcpu_window(struct vcpu *c, bool want)
{
	c->want_window = want;
}

static void vcpu_kick(struct vcpu *c)
{
	cpu_call(c, ATTN_KICK);
}

static void vcpu_set_tsc_offset(struct vcpu *c, int64_t offset)
{
	c->tsc_offset = offset;
}

/* One page's part of a guest-virtual range. */
static int virt_part(struct vcpu *c, uint64_t va, enum access acc, unsigned *n, uint8_t **ret)
{
	unsigned left = 0x1000 - (va & 0xfff), flags = 0;
	struct xlat x;
	uint32_t err;
	uint8_t *page;

	if (c->long_mode && !canonical(va))
		return -EFAULT;
	/* As a kernel that has opened user memory would see it. */
	if (mmu_walk(c, va, acc, TM_SUP_AC, &x, &err))
		return -EFAULT;
	page = p2m_lookup(c->vm->p2m, x.gpa >> 12, &flags);
	if (!page || (acc == ACC_WRITE && flags & P2M_RO))
		return -EFAULT;
	if (acc == ACC_WRITE && code_present(c, x.gpa >> 12))
		code_leave(c, x.gpa >> 12);
	if (*n > left)
		*n = left;
	*ret = page + (va & 0xfff);
	return 0;
}

static int vcpu_read_virt(struct vcpu *c, uint64_t va, void *buf, size_t n)
{
	uint8_t *to = buf, *p;

	while (n) {
		unsigned k = n < 0x1000 ? (unsigned)n : 0x1000;
		int r = virt_part(c, va, ACC_READ, &k, &p);

		if (r)
			return r;
		memcpy(to, p, k);
		to += k, va += k, n -= k;
	}
	return 0;
}

/* As if running: who makes a page code meanwhile waits until the bytes are there. */
static int vcpu_write_virt(struct vcpu *c, uint64_t va, const void *buf, size_t n)
{
	const uint8_t *from = buf;
	uint8_t *p;
	int r = 0;

	atomic_store(&c->running, 1);
	while (n) {
		unsigned k = n < 0x1000 ? (unsigned)n : 0x1000;

		r = virt_part(c, va, ACC_WRITE, &k, &p);
		if (r)
			break;
		memcpy(p, from, k);
		from += k, va += k, n -= k;
	}
	atomic_store(&c->running, 0);
	return r;
}

/* clang-format off */
#define SOFT_OPS(name_, vm_new_) \
	{ \
		.name = name_, .vm_new = vm_new_, \
		.cpuid_supported = cpuid_supported, .cpuid_own = cpuid_own, \
		.vm_free = vm_free, \
		.vcpu_new = vcpu_new, \
		.vcpu_free = vcpu_free, \
		.vcpu_run = run_vcpu, \
		.vcpu_complete = run_complete, \
		.vcpu_regs = vcpu_regs, \
		.vcpu_save = vcpu_save, \
		.vcpu_load = vcpu_load, \
		.vcpu_can_inject = vcpu_can_inject, \
		.vcpu_inject = vcpu_inject, \
		.vcpu_inject_nmi = vcpu_inject_nmi, \
		.vcpu_window = vcpu_window, \
		.vcpu_kick = vcpu_kick, \
		.vm_flush = smp_flush, \
		.vcpu_set_tsc_offset = vcpu_set_tsc_offset, \
		.vcpu_read_virt = vcpu_read_virt, \
		.vcpu_write_virt = vcpu_write_virt, \
	}
/* clang-format on */

const struct engine_ops engine_soft = SOFT_OPS("soft", vm_new);
const struct engine_ops engine_soft_ref = SOFT_OPS("soft-ref", vm_new_ref);
