/* hv/boot/acpi.h - the least ACPI that lets a PVH kernel find its processors.
 *
 * RSDP, XSDT, MADT (one local APIC per possible vCPU), FADT (hardware-reduced)
 * and an empty DSDT.  Without a MADT Linux turns SMP off and never sets up
 * Xen's timer.  vCPUs come and go through XenStore, not ACPI: each possible
 * one is listed as enabled, with apic_id = 2 * vcpu as Xen gives it.
 * Source: ACPI specification 6.3, ch. 5.2.
 */
#ifndef HV_BOOT_ACPI_H
#define HV_BOOT_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_TABLES_SIZE 4096u

/* Fill all ACPI_TABLES_SIZE bytes of buf, which the guest sees at gpa; the RSDP
 * is the first thing there.  vcpus is 1..128. */
void acpi_build(uint8_t *buf, uint64_t gpa, unsigned vcpus);

#endif
