/* hv/engine/soft/jit_run.c - from C into translated code and back, and the
 * memory it all lives in.
 *
 * A block may be entered when the engine's execute TLB holds its page: that is
 * the proof of the mapping, and where the frame number comes from.  If it does
 * not, the page is walked there and then, as the engine's own fetch would.
 */
#include "hv/engine/soft/jit_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/engine/soft/mem.h"

#define JIT_BLOCKS_MAX 65536u
#define MXCSR_MASKS    0x1f80u

static int map_code(struct jit *j)
{
	int fd = memfd_create("jit", MFD_CLOEXEC), r = 0;
	void *w = MAP_FAILED, *x = MAP_FAILED;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, JIT_CODE) < 0) {
		r = -errno;
		goto out;
	}
	w = mmap(NULL, JIT_CODE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	x = mmap(NULL, JIT_CODE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (w == MAP_FAILED || x == MAP_FAILED) {
		r = -errno;
		goto out;
	}
	j->code_w = w;
	j->code_bias = (uint8_t *)x - (uint8_t *)w;
	w = x = MAP_FAILED;
out:
	if (w != MAP_FAILED)
		munmap(w, JIT_CODE);
	if (x != MAP_FAILED)
		munmap(x, JIT_CODE);
	close(fd);
	return r;
}

static void *map_zero(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int jit_new(struct vcpu *c, struct jit **ret)
{
	struct cpuid_leaf l7, x1;
	struct jit *j = map_zero(sizeof(*j));
	int r = -ENOMEM;

	if (!j)
		return r;
	j->c = c;
	j->max_blocks = JIT_BLOCKS_MAX;
	j->blocks = map_zero(JIT_BLOCKS_MAX * sizeof(*j->blocks));
	j->by_gfn = calloc(JIT_HASH, sizeof(*j->by_gfn));
	if (!j->blocks || !j->by_gfn)
		goto out;
	r = map_code(j);
	if (r < 0)
		goto out;
	cpu_cpuid(c, 7, 0, &l7);
	cpu_cpuid(c, 0x80000001u, 0, &x1);
	j->has_tzcnt = l7.ebx & (1u << 3); /* BMI1 */
	j->has_lzcnt = x1.ecx & (1u << 5); /* ABM */
	j->em = (struct code_buf){ .w = j->code_w,
				   .end = j->code_w + JIT_CODE,
				   .exec_bias = j->code_bias };
	r = jit_make_thunks(j);
	if (r < 0)
		goto out;
	jit_tlb_flush(j, false);
	*ret = j;
	j = NULL;
out:
	jit_free(j);
	return r;
}

struct jit *jit_free(struct jit *j)
{
	if (!j)
		return NULL;
	if (j->code_w) {
		munmap(j->code_w + j->code_bias, JIT_CODE);
		munmap(j->code_w, JIT_CODE);
	}
	if (j->blocks)
		munmap(j->blocks, JIT_BLOCKS_MAX * sizeof(*j->blocks));
	free(j->by_gfn);
	munmap(j, sizeof(*j));
	return NULL;
}

void jit_poll(struct jit *j)
{
	if (j)
		__atomic_store_n(&j->poll, 1, __ATOMIC_SEQ_CST);
}

static uint32_t run_mode(const struct vcpu *c)
{
	uint32_t mode = c->tm, mxcsr;

	memcpy(&mxcsr, c->st.fx + 24, 4);
	if (!(c->st.cr0 & (CR0_EM | CR0_TS)) && (c->st.cr4 & CR4_OSFXSR) &&
	    (mxcsr & MXCSR_MASKS) == MXCSR_MASKS)
		mode |= JMODE_SSE;
	return mode;
}

/* The block at rip, or NULL if the engine has to go first. */
static struct jit_block *block_at(struct jit *j, uint64_t rip)
{
	struct vcpu *c = j->c;
	unsigned ei = (unsigned)(rip >> 12) & (TLB_SIZE - 1);
	unsigned tm = c->tm;
	/* Code is fetched by ring alone: AC makes no difference. */
	enum tlb_mode etm = cpu_user(c) ? TM_USER : TM_SUP;
	const struct tlb_entry *e = &c->tlb->e[etm][ACC_EXEC][ei];
	const struct tlb_side *side = &c->tlb->side[etm][ACC_EXEC][ei];
	uint32_t mode = run_mode(c);
	struct jit_block *b;
	uint64_t gpa;

	if (!canonical(rip))
		return NULL;
	/* Between two instructions: a fetch may fault here as well as in the engine. */
	if (e->tag != (rip & ~0xfffull))
		(void)mmu_fill(c, rip, ACC_EXEC, etm, &gpa); /* no RAM: no entry */
	if (e->tag != (rip & ~0xfffull) || !code_can_enter(c, side->gfn))
		return NULL;
	if (mode != j->mode && (mode ^ j->mode) & JMODE_SSE)
		jc_flush(j, false); /* it knows nothing of this part of the mode */
	j->mode = mode;
	b = jit_find(j, rip, side->gfn, mode);
	if (!b) {
		const uint8_t *page = (const uint8_t *)(e->tag + e->add);

		code_enter(c, side->gfn);
		if (e->tag != (rip & ~0xfffull))
			return NULL; /* another vCPU's mail came meanwhile */
		b = jit_translate(j, rip, side->gfn, mode, page);
		if (!b) {
			j->link = NULL;
			jit_reset(j);
			b = jit_translate(j, rip, side->gfn, mode, page);
		}
	}
	if (b)
		jc_put(j, tm, rip, b->interp ? NULL : b->entry_mem, side->global);
	return b;
}

/* What the jump cache knows of rip: where its code is, or that it is the
 * engine's.  It is flushed when the part of the mode changes that it has no
 * tables for. */
static const uint8_t *known(struct jit *j, uint64_t rip, bool *ret_step)
{
	unsigned tm = j->c->tm, slot = jc_slot(rip);
	uint32_t mode = run_mode(j->c);

	if ((mode ^ j->mode) & JMODE_SSE)
		return NULL;
	if (j->jc[tm][slot].rip == rip)
		return j->jc[tm][slot].code;
	*ret_step = j->steps[tm][slot].rip == rip;
	return NULL;
}

enum jit_why jit_run(struct jit *j)
{
	struct vcpu *c = j->c;
	unsigned why = JR_LOOKUP;

	for (;;) {
		const uint8_t *code;
		struct jit_block *b;
		bool step = false;

		if (__atomic_load_n(&j->poll, __ATOMIC_RELAXED)) {
			/* Down before the caller reads the attention bits, which
			 * went up before it did. */
			__atomic_store_n(&j->poll, 0, __ATOMIC_SEQ_CST);
			return JIT_ATTN;
		}
		if (why != JR_CHAIN)
			j->link = NULL;
		code = j->link ? NULL : known(j, c->st.rip, &step);
		if (step)
			return JIT_STEP;
		if (!code) {
			b = block_at(j, c->st.rip);
			if (!b || b->interp)
				return JIT_STEP;
			if (j->link)
				jit_link_to(j, j->link, b);
			code = b->entry_mem;
		}
		j->fl = c->fl;
		j->seg_base[0] = c->st.s[S_FS].base;
		j->seg_base[1] = c->st.s[S_GS].base;
		why = j->enter(j, code);
		if (why == JR_STEP)
			return JIT_STEP;
	}
}
