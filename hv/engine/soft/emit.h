/* hv/engine/soft/emit.h - writes x86-64 machine code into a buffer.
 *
 * Only what the translator needs.  Host register numbers are the hardware's.
 * Running out of room latches ->full and drops the rest, so a translation runs
 * straight through and checks once at the end.  Knows nothing of guests.
 */
#ifndef HV_ENGINE_SOFT_EMIT_H
#define HV_ENGINE_SOFT_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	H_RAX,
	H_RCX,
	H_RDX,
	H_RBX,
	H_RSP,
	H_RBP,
	H_RSI,
	H_RDI,
	H_R8,
	H_R9,
	H_R10,
	H_R11,
	H_R12,
	H_R13,
	H_R14,
	H_R15
};

struct code_buf {
	uint8_t *w;	    /* where bytes are written (the writable view) */
	uint8_t *end;	    /* one past the room */
	intptr_t exec_bias; /* add to a write address to get the executable one */
	bool full;
};

static inline void e_u8(struct code_buf *e, uint8_t v)
{
	if (e->w >= e->end) {
		e->full = true;
		return;
	}
	*e->w++ = v;
}

static inline void e_bytes(struct code_buf *e, const void *p, size_t n)
{
	if ((size_t)(e->end - e->w) < n) {
		e->full = true;
		e->end = e->w;
		return;
	}
	memcpy(e->w, p, n);
	e->w += n;
}

static inline void e_u32(struct code_buf *e, uint32_t v)
{
	e_bytes(e, &v, 4);
}
static inline void e_u64(struct code_buf *e, uint64_t v)
{
	e_bytes(e, &v, 8);
}

static inline uint8_t *e_here(const struct code_buf *e)
{
	return e->w;
}
static inline const uint8_t *e_exec(const struct code_buf *e, const uint8_t *w)
{
	return w + e->exec_bias;
}

/* ModRM for [rsp + disp] with reg. */
static inline void e_modrm_sp(struct code_buf *e, unsigned reg, int32_t disp)
{
	bool small = disp >= -128 && disp < 128;

	e_u8(e, (uint8_t)((small ? 0x44 : 0x84) | (reg & 7) << 3));
	e_u8(e, 0x24);
	if (small)
		e_u8(e, (uint8_t)disp);
	else
		e_u32(e, (uint32_t)disp);
}

/* op reg, [rsp+disp] / op [rsp+disp], reg; w: 64-bit. */
static inline void e_op_sp(struct code_buf *e, bool w, uint8_t op, unsigned reg, int32_t disp)
{
	uint8_t rex = (uint8_t)(0x40 | (w ? 8 : 0) | (reg >= 8 ? 4 : 0));

	if (rex != 0x40)
		e_u8(e, rex);
	e_u8(e, op);
	e_modrm_sp(e, reg, disp);
}

static inline void e_load_sp(struct code_buf *e, unsigned reg, int32_t disp)
{
	e_op_sp(e, true, 0x8b, reg, disp);
}

static inline void e_store_sp(struct code_buf *e, int32_t disp, unsigned reg)
{
	e_op_sp(e, true, 0x89, reg, disp);
}

/* ModRM for [rsp + idx + disp32] with reg; opcode may be 1 byte. */
static inline void e_op_sp_idx(struct code_buf *e, uint8_t op, unsigned reg, unsigned idx,
			       int32_t disp)
{
	e_u8(e, (uint8_t)(0x48 | (reg >= 8 ? 4 : 0) | (idx >= 8 ? 2 : 0)));
	e_u8(e, op);
	e_u8(e, (uint8_t)(0x84 | (reg & 7) << 3));
	e_u8(e, (uint8_t)((idx & 7) << 3 | 4));
	e_u32(e, (uint32_t)disp);
}

/* mov dst, src (64-bit; touches no flags) */
static inline void e_mov_rr(struct code_buf *e, unsigned dst, unsigned src)
{
	e_u8(e, (uint8_t)(0x48 | (src >= 8 ? 4 : 0) | (dst >= 8 ? 1 : 0)));
	e_u8(e, 0x89);
	e_u8(e, (uint8_t)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

/* The shortest flagless load of a constant. */
static inline void e_mov_imm(struct code_buf *e, unsigned reg, uint64_t v)
{
	if (v <= 0xffffffffu) {
		if (reg >= 8)
			e_u8(e, 0x41);
		e_u8(e, (uint8_t)(0xb8 | (reg & 7)));
		e_u32(e, (uint32_t)v);
	} else if ((int64_t)v == (int32_t)v) {
		e_u8(e, (uint8_t)(0x48 | (reg >= 8 ? 1 : 0)));
		e_u8(e, 0xc7);
		e_u8(e, (uint8_t)(0xc0 | (reg & 7)));
		e_u32(e, (uint32_t)v);
	} else {
		e_u8(e, (uint8_t)(0x48 | (reg >= 8 ? 1 : 0)));
		e_u8(e, (uint8_t)(0xb8 | (reg & 7)));
		e_u64(e, v);
	}
}

/* lea dst, [base + disp] (64-bit); base is not rsp/r12 aware callers use e_lea */
#define E_NOREG 0xffu
static inline void e_lea(struct code_buf *e, bool w64, unsigned dst, unsigned base, unsigned idx,
			 unsigned scale, int32_t disp)
{
	bool sib = idx != E_NOREG || base == E_NOREG || (base & 7) == 4;
	uint8_t rex = (uint8_t)(0x40 | (w64 ? 8 : 0) | (dst >= 8 ? 4 : 0) |
				(idx != E_NOREG && idx >= 8 ? 2 : 0) |
				(base != E_NOREG && base >= 8 ? 1 : 0));
	uint8_t mod;

	if (base == E_NOREG)
		mod = 0;
	else if (disp == 0 && (base & 7) != 5)
		mod = 0;
	else if (disp >= -128 && disp < 128)
		mod = 1;
	else
		mod = 2;
	if (rex != 0x40)
		e_u8(e, rex);
	e_u8(e, 0x8d);
	e_u8(e, (uint8_t)(mod << 6 | (dst & 7) << 3 | (sib ? 4 : (base & 7))));
	if (sib)
		e_u8(e, (uint8_t)(scale << 6 | (idx == E_NOREG ? 4 : idx & 7) << 3 |
				  (base == E_NOREG ? 5 : base & 7)));
	if (base == E_NOREG || mod == 2)
		e_u32(e, (uint32_t)disp);
	else if (mod == 1)
		e_u8(e, (uint8_t)disp);
}

/* jmp/jcc rel32 to an executable address; returns the rel32's write address so
 * that it can be patched later. */
static inline uint8_t *e_jmp(struct code_buf *e, const void *exec_target)
{
	uint8_t *at;

	e_u8(e, 0xe9);
	at = e->w;
	e_u32(e, (uint32_t)((const uint8_t *)exec_target - (e_exec(e, at) + 4)));
	return at;
}

static inline uint8_t *e_jcc(struct code_buf *e, unsigned cc, const void *exec_target)
{
	uint8_t *at;

	e_u8(e, 0x0f);
	e_u8(e, (uint8_t)(0x80 | cc));
	at = e->w;
	e_u32(e, (uint32_t)((const uint8_t *)exec_target - (e_exec(e, at) + 4)));
	return at;
}

/* Point the rel32 at write address `at` to an executable address. */
static inline void e_patch(uint8_t *at, intptr_t exec_bias, const void *exec_target)
{
	int32_t rel = (int32_t)((const uint8_t *)exec_target - (at + exec_bias + 4));

	__atomic_store_n((int32_t *)(void *)at, rel, __ATOMIC_RELAXED);
}

#endif
