/* hv/engine/soft/exec.c - the tables from opcode to instruction function, and
 * the rules for LOCK.
 */
#include "hv/engine/soft/exec.h"

/* clang-format off */
static const struct exec map_1[256] = {
	[0x00 ... 0x01] = { ex_alu, E_LOCK },
	[0x02 ... 0x03] = { ex_alu, 0 },
	[0x04 ... 0x05] = { ex_alu_acc, 0 },
	[0x08 ... 0x09] = { ex_alu, E_LOCK },
	[0x0a ... 0x0b] = { ex_alu, 0 },
	[0x0c ... 0x0d] = { ex_alu_acc, 0 },
	[0x10 ... 0x11] = { ex_alu, E_LOCK },
	[0x12 ... 0x13] = { ex_alu, 0 },
	[0x14 ... 0x15] = { ex_alu_acc, 0 },
	[0x18 ... 0x19] = { ex_alu, E_LOCK },
	[0x1a ... 0x1b] = { ex_alu, 0 },
	[0x1c ... 0x1d] = { ex_alu_acc, 0 },
	[0x20 ... 0x21] = { ex_alu, E_LOCK },
	[0x22 ... 0x23] = { ex_alu, 0 },
	[0x24 ... 0x25] = { ex_alu_acc, 0 },
	[0x28 ... 0x29] = { ex_alu, E_LOCK },
	[0x2a ... 0x2b] = { ex_alu, 0 },
	[0x2c ... 0x2d] = { ex_alu_acc, 0 },
	[0x30 ... 0x31] = { ex_alu, E_LOCK },
	[0x32 ... 0x33] = { ex_alu, 0 },
	[0x34 ... 0x35] = { ex_alu_acc, 0 },
	[0x38 ... 0x39] = { ex_alu, E_LOCK },
	[0x3a ... 0x3b] = { ex_alu, 0 },
	[0x3c ... 0x3d] = { ex_alu_acc, 0 },
	[0x06] = { ex_push_seg, 0 },
	[0x0e] = { ex_push_seg, 0 },
	[0x16] = { ex_push_seg, 0 },
	[0x1e] = { ex_push_seg, 0 },
	[0x07] = { ex_pop_seg, E_END },
	[0x17] = { ex_pop_seg, E_END },
	[0x1f] = { ex_pop_seg, E_END },
	[0x27] = { ex_bcd, 0 },
	[0x2f] = { ex_bcd, 0 },
	[0x37] = { ex_bcd, 0 },
	[0x3f] = { ex_bcd, 0 },
	[0x40 ... 0x4f] = { ex_incdec_reg, 0 },
	[0x50 ... 0x57] = { ex_push_reg, 0 },
	[0x58 ... 0x5f] = { ex_pop_reg, 0 },
	[0x60] = { ex_pusha, 0 },
	[0x61] = { ex_popa, 0 },
	[0x62] = { ex_bound, 0 },
	[0x63] = { ex_movsxd, 0 },
	[0x68] = { ex_push_imm, 0 },
	[0x69] = { ex_imul_imm, 0 },
	[0x6a] = { ex_push_imm, 0 },
	[0x6b] = { ex_imul_imm, 0 },
	[0x6c ... 0x6d] = { ex_in, E_END },
	[0x6e ... 0x6f] = { ex_out, E_END },
	[0x70 ... 0x7f] = { ex_jcc, E_BR },
	[0x80 ... 0x83] = { ex_alu_imm, E_LOCK },
	[0x84 ... 0x85] = { ex_test, 0 },
	[0x86 ... 0x87] = { ex_xchg, E_LOCK },
	[0x88 ... 0x8b] = { ex_mov, 0 },
	[0x8c] = { ex_mov_sreg, 0 },
	[0x8d] = { ex_lea, 0 },
	[0x8e] = { ex_mov_sreg, E_END },
	[0x8f] = { ex_pop_rm, 0 },
	[0x90 ... 0x97] = { ex_xchg_acc, 0 },
	[0x98] = { ex_cbw, 0 },
	[0x99] = { ex_cwd, 0 },
	[0x9a] = { ex_call_far, E_END },
	[0x9b] = { exec_simd, 0 },
	[0x9c] = { ex_pushf, 0 },
	[0x9d] = { ex_popf, E_END },
	[0x9e] = { ex_sahf, 0 },
	[0x9f] = { ex_lahf, 0 },
	[0xa0 ... 0xa3] = { ex_mov_moffs, 0 },
	[0xa4 ... 0xa7] = { ex_string, 0 },
	[0xa8 ... 0xa9] = { ex_test_acc, 0 },
	[0xaa ... 0xaf] = { ex_string, 0 },
	[0xb0 ... 0xbf] = { ex_mov_reg_imm, 0 },
	[0xc0 ... 0xc1] = { ex_shift, 0 },
	[0xc2 ... 0xc3] = { ex_ret, E_BR },
	[0xc4 ... 0xc5] = { ex_lxs, E_END },
	[0xc6 ... 0xc7] = { ex_mov_imm, 0 },
	[0xc8] = { ex_enter, 0 },
	[0xc9] = { ex_leave, 0 },
	[0xca ... 0xcb] = { ex_retf, E_END },
	[0xcc] = { ex_int3, E_END },
	[0xcd] = { ex_int, E_END },
	[0xce] = { ex_into, E_END },
	[0xcf] = { ex_iret, E_END },
	[0xd0 ... 0xd3] = { ex_shift, 0 },
	[0xd4 ... 0xd5] = { ex_aam, 0 },
	[0xd6] = { ex_salc, 0 },
	[0xd7] = { ex_xlat, 0 },
	[0xd8 ... 0xdf] = { exec_simd, 0 },
	[0xe0 ... 0xe3] = { ex_loop, E_BR },
	[0xe4 ... 0xe5] = { ex_in, E_END },
	[0xe6 ... 0xe7] = { ex_out, E_END },
	[0xe8] = { ex_call, E_BR },
	[0xe9] = { ex_jmp, E_BR },
	[0xea] = { ex_jmp_far, E_END },
	[0xeb] = { ex_jmp, E_BR },
	[0xec ... 0xed] = { ex_in, E_END },
	[0xee ... 0xef] = { ex_out, E_END },
	[0xf1] = { ex_int1, E_END },
	[0xf4] = { ex_hlt, E_END },
	[0xf5] = { ex_flag, 0 },
	[0xf6 ... 0xf7] = { ex_grp3, E_LOCK },
	[0xf8 ... 0xf9] = { ex_flag, 0 },
	[0xfa] = { ex_cli, 0 },
	[0xfb] = { ex_sti, E_END },
	[0xfc ... 0xfd] = { ex_flag, 0 },
	[0xfe] = { ex_grp4, E_LOCK },
	[0xff] = { ex_grp5, E_LOCK | E_BR },
};

static const struct exec map_0f[256] = {
	[0x00] = { ex_grp6, 0 },
	[0x01] = { ex_grp7, E_END },
	[0x02 ... 0x03] = { ex_lar, 0 },
	[0x05] = { ex_syscall, E_END },
	[0x06] = { ex_clts, 0 },
	[0x07] = { ex_sysret, E_END },
	[0x08 ... 0x09] = { ex_wbinvd, 0 },
	[0x0b] = { ex_ud, E_END },
	[0x0d] = { ex_nop_rm, 0 },
	[0x18 ... 0x1f] = { ex_nop_rm, 0 },
	[0x20] = { ex_mov_cr, 0 },
	[0x21] = { ex_mov_dr, 0 },
	[0x22] = { ex_mov_cr, E_END },
	[0x23] = { ex_mov_dr, E_END },
	[0x30] = { ex_wrmsr, E_END },
	[0x31] = { ex_rdtsc, 0 },
	[0x32] = { ex_rdmsr, 0 },
	[0x33] = { ex_rdpmc, 0 },
	[0x34] = { ex_sysenter, E_END },
	[0x35] = { ex_sysexit, E_END },
	[0x40 ... 0x4f] = { ex_cmov, 0 },
	[0x80 ... 0x8f] = { ex_jcc, E_BR },
	[0x90 ... 0x9f] = { ex_setcc, 0 },
	[0xa0] = { ex_push_seg, 0 },
	[0xa1] = { ex_pop_seg, 0 },
	[0xa2] = { ex_cpuid, 0 },
	[0xa3] = { ex_bt, 0 },
	[0xa4 ... 0xa5] = { ex_shiftd, 0 },
	[0xa8] = { ex_push_seg, 0 },
	[0xa9] = { ex_pop_seg, 0 },
	[0xab] = { ex_bt, E_LOCK },
	[0xac ... 0xad] = { ex_shiftd, 0 },
	[0xae] = { ex_grp15, 0 },
	[0xaf] = { ex_imul, 0 },
	[0xb0 ... 0xb1] = { ex_cmpxchg, E_LOCK },
	[0xb2] = { ex_lxs, E_END },
	[0xb3] = { ex_bt, E_LOCK },
	[0xb4 ... 0xb5] = { ex_lxs, 0 },
	[0xb6 ... 0xb7] = { ex_movx, 0 },
	[0xb8] = { ex_popcnt, 0 },
	[0xb9] = { ex_ud, E_END },
	[0xba] = { ex_bt_imm, E_LOCK },
	[0xbb] = { ex_bt, E_LOCK },
	[0xbc ... 0xbd] = { ex_bsf, 0 },
	[0xbe ... 0xbf] = { ex_movx, 0 },
	[0xc0 ... 0xc1] = { ex_xadd, E_LOCK },
	[0xc3] = { ex_movnti, 0 },
	[0xc7] = { ex_cmpxchg8b, E_LOCK },
	[0xc8 ... 0xcf] = { ex_bswap, 0 },
	[0xff] = { ex_ud, E_END },
};
/* clang-format on */

static const struct exec movbe_crc = { ex_movbe_crc, 0 }, adx = { ex_adx, 0 },
			 rdrand = { ex_rdrand, 0 }, simd = { exec_simd, 0 };

/* 0F38: only a few are integer instructions. */
static const struct exec *find_0f38(const struct insn *i)
{
	if (i->op == 0xf0 || i->op == 0xf1)
		return &movbe_crc;
	if (i->op == 0xf6 && (i->p66 || i->rep == 0xf3))
		return &adx;
	return &simd;
}

const struct exec *exec_find(const struct insn *i)
{
	const struct exec *e;

	switch (i->map) {
	case MAP_1: e = &map_1[i->op]; break;
	case MAP_0F: e = &map_0f[i->op]; break;
	case MAP_0F38: return find_0f38(i);
	default: return &simd;
	}
	if (i->map == MAP_0F && i->op == 0xc7 && (i->mod == 3 || (i->reg & 7) != 1))
		return i->mod == 3 && (i->reg & 7) >= 6 && !i->rep ? &rdrand : NULL;
	return e->fn ? e : i->map == MAP_0F ? &simd : NULL;
}

/* LOCK belongs to instructions that read, change and write memory. */
bool exec_lock_ok(const struct insn *i)
{
	const struct exec *e = exec_find(i);
	unsigned k = i->reg & 7;

	if (!e || !(e->flags & E_LOCK) || i->mod == 3)
		return false;
	if (i->map == MAP_0F)
		return i->op != 0xba || k > 4;
	switch (i->op) {
	case 0x38:
	case 0x39: return false; /* cmp */
	case 0x80:
	case 0x81:
	case 0x82:
	case 0x83: return k != 7;
	case 0xf6:
	case 0xf7: return k == 2 || k == 3;
	case 0xfe:
	case 0xff: return k < 2;
	default: return true;
	}
}

void exec_one(struct vcpu *c, const struct insn *i)
{
	const struct exec *e = exec_find(i);

	if (unlikely(!e || (i->lock && !exec_lock_ok(i))))
		cpu_ud(c);
	e->fn(c, i);
}
