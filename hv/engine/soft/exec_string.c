/* hv/engine/soft/exec_string.c - string instructions and port I/O.
 *
 * A repeated instruction commits registers after each item (or page chunk), so
 * a fault in the middle restarts where it stopped; movs, stos and lods of plain
 * RAM go by page chunks.  One run is bounded: attention is looked at now and
 * then, and the instruction restarted after it.
 */
#include "hv/engine/soft/exec.h"

#define BURST 16384u /* items between looks at attn */

struct str {
	unsigned n, ad, seg;
	int64_t step;
	uint64_t *si, *di, *cx;
	uint64_t left;
	bool rep;
};

static void advance(struct str *s, uint64_t *r, uint64_t items)
{
	set_sized(r, s->ad, *r + (uint64_t)s->step * items);
}

static void count_down(struct str *s, uint64_t items)
{
	s->left -= items;
	if (s->rep)
		set_sized(s->cx, s->ad, s->left);
}

static uint64_t src(struct vcpu *c, struct str *s)
{
	return seg_linear(c, s->seg, mask_size(*s->si, s->ad), s->n, ACC_READ);
}

static uint64_t dst(struct vcpu *c, struct str *s, enum access acc)
{
	return seg_linear(c, S_ES, mask_size(*s->di, s->ad), s->n, acc);
}

/* Items from va to the end of its page, at most left; 0 when one straddles it. */
static uint64_t in_page(const struct str *s, uint64_t va)
{
	uint64_t k = s->step > 0 ? (0x1000 - (va & 0xfff)) / s->n : (va & 0xfff) % s->n ? 0 : 1;

	return k < s->left ? k : s->left;
}

static bool bulk_ok(const struct vcpu *c, const struct str *s)
{
	return c->mode == MODE_64 && s->ad == 8 && s->step > 0 && s->left > 1;
}

static bool movs_bulk(struct vcpu *c, struct str *s)
{
	uint64_t a = src(c, s), d = dst(c, s, ACC_WRITE), k = in_page(s, a), k2 = in_page(s, d);
	uint8_t *from, *to;

	k = k < k2 ? k : k2;
	if (!k)
		return false;
	from = mem_chunk(c, a, (unsigned)(k * s->n), ACC_READ);
	to = from ? mem_chunk(c, d, (unsigned)(k * s->n), ACC_WRITE) : NULL;
	if (!to)
		return false;
	if (to >= from + k * s->n || from >= to + k * s->n) {
		memcpy(to, from, k * s->n);
	} else {
		/* Overlapping: item by item is what the CPU promises. */
		for (uint64_t j = 0; j < k; j++)
			host_put(to + j * s->n, s->n, host_get(from + j * s->n, s->n));
	}
	advance(s, s->si, k);
	advance(s, s->di, k);
	count_down(s, k);
	return true;
}

static bool stos_bulk(struct vcpu *c, struct str *s)
{
	uint64_t d = dst(c, s, ACC_WRITE), k = in_page(s, d), v = c->st.r[R_RAX];
	uint8_t *to;

	if (!k)
		return false;
	to = mem_chunk(c, d, (unsigned)(k * s->n), ACC_WRITE);
	if (!to)
		return false;
	if (s->n == 1)
		memset(to, (int)v, k);
	else
		for (uint64_t j = 0; j < k; j++)
			host_put(to + j * s->n, s->n, v);
	advance(s, s->di, k);
	count_down(s, k);
	return true;
}

static void compare_items(struct vcpu *c, unsigned n, uint64_t a, uint64_t b)
{
	uint16_t fl = 0;

#define CMP(sfx, T) \
	asm("cmp" sfx " %[b], %[x]" FL_OUT : "+a"(fl) : [x] "q"((T)a), [b] "q"((T)b) : "cc")
	switch (n) {
	case 1: CMP("b", uint8_t); break;
	case 2: CMP("w", uint16_t); break;
	case 4: CMP("l", uint32_t); break;
	default: CMP("q", uint64_t);
	}
	c->fl = fl;
}

/* movs a4, cmps a6, stos aa, lods ac, scas ae */
static void one_item(struct vcpu *c, struct str *s, unsigned op)
{
	uint64_t v;

	switch (op & 0xfe) {
	case 0xa4:
		v = mem_read(c, src(c, s), s->n);
		mem_write(c, dst(c, s, ACC_WRITE), s->n, v);
		break;
	case 0xa6:
		v = mem_read(c, src(c, s), s->n);
		compare_items(c, s->n, v, mem_read(c, dst(c, s, ACC_READ), s->n));
		break;
	case 0xaa: mem_write(c, dst(c, s, ACC_WRITE), s->n, c->st.r[R_RAX]); break;
	case 0xac: set_sized(&c->st.r[R_RAX], s->n, mem_read(c, src(c, s), s->n)); break;
	default: compare_items(c, s->n, c->st.r[R_RAX], mem_read(c, dst(c, s, ACC_READ), s->n));
	}
	if (op < 0xa8 || (op & 0xfe) == 0xac)
		advance(s, s->si, 1);
	if ((op & 0xfe) != 0xac)
		advance(s, s->di, 1);
	count_down(s, 1);
}

static struct str setup(struct vcpu *c, const struct insn *i, unsigned n)
{
	struct str s = { .n = n, .ad = i->adsize, .seg = i->seg, .rep = i->rep, .left = 1 };

	s.si = &c->st.r[R_RSI];
	s.di = &c->st.r[R_RDI];
	s.cx = &c->st.r[R_RCX];
	s.step = c->st.rflags & FL_DF ? -(int64_t)n : (int64_t)n;
	if (s.rep)
		s.left = mask_size(*s.cx, s.ad);
	return s;
}

/* Look up between items; true: leave, to be restarted at this instruction. */
static bool pause_here(struct vcpu *c, struct str *s)
{
	c->nreplay = c->ireplay = 0;
	if (!s->left || !(cpu_called(c) || c->st.rflags & FL_TF || c->db_pending || c->leave))
		return false;
	c->next = c->st.rip;
	c->leave = 1;
	return true;
}

void ex_string(struct vcpu *c, const struct insn *i)
{
	struct str s = setup(c, i, insn_size(i));
	bool compares = (i->op & 0xfe) == 0xa6 || (i->op & 0xfe) == 0xae;
	unsigned op = i->op & 0xfe;

	for (unsigned k = 1; s.left; k++) {
		if (op == 0xa4 && bulk_ok(c, &s) && movs_bulk(c, &s))
			k += 127;
		else if (op == 0xaa && bulk_ok(c, &s) && stos_bulk(c, &s))
			k += 127;
		else
			one_item(c, &s, i->op);
		if (compares && s.rep && !!(c->fl & 0x4000) != (s.rep && i->rep == 0xf3))
			return;
		if (s.rep &&
		    (k % 128 == 0 || c->nreplay || c->leave || c->db_pending ||
		     c->st.rflags & FL_TF) &&
		    pause_here(c, &s))
			return;
	}
}

static void io_allowed(struct vcpu *c, unsigned port, unsigned n)
{
	const struct seg *t = &c->st.s[S_TR];
	unsigned map;

	if (!cpu_protected(c) || c->cpl <= (c->st.rflags & FL_IOPL) >> 12)
		return;
	if (t->attr & SEG_UNUSABLE || !(SEG_TYPE(t->attr) & 8) || t->limit < 103)
		cpu_gp0(c);
	map = (unsigned)sup_read(c, t->base + 102, 2) + port / 8;
	if (map + 1 > t->limit)
		cpu_gp0(c);
	if (sup_read(c, t->base + map, 2) >> (port & 7) & ((1u << n) - 1))
		cpu_gp0(c);
}

/* ins 6c, outs 6e */
static void string_io(struct vcpu *c, const struct insn *i, unsigned n)
{
	struct str s = setup(c, i, n);
	unsigned port = c->st.r[R_RDX] & 0xffff;
	uint64_t v = 0;

	io_allowed(c, port, n);
	while (s.left) {
		if (i->op & 2) {
			v = mem_read(c, src(c, &s), n);
			cpu_ask(c, EXIT_IO, port, n, true, &v);
			advance(&s, s.si, 1);
		} else {
			uint64_t va = dst(c, &s, ACC_WRITE);

			mem_check_write(c, va, n);
			cpu_ask(c, EXIT_IO, port, n, false, &v);
			mem_write(c, va, n, v);
			advance(&s, s.di, 1);
		}
		count_down(&s, 1);
		if (pause_here(c, &s))
			return;
	}
}

/* e4 e5 ec ed, and 6c 6d */
void ex_in(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->op & 1 ? (i->opsize == 2 ? 2 : 4) : 1;
	unsigned port = i->op & 8 ? c->st.r[R_RDX] & 0xffff : i->imm & 0xff;
	uint64_t v = 0;

	if (i->op < 0x70) {
		string_io(c, i, n);
		return;
	}
	io_allowed(c, port, n);
	cpu_ask(c, EXIT_IO, port, n, false, &v);
	set_sized(&c->st.r[R_RAX], n, v);
}

void ex_out(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->op & 1 ? (i->opsize == 2 ? 2 : 4) : 1;
	unsigned port = i->op & 8 ? c->st.r[R_RDX] & 0xffff : i->imm & 0xff;
	uint64_t v = mask_size(c->st.r[R_RAX], n);

	if (i->op < 0x70) {
		string_io(c, i, n);
		return;
	}
	io_allowed(c, port, n);
	cpu_ask(c, EXIT_IO, port, n, true, &v);
}
