/* hv/engine/soft/jit_cache.c - translated blocks: found by address, found by
 * frame when their code changes, and tied to each other by patched jumps.
 *
 * A direct jump is patched only within one guest page: whoever runs the block
 * has proved that page's mapping, so the target's needs no proof of its own.
 */
#include "hv/engine/soft/jit_int.h"

static unsigned hash_rip(uint64_t rip, uint32_t mode)
{
	return (unsigned)((rip ^ rip >> 13 ^ (uint64_t)mode << 7) & (JIT_HASH - 1));
}

static unsigned hash_gfn(uint64_t gfn)
{
	return (unsigned)((gfn ^ gfn >> 13) & (JIT_HASH - 1));
}

struct jit_block *jit_find(struct jit *j, uint64_t rip, uint64_t gfn, uint32_t mode)
{
	struct jit_block *b = j->hash[hash_rip(rip, mode)];

	while (b && (b->rip != rip || b->gfn != gfn || b->mode != mode))
		b = b->hnext;
	return b;
}

struct jit_block *jit_block_alloc(struct jit *j)
{
	if (j->nblocks == j->max_blocks)
		return NULL;
	return memset(&j->blocks[j->nblocks], 0, sizeof(struct jit_block));
}

void jit_block_publish(struct jit *j, struct jit_block *b)
{
	struct jit_block **h = &j->hash[hash_rip(b->rip, b->mode)];
	struct jit_block **g = &j->by_gfn[hash_gfn(b->gfn)];

	j->nblocks++;
	j->stat_blocks++;
	b->hnext = *h;
	*h = b;
	b->pnext = *g;
	*g = b;
}

void jit_link_to(struct jit *j, struct jit_link *l, struct jit_block *to)
{
	if (l->to || to->interp || (l->rip ^ l->from->rip) >> 12)
		return;
	l->to = to;
	l->next = to->in;
	to->in = l;
	e_patch(l->at, j->code_bias, l->flags_host ? to->entry_host : to->entry_mem);
}

static void unlink_out(struct jit_link *l)
{
	struct jit_link **p;

	if (!l->to)
		return;
	for (p = &l->to->in; *p != l; p = &(*p)->next)
		;
	*p = l->next;
	l->to = NULL;
}

/* No jump leads to b any more; its code stays where it is, unreachable. */
static void block_drop(struct jit *j, struct jit_block *b)
{
	struct jit_block **p;

	for (struct jit_link *l = b->in, *next; l; l = next) {
		next = l->next;
		l->to = NULL;
		e_patch(l->at, j->code_bias, l->stub);
	}
	b->in = NULL;
	for (unsigned i = 0; i < b->nout; i++)
		unlink_out(&b->out[i]);
	for (p = &j->hash[hash_rip(b->rip, b->mode)]; *p != b; p = &(*p)->hnext)
		;
	*p = b->hnext;
}

void jit_inval(struct jit *j, uint64_t gfn)
{
	struct jit_block **p, *b;
	bool any = false;

	if (!j)
		return;
	j->link = NULL;
	p = &j->by_gfn[hash_gfn(gfn)];
	while ((b = *p)) {
		if (b->gfn != gfn) {
			p = &b->pnext;
			continue;
		}
		*p = b->pnext;
		block_drop(j, b);
		any = true;
	}
	if (any)
		jc_flush(j, false);
}

void jit_reset(struct jit *j)
{
	if (!j)
		return;
	memset(j->hash, 0, sizeof(j->hash));
	memset(j->by_gfn, 0, JIT_HASH * sizeof(*j->by_gfn));
	j->nblocks = 0;
	j->link = NULL;
	j->em = (struct code_buf){ .w = j->thunk_end,
				   .end = j->code_w + JIT_CODE,
				   .exec_bias = j->code_bias };
	j->stat_flushes++;
	jc_flush(j, false);
}
