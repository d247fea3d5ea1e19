/* tests/unit/hv/engine/test_code.c - decoded code and the memory under it: code
 * that changes itself, instructions across pages, repeated string instructions
 * that fault and go on, and the exits of I/O, MMIO and MSRs.
 */
#include "tests/unit/hv/engine/rig.h"

static struct rig *with(const uint8_t *code, const uint8_t *end, unsigned at)
{
	struct rig *g = rig_new(1);

	memcpy(g->ram + at, code, (size_t)(end - code) + 1);
	return g;
}
#define WITH(name) with(name, name##_end, AT_CODE)

GUEST(code_next, "movb $0xc3, 1f+1(%rip)\n1: inc %ebx\nmov %ebx, %ecx\n"); /* ff c3: the same */
GUEST(code_patch, "movb $0xcb, 1f+1(%rip)\n1: inc %ebx\n");		   /* becomes dec %ebx */

static void a_store_into_the_next_instruction_is_seen(void **s)
{
	struct rig *g = WITH(code_next);

	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RCX], 1);
	rig_free(g);
	g = WITH(code_patch);
	rig_expect_end(g);
	assert_int_equal((uint32_t)regs(g)->r[R_RBX], ~0u);
	rig_free(g);
}

/* Calls a routine in a loop and changes its immediate each time round. */
GUEST(code_loop, "mov $1000, %ecx\nxor %ebx, %ebx\nlea 3f(%rip), %rdi\n"
		 "1: mov %ecx, 1(%rdi)\ncall *%rdi\nadd %eax, %ebx\ndec %ecx\njnz 1b\nhlt\n"
		 ".balign 4096\n3: mov $0, %eax\nret\n");

static void a_routine_rewritten_each_time_runs_as_rewritten(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_loop);
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RBX], 500500);
	rig_free(g);
}

/* The same through another virtual address, and by a string store. */
GUEST(code_alias, "mov $0x40000, %ebx\ncall *%rbx\nmov %eax, %esi\n"
		  "movl $7, 0x41001\ncall *%rbx\nmov %eax, %ebp\n"
		  "mov $0x41000, %edi\nmov $0x90, %al\nmov $4096, %ecx\nrep stosb\n"
		  "movb $0xc3, 0x41800\nmov $9, %eax\ncall *%rbx\n");
GUEST(code_alias_fn, "mov $3, %eax\nret");

static void a_store_by_an_alias_is_seen(void **s)
{
	struct rig *g = WITH(code_alias);

	*pte(g, 0x41000) = 0x40007;
	PUT_CODE(g, 0x40000, code_alias_fn);
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RSI], 3);
	assert_int_equal(regs(g)->r[R_RBP], 7);
	assert_int_equal(regs(g)->r[R_RAX], 9);
	rig_free(g);
}

GUEST(code_reload, "mov %cr3, %rax\nmov %rax, %cr3\njmp *%rbx");

static void a_page_refilled_from_outside_runs_as_refilled_once_mapped_again(void **s)
{
	struct rig *g = with(code_alias_fn, code_alias_fn_end, 0x40000);

	for (uint32_t k = 1; k < 50; k++) {
		memcpy(g->ram + 0x40001, &k, 4); /* as a backend writes: the engine can't know */
		g->ram[0x40005] = 0xf4;
		*pte(g, 0x50000 + 0x1000 * (k & 1)) = 0x40007;
		PUT_CODE(g, AT_CODE, code_reload);
		regs(g)->r[R_RBX] = 0x50000 + 0x1000 * (k & 1);
		regs(g)->rip = AT_CODE;
		rig_expect_end(g);
		assert_int_equal(regs(g)->r[R_RAX], k);
	}
	rig_free(g);
}

GUEST(code_straddle, "mov $0x1122334455667788, %rax\nmov %rax, %rbx\n");

static void instructions_across_pages_use_both_translations(void **s)
{
	for (unsigned cut = 1; cut < 10; cut++) {
		struct rig *g = rig_new(1);
		unsigned n = (unsigned)(code_straddle_end - code_straddle) + 1;

		memcpy(g->ram + 0x41000 - cut, code_straddle, cut);
		memcpy(g->ram + 0x50000, code_straddle + cut, n - cut);
		*pte(g, 0x41000) = 0x50007;
		regs(g)->rip = 0x41000 - cut;
		rig_expect_end(g);
		assert_int_equal(regs(g)->r[R_RBX], 0x1122334455667788);
		/* The second page gone: the fault is its, the restart the instruction's. */
		*pte(g, 0x41000) = 0;
		g->ops->vm_flush(g->vm, g->v[0]);
		regs(g)->rip = 0x41000 - cut;
		rig_expect_vector(g, 14);
		assert_int_equal(regs(g)->cr2, 0x41000);
		assert_int_equal(rig_frame(g)[1], 0x41000 - cut);
		rig_free(g);
	}
}

GUEST(code_movs, "rep movsb\nmov $1, %ebx\n");

static void rep_movs_stops_at_a_fault_and_goes_on(void **s)
{
	struct rig *g = WITH(code_movs);
	struct vcpu_state *st = regs(g);

	for (unsigned k = 0; k < 0x3000; k++)
		g->ram[0x40000 + k] = (uint8_t)(k * 7);
	*pte(g, 0x61000) = 0;
	st->r[R_RSI] = 0x40010;
	st->r[R_RDI] = 0x60800;
	st->r[R_RCX] = 0x2000;
	rig_expect_vector(g, 14);
	assert_int_equal(st->cr2, 0x61000);
	assert_int_equal(st->r[R_RCX], 0x2000 - 0x800);
	assert_int_equal(st->r[R_RDI], 0x61000);
	assert_int_equal(st->r[R_RSI], 0x40810);
	assert_int_equal(rig_frame(g)[1], AT_CODE);
	*pte(g, 0x61000) = 0x61007;
	st->rip = AT_CODE;
	st->r[R_RSP] = AT_STACK;
	rig_expect_end(g);
	assert_int_equal(st->r[R_RCX], 0);
	assert_memory_equal(g->ram + 0x60800, g->ram + 0x40010, 0x2000);
	rig_free(g);
}

GUEST(code_overlap, "rep movsb\nmov $0x50000, %edi\nmov $5, %ecx\nmov $0x1234, %eax\nrep stosw\n"
		    "std\nmov $0x50103, %esi\nmov $0x50203, %edi\nmov $4, %ecx\nrep movsb\ncld\n"
		    "mov $0x50300, %edi\nmov $100, %ecx\nmov $0x5a, %al\nrepne scasb\nhlt");

static void overlapping_and_backward_strings_go_item_by_item(void **s)
{
	struct rig *g = WITH(code_overlap);
	struct vcpu_state *st = regs(g);

	g->ram[0x40000] = 0xab;
	memcpy(g->ram + 0x50100, "wxyz", 4);
	g->ram[0x50320] = 0x5a;
	st->r[R_RSI] = 0x40000;
	st->r[R_RDI] = 0x40001;
	st->r[R_RCX] = 0x1800;
	rig_expect_end(g);
	for (unsigned k = 0; k <= 0x1800; k++)
		assert_int_equal(g->ram[0x40000 + k], 0xab);
	assert_int_equal(*(uint16_t *)(g->ram + 0x50008), 0x1234);
	assert_int_equal(g->ram[0x5000a], 0);
	assert_memory_equal(g->ram + 0x50200, "wxyz", 4);
	assert_int_equal(st->r[R_RDI], 0x50321);
	assert_int_equal(st->r[R_RCX], 100 - 0x21);
	rig_free(g);
}

GUEST(code_io, "mov $0x1234, %dx\nmov $0xaabbccdd, %eax\nout %eax, %dx\nout %al, $0x80\n"
	       "xor %eax, %eax\nin $0x71, %al\nmov %eax, %ebx\nmov $-1, %rax\nin %dx, %eax\n");

static void port_io_exits_with_its_size_and_takes_the_answer(void **s)
{
	struct rig *g = WITH(code_io);

	assert_int_equal(rig_run(g), EXIT_IO);
	assert_int_equal(g->x.addr, 0x1234);
	assert_int_equal(g->x.size, 4);
	assert_int_equal(g->x.val, 0xaabbccdd);
	assert_true(g->x.is_write);
	rig_complete(g, 0);
	assert_int_equal(regs(g)->rip, AT_CODE + 10); /* done, not half-way */
	assert_int_equal(rig_run(g), EXIT_IO);
	assert_int_equal(g->x.size, 1);
	assert_int_equal(g->x.val, 0xdd);
	rig_complete(g, 0);
	assert_int_equal(rig_run(g), EXIT_IO);
	assert_false(g->x.is_write);
	rig_complete(g, 0xffff5a);
	assert_int_equal(rig_run(g), EXIT_IO);
	rig_complete(g, 0x89abcdef);
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RBX], 0x5a);
	assert_int_equal(regs(g)->r[R_RAX], 0x89abcdef);
	rig_free(g);
}

GUEST(code_string_io, "mov $0x60, %dx\nmov $0x40000, %esi\nmov $3, %ecx\nrep outsb\n"
		      "mov $0x40100, %edi\nmov $3, %ecx\nrep insw\n");

static void string_io_comes_one_item_a_time(void **s)
{
	struct rig *g = WITH(code_string_io);

	memcpy(g->ram + 0x40000, "abc", 3);
	for (unsigned k = 0; k < 3; k++) {
		assert_int_equal(rig_run(g), EXIT_IO);
		assert_int_equal(g->x.val, "abc"[k]);
		rig_complete(g, 0);
	}
	for (unsigned k = 0; k < 3; k++) {
		assert_int_equal(rig_run(g), EXIT_IO);
		assert_int_equal(g->x.size, 2);
		rig_complete(g, 0x4100 + k);
	}
	rig_expect_end(g);
	assert_int_equal(*q(g, 0x40100), 0x410241014100);
	assert_int_equal(regs(g)->r[R_RCX], 0);
	rig_free(g);
}

#define MMIO_VA 0x1c0000u

GUEST(code_mmio, "mov 0x1c0008, %eax\nmov %eax, 0x1c0010\naddl $5, 0x1c0020\n"
		 "mov $0x1c0000, %esi\nmov $0x1c0100, %edi\nmovsl\n"
		 "mov 0x1bfffe, %ebx\npushq 0x1c0030\npop %rbp\n");

static void mmio_reads_writes_and_both_in_one_instruction(void **s)
{
	struct rig *g = WITH(code_mmio);
	static const struct {
		uint64_t addr, val;
		uint8_t size, write;
	} want[] = {
		{ 0xfee00008, 0x1111, 4, 0 }, { 0xfee00010, 0x1111, 4, 1 },
		{ 0xfee00020, 0x20, 4, 0 },   { 0xfee00020, 0x25, 4, 1 },
		{ 0xfee00000, 0x77, 4, 0 },   { 0xfee00100, 0x77, 4, 1 },
		{ 0xfee00000, 0xbeef, 2, 0 }, { 0xfee00030, 0x123456789a, 8, 0 },
	};

	*pte(g, MMIO_VA) = 0xfee00003;
	g->ram[0x1bfffe] = 0xad;
	g->ram[0x1bffff] = 0xde;
	for (unsigned k = 0; k < sizeof(want) / sizeof(want[0]); k++) {
		assert_int_equal(rig_run(g), EXIT_MMIO);
		assert_int_equal(g->x.addr, want[k].addr);
		assert_int_equal(g->x.size, want[k].size);
		assert_int_equal(g->x.is_write, want[k].write);
		if (want[k].write)
			assert_int_equal(g->x.val, want[k].val);
		rig_complete(g, want[k].val);
	}
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RBX], 0xbeefdead);
	assert_int_equal(regs(g)->r[R_RBP], 0x123456789a);
	rig_free(g);
}

GUEST(code_msr, "mov $0x1b, %ecx\nrdmsr\nmov %eax, %ebx\nmov %edx, %esi\nmov $0x80b, %ecx\nwrmsr\n"
		"mov $0x999, %ecx\nrdmsr\n");

static void msrs_go_to_the_caller_who_may_refuse(void **s)
{
	struct rig *g = WITH(code_msr);

	assert_int_equal(rig_run(g), EXIT_RDMSR);
	assert_int_equal(g->x.addr, 0x1b);
	rig_complete(g, 0x12345678fee00900);
	assert_int_equal(rig_run(g), EXIT_WRMSR);
	assert_int_equal(g->x.addr, 0x80b);
	assert_int_equal(g->x.val, 0x12345678fee00900);
	rig_complete(g, 0);
	assert_int_equal(rig_run(g), EXIT_RDMSR);
	g->x.fault = 1;
	rig_complete(g, 0);
	assert_false(g->ops->vcpu_can_inject(g->v[0]));
	rig_expect_vector(g, 13);
	rig_free(g);
}

GUEST(code_dynamic, "mov $0xc0000103, %ecx\nmov $7, %eax\nxor %edx, %edx\nwrmsr\n"
		    "rdtscp\nmov %rax, %rdi\nshl $32, %rdx\nor %rdx, %rdi\nmov %ecx, %esi\n"
		    "mov $1, %eax\nxor %ecx, %ecx\ncpuid\n");

static void time_stamps_and_cpuid_need_no_exit(void **s)
{
	struct rig *g = WITH(code_dynamic);
	struct cpuid_leaf l;

	g->ops->vcpu_set_tsc_offset(g->v[0], -(int64_t)__builtin_ia32_rdtsc());
	rig_expect_end(g);
	assert_in_range(regs(g)->r[R_RDI], 1, 1ull << 40);
	assert_int_equal(regs(g)->r[R_RSI], 7);
	g->ops->cpuid_supported(1, 0, &l);
	assert_int_equal(regs(g)->r[R_RDX], l.edx);
	rig_free(g);
}

/* Sixty-four thousand different routines: the cache must start over. */
GUEST(code_many, "mov $0x100000, %edi\nmov $0x40000, %ecx\nmov $0x90, %al\nrep stosb\n"
		 "mov $0xc3, %al\nmov $0x100001, %edi\n"
		 "1: mov %al, (%rdi)\nadd $2, %edi\ncmp $0x140000, %edi\njb 1b\n"
		 "mov $4, %ebp\n"
		 "2: mov $0x100000, %ebx\n3: call *%rbx\ninc %esi\nadd $2, %ebx\n"
		 "cmp $0x140000, %ebx\njb 3b\ndec %ebp\njnz 2b\n");

static void more_code_than_the_cache_holds_still_runs(void **s)
{
	struct rig *g = WITH(code_many);

	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RSI], 4 * 0x20000);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_store_into_the_next_instruction_is_seen),
		cmocka_unit_test(a_routine_rewritten_each_time_runs_as_rewritten),
		cmocka_unit_test(a_store_by_an_alias_is_seen),
		cmocka_unit_test(a_page_refilled_from_outside_runs_as_refilled_once_mapped_again),
		cmocka_unit_test(instructions_across_pages_use_both_translations),
		cmocka_unit_test(rep_movs_stops_at_a_fault_and_goes_on),
		cmocka_unit_test(overlapping_and_backward_strings_go_item_by_item),
		cmocka_unit_test(port_io_exits_with_its_size_and_takes_the_answer),
		cmocka_unit_test(string_io_comes_one_item_a_time),
		cmocka_unit_test(mmio_reads_writes_and_both_in_one_instruction),
		cmocka_unit_test(msrs_go_to_the_caller_who_may_refuse),
		cmocka_unit_test(time_stamps_and_cpuid_need_no_exit),
		cmocka_unit_test(more_code_than_the_cache_holds_still_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
