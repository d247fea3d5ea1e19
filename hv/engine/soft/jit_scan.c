/* hv/engine/soft/jit_scan.c - a translation's first pass: which instructions the
 * block has, what each needs, and which flags live before it.
 */
#include "hv/engine/soft/jit_tr.h"
#include "hv/engine/soft/simd_int.h"

static bool ends_block(const struct opinfo *o)
{
	return o->kind == OP_INTERP || o->kind >= OP_JCC;
}

/* Encodings that can't be made to work with r10 or the register map. */
static void refuse(const struct insn *i, struct opinfo *o)
{
	bool hr = o->regf == OPF_GPR && o->reg_byte && high_byte(i, i->reg);
	bool hm = o->rmf == OPF_GPR && o->size == 1 && i->mod == 3 && high_byte(i, i->rm);

	if (o->kind == OP_REG && i->op >= 0xb4 && i->op <= 0xb7 && !i->rex)
		o->kind = OP_RAW;
	if (o->kind == OP_JCC && i->p66)
		o->kind = OP_INTERP; /* a 16-bit branch on some CPUs */
	if (o->kind != OP_RM || !(hr || hm))
		return;
	if (i->mod != 3 || (!hm && i->rm == R_RSP) ||
	    (!hr && o->regf == OPF_GPR && i->reg == R_RSP))
		o->kind = OP_INTERP;
}

/* SSE through the table that the stubs are made from; rows with operands of
 * their own kind stay with the engine. */
static void sse_info(struct tr *t, const struct insn *i, struct opinfo *o)
{
	enum simd_prefix pfx;
	const struct simd_op *s = simd_op_find(i, &pfx);
	unsigned size;

	if (!s || i->lock || s->fl & (O_MASKMOV | O_CRC32) || s->reg == K_MMX || s->rm == K_MMX ||
	    (s->reg == K_GPR && s->rm == K_GPR) || (s->reg == K_NONE && s->rm != K_XMM) ||
	    !simd_cache_has(t->j->c->simd, s->feat))
		return;
	size = s->fl & O_W8 && i->rex & 8 ? 8 : s->msz;
	if (i->mod == 3 && size == 1)
		size = 4; /* a general register, not a byte of one */
	if (i->mod != 3 ? !size : s->rm == K_NONE)
		return;
	*o = (struct opinfo){ .kind = OP_RM,
			      .size = (uint8_t)(size ? size : 16),
			      .align = s->fl & O_A16 ? 16 : 0,
			      .regf = s->reg == K_GPR	? OPF_GPR
				      : s->reg == K_XMM ? OPF_XMM
							: OPF_EXT,
			      .rmf = s->rm == K_GPR ? OPF_GPR : OPF_XMM,
			      .wreg = s->dst == D_REG };
	o->mem = s->dst != D_RM ? OP_MEM_R : s->fl & O_PURE ? OP_MEM_W : OP_MEM_RW;
	if (s->fl & O_EFL) {
		o->fkills = FL_ALL;
		o->fwrites = 1;
	}
}

/* Whether a frame pushed here could show the flags: then all of them are live. */
static bool may_fault(const struct insn *i, const struct opinfo *o)
{
	switch (o->kind) {
	case OP_RM:
	case OP_JMP_RM: return i->mod != 3;
	case OP_RAW:
	case OP_REG:
	case OP_XCHG_A:
	case OP_NOP:
	case OP_LEA:
	case OP_JCC:
	case OP_JMP: return false;
	default: return true;
	}
}

void jit_scan(struct tr *t, const uint8_t *page)
{
	uint64_t rip = t->b->rip;

	while (t->n < JIT_BLOCK_INSNS) {
		unsigned off = rip & 4095;
		struct insn *i = &t->ins[t->n];
		struct opinfo *o = &t->op[t->n];

		if (t->n && (rip ^ t->b->rip) >> 12)
			break; /* the page ended */
		t->rip[t->n] = rip;
		if (insn_decode(page + off, 4096 - off, MODE_64, i) < 0) {
			*o = (struct opinfo){ .kind = OP_INTERP }; /* crosses the page, or #UD */
			t->n++;
			break;
		}
		opinfo_get(i, t->j->has_tzcnt, t->j->has_lzcnt, o);
		if (o->kind == OP_INTERP && i->map != MAP_1 && (t->b->mode & JMODE_SSE))
			sse_info(t, i, o);
		refuse(i, o);
		rip += i->len;
		t->n++;
		if (ends_block(o))
			break;
	}
	t->rip[t->n] = rip;
	t->live[t->n] = FL_ALL;
	for (unsigned k = t->n; k-- > 0;) {
		const struct opinfo *o = &t->op[k];

		t->needs[k] = (uint8_t)((t->live[k + 1] & ~o->fkills) | o->freads);
		t->live[k] = may_fault(&t->ins[k], o) ? FL_ALL : t->needs[k];
	}
}
