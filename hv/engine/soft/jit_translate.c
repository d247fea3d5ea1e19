/* hv/engine/soft/jit_translate.c - one guest block into host code.
 *
 * Two passes: decode up to the block's end and compute which flags live before
 * each instruction; then emit.  A memory operand becomes
 *
 *	lea  r10, [address]		guest-linear
 *	(flags to memory, if they are not there)
 *	mov  r11d, r10d; shr r11d, 7; and r11d, slots
 *	xor  r10, [tag + r11]		in-page offset if the page matches
 *	cmp  r10, 4096 - size; ja slow	one compare for both ways to miss
 *	add  r10, [host + r11]
 *
 * and then the guest's own instruction with [r10].  The slow path tries to copy
 * an entry from the engine's TLB and, failing that, leaves the instruction to
 * the engine, untouched.
 */
#include "hv/engine/soft/jit_tr.h"

#define JTLB_SHIFT 7 /* address bit 12 to the entry's 32 bytes */

/* ---- flags ---- */

static void flags_save(struct tr *t)
{
	struct code_buf *e = t->e;

	if (t->loc == F_MEM)
		return;
	e_mov_rr(e, H_R11, H_RAX);
	/* Stored with the width it is loaded with, or the load waits for the store. */
	e_bytes(e, (uint8_t[]){ 0x9f, 0x0f, 0x90, 0xc0 }, 4); /* lahf; seto al */
	e_op_sp(e, false, 0x89, H_RAX, JOFF(fl));
	e_mov_rr(e, H_RAX, H_R11);
	t->loc = F_MEM;
}

static void flags_load(struct tr *t)
{
	struct code_buf *e = t->e;

	if (t->loc == F_HOST)
		return;
	e_mov_rr(e, H_R11, H_RAX);
	e_op_sp(e, false, 0x8b, H_RAX, JOFF(fl));
	e_bytes(e, (uint8_t[]){ 0x04, 0x7f, 0x9e }, 3); /* add al, 0x7f (sets OF); sahf */
	e_mov_rr(e, H_RAX, H_R11);
	t->loc = F_HOST;
}

/* Before an instruction that touches flags. */
static void flags_for(struct tr *t, unsigned k)
{
	const struct opinfo *o = &t->op[k];

	if ((o->freads || o->fwrites) && t->needs[k])
		flags_load(t);
}

static void flags_after(struct tr *t, unsigned k)
{
	if (t->op[k].fwrites)
		t->loc = F_HOST;
}

/* ---- leaving ---- */

static void emit_leave(struct tr *t, uint64_t rip, enum jit_reason why)
{
	e_mov_imm(t->e, H_R10, rip);
	e_mov_imm(t->e, H_R11, why);
	e_jmp(t->e, t->loc == F_HOST ? t->j->leave_host : t->j->leave_mem);
}

/* r10 holds the target; flags are in memory. */
static void emit_lookup(struct tr *t)
{
	struct code_buf *e = t->e;
	int32_t jc = JOFF(jc) + (int32_t)(t->tm * sizeof(t->j->jc[0]));
	uint8_t *miss;

	/* jc_slot(): mov r11d, r10d; shr r11d, JC_SHIFT; xor r11d, r10d; and */
	e_bytes(e, (uint8_t[]){ 0x45, 0x89, 0xd3, 0x41, 0xc1, 0xeb, JC_SHIFT }, 7);
	e_bytes(e, (uint8_t[]){ 0x45, 0x31, 0xd3, 0x41, 0x81, 0xe3 }, 6);
	e_u32(e, JC_SIZE - 1);
	e_bytes(e, (uint8_t[]){ 0x41, 0xc1, 0xe3, 0x04 }, 4); /* shl r11d, 4 */
	e_op_sp_idx(e, 0x3b, H_R10, H_R11, jc + (int32_t)offsetof(struct jc_entry, rip));
	e_bytes(e, (uint8_t[]){ 0x75, 0x08 }, 2); /* jne over the jmp */
	miss = e_here(e);
	/* jmp [rsp + r11 + code] */
	e_bytes(e, (uint8_t[]){ 0x42, 0xff, 0xa4, 0x1c }, 4);
	e_u32(e, (uint32_t)(jc + (int32_t)offsetof(struct jc_entry, code)));
	if (!e->full && e_here(e) - miss != 8)
		e->full = true;
	e_mov_imm(e, H_R11, JR_LOOKUP);
	e_jmp(e, t->j->leave_mem);
}

static void emit_indirect(struct tr *t)
{
	flags_save(t); /* uses r11 only */
	emit_lookup(t);
	t->ended = true;
}

/* A link's way to C, or for another page through the jump cache. */
static void emit_stub(struct tr *t, struct jit_link *l, enum floc loc)
{
	struct code_buf *e = t->e;

	t->loc = loc;
	l->stub = e_exec(e, e_here(e));
	if ((l->rip ^ t->b->rip) >> 12) {
		flags_save(t);
		e_mov_imm(e, H_R10, l->rip);
		emit_lookup(t);
		return;
	}
	/* Which link: flagless, and r11 carries it until leave stores it. */
	e_mov_imm(e, H_R11, (uint64_t)(uintptr_t)l);
	e_store_sp(e, JOFF(link), H_R11);
	emit_leave(t, l->rip, JR_CHAIN);
}

static struct jit_link *new_link(struct tr *t, uint64_t rip)
{
	struct jit_link *l = &t->b->out[t->b->nout++];

	*l = (struct jit_link){ .from = t->b, .rip = rip, .flags_host = t->loc == F_HOST };
	return l;
}

static void emit_direct(struct tr *t, uint64_t rip)
{
	struct jit_link *l = new_link(t, rip);

	l->at = e_jmp(t->e, t->j->leave_mem); /* pointed at its stub below */
	emit_stub(t, l, t->loc);
	if (!t->e->full)
		e_patch(l->at, t->j->code_bias, l->stub);
	t->ended = true;
}

static void emit_jcc_exit(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];
	struct jit_link *taken, *fall;

	flags_load(t);
	taken = new_link(t, t->rip[k] + i->len + i->imm);
	fall = new_link(t, t->rip[k] + i->len);
	taken->at = e_jcc(t->e, i->op & 15, t->j->leave_mem);
	fall->at = e_jmp(t->e, t->j->leave_mem);
	emit_stub(t, taken, F_HOST);
	emit_stub(t, fall, F_HOST);
	if (!t->e->full) {
		e_patch(taken->at, t->j->code_bias, taken->stub);
		e_patch(fall->at, t->j->code_bias, fall->stub);
	}
	t->ended = true;
}

/* ---- operands ---- */

/* The host register that holds guest register g now; memory ones are loaded
 * into scratch first. */
static unsigned in_reg(struct tr *t, unsigned g, unsigned scratch)
{
	if (jit_map[g] != E_NOREG)
		return jit_map[g];
	e_load_sp(t->e, scratch, jit_mr(g));
	return scratch;
}

static void out_reg(struct tr *t, unsigned g, unsigned host)
{
	if (jit_map[g] == E_NOREG)
		e_store_sp(t->e, jit_mr(g), host);
}

/* r10 = the guest-linear address of the memory operand. */
static void emit_ea(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];
	struct code_buf *e = t->e;
	unsigned base = E_NOREG, idx = E_NOREG;
	bool w = i->adsize == 8;

	if (i->base == REG_RIP || (i->base == REG_NONE && i->index == REG_NONE)) {
		uint64_t a = (uint64_t)(int64_t)i->disp;

		if (i->base == REG_RIP)
			a += t->rip[k] + i->len;
		e_mov_imm(e, H_R10, w ? a : (uint32_t)a);
	} else {
		if (i->base != REG_NONE)
			base = in_reg(t, i->base, H_R10);
		if (i->index != REG_NONE)
			idx = in_reg(t, i->index, H_R11);
		e_lea(e, w, H_R10, base, idx, i->scale, i->disp);
	}
	if (i->seg == S_FS || i->seg == S_GS) {
		e_load_sp(e, H_R11, JOFF(seg_base) + (i->seg == S_GS ? 8 : 0));
		e_lea(e, true, H_R10, H_R10, H_R11, 0, 0);
	}
}

/* r10: guest-linear address in, host address out.  The flags are saved, even if
 * they are dead: a fault here shows them. */
static void emit_check(struct tr *t, unsigned k, unsigned size, bool write, unsigned align)
{
	struct code_buf *e = t->e;
	int32_t tlb = JOFF(tlb) + (int32_t)(t->tm * sizeof(t->j->tlb[0]));
	int32_t tag = tlb + (int32_t)(write ? offsetof(struct jtlb_entry, tag_w)
					    : offsetof(struct jtlb_entry, tag_r));
	struct slow *s = &t->slow[t->nslow++];

	_Static_assert(offsetof(struct jtlb_entry, host_r) == 8 &&
			       offsetof(struct jtlb_entry, host_w) ==
				       offsetof(struct jtlb_entry, tag_w) + 8,
		       "the host address follows its tag");
	flags_save(t);
	*s = (struct slow){ .retry = e_exec(e, e_here(e)),
			    .tag = tag,
			    .info = size | (write ? JFILL_WRITE : 0),
			    .rip = t->rip[k] };
	e_bytes(e, (uint8_t[]){ 0x45, 0x89, 0xd3, 0x41, 0xc1, 0xeb, JTLB_SHIFT }, 7);
	e_bytes(e, (uint8_t[]){ 0x41, 0x81, 0xe3 }, 3); /* and r11d, imm32 */
	e_u32(e, (JTLB_SIZE - 1) * (uint32_t)sizeof(struct jtlb_entry));
	e_op_sp_idx(e, 0x33, H_R10, H_R11, tag);
	e_bytes(e, (uint8_t[]){ 0x49, 0x81, 0xfa }, 3); /* cmp r10, imm32 */
	e_u32(e, 4096 - size);
	s->at = e_jcc(e, 7, t->j->leave_mem);	     /* ja */
	e_op_sp_idx(e, 0x03, H_R10, H_R11, tag + 8); /* host_r or host_w */
	if (align > 1) {
		s = &t->slow[t->nslow++];
		*s = (struct slow){ .rip = t->rip[k] };
		e_bytes(e, (uint8_t[]){ 0x41, 0xf6, 0xc2, (uint8_t)(align - 1) }, 4);
		s->at = e_jcc(e, 5, t->j->leave_mem); /* test r10b, align - 1; jnz */
	}
}

static void emit_slow(struct tr *t)
{
	struct code_buf *e = t->e;

	t->loc = F_MEM;
	for (unsigned k = 0; k < t->nslow && !e->full; k++) {
		const struct slow *s = &t->slow[k];

		e_patch(s->at, t->j->code_bias, e_exec(e, e_here(e)));
		if (s->retry) {
			e_op_sp_idx(e, 0x33, H_R10, H_R11, s->tag); /* the address again */
			e_mov_imm(e, H_R11, s->info);
			e_u8(e, 0xe8); /* call fill */
			e_u32(e, (uint32_t)(t->j->fill - (e_exec(e, e_here(e)) + 4)));
			e_jmp(e, s->retry); /* the 5 bytes that fill skips on failure */
		}
		emit_leave(t, s->rip, JR_STEP);
	}
}

/* The guest's instruction with other operands: reg and rm are host numbers, or
 * opcode bits; mem: rm is [r10]. */
static void emit_insn(struct tr *t, unsigned k, unsigned reg, unsigned rm, bool mem)
{
	const struct insn *i = &t->ins[k];
	const struct opinfo *o = &t->op[k];
	struct code_buf *e = t->e;
	uint8_t rex = (uint8_t)((i->rex & 8) | (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0));
	bool force = (o->reg_byte && o->regf == OPF_GPR && reg >= 4 && !high_byte(i, i->reg)) ||
		     (o->size == 1 && o->rmf == OPF_GPR && !mem && rm >= 4 && !high_byte(i, i->rm));

	if (i->p66)
		e_u8(e, 0x66);
	if (i->rep && !o->drop_rep)
		e_u8(e, i->rep);
	if (i->lock)
		e_u8(e, 0xf0);
	if (rex || force)
		e_u8(e, 0x40 | rex);
	if (i->map != MAP_1)
		e_u8(e, 0x0f);
	if (i->map == MAP_0F38)
		e_u8(e, 0x38);
	if (i->map == MAP_0F3A)
		e_u8(e, 0x3a);
	e_u8(e, i->op);
	e_u8(e, (uint8_t)((mem ? 0 : 0xc0) | (reg & 7) << 3 | (rm & 7)));
	e_bytes(e, i->bytes + i->imm_off, i->imm_len);
}

static void emit_rm(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];
	const struct opinfo *o = &t->op[k];
	bool mem = i->mod != 3;
	unsigned reg = o->regf == OPF_EXT ? i->reg & 7u : i->reg, rm = i->rm;

	if (mem) {
		emit_ea(t, k);
		emit_check(t, k, o->size, o->mem & OP_MEM_W, o->align);
		rm = H_R10;
	}
	flags_for(t, k);
	if (!mem && o->rmf == OPF_GPR && !(o->size == 1 && high_byte(i, i->rm)))
		rm = in_reg(t, i->rm, H_R10);
	if (o->regf == OPF_GPR && !(o->reg_byte && high_byte(i, i->reg)))
		reg = !mem && o->rmf == OPF_GPR && i->reg == i->rm ? rm : in_reg(t, i->reg, H_R11);
	emit_insn(t, k, reg, rm, mem);
	if (!mem && o->rmf == OPF_GPR && (o->mem & OP_MEM_W))
		out_reg(t, i->rm, rm);
	if (o->regf == OPF_GPR && o->wreg)
		out_reg(t, i->reg, reg);
	flags_after(t, k);
}

/* ---- forms of their own ---- */

static void emit_raw(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];

	flags_for(t, k);
	if (i->p66)
		e_u8(t->e, 0x66);
	if (i->rex)
		e_u8(t->e, i->rex);
	e_bytes(t->e, i->bytes + i->op_off - (i->map == MAP_0F),
		i->len - i->op_off + (i->map == MAP_0F));
	flags_after(t, k);
}

/* mov r, imm; bswap r */
static void emit_reg(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];
	unsigned g = (i->op & 7u) | (i->rex & 1u) << 3, h;
	bool byte = i->map == MAP_1 && i->op < 0xb8;

	h = in_reg(t, g, H_R11);
	if (i->p66)
		e_u8(t->e, 0x66);
	if (byte || (i->rex & 8) || h >= 8)
		e_u8(t->e, (uint8_t)(0x40 | (i->rex & 8) | (h >= 8)));
	if (i->map == MAP_0F)
		e_u8(t->e, 0x0f);
	e_u8(t->e, (uint8_t)((i->op & 0xf8) | (h & 7)));
	e_bytes(t->e, i->bytes + i->imm_off, i->imm_len);
	out_reg(t, g, h);
}

static void emit_xchg_a(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];
	unsigned g = (i->op & 7u) | (i->rex & 1u) << 3, h = in_reg(t, g, H_R11);

	if (i->p66)
		e_u8(t->e, 0x66);
	if ((i->rex & 8) || h >= 8)
		e_u8(t->e, (uint8_t)(0x40 | (i->rex & 8) | (h >= 8)));
	e_u8(t->e, 0x87);
	e_u8(t->e, (uint8_t)(0xc0 | (h & 7)));
	out_reg(t, g, h);
}

static void emit_lea_insn(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];
	unsigned dst = jit_map[i->reg], base = E_NOREG, idx = E_NOREG;
	bool w = i->opsize == 8 && i->adsize == 8;

	if (dst == E_NOREG)
		dst = H_R11;
	if (i->base == REG_RIP) {
		uint64_t a = t->rip[k] + i->len + (uint64_t)(int64_t)i->disp;

		e_mov_imm(t->e, dst, w ? a : (uint32_t)a);
	} else {
		if (i->base != REG_NONE)
			base = in_reg(t, i->base, H_R10);
		if (i->index != REG_NONE)
			idx = in_reg(t, i->index, H_R11);
		e_lea(t->e, w, dst, base, idx, i->scale, i->disp);
	}
	out_reg(t, i->reg, dst);
}

static void to_engine(struct tr *t, unsigned k, unsigned cc)
{
	struct slow *s = &t->slow[t->nslow++];

	*s = (struct slow){ .rip = t->rip[k] };
	s->at = e_jcc(t->e, cc, t->j->leave_mem);
}

/* Divides only where the quotient surely fits; the engine does the others and
 * raises #DE.  The flags that a division leaves undefined stay what they are
 * on the host. */
static void emit_div(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];
	struct code_buf *e = t->e;
	uint8_t w = i->rex & 8, rex = (uint8_t)(0x41 | w);
	unsigned mem = i->mod != 3;

	if (mem) {
		emit_ea(t, k);
		emit_check(t, k, i->opsize, false, 0);
		e_bytes(e, (uint8_t[]){ w ? 0x4d : 0x45, 0x8b, 0x12 }, 3); /* mov r10, [r10] */
	} else {
		unsigned h = in_reg(t, i->rm, H_R10);

		if (h != H_R10)
			e_mov_rr(e, H_R10, h);
	}
	flags_save(t); /* the guards spoil them */
	if ((i->reg & 7) == 6) {
		e_bytes(e, (uint8_t[]){ w ? 0x4c : 0x44, 0x39, 0xd2 }, 3); /* cmp rdx, r10 */
		to_engine(t, k, 3);					   /* jae */
	} else {
		/* rdx:rax is a sign extension, and the divisor neither 0 nor -1 */
		e_bytes(e, (uint8_t[]){ (uint8_t)(0x41 | w), 0x89, 0xc3 }, 3); /* mov r11, rax */
		e_bytes(e, (uint8_t[]){ rex, 0xc1, 0xfb, w ? 63 : 31 }, 4);    /* sar r11 */
		e_bytes(e, (uint8_t[]){ w ? 0x4c : 0x44, 0x39, 0xda }, 3);     /* cmp rdx, r11 */
		to_engine(t, k, 5);					       /* jne */
		e_bytes(e, (uint8_t[]){ (uint8_t)(0x45 | w), 0x8d, 0x5a, 0x01 },
			4);					     /* lea r11, [r10+1] */
		e_bytes(e, (uint8_t[]){ rex, 0x83, 0xfb, 0x01 }, 4); /* cmp r11, 1 */
		to_engine(t, k, 6);				     /* jbe */
	}
	e_bytes(e, (uint8_t[]){ rex, 0xf7, (uint8_t)(0xc2 | (i->reg & 7) << 3) }, 3);
	t->loc = F_HOST;
}

/* r10 = host address of the new top of the guest's stack; rsp not moved yet. */
static void emit_push_slot(struct tr *t, unsigned k)
{
	e_lea(t->e, true, H_R10, H_R9, E_NOREG, 0, -8);
	emit_check(t, k, 8, true, 0);
}

static void store_r10(struct tr *t, unsigned h)
{
	e_bytes(t->e,
		(uint8_t[]){ (uint8_t)(0x49 | (h >= 8 ? 4 : 0)), 0x89,
			     (uint8_t)(0x02 | (h & 7) << 3) },
		3);
}

static void load_r10(struct tr *t, unsigned h)
{
	e_bytes(t->e,
		(uint8_t[]){ (uint8_t)(0x49 | (h >= 8 ? 4 : 0)), 0x8b,
			     (uint8_t)(0x02 | (h & 7) << 3) },
		3);
}

static void move_sp(struct tr *t, int32_t by)
{
	e_lea(t->e, true, H_R9, H_R9, E_NOREG, 0, by);
}

static void store_r10_imm(struct tr *t, uint64_t v)
{
	if ((int64_t)v == (int32_t)v) {
		e_bytes(t->e, (uint8_t[]){ 0x49, 0xc7, 0x02 }, 3);
		e_u32(t->e, (uint32_t)v);
	} else {
		e_mov_imm(t->e, H_R11, v);
		store_r10(t, H_R11);
	}
}

static void emit_push_r(struct tr *t, unsigned k)
{
	unsigned g = (t->ins[k].op & 7u) | (t->ins[k].rex & 1u) << 3;

	emit_push_slot(t, k);
	store_r10(t, in_reg(t, g, H_R11));
	move_sp(t, -8);
}

static void emit_pop_r(struct tr *t, unsigned k)
{
	unsigned g = (t->ins[k].op & 7u) | (t->ins[k].rex & 1u) << 3, h = jit_map[g];

	e_mov_rr(t->e, H_R10, H_R9);
	emit_check(t, k, 8, false, 0);
	if (h == E_NOREG)
		h = H_R11;
	load_r10(t, h);
	if (g != R_RSP)
		move_sp(t, 8);
	out_reg(t, g, h);
}

/* The value of the rm operand of push/call, parked at t0. */
static void park_rm(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];

	if (i->mod == 3) {
		e_store_sp(t->e, JOFF(t0), in_reg(t, i->rm, H_R11));
		return;
	}
	emit_ea(t, k);
	emit_check(t, k, 8, false, 0);
	load_r10(t, H_R11);
	e_store_sp(t->e, JOFF(t0), H_R11);
}

static void emit_push_rm(struct tr *t, unsigned k)
{
	park_rm(t, k);
	emit_push_slot(t, k);
	e_load_sp(t->e, H_R11, JOFF(t0));
	store_r10(t, H_R11);
	move_sp(t, -8);
}

static void emit_leave_insn(struct tr *t, unsigned k)
{
	e_mov_rr(t->e, H_R10, H_RBP);
	emit_check(t, k, 8, false, 0);
	e_lea(t->e, true, H_R9, H_RBP, E_NOREG, 0, 8);
	load_r10(t, H_RBP);
}

static void emit_call(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];

	emit_push_slot(t, k);
	store_r10_imm(t, t->rip[k + 1]);
	move_sp(t, -8);
	emit_direct(t, t->rip[k + 1] + i->imm);
}

static void emit_call_rm(struct tr *t, unsigned k)
{
	park_rm(t, k);
	emit_push_slot(t, k);
	store_r10_imm(t, t->rip[k + 1]);
	move_sp(t, -8);
	e_load_sp(t->e, H_R10, JOFF(t0));
	emit_indirect(t);
}

static void emit_jmp_rm(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];

	if (i->mod == 3) {
		unsigned h = in_reg(t, i->rm, H_R10);

		if (h != H_R10)
			e_mov_rr(t->e, H_R10, h);
	} else {
		emit_ea(t, k);
		emit_check(t, k, 8, false, 0);
		load_r10(t, H_R10);
	}
	emit_indirect(t);
}

static void emit_ret(struct tr *t, unsigned k)
{
	const struct insn *i = &t->ins[k];

	e_mov_rr(t->e, H_R10, H_R9);
	emit_check(t, k, 8, false, 0);
	load_r10(t, H_R10);
	move_sp(t, 8 + (i->op == 0xc2 ? (int32_t)(i->imm & 0xffff) : 0));
	emit_indirect(t);
}

static void emit_push_i(struct tr *t, unsigned k)
{
	emit_push_slot(t, k);
	store_r10_imm(t, t->ins[k].imm);
	move_sp(t, -8);
}

static void emit_nop(struct tr *t, unsigned k)
{
	if (t->ins[k].map == MAP_1 && t->ins[k].rep == 0xf3)
		e_bytes(t->e, (uint8_t[]){ 0xf3, 0x90 }, 2); /* pause */
}

static void emit_jmp_insn(struct tr *t, unsigned k)
{
	emit_direct(t, t->rip[k + 1] + t->ins[k].imm);
}

static void emit_interp(struct tr *t, unsigned k)
{
	emit_leave(t, t->rip[k], JR_STEP);
	t->ended = true;
}

static void (*const emitters[])(struct tr *t, unsigned k) = {
	[OP_INTERP] = emit_interp,    [OP_RM] = emit_rm,	 [OP_RAW] = emit_raw,
	[OP_REG] = emit_reg,	      [OP_XCHG_A] = emit_xchg_a, [OP_NOP] = emit_nop,
	[OP_LEA] = emit_lea_insn,     [OP_DIV] = emit_div,	 [OP_PUSH_R] = emit_push_r,
	[OP_POP_R] = emit_pop_r,      [OP_PUSH_I] = emit_push_i, [OP_PUSH_RM] = emit_push_rm,
	[OP_LEAVE] = emit_leave_insn, [OP_JCC] = emit_jcc_exit,	 [OP_JMP] = emit_jmp_insn,
	[OP_CALL] = emit_call,	      [OP_RET] = emit_ret,	 [OP_JMP_RM] = emit_jmp_rm,
	[OP_CALL_RM] = emit_call_rm,
};

/* Where a block begins: the attention poll, with the flags out of its way. */
static void emit_entry(struct tr *t)
{
	struct code_buf *e = t->e;
	struct slow *s = &t->slow[t->nslow++];

	t->loc = F_HOST;
	t->b->entry_host = e_exec(e, e_here(e));
	if (t->live[0])
		flags_save(t);
	t->b->entry_mem = e_exec(e, e_here(e));
	e_u8(e, 0x80); /* cmp byte [rsp + poll], 0 */
	e_modrm_sp(e, 7, JOFF(poll));
	e_u8(e, 0);
	*s = (struct slow){ .rip = t->b->rip };
	s->at = e_jcc(e, 5, t->j->leave_mem);
}

struct jit_block *jit_translate(struct jit *j, uint64_t rip, uint64_t gfn, uint32_t mode,
				const uint8_t *page)
{
	struct tr t = { .j = j, .e = &j->em, .tm = JMODE_TM(mode) };

	t.b = jit_block_alloc(j);
	if (!t.b)
		return NULL;
	t.b->rip = rip;
	t.b->gfn = gfn;
	t.b->mode = mode;
	jit_scan(&t, page);
	t.b->interp = t.op[0].kind == OP_INTERP;
	if (!t.b->interp) {
		emit_entry(&t);
		for (unsigned k = 0; k < t.n && !t.e->full; k++)
			emitters[t.op[k].kind](&t, k);
		if (!t.ended)
			emit_direct(&t, t.rip[t.n]);
		emit_slow(&t);
	}
	if (t.e->full)
		return NULL;
	jit_block_publish(j, t.b);
	return t.b;
}
