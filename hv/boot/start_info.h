/* hv/boot/start_info.h - what a PVH kernel is told about its machine.
 *
 * hvm_start_info v1 and all it points to, in two pages of guest RAM.  Linux
 * reads them through its first page tables, which reach 1 GiB: so they live
 * right behind the kernel, as Xen's toolstack puts them.
 * Source: <xen/arch-x86/hvm/start_info.h>.
 */
#ifndef HV_BOOT_START_INFO_H
#define HV_BOOT_START_INFO_H

#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>

#include "hv/boot/ram.h"

#define START_INFO_SIZE	   8192u /* structures, then the command line */
#define START_INFO_CMDLINE 4096u
#define START_INFO_RANGES  16u

struct start_info_range {
	uint64_t addr, size;
	uint32_t type; /* XEN_HVM_MEMMAP_TYPE_* */
};

struct start_info_cfg {
	const char *cmdline;	      /* borrowed; shorter than a page */
	uint64_t initrd, initrd_size; /* size 0: none */
	uint64_t rsdp;
	struct start_info_range map[START_INFO_RANGES];
	unsigned nr_map;
};

/* Write START_INFO_SIZE bytes, every one of them, at gpa (page-aligned).
 * -EINVAL: a string or a map that is too long, -ENOMEM: no RAM there. */
int start_info_write(const struct boot_ram *ram, uint64_t gpa, const struct start_info_cfg *cfg);

/* The memory map of a guest: RAM around the hole, what lies in it reserved.
 * special: the frames of the toolstack's pages; acpi: of the tables. */
void start_info_map(struct start_info_cfg *cfg, uint64_t ram_pages, uint64_t hole_gfn,
		    uint64_t high_gfn, struct start_info_range special,
		    struct start_info_range acpi);

#endif
