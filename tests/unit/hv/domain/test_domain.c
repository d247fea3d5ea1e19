/* Making a domain: what is refused, what a failure leaves behind, and the
 * processor that its guest sees. */
#include "tests/unit/hv/domain/world.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemons/sys.h"
#include "hv/domain/cpuid.h"

static const struct domain_events no_events;

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void a_domain_that_makes_no_sense_is_refused_with_a_reason(void **state)
{
	static const struct {
		uint64_t pages, populated;
		unsigned vcpus, max;
		const char *engine, *word;
	} bad[] = {
		{ 4096, 4096, 1, 0, "fake", "vCPUs" },	  { 4096, 4096, 1, 33, "fake", "1 to 32" },
		{ 4096, 4096, 0, 1, "fake", "at boot" },  { 4096, 4096, 3, 2, "fake", "of 2" },
		{ 512, 512, 1, 1, "fake", "too little" }, { 4096, 0, 1, 1, "fake", "memory=" },
		{ 4096, 4097, 1, 1, "fake", "maxmem" },	  { 4096, 4096, 1, 1, "warp", "'warp'" },
		{ 4096, 4096, 1, 1, NULL, "engine" },
	};
	char err[256], line[DOMAIN_CMDLINE_MAX + 1];
	struct domain *d = NULL;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct domain_config c = { .mem_pages = bad[i].pages,
					   .populated = bad[i].populated,
					   .vcpus = bad[i].vcpus,
					   .max_vcpus = bad[i].max,
					   .engine = bad[i].engine,
					   .cmdline = "" };

		assert_int_equal(domain_new(&c, &no_events, &d, err, sizeof(err)), -EINVAL);
		assert_non_null(strstr(err, bad[i].word));
		assert_null(d);
	}
	memset(line, 'a', sizeof(line));
	line[DOMAIN_CMDLINE_MAX] = '\0';
	assert_int_equal(domain_new(&(struct domain_config){ .mem_pages = 4096,
							     .populated = 4096,
							     .vcpus = 1,
							     .max_vcpus = 1,
							     .engine = "fake",
							     .cmdline = line },
				    &no_events, &d, err, sizeof(err)),
			 -EINVAL);
	assert_non_null(strstr(err, "command line"));
	assert_null(domain_free(NULL));
}

/* Fail the 1st, 2nd, 3rd ... wrapped call until one run meets no fault. */
static void making_a_domain_survives_every_fault(void **state)
{
	struct domain_config c = { .mem_pages = 4096,
				   .populated = 4096,
				   .vcpus = 2,
				   .max_vcpus = 2,
				   .engine = "fake",
				   .cmdline = "" };
	unsigned fds;
	long n;
	int r;

	c.ram_fd = sys_memfd("ram", 4096 * 4096);
	c.special_fd = sys_memfd("special", SPECIAL_PAGES * 4096);
	c.gnttab_fd = sys_memfd("gnttab", GNTTAB_MAX_FRAMES * 4096);
	fds = count_fds();
	for (n = 0;; n++) {
		struct domain *d = NULL;
		char err[256] = "";

		fault_arm(n, ENOMEM);
		r = domain_new(&c, &no_events, &d, err, sizeof(err));
		if (!fault_disarm()) {
			assert_int_equal(r, 0);
			domain_free(d);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_null(d);
		assert_true(err[0]);
		assert_int_equal(count_fds(), fds);
	}
	assert_true(n >= 8);
	assert_int_equal(count_fds(), fds);
	close(c.ram_fd);
	close(c.special_fd);
	close(c.gnttab_fd);
}

static void a_kernel_that_is_none_leaves_a_domain_that_can_be_freed(void **state)
{
	char err[256] = "";
	unsigned fds = count_fds();
	struct world w;
	int r;

	r = world_try(&w, 1, WORLD_PAGES, err, sizeof(err));
	assert_int_equal(r, 0);
	assert_int_equal(domain_build(w.d, err, sizeof(err)), -EBUSY);
	w.d = domain_free(w.d);
	assert_int_equal(ftruncate(w.cfg.kernel_fd, 100), 0);
	assert_int_equal(domain_new(&w.cfg, &no_events, &w.d, err, sizeof(err)), 0);
	assert_int_equal(domain_build(w.d, err, sizeof(err)), -ENOEXEC);
	assert_non_null(strstr(err, "truncated"));
	domain_unpause(w.d); /* nothing to run: nothing happens */
	domain_pause(w.d);
	world_fini(&w);
	assert_int_equal(count_fds(), fds);
}

static void a_ballooning_guest_is_counted_as_what_it_was_given(void **state)
{
	struct domain_stats s;
	char err[256] = "";
	struct world w;

	assert_int_equal(world_try(&w, 1, WORLD_PAGES, err, sizeof(err)), 0);
	w.d = domain_free(w.d);
	w.cfg.populated = 1000;
	assert_int_equal(domain_new(&w.cfg, &no_events, &w.d, err, sizeof(err)), 0);
	domain_stats(w.d, &s);
	assert_int_equal(s.pages, 1000);
	assert_int_equal(s.max_pages, WORLD_PAGES);
	world_fini(&w);
}

/* ---- cpuid ---- */

static const struct cpuid_leaf *find(const struct cpuid_leaf *l, size_t n, uint32_t leaf,
				     uint32_t sub)
{
	for (size_t i = 0; i < n; i++)
		if (l[i].leaf == leaf && (l[i].subleaf == UINT32_MAX || l[i].subleaf == sub))
			return &l[i];
	fail_msg("no leaf %x.%x", leaf, sub);
	return NULL;
}

static void the_processor_has_xens_leaves_and_the_floor(void **state)
{
	struct cpuid_cfg cfg = { .ops = engine_find("fake"),
				 .vcpu = 3,
				 .max_vcpus = 5,
				 .domid = 7,
				 .tsc_khz = 2400000 };
	struct cpuid_leaf l[CPUID_LEAVES_MAX];
	const struct cpuid_leaf *c;
	size_t n = cpuid_build(&cfg, l);

	c = find(l, n, 0x40000000, 0);
	assert_int_equal(c->eax, 0x40000005);
	assert_int_equal(c->ebx, 0x566e6558);
	assert_int_equal(c->ecx, 0x65584d4d);
	assert_int_equal(c->edx, 0x4d4d566e);
	assert_int_equal(find(l, n, 0x40000001, 0)->eax, 4 << 16 | 17);
	assert_int_equal(find(l, n, 0x40000003, 0)->ecx, 2400000);
	c = find(l, n, 0x40000004, 0);
	assert_int_equal(c->eax, 1 << 3 | 1 << 4 | 1 << 6);
	assert_int_equal(c->ebx, 3);
	assert_int_equal(c->ecx, 7);
	c = find(l, n, 1, 0);
	assert_int_equal(c->ebx >> 24, 6);
	assert_int_equal(c->ebx >> 16 & 0xff, 16);
	assert_int_equal(c->ecx & 0x80200000, 0x80200000); /* hypervisor, x2APIC */
	assert_int_equal(c->ecx & (1 << 3 | 1 << 5 | 1 << 24 | 1 << 27), 0);
	assert_int_equal(c->edx & 0x07008371, 0x07008371); /* the x86-64-v1 floor */
	assert_int_equal(c->edx & (1 << 12 | 1 << 14 | 1 << 7), 0);
	assert_int_equal(find(l, n, 0x80000001, 0)->edx & (1u << 29 | 1 << 20 | 1 << 11),
			 1u << 29 | 1 << 20 | 1 << 11);
}

static void apic_ids_and_topology_agree_for_every_vcpu(void **state)
{
	for (unsigned max = 1; max <= DOMAIN_MAX_VCPUS; max++)
		for (unsigned v = 0; v < max; v++) {
			struct cpuid_cfg cfg = { .ops = engine_find("fake"),
						 .vcpu = v,
						 .max_vcpus = max };
			struct cpuid_leaf l[CPUID_LEAVES_MAX];
			size_t n = cpuid_build(&cfg, l);
			unsigned shift = find(l, n, 0xb, 1)->eax;

			assert_int_equal(find(l, n, 1, 0)->ebx >> 24, 2 * v);
			for (unsigned s = 0; s < 3; s++)
				assert_int_equal(find(l, n, 0xb, s)->edx, 2 * v);
			assert_int_equal(find(l, n, 0xb, 1)->ebx, max);
			assert_int_equal((2 * v) >> shift, 0); /* all in package 0 */
			assert_int_equal(find(l, n, 0xb, 2)->ecx >> 8, 0);
		}
}

static void own_bits(uint32_t leaf, struct cpuid_leaf *ret)
{
	*ret = (struct cpuid_leaf){ .leaf = leaf, .eax = leaf == 0x80000021 ? 0x5a : 0 };
}

static void what_the_engine_vouches_for_is_shown_on_amd_alone(void **state)
{
	struct engine_ops ops = *engine_find("fake");
	struct cpuid_cfg cfg = { .ops = &ops, .max_vcpus = 1 };
	struct cpuid_leaf l[CPUID_LEAVES_MAX];
	size_t n = cpuid_build(&cfg, l);

	assert_int_equal(find(l, n, 0x80000000, 0)->eax, 0x80000008);
	ops.cpuid_own = own_bits;
	n = cpuid_build(&cfg, l);
	if (!cpuid_host_is_amd()) {
		assert_int_equal(find(l, n, 0x80000000, 0)->eax, 0x80000008);
		return;
	}
	assert_int_equal(find(l, n, 0x80000000, 0)->eax, 0x80000021);
	assert_int_equal(find(l, n, 0x80000021, 0)->eax, 0x5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_that_makes_no_sense_is_refused_with_a_reason),
		cmocka_unit_test(making_a_domain_survives_every_fault),
		cmocka_unit_test(a_kernel_that_is_none_leaves_a_domain_that_can_be_freed),
		cmocka_unit_test(a_ballooning_guest_is_counted_as_what_it_was_given),
		cmocka_unit_test(the_processor_has_xens_leaves_and_the_floor),
		cmocka_unit_test(apic_ids_and_topology_agree_for_every_vcpu),
		cmocka_unit_test(what_the_engine_vouches_for_is_shown_on_amd_alone),
	};

	return cmocka_run_group_tests_name("hv/domain/domain", tests, NULL, NULL);
}
