/* hv/engine/soft/mem.c - accesses the TLB can't answer alone: page-crossing
 * ones, MMIO, watched pages, alignment checks; segmentation.
 */
#include "hv/engine/soft/mem.h"

/* Data breakpoints: type 1 is writes, 3 reads and writes; length is in DR7 too. */
static void note_watch(struct vcpu *c, uint64_t va, unsigned n, bool write)
{
	static const uint8_t len[4] = { 1, 2, 8, 4 };

	for (unsigned k = 0; k < 4; k++) {
		unsigned rw = c->st.dr[7] >> (16 + 4 * k) & 3,
			 l = len[c->st.dr[7] >> (18 + 4 * k) & 3];
		uint64_t at = c->st.dr[k] & ~(uint64_t)(l - 1);

		if (!(c->st.dr[7] >> (2 * k) & 3) || !(rw == 3 || (rw == 1 && write)))
			continue;
		if (va < at + l && at < va + n)
			c->db_pending |= 1u << k;
	}
}

static uint64_t second_page(const struct vcpu *c, uint64_t va)
{
	uint64_t next = (va & PAGE_MASK) + 0x1000;

	return c->long_mode ? next : (uint32_t)next;
}

static void alignment(struct vcpu *c, enum tlb_mode tm, uint64_t va, unsigned n)
{
	if (unlikely(c->check_align) && tm == TM_USER && va & (n - 1))
		cpu_fault_err(c, X_AC, 0);
}

static uint64_t read_part(struct vcpu *c, enum tlb_mode tm, uint64_t va, unsigned n)
{
	uint64_t gpa, v = 0;
	void *p = mmu_fill(c, va, ACC_READ, tm, &gpa);

	if (p)
		return host_get(p, n);
	cpu_ask(c, EXIT_MMIO, gpa, n, false, &v);
	return n == 8 ? v : v & ((1ull << (8 * n)) - 1);
}

uint64_t mem_read_slow(struct vcpu *c, enum tlb_mode tm, uint64_t va, unsigned n)
{
	unsigned n1 = 0x1000 - (va & 0xfff);
	uint64_t v;

	alignment(c, tm, va, n);
	if (n <= n1) {
		v = read_part(c, tm, va, n);
	} else {
		v = read_part(c, tm, va, n1);
		v |= read_part(c, tm, second_page(c, va), n - n1) << (8 * n1);
	}
	if (unlikely(c->st.dr[7] & 0xff))
		note_watch(c, va, n, false);
	return v;
}

static void write_part(struct vcpu *c, void *p, uint64_t gpa, unsigned n, uint64_t v)
{
	if (p)
		host_put(p, n, v);
	else
		cpu_ask(c, EXIT_MMIO, gpa, n, true, &v);
}

void mem_write_slow(struct vcpu *c, enum tlb_mode tm, uint64_t va, unsigned n, uint64_t v)
{
	unsigned n1 = 0x1000 - (va & 0xfff);
	uint64_t gpa, gpa2 = 0, mails;
	void *p, *p2 = NULL;

	alignment(c, tm, va, n);
	do { /* mail answered on the way to the second page may take the first one back */
		mails = c->mails;
		p = mmu_fill(c, va, ACC_WRITE, tm, &gpa);
		if (n > n1)
			p2 = mmu_fill(c, second_page(c, va), ACC_WRITE, tm, &gpa2);
	} while (n > n1 && mails != c->mails);
	if (n <= n1) {
		write_part(c, p, gpa, n, v);
	} else {
		write_part(c, p, gpa, n1, v);
		write_part(c, p2, gpa2, n - n1, v >> (8 * n1));
	}
	if (unlikely(c->st.dr[7] & 0xff))
		note_watch(c, va, n, true);
}

uint64_t sup_read(struct vcpu *c, uint64_t va, unsigned n)
{
	void *p = tlb_hit(c->tlb->e[TM_SUP][ACC_READ], va, n);

	return p ? host_get(p, n) : mem_read_slow(c, TM_SUP, va, n);
}

void sup_write(struct vcpu *c, uint64_t va, unsigned n, uint64_t v)
{
	void *p = tlb_hit(c->tlb->e[TM_SUP][ACC_WRITE], va, n);

	if (p)
		host_put(p, n, v);
	else
		mem_write_slow(c, TM_SUP, va, n, v);
}

void mem_read_bytes(struct vcpu *c, uint64_t va, void *buf, unsigned n)
{
	uint8_t *b = buf;

	while (n) {
		unsigned k = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
		uint64_t v = mem_read(c, va, k);

		memcpy(b, &v, k);
		b += k, va += k, n -= k;
		if (!c->long_mode)
			va = (uint32_t)va;
	}
}

void mem_check_write(struct vcpu *c, uint64_t va, unsigned n)
{
	unsigned n1 = 0x1000 - (va & 0xfff);
	uint64_t gpa;

	mmu_fill(c, va, ACC_WRITE, c->tm, &gpa);
	if (n > n1)
		mmu_fill(c, second_page(c, va), ACC_WRITE, c->tm, &gpa);
}

void mem_write_bytes(struct vcpu *c, uint64_t va, const void *buf, unsigned n)
{
	const uint8_t *b = buf;

	if (!tlb_hit(c->wr, va, n))
		mem_check_write(c, va, n);
	while (n) {
		unsigned k = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
		uint64_t v = 0;

		memcpy(&v, b, k);
		mem_write(c, va, k, v);
		b += k, va += k, n -= k;
		if (!c->long_mode)
			va = (uint32_t)va;
	}
}

void rmw_open(struct vcpu *c, struct rmw *m, uint64_t va, unsigned n, bool locked)
{
	uint64_t gpa;

	m->va = va;
	m->n = n;
	m->copy = false;
	m->p = tlb_hit(c->wr, va, n);
	if (likely(m->p))
		return;
	alignment(c, c->tm, va, n);
	if ((va & 0xfff) + n <= 0x1000) {
		m->p = mmu_fill(c, va, ACC_WRITE, c->tm, &gpa);
		if (m->p) {
			if (unlikely(c->st.dr[7] & 0xff))
				note_watch(c, va, n, true);
			return;
		}
	} else {
		mem_check_write(c, va, n);
	}
	mem_read_bytes(c, va, m->buf, n);
	m->copy = true;
	m->p = m->buf;
	if (locked) {
		/* Atomic against each other only; whatever leaves the instruction unlocks. */
		smp_lock(c, &c->vm->split_lock);
		c->split_held = true;
		mem_read_bytes(c, va, m->buf, n);
	}
}

void rmw_close(struct vcpu *c, struct rmw *m)
{
	if (!m->copy)
		return;
	mem_write_bytes(c, m->va, m->buf, m->n);
	cpu_unsplit(c);
}

void *mem_chunk(struct vcpu *c, uint64_t va, unsigned n, enum access acc)
{
	uint64_t gpa;
	void *p = tlb_hit(acc == ACC_WRITE ? c->wr : c->rd, va, n);

	if (likely(p))
		return p;
	if (unlikely(c->st.dr[7] & 0xff) || c->check_align)
		return NULL;
	return mmu_fill(c, va, acc, c->tm, &gpa);
}

static _Noreturn void seg_fault(struct vcpu *c, unsigned seg)
{
	cpu_fault_err(c, seg == S_SS ? X_SS : X_GP, 0);
}

static void check_limit(struct vcpu *c, unsigned seg, uint64_t off, unsigned n, enum access acc)
{
	const struct seg *s = &c->st.s[seg];
	uint64_t last = off + n - 1;

	if (!cpu_protected(c)) {
		if (last > s->limit)
			seg_fault(c, seg);
		return;
	}
	if (s->attr & SEG_UNUSABLE || !(s->attr & SEG_P))
		seg_fault(c, seg);
	if (s->attr & 8) { /* code: never writable, perhaps not readable */
		if (acc == ACC_WRITE || (acc == ACC_READ && !(s->attr & 2)))
			seg_fault(c, seg);
	} else if (acc == ACC_WRITE && !(s->attr & 2)) {
		seg_fault(c, seg);
	}
	if ((s->attr & 0xc) == 4) { /* expand down */
		if (off <= s->limit || last > (s->attr & SEG_DB ? 0xffffffffu : 0xffffu))
			seg_fault(c, seg);
	} else if (last > s->limit) {
		seg_fault(c, seg);
	}
}

uint64_t seg_linear(struct vcpu *c, unsigned seg, uint64_t off, unsigned n, enum access acc)
{
	uint64_t va;

	if (likely(c->mode == MODE_64)) {
		va = seg >= S_FS ? off + c->st.s[seg].base : off;
		if (unlikely(!canonical(va) || !canonical(va + n - 1)))
			seg_fault(c, seg);
		return va;
	}
	check_limit(c, seg, off, n, acc);
	return (uint32_t)(c->st.s[seg].base + off);
}

uint64_t insn_ea(const struct vcpu *c, const struct insn *i)
{
	uint64_t ea = (uint64_t)(int64_t)i->disp;

	if (i->base == REG_RIP)
		ea += c->st.rip + i->len;
	else if (i->base != REG_NONE)
		ea += c->st.r[i->base];
	if (i->index != REG_NONE)
		ea += c->st.r[i->index] << i->scale;
	if (i->adsize == 8)
		return ea;
	return i->adsize == 4 ? (uint32_t)ea : (uint16_t)ea;
}
