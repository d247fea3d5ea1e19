/* tests/unit/hv/engine/silicon_blocks.c - whole runs of random instructions in
 * the soft engine against the host's CPU: what single instructions can't show,
 * such as flags carried from one to the next, jumps inside a block, loops that
 * come back to decoded code, faults in the middle, and code that changes itself.
 *
 * Memory operands are RIP-relative, so no register decides where a store goes.
 * SILICON_SEED and SILICON_COUNT (programs per test) as in silicon.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "hv/engine/soft/insn.h"
#include "hv/engine/state.h"
#include "tests/unit/hv/engine/silicon.h"
#include "tests/unit/hv/engine/silicon_guest.h"

#define ARITH	0x8d5ull
#define PROG	1024u			  /* bytes */
#define COUNTER (SIL_DATA + 4 * 4096 + 8) /* of the loop: out of the operands' reach */

struct prog {
	uint8_t b[PROG];
	unsigned n;
	unsigned at[64], nr; /* where instructions start */
};

enum { P_LOOP = 1, P_FAULT = 2, P_SMC = 4, P_FPU = 8 };

static struct guest *guest;
static ZydisDecoder zdec;
static uint8_t mem0[SIL_LEN], cpu_mem[SIL_LEN], our_mem[SIL_LEN];

static uint64_t here(const struct prog *p)
{
	return SIL_START + p->n;
}

static void put(struct prog *p, const void *b, unsigned n)
{
	memcpy(p->b + p->n, b, n);
	p->n += n;
}

/* Map and opcode range; flags after mul and div are anybody's guess. */
static const struct {
	uint8_t map, lo, hi, fpu;
} picks[] = {
	{ MAP_1, 0x00, 0x05 },	   { MAP_1, 0x08, 0x0d },     { MAP_1, 0x10, 0x15 },
	{ MAP_1, 0x18, 0x1d },	   { MAP_1, 0x20, 0x25 },     { MAP_1, 0x28, 0x2d },
	{ MAP_1, 0x30, 0x35 },	   { MAP_1, 0x38, 0x3d },     { MAP_1, 0x80, 0x8b },
	{ MAP_1, 0xa8, 0xa9 },	   { MAP_1, 0x90, 0x99 },     { MAP_1, 0xb0, 0xc1 },
	{ MAP_1, 0xc6, 0xc7 },	   { MAP_1, 0xd0, 0xd3 },     { MAP_1, 0xf5, 0xf9 },
	{ MAP_1, 0xfe, 0xff },	   { MAP_1, 0x63, 0x63 },     { MAP_0F, 0x40, 0x4f },
	{ MAP_0F, 0x90, 0x9f },	   { MAP_0F, 0xb0, 0xb1 },    { MAP_0F, 0xb6, 0xb7 },
	{ MAP_0F, 0xba, 0xbf },	   { MAP_0F, 0xc0, 0xc1 },    { MAP_0F, 0xa4, 0xa5 },
	{ MAP_0F, 0xac, 0xad },	   { MAP_0F, 0xc8, 0xcf },    { MAP_1, 0xd8, 0xdf, 1 },
	{ MAP_0F, 0x10, 0x17, 1 }, { MAP_0F, 0x28, 0x2f, 1 }, { MAP_0F, 0x50, 0x7f, 1 },
	{ MAP_0F, 0xc2, 0xc6, 1 }, { MAP_0F, 0xd0, 0xff, 1 },
};

static bool is_wanted(const ZydisDecodedInstruction *z, const struct insn *i)
{
	if (!guest_may_try(guest, z) || z->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
		return false;
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_MUL:
	case ZYDIS_MNEMONIC_IMUL:
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
	case ZYDIS_MNEMONIC_FNSTENV: /* x87 pointers are not followed */
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU: return false;
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
	case ZYDIS_MNEMONIC_MOVSXD: return i->opsize != 2;
	default: break;
	}
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_STRINGOP: return false;
	default: break;
	}
	if (i->map == MAP_0F && i->op == 0xbb && i->mod != 3)
		return false; /* btc: the bit offset reaches anywhere */
	return !(i->map == MAP_1 && i->op == 0x8e) && i->seg != S_FS && i->seg != S_GS;
}

/* Aligned in the two good pages; sometimes across them, or into the hole. */
static uint64_t operand(unsigned fl, bool lock)
{
	uint64_t v = sil_rand(), at = SIL_DATA + (v >> 16 & 0x1f80);

	if (lock)
		return at;
	if (fl & P_FAULT && v % 64 == 0)
		return SIL_DATA + SIL_HOLE * 4096 - (v >> 8 & 15);
	if (v % 8 == 0)
		return SIL_DATA + 4096 - (v >> 8 & 15);
	return v & 1 ? at : at + (v >> 8 & 15);
}

static bool random_insn(struct prog *p, unsigned fl)
{
	unsigned k = sil_rand() % (sizeof(picks) / sizeof(picks[0])), n = 0;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct insn i;
	uint8_t c[15];

	if (picks[k].fpu && !(fl & P_FPU))
		return false;
	for (unsigned j = 0; j < 15; j++)
		c[j] = (uint8_t)sil_rand();
	if (sil_rand() % 6 == 0)
		c[n++] = 0x66;
	else if (picks[k].fpu && sil_rand() % 3 == 0)
		c[n++] = sil_rand() & 1 ? 0xf3 : 0xf2;
	if (sil_rand() & 1)
		c[n++] = 0x40 | (sil_rand() & 15);
	if (picks[k].map == MAP_0F)
		c[n++] = 0x0f;
	c[n++] = (uint8_t)(picks[k].lo + sil_rand() % (picks[k].hi - picks[k].lo + 1u));
	c[n] = sil_rand() & 1 ? c[n] | 0xc0 : (c[n] & 0x38) | 5;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zdec, c, 15, &z, ops)) ||
	    insn_decode(c, 15, MODE_64, &i) < 0 || !is_wanted(&z, &i))
		return false;
	if (i.has_modrm && i.mod != 3) {
		int32_t d = (int32_t)(operand(fl, i.lock || z.mnemonic == ZYDIS_MNEMONIC_XCHG) -
				      here(p) - i.len);

		memcpy(c + i.modrm_off + 1, &d, 4);
	}
	p->at[p->nr++] = p->n;
	put(p, c, i.len);
	return true;
}

/* jcc over the instruction that follows. */
static void random_skip(struct prog *p, unsigned fl)
{
	unsigned j = p->n;

	put(p, (uint8_t[]){ 0x70 | (sil_rand() & 15), 0 }, 2);
	while (!random_insn(p, fl))
		;
	p->b[j + 1] = (uint8_t)(p->n - j - 2);
}

/* mov byte [rip + d], imm: changes the last byte of an instruction, earlier or
 * later, to what it already is or to another register's or immediate's. */
static void random_patch(struct prog *p, unsigned victim_off)
{
	uint8_t c[7] = { 0xc6, 0x05 };
	int32_t d = (int32_t)(victim_off - (p->n + 7));

	memcpy(c + 2, &d, 4);
	c[6] = (uint8_t)sil_rand();
	put(p, c, 7);
}

/* add eax, imm8 and friends, whose last byte may be anything. */
static unsigned put_victim(struct prog *p)
{
	uint8_t c[] = { 0x48, 0x83, 0xc0 | (sil_rand() & 0x3f), (uint8_t)sil_rand() };

	put(p, c, 4);
	return p->n - 1;
}

static void build(struct prog *p, unsigned fl)
{
	unsigned want = 3 + sil_rand() % 20, back = 0, victim = 0;

	p->n = p->nr = 0;
	if (fl & P_SMC)
		victim = put_victim(p);
	while (p->nr < want) {
		if (fl & P_SMC && sil_rand() % 4 == 0) {
			/* before its victim: the change shows at once */
			random_patch(p, sil_rand() & 1 ? p->n + 10 : victim);
			victim = put_victim(p);
		} else if (sil_rand() % 5 == 0) {
			random_skip(p, fl);
		} else {
			(void)random_insn(p, fl); /* else: try another */
		}
	}
	if (fl & P_LOOP) {
		int32_t d = (int32_t)(COUNTER - (here(p) + 7));

		put(p, "\x83\x2d", 2); /* sub dword [rip + d], 1 */
		put(p, &d, 4);
		put(p, "\x01\x0f\x85", 3); /* jnz back */
		d = (int32_t)back - (int32_t)(p->n + 4);
		put(p, &d, 4);
	}
}

static void random_state(struct sil_state *st)
{
	uint32_t csr, count = 1 + sil_rand() % 12;

	memset(st, 0, sizeof(*st));
	for (unsigned k = 0; k < 16; k++)
		st->r[k] = sil_rand_int();
	st->rip = SIL_START;
	st->rflags = (sil_rand() & ARITH) | 0x202;
	sil_rand_fx(st->fx);
	memcpy(&csr, st->fx + 24, 4);
	csr |= 0x1f80; /* #XM has its own tests */
	memcpy(st->fx + 24, &csr, 4);
	sil_rand_bytes(mem0 + sil_rand() % 6000, 512);
	memcpy(mem0 + (COUNTER - SIL_DATA), &count, 4);
}

static void print_prog(const struct prog *p)
{
	ZydisFormatter fmt;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;

	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	for (unsigned at = 0; at < p->n; at += z.length) {
		char text[128];

		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zdec, p->b + at, p->n - at, &z, ops)))
			return;
		ZydisFormatterFormatInstruction(&fmt, &z, ops, z.operand_count_visible, text,
						sizeof(text), SIL_START + at, NULL);
		printf("#   %llx %s\n", SIL_START + at, text);
	}
}

static bool one_program(unsigned fl)
{
	struct sil_state in, cpu, ours;
	struct prog p;

	build(&p, fl);
	random_state(&in);
	cpu = ours = in;
	sil_mem_put(mem0);
	sil_run(p.b, p.n, &cpu);
	sil_mem_get(cpu_mem);
	guest_code(guest, p.b, p.n);
	guest_mem_put(guest, mem0);
	guest_run(guest, &ours);
	guest_mem_get(guest, our_mem);
	/* the CPU reports the byte, we too; environments are settled elsewhere */
	if (cpu.vec == 14 && ours.vec == 14 && cpu.rip == ours.rip)
		ours.cr2 = cpu.cr2;
	if (sil_same("a program", p.b, 15, &in, &cpu, &ours, 0x40700 | ARITH, cpu_mem, our_mem))
		return true;
	print_prog(&p);
	return false;
}

static void run_programs(unsigned fl)
{
	unsigned want = silicon_count(2000), bad = 0;

	sil_catch();
	sil_seed(silicon_seed() * 64 + fl);
	for (unsigned i = 0; i < SIL_LEN; i += 64)
		sil_rand_bytes(mem0 + i, 64);
	memset(mem0 + SIL_HOLE * 4096, 0, 4096);
	for (unsigned i = 0; i < want && bad < 5; i++)
		bad += !one_program(fl);
	assert_int_equal(bad, 0);
}

static void straight_code_runs_as_on_the_cpu(void **state)
{
	run_programs(0);
	run_programs(P_FPU);
}

static void loops_run_as_on_the_cpu(void **state)
{
	run_programs(P_LOOP);
	run_programs(P_LOOP | P_FPU);
}

static void a_fault_in_the_middle_is_exact(void **state)
{
	run_programs(P_FAULT | P_FPU);
	run_programs(P_FAULT | P_LOOP);
}

static void code_that_changes_itself_runs_as_changed(void **state)
{
	run_programs(P_SMC);
	run_programs(P_SMC | P_LOOP);
}

static int setup(void **state)
{
	ZydisDecoderInit(&zdec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	sil_init();
	guest = guest_new();
	return guest ? 0 : -1;
}

static int teardown(void **state)
{
	guest = guest_free(guest);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(straight_code_runs_as_on_the_cpu),
		cmocka_unit_test(loops_run_as_on_the_cpu),
		cmocka_unit_test(a_fault_in_the_middle_is_exact),
		cmocka_unit_test(code_that_changes_itself_runs_as_changed),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests_name("hv/engine/silicon_blocks", tests, setup, teardown);
}
