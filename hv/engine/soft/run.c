/* hv/engine/soft/run.c - the loop around the blocks: events, attention, single
 * steps, and the exits to the caller with their way back.
 *
 *   run -> deliver what waits -> blocks or one step -> again
 *            ^ fault: longjmp, the event waits     exit: longjmp, run returns
 */
#include "hv/engine/soft/run.h"

#include "hv/engine/soft/block.h"
#include "hv/engine/soft/mem.h"
#include "hv/engine/soft/seg.h"
#include "hv/engine/soft/jit.h"

_Noreturn void cpu_exit(struct vcpu *c, enum exit_kind kind)
{
	cpu_unsplit(c);
	c->exit.kind = kind;
	_longjmp(c->env, JMP_EXIT);
}

_Noreturn void cpu_raise(struct vcpu *c, struct event ev)
{
	cpu_unsplit(c);
	c->nreplay = c->ireplay = 0;
	c->shadow = false;
	if (c->delivering) {
		c->delivering = false;
		c->st.rip -= c->ev.len;
		ev = intr_combine(&c->ev, &ev);
		if (!ev.type) {
			c->ev.type = EV_NONE;
			cpu_exit(c, EXIT_SHUTDOWN);
		}
	}
	c->ev = ev;
	_longjmp(c->env, JMP_EXC);
}

bool cpu_ask(struct vcpu *c, enum exit_kind kind, uint64_t addr, unsigned size, bool write,
	     uint64_t *val)
{
	const struct replay *r = &c->replay[c->ireplay];

	if (c->ireplay < c->nreplay) {
		c->ireplay++;
		if (!write)
			*val = r->val;
		return r->fault;
	}
	if (c->nreplay == REPLAY_MAX) /* an FXSAVE image in MMIO, or worse */
		cpu_gp0(c);
	c->exit = (struct vm_exit){
		.addr = addr, .val = write ? *val : 0, .size = (uint8_t)size, .is_write = write
	};
	cpu_exit(c, kind);
}

/* An instruction is over: its shadow, its traps. */
static void after_insn(struct vcpu *c, bool stepped)
{
	c->st.intr_shadow = c->shadow;
	c->shadow = false;
	c->nreplay = c->ireplay = 0;
	if (likely(!stepped && !c->db_pending))
		return;
	c->st.dr[6] |= c->db_pending | (stepped ? DR6_BS : 0);
	c->db_pending = 0;
	c->ev = (struct event){ EV_TRAP, X_DB, 0, 0 };
}

static bool exec_breakpoints(const struct vcpu *c)
{
	for (unsigned k = 0; k < 4; k++)
		if (c->st.dr[7] >> (2 * k) & 3 && !(c->st.dr[7] >> (16 + 4 * k) & 3))
			return true;
	return false;
}

static void check_breakpoints(struct vcpu *c)
{
	uint64_t va = c->st.rip + (c->mode == MODE_64 ? 0 : c->st.s[S_CS].base);
	unsigned hit = 0;

	for (unsigned k = 0; k < 4; k++)
		if (c->st.dr[7] >> (2 * k) & 3 && !(c->st.dr[7] >> (16 + 4 * k) & 3) &&
		    c->st.dr[k] == va)
			hit |= 1u << k;
	if (!hit || c->st.rflags & FL_RF)
		return;
	c->st.dr[6] |= hit;
	cpu_fault(c, X_DB);
}

static void step(struct vcpu *c)
{
	bool tf = c->st.rflags & FL_TF;

	c->leave = 0;
	if (c->st.dr[7] & 0xff && !c->nreplay)
		check_breakpoints(c);
	c->ireplay = 0;
	blocks_step(c);
	c->st.rflags &= ~FL_RF;
	after_insn(c, tf);
}

static void deliver(struct vcpu *c)
{
	c->st.intr_shadow = 0;
	c->delivering = true;
	intr_deliver(c, &c->ev);
	c->delivering = false;
	c->ev.type = EV_NONE;
}

static void attend(struct vcpu *c)
{
	if (atomic_load(&c->attn) & ATTN_MAIL)
		smp_mail(c);
	if (atomic_fetch_and(&c->attn, ~(uint32_t)ATTN_KICK) & ATTN_KICK)
		cpu_exit(c, EXIT_KICKED);
}

static bool translatable(const struct vcpu *c)
{
	return c->jit && c->mode == MODE_64 && !c->check_align && !(c->st.dr[7] & 0xff);
}

/* Translated code, and one decoded block wherever that hands over. */
static void run_translated(struct vcpu *c)
{
	do {
		if (jit_run(c->jit) == JIT_ATTN)
			return;
		blocks_run(c);
	} while (!c->leave && !cpu_called(c) && translatable(c));
	after_insn(c, false);
}

static void loop(struct vcpu *c)
{
	for (;;) {
		if (c->ev.type)
			deliver(c);
		if (cpu_called(c))
			attend(c);
		if (c->nmi && !c->st.nmi_blocked && !c->st.intr_shadow) {
			c->nmi = false;
			c->st.nmi_blocked = 1;
			c->st.halted = 0;
			c->ev = (struct event){ EV_EXT, X_NMI, 0, 0 };
			continue;
		}
		if (c->st.halted)
			cpu_exit(c, EXIT_HLT);
		if (c->want_window && c->st.rflags & FL_IF && !c->st.intr_shadow) {
			c->want_window = false;
			cpu_exit(c, EXIT_INTR_WINDOW);
		}
		if (unlikely(c->st.intr_shadow || c->st.rflags & (FL_TF | FL_RF) ||
			     (c->st.dr[7] & 0xff && exec_breakpoints(c)))) {
			step(c);
		} else if (translatable(c)) {
			run_translated(c);
		} else {
			blocks_run(c);
			after_insn(c, false);
		}
	}
}

int run_vcpu(struct vcpu *c, struct vm_exit *ret)
{
	atomic_store(&c->running, 1);
	cpu_load_flags(c);
	cpu_update_mode(c);
	if (atomic_load(&c->attn) & ATTN_MAIL) /* before any old translation is used */
		smp_mail(c);
	if (c->exit_ready)
		c->exit_ready = false;
	else if (_setjmp(c->env) != JMP_EXIT)
		loop(c);
	cpu_store_flags(c);
	atomic_store(&c->running, 0);
	*ret = c->exit;
	return 0;
}

/* With the answer at hand the instruction is run to its end, so that the caller
 * finds the vCPU between two instructions. */
void run_complete(struct vcpu *c, const struct vm_exit *x)
{
	if (x->kind != EXIT_IO && x->kind != EXIT_MMIO && x->kind != EXIT_RDMSR &&
	    x->kind != EXIT_WRMSR)
		return;
	c->replay[c->nreplay++] =
		(struct replay){ x->kind, x->size, x->is_write, x->fault, x->addr, x->val };
	atomic_store(&c->running, 1);
	cpu_load_flags(c);
	cpu_update_mode(c);
	switch (_setjmp(c->env)) {
	case 0:
		if (atomic_load(&c->attn) & ATTN_MAIL)
			smp_mail(c);
		step(c);
		break;
	case JMP_EXIT: c->exit_ready = true; break;
	default: break; /* the event waits */
	}
	cpu_store_flags(c);
	atomic_store(&c->running, 0);
}
