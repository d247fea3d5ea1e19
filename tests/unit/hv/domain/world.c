/* tests/unit/hv/domain/world.c - the played engine, and a domain on it. */
#include "tests/unit/hv/domain/world.h"

#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "daemons/sys.h"

#define WAIT_S 20

struct vm {
	struct p2m *p2m;
};

struct vcpu {
	struct vm *vm;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct vcpu_state st;
	bool kicked, window, want, busy, if_on, has_rip;
	uint64_t turns, rip;
	struct vm_exit x;
	uint8_t irq[64];
	unsigned irqs, irqs_seen, nmis;
};

static struct vcpu *vcpus[DOMAIN_MAX_VCPUS];

static void fake_supported(uint32_t leaf, uint32_t sub, struct cpuid_leaf *ret)
{
	ret->eax = ret->ebx = ret->ecx = ret->edx = UINT32_MAX;
}

static int fake_vm_new(const struct vm_config *cfg, struct vm **ret)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->p2m = cfg->p2m;
	*ret = vm;
	return 0;
}

static void fake_vm_free(struct vm *vm)
{
	free(vm);
}

static int fake_vcpu_new(struct vm *vm, unsigned id, const struct cpuid_leaf *leaves, size_t n,
			 struct vcpu **ret)
{
	struct vcpu *v = calloc(1, sizeof(*v));

	v->vm = vm;
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->cond, NULL);
	vcpus[id] = *ret = v;
	return 0;
}

static void fake_vcpu_free(struct vcpu *v)
{
	free(v);
}

static int fake_run(struct vcpu *v, struct vm_exit *ret)
{
	pthread_mutex_lock(&v->lock);
	v->turns++;
	pthread_cond_broadcast(&v->cond);
	while (!v->kicked && !v->want && !(v->window && v->if_on))
		pthread_cond_wait(&v->cond, &v->lock);
	memset(ret, 0, sizeof(*ret));
	if (v->kicked) {
		v->kicked = false;
		ret->kind = EXIT_KICKED;
	} else if (v->window && v->if_on) {
		v->window = false;
		ret->kind = EXIT_INTR_WINDOW;
	} else {
		v->want = false;
		v->rip = v->st.rip;
		*ret = v->x;
		if (ret->kind == EXIT_HLT || ret->kind == EXIT_CR8 || ret->kind == EXIT_SHUTDOWN) {
			v->st.halted = ret->kind == EXIT_HLT;
			v->busy = false;
			pthread_cond_broadcast(&v->cond);
		}
	}
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static void fake_complete(struct vcpu *v, const struct vm_exit *x)
{
	pthread_mutex_lock(&v->lock);
	if (x->kind == EXIT_HYPERCALL && v->st.rip != v->rip) {
		v->st.rip = v->rip; /* to be executed again, with the new arguments */
		v->want = true;
	} else {
		v->x = *x;
		v->busy = false;
	}
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

static struct vcpu_state *fake_regs(struct vcpu *v)
{
	return &v->st;
}

static int fake_save(struct vcpu *v, struct vcpu_state *ret)
{
	*ret = v->st;
	return 0;
}

static int fake_load(struct vcpu *v, const struct vcpu_state *st)
{
	v->st = *st;
	return 0;
}

static bool fake_can_inject(struct vcpu *v)
{
	bool yes;

	pthread_mutex_lock(&v->lock);
	yes = v->if_on;
	pthread_mutex_unlock(&v->lock);
	return yes;
}

static void fake_inject(struct vcpu *v, uint8_t vector)
{
	pthread_mutex_lock(&v->lock);
	v->irq[v->irqs++ % sizeof(v->irq)] = vector;
	v->st.halted = 0;
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

static void fake_inject_nmi(struct vcpu *v)
{
	pthread_mutex_lock(&v->lock);
	v->nmis++;
	v->st.halted = 0;
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

static void fake_window(struct vcpu *v, bool want)
{
	pthread_mutex_lock(&v->lock);
	v->window = want;
	pthread_mutex_unlock(&v->lock);
}

static void fake_kick(struct vcpu *v)
{
	pthread_mutex_lock(&v->lock);
	v->kicked = true;
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

static void fake_flush(struct vm *vm, struct vcpu *self) {}

static void fake_tsc(struct vcpu *v, int64_t offset) {}

static int touch(struct vcpu *v, uint64_t va, void *buf, size_t n, bool write)
{
	uint8_t *p = buf;

	while (n) {
		unsigned flags, off = va % 4096;
		size_t part = n < 4096 - off ? n : 4096 - off;
		uint8_t *host = va >> 52 ? NULL : p2m_lookup(v->vm->p2m, va / 4096, &flags);

		if (!host || (write && (flags & P2M_RO)))
			return -EFAULT;
		if (write)
			memcpy(host + off, p, part);
		else
			memcpy(p, host + off, part);
		va += part;
		p += part;
		n -= part;
	}
	return 0;
}

static int fake_read_virt(struct vcpu *v, uint64_t va, void *buf, size_t n)
{
	return touch(v, va, buf, n, false);
}

static int fake_write_virt(struct vcpu *v, uint64_t va, const void *buf, size_t n)
{
	return touch(v, va, (void *)buf, n, true);
}

static const struct engine_ops fake = {
	"fake",		fake_supported,	 fake_vm_new,	fake_vm_free,	 fake_vcpu_new,
	fake_vcpu_free, fake_run,	 fake_complete, fake_regs,	 fake_save,
	fake_load,	fake_can_inject, fake_inject,	fake_inject_nmi, fake_window,
	fake_kick,	fake_flush,	 fake_tsc,	fake_read_virt,	 fake_write_virt,
};

const struct engine_ops *engine_find(const char *name)
{
	return strcmp(name, "fake") ? NULL : &fake;
}

/* ---- the world ---- */

static pthread_mutex_t world_lock = PTHREAD_MUTEX_INITIALIZER;

static void on_shutdown(void *arg, unsigned reason)
{
	struct world *w = arg;

	pthread_mutex_lock(&world_lock);
	w->shutdowns++;
	w->reason = reason;
	pthread_mutex_unlock(&world_lock);
}

static void on_log(void *arg, const char *line)
{
	struct world *w = arg;

	pthread_mutex_lock(&world_lock);
	w->lines++;
	(void)snprintf(w->line, sizeof(w->line), "%s", line);
	pthread_mutex_unlock(&world_lock);
}

static int tiny_kernel(void)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		uint32_t note[5];
		uint8_t text[128];
	} k = {
		.eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			.e_machine = EM_X86_64,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2 },
		.note = { 4, 4, 18, 0x006e6558, WORLD_ENTRY },
	};
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	k.ph[0] = (Elf64_Phdr){ .p_type = PT_NOTE,
				.p_offset = (uint64_t)((char *)k.note - (char *)&k),
				.p_filesz = sizeof(k.note) };
	k.ph[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
				.p_offset = (uint64_t)((char *)k.text - (char *)&k),
				.p_paddr = 0x100000,
				.p_filesz = sizeof(k.text),
				.p_memsz = sizeof(k.text) };
	assert_int_equal(write(fd, &k, sizeof(k)), sizeof(k));
	return fd;
}

static void *map(int fd, size_t pages)
{
	int r;
	void *p = sys_mmap_shared(fd, pages * 4096, 0, PROT_READ | PROT_WRITE, &r);

	assert_non_null(p);
	return p;
}

int world_try(struct world *w, unsigned n, uint64_t populated, char *err, size_t errlen)
{
	const struct domain_events ev = { .shutdown = on_shutdown, .log = on_log, .arg = w };
	int r;

	memset(w, 0, sizeof(*w));
	w->cfg = (struct domain_config){ .domid = 7,
					 .uuid = "uuid of world 7",
					 .mem_pages = WORLD_PAGES,
					 .populated = populated,
					 .vcpus = n,
					 .max_vcpus = n,
					 .engine = "fake",
					 .cmdline = "x",
					 .ramdisk_fd = -1 };
	w->cfg.ram_fd = sys_memfd("ram", WORLD_PAGES * 4096);
	w->cfg.special_fd = sys_memfd("special", SPECIAL_PAGES * 4096);
	w->cfg.gnttab_fd = sys_memfd("gnttab", GNTTAB_MAX_FRAMES * 4096);
	w->cfg.kernel_fd = tiny_kernel();
	w->ram = map(w->cfg.ram_fd, WORLD_PAGES);
	w->special = map(w->cfg.special_fd, SPECIAL_PAGES);
	w->gnttab = map(w->cfg.gnttab_fd, GNTTAB_MAX_FRAMES);
	r = domain_new(&w->cfg, &ev, &w->d, err, errlen);
	if (r >= 0)
		r = domain_build(w->d, err, errlen);
	return r;
}

static struct timespec deadline(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += WAIT_S;
	return ts;
}

static void write_apic(struct world *w, uint32_t reg, uint32_t val)
{
	struct vm_exit x = {
		.kind = EXIT_MMIO, .addr = 0xfee00000 + reg, .val = val, .size = 4, .is_write = 1
	};

	world_exit(w, 0, &x);
}

static void set_long_mode(struct vcpu *v)
{
	v->st.rflags = 0x202;
	v->st.efer = 0x500;
	v->st.s[S_CS].attr = 0x029b;
	v->if_on = true;
}

/* INIT and SIPI as the boot CPU sends them; done when it asks for code to run. */
static void start_vcpu(struct world *w, unsigned id)
{
	struct timespec ts = deadline();
	struct vcpu *v = vcpus[id];

	write_apic(w, 0x310, 2 * id << 24);
	write_apic(w, 0x300, 0x4500);
	write_apic(w, 0x310, 2 * id << 24);
	write_apic(w, 0x300, 0x4600 | 0x9a);
	pthread_mutex_lock(&v->lock);
	while (!v->turns)
		if (pthread_cond_timedwait(&v->cond, &v->lock, &ts))
			fail_msg("vCPU %u does not start", id);
	assert_int_equal(v->st.s[S_CS].base, 0x9a000);
	assert_int_equal(v->st.rip, 0);
	assert_int_equal(v->st.cr0 & 1, 0);
	set_long_mode(v);
	pthread_mutex_unlock(&v->lock);
}

void world_init(struct world *w, unsigned n)
{
	world_init_at(w, n, WORLD_PAGES);
}

void world_init_at(struct world *w, unsigned n, uint64_t populated)
{
	char err[256] = "";

	if (world_try(w, n, populated, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	assert_int_equal(vcpus[0]->st.rip, WORLD_ENTRY);
	set_long_mode(vcpus[0]);
	domain_unpause(w->d);
	for (unsigned i = 1; i < n; i++)
		start_vcpu(w, i);
}

void world_fini(struct world *w)
{
	w->d = domain_free(w->d);
	munmap(w->ram, WORLD_PAGES * 4096);
	munmap(w->special, SPECIAL_PAGES * 4096);
	munmap(w->gnttab, GNTTAB_MAX_FRAMES * 4096);
	close(w->cfg.ram_fd);
	close(w->cfg.special_fd);
	close(w->cfg.gnttab_fd);
	close(w->cfg.kernel_fd);
}

static void start_exit(struct vcpu *v, const struct vm_exit *x)
{
	v->x = *x;
	v->want = v->busy = true;
	pthread_cond_broadcast(&v->cond);
}

static void wait_done(struct vcpu *v)
{
	struct timespec ts = deadline();

	while (v->busy)
		if (pthread_cond_timedwait(&v->cond, &v->lock, &ts))
			fail_msg("the vCPU does not exit");
}

void world_exit(struct world *w, unsigned vcpu, struct vm_exit *x)
{
	struct vcpu *v = vcpus[vcpu];

	pthread_mutex_lock(&v->lock);
	start_exit(v, x);
	wait_done(v);
	*x = v->x;
	pthread_mutex_unlock(&v->lock);
}

int64_t world_call(struct world *w, unsigned vcpu, uint64_t nr, uint64_t a0, uint64_t a1,
		   uint64_t a2)
{
	const struct vm_exit x = { .kind = EXIT_HYPERCALL };
	struct vcpu *v = vcpus[vcpu];
	int64_t r;

	pthread_mutex_lock(&v->lock);
	v->st.r[R_RAX] = nr;
	v->st.r[R_RDI] = a0;
	v->st.r[R_RSI] = a1;
	v->st.r[R_RDX] = a2;
	start_exit(v, &x);
	wait_done(v);
	r = (int64_t)v->st.r[R_RAX];
	pthread_mutex_unlock(&v->lock);
	return r;
}

int64_t world_op(struct world *w, unsigned vcpu, uint64_t nr, uint64_t op, void *arg, size_t n)
{
	int64_t r;

	memcpy(w->ram + ARG, arg, n);
	r = world_call(w, vcpu, nr, op, ARG, 0);
	memcpy(arg, w->ram + ARG, n);
	return r;
}

int world_rdmsr(struct world *w, unsigned vcpu, uint32_t index, uint64_t *ret)
{
	struct vm_exit x = { .kind = EXIT_RDMSR, .addr = index };

	world_exit(w, vcpu, &x);
	*ret = x.val;
	return x.fault ? -EPERM : 0;
}

int world_wrmsr(struct world *w, unsigned vcpu, uint32_t index, uint64_t val)
{
	struct vm_exit x = { .kind = EXIT_WRMSR, .addr = index, .val = val, .is_write = 1 };

	world_exit(w, vcpu, &x);
	return x.fault ? -EPERM : 0;
}

void world_halt(struct world *w, unsigned vcpu)
{
	struct vm_exit x = { .kind = EXIT_HLT };

	world_exit(w, vcpu, &x);
}

int world_wait_irq(struct world *w, unsigned vcpu)
{
	struct timespec ts = deadline();
	struct vcpu *v = vcpus[vcpu];
	int r = -1;

	pthread_mutex_lock(&v->lock);
	while (v->irqs == v->irqs_seen)
		if (pthread_cond_timedwait(&v->cond, &v->lock, &ts))
			break;
	if (v->irqs != v->irqs_seen)
		r = v->irq[v->irqs_seen++ % sizeof(v->irq)];
	pthread_mutex_unlock(&v->lock);
	return r;
}

int world_irq_now(struct world *w, unsigned vcpu)
{
	struct timespec ts = deadline();
	struct vcpu *v = vcpus[vcpu];
	uint64_t from;
	int r = -1;

	pthread_mutex_lock(&v->lock);
	from = v->turns;
	v->kicked = true;
	pthread_cond_broadcast(&v->cond);
	while (v->turns < from + 2)
		if (pthread_cond_timedwait(&v->cond, &v->lock, &ts))
			fail_msg("the vCPU's loop does not turn");
		else if (v->turns == from + 1 && !v->kicked)
			v->kicked = true, pthread_cond_broadcast(&v->cond);
	if (v->irqs != v->irqs_seen)
		r = v->irq[v->irqs_seen++ % sizeof(v->irq)];
	pthread_mutex_unlock(&v->lock);
	return r;
}

void world_set_if(struct world *w, unsigned vcpu, bool on)
{
	struct vcpu *v = vcpus[vcpu];

	pthread_mutex_lock(&v->lock);
	v->if_on = on;
	v->st.rflags = on ? 0x202 : 2;
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

struct vcpu_state *world_regs(struct world *w, unsigned vcpu)
{
	return &vcpus[vcpu]->st;
}

void *world_page(struct world *w, uint64_t gfn)
{
	unsigned flags;

	return p2m_lookup(vcpus[0]->vm->p2m, gfn, &flags);
}

unsigned world_nmis(struct world *w, unsigned vcpu)
{
	unsigned n;

	pthread_mutex_lock(&vcpus[vcpu]->lock);
	n = vcpus[vcpu]->nmis;
	pthread_mutex_unlock(&vcpus[vcpu]->lock);
	return n;
}

bool world_wait(bool (*cond)(struct world *w), struct world *w)
{
	for (int i = 0; i < WAIT_S * 1000; i++) {
		if (cond(w))
			return true;
		usleep(1000);
	}
	return false;
}

static bool is_down(struct world *w)
{
	bool yes;

	pthread_mutex_lock(&world_lock);
	yes = w->shutdowns > 0;
	pthread_mutex_unlock(&world_lock);
	return yes;
}

bool world_wait_shutdown(struct world *w)
{
	return world_wait(is_down, w);
}
