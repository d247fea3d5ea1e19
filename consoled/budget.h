/* consoled/budget.h - a token bucket; amounts per second, monotonic time. */
#ifndef CONSOLED_BUDGET_H
#define CONSOLED_BUDGET_H

#include <stdint.h>

struct budget {
	uint64_t rate, burst; /* rate 0: no limit */
	uint64_t tokens;
	uint64_t at_ns; /* when tokens was true */
};

static inline void budget_init(struct budget *b, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	*b = (struct budget){ .rate = rate, .burst = burst, .tokens = burst, .at_ns = now_ns };
}

/* What may be spent now. */
static inline uint64_t budget_left(struct budget *b, uint64_t now_ns)
{
	uint64_t dt = now_ns > b->at_ns ? now_ns - b->at_ns : 0;
	uint64_t add;

	if (!b->rate)
		return UINT64_MAX;
	add = (uint64_t)((unsigned __int128)dt * b->rate / 1000000000u);
	if (add) {
		b->tokens = b->tokens + add > b->burst ? b->burst : b->tokens + add;
		b->at_ns = now_ns;
	}
	return b->tokens;
}

static inline void budget_spend(struct budget *b, uint64_t n)
{
	if (b->rate)
		b->tokens = n < b->tokens ? b->tokens - n : 0;
}

#endif
