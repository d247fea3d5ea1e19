/* tests/unit/hv/engine/test_smp.c - several vCPUs on threads: atomics, memory
 * order, code changed under another's feet, flushes while they run.
 */
#include "tests/unit/hv/engine/rig.h"

#include <pthread.h>

struct thread {
	struct rig *g;
	unsigned id;
	enum exit_kind end;
	pthread_t t;
};

static void *run(void *arg)
{
	struct thread *t = arg;
	struct vm_exit x;

	assert_int_equal(t->g->ops->vcpu_run(t->g->v[t->id], &x), 0);
	t->end = x.kind;
	return NULL;
}

static struct vcpu_state *st(struct rig *g, unsigned v)
{
	return g->ops->vcpu_regs(g->v[v]);
}

/* All vCPUs from their RIPs until they halt. */
static void run_all(struct rig *g)
{
	struct thread t[4];

	for (unsigned k = 0; k < g->nv; k++) {
		t[k] = (struct thread){ .g = g, .id = k };
		st(g, k)->r[R_RSP] = AT_STACK - 0x1000 * k;
		assert_int_equal(pthread_create(&t[k].t, NULL, run, &t[k]), 0);
	}
	for (unsigned k = 0; k < g->nv; k++) {
		assert_int_equal(pthread_join(t[k].t, NULL), 0);
		assert_int_equal(t[k].end, EXIT_HLT);
		assert_in_range(st(g, k)->rip, AT_CODE, RIG_RAM);
	}
}

GUEST(code_count, "mov $50000, %ecx\n"
		  "1: lock incl 0x40000\nmov $1, %eax\nlock xadd %rax, 0x40008\n"
		  "mov 0x40010, %rax\n2: lea 3(%rax), %rbx\nlock cmpxchg %rbx, 0x40010\njne 2b\n"
		  "lock btsl %ecx, 0x40040\n"
		  "3: mov $1, %eax\nxchg %al, 0x40020\ntest %al, %al\njz 4f\npause\njmp 3b\n"
		  "4: incl 0x40028\nmovb $0, 0x40020\n"
		  "loop 1b\n");

static void locked_instructions_are_atomic_between_vcpus(void **s)
{
	struct rig *g = rig_new(3);

	PUT_CODE(g, AT_CODE, code_count);
	run_all(g);
	assert_int_equal(*(uint32_t *)(g->ram + 0x40000), 150000);
	assert_int_equal(*q(g, 0x40008), 150000);
	assert_int_equal(*q(g, 0x40010), 450000);
	assert_int_equal(*(uint32_t *)(g->ram + 0x40028), 150000);
	rig_free(g);
}

/* vCPU 0 writes a routine's immediate, then raises a flag; vCPU 1 sees the flag
 * and calls the routine: it must never run the old one. */
GUEST(code_writer, "mov $2000, %ecx\n"
		   "1: mov %ecx, 0x60001\nmov %ecx, 0x40000\n"
		   "2: pause\ncmpl $0, 0x40000\njne 2b\nloop 1b\nmovl $-1, 0x40000\n");
GUEST(code_caller, "mov $0x60000, %ebx\n"
		   "1: pause\nmov 0x40000, %edi\ntest %edi, %edi\njz 1b\njs 2f\n"
		   "call *%rbx\ncmp %edi, %eax\njne 3f\ninc %esi\nmovl $0, 0x40000\njmp 1b\n"
		   "3: mov %eax, %ebp\nmovl $0, 0x40000\njmp 1b\n2:\n");
GUEST(code_routine, "mov $0, %eax\nret");

static void code_written_by_one_vcpu_is_run_as_written_by_another(void **s)
{
	struct rig *g = rig_new(2);

	PUT_CODE(g, AT_CODE, code_writer);
	PUT_CODE(g, AT_CODE + 0x1000, code_caller);
	PUT_CODE(g, 0x60000, code_routine);
	st(g, 1)->rip = AT_CODE + 0x1000;
	run_all(g);
	assert_int_equal(st(g, 1)->r[R_RBP], 0);
	assert_int_equal(st(g, 1)->r[R_RSI], 2000);
	rig_free(g);
}

/* One stores into the page that the others run all the time: both must get on. */
GUEST(code_run_page, "1: pause\nincl %eax\ncmpl $0, 0x60800\nje 1b\n"); /* at 0x60000 */
GUEST(code_store_page, "mov $500, %ecx\n1: mov %ecx, 0x60c00\nincl 0x60c04\nloop 1b\n"
		       "movl $1, 0x60800\n");

static void stores_into_a_page_that_others_run_get_through(void **s)
{
	struct rig *g = rig_new(3);

	PUT_CODE(g, AT_CODE, code_store_page);
	PUT_CODE(g, 0x60000, code_run_page);
	st(g, 1)->rip = st(g, 2)->rip = 0x60000;
	run_all(g);
	assert_int_equal(*(uint32_t *)(g->ram + 0x60c04), 500);
	rig_free(g);
}

/* Message passing: the data is never older than the flag that announces it. */
GUEST(code_send, "mov $100000, %ecx\n1: mov %rcx, 0x40000\nmov %rcx, 0x40800\nloop 1b\n"
		 "movq $-1, 0x40800\n");
GUEST(code_receive, "1: mov 0x40800, %rax\nmov 0x40000, %rbx\ntest %rax, %rax\njz 1b\njs 2f\n"
		    "cmp %rax, %rbx\njbe 1b\ninc %ebp\njmp 1b\n2:\n");

static void stores_are_seen_in_order(void **s)
{
	struct rig *g = rig_new(2);

	PUT_CODE(g, AT_CODE, code_send);
	PUT_CODE(g, AT_CODE + 0x1000, code_receive);
	st(g, 1)->rip = AT_CODE + 0x1000;
	run_all(g);
	assert_int_equal(st(g, 1)->r[R_RBP], 0);
	rig_free(g);
}

GUEST(code_watcher, "1: pause\nmov 0x40000, %eax\ncmp $2, %eax\njne 1b\n");

static void a_flush_reaches_a_running_vcpu(void **s)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	struct rig *g = rig_new(1);
	struct thread t = { .g = g };

	PUT_CODE(g, AT_CODE, code_watcher);
	page[0] = 2;
	assert_int_equal(pthread_create(&t.t, NULL, run, &t), 0);
	assert_int_equal(p2m_overlay(g->p2m, 0x40, page, 0), 0);
	g->ops->vm_flush(g->vm, NULL);
	assert_int_equal(pthread_join(t.t, NULL), 0);
	assert_int_equal(t.end, EXIT_HLT);
	rig_free(g);
}

GUEST(code_forever, "1: inc %eax\njmp 1b");

static void a_kick_ends_a_run_from_another_thread(void **s)
{
	struct rig *g = rig_new(1);

	PUT_CODE(g, AT_CODE, code_forever);
	for (unsigned k = 0; k < 50; k++) {
		struct thread t = { .g = g };

		assert_int_equal(pthread_create(&t.t, NULL, run, &t), 0);
		g->ops->vcpu_kick(g->v[0]);
		assert_int_equal(pthread_join(t.t, NULL), 0);
		assert_int_equal(t.end, EXIT_KICKED);
	}
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locked_instructions_are_atomic_between_vcpus),
		cmocka_unit_test(code_written_by_one_vcpu_is_run_as_written_by_another),
		cmocka_unit_test(stores_into_a_page_that_others_run_get_through),
		cmocka_unit_test(stores_are_seen_in_order),
		cmocka_unit_test(a_flush_reaches_a_running_vcpu),
		cmocka_unit_test(a_kick_ends_a_run_from_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
