/* tests/unit/hv/engine/silicon_guest.h - the same instruction in a guest of the
 * soft engine: long mode, CPL 3, the arena of silicon.h at the same addresses,
 * and an IDT whose handlers hand every exception to the test.
 */
#ifndef TESTS_SILICON_GUEST_H
#define TESTS_SILICON_GUEST_H

#include <Zydis/Zydis.h>

#include "tests/unit/hv/engine/silicon.h"

struct guest;

/* Of the engine that DZ_TEST_ENGINE names ("soft"); NULL when it can't be had. */
struct guest *guest_new(void);
struct guest *guest_free(struct guest *g);
/* A new instruction at SIL_START: drops old translations. */
void guest_code(struct guest *g, const uint8_t *code, unsigned n);
void guest_mem_put(struct guest *g, const uint8_t mem[SIL_LEN]);
void guest_mem_get(struct guest *g, uint8_t mem[SIL_LEN]);
/* As sil_run(); vec is 256 + exit kind if it ended in no exception. */
void guest_run(struct guest *g, struct sil_state *st);
/* Whether the engine shows a CPUID bit; reg 0..3 = eax..edx. */
bool guest_has(struct guest *g, uint32_t leaf, unsigned reg, unsigned bit);

/* Does no harm to the test process, and the guest has it too.  Segment loads and
 * addresses are the caller's care. */
bool guest_may_try(struct guest *g, const ZydisDecodedInstruction *z);

#endif
