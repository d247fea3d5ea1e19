/* tests/unit/hv/engine/test_events.c - exceptions with their vectors, error codes
 * and frames; interrupts, shadows, windows, NMIs, kicks; single steps and
 * breakpoints; ring changes.
 */
#include "tests/unit/hv/engine/rig.h"

#define FL_TF 0x100u
#define FL_IF 0x200u

static struct rig *with(const uint8_t *code, const uint8_t *end)
{
	struct rig *g = rig_new(1);

	memcpy(g->ram + AT_CODE, code, (size_t)(end - code) + 1);
	return g;
}
#define WITH(name) with(name, name##_end)

/* One faulting instruction at AT_CODE: vector, error code (-1: none), RIP pushed. */
static void faults(struct rig *g, unsigned vec, int err, unsigned rip)
{
	uint64_t *f;

	rig_expect_vector(g, vec);
	f = rig_frame(g);
	if (err >= 0)
		assert_int_equal(*f++, err);
	assert_int_equal(f[0], AT_CODE + rip);
	assert_int_equal(f[1], SEL_CODE64);
	assert_int_equal(f[3], AT_STACK);
	assert_int_equal(regs(g)->r[R_RSP] & 15, err >= 0 ? 0 : 8);
	rig_free(g);
}

GUEST(code_div, "xor %ecx, %ecx\ndiv %ecx");
GUEST(code_idiv, "mov $-1, %ecx\nmov $0x80000000, %eax\ncltd\nidiv %ecx");
GUEST(code_ud2, "ud2");
GUEST(code_lock_ud, ".byte 0xf0, 0x89, 0x08");
GUEST(code_avx_ud, ".byte 0xc5, 0xf8, 0x77");
GUEST(code_noncanon, "mov $0x8000000000000000, %rax\nmov (%rax), %eax");
GUEST(code_stack_noncanon, "mov $0x8000000000000000, %rbp\nmov (%rbp), %eax");
GUEST(code_sel, "mov $0x1234, %eax\nmov %eax, %ds");
GUEST(code_absent, "mov $0x48, %eax\nmov %eax, %ds");
GUEST(code_ss_absent, "mov $0x48, %eax\nmov %eax, %ss");
GUEST(code_int3, "int3");
GUEST(code_int80, "int $0x80");
GUEST(code_int1, ".byte 0xf1");
GUEST(code_cr4, "mov $0x80000000, %eax\nmov %rax, %cr4");
GUEST(code_long, ".fill 15, 1, 0x66\nnop");
GUEST(code_ret_noncanon, "mov $0x8000000000000000, %rax\npush %rax\nret");

static void each_exception_has_its_vector_and_frame(void **s)
{
	faults(WITH(code_div), 0, -1, 2);
	faults(WITH(code_idiv), 0, -1, 11);
	faults(WITH(code_ud2), 6, -1, 0);
	faults(WITH(code_lock_ud), 6, -1, 0);
	faults(WITH(code_avx_ud), 6, -1, 0);
	faults(WITH(code_noncanon), 13, 0, 10);
	faults(WITH(code_stack_noncanon), 12, 0, 10);
	faults(WITH(code_sel), 13, 0x1234, 5);
	faults(WITH(code_absent), 11, 0x48, 5);
	faults(WITH(code_ss_absent), 12, 0x48, 5);
	faults(WITH(code_int3), 3, -1, 1);
	faults(WITH(code_int80), 0x80, -1, 2);
	faults(WITH(code_int1), 1, -1, 1);
	faults(WITH(code_cr4), 13, 0, 5);
	faults(WITH(code_long), 13, 0, 0);
}

static void a_return_to_nowhere_faults_with_the_stack_unpopped(void **s)
{
	struct rig *g = WITH(code_ret_noncanon);

	rig_expect_vector(g, 13);
	assert_int_equal(rig_frame(g)[4], AT_STACK - 8);
	rig_free(g);
}

static void not_present_gates_and_short_tables_fault(void **s)
{
	struct rig *g = WITH(code_int80);

	q(g, AT_IDT)[2 * 0x80] &= ~(1ull << 47);
	faults(g, 11, 0x80 * 8 + 2, 0);
	g = WITH(code_int80);
	regs(g)->idt.limit = 0x80 * 16 - 1;
	faults(g, 13, 0x80 * 8 + 2, 0);
}

GUEST(code_pf, "mov 0x40000, %eax");

static void a_fault_in_delivery_doubles_then_triples(void **s)
{
	struct rig *g = WITH(code_pf);

	/* #PF whose gate is not present: #NP while delivering #PF is #DF. */
	*pte(g, 0x40000) = 0;
	q(g, AT_IDT)[2 * 14] &= ~(1ull << 47);
	rig_expect_vector(g, 8);
	assert_int_equal(rig_frame(g)[0], 0);
	rig_free(g);

	g = WITH(code_pf);
	*pte(g, 0x40000) = 0;
	q(g, AT_IDT)[2 * 14] &= ~(1ull << 47);
	q(g, AT_IDT)[2 * 8] &= ~(1ull << 47);
	assert_int_equal(rig_run(g), EXIT_SHUTDOWN);
	rig_free(g);

	/* #UD whose gate is not present: a benign first fault gives plain #NP. */
	g = WITH(code_ud2);
	q(g, AT_IDT)[2 * 6] &= ~(1ull << 47);
	faults(g, 11, 6 * 8 + 2 + 1, 0);
}

static void an_ist_entry_switches_the_stack(void **s)
{
	struct rig *g = WITH(code_ud2);

	q(g, AT_IDT)[2 * 6] |= 1ull << 32;
	rig_expect_vector(g, 6);
	assert_int_equal(regs(g)->r[R_RSP], AT_IST1 - 40);
	assert_int_equal(rig_frame(g)[3], AT_STACK);
	rig_free(g);
}

GUEST(code_ring3, "pushq $0x2b\npushq $0x2f000\npushq $0x202\npushq $0x33\n"
		  "lea 1f(%rip), %rax\npush %rax\niretq\n"
		  "1: mov %cs, %ebx\nmov $7, %ecx\nint3\n");

static void iret_enters_ring_3_and_a_trap_comes_back_on_the_tss_stack(void **s)
{
	struct rig *g = WITH(code_ring3);
	uint64_t *f;

	rig_expect_vector(g, 3);
	f = rig_frame(g);
	assert_int_equal(regs(g)->r[R_RBX], SEL_UCODE64 | 3);
	assert_int_equal(regs(g)->r[R_RSP], AT_RING0 - 40);
	assert_int_equal(f[1], SEL_UCODE64 | 3);
	assert_int_equal(f[2] & 0x202, 0x202);
	assert_int_equal(f[3], 0x2f000);
	assert_int_equal(f[4], SEL_UDATA | 3);
	assert_int_equal(regs(g)->s[S_SS].sel, 0);
	assert_int_equal(regs(g)->s[S_CS].sel, SEL_CODE64);
	assert_int_equal(regs(g)->rflags & FL_IF, 0);
	rig_free(g);
}

GUEST(code_user_priv, "cli");

static void ring_3_may_not_use_system_instructions(void **s)
{
	static const uint8_t code[][3] = { { 0xfa },	   { 0xf4 },
					   { 0x0f, 0x30 }, { 0x0f, 0x22, 0xd8 },
					   { 0x0f, 0x06 }, { 0x0f, 0x01, 0xf8 },
					   { 0xe4, 0x80 } };

	for (unsigned k = 0; k < sizeof(code) / sizeof(code[0]); k++) {
		struct rig *g = rig_new(1);

		memcpy(g->ram + AT_CODE, code[k], 3);
		regs(g)->s[S_CS] = (struct seg){ 0, ~0u, SEL_UCODE64 | 3, 0xafb };
		regs(g)->s[S_SS] = (struct seg){ 0, ~0u, SEL_UDATA | 3, 0xcf3 };
		rig_expect_vector(g, 13);
		assert_int_equal(rig_frame(g)[0], 0);
		assert_int_equal(rig_frame(g)[1], AT_CODE);
		rig_free(g);
	}
}

GUEST(code_syscall, "mov $0xc0000082, %ecx\nlea 2f(%rip), %rax\nxor %edx, %edx\nwrmsr\n"
		    "mov $0xc0000081, %ecx\nxor %eax, %eax\nmov $0x00230018, %edx\nwrmsr\n"
		    "mov $0xc0000084, %ecx\nmov $0x200, %eax\nxor %edx, %edx\nwrmsr\n"
		    "lea 1f(%rip), %rcx\nmov $0x202, %r11d\nsysretq\n"
		    "1: mov $5, %ebx\nsyscall\nmov %cs, %esi\nmov %ss, %edi\nint3\n"
		    "2: mov %cs, %r8d\nmov %ss, %r9d\npushf\npop %r10\ncmp $5, %ebx\njne 3f\n"
		    "inc %ebx\nsysretq\n3: hlt");

static void syscall_and_sysret_change_rings_both_ways(void **s)
{
	struct rig *g = WITH(code_syscall);
	struct vcpu_state *st = regs(g);

	rig_expect_vector(g, 3);
	assert_int_equal(st->r[R_R8], 0x18);
	assert_int_equal(st->r[R_R9], 0x20);
	assert_int_equal(st->r[R_R10] & FL_IF, 0);
	assert_int_equal(st->r[R_R11] & FL_IF, FL_IF);
	assert_int_equal(st->r[R_RSI], 0x33);
	assert_int_equal(st->r[R_RDI], 0x2b);
	assert_int_equal(st->r[R_RBX], 6);
	rig_free(g);
}

GUEST(code_spin, "1: inc %eax\njmp 1b");
GUEST(code_sti, "nop\nsti\ninc %eax\ninc %eax\n");
GUEST(code_sti_hlt, "sti\nhlt\ninc %ebx\n");
GUEST(code_movss, "sti\nnop\nmov %ds, %ecx\nmov %ecx, %ss\ninc %eax\ninc %eax");

static void an_interrupt_waits_for_the_flag_and_the_shadow(void **s)
{
	struct rig *g = WITH(code_sti);

	assert_false(g->ops->vcpu_can_inject(g->v[0]));
	g->ops->vcpu_window(g->v[0], true);
	assert_int_equal(rig_run(g), EXIT_INTR_WINDOW);
	assert_int_equal(regs(g)->r[R_RAX], 1); /* the one after STI has run */
	assert_true(g->ops->vcpu_can_inject(g->v[0]));
	g->ops->vcpu_inject(g->v[0], 0x40);
	assert_false(g->ops->vcpu_can_inject(g->v[0]));
	rig_expect_vector(g, 0x40);
	assert_int_equal(rig_frame(g)[0], AT_CODE + 4);
	assert_int_equal(rig_frame(g)[2] & FL_IF, FL_IF);
	assert_int_equal(regs(g)->rflags & FL_IF, 0);
	rig_free(g);
}

static void sti_hlt_sleeps_and_an_interrupt_wakes_it(void **s)
{
	struct rig *g = WITH(code_sti_hlt);

	assert_int_equal(rig_run(g), EXIT_HLT);
	assert_true(regs(g)->halted);
	assert_true(g->ops->vcpu_can_inject(g->v[0]));
	assert_int_equal(rig_run(g), EXIT_HLT); /* still asleep */
	g->ops->vcpu_inject(g->v[0], 0x41);
	rig_expect_vector(g, 0x41);
	assert_int_equal(rig_frame(g)[0], AT_CODE + 2);
	rig_free(g);
}

static void mov_ss_shadows_the_next_instruction(void **s)
{
	struct rig *g = WITH(code_movss);

	g->ops->vcpu_window(g->v[0], true);
	assert_int_equal(rig_run(g), EXIT_INTR_WINDOW);
	assert_int_equal(regs(g)->rip, AT_CODE + 2);
	regs(g)->rip = AT_CODE + 4;
	g->ops->vcpu_window(g->v[0], true);
	regs(g)->rflags &= ~(uint64_t)FL_IF;
	regs(g)->intr_shadow = 1;
	regs(g)->rflags |= FL_IF;
	assert_int_equal(rig_run(g), EXIT_INTR_WINDOW);
	/* The shadow set by hand covers "mov %ecx, %ss", which casts its own. */
	assert_int_equal(regs(g)->r[R_RAX], 1);
	rig_free(g);
}

static void an_nmi_blocks_the_next_until_iret(void **s)
{
	struct rig *g = WITH(code_spin);

	g->ops->vcpu_inject_nmi(g->v[0]);
	rig_expect_vector(g, 2);
	assert_true(regs(g)->nmi_blocked);
	g->ops->vcpu_inject_nmi(g->v[0]);
	g->ram[HANDLER(2) + 1] = 0x48; /* iretq behind the handler's hlt */
	g->ram[HANDLER(2) + 2] = 0xcf;
	rig_expect_vector(g, 2); /* the second one, right after the iret */
	assert_int_equal(rig_frame(g)[0] >= AT_CODE, 1);
	rig_free(g);
}

static void a_kick_is_never_lost(void **s)
{
	struct rig *g = WITH(code_spin);

	for (unsigned k = 0; k < 3; k++) {
		g->ops->vcpu_kick(g->v[0]);
		assert_int_equal(rig_run(g), EXIT_KICKED);
	}
	rig_free(g);
}

GUEST(code_step, "pushf\norl $0x100, (%rsp)\npopf\ninc %eax\ninc %ebx\n");

static void the_trap_flag_stops_after_one_instruction(void **s)
{
	struct rig *g = WITH(code_step);

	rig_expect_vector(g, 1);
	assert_int_equal(regs(g)->r[R_RAX], 1);
	assert_int_equal(regs(g)->r[R_RBX], 0);
	assert_int_equal(rig_frame(g)[2] & FL_TF, FL_TF);
	assert_int_equal(regs(g)->rflags & FL_TF, 0);
	assert_int_equal(regs(g)->dr[6] & 0x4000, 0x4000);
	rig_free(g);
}

GUEST(code_watch, "mov $0x40008, %eax\nmov %rax, %dr0\nmov $0x90401, %eax\nmov %rax, %dr7\n"
		  "mov %ecx, 0x40004\nmov 0x40008, %ecx\nmov %ecx, 0x4000c\nmov $9, %ebx\n");

static void a_data_breakpoint_traps_after_the_store(void **s)
{
	struct rig *g = WITH(code_watch);

	regs(g)->r[R_RCX] = 77;
	rig_expect_vector(g, 1);
	assert_int_equal(regs(g)->dr[6] & 15, 1);
	assert_int_equal(regs(g)->r[R_RBX], 0);
	assert_int_equal(g->ram[0x40004], 77);
	assert_int_equal(regs(g)->r[R_RCX], 0);
	assert_int_equal(rig_frame(g)[0], AT_CODE + 37); /* past the store to 0x4000c */
	rig_free(g);
}

GUEST(code_break, "mov $0x10014, %eax\nmov %rax, %dr1\nmov $0x404, %eax\nmov %rax, %dr7\n"
		  "nop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\n");

static void an_instruction_breakpoint_faults_before_it(void **s)
{
	struct rig *g = WITH(code_break);

	rig_expect_vector(g, 1);
	assert_int_equal(rig_frame(g)[0], 0x10014);
	assert_int_equal(regs(g)->dr[6] & 15, 2);
	assert_int_equal(rig_frame(g)[2] & 0x10000, 0x10000); /* RF: iret resumes past it */
	rig_free(g);
}

GUEST(code_hypercall, "mov $17, %eax\nvmmcall\nmov %eax, %ebx\nvmcall\n");

static void hypercalls_exit_with_rip_past_them(void **s)
{
	struct rig *g = WITH(code_hypercall);

	assert_int_equal(rig_run(g), EXIT_HYPERCALL);
	assert_int_equal(regs(g)->rip, AT_CODE + 8);
	assert_int_equal(regs(g)->r[R_RAX], 17);
	regs(g)->r[R_RAX] = 0x40011;
	assert_int_equal(rig_run(g), EXIT_HYPERCALL);
	assert_int_equal(regs(g)->r[R_RBX], 0x40011);
	rig_expect_end(g);
	rig_free(g);
}

GUEST(code_save, "sti\nnop\nin $0x70, %al\n1: jmp 1b");

static void state_is_saved_only_between_instructions_and_events(void **s)
{
	struct rig *g = WITH(code_save);
	struct vcpu_state st;

	assert_int_equal(rig_run(g), EXIT_IO);
	rig_complete(g, 0x33);
	assert_int_equal(g->ops->vcpu_save(g->v[0], &st), 0);
	assert_int_equal(st.r[R_RAX] & 0xff, 0x33);
	assert_int_equal(st.rip, AT_CODE + 4);
	g->ops->vcpu_inject(g->v[0], 0x40);
	assert_int_equal(g->ops->vcpu_save(g->v[0], &st), -11); /* -EAGAIN */
	g->ops->vcpu_kick(g->v[0]);
	assert_int_equal(rig_run(g), EXIT_KICKED);
	assert_int_equal(g->ops->vcpu_save(g->v[0], &st), 0);
	assert_int_equal(st.rip, HANDLER(0x40));
	assert_int_equal(g->ops->vcpu_load(g->v[0], &st), 0);
	rig_expect_vector(g, 0x40);
	rig_free(g);
}

GUEST(code_cr8, "mov $5, %eax\nmov %rax, %cr8\nmov %cr8, %rbx\n");

static void cr8_is_told_to_the_caller(void **s)
{
	struct rig *g = WITH(code_cr8);

	assert_int_equal(rig_run(g), EXIT_CR8);
	assert_int_equal(g->x.val, 5);
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RBX], 5);
	rig_free(g);
}

GUEST(code_nm, "fld1");
GUEST(code_sse, "movups %xmm0, %xmm1");

static void the_fpu_is_guarded_by_ts_em_and_osfxsr(void **s)
{
	struct rig *g = WITH(code_nm);

	regs(g)->cr0 |= 8;
	faults(g, 7, -1, 0);
	g = WITH(code_nm);
	regs(g)->cr0 |= 4;
	faults(g, 7, -1, 0);
	g = WITH(code_sse);
	regs(g)->cr0 |= 8;
	faults(g, 7, -1, 0);
	g = WITH(code_sse);
	regs(g)->cr4 &= ~0x200ull;
	faults(g, 6, -1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_exception_has_its_vector_and_frame),
		cmocka_unit_test(a_return_to_nowhere_faults_with_the_stack_unpopped),
		cmocka_unit_test(not_present_gates_and_short_tables_fault),
		cmocka_unit_test(a_fault_in_delivery_doubles_then_triples),
		cmocka_unit_test(an_ist_entry_switches_the_stack),
		cmocka_unit_test(iret_enters_ring_3_and_a_trap_comes_back_on_the_tss_stack),
		cmocka_unit_test(ring_3_may_not_use_system_instructions),
		cmocka_unit_test(syscall_and_sysret_change_rings_both_ways),
		cmocka_unit_test(an_interrupt_waits_for_the_flag_and_the_shadow),
		cmocka_unit_test(sti_hlt_sleeps_and_an_interrupt_wakes_it),
		cmocka_unit_test(mov_ss_shadows_the_next_instruction),
		cmocka_unit_test(an_nmi_blocks_the_next_until_iret),
		cmocka_unit_test(a_kick_is_never_lost),
		cmocka_unit_test(the_trap_flag_stops_after_one_instruction),
		cmocka_unit_test(a_data_breakpoint_traps_after_the_store),
		cmocka_unit_test(an_instruction_breakpoint_faults_before_it),
		cmocka_unit_test(hypercalls_exit_with_rip_past_them),
		cmocka_unit_test(state_is_saved_only_between_instructions_and_events),
		cmocka_unit_test(cr8_is_told_to_the_caller),
		cmocka_unit_test(the_fpu_is_guarded_by_ts_em_and_osfxsr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
