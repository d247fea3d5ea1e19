/* start_info and ACPI: right, and without one byte of ours that was not meant
 * for the guest (K4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hv/boot/acpi.h"
#include "hv/boot/start_info.h"

static uint64_t get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

static struct start_info_cfg sample(void)
{
	struct start_info_cfg cfg = { .cmdline = "console=hvc0 quiet",
				      .initrd = 0xabc000,
				      .initrd_size = 0x1234,
				      .rsdp = 0xfc000000 };

	start_info_map(&cfg, 0xf0000 + 0x1000, 0xf0000, 0x100000,
		       (struct start_info_range){ .addr = 0xfeff8000, .size = 0x8000 },
		       (struct start_info_range){ .addr = 0xfc000000, .size = 0x1000 });
	return cfg;
}

static void start_info_has_the_published_layout(void **state)
{
	struct boot_ram ram = { .host = malloc(65536), .size = 65536 };
	struct start_info_cfg cfg = sample();
	const uint8_t *p = ram.host + 0x2000, *m;

	assert_int_equal(start_info_write(&ram, 0x2000, &cfg), 0);
	assert_int_equal(get(p, 4), 0x336ec578);
	assert_int_equal(get(p + 4, 4), 1);
	assert_int_equal(get(p + 8, 4), 0);
	assert_int_equal(get(p + 12, 4), 1);
	assert_string_equal((char *)ram.host + get(p + 24, 8), cfg.cmdline);
	assert_int_equal(get(p + 32, 8), 0xfc000000);
	assert_int_equal(get(p + 48, 4), 4);
	assert_int_equal(get(p + 52, 4), 0);
	m = ram.host + get(p + 16, 8);
	assert_int_equal(get(m, 8), 0xabc000);
	assert_int_equal(get(m + 8, 8), 0x1234);
	assert_int_equal(get(m + 16, 8) | get(m + 24, 8), 0);
	m = ram.host + get(p + 40, 8);
	assert_int_equal(get(m + 8, 8), 0xf0000000);
	assert_int_equal(get(m + 16, 4), 1);
	assert_int_equal(get(m + 24 + 16, 4), 3);
	assert_int_equal(get(m + 48 + 16, 4), 2);
	assert_int_equal(get(m + 72, 8), 0x100000000);
	assert_int_equal(get(m + 72 + 8, 8), 0x1000000);
	free(ram.host);
}

static void start_info_without_a_ramdisk_lists_no_module(void **state)
{
	struct boot_ram ram = { .host = malloc(65536), .size = 65536 };
	struct start_info_cfg cfg = sample();

	cfg.initrd_size = 0;
	assert_int_equal(start_info_write(&ram, 0, &cfg), 0);
	assert_int_equal(get(ram.host + 12, 4), 0);
	assert_int_equal(get(ram.host + 16, 8), 0);
	free(ram.host);
}

/* Written over two different fillings, the result is the same: every byte was
 * set, and nothing around it was touched. */
static void every_byte_of_start_info_is_initialised(void **state)
{
	struct boot_ram a = { .host = malloc(65536), .size = 65536 };
	struct boot_ram b = { .host = malloc(65536), .size = 65536 };
	struct start_info_cfg cfg = sample();

	memset(a.host, 0x55, a.size);
	memset(b.host, 0xaa, b.size);
	assert_int_equal(start_info_write(&a, 0x3000, &cfg), 0);
	assert_int_equal(start_info_write(&b, 0x3000, &cfg), 0);
	assert_memory_equal(a.host + 0x3000, b.host + 0x3000, START_INFO_SIZE);
	assert_int_equal(a.host[0x2fff], 0x55);
	assert_int_equal(a.host[0x3000 + START_INFO_SIZE], 0x55);
	free(a.host);
	free(b.host);
}

static void start_info_that_does_not_fit_is_refused(void **state)
{
	struct boot_ram ram = { .host = malloc(65536), .size = 65536 };
	struct start_info_cfg cfg = sample();
	char line[4098];

	assert_int_equal(start_info_write(&ram, 65536 - START_INFO_SIZE, &cfg), 0);
	assert_int_equal(start_info_write(&ram, 65536 - START_INFO_SIZE + 1, &cfg), -ENOMEM);
	assert_int_equal(start_info_write(&ram, UINT64_MAX, &cfg), -ENOMEM);
	memset(line, 'a', sizeof(line));
	line[4095] = '\0';
	cfg.cmdline = line;
	assert_int_equal(start_info_write(&ram, 0, &cfg), 0);
	line[4095] = 'a';
	line[4096] = '\0';
	assert_int_equal(start_info_write(&ram, 0, &cfg), -EINVAL);
	free(ram.host);
}

static void assert_sums_to_zero(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum += *p++;
	assert_int_equal(sum, 0);
}

static void the_acpi_tables_lead_to_every_processor(void **state)
{
	const uint64_t base = 0xfc000000;
	uint8_t b[ACPI_TABLES_SIZE];
	const uint8_t *xsdt, *fadt, *madt, *dsdt;

	acpi_build(b, base, 32);
	assert_memory_equal(b, "RSD PTR ", 8);
	assert_sums_to_zero(b, 20);
	assert_sums_to_zero(b, 36);
	xsdt = b + (get(b + 24, 8) - base);
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_sums_to_zero(xsdt, get(xsdt + 4, 4));
	assert_int_equal(get(xsdt + 4, 4), 36 + 16);
	fadt = b + (get(xsdt + 36, 8) - base);
	madt = b + (get(xsdt + 44, 8) - base);
	assert_memory_equal(fadt, "FACP", 4);
	assert_sums_to_zero(fadt, get(fadt + 4, 4));
	assert_true(get(fadt + 112, 4) & 1u << 20);
	dsdt = b + (get(fadt + 140, 8) - base);
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_sums_to_zero(dsdt, get(dsdt + 4, 4));
	assert_memory_equal(madt, "APIC", 4);
	assert_sums_to_zero(madt, get(madt + 4, 4));
	assert_int_equal(get(madt + 36, 4), 0xfee00000);
	assert_int_equal(get(madt + 4, 4), 44 + 32 * 8);
	for (unsigned i = 0; i < 32; i++) {
		const uint8_t *l = madt + 44 + 8 * i;

		assert_int_equal(l[0], 0);
		assert_int_equal(l[1], 8);
		assert_int_equal(l[2], i);
		assert_int_equal(l[3], 2 * i);
		assert_int_equal(get(l + 4, 4), 1);
	}
}

static void every_byte_of_the_acpi_page_is_initialised(void **state)
{
	uint8_t a[ACPI_TABLES_SIZE], b[ACPI_TABLES_SIZE];

	memset(a, 0x55, sizeof(a));
	memset(b, 0xaa, sizeof(b));
	acpi_build(a, 0x1000, 128);
	acpi_build(b, 0x1000, 128);
	assert_memory_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_info_has_the_published_layout),
		cmocka_unit_test(start_info_without_a_ramdisk_lists_no_module),
		cmocka_unit_test(every_byte_of_start_info_is_initialised),
		cmocka_unit_test(start_info_that_does_not_fit_is_refused),
		cmocka_unit_test(the_acpi_tables_lead_to_every_processor),
		cmocka_unit_test(every_byte_of_the_acpi_page_is_initialised),
	};

	return cmocka_run_group_tests_name("hv/boot/tables", tests, NULL, NULL);
}
