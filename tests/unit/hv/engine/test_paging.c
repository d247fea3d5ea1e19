/* tests/unit/hv/engine/test_paging.c - the soft engine's MMU by small programs:
 * permissions and error codes, accessed and dirty bits, page sizes, the TLB.
 */
#include "tests/unit/hv/engine/rig.h"

#define VA   0x40000u /* the page under test */
#define P_NX (1ull << 63)

GUEST(code_read, "mov 0x40010, %eax\nhlt");
GUEST(code_write, "mov %eax, 0x40010\nhlt");
GUEST(code_jump, "jmp *%rbx");
GUEST(code_user_read, "mov 0x40010, %eax\nint3");
GUEST(code_user_write, "mov %eax, 0x40010\nint3");
GUEST(code_user_jump, "jmp *%rbx");

static void to_user(struct rig *g)
{
	struct vcpu_state *st = regs(g);

	st->s[S_CS] = (struct seg){ 0, ~0u, SEL_UCODE64 | 3, 0xafb };
	st->s[S_SS] = (struct seg){ 0, ~0u, SEL_UDATA | 3, 0xcf3 };
}

enum { K_READ, K_WRITE, K_EXEC };
static void access_page(uint64_t entry, int kind, bool user, uint64_t cr4, uint64_t cr0, bool ac,
			int err)
{
	struct rig *g = rig_new(1);
	struct vcpu_state st = rig_long_mode(g);

	if (user) {
		if (kind == K_READ)
			PUT_CODE(g, AT_CODE, code_user_read);
		else if (kind == K_WRITE)
			PUT_CODE(g, AT_CODE, code_user_write);
		else
			PUT_CODE(g, AT_CODE, code_user_jump);
	} else {
		if (kind == K_READ)
			PUT_CODE(g, AT_CODE, code_read);
		else if (kind == K_WRITE)
			PUT_CODE(g, AT_CODE, code_write);
		else
			PUT_CODE(g, AT_CODE, code_jump);
	}
	g->ram[VA + 0x10] = user ? 0xcc : 0xf4; /* what the jump finds */
	*pte(g, VA) = entry;
	/* Supervisor code must not lie in a user page under SMEP. */
	*pte(g, AT_CODE) = AT_CODE | (user ? 7 : 3);
	*pte(g, AT_HANDLER) = AT_HANDLER | 3;
	*pte(g, AT_IDT) = AT_IDT | 3;
	*pte(g, AT_GDT) = AT_GDT | 3; /* implicit accesses are under SMAP, too */
	*pte(g, AT_TSS) = AT_TSS | 3;
	*pte(g, AT_RING0 - 1) = (AT_RING0 - 0x1000) | 3;
	*pte(g, AT_STACK - 1) = (AT_STACK - 0x1000) | (user ? 7 : 3);
	st.cr4 |= cr4;
	st.cr0 = cr0 ? cr0 : st.cr0;
	st.r[R_RBX] = VA + 0x10;
	if (ac)
		st.rflags |= 1u << 18;
	assert_int_equal(g->ops->vcpu_load(g->v[0], &st), 0);
	if (user)
		to_user(g);
	rig_to_hlt(g);
	if (err < 0) {
		if (regs(g)->rip == HANDLER(14) + 1)
			fail_msg("#PF %lx on entry %lx kind %d", (long)rig_frame(g)[0], (long)entry,
				 kind);
		assert_int_equal(*pte(g, VA) & 0x60, kind == K_WRITE ? 0x60 : 0x20);
	} else {
		assert_int_equal(regs(g)->rip, HANDLER(14) + 1);
		assert_int_equal(rig_frame(g)[0], err);
		assert_int_equal(regs(g)->cr2, VA + 0x10);
		assert_int_equal(rig_frame(g)[1], kind == K_EXEC ? VA + 0x10 : AT_CODE);
		assert_int_equal(*pte(g, VA) & 0x40, entry & 0x40);
	}
	rig_free(g);
}

#define SMEP  (1u << 20)
#define SMAP  (1u << 21)
#define NO_WP 0x80000033u

static void supervisor_rights_and_error_codes(void **s)
{
	access_page(VA | 3, K_READ, false, 0, 0, false, -1);
	access_page(VA | 3, K_WRITE, false, 0, 0, false, -1);
	access_page(VA | 3, K_EXEC, false, 0, 0, false, -1);
	access_page(VA | 2, K_READ, false, 0, 0, false, 0);
	access_page(VA | 2, K_WRITE, false, 0, 0, false, 2);
	access_page(VA | 2, K_EXEC, false, 0, 0, false, 0x10);
	access_page(VA | 1, K_WRITE, false, 0, 0, false, 3);
	access_page(VA | 1, K_WRITE, false, 0, NO_WP, false, -1);
	access_page(VA | 3 | P_NX, K_EXEC, false, 0, 0, false, 0x11);
	access_page(VA | 3 | P_NX, K_READ, false, 0, 0, false, -1);
}

static void user_rights_and_error_codes(void **s)
{
	access_page(VA | 7, K_READ, true, 0, 0, false, -1);
	access_page(VA | 7, K_WRITE, true, 0, 0, false, -1);
	access_page(VA | 7, K_EXEC, true, 0, 0, false, -1);
	access_page(VA | 3, K_READ, true, 0, 0, false, 5);
	access_page(VA | 3, K_WRITE, true, 0, 0, false, 7);
	access_page(VA | 5, K_WRITE, true, 0, 0, false, 7);
	access_page(VA | 5, K_WRITE, true, 0, NO_WP, false, 7);
	access_page(VA | 6, K_READ, true, 0, 0, false, 4);
	access_page(VA | 7 | P_NX, K_EXEC, true, 0, 0, false, 0x15);
	access_page(VA | 3, K_EXEC, true, 0, 0, false, 0x15);
}

static void reserved_bits_fault_as_such(void **s)
{
	access_page(VA | 3 | 1ull << 51, K_READ, false, 0, 0, false, 9);
	access_page(VA | 7 | 1ull << 45, K_WRITE, true, 0, 0, false, 0xf);
}

static void smep_and_smap_guard_user_pages(void **s)
{
	access_page(VA | 7, K_EXEC, false, SMEP, 0, false, 0x11);
	access_page(VA | 3, K_EXEC, false, SMEP, 0, false, -1);
	access_page(VA | 7, K_READ, false, SMEP, 0, false, -1);
	access_page(VA | 7, K_READ, false, SMAP, 0, false, 1);
	access_page(VA | 7, K_WRITE, false, SMAP, 0, false, 3);
	access_page(VA | 7, K_READ, false, SMAP, 0, true, -1);
	access_page(VA | 3, K_READ, false, SMAP, 0, false, -1);
	access_page(VA | 7, K_READ, true, SMAP, 0, false, -1);
}

GUEST(code_stac, "mov 0x40010, %eax\nstac\nmov 0x40010, %ebx\nclac\nmov 0x40010, %ecx\nhlt");

static void stac_and_clac_take_effect_at_once(void **s)
{
	struct rig *g = rig_new(1);
	struct vcpu_state st = rig_long_mode(g);

	PUT_CODE(g, AT_CODE, code_stac);
	for (uint64_t va = 0; va < 0x200000; va += 0x1000)
		*pte(g, va) &= ~4ull;
	*pte(g, VA) |= 4;
	st.cr4 |= SMAP;
	st.rip = AT_CODE + 7; /* from stac on */
	*q(g, VA + 0x10) = 0x1234;
	assert_int_equal(g->ops->vcpu_load(g->v[0], &st), 0);
	rig_expect_vector(g, 14);
	assert_int_equal(regs(g)->r[R_RBX], 0x1234);
	assert_int_equal(rig_frame(g)[0], 1);
	rig_free(g);
}

GUEST(code_large, "mov 0x212345, %eax\nmov %rbx, 0x3ffff8\nmov 0x40000000, %rcx\nhlt");

static void large_pages_translate_and_take_dirty_bits(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_large);
	memset(g->ram + 0x212345, 0x5a, 4);
	q(g, AT_PDPT)[1] = 0 | 0x83; /* 1 GiB page at 1 GiB onto 0 */
	*q(g, 0) = 0xfeedface;
	regs(g)->r[R_RBX] = 77;
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RAX], 0x5a5a5a5a);
	assert_int_equal(*q(g, 0x3ffff8), 77);
	assert_int_equal(regs(g)->r[R_RCX], 0xfeedface);
	assert_int_equal(q(g, AT_PD)[1], 0x200000 | 0x87 | 0x60);
	assert_int_equal(q(g, AT_PDPT)[1], 0x83 | 0x20);
	assert_int_equal(q(g, AT_PDPT)[0], AT_PD | 7 | 0x20);
	rig_free(g);
}

GUEST(code_invlpg, "mov 0x40000, %eax\n"
		   "movq $0x41003, 0x7200\n" /* the PTE of 0x40000 */
		   "invlpg 0x40000\n"
		   "mov 0x40000, %ebx\n"
		   "movq $0x42003, 0x7200\n"
		   "mov %cr3, %rcx\nmov %rcx, %cr3\n"
		   "mov 0x40000, %ecx\n"
		   "movl $0x99, 0x40000\nhlt");

static void new_translations_show_after_invlpg_and_cr3(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_invlpg);
	*q(g, 0x40000) = 1;
	*q(g, 0x41000) = 2;
	*q(g, 0x42000) = 3;
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RAX], 1);
	assert_int_equal(regs(g)->r[R_RBX], 2);
	assert_int_equal(regs(g)->r[R_RCX], 3);
	assert_int_equal(*q(g, 0x42000), 0x99);
	rig_free(g);
}

GUEST(code_global, "mov 0x40000, %eax\nmovq $0x41103, 0x7200\n"
		   "mov %cr3, %rcx\nmov %rcx, %cr3\nmov 0x40000, %ebx\n"
		   "mov %cr4, %rcx\nand $~0x80, %rcx\nmov %rcx, %cr4\nmov 0x40000, %ecx\nhlt");

static void global_pages_survive_cr3_but_not_pge(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_global);
	regs(g)->cr4 |= 0x80;
	*pte(g, VA) |= 0x100;
	*q(g, 0x40000) = 1;
	*q(g, 0x41000) = 2;
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RAX], 1);
	assert_int_equal(regs(g)->r[R_RBX], 1);
	assert_int_equal(regs(g)->r[R_RCX], 2);
	rig_free(g);
}

GUEST(code_invlpg_large, "mov 0x200000, %eax\nmov 0x3ff000, %eax\n"
			 "movq $0x40087, 0x6008\nandq $~0x40000, 0x6008\n"
			 "movq $0x87, 0x6008\ninvlpg 0x300000\n"
			 "mov 0x200000, %ebx\nmov 0x3ff000, %ecx\nhlt");

static void invlpg_drops_a_whole_large_page(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_invlpg_large);
	*q(g, 0x200000) = 1;
	*q(g, 0) = 11;
	*q(g, 0x1ff000) = 12;
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RBX], 11);
	assert_int_equal(regs(g)->r[R_RCX], 12);
	rig_free(g);
}

GUEST(code_cross, "mov 0x40ffc, %rax\nmov %rax, 0x42ffd\nmov 0x41ffe, %ebx\nhlt");

static void accesses_across_pages_go_to_both(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_cross);
	*pte(g, 0x41000) = 0x50007; /* not contiguous in guest-physical memory */
	*pte(g, 0x43000) = 0x52007;
	memcpy(g->ram + 0x40ffc, "abcd", 4);
	memcpy(g->ram + 0x50000, "efgh", 4);
	rig_expect_end(g);
	assert_memory_equal(&regs(g)->r[R_RAX], "abcdefgh", 8);
	assert_memory_equal(g->ram + 0x42ffd, "abc", 3);
	assert_memory_equal(g->ram + 0x52000, "defgh", 5);
	rig_free(g);
}

GUEST(code_cross_fault, "mov %rax, 0x40ffc\nhlt");

static void a_store_across_pages_is_whole_or_not_at_all(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_cross_fault);
	regs(g)->r[R_RAX] = ~0ull;
	*pte(g, 0x41000) = 0;
	rig_expect_vector(g, 14);
	assert_int_equal(regs(g)->cr2, 0x41000);
	assert_int_equal(rig_frame(g)[0], 2);
	assert_int_equal(*q(g, 0x40ff8), 0);
	rig_free(g);
}

GUEST(code_32, ".code32\nmov 0x400010, %eax\nmov %eax, 0x403ffe\nmov 0x800000, %ebx\nhlt");

static struct vcpu_state state_32(const struct rig *g)
{
	struct vcpu_state st = rig_long_mode(g);

	st.s[S_CS] = (struct seg){ 0, ~0u, SEL_CODE32, 0xc9b };
	st.efer = 0;
	return st;
}

static void legacy_paging_has_4_kib_and_4_mib_pages(void **s)
{
	struct rig *g = rig_new(1);
	struct vcpu_state st = state_32(g);
	uint32_t *pd = (uint32_t *)(g->ram + 0x60000), *pt = (uint32_t *)(g->ram + 0x61000);

	st.cr4 = 0x10;
	st.cr3 = 0x60000;
	pd[0] = 0x83;	     /* 4 MiB onto itself */
	pd[1] = 0x61000 | 3; /* 0x400000: by a table */
	pd[2] = 0x83;	     /* 0x800000: 4 MiB at 0 */
	pt[0] = 0x62000 | 3;
	pt[3] = 0x63000 | 3;
	pt[4] = 0x65000 | 3;
	*q(g, 0x62010) = 0x11223344;
	*q(g, 0) = 0x55;
	PUT_CODE(g, AT_CODE, code_32);
	assert_int_equal(g->ops->vcpu_load(g->v[0], &st), 0);
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RBX], 0x55);
	assert_int_equal(g->ram[0x63ffe] | g->ram[0x63fff] << 8, 0x3344);
	assert_int_equal(g->ram[0x65000] | g->ram[0x65001] << 8, 0x1122);
	assert_int_equal(pt[3], 0x63000 | 3 | 0x60);
	assert_int_equal(pd[0], 0x83 | 0x20);
	rig_free(g);
}

static void pae_paging_has_three_levels(void **s)
{
	struct rig *g = rig_new(1);
	struct vcpu_state st = state_32(g);

	st.cr4 = 0x20;
	st.cr3 = 0x60020; /* 32-byte aligned */
	*q(g, 0x60020) = 0x61000 | 1;
	q(g, 0x61000)[0] = 0x83; /* 2 MiB onto itself */
	q(g, 0x61000)[2] = 0x62000 | 3;
	q(g, 0x61000)[4] = 0x83;
	q(g, 0x62000)[0] = 0x63000 | 3;
	q(g, 0x62000)[3] = 0x64000 | 3;
	q(g, 0x62000)[4] = 0x66000 | 3;
	*q(g, 0x63010) = 0x11223344;
	*q(g, 0) = 0x66;
	PUT_CODE(g, AT_CODE, code_32);
	assert_int_equal(g->ops->vcpu_load(g->v[0], &st), 0);
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RBX], 0x66);
	assert_int_equal(g->ram[0x64ffe] | g->ram[0x64fff] << 8, 0x3344);
	assert_int_equal(g->ram[0x66000] | g->ram[0x66001] << 8, 0x1122);
	rig_free(g);
}

static void guest_virtual_copies_honour_the_tables(void **s)
{
	struct rig *g = rig_new(1);
	char buf[8] = "";

	*pte(g, 0x41000) = 0x50003;
	memcpy(g->ram + 0x40ffc, "abcd", 4);
	memcpy(g->ram + 0x50000, "efgh", 4);
	assert_int_equal(g->ops->vcpu_read_virt(g->v[0], 0x40ffc, buf, 8), 0);
	assert_memory_equal(buf, "abcdefgh", 8);
	assert_int_equal(g->ops->vcpu_write_virt(g->v[0], 0x40ffe, "xyzw", 4), 0);
	assert_memory_equal(g->ram + 0x50000, "zwgh", 4);
	*pte(g, 0x41000) = 0;
	g->ops->vm_flush(g->vm, g->v[0]);
	assert_int_equal(g->ops->vcpu_read_virt(g->v[0], 0x40ffc, buf, 8), -14);
	*pte(g, 0x41000) = 0x50001;
	assert_int_equal(g->ops->vcpu_write_virt(g->v[0], 0x41000, buf, 8), -14);
	assert_int_equal(g->ops->vcpu_read_virt(g->v[0], 0x800000000000ull, buf, 8), -14);
	rig_free(g);
}

static void a_p2m_change_shows_after_a_flush(void **s)
{
	struct rig *g = rig_new(1);
	static uint8_t page[4096] __attribute__((aligned(4096)));

	PUT_CODE(g, AT_CODE, code_read);
	*q(g, VA + 0x10) = 1;
	*(uint32_t *)(page + 0x10) = 2;
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RAX], 1);
	assert_int_equal(p2m_overlay(g->p2m, VA >> 12, page, 0), 0);
	g->ops->vm_flush(g->vm, NULL);
	regs(g)->rip = AT_CODE;
	rig_expect_end(g);
	assert_int_equal(regs(g)->r[R_RAX], 2);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(supervisor_rights_and_error_codes),
		cmocka_unit_test(user_rights_and_error_codes),
		cmocka_unit_test(reserved_bits_fault_as_such),
		cmocka_unit_test(smep_and_smap_guard_user_pages),
		cmocka_unit_test(stac_and_clac_take_effect_at_once),
		cmocka_unit_test(large_pages_translate_and_take_dirty_bits),
		cmocka_unit_test(new_translations_show_after_invlpg_and_cr3),
		cmocka_unit_test(global_pages_survive_cr3_but_not_pge),
		cmocka_unit_test(invlpg_drops_a_whole_large_page),
		cmocka_unit_test(accesses_across_pages_go_to_both),
		cmocka_unit_test(a_store_across_pages_is_whole_or_not_at_all),
		cmocka_unit_test(legacy_paging_has_4_kib_and_4_mib_pages),
		cmocka_unit_test(pae_paging_has_three_levels),
		cmocka_unit_test(guest_virtual_copies_honour_the_tables),
		cmocka_unit_test(a_p2m_change_shows_after_a_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
