/* tests/unit/hv/engine/silicon_guest.c - see silicon_guest.h. */
#include "tests/unit/hv/engine/silicon_guest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/engine/engine.h"

/* Guest-physical layout, in pages; VAs are all in the 2 MiB from SIL_CODE. */
enum {
	PG_PML4 = 1,
	PG_PDPT,
	PG_PD,
	PG_PT,
	PG_IDT,
	PG_GDT,
	PG_VECS,
	PG_STACK,
	PG_CODE = 16,
	PG_DATA,
	RAM_PAGES = 32
};
#define SYS_VA	  (SIL_CODE + 0x100000) /* supervisor pages: IDT, GDT, handlers, stack */
#define IDT_VA	  SYS_VA
#define GDT_VA	  (SYS_VA + 0x1000)
#define TSS_VA	  (GDT_VA + 0x800)
#define VECS_VA	  (SYS_VA + 0x2000)
#define STACK_TOP (SYS_VA + 0x4000)
#define VEC_STEP  16u

#define PTE_P  1ull
#define PTE_W  2ull
#define PTE_U  4ull
#define PTE_NX (1ull << 63)

struct guest {
	const struct engine_ops *ops;
	uint8_t *ram;
	struct p2m *p2m;
	struct vm *vm;
	struct vcpu *v;
};

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, 8);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static uint8_t *page(struct guest *g, unsigned n)
{
	return g->ram + n * 4096;
}

static void map(struct guest *g, uint64_t va, unsigned pg, uint64_t flags)
{
	put64(page(g, PG_PT) + (va >> 12 & 511) * 8, (uint64_t)pg << 12 | flags | PTE_P);
}

static void build_tables(struct guest *g)
{
	uint64_t dir = PTE_P | PTE_W | PTE_U;

	put64(page(g, PG_PML4), PG_PDPT << 12 | dir);
	put64(page(g, PG_PDPT), PG_PD << 12 | dir);
	put64(page(g, PG_PD) + (SIL_CODE >> 21) * 8, PG_PT << 12 | dir);
	map(g, SIL_CODE, PG_CODE, PTE_U | PTE_W);
	for (unsigned i = 0; i < SIL_PAGES; i++)
		if (i != SIL_HOLE)
			map(g, SIL_DATA + i * 4096, PG_DATA + i,
			    PTE_U | PTE_NX | (i == SIL_RO ? 0 : PTE_W));
	for (unsigned i = 0; i < 4; i++)
		map(g, SYS_VA + i * 4096, PG_IDT + i, PTE_W);
}

/* Each handler is a vmcall in ring 0; which one says the vector. */
static void build_idt(struct guest *g)
{
	for (unsigned v = 0; v < 32; v++) {
		uint64_t at = VECS_VA + v * VEC_STEP;
		uint64_t dpl = v == 3 ? 3 : 0;
		uint8_t *e = page(g, PG_IDT) + v * 16;

		put64(e, (at & 0xffff) | 8 << 16 | (0x8e00 | dpl << 13) << 32 |
				 (at >> 16 & 0xffff) << 48);
		put64(e + 8, at >> 32);
		memcpy(page(g, PG_VECS) + v * VEC_STEP, "\x0f\x01\xc1", 3);
	}
	put64(page(g, PG_GDT) + 8, 0x00af9b000000ffff);	   /* ring 0, 64-bit code */
	put64(page(g, PG_GDT) + 0x20, 0x00cffb000000ffff); /* ring 3, 32-bit code */
	put64(page(g, PG_GDT) + 0x28, 0x00cff3000000ffff); /* ring 3 data */
	put64(page(g, PG_GDT) + 0x30, 0x00affb000000ffff); /* ring 3, 64-bit code */
	put64(page(g, PG_GDT) + 0x800 + 4, STACK_TOP);	   /* RSP0 */
	page(g, PG_GDT)[0x800 + 0x66] = 0x68;		   /* no I/O bitmap: ports are ring 0's */
}

struct guest *guest_free(struct guest *g)
{
	if (!g)
		return NULL;
	if (g->ops) {
		g->ops->vcpu_free(g->v);
		g->ops->vm_free(g->vm);
	}
	p2m_free(g->p2m);
	if (g->ram)
		munmap(g->ram, RAM_PAGES * 4096);
	free(g);
	return NULL;
}

static int leaves_of(const struct engine_ops *ops, struct cpuid_leaf *l)
{
	static const uint32_t want[] = { 0, 1, 7, 0x80000000, 0x80000001 };
	unsigned n = sizeof(want) / sizeof(want[0]);

	for (unsigned i = 0; i < n; i++) {
		l[i] = (struct cpuid_leaf){ .leaf = want[i], .subleaf = ~0u };
		ops->cpuid_supported(want[i], 0, &l[i]);
		l[i].leaf = want[i];
		l[i].subleaf = ~0u;
	}
	return (int)n;
}

struct guest *guest_new(void)
{
	const char *name = getenv("DZ_TEST_ENGINE");
	struct guest *g = calloc(1, sizeof(*g));
	struct vm_config cfg = { .max_vcpus = 1, .tsc_khz = 1000000 };
	struct cpuid_leaf leaves[8];

	if (!g)
		return NULL;
	g->ops = engine_find(name ? name : "soft");
	g->ram = mmap(NULL, RAM_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (!g->ops || g->ram == MAP_FAILED || p2m_new(g->ram, RAM_PAGES, &g->p2m))
		return NULL;
	cfg.p2m = g->p2m;
	if (g->ops->vm_new(&cfg, &g->vm) ||
	    g->ops->vcpu_new(g->vm, 0, leaves, (size_t)leaves_of(g->ops, leaves), &g->v))
		return NULL;
	build_tables(g);
	build_idt(g);
	return g;
}

void guest_code(struct guest *g, const uint8_t *code, unsigned n)
{
	memset(page(g, PG_CODE), 0xcc, 4096);
	memcpy(page(g, PG_CODE) + (SIL_START - SIL_CODE), code, n);
	g->ops->vm_flush(g->vm, g->v);
}

void guest_mem_put(struct guest *g, const uint8_t mem[SIL_LEN])
{
	memcpy(page(g, PG_DATA), mem, SIL_LEN);
}

void guest_mem_get(struct guest *g, uint8_t mem[SIL_LEN])
{
	memcpy(mem, page(g, PG_DATA), SIL_LEN);
	memset(mem + SIL_HOLE * 4096, 0, 4096);
}

static void state_of(const struct sil_state *st, struct vcpu_state *s)
{
	static const struct seg none = { .attr = SEG_UNUSABLE };

	memset(s, 0, sizeof(*s));
	memcpy(s->r, st->r, sizeof(s->r));
	memcpy(s->fx, st->fx, sizeof(s->fx));
	s->rip = SIL_START;
	s->rflags = st->rflags | 2;
	for (unsigned i = 0; i < S_NR; i++)
		s->s[i] = none;
	s->s[S_CS] = (struct seg){ .limit = ~0u,
				   .sel = st->is32 ? SIL_CS32 : SIL_CS64,
				   .attr = 0xb | SEG_S | 3 << 5 | SEG_P | SEG_G |
					   (st->is32 ? SEG_DB : SEG_L) };
	s->s[S_SS] = (struct seg){ .limit = ~0u,
				   .sel = SIL_DS,
				   .attr = 3 | SEG_S | 3 << 5 | SEG_P | SEG_DB | SEG_G };
	if (st->is32)
		s->s[S_DS] = s->s[S_ES] = s->s[S_SS];
	s->s[S_TR] =
		(struct seg){ .base = TSS_VA, .limit = 0x67, .sel = 0x40, .attr = 0xb | SEG_P };
	s->gdt = (struct dtable){ .base = GDT_VA, .limit = 0x7ff };
	s->idt = (struct dtable){ .base = IDT_VA, .limit = 32 * 16 - 1 };
	s->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	s->cr3 = PG_PML4 << 12;
	s->cr4 = 0x620; /* OSXMMEXCPT OSFXSR PAE */
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
	s->efer = 0xd01; /* NXE LMA LME SCE */
	s->pat = 0x0007040600070406;
	s->xcr0 = 1;
}

/* From the handler's stack frame: what was interrupted, and where. */
static void result_of(struct guest *g, const struct vcpu_state *s, struct sil_state *st)
{
	const uint8_t *f = page(g, PG_STACK) + (s->r[R_RSP] & 0xfff);
	unsigned vec = (unsigned)((s->rip - 3 - VECS_VA) / VEC_STEP);

	st->vec = (int)vec;
	st->err = 0;
	if (vec == 8 || (vec >= 10 && vec <= 14) || vec == 17) {
		st->err = get64(f);
		f += 8;
	}
	memcpy(st->r, s->r, sizeof(st->r));
	memcpy(st->fx, s->fx, sizeof(st->fx));
	st->rip = get64(f);
	st->rflags = get64(f + 16);
	st->r[R_RSP] = get64(f + 24);
	st->cr2 = vec == 14 ? s->cr2 : 0;
}

void guest_run(struct guest *g, struct sil_state *st)
{
	struct vcpu_state s __attribute__((aligned(16)));
	struct vm_exit x;
	int r;

	state_of(st, &s);
	g->ops->vcpu_load(g->v, &s);
	memset(&x, 0, sizeof(x));
	r = g->ops->vcpu_run(g->v, &x);
	g->ops->vcpu_save(g->v, &s);
	if (r == 0 && x.kind == EXIT_HYPERCALL && s.rip > VECS_VA && s.rip < VECS_VA + 4096) {
		g->ops->vcpu_complete(g->v, &x);
		result_of(g, &s, st);
		return;
	}
	st->vec = r ? r : 256 + (int)x.kind;
	st->rip = s.rip;
}

bool guest_has(struct guest *g, uint32_t leaf, unsigned reg, unsigned bit)
{
	struct cpuid_leaf l = { .leaf = leaf };
	uint32_t regs[4];

	g->ops->cpuid_supported(leaf, 0, &l);
	regs[0] = l.eax;
	regs[1] = l.ebx;
	regs[2] = l.ecx;
	regs[3] = l.edx;
	return regs[reg] >> bit & 1;
}
