/* hv/engine/soft/fast.c - which instructions have a handler of their own. */
#include "hv/engine/soft/op.h"

int fast_pick(struct op *o, const struct insn *i, unsigned page_off)
{
	return FAST_NONE;
}

void op_fall(struct vcpu *c, const struct op *o)
{
	c->st.rip = c->brip + o->off;
}
