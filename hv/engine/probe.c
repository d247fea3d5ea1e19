/* hv/engine/probe.c - a guest of a few instructions, to see how fast it runs.
 *
 * 64-bit ring 0 with paging, as a kernel is: a KVM without hardware paging or
 * nested in an emulator is slow just there, and may never get past a hypercall.
 */
#include "hv/engine/probe.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "hv/engine/engine.h"

#define RAM_BYTES (1u << 20)
#define AT_PML4	  0x1000u
#define AT_PDPT	  0x2000u
#define AT_PD	  0x3000u
#define AT_LOOP	  0x8000u
#define AT_HCALL  0x8100u
#define AT_STACK  0x10000u
#define PTE_RW	  0x3u
#define PTE_HUGE  0x83u

struct bench {
	const struct engine_ops *ops;
	uint8_t *ram;
	struct p2m *p2m;
	struct vm *vm;
	struct vcpu *v;
};

static int fail(char *why, size_t n, int r, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int fail(char *why, size_t n, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, n, fmt, ap);
	va_end(ap);
	return r;
}

static void put_program(const struct bench *b)
{
	static const uint8_t loop[] = {
		0x48, 0xff, 0xc1, /* 1: inc %rcx */
		0x48, 0x85, 0xc9, /* test %rcx, %rcx */
		0x75, 0xf8,	  /* jne 1b */
		0xf4,		  /* hlt, not reached */
	};
	static const uint8_t vmcall[] = { 0x0f, 0x01, 0xc1 };
	const uint8_t *insn = b->ops->vm_hypercall_insn ? b->ops->vm_hypercall_insn(b->vm) : NULL;
	uint64_t e;

	memcpy(b->ram + AT_LOOP, loop, sizeof(loop));
	memcpy(b->ram + AT_HCALL, insn ? insn : vmcall, sizeof(vmcall));
	b->ram[AT_HCALL + sizeof(vmcall)] = 0xf4;
	e = AT_PDPT | PTE_RW;
	memcpy(b->ram + AT_PML4, &e, sizeof(e));
	e = AT_PD | PTE_RW;
	memcpy(b->ram + AT_PDPT, &e, sizeof(e));
	e = PTE_HUGE;
	memcpy(b->ram + AT_PD, &e, sizeof(e));
}

/* Values of the fields: SDM 3A 2.5, 3.4.5. */
static struct vcpu_state long_mode(void)
{
	struct vcpu_state st = { .rip = AT_LOOP,
				 .rflags = 2,
				 .cr0 = 0x80010033, /* PG WP NE ET MP PE */
				 .cr3 = AT_PML4,
				 .cr4 = 0x620,	/* PAE OSFXSR OSXMMEXCPT */
				 .efer = 0xd00, /* LME LMA NXE */
				 .xcr0 = 1 };
	const struct seg data = { .limit = ~0u, .sel = 0x10, .attr = 0x0c93 };

	for (unsigned i = 0; i < S_NR; i++)
		st.s[i] = data;
	st.s[S_CS] = (struct seg){ .limit = ~0u, .sel = 0x08, .attr = 0x0a9b };
	st.s[S_LDTR] = (struct seg){ .attr = SEG_UNUSABLE };
	st.s[S_TR] = (struct seg){ .limit = 0x67, .sel = 0x18, .attr = 0x008b };
	st.r[R_RSP] = AT_STACK;
	st.dr[6] = 0xffff0ff0;
	st.dr[7] = 0x400;
	st.pat = 0x0007040600070406;
	st.fx[0] = 0x7f; /* FCW 0x37f */
	st.fx[1] = 0x03;
	st.fx[24] = 0x80; /* MXCSR 0x1f80 */
	st.fx[25] = 0x1f;
	return st;
}

static void *kick_later(void *arg)
{
	const struct bench *b = arg;

	(void)usleep(PROBE_MS * 1000);
	b->ops->vcpu_kick(b->v);
	return NULL;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int run_loop(struct bench *b, uint64_t *ret_rate, char *why, size_t n)
{
	uint64_t start = now_ns(), ns;
	struct vm_exit x;
	pthread_t t;
	int r = -pthread_create(&t, NULL, kick_later, b);

	if (r < 0)
		return fail(why, n, r, "no thread: %s", strerror(-r));
	r = b->ops->vcpu_run(b->v, &x);
	ns = now_ns() - start;
	(void)pthread_join(t, NULL);
	if (r < 0)
		return fail(why, n, r, "a loop in 64-bit mode did not run: %s", strerror(-r));
	if (x.kind != EXIT_KICKED)
		return fail(why, n, -EIO, "a loop in 64-bit mode ended by itself (exit %d)",
			    x.kind);
	*ret_rate = (uint64_t)((double)b->ops->vcpu_regs(b->v)->r[R_RCX] * 1e9 / (double)ns);
	return 0;
}

static int run_hypercall(struct bench *b, char *why, size_t n)
{
	struct vcpu_state st = long_mode();
	struct vm_exit x;
	int r;

	st.rip = AT_HCALL;
	r = b->ops->vcpu_load(b->v, &st);
	if (r == 0)
		r = b->ops->vcpu_run(b->v, &x);
	if (r < 0)
		return fail(why, n, r, "a hypercall did not run: %s", strerror(-r));
	if (x.kind != EXIT_HYPERCALL || b->ops->vcpu_regs(b->v)->rip != AT_HCALL + 3)
		return fail(why, n, -EIO, "a hypercall did not come out as one (exit %d)", x.kind);
	return 0;
}

static int make(struct bench *b, int kvm_fd, char *why, size_t n)
{
	struct vm_config cfg = { .max_vcpus = 1, .tsc_khz = 1000000, .kvm_fd = kvm_fd };
	struct cpuid_leaf leaves[2];
	struct vcpu_state st = long_mode();
	int r;

	b->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b->ram == MAP_FAILED) {
		b->ram = NULL;
		return fail(why, n, -ENOMEM, "no memory");
	}
	r = p2m_new(b->ram, RAM_BYTES / P2M_PAGE_SIZE, &b->p2m);
	cfg.p2m = b->p2m;
	if (r == 0)
		r = b->ops->vm_new(&cfg, &b->vm);
	if (r < 0)
		return fail(why, n, r, "no virtual machine: %s", strerror(-r));
	b->ops->cpuid_supported(1, 0, &leaves[0]);
	b->ops->cpuid_supported(0x80000001, 0, &leaves[1]);
	r = b->ops->vcpu_new(b->vm, 0, leaves, 2, &b->v);
	if (r < 0)
		return fail(why, n, r, "no processor: %s", strerror(-r));
	put_program(b);
	r = b->ops->vcpu_load(b->v, &st);
	return r < 0 ? fail(why, n, r, "a processor's state: %s", strerror(-r)) : 0;
}

int engine_probe(const char *engine, int kvm_fd, uint64_t *ret_rate, char *why, size_t n)
{
	struct bench b = { .ops = engine_find(engine) };
	int r;

	if (!b.ops)
		return fail(why, n, -ENOENT, "there is no engine %s", engine);
	r = make(&b, kvm_fd, why, n);
	if (r == 0)
		r = run_loop(&b, ret_rate, why, n);
	if (r == 0)
		r = run_hypercall(&b, why, n);
	if (b.v)
		b.ops->vcpu_free(b.v);
	if (b.vm)
		b.ops->vm_free(b.vm);
	p2m_free(b.p2m);
	if (b.ram)
		(void)munmap(b.ram, RAM_BYTES);
	return r;
}
