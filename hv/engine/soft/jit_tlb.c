/* hv/engine/soft/jit_tlb.c - the translator's copy of address translations and
 * its cache of jump targets.
 *
 * An entry is only ever copied from a valid one of the engine's TLB, and every
 * loss there is told here, so both always agree about what must not be used.
 * The jump cache maps a virtual address to code and is as perishable as the
 * execute translations it stands for.
 */
#include "hv/engine/soft/jit_int.h"

static unsigned jtlb_index(uint64_t va)
{
	return (unsigned)(va >> 12) & (JTLB_SIZE - 1);
}

static unsigned large_word(uint64_t va)
{
	return (unsigned)(va >> 27) & 63;
}

static uint64_t large_bit(uint64_t va)
{
	return 1ull << ((va >> 21) & 63);
}

static void log_add(struct jit_log *l, unsigned slot)
{
	if (l->n < JLOG_MAX)
		l->slot[l->n++] = (uint16_t)slot;
	else
		l->n = JLOG_MAX + 1;
}

unsigned jit_fill(struct jit *j, uint64_t va, uint32_t info)
{
	struct vcpu *c = j->c;
	unsigned ei = (unsigned)(va >> 12) & (TLB_SIZE - 1);
	enum access acc = info & JFILL_WRITE ? ACC_WRITE : ACC_READ;
	const struct tlb_entry *e = &c->tlb->e[c->tm][acc][ei];
	uint64_t page = va & ~0xfffull, size = info & 0xff;
	struct jtlb_entry *d;

	if (e->tag != page || (va & 0xfff) + size > 4096)
		return 0;
	d = &j->tlb[c->tm][jtlb_index(va)];
	if (acc == ACC_WRITE) {
		d->tag_w = page;
		d->host_w = page + e->add;
	} else {
		d->tag_r = page;
		d->host_r = page + e->add;
	}
	if (c->tlb->side[c->tm][acc][ei].shift > 12)
		j->large[large_word(va)] |= large_bit(va);
	if (!c->tlb->side[c->tm][acc][ei].global)
		log_add(&j->tlb_log, c->tm * JTLB_SIZE + jtlb_index(va));
	return 1;
}

static unsigned page_hash(uint64_t va)
{
	return (unsigned)(va >> 12 ^ va >> 24 ^ va >> 36) & 4095;
}

void jc_put(struct jit *j, unsigned tm, uint64_t rip, const uint8_t *code, bool global)
{
	unsigned slot = jc_slot(rip);

	if (code)
		j->jc[tm][slot] = (struct jc_entry){ rip, code };
	else
		j->steps[tm][slot].rip = rip;
	j->jc_pages[page_hash(rip) / 64] |= 1ull << page_hash(rip) % 64;
	if (!global)
		log_add(&j->jc_log, tm * JC_SIZE + slot);
}

static void jc_drop(struct jit *j, unsigned i)
{
	(&j->jc[0][0])[i].rip = jc_none(i & (JC_SIZE - 1));
	(&j->steps[0][0])[i].rip = jc_none(i & (JC_SIZE - 1));
}

void jc_flush(struct jit *j, bool keep_global)
{
	if (!keep_global || j->jc_log.n > JLOG_MAX) {
		for (unsigned i = 0; i < TM_NR * JC_SIZE; i++)
			jc_drop(j, i);
		memset(j->jc_pages, 0, sizeof(j->jc_pages));
	} else {
		for (unsigned i = 0; i < j->jc_log.n; i++)
			jc_drop(j, j->jc_log.slot[i]);
	}
	j->jc_log.n = 0;
}

static void jtlb_drop(struct jit *j, unsigned i)
{
	struct jtlb_entry *e = &j->tlb[0][0] + i;

	e->tag_r = e->tag_w = jtlb_none(i & (JTLB_SIZE - 1));
}

void jit_tlb_flush(struct jit *j, bool keep_global)
{
	if (!j)
		return;
	if (!keep_global || j->tlb_log.n > JLOG_MAX)
		for (unsigned i = 0; i < TM_NR * JTLB_SIZE; i++)
			jtlb_drop(j, i);
	else
		for (unsigned i = 0; i < j->tlb_log.n; i++)
			jtlb_drop(j, j->tlb_log.slot[i]);
	j->tlb_log.n = 0;
	if (!keep_global)
		memset(j->large, 0, sizeof(j->large));
	jc_flush(j, keep_global);
}

void jit_tlb_page(struct jit *j, uint64_t va)
{
	uint64_t page = va & ~0xfffull;

	if (!j)
		return;
	if (j->large[large_word(va)] & large_bit(va)) {
		jit_tlb_flush(j, false); /* other pages of the large one must go too */
		return;
	}
	for (unsigned m = 0; m < TM_NR; m++) {
		struct jtlb_entry *e = &j->tlb[m][jtlb_index(va)];

		if (e->tag_r == page || e->tag_w == page)
			jtlb_drop(j, m * JTLB_SIZE + jtlb_index(va));
	}
	if (j->jc_pages[page_hash(va) / 64] >> page_hash(va) % 64 & 1)
		jc_flush(j, false);
}

void jit_tlb_no_writes(struct jit *j)
{
	if (!j)
		return;
	for (unsigned m = 0; m < TM_NR; m++)
		for (unsigned i = 0; i < JTLB_SIZE; i++)
			j->tlb[m][i].tag_w = jtlb_none(i);
}
