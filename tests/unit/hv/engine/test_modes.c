/* tests/unit/hv/engine/test_modes.c - mode switches by one program that climbs
 * from real mode to long mode and comes back, and what is special in each:
 * 16-bit code and stacks, the IVT, segment limits, 32-bit gates and rings.
 */
#include "tests/unit/hv/engine/rig.h"

/* Assembled for AT_CODE by hand: every address is an offset from its start. */
#define ADDR(label) "(0x10000 + " label " - code_climb)"

GUEST(code_climb,
      ".code16\n"
      "mov $0x1000, %ax\nmov %ax, %ds\nmov %ax, %ss\nmov $0xf000, %sp\n"
      "mov $0x1234, %cx\npush %cx\ncall 1f\njmp 2f\n"
      "1: ret\n"
      "2: pop %dx\n" /* dx = 1234 */
      "int $0x21\n"  /* the IVT: handler at 1000:handler, adds 1 to si */
      "mov %si, %di\n"
      "cli\n"
      "data32 lgdt gdtr16 - code_climb\n"
      "mov %cr0, %eax\nor $1, %al\nmov %eax, %cr0\n"
      "ljmpl $0x8, $" ADDR(
	      "prot") "\n"
		      "handler: inc %si\niret\n"
		      "gdtr16: .word 95\n.long 0x1000\n"
		      ".code32\n"
		      "prot: mov $0x10, %eax\nmov %eax, %ds\nmov %eax, %es\nmov %eax, %ss\nmov "
		      "$0x30000, %esp\n"
		      "push $0x77\npop %ebp\n"
		      "mov $0x4000, %eax\nmov %eax, %cr3\n"
		      "mov $0x20, %eax\nmov %eax, %cr4\n"
		      "mov $0xc0000080, %ecx\nrdmsr\nor $0x100, %eax\nwrmsr\n"
		      "mov %cr0, %eax\nor $0x80000000, %eax\nmov %eax, %cr0\n"
		      "mov $0x6b, %ebx\n" /* compatibility mode now */
		      "ljmp $0x18, $" ADDR(
			      "wide") "\n"
				      ".code64\n"
				      "wide: mov $0x1122334455667788, %r8\npush %r8\npop %r9\n"
				      "rdmsr\nmov %eax, %r10d\n" /* EFER.LMA */
				      "ljmp *down(%rip)\n"
				      "down: .long " ADDR(
					      "compat") "\n.word 0x8\n"
							".code32\n"
							"compat: mov %cr0, %eax\nand $0x7fffffff, "
							"%eax\nmov %eax, %cr0\n"
							"rdmsr\nmov %eax, %edi\n" /* LMA is off
										     again */
							"and $~0x100, %eax\nwrmsr\n"
							"ljmp $0x38, $(prot16 - code_climb)\n"
							".code16\n"
							"prot16: mov $0x40, %ax\nmov %ax, %ds\nmov "
							"%ax, %ss\n"
							"mov %cr0, %eax\nand $0xfe, %al\nmov %eax, "
							"%cr0\n"
							"ljmp $0x1000, $(real - code_climb)\n"
							"real: mov $0x1000, %ax\nmov %ax, "
							"%ds\nmovb $0x42, 0xfff0\nmov $0xbeef, "
							"%bx\nhlt");

static struct vcpu_state real_mode(const struct rig *g, uint16_t cs)
{
	struct vcpu_state st = rig_long_mode(g);

	for (unsigned s = S_ES; s <= S_GS; s++)
		st.s[s] = (struct seg){ 0, 0xffff, 0, 0x93 };
	st.s[S_CS] = (struct seg){ (uint64_t)cs << 4, 0xffff, cs, 0x9b };
	st.cr0 = 0x10;
	st.cr3 = st.cr4 = st.efer = 0;
	st.idt = (struct dtable){ 0, 0x3ff };
	st.rip = 0;
	return st;
}

static void one_program_climbs_from_real_to_long_mode_and_back(void **s)
{
	struct rig *g = rig_new(1);
	struct vcpu_state st = real_mode(g, 0x1000), *r;
	const uint8_t *h;

	PUT_CODE(g, AT_CODE, code_climb);
	/* The 16-bit code segment of the GDT starts where the program lies. */
	*q(g, AT_GDT + 0x38) |= (uint64_t)AT_CODE << 16;
	h = memmem(code_climb, 200, "\x46\xcf", 2); /* inc si; iret */
	assert_non_null(h);
	*(uint32_t *)(g->ram + 4 * 0x21) = (uint32_t)(h - code_climb) | 0x1000u << 16;
	assert_int_equal(g->ops->vcpu_load(g->v[0], &st), 0);
	rig_to_hlt(g);
	r = regs(g);
	assert_int_equal(r->r[R_RBX] & 0xffff, 0xbeef);
	assert_int_equal(r->r[R_RDX] & 0xffff, 0); /* rdmsr's */
	assert_int_equal(r->r[R_RBP], 0x77);
	assert_int_equal(r->r[R_R9], 0x1122334455667788);
	assert_int_equal(r->r[R_R10] & 0x500, 0x500);
	assert_int_equal(r->r[R_RDI] & 0x500, 0x100);
	assert_int_equal(r->r[R_RSI] & 0xffff, 1);
	assert_int_equal(g->ram[0x1fff0], 0x42);
	assert_int_equal(r->cr0 & 0x80000001, 0);
	rig_free(g);
}

GUEST(code_16, ".code16\n"
	       "mov $0xfffe, %sp\nmov $0x55aa, %ax\npush %ax\n" /* wraps in 16 bits */
	       "mov $0xffff, %bx\nmov $0x10, %si\nmov $7, %cx\n"
	       "mov %cl, (%bx,%si)\n"			 /* 16-bit address wraps to 0xf */
	       "mov $0x12345678, %eax\nmov %eax, %edx\n" /* operand-size prefix */
	       "movl $0x11, 0x20000(,%ecx,1)\n"		 /* beyond the limit: #GP */
	       "hlt");

static void sixteen_bit_addresses_wrap_and_limits_hold(void **s)
{
	struct rig *g = rig_new(1);
	struct vcpu_state st = real_mode(g, 0x1000);

	PUT_CODE(g, AT_CODE, code_16);
	st.s[S_SS] = st.s[S_DS] = (struct seg){ 0x20000, 0xffff, 0x2000, 0x93 };
	*(uint32_t *)(g->ram + 4 * 13) = 0x0f000000; /* #GP: 0f00:0000 */
	g->ram[0xf000] = 0xf4;
	assert_int_equal(g->ops->vcpu_load(g->v[0], &st), 0);
	rig_to_hlt(g);
	assert_int_equal(regs(g)->rip, 1);
	assert_int_equal(regs(g)->s[S_CS].sel, 0x0f00);
	assert_int_equal(regs(g)->r[R_RDX], 0x12345678);
	assert_int_equal(g->ram[0x2000f], 7);
	assert_int_equal(g->ram[0x2fffc] | g->ram[0x2fffd] << 8, 0x55aa);
	rig_free(g);
}

GUEST(code_ring32, ".code32\n"
		   "mov $0x50, %eax\nltr %ax\n"
		   "push $0x2b\npush $0x2f000\npush $0x202\npush $0x23\npush $(0x10000 + 1f - "
		   "code_ring32)\niret\n"
		   "1: mov $0x2b, %eax\nmov %eax, %ds\nmov %esp, %ecx\nint $0x80\n"
		   "mov $0x99, %ebx\nint3\n");
GUEST(code_gate32, ".code32\nmov %esp, %edx\nmov %ss, %esi\niret");

static void ring_3_in_32_bit_code_uses_the_32_bit_tss(void **s)
{
	struct rig *g = rig_new(1);
	struct vcpu_state st = rig_long_mode(g);
	uint64_t *idt = q(g, 0x60000);
	uint32_t *tss = (uint32_t *)(g->ram + AT_TSS);

	PUT_CODE(g, AT_CODE, code_ring32);
	PUT_CODE(g, 0x61000, code_gate32);
	memset(g->ram + AT_TSS, 0, 0x68);
	tss[1] = AT_RING0;
	tss[2] = SEL_DATA;
	idt[0x80] = 0x1000 | (uint64_t)SEL_CODE32 << 16 | 0xee00ull << 32 | 0x6ull << 48;
	idt[3] = 0x9000 | (uint64_t)SEL_CODE32 << 16 | 0xee00ull << 32;
	g->ram[0x9000] = 0xf4;
	st.s[S_CS] = (struct seg){ 0, ~0u, SEL_CODE32, 0xc9b };
	st.cr0 = 0x11;
	st.cr4 = st.efer = 0;
	st.idt = (struct dtable){ 0x60000, 0x7ff };
	assert_int_equal(g->ops->vcpu_load(g->v[0], &st), 0);
	rig_to_hlt(g);
	assert_int_equal(regs(g)->rip, 0x9001);
	assert_int_equal(regs(g)->r[R_RBX], 0x99);
	assert_int_equal(regs(g)->r[R_RCX], 0x2f000);
	assert_int_equal(regs(g)->r[R_RDX], AT_RING0 - 20);
	assert_int_equal(regs(g)->r[R_RSI], SEL_DATA);
	assert_int_equal(regs(g)->s[S_CS].sel, SEL_CODE32);
	rig_free(g);
}

GUEST(code_compat, "mov $0x123456789, %rax\npush $0x20\nlea 1f(%rip), %ecx\npush %rcx\n"
		   "pushq $0x2b\npushq $0x2f000\npushq $0x202\npushq $0x23\npush %rcx\niretq\n"
		   ".code32\n1: dec %eax\nmov $0xffffffff, %ebx\ninc %ebx\nadd $4, %eax\nint3\n");

static void ring_3_compatibility_code_runs_under_long_mode(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_compat);
	rig_expect_vector(g, 3);
	assert_int_equal(rig_frame(g)[1], SEL_UCODE32 | 3);
	assert_int_equal(regs(g)->r[R_RAX], 0x2345678c); /* 48 is DEC here, not REX */
	assert_int_equal(regs(g)->r[R_RBX], 0);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_program_climbs_from_real_to_long_mode_and_back),
		cmocka_unit_test(sixteen_bit_addresses_wrap_and_limits_hold),
		cmocka_unit_test(ring_3_in_32_bit_code_uses_the_32_bit_tss),
		cmocka_unit_test(ring_3_compatibility_code_runs_under_long_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
