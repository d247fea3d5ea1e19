/* hv/engine/soft/exec_bits.c - shifts, rotates, bit tests and scans, byte swaps,
 * decimal arithmetic; as in exec_alu.c the host's instructions do the work.
 */
#include "hv/engine/soft/exec.h"

#define SH(name, sfx, T)                                 \
	asm volatile(FL_IN name sfx " %%cl, %[d]" FL_OUT \
		     : "+a"(fl), [d] "+m"(*(T *)p)       \
		     : "c"(count)                        \
		     : "cc", "memory")
#define SH_SIZES(name)                           \
	switch (n) {                             \
	case 1: SH(name, "b", uint8_t); break;   \
	case 2: SH(name, "w", uint16_t); break;  \
	case 4: SH(name, "l", uint32_t); break;  \
	default: SH(name, "q", uint64_t); break; \
	}                                        \
	return fl
#define DEF_SH(id, name)                                                    \
	static uint16_t id(uint16_t fl, void *p, uint8_t count, unsigned n) \
	{                                                                   \
		SH_SIZES(name);                                             \
	}

DEF_SH(sh_rol, "rol")
DEF_SH(sh_ror, "ror")
DEF_SH(sh_rcl, "rcl")
DEF_SH(sh_rcr, "rcr")
DEF_SH(sh_shl, "shl")
DEF_SH(sh_shr, "shr")
DEF_SH(sh_sar, "sar")

void ex_shift(struct vcpu *c, const struct insn *i)
{
	static uint16_t (*const f[8])(uint16_t, void *, uint8_t,
				      unsigned) = { sh_rol, sh_ror, sh_rcl, sh_rcr,
						    sh_shl, sh_shr, sh_shl, sh_sar };
	unsigned n = insn_size(i);
	uint8_t count = i->op < 0xd0 ? (uint8_t)i->imm : i->op & 2 ? (uint8_t)c->st.r[R_RCX] : 1;
	struct rmw m;

	rm_open(c, i, n, &m);
	c->fl = f[i->reg & 7](c->fl, m.p, count, n);
	rm_close(c, i, n, &m);
}

#define SHD(name, sfx, T)                                      \
	asm volatile(FL_IN name sfx " %%cl, %[s], %[d]" FL_OUT \
		     : "+a"(fl), [d] "+m"(*(T *)m.p)           \
		     : "c"(count), [s] "r"((T)src)             \
		     : "cc", "memory")

void ex_shiftd(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize;
	uint8_t count = i->op & 1 ? (uint8_t)c->st.r[R_RCX] : (uint8_t)i->imm;
	bool right = i->op & 8;
	uint64_t src = reg_get(c, i, i->reg, n);
	uint16_t fl = c->fl;
	struct rmw m;

	rm_open(c, i, n, &m);
	if (n == 2 && right)
		SHD("shrd", "w", uint16_t);
	else if (n == 2)
		SHD("shld", "w", uint16_t);
	else if (n == 4 && right)
		SHD("shrd", "l", uint32_t);
	else if (n == 4)
		SHD("shld", "l", uint32_t);
	else if (right)
		SHD("shrd", "q", uint64_t);
	else
		SHD("shld", "q", uint64_t);
	c->fl = fl;
	rm_close(c, i, n, &m);
}

/* k: 0 bt, 1 bts, 2 btr, 3 btc.  Only CF changes (and what the host leaves). */
#define BT(lk, name, sfx, T)                                \
	asm volatile(FL_IN lk name sfx " %[b], %[d]" FL_OUT \
		     : "+a"(fl), [d] "+m"(*(T *)p)          \
		     : [b] "r"((T)bit)                      \
		     : "cc", "memory")
#define BT_SIZES(lk, name)                           \
	do {                                         \
		if (n == 2)                          \
			BT(lk, name, "w", uint16_t); \
		else if (n == 4)                     \
			BT(lk, name, "l", uint32_t); \
		else                                 \
			BT(lk, name, "q", uint64_t); \
	} while (0)

static uint16_t bit_op(unsigned k, bool lock, uint16_t fl, void *p, unsigned bit, unsigned n)
{
	switch (k | lock << 2) {
	case 0:
	case 4: BT_SIZES("", "bt"); break;
	case 1: BT_SIZES("", "bts"); break;
	case 2: BT_SIZES("", "btr"); break;
	case 3: BT_SIZES("", "btc"); break;
	case 5: BT_SIZES("lock; ", "bts"); break;
	case 6: BT_SIZES("lock; ", "btr"); break;
	case 7: BT_SIZES("lock; ", "btc"); break;
	}
	return fl;
}

static void bit_at(struct vcpu *c, const struct insn *i, unsigned k, unsigned n, unsigned bit,
		   uint64_t ea)
{
	uint64_t v;
	struct rmw m;

	if (k == 0) {
		v = i->mod == 3 ? c->st.r[i->rm]
				: mem_read(c, seg_linear(c, i->seg, ea, n, ACC_READ), n);
		c->fl = bit_op(0, false, c->fl, &v, bit, n);
		return;
	}
	if (i->mod == 3) {
		c->fl = bit_op(k, false, c->fl, &c->st.r[i->rm], bit, n);
		if (n == 4)
			c->st.r[i->rm] = (uint32_t)c->st.r[i->rm];
		return;
	}
	rmw_open(c, &m, seg_linear(c, i->seg, ea, n, ACC_WRITE), n, i->lock);
	c->fl = bit_op(k, i->lock, c->fl, m.p, bit, n);
	rmw_close(c, &m);
}

void ex_bt(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize, k = i->op >> 3 & 3;
	int64_t off = (int64_t)sign_size(c->st.r[i->reg], n);
	uint64_t ea = 0;

	if (i->mod != 3) { /* the bit may lie far from the operand */
		ea = insn_ea(c, i) + (uint64_t)((off >> (n == 2 ? 4 : n == 4 ? 5 : 6)) * (int)n);
		ea = mask_size(ea, i->adsize);
	}
	bit_at(c, i, k, n, (unsigned)off & (8 * n - 1), ea);
}

void ex_bt_imm(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize;

	if ((i->reg & 7) < 4)
		cpu_ud(c);
	bit_at(c, i, i->reg & 3, n, (unsigned)i->imm & (8 * n - 1),
	       i->mod == 3 ? 0 : insn_ea(c, i));
}

#define SCAN(name)                                            \
	do {                                                  \
		if (n == 2)                                   \
			asm(FL_IN name " %w[s], %w[d]" FL_OUT \
			    : "+a"(fl), [d] "+r"(d)           \
			    : [s] "r"(s)                      \
			    : "cc");                          \
		else if (n == 4)                              \
			asm(FL_IN name " %k[s], %k[d]" FL_OUT \
			    : "+a"(fl), [d] "+r"(d)           \
			    : [s] "r"(s)                      \
			    : "cc");                          \
		else                                          \
			asm(FL_IN name " %[s], %[d]" FL_OUT   \
			    : "+a"(fl), [d] "+r"(d)           \
			    : [s] "r"(s)                      \
			    : "cc");                          \
	} while (0)

/* A zero source leaves the destination as it was, whole. */
void ex_bsf(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize;
	uint64_t s = rm_get(c, i, n), d = c->st.r[i->reg];
	uint16_t fl = c->fl;

	if (i->op & 1)
		SCAN("bsr");
	else
		SCAN("bsf");
	c->fl = fl;
	c->st.r[i->reg] = d;
}

void ex_popcnt(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize;
	uint64_t s, v = 0;

	if (i->rep != 0xf3)
		cpu_ud(c);
	s = rm_get(c, i, n);
	for (; s; s &= s - 1)
		v++;
	c->fl = v ? 0 : 0x4000;
	reg_set(c, i, i->reg, n, v);
}

void ex_bswap(struct vcpu *c, const struct insn *i)
{
	uint64_t *r = &c->st.r[i->rm];

	if (i->opsize == 8)
		*r = __builtin_bswap64(*r);
	else if (i->opsize == 4)
		*r = __builtin_bswap32((uint32_t)*r);
	else
		*r &= ~0xffffull; /* undefined; hardware clears it */
}

static uint32_t crc32c(uint32_t crc, uint64_t v, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		crc ^= (uint8_t)(v >> (8 * k));
		for (unsigned b = 0; b < 8; b++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

/* 0F38 F0/F1: movbe, or crc32 under F2. */
void ex_movbe_crc(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize;
	uint64_t v;

	if (i->rep == 0xf2) {
		n = i->op & 1 ? n : 1;
		v = rm_get(c, i, n);
		c->st.r[i->reg] = crc32c((uint32_t)c->st.r[i->reg], v, n);
		return;
	}
	if (i->rep)
		cpu_ud(c);
	need_mem(c, i);
	v = i->op & 1 ? reg_get(c, i, i->reg, n) : rm_get(c, i, n);
	v = __builtin_bswap64(v) >> (64 - 8 * n);
	if (i->op & 1)
		rm_set(c, i, n, v);
	else
		reg_set(c, i, i->reg, n, v);
}

/* adcx (66), adox (F3): add with CF or OF alone. */
void ex_adx(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->opsize == 8 ? 8 : 4;
	uint16_t bit = i->rep == 0xf3 ? 1 : 0x100;
	unsigned __int128 s;

	if (i->rep != 0xf3 && !i->p66)
		cpu_ud(c);
	s = rm_get(c, i, n);
	s += mask_size(c->st.r[i->reg], n);
	s += !!(c->fl & bit);
	c->fl = (uint16_t)(s >> (8 * n) ? c->fl | bit : c->fl & ~bit);
	reg_set(c, i, i->reg, n, (uint64_t)s);
}

static void flags_of_al(struct vcpu *c, uint8_t al, bool cf, bool af)
{
	uint16_t fl = (uint16_t)((al ? 0 : 0x4000) | (al & 0x80) << 8);

	if (!(__builtin_popcount(al) & 1))
		fl |= 0x400;
	c->fl = (uint16_t)(fl | cf << 8 | af << 12);
}

/* daa 27, das 2f, aaa 37, aas 3f; not in 64-bit mode. */
void ex_bcd(struct vcpu *c, const struct insn *i)
{
	uint16_t ax = (uint16_t)c->st.r[R_RAX];
	uint8_t al = (uint8_t)ax, old = al;
	bool cf = c->fl & 0x100, af = c->fl & 0x1000, low = (al & 15) > 9 || af, c2 = false;

	if (i->op & 0x10) {
		if (low)
			ax = (uint16_t)(i->op & 8 ? ax - 0x106 : ax + 0x106);
		ax &= 0xff0f;
		host_put(&c->st.r[R_RAX], 2, ax);
		flags_of_al(c, (uint8_t)ax, low, low);
		return;
	}
	if (low) {
		c2 = i->op & 8 ? al < 6 : al > 0xf9;
		al = (uint8_t)(i->op & 8 ? al - 6 : al + 6);
	}
	c2 |= cf;
	if (old > 0x99 || cf) {
		al = (uint8_t)(i->op & 8 ? al - 0x60 : al + 0x60);
		c2 = true;
	} else if (!(i->op & 8)) {
		c2 = false;
	}
	host_put(&c->st.r[R_RAX], 1, al);
	flags_of_al(c, al, c2, low);
}

/* aam d4, aad d5 */
void ex_aam(struct vcpu *c, const struct insn *i)
{
	uint8_t al = (uint8_t)c->st.r[R_RAX], ah = (uint8_t)(c->st.r[R_RAX] >> 8),
		b = (uint8_t)i->imm;

	if (i->op & 1) {
		al = (uint8_t)(al + ah * b);
		ah = 0;
	} else {
		if (!b)
			cpu_fault(c, X_DE);
		ah = al / b;
		al = al % b;
	}
	host_put(&c->st.r[R_RAX], 2, (uint64_t)(al | ah << 8));
	flags_of_al(c, al, false, false);
}

void ex_rdrand(struct vcpu *c, const struct insn *i)
{
	uint64_t v;
	uint8_t ok;

	if ((i->reg & 7) == 6)
		asm volatile("rdrand %0; setc %1" : "=r"(v), "=qm"(ok) : : "cc");
	else
		asm volatile("rdseed %0; setc %1" : "=r"(v), "=qm"(ok) : : "cc");
	c->fl = ok ? 0x100 : 0;
	reg_set(c, i, i->rm, i->opsize, ok ? v : 0);
}
