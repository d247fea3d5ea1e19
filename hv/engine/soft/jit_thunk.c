/* hv/engine/soft/jit_thunk.c - the doors between C and translated code.
 *
 * enter   C -> code: saves the host's callee-saved registers, loads the guest's
 * leave   code -> C: r10 = guest rip, r11d = why; stores the guest's registers
 * fill    called by a TLB miss: r10 = address, r11d = size | write; returns to
 *         its caller when the entry is there, 5 bytes further on when not
 */
#include "hv/engine/soft/jit_int.h"

#include <errno.h>

const uint8_t jit_map[16] = { H_RAX, H_RCX,   H_RDX,   H_RBX,	H_R9,  H_RBP, H_RSI, H_RDI,
			      H_R8,  E_NOREG, E_NOREG, E_NOREG, H_R12, H_R13, H_R14, H_R15 };

static const uint8_t host_saved[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };
/* What a C function may clobber of the registers that hold guest ones. */
static const uint8_t fill_saved[] = { H_RAX, H_RCX, H_RDX, H_RSI, H_RDI, H_R8, H_R9, H_R10 };
#define XMM_BYTES 256

#define COFF_R	 ((int32_t)offsetof(struct vcpu, st.r))
#define COFF_RIP ((int32_t)offsetof(struct vcpu, st.rip))
#define COFF_FL	 ((int32_t)offsetof(struct vcpu, fl))
#define COFF_FX	 ((int32_t)offsetof(struct vcpu, st.fx))
#define FX_MXCSR 24
#define FX_XMM	 160

static void push(struct code_buf *e, unsigned r)
{
	if (r >= 8)
		e_u8(e, 0x41);
	e_u8(e, (uint8_t)(0x50 | (r & 7)));
}

static void pop(struct code_buf *e, unsigned r)
{
	if (r >= 8)
		e_u8(e, 0x41);
	e_u8(e, (uint8_t)(0x58 | (r & 7)));
}

/* [rex] op reg, [r11 + disp32] */
static void op_r11(struct code_buf *e, uint8_t rex, uint8_t op, unsigned reg, int32_t disp)
{
	e_u8(e, (uint8_t)(rex | 0x41 | (reg >= 8 ? 4 : 0)));
	e_u8(e, op);
	e_u8(e, (uint8_t)(0x83 | (reg & 7) << 3));
	e_u32(e, (uint32_t)disp);
}

/* movups xmm, [base + disp32] (0x10) or the other way (0x11); base r11 or rsp */
static void movups(struct code_buf *e, uint8_t op, unsigned xmm, bool sp, int32_t disp)
{
	uint8_t rex = (uint8_t)(0x40 | (xmm >= 8 ? 4 : 0) | (sp ? 0 : 1));

	if (rex != 0x40)
		e_u8(e, rex);
	e_u8(e, 0x0f);
	e_u8(e, op);
	if (sp) {
		e_u8(e, (uint8_t)(0x84 | (xmm & 7) << 3));
		e_u8(e, 0x24);
	} else {
		e_u8(e, (uint8_t)(0x83 | (xmm & 7) << 3));
	}
	e_u32(e, (uint32_t)disp);
}

/* ldmxcsr (2) / stmxcsr (3) [r11 + disp] */
static void mxcsr_r11(struct code_buf *e, unsigned ext, int32_t disp)
{
	e_u8(e, 0x41);
	e_u8(e, 0x0f);
	e_u8(e, 0xae);
	e_u8(e, (uint8_t)(0x83 | ext << 3));
	e_u32(e, (uint32_t)disp);
}

static void make_enter(struct jit *j, struct code_buf *e)
{
	union {
		const uint8_t *p;
		unsigned (*f)(struct jit *, const uint8_t *);
	} u = { .p = e_exec(e, e_here(e)) };

	j->enter = u.f;
	for (unsigned i = 0; i < sizeof(host_saved); i++)
		push(e, host_saved[i]);
	e_mov_rr(e, H_R10, H_RSI);
	/* mov [rdi + host_rsp], rsp; lea rsp, [rdi + base] */
	e_bytes(e, (uint8_t[]){ 0x48, 0x89, 0xa7 }, 3);
	e_u32(e, (uint32_t)offsetof(struct jit, host_rsp));
	e_bytes(e, (uint8_t[]){ 0x48, 0x8d, 0xa7 }, 3);
	e_u32(e, (uint32_t)offsetof(struct jit, base));
	/* stmxcsr [rsp + host_mxcsr] */
	e_bytes(e, (uint8_t[]){ 0x0f, 0xae }, 2);
	e_modrm_sp(e, 3, JOFF(host_mxcsr));
	e_load_sp(e, H_R11, JOFF(c));
	mxcsr_r11(e, 2, COFF_FX + FX_MXCSR);
	for (unsigned x = 0; x < 16; x++)
		movups(e, 0x10, x, false, COFF_FX + FX_XMM + 16 * (int32_t)x);
	for (unsigned r = 9; r <= 11; r++) {
		op_r11(e, 0x48, 0x8b, H_RAX, COFF_R + 8 * (int32_t)r);
		e_store_sp(e, jit_mr(r), H_RAX);
	}
	for (unsigned r = 0; r < 16; r++)
		if (jit_map[r] != E_NOREG)
			op_r11(e, 0x48, 0x8b, jit_map[r], COFF_R + 8 * (int32_t)r);
	e_bytes(e, (uint8_t[]){ 0x41, 0xff, 0xe2 }, 3); /* jmp r10 */
}

static void make_leave(struct jit *j, struct code_buf *e)
{
	j->leave_host = e_exec(e, e_here(e));
	e_store_sp(e, JOFF(t0), H_RAX);
	e_bytes(e, (uint8_t[]){ 0x9f, 0x0f, 0x90, 0xc0 }, 4); /* lahf; seto al */
	e_op_sp(e, false, 0x89, H_RAX, JOFF(fl));
	e_load_sp(e, H_RAX, JOFF(t0));

	j->leave_mem = e_exec(e, e_here(e));
	e_store_sp(e, JOFF(reason), H_R11);
	e_load_sp(e, H_R11, JOFF(c));
	op_r11(e, 0x48, 0x89, H_R10, COFF_RIP);
	for (unsigned r = 0; r < 16; r++)
		if (jit_map[r] != E_NOREG)
			op_r11(e, 0x48, 0x89, jit_map[r], COFF_R + 8 * (int32_t)r);
	for (unsigned r = 9; r <= 11; r++) {
		e_load_sp(e, H_RAX, jit_mr(r));
		op_r11(e, 0x48, 0x89, H_RAX, COFF_R + 8 * (int32_t)r);
	}
	e_op_sp(e, false, 0x8b, H_RAX, JOFF(fl));
	e_u8(e, 0x66);
	op_r11(e, 0x40, 0x89, H_RAX, COFF_FL);
	for (unsigned x = 0; x < 16; x++)
		movups(e, 0x11, x, false, COFF_FX + FX_XMM + 16 * (int32_t)x);
	mxcsr_r11(e, 3, COFF_FX + FX_MXCSR);
	e_bytes(e, (uint8_t[]){ 0x0f, 0xae }, 2);
	e_modrm_sp(e, 2, JOFF(host_mxcsr));
	e_op_sp(e, false, 0x8b, H_RAX, JOFF(reason));
	e_load_sp(e, H_RSP, JOFF(host_rsp));
	for (unsigned i = sizeof(host_saved); i-- > 0;)
		pop(e, host_saved[i]);
	e_u8(e, 0xc3);
}

static void make_fill(struct jit *j, struct code_buf *e)
{
	/* Pushed: the return address and 8 registers; 8 more to align by 16. */
	const int32_t frame = XMM_BYTES + 8;
	const int32_t to_base = frame + 8 * (int32_t)sizeof(fill_saved) + 8;

	j->fill = e_exec(e, e_here(e));
	for (unsigned i = 0; i < sizeof(fill_saved); i++)
		push(e, fill_saved[i]);
	e_lea(e, true, H_RSP, H_RSP, E_NOREG, 0, -frame);
	for (unsigned x = 0; x < 16; x++)
		movups(e, 0x11, x, true, 16 * (int32_t)x);
	e_lea(e, true, H_RDI, H_RSP, E_NOREG, 0, to_base - (int32_t)offsetof(struct jit, base));
	e_mov_rr(e, H_RSI, H_R10);
	e_bytes(e, (uint8_t[]){ 0x44, 0x89, 0xda }, 3); /* mov edx, r11d */
	e_mov_imm(e, H_RAX, (uint64_t)(uintptr_t)jit_fill);
	e_bytes(e, (uint8_t[]){ 0xff, 0xd0, 0x85, 0xc0 }, 4); /* call rax; test eax, eax */
	for (unsigned x = 0; x < 16; x++)
		movups(e, 0x10, x, true, 16 * (int32_t)x);
	e_lea(e, true, H_RSP, H_RSP, E_NOREG, 0, frame);
	for (unsigned i = sizeof(fill_saved); i-- > 0;)
		pop(e, fill_saved[i]);
	e_bytes(e, (uint8_t[]){ 0x74, 0x01, 0xc3 }, 3); /* jz +1; ret */
	/* add qword [rsp], 5; ret */
	e_bytes(e, (uint8_t[]){ 0x48, 0x83, 0x04, 0x24, 0x05, 0xc3 }, 6);
}

int jit_make_thunks(struct jit *j)
{
	struct code_buf *e = &j->em;

	make_enter(j, e);
	make_leave(j, e);
	make_fill(j, e);
	j->thunk_end = e_here(e);
	return e->full ? -ENOSPC : 0;
}
