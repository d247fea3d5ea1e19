/* hv/boot/acpi.c - see acpi.h.  Tables are packed structures over a zeroed page. */
#include "hv/boot/acpi.h"

#include <assert.h>
#include <string.h>

#define PACKED __attribute__((packed))

struct acpi_header {
	char sig[4];
	uint32_t len;
	uint8_t rev, sum;
	char oem[6], table[8];
	uint32_t oem_rev;
	char creator[4];
	uint32_t creator_rev;
} PACKED;

struct acpi_rsdp {
	char sig[8];
	uint8_t sum;
	char oem[6];
	uint8_t rev;
	uint32_t rsdt, len;
	uint64_t xsdt;
	uint8_t sum_ext, pad[3];
} PACKED;

struct acpi_xsdt {
	struct acpi_header h;
	uint64_t tables[2];
} PACKED;

struct acpi_madt_lapic {
	uint8_t type, len, processor, apic_id;
	uint32_t flags;
} PACKED;

struct acpi_madt {
	struct acpi_header h;
	uint32_t lapic_base, flags;
	struct acpi_madt_lapic lapic[];
} PACKED;

/* ACPI 6.3, table 5-33; what we leave zero has no name here. */
struct acpi_fadt {
	struct acpi_header h;
	uint32_t facs, dsdt;
	uint8_t pad0[65];
	uint16_t boot_arch;
	uint8_t pad1;
	uint32_t flags;
	uint8_t pad2[15];
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	uint8_t pad3[128];
} PACKED;

_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 5.2.6");
_Static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 5.2.5.3");
_Static_assert(offsetof(struct acpi_fadt, boot_arch) == 109, "ACPI 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "ACPI 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, minor) == 131, "ACPI 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "ACPI 5.2.9");
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 5.2.9");

#define LAPIC_BASE	0xfee00000u
#define LAPIC_ENABLED	1u
#define FADT_NO_VGA	(1u << 2)
#define FADT_NO_CMOS	(1u << 5)
#define FADT_POWER_BTN	(1u << 4) /* as a control method: there is none */
#define FADT_SLEEP_BTN	(1u << 5)
#define FADT_HW_REDUCED (1u << 20)

/* Offsets in the page. */
enum { AT_RSDP = 0, AT_XSDT = 0x40, AT_FADT = 0x100, AT_DSDT = 0x240, AT_MADT = 0x300 };

static uint8_t checksum(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (n--)
		sum += *b++;
	return (uint8_t)-sum;
}

static void seal(struct acpi_header *h, const char *sig, uint8_t rev, uint32_t len)
{
	memcpy(h->sig, sig, 4);
	h->len = len;
	h->rev = rev;
	memcpy(h->oem, "DZERO ", 6);
	memcpy(h->table, "DOMZERO ", 8);
	h->oem_rev = 1;
	memcpy(h->creator, "DZ  ", 4);
	h->creator_rev = 1;
	h->sum = 0;
	h->sum = checksum(h, len);
}

static void build_madt(struct acpi_madt *m, unsigned vcpus)
{
	m->lapic_base = LAPIC_BASE;
	for (unsigned i = 0; i < vcpus; i++)
		m->lapic[i] = (struct acpi_madt_lapic){ 0, sizeof(m->lapic[i]), (uint8_t)i,
							(uint8_t)(2 * i), LAPIC_ENABLED };
	seal(&m->h, "APIC", 5, (uint32_t)(sizeof(*m) + vcpus * sizeof(m->lapic[0])));
}

void acpi_build(uint8_t *buf, uint64_t gpa, unsigned vcpus)
{
	struct acpi_rsdp *rsdp = (void *)(buf + AT_RSDP);
	struct acpi_xsdt *xsdt = (void *)(buf + AT_XSDT);
	struct acpi_fadt *fadt = (void *)(buf + AT_FADT);

	assert(vcpus && vcpus <= 128);
	memset(buf, 0, ACPI_TABLES_SIZE);

	seal((void *)(buf + AT_DSDT), "DSDT", 2, sizeof(struct acpi_header));
	build_madt((void *)(buf + AT_MADT), vcpus);

	fadt->dsdt = (uint32_t)(gpa + AT_DSDT);
	fadt->x_dsdt = gpa + AT_DSDT;
	fadt->boot_arch = FADT_NO_VGA | FADT_NO_CMOS;
	fadt->flags = FADT_HW_REDUCED | FADT_POWER_BTN | FADT_SLEEP_BTN;
	fadt->minor = 3;
	seal(&fadt->h, "FACP", 6, sizeof(*fadt));

	xsdt->tables[0] = gpa + AT_FADT;
	xsdt->tables[1] = gpa + AT_MADT;
	seal(&xsdt->h, "XSDT", 1, sizeof(*xsdt));

	memcpy(rsdp->sig, "RSD PTR ", 8);
	memcpy(rsdp->oem, "DZERO ", 6);
	rsdp->rev = 2;
	rsdp->len = sizeof(*rsdp);
	rsdp->xsdt = gpa + AT_XSDT;
	rsdp->sum = checksum(rsdp, 20); /* the ACPI 1.0 part */
	rsdp->sum_ext = checksum(rsdp, sizeof(*rsdp));
}
