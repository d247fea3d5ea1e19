/* hv/engine/soft/mmu.c - guest paging: the walk with its permission bits and
 * error codes, accessed and dirty bits set by compare-and-swap, and the software
 * TLB in front of it.
 *
 * A TLB entry exists only for plain RAM that needs no further thought: not for
 * MMIO, not for writes to read-only overlays or to pages with decoded code, not
 * for pages under a data breakpoint.  What has no entry takes the slow path here
 * each time.  Sources: APM volume 2, chapter 5; SDM volume 3A, chapter 4.
 */
#include <errno.h>

#include "hv/engine/soft/block.h"
#include "hv/engine/soft/mem.h"
#include "hv/engine/soft/jit.h"

struct walk {
	struct vcpu *c;
	enum access acc;
	enum tlb_mode tm;
	bool user, write, nx, leaf_global;
	unsigned n;
	struct {
		void *host;
		uint64_t old;
		bool wide, leaf;
	} seen[4];
};

static uint32_t pf_code(const struct walk *w, uint32_t present)
{
	const struct vcpu_state *st = &w->c->st;
	uint32_t e = present;

	if (w->acc == ACC_WRITE)
		e |= PF_W;
	if (w->tm == TM_USER)
		e |= PF_U;
	if (w->acc == ACC_EXEC &&
	    (st->cr4 & CR4_SMEP || (st->efer & EFER_NXE && st->cr4 & CR4_PAE)))
		e |= PF_I;
	return e;
}

/* Bits that must be zero in an entry; shift is that of the level. */
static uint64_t reserved_bits(const struct vcpu *c, uint64_t e, unsigned shift, bool leaf)
{
	uint64_t r = ((1ull << 52) - 1) & ~((1ull << c->phys_bits) - 1);

	if (!(c->st.efer & EFER_NXE))
		r |= PTE_NX;
	if (!c->long_mode)
		r |= 0x7ff0000000000000ull;
	if (shift == 39 || (shift == 30 && !c->long_mode))
		r |= PTE_PS;
	if (leaf && shift > 12)
		r |= ((1ull << shift) - 1) & ~0x1fffull;
	return e & r;
}

static uint64_t load_entry(struct walk *w, uint64_t gpa, bool wide)
{
	unsigned flags = 0;
	uint8_t *page = p2m_lookup(w->c->vm->p2m, gpa >> 12, &flags), *p;
	uint64_t v;

	if (!page)
		return ~0ull & ~PTE_P; /* nothing there: not present */
	p = page + (gpa & 0xfff);
	v = host_get(p, wide ? 8 : 4);
	w->seen[w->n].host = flags & P2M_RO ? NULL : p;
	w->seen[w->n].old = v;
	w->seen[w->n].wide = wide;
	w->seen[w->n].leaf = false;
	return v;
}

/* Mark what the walk went through; false: an entry changed under us. */
static bool mark(struct walk *w)
{
	for (unsigned k = 0; k < w->n; k++) {
		uint64_t old = w->seen[k].old, bits = PTE_A;

		if (w->seen[k].leaf && w->acc == ACC_WRITE)
			bits |= PTE_D;
		if ((old & bits) == bits || !w->seen[k].host)
			continue;
		if (w->seen[k].wide) {
			uint64_t *p = w->seen[k].host;

			if (!__sync_bool_compare_and_swap(p, old, old | bits))
				return false;
		} else {
			uint32_t *p = w->seen[k].host;

			if (!__sync_bool_compare_and_swap(p, (uint32_t)old, (uint32_t)(old | bits)))
				return false;
		}
	}
	return true;
}

static bool permitted(const struct walk *w)
{
	const struct vcpu_state *st = &w->c->st;

	if (w->tm == TM_USER) {
		if (!w->user)
			return false;
		return w->acc == ACC_WRITE ? w->write : w->acc == ACC_READ || !w->nx;
	}
	if (w->acc == ACC_EXEC)
		return !w->nx && !(w->user && st->cr4 & CR4_SMEP);
	if (w->user && st->cr4 & CR4_SMAP && w->tm == TM_SUP)
		return false;
	return w->acc == ACC_READ || w->write || !(st->cr0 & CR0_WP);
}

/* One pass over the tables.  1: an entry changed meanwhile, walk again. */
static int walk_once(struct walk *w, uint64_t va, struct xlat *ret, uint32_t *ret_err)
{
	const struct vcpu *c = w->c;
	bool wide = c->st.cr4 & CR4_PAE;
	unsigned shift = c->long_mode ? 39 : wide ? 30 : 22, bits = wide ? 9 : 10;
	uint64_t table = c->st.cr3 & (c->long_mode ? 0xffffffffff000ull
				      : wide	   ? 0xffffffe0ull
						   : 0xfffff000ull);
	uint64_t e;
	bool leaf;

	for (;; shift -= bits) {
		uint64_t idx =
			(va >> shift) & ((1u << (shift == 30 && !c->long_mode ? 2 : bits)) - 1);
		bool top_pae = shift == 30 && !c->long_mode;

		e = load_entry(w, table + idx * (wide ? 8 : 4), wide);
		if (!(e & PTE_P)) {
			*ret_err = pf_code(w, 0);
			return -EFAULT;
		}
		leaf = shift == 12 ||
		       (e & PTE_PS && !top_pae && shift != 39 && (wide || c->st.cr4 & CR4_PSE));
		if (wide && !top_pae && reserved_bits(c, e, shift, leaf)) {
			*ret_err = pf_code(w, PF_P | PF_R);
			return -EFAULT;
		}
		if (!top_pae) {
			w->user &= !!(e & PTE_U);
			w->write &= !!(e & PTE_W);
			w->nx |= wide && e & PTE_NX;
			w->seen[w->n].leaf = leaf;
			w->n++;
		}
		if (leaf)
			break;
		table = wide ? e & 0xffffffffff000ull : e & 0xfffff000ull;
	}
	if (!permitted(w)) {
		*ret_err = pf_code(w, PF_P);
		return -EFAULT;
	}
	if (!mark(w))
		return 1;
	table = wide ? e & 0xffffffffff000ull : e & 0xfffff000ull;
	if (!wide && shift == 22)
		table |= (e & 0x1fe000) << 19; /* PSE-36 */
	ret->gpa = (table & ~((1ull << shift) - 1)) | (va & ((1ull << shift) - 1));
	ret->shift = shift;
	ret->writable = w->write;
	ret->user = w->user;
	ret->global = e & PTE_G && c->st.cr4 & CR4_PGE;
	return 0;
}

int mmu_walk(struct vcpu *c, uint64_t va, enum access acc, enum tlb_mode tm, struct xlat *ret,
	     uint32_t *ret_err)
{
	int r;

	if (!(c->st.cr0 & CR0_PG)) {
		*ret = (struct xlat){ (uint32_t)va, 12, true, true, false };
		return 0;
	}
	do {
		struct walk w = { .c = c, .acc = acc, .tm = tm, .user = true, .write = true };

		r = walk_once(&w, va, ret, ret_err);
	} while (r > 0);
	return r;
}

static bool watched(const struct vcpu *c, uint64_t va)
{
	if (likely(!(c->st.dr[7] & 0xff)))
		return false;
	for (unsigned k = 0; k < 4; k++)
		if (c->st.dr[7] >> (2 * k) & 3 && !((c->st.dr[k] ^ va) & PAGE_MASK))
			return true;
	return false;
}

static void install(struct vcpu *c, enum tlb_mode tm, enum access acc, uint64_t va, void *page,
		    const struct xlat *x)
{
	struct tlb *t = c->tlb;
	unsigned idx = (va >> 12) & (TLB_SIZE - 1);

	t->e[tm][acc][idx].tag = va & PAGE_MASK;
	t->e[tm][acc][idx].add = (uintptr_t)page - (va & PAGE_MASK);
	t->side[tm][acc][idx] = (struct tlb_side){ x->gpa >> 12, x->global, (uint8_t)x->shift };
	if (t->nlog < TLB_LOG)
		t->log[t->nlog++] = (uint16_t)((tm * ACC_NR + acc) * TLB_SIZE + idx);
	else
		t->nlog = TLB_LOG + 1;
}

/* Move the frame to what the access needs.  False: translations were flushed in
 * the meantime. */
static bool settle(struct vcpu *c, uint64_t gfn, enum access acc)
{
	uint64_t gen = c->flush_gen;

	if (acc == ACC_READ || !code_present(c, gfn))
		return true;
	if (acc == ACC_WRITE)
		code_leave(c, gfn);
	else
		code_check(c, gfn);
	return c->flush_gen == gen;
}

void *mmu_fill(struct vcpu *c, uint64_t va, enum access acc, enum tlb_mode tm, uint64_t *ret_gpa)
{
	unsigned flags;
	struct xlat x;
	uint32_t err;
	uint8_t *page;

	do {
		flags = 0;
		if (mmu_walk(c, va, acc, tm, &x, &err)) {
			c->st.cr2 = va;
			cpu_fault_err(c, X_PF, err);
		}
		*ret_gpa = x.gpa;
		page = p2m_lookup(c->vm->p2m, x.gpa >> 12, &flags);
		if (!page || (acc == ACC_WRITE && flags & P2M_RO))
			return NULL;
	} while (!settle(c, x.gpa >> 12, acc));
	if (acc == ACC_EXEC || !watched(c, va))
		install(c, tm, acc, va, page, &x);
	return page + (va & 0xfff);
}

void mmu_flush(struct vcpu *c, bool keep_global)
{
	struct tlb *t = c->tlb;
	struct tlb_entry *e = &t->e[0][0][0];
	struct tlb_side *s = &t->side[0][0][0];
	unsigned kept = 0;

	c->flush_gen++;
	if (t->nlog > TLB_LOG) {
		t->nlog = 0;
		for (unsigned k = 0; k < TM_NR * ACC_NR * TLB_SIZE; k++) {
			if (e[k].tag == TLB_NONE || (keep_global && s[k].global)) {
				if (e[k].tag != TLB_NONE && t->nlog <= TLB_LOG) {
					if (t->nlog < TLB_LOG)
						t->log[t->nlog] = (uint16_t)k;
					t->nlog++;
				}
				continue;
			}
			e[k].tag = TLB_NONE;
		}
	} else {
		for (unsigned k = 0; k < t->nlog; k++) {
			unsigned n = t->log[k];

			if (e[n].tag == TLB_NONE)
				continue;
			if (keep_global && s[n].global)
				t->log[kept++] = (uint16_t)n;
			else
				e[n].tag = TLB_NONE;
		}
		t->nlog = kept;
	}
	jit_tlb_flush(c->jit, keep_global);
	blocks_forget_jumps(c);
}

/* Entries of a large page are spread over the table: look at all that were filled. */
void mmu_invlpg(struct vcpu *c, uint64_t va)
{
	struct tlb *t = c->tlb;
	struct tlb_entry *e = &t->e[0][0][0];
	struct tlb_side *s = &t->side[0][0][0];

	if (t->nlog > TLB_LOG) {
		mmu_flush(c, false);
		return;
	}
	for (unsigned k = 0; k < t->nlog; k++) {
		unsigned n = t->log[k];

		if (!((e[n].tag ^ va) >> s[n].shift))
			e[n].tag = TLB_NONE;
	}
	jit_tlb_page(c->jit, va);
	blocks_forget_jumps(c);
}

void mmu_drop_writes(struct vcpu *c)
{
	for (unsigned m = 0; m < TM_NR; m++)
		for (unsigned k = 0; k < TLB_SIZE; k++)
			c->tlb->e[m][ACC_WRITE][k].tag = TLB_NONE;
	jit_tlb_no_writes(c->jit);
}

void mmu_drop_write_gfn(struct vcpu *c, uint64_t gfn)
{
	for (unsigned m = 0; m < TM_NR; m++)
		for (unsigned k = 0; k < TLB_SIZE; k++)
			if (c->tlb->side[m][ACC_WRITE][k].gfn == gfn)
				c->tlb->e[m][ACC_WRITE][k].tag = TLB_NONE;
	jit_tlb_no_writes(c->jit);
}
