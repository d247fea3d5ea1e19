/* hv/engine/soft/block.c - the cache of decoded blocks: finding, building,
 * running and forgetting them.
 *
 * Everything decoded lives in one arena that is thrown away whole when it is
 * full.  A block never leaves its page, ends after MAX_OPS instructions or at
 * the first branch or system instruction, and is never changed but for the links
 * to its successors in the same page (which are thrown away with it).  An
 * instruction that crosses into another page is decoded anew each time.
 */
#include "hv/engine/soft/block.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "hv/engine/soft/op.h"
#include "hv/engine/soft/jit.h"

#define ARENA_SIZE (24u << 20)
#define HASH_BITS  14u
#define PAGE_BITS  10u
#define MAX_OPS	   48u

struct code_page {
	uint64_t gfn;
	struct block *first;
	struct code_page *next;
};

struct blocks {
	uint8_t *arena;
	size_t used;
	struct block *hash[1u << HASH_BITS];
	struct code_page *pages[1u << PAGE_BITS];
	struct jump jumps[1u << JUMP_BITS];
	bool dropped; /* blocks_drop_all() came while one was running */
};

int blocks_new(struct blocks **ret)
{
	struct blocks *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->arena == MAP_FAILED) {
		free(b);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

struct blocks *blocks_free(struct blocks *b)
{
	if (b) {
		munmap(b->arena, ARENA_SIZE);
		free(b);
	}
	return NULL;
}

struct jump *blocks_jumps(struct blocks *b)
{
	return b->jumps;
}

void blocks_forget_jumps(struct vcpu *c)
{
	c->fetch_gen++;
	cpu_update_mode(c);
}

static unsigned hash_of(uint64_t gpa, uint32_t flags)
{
	return (unsigned)((gpa ^ gpa >> HASH_BITS ^ (uint64_t)flags << 7) &
			  ((1u << HASH_BITS) - 1));
}

static struct code_page **page_slot(struct blocks *b, uint64_t gfn)
{
	return &b->pages[(gfn ^ gfn >> PAGE_BITS) & ((1u << PAGE_BITS) - 1)];
}

void blocks_drop_page(struct vcpu *c, uint64_t gfn)
{
	struct blocks *b = c->blocks;

	jit_inval(c->jit, gfn);
	for (struct code_page **pp = page_slot(b, gfn); *pp; pp = &(*pp)->next) {
		struct code_page *p = *pp;

		if (p->gfn != gfn)
			continue;
		for (struct block *k = p->first; k; k = k->page_next) {
			struct block **h = &b->hash[hash_of(k->gpa, k->bflags)];

			while (*h != k)
				h = &(*h)->hash_next;
			*h = k->hash_next;
		}
		*pp = p->next;
		blocks_forget_jumps(c);
		return;
	}
}

/* The memory is reused only from blocks_run(), when no block is running. */
void blocks_drop_all(struct vcpu *c)
{
	struct blocks *b = c->blocks;

	jit_reset(c->jit);
	memset(b->hash, 0, sizeof(b->hash));
	memset(b->pages, 0, sizeof(b->pages));
	b->dropped = true;
	blocks_forget_jumps(c);
}

static void *arena_get(struct blocks *b, size_t n)
{
	void *p = b->arena + b->used;

	n = (n + 31) & ~(size_t)31;
	if (n > ARENA_SIZE - b->used)
		return NULL;
	b->used += n;
	return p;
}

/* Where code at va lies; faults as a fetch does.  NULL: not in RAM. */
static uint8_t *fetch_page(struct vcpu *c, uint64_t va, uint64_t *ret_gpa)
{
	enum tlb_mode tm = c->cpl == 3 ? TM_USER : TM_SUP;
	unsigned idx = (va >> 12) & (TLB_SIZE - 1);
	const struct tlb_entry *e = &c->tlb->e[tm][ACC_EXEC][idx];

	if (likely(e->tag == (va & PAGE_MASK))) {
		*ret_gpa = c->tlb->side[tm][ACC_EXEC][idx].gfn << 12 | (va & 0xfff);
		return (uint8_t *)(va + e->add);
	}
	return mmu_fill(c, va, ACC_EXEC, tm, ret_gpa);
}

/* The linear address of the next instruction. */
static uint64_t code_linear(struct vcpu *c, uint64_t rip)
{
	if (c->mode == MODE_64) {
		if (!canonical(rip))
			cpu_gp0(c);
		return rip;
	}
	if (rip > c->st.s[S_CS].limit)
		cpu_gp0(c);
	return (uint32_t)(c->st.s[S_CS].base + rip);
}

/* What is found, or a link to it, is kept by physical address and mode. */
static struct block *lookup(const struct blocks *b, uint64_t gpa, uint32_t flags)
{
	struct block *k = b->hash[hash_of(gpa, flags)];

	while (k && (k->gpa != gpa || k->bflags != flags))
		k = k->hash_next;
	return k;
}

static void set_slow(struct vcpu *c, struct op *o, struct slow_insn *s, const struct insn *i)
{
	const struct exec *e = exec_find(i);

	s->i = *i;
	s->fn = !e || (i->lock && !exec_lock_ok(i)) ? ex_ud : e->fn;
	s->flags = e ? e->flags : E_END;
	o->imm = (uintptr_t)s;
	o->fn = s->flags & (E_END | E_BR) ? op_slow_end : op_slow;
	if (s->fn == exec_simd && !i->lock && exec_simd_compile(c, i, &s->simd))
		o->fn = op_simd;
}

struct build {
	struct block *b;
	struct op *op;
	const uint8_t *p; /* code left in the page */
	unsigned left;
};

/* A slot for links behind a branch. */
static struct op *with_links(struct op *o)
{
	memset(o + 1, 0, sizeof(*o));
	return o + 2;
}

/* The block stops here without a branch. */
static void add_fall(struct build *w)
{
	bool here = (w->b->gpa & 0xfff) + w->b->len < 0x1000;

	*w->op = (struct op){ .fn = op_fall, .off = w->b->len, .dst = here };
	w->op = with_links(w->op);
}

/* Decode the next instruction of a block.  True: it is the last. */
static bool add_op(struct vcpu *c, struct build *w)
{
	struct op *o = w->op;
	struct insn i;
	int r = insn_decode(w->p, w->left, (enum insn_mode)c->mode, &i);

	if (r) { /* page end, or a fault: not part of the block */
		add_fall(w);
		return true;
	}
	*o = (struct op){ .off = w->b->len, .len = i.len };
	w->op = o + 1;
	r = c->mode == MODE_64 ? fast_pick(o, &i, (unsigned)(w->b->gpa & 0xfff)) : FAST_NONE;
	if (r == FAST_NONE) {
		set_slow(c, o, arena_get(c->blocks, sizeof(struct slow_insn)), &i);
		r = o->fn == op_slow_end ? FAST_LAST : FAST_OP;
	} else if (r == FAST_LAST) {
		o->last = 1;
		w->op = with_links(o);
	}
	w->b->len += i.len;
	w->b->nops++;
	w->p += i.len;
	w->left -= i.len;
	return r == FAST_LAST;
}

static void enter(struct vcpu *c, struct block *k)
{
	struct blocks *b = c->blocks;
	struct code_page **slot = page_slot(b, k->gpa >> 12), *p = *slot;
	struct block **h = &b->hash[hash_of(k->gpa, k->bflags)];

	while (p && p->gfn != k->gpa >> 12)
		p = p->next;
	if (!p) {
		p = arena_get(b, sizeof(*p));
		*p = (struct code_page){ k->gpa >> 12, NULL, *slot };
		*slot = p;
	}
	k->page_next = p->first;
	p->first = k;
	k->hash_next = *h;
	*h = k;
}

#define BUILD_MAX                                                   \
	(sizeof(struct block) + (MAX_OPS + 4) * sizeof(struct op) + \
	 MAX_OPS * (sizeof(struct slow_insn) + 32) + sizeof(struct code_page) + 64)

/* NULL: the first instruction is not for a block. */
static struct block *build(struct vcpu *c, const uint8_t *host, uint64_t gpa)
{
	struct blocks *b = c->blocks;
	struct op ops[MAX_OPS + 4];
	struct block head = { .gpa = gpa, .bflags = c->bflags }, *k;
	struct build w = { &head, ops, host, 0x1000 - (gpa & 0xfff) };
	size_t n;

	if (!code_can_enter(c, gpa >> 12))
		return NULL;
	code_enter(c, gpa >> 12); /* may drop everything */
	if (ARENA_SIZE - b->used < BUILD_MAX)
		blocks_drop_all(c);
	if (b->dropped) {
		b->dropped = false;
		b->used = 0;
		c->link = NULL;
	}
	while (!add_op(c, &w))
		if (head.nops == MAX_OPS) {
			add_fall(&w);
			break;
		}
	if (!head.nops)
		return NULL;
	n = (size_t)(w.op - ops) * sizeof(struct op);
	k = arena_get(b, sizeof(*k) + n);
	*k = head;
	memcpy(k->ops, ops, n);
	enter(c, k);
	return k;
}

/* The block at st.rip; faults as a fetch does. */
static struct block *find(struct vcpu *c)
{
	uint64_t rip = c->st.rip, va, gpa;
	struct jump *j = &c->jumps[jump_hash(rip)];
	const uint8_t *host;
	struct block *k;

	if (j->rip == rip && j->key == c->jump_key)
		return j->b;
	va = code_linear(c, rip);
	host = fetch_page(c, va, &gpa);
	k = lookup(c->blocks, gpa, c->bflags);
	if (!k && host)
		k = build(c, host, gpa);
	if (k && c->mode == MODE_64)
		*j = (struct jump){ rip, c->jump_key, k };
	return k;
}

void blocks_run(struct vcpu *c)
{
	struct block *k;

	c->link = NULL;
	c->leave = 0;
	do {
		k = find(c);
		if (unlikely(!k)) {
			blocks_step(c);
			return;
		}
		if (c->link) {
			*c->link = k;
			c->link = NULL;
		}
		c->brip = c->st.rip;
		k->ops[0].fn(c, k->ops);
	} while (likely(!c->leave && !atomic_load_explicit(&c->attn, memory_order_relaxed)));
}

void blocks_fetch(struct vcpu *c, struct insn *ret)
{
	uint64_t va = code_linear(c, c->st.rip), gpa;
	unsigned n = 0x1000 - (va & 0xfff), want = INSN_MAX;
	uint8_t b[INSN_MAX];
	const uint8_t *p = fetch_page(c, va, &gpa);
	int r;

	n = n < want ? n : want;
	memset(b, 0xff, sizeof(b)); /* what no RAM reads as */
	if (p)
		memcpy(b, p, n);
	r = insn_decode(b, n, (enum insn_mode)c->mode, ret);
	if (r == -EAGAIN && n < want) {
		va = code_linear(c, c->st.rip + n);
		p = fetch_page(c, va, &gpa);
		if (p)
			memcpy(b + n, p, want - n);
		r = insn_decode(b, want, (enum insn_mode)c->mode, ret);
	}
	if (r == -EINVAL)
		cpu_ud(c);
	if (r)
		cpu_gp0(c);
}

void blocks_step(struct vcpu *c)
{
	struct insn i;

	blocks_fetch(c, &i);
	c->next = c->st.rip + i.len;
	if (c->mode != MODE_64)
		c->next = (uint32_t)c->next;
	exec_one(c, &i);
	c->st.rip = c->next;
}

void op_slow(struct vcpu *c, const struct op *o)
{
	const struct slow_insn *s = (const struct slow_insn *)(uintptr_t)o->imm;

	c->st.rip = c->brip + o->off;
	c->next = c->st.rip + o->len;
	s->fn(c, &s->i);
	if (unlikely(c->leave | c->db_pending)) {
		c->st.rip = c->next;
		c->leave = 1;
		return;
	}
	o[1].fn(c, o + 1);
}

void op_slow_end(struct vcpu *c, const struct op *o)
{
	const struct slow_insn *s = (const struct slow_insn *)(uintptr_t)o->imm;

	c->st.rip = c->brip + o->off;
	c->next = c->st.rip + o->len;
	if (c->mode != MODE_64)
		c->next = (uint32_t)c->next;
	s->fn(c, &s->i);
	c->st.rip = c->next;
	if (!(s->flags & E_BR) || c->db_pending)
		c->leave = 1;
}

void op_simd(struct vcpu *c, const struct op *o)
{
	const struct slow_insn *s = (const struct slow_insn *)(uintptr_t)o->imm;

	c->st.rip = c->brip + o->off;
	c->next = c->st.rip + o->len;
	exec_simd_compiled(c, &s->simd, &s->i);
	if (unlikely(c->leave | c->db_pending)) {
		c->st.rip = c->next;
		c->leave = 1;
		return;
	}
	o[1].fn(c, o + 1);
}

void op_redo(struct vcpu *c, const struct op *o)
{
	c->st.rip = c->brip + o->off;
	blocks_step(c);
	if (unlikely(c->leave | c->db_pending | o->last)) {
		c->leave |= c->db_pending != 0;
		return;
	}
	o[1].fn(c, o + 1);
}

void op_retry(struct vcpu *c, const struct op *o, uint64_t va, unsigned n, enum access acc)
{
	uint64_t gpa;

	c->st.rip = c->brip + o->off;
	if ((va & 0xfff) + n <= 0x1000 && canonical(va) && !c->check_align &&
	    !(c->st.dr[7] & 0xff) && mmu_fill(c, va, acc, c->tm, &gpa) && !c->leave)
		o->fn(c, o);
	else
		op_redo(c, o);
}
