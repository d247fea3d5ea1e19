/* tests/unit/hv/engine/silicon_native.c - see silicon.h.  Entered by a small
 * piece of assembly, left always by a signal (the int3 behind the instruction,
 * or its own fault), whose frame holds every register.
 */
#include "tests/unit/hv/engine/silicon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

/* Shared with the assembly and the signal handler. */
static struct sil_state cur __attribute__((used));
static uint64_t host_rsp __attribute__((used));
static const uint64_t start_rip __attribute__((used)) = SIL_START;
/* Linux's flat 32-bit code and data segments. */
static const struct {
	uint32_t eip;
	uint16_t cs;
} start_far __attribute__((used)) = { (uint32_t)SIL_START, SIL_CS32 };
static uint8_t alt_stack[65536];

void sil_enter(void);
void sil_enter32(void);
void sil_back(void);

#define LOAD_GPRS                    \
	"	mov 0+cur(%rip), %rax\n"   \
	"	mov 8+cur(%rip), %rcx\n"   \
	"	mov 16+cur(%rip), %rdx\n"  \
	"	mov 24+cur(%rip), %rbx\n"  \
	"	mov 32+cur(%rip), %rsp\n"  \
	"	mov 40+cur(%rip), %rbp\n"  \
	"	mov 48+cur(%rip), %rsi\n"  \
	"	mov 56+cur(%rip), %rdi\n"  \
	"	mov 64+cur(%rip), %r8\n"   \
	"	mov 72+cur(%rip), %r9\n"   \
	"	mov 80+cur(%rip), %r10\n"  \
	"	mov 88+cur(%rip), %r11\n"  \
	"	mov 96+cur(%rip), %r12\n"  \
	"	mov 104+cur(%rip), %r13\n" \
	"	mov 112+cur(%rip), %r14\n" \
	"	mov 120+cur(%rip), %r15\n"
#define ENTER                                                                 \
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n" \
	"	mov %rsp, host_rsp(%rip)\n"                                         \
	"	fxrstor64 144+cur(%rip)\n"                                          \
	"	push 136+cur(%rip)\n"                                               \
	"	popfq\n"

__asm__(".text\n"
	"sil_enter:\n" ENTER LOAD_GPRS "	jmp *start_rip(%rip)\n"
	"sil_enter32:\n"
	"	mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n" ENTER LOAD_GPRS
	"	ljmp *start_far(%rip)\n"
	"sil_back:\n"
	"	fninit\n"
	"	xor %eax, %eax; mov %eax, %ds; mov %eax, %es\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");
_Static_assert(offsetof(struct sil_state, rflags) == 136, "assembly");
_Static_assert(offsetof(struct sil_state, fx) == 144, "assembly");

static const uint8_t gregs[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
				   REG_R12, REG_R13, REG_R14, REG_R15 };

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	greg_t *g = uc->uc_mcontext.gregs;
	uint32_t csr = 0x1f80;

	if (!host_rsp) {
		signal(sig, SIG_DFL);
		return;
	}
	for (unsigned i = 0; i < 16; i++)
		cur.r[i] = (uint64_t)g[gregs[i]];
	cur.rip = (uint64_t)g[REG_RIP];
	cur.rflags = (uint64_t)g[REG_EFL];
	cur.vec = (int)g[REG_TRAPNO];
	cur.err = (uint64_t)g[REG_ERR];
	cur.cr2 = cur.vec == 14 ? (uint64_t)g[REG_CR2] : 0;
	memcpy(cur.fx, uc->uc_mcontext.fpregs, sizeof(cur.fx));
	memset(cur.fx + 416, 0, 96);
	memcpy((uint8_t *)uc->uc_mcontext.fpregs + 24, &csr, 4);
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffll) | SIL_CS64;
	g[REG_RSP] = (greg_t)host_rsp;
	g[REG_RIP] = (greg_t)(uintptr_t)sil_back;
	g[REG_EFL] &= ~0x40d00ll; /* TF, DF, OF, AC */
	host_rsp = 0;
}

static void map_fixed(uint64_t at, size_t n, int prot)
{
	void *p =
		mmap((void *)at, n, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)at) {
		perror("silicon: mmap");
		exit(1);
	}
}

void sil_init(void)
{
	map_fixed(SIL_CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	map_fixed(SIL_DATA, SIL_LEN, PROT_READ | PROT_WRITE);
	munmap((void *)(SIL_DATA + SIL_HOLE * 4096), 4096);
	memset((void *)SIL_CODE, 0xcc, 4096);
}

void sil_catch(void)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	stack_t ss = { .ss_sp = alt_stack, .ss_size = sizeof(alt_stack) };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	if (sigaltstack(&ss, NULL))
		exit(1);
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &sa, NULL);
}

void sil_run(const uint8_t *code, unsigned n, struct sil_state *st)
{
	memcpy((void *)SIL_START, code, n);
	cur = *st;
	cur.rflags |= 2;
	if (st->is32)
		sil_enter32();
	else
		sil_enter();
	memset((void *)SIL_START, 0xcc, n);
	*st = cur;
}

void sil_mem_put(const uint8_t mem[SIL_LEN])
{
	void *ro = (void *)(SIL_DATA + SIL_RO * 4096);

	mprotect(ro, 4096, PROT_READ | PROT_WRITE);
	for (unsigned i = 0; i < SIL_PAGES; i++)
		if (i != SIL_HOLE)
			memcpy((void *)(SIL_DATA + i * 4096), mem + i * 4096, 4096);
	mprotect(ro, 4096, PROT_READ);
}

void sil_mem_get(uint8_t mem[SIL_LEN])
{
	for (unsigned i = 0; i < SIL_PAGES; i++) {
		if (i == SIL_HOLE)
			memset(mem + i * 4096, 0, 4096);
		else
			memcpy(mem + i * 4096, (void *)(SIL_DATA + i * 4096), 4096);
	}
}
