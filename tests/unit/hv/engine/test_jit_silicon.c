/* Random straight-line code through the translator and on the host's own CPU:
 * registers, flags and memory must end up equal.  Long runs of instructions,
 * so that flags live across memory operands in every way.
 * DZ_JIT_CASES and DZ_JIT_SEED make longer or other runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hv/engine/soft/jit_int.h"

#define DATA_SIZE 256u

static uint64_t rng;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* ---- the host's CPU ---- */

uint64_t nat_r[16], nat_flags, nat_sp;
uint8_t nat_xmm[16][16];
void (*nat_code)(void);
void nat_run(void);
/* rbx is the data pointer; every register but rsp is loaded and stored. */
__asm__(".text\n.globl nat_run\nnat_run:\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"mov %rsp, nat_sp(%rip)\n"
	"lea nat_xmm(%rip), %rax\n"
	"movups 0(%rax),%xmm0; movups 16(%rax),%xmm1; movups 32(%rax),%xmm2; movups "
	"48(%rax),%xmm3\n"
	"movups 64(%rax),%xmm4; movups 80(%rax),%xmm5; movups 96(%rax),%xmm6; movups "
	"112(%rax),%xmm7\n"
	"movups 128(%rax),%xmm8; movups 144(%rax),%xmm9; movups 160(%rax),%xmm10; movups "
	"176(%rax),%xmm11\n"
	"movups 192(%rax),%xmm12; movups 208(%rax),%xmm13; movups 224(%rax),%xmm14; movups "
	"240(%rax),%xmm15\n"
	"push nat_flags(%rip); popf\n"
	"mov nat_r+0(%rip),%rax; mov nat_r+8(%rip),%rcx; mov nat_r+16(%rip),%rdx; mov "
	"nat_r+24(%rip),%rbx\n"
	"mov nat_r+40(%rip),%rbp; mov nat_r+48(%rip),%rsi; mov nat_r+56(%rip),%rdi\n"
	"mov nat_r+64(%rip),%r8; mov nat_r+72(%rip),%r9; mov nat_r+80(%rip),%r10; mov "
	"nat_r+88(%rip),%r11\n"
	"mov nat_r+96(%rip),%r12; mov nat_r+104(%rip),%r13; mov nat_r+112(%rip),%r14; mov "
	"nat_r+120(%rip),%r15\n"
	"call *nat_code(%rip)\n"
	"mov %rax,nat_r+0(%rip); mov %rcx,nat_r+8(%rip); mov %rdx,nat_r+16(%rip); mov "
	"%rbx,nat_r+24(%rip)\n"
	"mov %rbp,nat_r+40(%rip); mov %rsi,nat_r+48(%rip); mov %rdi,nat_r+56(%rip)\n"
	"mov %r8,nat_r+64(%rip); mov %r9,nat_r+72(%rip); mov %r10,nat_r+80(%rip); mov "
	"%r11,nat_r+88(%rip)\n"
	"mov %r12,nat_r+96(%rip); mov %r13,nat_r+104(%rip); mov %r14,nat_r+112(%rip); mov "
	"%r15,nat_r+120(%rip)\n"
	"pushf; pop nat_flags(%rip)\n"
	"lea nat_xmm(%rip), %rax\n"
	"movups %xmm0,0(%rax); movups %xmm1,16(%rax); movups %xmm2,32(%rax); movups "
	"%xmm3,48(%rax)\n"
	"movups %xmm4,64(%rax); movups %xmm5,80(%rax); movups %xmm6,96(%rax); movups "
	"%xmm7,112(%rax)\n"
	"movups %xmm8,128(%rax); movups %xmm9,144(%rax); movups %xmm10,160(%rax); movups "
	"%xmm11,176(%rax)\n"
	"movups %xmm12,192(%rax); movups %xmm13,208(%rax); movups %xmm14,224(%rax); movups "
	"%xmm15,240(%rax)\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

/* ---- making instructions ---- */

struct gen {
	uint8_t b[1024];
	unsigned n;
};

static void put(struct gen *g, unsigned v)
{
	g->b[g->n++] = (uint8_t)v;
}

static void put_imm(struct gen *g, unsigned n)
{
	while (n--)
		put(g, (unsigned)rnd());
}

/* A register that is neither rbx (the base) nor rsp, as wide or byte operand. */
static unsigned any_reg(bool byte, bool rex)
{
	for (;;) {
		unsigned r = rnd() & (rex ? 15 : 7);

		if (byte && !rex) {
			if ((r & 3) != 3)
				return r; /* al..dl, ah..dh but bl, bh */
		} else if (r != 3 && r != 4) {
			return r;
		}
	}
}

/* prefixes rex opcode modrm [disp8]; mem: [rbx + disp] */
static void put_rm(struct gen *g, unsigned map, unsigned op, unsigned pfx, bool byte, bool reg_byte,
		   int ext, bool xreg, bool xrm, bool mem, bool w, unsigned align)
{
	bool rex = w || rnd() & 1 || xreg || xrm;
	unsigned reg, rm, disp = (rnd() & 0x3f) & ~(align - 1);

	if (mem && reg_byte && ext < 0)
		rex = true; /* a high byte beside memory is the engine's */
	reg = ext >= 0 ? (unsigned)ext : xreg ? rnd() & 15 : any_reg(reg_byte, rex);
	rm = mem ? 3 : xrm ? rnd() & 15 : any_reg(byte, rex);
	if (pfx)
		put(g, pfx);
	if (rex)
		put(g, 0x40 | (w ? 8 : 0) | (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0));
	if (map)
		put(g, 0x0f);
	put(g, op);
	put(g, (mem ? 0x40 : 0xc0) | (reg & 7) << 3 | (rm & 7));
	if (mem)
		put(g, disp);
}

static void gen_alu(struct gen *g, bool mem)
{
	unsigned n = rnd() & 7, form = rnd() & 3;
	bool byte = !(form & 1);

	put_rm(g, 0, n * 8 + form, !byte && !(rnd() & 7) ? 0x66 : 0, byte, byte, -1, false, false,
	       mem, rnd() & 1 && !byte, 1);
}

static void gen_alu_imm(struct gen *g, bool mem)
{
	bool byte = rnd() & 1;

	put_rm(g, 0, byte ? 0x80 : 0x83, 0, byte, false, rnd() & 7, false, false, mem,
	       !byte && rnd() & 1, 1);
	put_imm(g, 1);
}

static void gen_mov(struct gen *g, bool mem)
{
	unsigned op = 0x88 + (rnd() & 3);

	put_rm(g, 0, op, 0, !(op & 1), !(op & 1), -1, false, false, mem, rnd() & 1 && op & 1, 1);
}

static void gen_movx(struct gen *g, bool mem)
{
	static const uint8_t ops[] = { 0xb6, 0xb7, 0xbe, 0xbf };
	unsigned op = ops[rnd() & 3];

	put_rm(g, 1, op, 0, false, false, -1, false, false, mem, true, 1);
}

static void gen_shift(struct gen *g, bool mem)
{
	static const uint8_t kinds[] = { 0, 1, 2, 3, 4, 5, 7 };
	unsigned form = rnd() % 3;
	bool byte = rnd() & 1;
	/* The count is 1 (OF is defined only then), or leaves flags the same on
	 * any run of the same CPU. */
	put_rm(g, 0,
	       (form == 0   ? 0xc0
		: form == 1 ? 0xd0
			    : 0xd2) +
		       !byte,
	       0, byte, false, kinds[rnd() % 7], false, false, mem, !byte && rnd() & 1, 1);
	if (form == 0)
		put_imm(g, 1);
}

/* After an instruction that leaves flags undefined: what a CPU puts there may
 * depend on flags that the translator rightly takes for dead. */
static void define_flags(struct gen *g)
{
	put(g, 0x85);
	put(g, 0xc0); /* test eax, eax */
}

static void gen_unary(struct gen *g, bool mem)
{
	bool byte = rnd() & 1;

	if (rnd() & 1) {
		put_rm(g, 0, 0xf6 + !byte, 0, byte, false, 2 + (rnd() & 3), false, false, mem,
		       !byte && rnd() & 1, 1);
		define_flags(g);
	} else
		put_rm(g, 0, 0xfe + !byte, 0, byte, false, rnd() & 1, false, false, mem,
		       !byte && rnd() & 1, 1);
}

static void gen_cc(struct gen *g, bool mem)
{
	if (rnd() & 1)
		put_rm(g, 1, 0x90 + (rnd() & 15), 0, true, false, 0, false, false, mem, false, 1);
	else
		put_rm(g, 1, 0x40 + (rnd() & 15), 0, false, false, -1, false, false, mem, rnd() & 1,
		       1);
}

static void gen_wide(struct gen *g, bool mem)
{
	static const uint8_t ops[] = { 0xaf, 0xb1, 0xc1, 0xa4, 0xac, 0xa5, 0xad, 0xbc, 0xbd };
	unsigned op = ops[rnd() % 9];

	put_rm(g, 1, op, 0, false, false, -1, false, false, mem, rnd() & 1, 1);
	if (op == 0xa4 || op == 0xac)
		put_imm(g, 1);
	if (op <= 0xaf)
		define_flags(g);
}

static void gen_bits(struct gen *g, bool mem)
{
	put_rm(g, 1, 0xba, 0, false, false, 4 + (rnd() & 3), false, false, mem, rnd() & 1, 1);
	put_imm(g, 1);
}

static void gen_misc(struct gen *g, bool mem)
{
	static const uint8_t raw[] = { 0x98, 0x99, 0x9e, 0x9f, 0xf5, 0xf8, 0xf9, 0x90 };
	unsigned r;

	(void)mem;
	switch (rnd() & 3) {
	case 0: put(g, raw[rnd() & 7]); return;
	case 1: /* mov r32, imm */
		r = any_reg(false, true);
		if (r >= 8)
			put(g, 0x41);
		put(g, 0xb8 | (r & 7));
		put_imm(g, 4);
		return;
	case 2: /* lea r, [r + r*s + disp8] */
		r = any_reg(false, true);
		put(g, 0x48 | (r >= 8 ? 4 : 0) | (rnd() & 1 ? 2 : 0));
		put(g, 0x8d);
		put(g, 0x44 | (r & 7) << 3);
		put(g, (rnd() & 0xc0) | (rnd() & 1 ? 1 : 6) << 3 | 2);
		put_imm(g, 1);
		return;
	default: /* bswap */
		r = any_reg(false, true);
		put(g, 0x48 | (r >= 8 ? 1 : 0));
		put(g, 0x0f);
		put(g, 0xc8 | (r & 7));
	}
}

static void gen_sse(struct gen *g, bool mem)
{
	static const struct {
		uint8_t pfx, op, align, reg_gpr, rm_gpr;
	} t[] = { { 0, 0x10, 1, 0, 0 },	    { 0, 0x11, 1, 0, 0 },     { 0, 0x28, 16, 0, 0 },
		  { 0x66, 0x6f, 16, 0, 0 }, { 0x66, 0x7f, 16, 0, 0 }, { 0x66, 0xef, 16, 0, 0 },
		  { 0x66, 0xfe, 16, 0, 0 }, { 0x66, 0xd4, 16, 0, 0 }, { 0xf2, 0x2a, 1, 0, 1 },
		  { 0xf2, 0x58, 1, 0, 0 },  { 0xf2, 0x59, 1, 0, 0 },  { 0xf3, 0x5e, 1, 0, 0 },
		  { 0x66, 0x2f, 1, 0, 0 },  { 0x66, 0x6e, 1, 0, 1 },  { 0x66, 0x7e, 1, 0, 1 },
		  { 0xf3, 0x7e, 1, 0, 0 },  { 0x66, 0xd6, 1, 0, 0 },  { 0xf2, 0x2c, 1, 1, 0 } };
	unsigned k = rnd() % (sizeof(t) / sizeof(t[0]));

	put_rm(g, 1, t[k].op, t[k].pfx, false, false, -1, !t[k].reg_gpr, !t[k].rm_gpr, mem,
	       (t[k].rm_gpr || t[k].reg_gpr) && rnd() & 1, t[k].align);
}

static void (*const gens[])(struct gen *g, bool mem) = { gen_alu,   gen_alu_imm, gen_mov, gen_movx,
							 gen_shift, gen_unary,	 gen_cc,  gen_wide,
							 gen_bits,  gen_misc,	 gen_sse };

/* ---- running both ---- */

struct rig {
	struct vm vm;
	struct vcpu *c;
	struct jit *j;
	uint8_t *ram;	      /* what the frame numbers below would name; never looked at */
	uint8_t *code, *data; /* one page each; guest address = host address */
};

static void rig_tlb(struct rig *r, enum access acc, const void *page)
{
	uint64_t va = (uint64_t)(uintptr_t)page;
	unsigned i = (va >> 12) & (TLB_SIZE - 1);

	r->c->tlb->e[TM_SUP][acc][i] = (struct tlb_entry){ va, 0 };
	r->c->tlb->side[TM_SUP][acc][i].gfn = acc == ACC_EXEC ? 1 : 2;
}

static int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->c = aligned_alloc(64, (sizeof(*r->c) + 63) & ~63ul);
	memset(r->c, 0, sizeof(*r->c));
	r->c->vm = &r->vm;
	r->vm.max_vcpus = 1;
	r->vm.code_gfns = 16;
	r->vm.code = calloc(16, sizeof(*r->vm.code));
	r->vm.code_sum = calloc(16, sizeof(*r->vm.code_sum));
	r->vm.v = calloc(1, sizeof(*r->vm.v));
	r->ram = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(p2m_new(r->ram, 16, &r->vm.p2m), 0);
	r->c->tlb = calloc(1, sizeof(*r->c->tlb));
	for (unsigned k = 0; k < TM_NR * ACC_NR * TLB_SIZE; k++)
		(&r->c->tlb->e[0][0][0])[k].tag = TLB_NONE;
	assert_int_equal(simd_cache_new(&r->c->simd), 0);
	r->c->st.cr4 = CR4_OSFXSR | CR4_PAE;
	r->c->tm = TM_SUP;
	memcpy(r->c->st.fx + 24, &(uint32_t){ 0x1f80 }, 4);
	r->code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	r->data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rig_tlb(r, ACC_EXEC, r->code);
	rig_tlb(r, ACC_READ, r->data);
	rig_tlb(r, ACC_WRITE, r->data);
	assert_int_equal(jit_new(r->c, &r->j), 0);
	*state = r;
	return 0;
}

static int rig_teardown(void **state)
{
	struct rig *r = *state;

	jit_free(r->j);
	simd_cache_free(r->c->simd);
	munmap(r->code, 4096);
	munmap(r->data, 4096);
	munmap(r->ram, 16 * 4096);
	p2m_free(r->vm.p2m);
	free(r->vm.code);
	free(r->vm.code_sum);
	free(r->vm.v);
	free(r->c->tlb);
	free(r->c);
	free(r);
	return 0;
}

static void dump(const struct rig *r, const struct gen *g, const uint64_t *want)
{
	for (unsigned k = 0; k < g->n; k++)
		print_message("%02x%s", g->b[k], k + 1 == g->n ? "\n" : "");
	for (unsigned k = 0; k < 16; k++)
		if (r->c->st.r[k] != want[k])
			print_message("reg %u: ours %016lx silicon %016lx\n", k, r->c->st.r[k],
				      want[k]);
}

static void one_case(struct rig *r, unsigned len)
{
	uint8_t mem0[DATA_SIZE], mem1[DATA_SIZE];
	struct gen g = { .n = 0 };
	uint64_t flags, ours;

	for (unsigned k = 0; k < len; k++)
		gens[rnd() % (sizeof(gens) / sizeof(gens[0]))](&g, rnd() & 1);
	memcpy(r->code, g.b, g.n);
	r->code[g.n] = 0xc3;
	for (unsigned k = 0; k < 16; k++)
		nat_r[k] = rnd() & 3 ? rnd() : rnd() & 0xff;
	nat_r[R_RBX] = (uint64_t)(uintptr_t)r->data;
	nat_r[R_RSP] = 0;
	flags = rnd() & 0x8d5;
	nat_flags = flags | 2;
	for (unsigned k = 0; k < DATA_SIZE; k++)
		mem0[k] = (uint8_t)rnd();
	for (unsigned k = 0; k < 256; k++)
		((uint8_t *)nat_xmm)[k] = (uint8_t)rnd();

	memcpy(r->c->st.r, nat_r, sizeof(nat_r));
	memcpy(r->c->st.fx + 160, nat_xmm, 256);
	r->c->fl = (uint16_t)((flags & 0xd5) << 8 | (flags >> 11 & 1));
	r->c->st.rip = (uint64_t)(uintptr_t)r->code;

	memcpy(r->data, mem0, DATA_SIZE);
	nat_code = (void (*)(void))(uintptr_t)r->code;
	nat_run();
	memcpy(mem1, r->data, DATA_SIZE);

	memcpy(r->data, mem0, DATA_SIZE);
	r->code[g.n] = 0xf4; /* hlt: the engine's, so the translator stops there */
	jit_inval(r->j, 1);
	assert_int_equal(jit_run(r->j), JIT_STEP);
	ours = (r->c->fl >> 8 & 0xd5) | (uint64_t)(r->c->fl & 1) << 11;
	if (memcmp(r->c->st.r, nat_r, sizeof(nat_r)) || ours != (nat_flags & 0x8d5) ||
	    memcmp(r->data, mem1, DATA_SIZE) || memcmp(r->c->st.fx + 160, nat_xmm, 256) ||
	    r->c->st.rip != (uint64_t)(uintptr_t)r->code + g.n) {
		dump(r, &g, nat_r);
		print_message("flags ours %lx silicon %lx, rip +%lx of %x\n", ours,
			      nat_flags & 0x8d5, r->c->st.rip - (uint64_t)(uintptr_t)r->code, g.n);
		fail_msg("translator and CPU differ");
	}
}

/* With REX.W a byte shift still masks its count to five bits, so 32 is none. */
static void a_byte_shift_by_32_leaves_the_flags(void **state)
{
	static const uint8_t code[] = { 0x83, 0xe8, 0x01, /* sub eax, 1 */
					0x48, 0xc0, 0x6b,
					0x05, 0x20, /* rex.w shr byte [rbx+5], 32 */
					0xf4 };
	struct rig *r = *state;

	memcpy(r->code, code, sizeof(code));
	r->c->st.r[R_RAX] = 0;
	r->c->st.r[R_RBX] = (uint64_t)(uintptr_t)r->data;
	r->c->st.rip = (uint64_t)(uintptr_t)r->code;
	r->c->fl = 0;
	assert_int_equal(jit_run(r->j), JIT_STEP);
	assert_int_equal(r->c->fl >> 8 & 0xd5, 0x95); /* SF AF PF CF of 0 - 1 */
}

static void random_code_does_what_the_cpu_does(void **state)
{
	const char *n = getenv("DZ_JIT_CASES"), *seed = getenv("DZ_JIT_SEED");
	unsigned long cases = n ? strtoul(n, NULL, 0) : 40000;

	rng = seed ? strtoull(seed, NULL, 0) : 0x9e3779b97f4a7c15ull;
	for (unsigned long k = 0; k < cases; k++)
		one_case(*state, 1 + (unsigned)(k % 24));
}

/* ---- whole functions of this very program ---- */

/* Guest addresses are host addresses, so the translator can run any compiled
 * function; a page is let into the engine's TLB when it is first asked for. */
#define RETURN_TO 0x7000dead0000ull

static void let_in(struct rig *r, enum access acc, uint64_t va)
{
	uint64_t page = va & ~0xfffull;
	unsigned i = (va >> 12) & (TLB_SIZE - 1);

	r->c->tlb->e[TM_SUP][acc][i] = (struct tlb_entry){ page, 0 };
	r->c->tlb->side[TM_SUP][acc][i].gfn = page >> 12 & 0xfffffff;
}

static uint64_t operand(const struct vcpu *c, const struct insn *i)
{
	uint64_t a = (uint64_t)(int64_t)i->disp;

	if (i->base == REG_RIP)
		a += c->st.rip + i->len;
	else if (i->base != REG_NONE)
		a += c->st.r[i->base];
	if (i->index != REG_NONE)
		a += c->st.r[i->index] << i->scale;
	return a;
}

/* What the engine would do when asked to step: only TLB fills are expected. */
static void answer_step(struct rig *r)
{
	struct insn i;
	uint64_t at[3];

	let_in(r, ACC_EXEC, r->c->st.rip);
	assert_int_equal(insn_decode((const uint8_t *)(uintptr_t)r->c->st.rip, 15, MODE_64, &i), 0);
	at[0] = r->c->st.r[R_RSP];
	at[1] = at[0] - 8;
	at[2] = i.has_modrm && i.mod != 3 ? operand(r->c, &i) : at[0];
	for (unsigned k = 0; k < 3; k++) {
		let_in(r, ACC_READ, at[k]);
		let_in(r, ACC_WRITE, at[k]);
		let_in(r, ACC_READ, at[k] + 15);
	}
}

static uint64_t call_translated(struct rig *r, uint64_t (*f)(void *), void *arg)
{
	const size_t stack = 65536;
	uint8_t *sp = mmap(NULL, stack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t *top = (uint64_t *)(void *)(sp + stack - 64), last = 0;
	unsigned same = 0;

	top -= 1;
	*top = RETURN_TO;
	r->c->st.r[R_RSP] = (uint64_t)(uintptr_t)top;
	r->c->st.r[R_RDI] = (uint64_t)(uintptr_t)arg;
	r->c->st.rip = (uint64_t)(uintptr_t)f;
	for (;;) {
		assert_int_equal(jit_run(r->j), JIT_STEP);
		if (r->c->st.rip == RETURN_TO)
			break;
		same = r->c->st.rip == last ? same + 1 : 0;
		last = r->c->st.rip;
		if (same > 4)
			fail_msg("stuck at %lx", last - (uint64_t)(uintptr_t)f);
		answer_step(r);
	}
	munmap(sp, stack);
	return r->c->st.r[R_RAX];
}

struct work {
	uint32_t v[512];
	double d[256];
	unsigned n;
};

/* In a section of their own that is page-aligned and shorter than a page: an
 * instruction that crosses pages is the engine's, and there is none here. */
#define PLAIN \
	__attribute__((noinline, section(".text.translated"), optimize("O2", "no-stack-protector")))
__asm__(".section .text.translated,\"ax\"\n.p2align 12\n.text\n");

static PLAIN uint64_t fib(uint64_t n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static PLAIN uint64_t work_fib(void *arg)
{
	return fib(((struct work *)arg)->n);
}

static PLAIN uint64_t work_sort(void *arg)
{
	struct work *w = arg;
	uint64_t h = 14695981039346656037ull;

	for (unsigned i = 1; i < 512; i++) {
		uint32_t x = w->v[i];
		unsigned j = i;

		for (; j && w->v[j - 1] > x; j--)
			w->v[j] = w->v[j - 1];
		w->v[j] = x;
	}
	for (unsigned i = 0; i < 512; i++)
		h = (h ^ w->v[i]) * 1099511628211ull;
	return h;
}

static PLAIN uint64_t work_bignum(void *arg)
{
	struct work *w = arg;
	uint64_t acc = 0, *p = (uint64_t *)(void *)w->v;

	for (unsigned i = 0; i < 255; i++) {
		unsigned __int128 t = (unsigned __int128)p[i] * p[i + 1] + acc;

		p[i] = (uint64_t)t;
		acc = (uint64_t)(t >> 64) + (p[i] / ((uint32_t)i | 3u)) +
		      (uint64_t)((int64_t)acc % -7);
	}
	return acc;
}

static PLAIN uint64_t work_double(void *arg)
{
	struct work *w = arg;
	double s = 0;

	for (unsigned i = 0; i < 256; i++)
		w->d[i] = w->d[i] * 1.5 + (double)(int)w->v[i] / (i + 1);
	for (unsigned i = 0; i < 256; i++)
		s += w->d[255 - i] > s ? w->d[i] : -w->d[i];
	return (uint64_t)(int64_t)s;
}

static PLAIN uint64_t work_switch(void *arg)
{
	struct work *w = arg;
	uint64_t r = 1;

	for (unsigned i = 0; i < 512; i++)
		switch (w->v[i] % 11) {
		case 0: r += i; break;
		case 1: r ^= w->v[i]; break;
		case 2: r = r << 7 | r >> 57; break;
		case 3: r -= fib(i % 7); break;
		case 4: r *= 31; break;
		case 5: r = __builtin_bswap64(r); break;
		case 6: r += (r >> 3) * (r & 0xff); break;
		case 7: r ^= (uint64_t)(uint16_t)r << 40; break;
		case 8: r = (uint64_t) - (int64_t)r; break;
		case 9: r += r > 1000 ? 5 : 9; break;
		default: w->v[i] = (uint32_t)r;
		}
	return r;
}

static void *map_sparse(size_t n)
{
	return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
}

static void compiled_functions_give_the_same_results(void **state)
{
	static uint64_t (*const f[])(void *) = { work_fib, work_sort, work_bignum, work_double,
						 work_switch };
	struct rig *r = *state;
	struct work *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	free(r->vm.code);
	free(r->vm.code_sum);
	r->vm.code_gfns = 1u << 28;
	r->vm.code = map_sparse(r->vm.code_gfns * sizeof(*r->vm.code));
	r->vm.code_sum = map_sparse(r->vm.code_gfns * sizeof(*r->vm.code_sum));
	rng = 42;
	for (unsigned k = 0; k < 40; k++) {
		for (unsigned n = 0; n < 512; n++)
			a->v[n] = (uint32_t)rnd();
		for (unsigned n = 0; n < 256; n++)
			a->d[n] = (double)(int)rnd() / 1000;
		a->n = k % 18;
		*b = *a;
		assert_true(call_translated(r, f[k % 5], b) == f[k % 5](a));
		assert_memory_equal(a, b, sizeof(*a));
	}
	munmap(r->vm.code, r->vm.code_gfns * sizeof(*r->vm.code));
	munmap(r->vm.code_sum, r->vm.code_gfns * sizeof(*r->vm.code_sum));
	r->vm.code = NULL;
	r->vm.code_sum = NULL;
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_byte_shift_by_32_leaves_the_flags, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(random_code_does_what_the_cpu_does, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(compiled_functions_give_the_same_results, rig_setup,
						rig_teardown),
	};

	return cmocka_run_group_tests_name("engine/jit_silicon", tests, NULL, NULL);
}
