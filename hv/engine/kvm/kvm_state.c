/* hv/engine/kvm/kvm_state.c - between KVM's register layouts and state.h's.
 * Source: <linux/kvm.h>, Documentation/virt/kvm/api.rst. */
#include "hv/engine/kvm/kvm_int.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

/* KVM shows the guest an APIC in CPUID only if this says that there is one. */
#define APIC_BASE     0xfee00800u
#define APIC_BASE_BSP 0x100u

/* The engine's own MSRs, one list for both directions. */
#define STATE_MSRS(X)                 \
	X(0xc0000081, star)           \
	X(0xc0000082, lstar)          \
	X(0xc0000083, cstar)          \
	X(0xc0000084, sfmask)         \
	X(0xc0000102, kernel_gs_base) \
	X(0xc0000103, tsc_aux)        \
	X(0x277, pat)                 \
	X(0x174, sysenter_cs)         \
	X(0x175, sysenter_esp)        \
	X(0x176, sysenter_eip)

static const uint32_t msr_list[] = {
#define X(idx, field) idx,
	STATE_MSRS(X)
#undef X
};
#define NR_MSRS (sizeof(msr_list) / sizeof(msr_list[0]))

struct msr_block {
	struct kvm_msrs h;
	struct kvm_msr_entry e[NR_MSRS];
};

static struct seg seg_from(const struct kvm_segment *k)
{
	return (struct seg){ .base = k->base,
			     .limit = k->limit,
			     .sel = k->selector,
			     .attr = (uint16_t)(k->type | k->s << 4 | k->dpl << 5 |
						k->present << 7 | k->l << 9 | k->db << 10 |
						k->g << 11 | (k->unusable ? SEG_UNUSABLE : 0)) };
}

static struct kvm_segment seg_to(const struct seg *s)
{
	return (struct kvm_segment){ .base = s->base,
				     .limit = s->limit,
				     .selector = s->sel,
				     .type = SEG_TYPE(s->attr),
				     .s = !!(s->attr & SEG_S),
				     .dpl = SEG_DPL(s->attr),
				     .present = !!(s->attr & SEG_P),
				     .l = !!(s->attr & SEG_L),
				     .db = !!(s->attr & SEG_DB),
				     .g = !!(s->attr & SEG_G),
				     .unusable = !!(s->attr & SEG_UNUSABLE) };
}

/* KVM's order of general registers is its own. */
#define GPRS(X)     \
	X(RAX, rax) \
	X(RCX, rcx) \
	X(RDX, rdx) \
	X(RBX, rbx) \
	X(RSP, rsp) \
	X(RBP, rbp) \
	X(RSI, rsi) \
	X(RDI, rdi) \
	X(R8, r8)   \
	X(R9, r9)   \
	X(R10, r10) \
	X(R11, r11) \
	X(R12, r12) \
	X(R13, r13) \
	X(R14, r14) \
	X(R15, r15)
#define SEGS(X)      \
	X(ES, es)    \
	X(CS, cs)    \
	X(SS, ss)    \
	X(DS, ds)    \
	X(FS, fs)    \
	X(GS, gs)    \
	X(LDTR, ldt) \
	X(TR, tr)

static void sregs_get(struct vcpu_state *st, const struct kvm_sregs *s)
{
#define X(idx, f) st->s[S_##idx] = seg_from(&s->f);
	SEGS(X)
#undef X
	st->gdt = (struct dtable){ s->gdt.base, s->gdt.limit };
	st->idt = (struct dtable){ s->idt.base, s->idt.limit };
	st->cr0 = s->cr0;
	st->cr2 = s->cr2;
	st->cr3 = s->cr3;
	st->cr4 = s->cr4;
	st->cr8 = s->cr8;
	st->efer = s->efer;
}

static void sregs_put(const struct vcpu_state *st, struct kvm_sregs *s)
{
#define X(idx, f) s->f = seg_to(&st->s[S_##idx]);
	SEGS(X)
#undef X
	s->gdt = (struct kvm_dtable){ .base = st->gdt.base, .limit = st->gdt.limit };
	s->idt = (struct kvm_dtable){ .base = st->idt.base, .limit = st->idt.limit };
	s->cr0 = st->cr0;
	s->cr2 = st->cr2;
	s->cr3 = st->cr3;
	s->cr4 = st->cr4;
	s->cr8 = st->cr8;
	s->efer = st->efer;
}

/* struct kvm_fpu's fields to and from an FXSAVE image (SDM 1, 10.5.1). */
static void fpu_get(uint8_t *fx, const struct kvm_fpu *f)
{
	memset(fx, 0, 512);
	memcpy(fx, &f->fcw, 2);
	memcpy(fx + 2, &f->fsw, 2);
	fx[4] = f->ftwx;
	memcpy(fx + 6, &f->last_opcode, 2);
	memcpy(fx + 8, &f->last_ip, 8);
	memcpy(fx + 16, &f->last_dp, 8);
	memcpy(fx + 24, &f->mxcsr, 4);
	memcpy(fx + 28, &(uint32_t){ 0xffff }, 4);
	memcpy(fx + 32, f->fpr, 128);
	memcpy(fx + 160, f->xmm, 256);
}

static void fpu_put(const uint8_t *fx, struct kvm_fpu *f)
{
	memcpy(&f->fcw, fx, 2);
	memcpy(&f->fsw, fx + 2, 2);
	f->ftwx = fx[4];
	memcpy(&f->last_opcode, fx + 6, 2);
	memcpy(&f->last_ip, fx + 8, 8);
	memcpy(&f->last_dp, fx + 16, 8);
	memcpy(&f->mxcsr, fx + 24, 4);
	memcpy(f->fpr, fx + 32, 128);
	memcpy(f->xmm, fx + 160, 256);
}

int kvm_state_get(struct vcpu *v)
{
	struct vcpu_state *st = &v->st;
	struct kvm_vcpu_events ev;
	struct kvm_debugregs db;
	struct msr_block m = { .h.nmsrs = NR_MSRS };
	struct kvm_sregs s;
	struct kvm_regs r;
	struct kvm_fpu f;

	for (size_t k = 0; k < NR_MSRS; k++)
		m.e[k].index = msr_list[k];
	if (ioctl(v->fd, KVM_GET_REGS, &r) < 0 || ioctl(v->fd, KVM_GET_SREGS, &s) < 0 ||
	    ioctl(v->fd, KVM_GET_FPU, &f) < 0 || ioctl(v->fd, KVM_GET_DEBUGREGS, &db) < 0 ||
	    ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev) < 0 ||
	    ioctl(v->fd, KVM_GET_MSRS, &m) != (int)NR_MSRS)
		return errno ? -errno : -EIO;
#define X(idx, field) st->r[R_##idx] = r.field;
	GPRS(X)
#undef X
	st->rip = r.rip;
	st->rflags = r.rflags;
	sregs_get(st, &s);
	fpu_get(st->fx, &f);
	for (unsigned k = 0; k < 4; k++)
		st->dr[k] = db.db[k];
	st->dr[6] = db.dr6;
	st->dr[7] = db.dr7;
	st->intr_shadow = !!ev.interrupt.shadow;
	st->nmi_blocked = !!ev.nmi.masked;
#define X(idx, field)                        \
	for (size_t k = 0; k < NR_MSRS; k++) \
		if (msr_list[k] == (idx))    \
			st->field = m.e[k].data;
	STATE_MSRS(X)
#undef X
	v->base = *st;
	v->have = true;
	return 0;
}

static bool differs(const struct vcpu *v, size_t from, size_t to)
{
	return memcmp((const char *)&v->st + from, (const char *)&v->base + from, to - from) != 0;
}
#define OFF(field)	     offsetof(struct vcpu_state, field)
#define CHANGED(v, from, to) differs(v, OFF(from), OFF(to))

static int put_sregs(struct vcpu *v)
{
	struct kvm_sregs s;

	if (!CHANGED(v, s, dr) && v->st.efer == v->base.efer)
		return 0;
	if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
	sregs_put(&v->st, &s);
	s.apic_base = APIC_BASE | (v->id == 0 ? APIC_BASE_BSP : 0);
	return ioctl(v->fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

static int put_regs(struct vcpu *v)
{
	const struct vcpu_state *st = &v->st;
	struct kvm_regs r = { .rip = st->rip, .rflags = st->rflags };

	if (!CHANGED(v, r, s))
		return 0;
#define X(idx, field) r.field = st->r[R_##idx];
	GPRS(X)
#undef X
	return ioctl(v->fd, KVM_SET_REGS, &r) < 0 ? -errno : 0;
}

static int put_msrs(struct vcpu *v)
{
	const struct vcpu_state *st = &v->st;
	struct msr_block m = { .h.nmsrs = NR_MSRS };
	int r;

	if (!CHANGED(v, star, fx))
		return 0;
#define X(idx, field)                            \
	for (size_t k = 0; k < NR_MSRS; k++)     \
		if (msr_list[k] == (idx)) {      \
			m.e[k].index = (idx);    \
			m.e[k].data = st->field; \
		}
	STATE_MSRS(X)
#undef X
	r = ioctl(v->fd, KVM_SET_MSRS, &m);
	return r == (int)NR_MSRS ? 0 : r < 0 ? -errno : -EIO;
}

static int put_debug_fpu(struct vcpu *v)
{
	const struct vcpu_state *st = &v->st;
	struct kvm_debugregs db = { .dr6 = st->dr[6], .dr7 = st->dr[7] };
	struct kvm_fpu f = { 0 };

	for (unsigned k = 0; k < 4; k++)
		db.db[k] = st->dr[k];
	if (CHANGED(v, dr, xcr0) && ioctl(v->fd, KVM_SET_DEBUGREGS, &db) < 0)
		return -errno;
	fpu_put(st->fx, &f);
	if (CHANGED(v, fx, halted) && ioctl(v->fd, KVM_SET_FPU, &f) < 0)
		return -errno;
	return 0;
}

static int put_events(struct vcpu *v)
{
	struct kvm_vcpu_events ev;

	if (v->st.intr_shadow == v->base.intr_shadow && v->st.nmi_blocked == v->base.nmi_blocked)
		return 0;
	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev) < 0)
		return -errno;
	ev.interrupt.shadow = v->st.intr_shadow;
	ev.nmi.masked = v->st.nmi_blocked;
	ev.flags |= KVM_VCPUEVENT_VALID_SHADOW;
	return ioctl(v->fd, KVM_SET_VCPU_EVENTS, &ev) < 0 ? -errno : 0;
}

int kvm_state_put(struct vcpu *v)
{
	int r = put_sregs(v);

	if (r == 0)
		r = put_regs(v);
	if (r == 0)
		r = put_msrs(v);
	if (r == 0)
		r = put_debug_fpu(v);
	if (r == 0)
		r = put_events(v);
	if (r == 0 && v->st.cr8 != v->base.cr8)
		v->run->cr8 = v->cr8_told = v->st.cr8;
	if (r == 0)
		v->base = v->st;
	return r;
}
