/* tests/unit/hv/engine/rig.c - see rig.h. */
#include "tests/unit/hv/engine/rig.h"

#include <stdlib.h>
#include <sys/mman.h>

static void set_idt(struct rig *g)
{
	for (unsigned v = 0; v < 256; v++) {
		uint64_t off = HANDLER(v), *e = q(g, AT_IDT) + 2 * v;

		e[0] = (off & 0xffff) | SEL_CODE64 << 16 | 0x8e00ull << 32 | (off >> 16) << 48;
		e[1] = 0;
		g->ram[off] = 0xf4;
	}
	for (unsigned v = 3; v < 5; v++) /* int3 and into: for ring 3, too */
		q(g, AT_IDT)[2 * v] |= 3ull << 45;
}

static void set_tables(struct rig *g)
{
	static const uint64_t gdt[] = { 0,
					0x00cf9b000000ffff,
					0x00cf93000000ffff,
					0x00af9b000000ffff,
					0x00cffb000000ffff,
					0x00cff3000000ffff,
					0x00affb000000ffff,
					0x00009b000000ffff,
					0x000093000000ffff,
					0x00cf13000000ffff,
					0x0000890000000067 | (uint64_t)AT_TSS << 16,
					0 };

	memcpy(g->ram + AT_GDT, gdt, sizeof(gdt));
	memcpy(g->ram + AT_TSS + 4, &(uint64_t){ AT_RING0 }, 8);
	memcpy(g->ram + AT_TSS + 0x24, &(uint64_t){ AT_IST1 }, 8);
	g->ram[AT_TSS + 0x66] = 0x68; /* no I/O bitmap */
	*q(g, AT_PML4) = AT_PDPT | 7;
	*q(g, AT_PDPT) = AT_PD | 7;
	q(g, AT_PD)[0] = AT_PT | 7;
	q(g, AT_PD)[1] = 0x200000 | 0x87;
	for (unsigned k = 0; k < 512; k++)
		q(g, AT_PT)[k] = k << 12 | 7;
	set_idt(g);
}

struct vcpu_state rig_long_mode(const struct rig *g)
{
	struct vcpu_state st;
	const struct seg data = { 0, ~0u, SEL_DATA, 0xc93 };

	assert_int_equal(g->ops->vcpu_save(g->v[0], &st), 0);
	for (unsigned s = S_ES; s <= S_GS; s++)
		st.s[s] = data;
	st.s[S_CS] = (struct seg){ 0, ~0u, SEL_CODE64, 0xa9b };
	st.s[S_TR] = (struct seg){ AT_TSS, 0x67, SEL_TSS, 0x8b };
	st.gdt = (struct dtable){ AT_GDT, 12 * 8 - 1 };
	st.idt = (struct dtable){ AT_IDT, 0xfff };
	st.cr0 = 0x80010033; /* PG WP NE ET MP PE */
	st.cr3 = AT_PML4;
	st.cr4 = 0x620;	 /* PAE, OSFXSR, OSXMMEXCPT */
	st.efer = 0xd01; /* SCE LME LMA NXE */
	st.rip = AT_CODE;
	st.r[R_RSP] = AT_STACK;
	st.rflags = 2;
	return st;
}

struct rig *rig_new(unsigned nv)
{
	static const struct {
		uint32_t leaf, sub;
	} want[] = { { 1, 0 }, { 7, 0 }, { 0x80000001, 0 }, { 0x80000008, 0 } };
	struct rig *g = calloc(1, sizeof(*g));
	struct cpuid_leaf leaves[4];
	struct vm_config cfg = { .max_vcpus = 4, .tsc_khz = 1000000 };

	g->ops = engine_find(getenv("DZ_TEST_ENGINE") ? getenv("DZ_TEST_ENGINE") : "soft");
	g->nv = nv;
	g->ram = mmap(NULL, RIG_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(p2m_new(g->ram, RIG_RAM / 4096, &g->p2m), 0);
	cfg.p2m = g->p2m;
	assert_int_equal(g->ops->vm_new(&cfg, &g->vm), 0);
	for (unsigned k = 0; k < 4; k++)
		g->ops->cpuid_supported(want[k].leaf, want[k].sub, &leaves[k]);
	set_tables(g);
	for (unsigned k = 0; k < nv; k++) {
		struct vcpu_state st;

		assert_int_equal(g->ops->vcpu_new(g->vm, k, leaves, 4, &g->v[k]), 0);
		st = rig_long_mode(g);
		assert_int_equal(g->ops->vcpu_load(g->v[k], &st), 0);
	}
	return g;
}

void rig_free(struct rig *g)
{
	for (unsigned k = 0; k < g->nv; k++)
		g->ops->vcpu_free(g->v[k]);
	g->ops->vm_free(g->vm);
	p2m_free(g->p2m);
	munmap(g->ram, RIG_RAM);
	free(g);
}

enum exit_kind rig_run(struct rig *g)
{
	assert_int_equal(g->ops->vcpu_run(g->v[0], &g->x), 0);
	return g->x.kind;
}

void rig_complete(struct rig *g, uint64_t val)
{
	g->x.val = val;
	g->ops->vcpu_complete(g->v[0], &g->x);
}

void rig_to_hlt(struct rig *g)
{
	assert_int_equal(rig_run(g), EXIT_HLT);
	assert_true(regs(g)->halted);
	regs(g)->halted = 0;
}

void rig_expect_end(struct rig *g)
{
	rig_to_hlt(g);
	if (regs(g)->rip < AT_CODE)
		fail_msg("vector %u instead of the program's end",
			 (unsigned)(regs(g)->rip - AT_HANDLER) / 16);
}

void rig_expect_vector(struct rig *g, unsigned vec)
{
	rig_to_hlt(g);
	assert_int_equal(regs(g)->rip, HANDLER(vec) + 1);
}

uint64_t *rig_frame(struct rig *g)
{
	return q(g, regs(g)->r[R_RSP]);
}
