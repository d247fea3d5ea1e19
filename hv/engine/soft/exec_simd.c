/* hv/engine/soft/exec_simd.c - x87, MMX and SSE instructions: the checks and the
 * memory operand; the arithmetic is simd.h's native stub on a bounce buffer.
 */
#include <errno.h>

#include "hv/engine/soft/block.h"
#include "hv/engine/soft/exec.h"

static void check_available(struct vcpu *c, const struct simd_ins *s, const struct insn *i)
{
	uint64_t cr0 = c->st.cr0;

	if (s->unit == SIMD_X87) {
		bool wait = i->map == MAP_1 && i->op == 0x9b;

		if (wait ? (cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS) : cr0 & (CR0_EM | CR0_TS))
			cpu_fault(c, X_NM);
		return;
	}
	if (cr0 & CR0_EM || (s->unit == SIMD_SSE && !(c->st.cr4 & CR4_OSFXSR)))
		cpu_ud(c);
	if (cr0 & CR0_TS)
		cpu_fault(c, X_NM);
}

/* The stub works on the architectural image of the arithmetic flags. */
static int run(struct vcpu *c, const struct simd_ins *s, void *mem)
{
	int vec;

	if (!s->flags)
		return s->run(s, &c->simd_regs, mem);
	c->simd_flags = cpu_rflags(c);
	vec = s->run(s, &c->simd_regs, mem);
	c->st.rflags = (c->st.rflags & ~FL_ARITH) | (c->simd_flags & FL_ARITH);
	cpu_load_flags(c);
	return vec;
}

/* The operand's linear address; maskmovq and maskmovdqu write to seg:rDI. */
static uint64_t operand(struct vcpu *c, const struct simd_ins *s, const struct insn *i)
{
	enum access acc = s->mem & SIMD_MEM_WRITE ? ACC_WRITE : ACC_READ;
	uint64_t va;

	if (i->mod == 3)
		va = seg_linear(c, i->seg, mask_size(c->st.r[R_RDI], i->adsize), s->mem_size, acc);
	else
		va = insn_lin(c, i, s->mem_size, acc);
	if (s->align && va & (s->align - 1u))
		cpu_gp0(c);
	return va;
}

static void finish(struct vcpu *c, int vec)
{
	if (likely(!vec))
		return;
	if (vec == SIMD_GP)
		cpu_gp0(c);
	if (vec == SIMD_XM && !(c->st.cr4 & CR4_OSXMMEXCPT))
		cpu_ud(c);
	cpu_fault(c, (unsigned)vec);
}

void exec_simd_compiled(struct vcpu *c, const struct simd_ins *s, const struct insn *i)
{
	uint8_t buf[512] __attribute__((aligned(64)));
	uint64_t va = 0;
	void *p;

	check_available(c, s, i);
	if (s->waits && simd_x87_pending(c->st.fx))
		cpu_fault(c, X_MF);
	if (!s->mem_size) {
		finish(c, run(c, s, NULL));
		return;
	}
	va = operand(c, s, i);
	p = s->mem == SIMD_MEM_RW
		    ? NULL
		    : tlb_hit(s->mem & SIMD_MEM_WRITE ? c->wr : c->rd, va, s->mem_size);
	if (likely(p)) {
		finish(c, run(c, s, p));
		return;
	}
	if (s->mem & SIMD_MEM_WRITE)
		mem_check_write(c, va, s->mem_size);
	if (s->mem & SIMD_MEM_READ)
		mem_read_bytes(c, va, buf, s->mem_size);
	finish(c, run(c, s, buf));
	if (s->mem & SIMD_MEM_WRITE)
		mem_write_bytes(c, va, buf, s->mem_size);
}

bool exec_simd_compile(struct vcpu *c, const struct insn *i, struct simd_ins *ret)
{
	return !simd_compile(c->simd, i, ret);
}

void exec_simd(struct vcpu *c, const struct insn *i)
{
	struct simd_ins s;
	int r = simd_compile(c->simd, i, &s);

	if (r == -ENOSPC) { /* blocks hold what was compiled before */
		simd_cache_flush(c->simd);
		blocks_drop_all(c);
		c->leave = 1;
		r = simd_compile(c->simd, i, &s);
	}
	if (r)
		cpu_ud(c);
	exec_simd_compiled(c, &s, i);
}
