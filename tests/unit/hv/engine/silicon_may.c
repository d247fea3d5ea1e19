/* tests/unit/hv/engine/silicon_may.c - which instructions may be tried on the
 * host's CPU from inside a test process.
 */
#include "tests/unit/hv/engine/silicon_guest.h"

#include <Zydis/Zydis.h>

/* Instructions that would end the test process, reach the kernel, read what a
 * guest sees differently, or load segments. */
static bool is_harmless(const ZydisDecodedInstruction *z)
{
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_VTX:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_RDSEED:
	case ZYDIS_CATEGORY_CET: return false;
	default: break;
	}
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_MONITOR:
	case ZYDIS_MNEMONIC_MWAIT:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_STI: /* and the hints that make it a user interrupt */
	case ZYDIS_MNEMONIC_CLI: return false;
	default:
		return z->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
		       z->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR;
	}
}

/* Shown by the engine's CPUID, or part of the floor. */
static bool is_shown(struct guest *guest, const ZydisDecodedInstruction *z)
{
	switch (z->meta.isa_ext) {
	case ZYDIS_ISA_EXT_BASE:
	case ZYDIS_ISA_EXT_LONGMODE:
	case ZYDIS_ISA_EXT_X87:
	case ZYDIS_ISA_EXT_MMX:
	case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2:
	case ZYDIS_ISA_EXT_PAUSE: return true;
	case ZYDIS_ISA_EXT_SSE3: return guest_has(guest, 1, 2, 0);
	case ZYDIS_ISA_EXT_SSSE3: return guest_has(guest, 1, 2, 9);
	case ZYDIS_ISA_EXT_PCLMULQDQ: return guest_has(guest, 1, 2, 1);
	case ZYDIS_ISA_EXT_AES: return guest_has(guest, 1, 2, 25);
	case ZYDIS_ISA_EXT_SHA: return guest_has(guest, 7, 1, 29);
	case ZYDIS_ISA_EXT_SSE4:
		if (z->mnemonic == ZYDIS_MNEMONIC_POPCNT)
			return guest_has(guest, 1, 2, 23);
		return guest_has(guest, 1, 2, 19) && guest_has(guest, 1, 2, 20);
	case ZYDIS_ISA_EXT_LZCNT: return guest_has(guest, 0x80000001, 2, 5);
	case ZYDIS_ISA_EXT_BMI1: return guest_has(guest, 7, 1, 3);
	case ZYDIS_ISA_EXT_MOVBE: return guest_has(guest, 1, 2, 22);
	case ZYDIS_ISA_EXT_ADOX_ADCX: return guest_has(guest, 7, 1, 19);
	case ZYDIS_ISA_EXT_PREFETCHWT1:
	case ZYDIS_ISA_EXT_CLFSH: return true;
	default: return false;
	}
}

bool guest_may_try(struct guest *g, const ZydisDecodedInstruction *z)
{
	return is_harmless(z) && is_shown(g, z);
}
